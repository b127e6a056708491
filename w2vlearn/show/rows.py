"""Records of a trace -> rows of a table: a tree of calls, with equal layers folded into one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import takewhile
from typing import Any

from w2vlearn.show.palette import MIXES_UNMASKED, MODEL, Stage, stage_of
from w2vlearn.show.sentences import ARROW, describe, mask_seen, per_clip, sizes
from w2vlearn.show.table import NOTHING
from w2vlearn.tracing.records import CALLED, LayerRecord, TensorInfo

LEVELS = ("stages", "layers", "all")
# Leaves that neither change a shape nor look along time nor own a weight; level "layers" leaves them out.
_QUIET_TYPES = re.compile(
    r"drop|gelu|relu|silu|swish|tanh|sigmoid|softmax|mish|activation|identity|transpose|parametriz", re.I
)


@dataclass(frozen=True)
class Row:
    """One line of the table, standing for one call or for several equal ones."""

    label: str  # the first column: the name relative to the row above it, "layers.0 … 11 × 12" when folded
    depth: int  # indentation, 0 for the whole model
    records: tuple[LayerRecord, ...]  # the calls this row stands for, one or more
    parameters: int  # of all of them together; 0 where an earlier row counted them already
    counted: bool  # an earlier row counted this module's parameters (a second call of the same module)
    hidden: int  # calls inside this row that the table does not show
    mask: str  # which mask the layer was handed, in words; of unmasked layers that mix time the innermost one warns

    @property
    def record(self) -> LayerRecord:
        """The call, or the first of the equal ones."""
        return self.records[0]

    @property
    def name(self) -> str:
        """Full dotted name of the (first) call; ``""`` for the whole model."""
        return self.record.name

    @property
    def stage(self) -> Stage:
        """The stage that it belongs to."""
        return stage_of(self.record.name, self.record.type)

    @property
    def what(self) -> str:
        """What it does, in words."""
        return describe(self.record)

    @property
    def letters(self) -> str:
        """``"(B, C, T1) → (B, C, T2)"``; of a module that was not called its status."""
        return _both_ends(self.record, lambda info: f"({', '.join(info.letters)})") or self.record.status

    @property
    def sizes(self) -> str:
        """``"3×512×7999 → 3×512×3999"``; empty for a symbolic trace, whose sizes are letters already."""
        ends = [info for info in (self.record.input, self.record.output) if info]
        if any(not isinstance(size, int) for info in ends for size in info.shape):
            return ""
        return _both_ends(self.record, lambda info: sizes(info.shape) or "number")

    @property
    def valid(self) -> str:
        """Valid positions per clip, ``"49, 73, 124"``."""
        return per_clip(self.record.valid)


def _both_ends(record: LayerRecord, describe_end: Callable[[TensorInfo], str]) -> str:
    """Both ends of a call, described; one description where it has one end only; "" where it was not called."""
    first, last = record.input, record.output
    if record.status != CALLED and last is None:
        return ""
    if first is None and last is None:
        return NOTHING
    end = f"{ARROW} {describe_end(last) if last else '?'}"
    return f"{describe_end(first)} {end}" if first else end


def rows(trace: Any, level: str = "layers") -> list[Row]:
    """Lines of the table of a trace, in the order in which the layers were called.

    Parameters
    ----------
    trace : Layers
        Anything with ``records`` (of `LayerRecord`) and ``model_name``; a symbolic trace too.
    level : {"stages", "layers", "all"}
        "stages": the model's stages and the mask steps. "layers": equal layers folded into one line, dropouts and
        activations left out. "all": one line per call.

    Raises
    ------
    ValueError
        If there is no such level.
    """
    if level not in LEVELS:
        raise ValueError(f"no level of detail called {level!r}; there are {', '.join(LEVELS)}")
    nodes = _tree(trace.records if level == "all" else _without_quiet(trace.records))
    if level == "stages":
        nodes = _lifted(nodes, _opens_stage)
    return _Walk(level == "layers", trace.model_name or "model").rows(nodes, "", 0)


def inside(row: Row, trace: Any) -> list[Row]:
    """Lines of what a folded row hides: the inside of its first call, in the detail of the level "layers"."""
    start = next(index for index, record in enumerate(trace.records) if record is row.record)
    below = takewhile(lambda record: record.depth > row.record.depth, trace.records[start + 1 :])
    return _Walk(True, row.label).rows(_tree(_without_quiet([row.record, *below])), "", 0)


class _Walk:
    """One walk over the tree: ``title`` names the model, ``counted`` holds modules whose parameters were counted."""

    def __init__(self, fold: bool, title: str) -> None:
        self.fold, self.title, self.counted = fold, title, set()

    def rows(self, nodes: list[_Node], above: str, depth: int) -> list[Row]:
        """The rows of ``nodes`` and of what lies in them."""
        return [row for group in _groups(nodes, self.fold) for row in self._group(group, above, depth)]

    def _group(self, group: list[_Node], above: str, depth: int) -> list[Row]:
        node, records = group[0], tuple(member.record for member in group)
        label = self._label(node.record, above)
        counted = not node.record.is_mask_step and all(record.name in self.counted for record in records)
        self.counted.update(record.name for record in records)
        folded = len(group) > 1
        single = _single_inside(node) if self.fold and not folded else None
        if single is not None:
            label = f"{label}.{self._label(single.record, node.record.name)}"
            node, records = single, (single.record,)
            self.counted.add(single.record.name)
        if folded:
            label = f"{label} … {_numbered(records[-1].name)[1]} × {len(group)}"
        # Mask steps are never folded away: they are the answer to the question.
        children = _lifted(node.children, lambda child: child.record.is_mask_step) if folded else node.children
        below = self.rows(children, node.record.name, depth + 1)
        mask = mask_seen(node.record)
        if mask == MIXES_UNMASKED and any(row.mask == MIXES_UNMASKED for row in below):
            mask = "none"
        parameters = 0 if counted else sum(record.parameters for record in records)
        hidden = sum(member.size - 1 for member in group) if folded else 0
        return [Row(label, depth, records, parameters, counted, hidden, mask), *below]

    def _label(self, record: LayerRecord, above: str) -> str:
        """Name relative to the row above; the title for the model itself."""
        if record.is_mask_step:
            return record.name.replace("->", ARROW)
        name = record.name.removeprefix(above + ".") if above else record.name
        return (name or self.title) + (f" (call {record.call + 1})" if record.call else "")


# ------------------------------------------------------------------------------------------- the tree of calls


@dataclass
class _Node:
    """One call, the stage of the call that it lies in, and the calls that it made."""

    record: LayerRecord
    above: Stage | None = None
    children: list[_Node] = field(default_factory=list)

    @cached_property
    def size(self) -> int:
        """Number of calls: this one and all below."""
        return 1 + sum(child.size for child in self.children)

    @cached_property
    def signature(self) -> tuple:
        """What must be equal for two layers to share a line: everything a row shows, the whole inside included."""
        record, mask = self.record, self.record.mask
        return (
            record.type,
            record.operation,
            tuple(end and (end.letters, end.shape) for end in (record.input, record.output)),
            mask and (mask.kind, mask.form, mask.shape, mask.dtype, mask.true_means, mask.valid),
            record.mixes_time,
            record.valid,
            record.parameters,
            record.status,
            tuple(child.signature for child in self.children),
        )


def _tree(records: Iterable[LayerRecord]) -> list[_Node]:
    """Calls nested by depth: each lies in the nearest earlier one that is less deep."""
    roots: list[_Node] = []
    stack: list[_Node] = []
    for record in records:
        while stack and stack[-1].record.depth >= record.depth:
            stack.pop()
        above = stack[-1].record if stack else None
        node = _Node(record, above and stage_of(above.name, above.type))
        (stack[-1].children if stack else roots).append(node)
        stack.append(node)
    return roots


def _without_quiet(records: Sequence[LayerRecord]) -> list[LayerRecord]:
    """The records without the leaves that change nothing (dropouts, activations)."""
    depths = [*(record.depth for record in records[1:]), 0]
    return [r for r, following in zip(records, depths, strict=False) if not _is_quiet(r, leaf=following <= r.depth)]


def _is_quiet(record: LayerRecord, leaf: bool) -> bool:
    """True for a leaf that changes no shape, owns no weight, sees no mask; and for all of a parametrization."""
    if record.operation.kind == "parametrization" or ".parametrizations." in f".{record.name}.":
        return True
    if not leaf or record.is_mask_step or record.status != CALLED:
        return False
    if record.parameters or record.mixes_time or record.mask:
        return False
    return _same_shape(record.input, record.output) and _QUIET_TYPES.search(record.type) is not None


def _same_shape(one: TensorInfo | None, two: TensorInfo | None) -> bool:
    return one is not None and two is not None and one.shape == two.shape


def _lifted(nodes: list[_Node], keep: Callable[[_Node], bool]) -> list[_Node]:
    """The nodes to keep; what lies in the others moves up."""
    kept: list[_Node] = []
    for node in nodes:
        below = _lifted(node.children, keep)
        kept += [_Node(node.record, node.above, below)] if keep(node) else below
    return kept


def _opens_stage(node: _Node) -> bool:
    """True for a call that opens a stage, and for a mask step: all else lies deeper in the same stage."""
    stage = stage_of(node.record.name, node.record.type)
    return node.record.is_mask_step or stage is not node.above or (stage is MODEL and bool(node.children))


@lru_cache(4096)
def _numbered(name: str) -> tuple[str, int] | None:
    """``"encoder.layers.3"`` -> ``("encoder.layers", 3)``; None for a name that does not end in a number."""
    head, _, last = name.rpartition(".")
    return (head, int(last)) if last.isdigit() else None


def _groups(nodes: list[_Node], fold: bool) -> list[list[_Node]]:
    """Neighbours that are equal and numbered one after the other, together; without folding, one call each."""
    groups: list[list[_Node]] = []
    for node in nodes:
        last = groups[-1][-1] if groups else None
        if fold and last and _follows(last.record, node.record) and last.signature == node.signature:
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


def _follows(one: LayerRecord, two: LayerRecord) -> bool:
    first, second = _numbered(one.name), _numbered(two.name)
    return first is not None and second == (first[0], first[1] + 1) and one.call == two.call


def _single_inside(node: _Node) -> _Node | None:
    """The one call inside a container that does all its work (``conv_layers.1`` -> its convolution), or None."""
    if len(node.children) != 1 or not node.record.name:
        return None
    outer, inner = node.record, node.children[0].record
    if inner.is_mask_step or inner.parameters != outer.parameters or outer.mask != inner.mask:
        return None
    # The way in may gain an axis of channels; the way out must have the same shape.
    return node.children[0] if inner.status == CALLED and _same_shape(outer.output, inner.output) else None
