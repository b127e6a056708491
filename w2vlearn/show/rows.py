"""Records of a trace -> rows of a table: a tree of calls, with equal layers folded into one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from w2vlearn.show.palette import MIXES_UNMASKED, Stage, stage_of
from w2vlearn.show.sentences import ARROW, describe, mask_seen, per_clip, sizes
from w2vlearn.show.table import NOTHING
from w2vlearn.show.tree import Node, groups, mask_steps, numbered, single_inside, stages_only, tree, without_quiet
from w2vlearn.tracing.records import CALLED, LayerRecord, TensorInfo

LEVELS = ("stages", "layers", "all")


@dataclass(frozen=True)
class Row:
    """One line of the table, standing for one call or for several equal ones.

    Attributes
    ----------
    label : str
        What the first column says: the name relative to the row above it, ``"layers.0 … 11 × 12"`` when folded.
    depth : int
        Indentation, 0 for the whole model.
    records : tuple of LayerRecord
        The calls this row stands for, one or more.
    parameters : int
        Parameters of all of them together; 0 where an earlier row counted them already (see ``counted``).
    counted : bool
        True if this module's parameters were counted by an earlier row (a second call of the same module).
    hidden : int
        Calls inside this row that the table does not show.
    mask : str
        Which mask the layer was handed, in words. The warning of a layer that mixes time without one stands at the
        innermost row only.
    """

    label: str
    depth: int
    records: tuple[LayerRecord, ...]
    parameters: int
    counted: bool
    hidden: int
    mask: str

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
    if last is None:
        return f"{describe_end(first)} {ARROW} ?"
    return f"{describe_end(first)} {ARROW} {describe_end(last)}" if first else f"{ARROW} {describe_end(last)}"


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
    nodes = tree(trace.records)
    if level != "all":
        nodes = without_quiet(nodes)
    if level == "stages":
        nodes = stages_only(nodes, None)
    return _Walk(level == "layers", trace.model_name or "model").rows(nodes, "", 0)


def inside(row: Row, trace: Any) -> list[Row]:
    """Lines of what a folded row hides: the inside of its first call, in the detail of the level "layers"."""
    start = next(index for index, record in enumerate(trace.records) if record is row.record)
    below = takewhile(lambda record: record.depth > row.record.depth, trace.records[start + 1 :])
    return _Walk(True, row.label).rows(without_quiet(tree([row.record, *below])), "", 0)


class _Walk:
    """One walk over the tree: ``title`` names the model, ``counted`` holds modules whose parameters were counted."""

    def __init__(self, fold: bool, title: str) -> None:
        self.fold, self.title, self.counted = fold, title, set()

    def rows(self, nodes: list[Node], above: str, depth: int) -> list[Row]:
        """The rows of ``nodes`` and of what lies in them."""
        return [row for group in groups(nodes, self.fold) for row in self._group(group, above, depth)]

    def _group(self, group: list[Node], above: str, depth: int) -> list[Row]:
        node, records = group[0], tuple(member.record for member in group)
        label = self._label(node.record, above)
        counted = not node.record.is_mask_step and all(record.name in self.counted for record in records)
        self.counted.update(record.name for record in records)
        folded = len(group) > 1
        single = single_inside(node) if self.fold and not folded else None
        if single is not None:
            label = f"{label}.{self._label(single.record, node.record.name)}"
            node, records = single, (single.record,)
            self.counted.add(single.record.name)
        if folded:
            label = f"{label} … {numbered(records[-1].name)[1]} × {len(group)}"
        # Mask steps are never folded away: they are the answer to the question.
        below = self.rows(mask_steps(node.children) if folded else node.children, node.record.name, depth + 1)
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
