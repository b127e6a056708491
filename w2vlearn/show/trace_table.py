"""A trace as a document: the batch and its letters, the table of its layers, and what the columns mean."""

from __future__ import annotations

import shutil
from typing import Any

from w2vlearn.show.journey import journey
from w2vlearn.show.palette import LOCK, MIXES_UNMASKED, MODEL
from w2vlearn.show.rows import Row, inside, rows
from w2vlearn.show.sentences import ARROW, convention, describe, per_clip
from w2vlearn.show.table import (
    DEFAULT_WIDTH,
    NOTHING,
    Alert,
    Cell,
    Document,
    Raw,
    Table,
    breakable,
    folded,
    unbreakable,
)

COLUMNS = ("layer", "what it does", "shape in → shape out", "parameters", "valid per clip", "mask seen")
_VALID = 4
_NARROW = 108  # columns; below, what belongs together is stacked
_SHRINK = {0: 0, 4: 14, 1: 22}  # names of mask steps, valid per clip, what it does
_FEW = 4  # clips whose counts stay on one line in HTML

_MEANINGS = {
    "B": "clip|clips",
    "L": "sample|samples of the longest clip",
    "T": "frame|frames of the longest clip",
    "C": "channels of the feature encoder",
    "D": "features of a hidden state",
    "H": "attention heads",
    "F": "width of the feed-forward",
    "V": "vocabulary",
    "N": "classes",
    "K": "negatives",
    "G": "codebooks",
}


def terminal_width() -> int:
    """Columns of the terminal; 120 where there is none (a pipe, a notebook)."""
    return shutil.get_terminal_size((DEFAULT_WIDTH, 40)).columns


def text(trace: Any, level: str = "layers", width: int | None = None) -> str:
    """A trace as text: what goes in and comes out of each layer, how much of it is valid, which mask the layer saw.

    Parameters
    ----------
    trace : Layers
        Observed, symbolic, or the shapes at one batch.
    level : {"stages", "layers", "all"}
        "stages": the model's stages and the mask steps. "layers": equal layers in one line ("× 12"), dropouts and
        activations left out. "all": one line per call.
    width : int, optional
        Columns to fill, 120 unless said. Cells wrap; names and shapes are never cut, so very long ones stick out.

    Returns
    -------
    str
        Several lines, no newline at the end.
    """
    lines = rows(trace, level)
    table = _stacked(lines) if (width or DEFAULT_WIDTH) < _NARROW else layer_table(lines)
    return Document([*_header(trace), "", table, *_end(trace, lines)]).text(width)


def markdown(trace: Any, level: str = "layers") -> str:
    """The same in GitHub's Markdown."""
    lines = rows(trace, level)
    return Document([*_header(trace), layer_table(lines), *_end(trace, lines)]).markdown()


def html(trace: Any) -> str:
    """The picture of the batch's journey, the table, and the inside of folded layers to unfold.

    One ``<div>``; follows the theme, folds with ``<details>``, works without scripts.
    """
    lines = rows(trace)
    (summary, *letters), end = _header(trace), _end(trace, lines)
    hidden = []
    for row in lines:
        if row.hidden:
            caption = f"Inside {row.name}, the first of {len(row.records)} equal layers"
            hidden.append(folded(layer_table(inside(row, trace), caption, staged=True)))
    table = layer_table(lines, summary, staged=True)
    blank = end.index("")
    return Document([Raw(journey(trace)), table, *end[:blank], *hidden, *letters, *end[blank:]]).html()


def record_table(trace: Any) -> Table:
    """One row per record, shapes and counts as data: what becomes a data frame."""
    headers = ("name", "call", "type", "what", "depth", "status", "parameters", "input", "output", "input_letters",
               "output_letters", "valid", "mask", "marked_valid", "convention", "mixes_time")  # fmt: skip
    body = []
    for record in trace.records:
        ends, mask = (record.input, record.output), record.mask
        shapes = [None if info is None else info.shape for info in ends]
        letters = [None if info is None else info.letters for info in ends]
        seen = (f"{mask.kind} {mask.form}", mask.valid, convention(mask)) if mask else (None, None, None)
        start = (record.name, record.call, record.type, describe(record), record.depth, record.status)
        body.append([*start, record.parameters, *shapes, *letters, record.valid, *seen, record.mixes_time])
    return Table(headers, body)


def layer_table(lines: list[Row], caption: str = "", staged: bool = False) -> Table:
    """The table of a trace; no column of valid positions where nothing is known of them.

    With ``staged`` the stage stands above what the layer does: a column of its own would push the masks, which matter
    most, out of a notebook's width.
    """
    few = all(row.record.valid is None or len(row.record.valid) <= _FEW for row in lines)
    body = [_cells(row, staged, few) for row in lines]
    headers = list(COLUMNS)
    if staged:
        headers[1] = "stage, what it does"
    if not any(row.record.valid is not None for row in lines):
        for row in (headers, *body):
            del row[_VALID]
    return Table(headers, body, caption, "lllrll"[: len(headers)], _SHRINK)


