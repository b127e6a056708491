"""Records of a trace -> rows of a table: a tree of calls, with equal layers folded into one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from w2vlearn.show.palette import MIXES_UNMASKED, WARNING, Stage, stage_of
from w2vlearn.show.tree import Node, groups, numbered, single_inside, stages_only, tree, without_quiet

LEVELS = ("stages", "layers", "all")
ARROW = "→"
NOTHING = "–"


@dataclass(frozen=True)
class Row:
    """One line of the table, standing for one call or for several equal ones.

    Attributes
    ----------
    label : str
        What the first column says: the name relative to the row above it, ``"layers.0 … 11 × 12"`` when folded.
    name : str
        Full dotted name of the (first) call; ``""`` for the whole model.
    depth : int
        Indentation, 0 for the whole model.
    stage : Stage
    what : str
        What it does, in words.
    records : tuple of LayerRecord
        The calls this row stands for, one or more.
    parameters : int
        Parameters of all of them together; 0 where an earlier row counted them already (see ``counted``).
    counted : bool
        True if this module's parameters were counted by an earlier row (a second call of the same module).
    hidden : int
        Calls inside this row that the table does not show.
    explained : bool
        True if a row inside this one is where time is mixed without a mask: the warning stands there only.
    """

    label: str
    name: str
    depth: int
    stage: Stage
    what: str
    records: tuple[Any, ...]
    parameters: int = 0
    counted: bool = False
    hidden: int = 0
    explained: bool = False

    @property
    def record(self) -> Any:
        """The call, or the first of the equal ones."""
        return self.records[0]

    @property
    def times(self) -> int:
        """How many equal calls the row stands for."""
        return len(self.records)

    @property
    def letters(self) -> str:
        """``"(B, C, T1) → (B, C, T2)"``."""
        return _both(self.record, lambda info: "(" + ", ".join(map(str, info.letters)) + ")")

    @property
    def sizes(self) -> str:
        """``"3×512×7999 → 3×512×3999"``; empty for a symbolic trace, whose sizes are letters already."""
        if any(
            not isinstance(size, int) for info in (self.record.input, self.record.output) if info for size in info.shape
        ):
            return ""
        return _both(self.record, lambda info: "×".join(map(str, info.shape)) or "number")

    @property
    def real(self) -> str:
        """Real positions per clip, ``"49, 73, 124"``."""
        return per_clip(self.record.valid)

    @property
    def mask(self) -> str:
        """Which mask the layer was handed, in words."""
        words = mask_words(self.record)
        return "none" if self.explained and words == MIXES_UNMASKED else words


def _both(record: Any, describe: Any) -> str:
    """Both ends of a call, described; one description where it has one end only."""
    before, after = record.input, record.output
    if getattr(record, "skipped", False) and after is None:
        return "skipped"
    if before is None or after is None:
        known = before or after
        return (
            NOTHING
            if known is None
            else (f"{describe(known)} {ARROW} ?" if after is None else f"{ARROW} {describe(known)}")
        )
    return f"{describe(before)} {ARROW} {describe(after)}"


def per_clip(counts: Sequence[object] | None, most: int = 8) -> str:
    """Counts per clip in one cell: ``"49, 73, 124"``; more than ``most`` clips are shortened in the middle."""
    if counts is None:
        return NOTHING
    words = [str(count) for count in counts]
    if len(words) > most:
        words = [*words[: most - 2], "…", words[-1]]
    return ", ".join(words)


def mask_words(record: Any) -> str:
    """What a layer knows of padding: the mask it was handed, on two lines; "–" if it needs none; else the warning."""
    if record.is_mask_step:
        return "makes it"
    seen = record.mask
    if seen is None:
        return MIXES_UNMASKED if record.mixes_time else NOTHING
    if seen.form == "none":
        return f"{seen.kind} mask\ndropped, all real"
    words = f"{seen.kind} mask\n{shape_words(seen.shape)} {seen.form}"
    if seen.form == "bool" and "= padding" in seen.convention:
        words += "\nTrue = padding"
    # A model whose own mask arithmetic is off by one shows here: it marks other positions real than the clip has alone.
    if seen.kind in ("frame", "attention") and None not in (seen.real, record.valid) and seen.real != record.valid:
        words += f"\n{WARNING} marks {per_clip(seen.real)}"
    return words


def shape_words(shape: Iterable[object]) -> str:
    """``"3×1×124×124"``."""
    return "×".join(str(size) for size in shape)


# ------------------------------------------------------------------------------------------------------- rows


def rows(trace: Any, level: str = "layers") -> list[Row]:
    """Lines of the table of a trace, in the order in which the layers were called.

    Parameters
    ----------
    trace : Trace
        Anything with ``records`` (of `LayerRecord`) and ``model_name``; a symbolic trace too.
    level : {"stages", "layers", "all"}
        "stages": the model's stages and the mask steps. "layers": equal layers folded into one line, dropouts and
        activations left out. "all": one line per call.

    Returns
    -------
    list of Row

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
    made: list[Row] = []
    title = str(getattr(trace, "model_name", "") or "model")
    _walk(nodes, made, set(), "", 0, level == "layers", title)
    return made


