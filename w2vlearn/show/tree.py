"""The calls of a trace as a tree: which lie in which, which are equal, which change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from w2vlearn.show.palette import MODEL, Stage, stage_of
from w2vlearn.tracing.records import CALLED, LayerRecord

# Leaves that neither change a shape nor look along time nor own a weight; level "layers" leaves them out.
_QUIET_TYPES = re.compile(
    r"drop|gelu|relu|silu|swish|tanh|sigmoid|softmax|mish|activation|identity|transpose|parametriz", re.I
)


@dataclass
class Node:
    """One call and the calls that it made."""

    record: LayerRecord
    children: list[Node] = field(default_factory=list)

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


def tree(records: Iterable[LayerRecord]) -> list[Node]:
    """Calls nested by depth: each lies in the nearest earlier one that is less deep."""
    roots: list[Node] = []
    stack: list[Node] = []
    for record in records:
        node = Node(record)
        while stack and stack[-1].record.depth >= record.depth:
            stack.pop()
        (stack[-1].children if stack else roots).append(node)
        stack.append(node)
    return roots


def without_quiet(nodes: list[Node]) -> list[Node]:
    """The tree without the leaves that change nothing (dropouts, activations)."""
    return [Node(node.record, without_quiet(node.children)) for node in nodes if not _quiet(node)]


def _quiet(node: Node) -> bool:
    """True for a leaf that the level "layers" leaves out: it changes no shape, owns no weight, sees no mask."""
    record = node.record
    if record.operation.kind == "parametrization" or ".parametrizations." in f".{record.name}.":
        return True
    if node.children or record.is_mask_step or record.status != CALLED:
        return False
    if record.parameters or record.mixes_time or record.mask:
        return False
    return _same_shape(record.input, record.output) and _QUIET_TYPES.search(record.type) is not None


@lru_cache(4096)
def numbered(name: str) -> tuple[str, int] | None:
    """``"encoder.layers.3"`` -> ``("encoder.layers", 3)``; None for a name that does not end in a number."""
    head, _, last = name.rpartition(".")
    return (head, int(last)) if last.isdigit() else None


def groups(nodes: list[Node], fold: bool) -> list[list[Node]]:
    """Neighbours that are equal and numbered one after the other, together; without folding, one call each."""
    groups: list[list[Node]] = []
    for node in nodes:
        last = groups[-1][-1] if groups else None
        if fold and last and _follows(last.record, node.record) and last.signature == node.signature:
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


def _follows(one: LayerRecord, two: LayerRecord) -> bool:
    first, second = numbered(one.name), numbered(two.name)
    return first is not None and second == (first[0], first[1] + 1) and one.call == two.call


def single_inside(node: Node) -> Node | None:
    """The one call inside a container that does all its work (``conv_layers.1`` -> its convolution), or None."""
    if len(node.children) != 1 or not node.record.name:
        return None
    outer, inner = node.record, node.children[0].record
    if inner.is_mask_step or inner.parameters != outer.parameters or outer.mask != inner.mask:
        return None
    # The way in may gain an axis of channels; the way out must have the same shape.
    return node.children[0] if inner.status == CALLED and _same_shape(outer.output, inner.output) else None


def _same_shape(one: object, two: object) -> bool:
    return one is not None and two is not None and one.shape == two.shape


def stages_only(nodes: list[Node], above: Stage | None) -> list[Node]:
    """Only calls that open a stage, and mask steps: what lies deeper in the same stage is left out."""
    kept: list[Node] = []
    for node in nodes:
        stage = stage_of(node.record.name, node.record.type)
        inner = stages_only(node.children, above if node.record.is_mask_step else stage)
        opens = stage is not above or (stage is MODEL and node.children)
        kept += [Node(node.record, inner)] if opens or node.record.is_mask_step else inner
    return kept


def mask_steps(nodes: list[Node]) -> list[Node]:
    """The mask steps below ``nodes``, without what lies around them."""
    steps: list[Node] = []
    for node in nodes:
        steps += [Node(node.record)] if node.record.is_mask_step else mask_steps(node.children)
    return steps