def _cells(row: Row, staged: bool, few: bool) -> list[Any]:
    """The six cells of a row: shapes on two lines, letters above numbers."""
    indent, step = "  " * row.depth, row.record.is_mask_step
    shape = unbreakable(row.letters) + (f"\n{unbreakable(row.sizes)}" if row.sizes else "")
    parameters = "counted above" if row.counted and row.record.parameters else f"{row.parameters:,}"
    return [
        Cell(indent + (row.label if step else unbreakable(row.label)), code=True, nowrap=not step),
        Cell(breakable(row.what.replace("->", ARROW)), stage=row.stage if staged and row.stage is not MODEL else None),
        Cell(shape, code=True, nowrap=True),
        NOTHING if parameters == "0" else parameters,
        Cell(row.valid, nowrap=few),
        Cell(unbreakable(row.mask), nowrap=few),
    ]


def _stacked(lines: list[Row]) -> Table:
    """The table for a narrow terminal: three columns, more lines per row."""
    body = []
    for row in lines:
        name, what, shape, parameters, valid, mask = map(str, _cells(row, False, False))
        indent = "  " * row.depth
        below = "" if what.replace("\u200b", "") == row.label else f"\n{indent}  {what}"
        numbers = [f"valid: {valid}", f"mask: {mask}", f"parameters: {parameters}"]
        body.append([name + below, shape, "\n".join(line for line in numbers if not line.endswith(NOTHING))])
    return Table((COLUMNS[0], COLUMNS[2], "valid per clip, mask seen"), body, align="lll", shrink={0: 25})


def _header(trace: Any) -> list[str]:
    """The model and its batch; what each letter stands for here; which letters no length can move, with a lock."""
    summary = [trace.model_name or "model"]
    batch, records = trace.batch, trace.records
    if batch is not None:
        clips = "1 clip" if batch.clips == 1 else f"{batch.clips} clips in one batch"
        summary.append(f"{clips} of {batch.samples if batch.lengths is None else per_clip(batch.lengths)} samples")
    top = min((record.depth for record in records), default=0)
    total = sum({record.name: record.parameters for record in records if record.depth == top}.values())
    calls = sum(not record.is_mask_step for record in records)
    summary += [f"{total:,} parameters", f"{calls} layer calls"]

    letters = dict(trace.letters or {}) | dict(getattr(trace, "constants", None) or {})
    stack = [name for name in letters if name.startswith("T") and name[1:].isdigit()]
    moved = [_letter(name, letters[name]) for name in ("B", "L") if name in letters]
    if stack and all(isinstance(letters[name], int) for name in stack):
        names = f"{stack[0]} … {stack[-1]}" if len(stack) > 1 else stack[0]
        moved.append(f"{unbreakable(names)} = {', '.join(str(letters[name]) for name in stack)}")
    else:
        moved += [_letter(name, letters[name]) for name in stack]
    moved += [_letter("T", letters["T"])] if "T" in letters else []
    fixed = [_letter(name, value) for name, value in letters.items() if name not in ("B", "L", "T", *stack)]
    locked = [f"{LOCK} fixed, whatever the length: {' · '.join(fixed)}"] if fixed else []
    return [" · ".join(summary), *([" · ".join(moved)] if moved else []), *locked]


def _letter(name: str, value: object) -> str:
    """``"T = 124 frames of the longest clip"``; of a letter that stands for itself only its meaning."""
    one, _, many = _MEANINGS.get(name, "").partition("|")
    meaning = one if value == 1 or not many else many
    start = f"{name}:" if str(value) == name else f"{name} = {value}"
    return unbreakable(f"{start} {meaning}".rstrip(" :"))


def _end(trace: Any, lines: list[Row]) -> list[str | Alert]:
    """Where the model broke, what the columns mean, and what the trace decided."""
    blocks: list[str | Alert] = [Alert("Here it broke:", trace.error)] if trace.error else []
    blocks.append("")
    if any(row.record.valid is not None for row in lines):
        blocks.append(
            "valid per clip: how many positions each clip would have here if it were alone; the others are padding."
        )
    if any(row.mask == MIXES_UNMASKED for row in lines):
        blocks.append(
            f"{MIXES_UNMASKED}: looks along time and was handed no mask, so padding can get in here; "
            "padding_leak(model, clips) measures whether it does."
        )
    return blocks + [f"note: {note}" for note in trace.notes or ()]