def inside(row: Row, trace: Any) -> list[Row]:
    """Lines of what a folded row hides: the inside of its first call, in the detail of the level "layers"."""
    records = tuple(trace.records)
    start = next(index for index, record in enumerate(records) if record is row.record)
    end = start + 1
    while end < len(records) and records[end].depth > row.record.depth:
        end += 1
    made: list[Row] = []
    _walk(without_quiet(tree(records[start:end])), made, set(), "", 0, True, row.label)
    return made


def _walk(
    nodes: list[Node], made: list[Row], counted: set[str], above: str, indent: int, fold: bool, title: str
) -> None:
    """Append the rows of ``nodes`` and of what lies in them to ``made``."""
    for group in groups(nodes, fold):
        node, records = group[0], tuple(member.record for member in group)
        record = node.record
        label = _label(record, above, title)
        repeated = not record.is_mask_step and all(member.name in counted for member in records)
        counted.update(member.name for member in records)
        single = single_inside(node) if fold and len(group) == 1 else None
        if single is not None:
            label = f"{label}.{_label(single.record, record.name, title)}"
            node, record, records = single, single.record, (single.record,)
            counted.add(record.name)
        if len(group) > 1:
            label = f"{label} … {numbered(records[-1].name)[1]} × {len(group)}"
        made.append(
            Row(
                label=label,
                name=record.name,
                depth=indent,
                stage=stage_of(record.name, record.type),
                what=record.what,
                records=records,
                parameters=0 if repeated else sum(member.parameters for member in records),
                counted=repeated,
                hidden=sum(member.size() - 1 for member in group) if len(group) > 1 else 0,
            )
        )
        here = len(made) - 1
        if len(group) == 1:
            _walk(node.children, made, counted, record.name, indent + 1, fold, title)
        else:
            # Mask steps are never folded away: they are the answer to the question.
            _walk(_steps_in(node.children), made, counted, record.name, indent + 1, fold, title)
        if any(row.mask == MIXES_UNMASKED for row in made[here + 1 :]):
            made[here] = replace(made[here], explained=True)


def _steps_in(nodes: list[Node]) -> list[Node]:
    found: list[Node] = []
    for node in nodes:
        found += [Node(node.record)] if node.record.is_mask_step else _steps_in(node.children)
    return found


def _label(record: Any, above: str, title: str) -> str:
    """Name relative to the row above; the title for the model itself."""
    name = record.name
    if record.is_mask_step:
        return name.replace("->", ARROW)
    if not name:
        label = title
    elif above and name.startswith(above + "."):
        label = name[len(above) + 1 :]
    else:
        label = name
    return f"{label} (call {record.call + 1})" if record.call else label
