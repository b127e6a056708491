"""The calls of a trace as a tree: which lie in which, which are equal, which change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from w2vlearn.show.palette import MODEL, Stage, stage_of

# Leaves that neither change a shape nor look along time nor own a weight; level "layers" leaves them out.
_QUIET_TYPES = re.compile(
    r"drop|gelu|relu|silu|swish|tanh|sigmoid|softmax|mish|activation|identity|transpose|parametriz", re.I
)


@dataclass
class Node:
    """One call and the calls that it made."""

    record: Any
    children: list[Node] = field(default_factory=list)

    def size(self) -> int:
        """Calls here and below."""
        return 1 + sum(child.size() for child in self.children)


def tree(records: Iterable[Any]) -> list[Node]:
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


def _quiet(node: Node) -> bool:
    """True for a leaf that the level "layers" leaves out: it changes no shape, owns no weight, sees no mask."""
    record = node.record
    if ".parametrizations." in f".{record.name}.":
        return True
    if node.children or record.is_mask_step or record.skipped or record.parameters or record.mixes_time or record.mask:
        return False
    before, after = record.input, record.output
    same = before is not None and after is not None and tuple(before.shape) == tuple(after.shape)
    return same and bool(_QUIET_TYPES.search(record.type))


def without_quiet(nodes: list[Node]) -> list[Node]:
    """The tree without the leaves that change nothing (dropouts, activations)."""
    return [Node(node.record, without_quiet(node.children)) for node in nodes if not _quiet(node)]


def _signature(node: Node) -> tuple:
    """What must be equal for two layers to share a line: everything a row shows, the whole inside included."""
    record = node.record
    mask = record.mask and (
        record.mask.kind,
        record.mask.form,
        tuple(record.mask.shape),
        record.mask.convention,
        record.mask.real,
    )
    ends = tuple(end and (tuple(end.letters), tuple(end.shape)) for end in (record.input, record.output))
    return (
        record.type,
        record.what,
        ends,
        mask,
        record.mixes_time,
        record.valid,
        record.parameters,
        record.skipped,
        tuple(_signature(child) for child in node.children),
    )


def numbered(name: str) -> tuple[str, int] | None:
    """``"encoder.layers.3"`` -> ``("encoder.layers", 3)``; None for a name that does not end in a number."""
    head, _, last = name.rpartition(".")
    return (head, int(last)) if last.isdigit() else None


def groups(nodes: list[Node], fold: bool) -> list[list[Node]]:
    """Neighbours that are equal and numbered one after the other, together; without folding, one call each."""
    groups: list[list[Node]] = []
    for node in nodes:
        if fold and groups and _follows(groups[-1][-1].record, node.record) and _equal(groups[-1][-1], node):
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


def _follows(before: Any, here: Any) -> bool:
    one, two = numbered(before.name), numbered(here.name)
    return one is not None and two == (one[0], one[1] + 1) and before.call == here.call


def _equal(one: Node, two: Node) -> bool:
    return _signature(one) == _signature(two)


def single_inside(node: Node) -> Node | None:
    """The one call inside a container that does all its work (``conv_layers.1`` -> its convolution), or None."""
    if len(node.children) != 1 or not node.record.name:
        return None
    outer, inner = node.record, node.children[0].record
    if inner.is_mask_step or inner.parameters != outer.parameters or outer.mask != inner.mask or inner.skipped:
        return None
    # The way in may gain an axis of channels; the way out must have the same shape.
    after_outer, after_inner = outer.output, inner.output
    same = after_outer is not None and after_inner is not None and tuple(after_outer.shape) == tuple(after_inner.shape)
    return node.children[0] if same else None


def stages_only(nodes: list[Node], above: Stage | None) -> list[Node]:
    """Only calls that open a stage, and mask steps: what lies deeper in the same stage is left out."""
    kept: list[Node] = []
    for node in nodes:
        stage = stage_of(node.record.name, node.record.type)
        inner = stages_only(node.children, above if node.record.is_mask_step else stage)
        opens = stage is not above or (stage is MODEL and node.children)
        kept += [Node(node.record, inner)] if opens or node.record.is_mask_step else inner
    return kept
