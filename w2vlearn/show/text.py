"""A trace as a table that a person can read in a terminal, and as Markdown."""

from __future__ import annotations

import shutil
from typing import Any

from w2vlearn.show.grid import DEFAULT_WIDTH, breakable, grid, markdown, unbreakable, wrap
from w2vlearn.show.palette import LOCK, MIXES_UNMASKED
from w2vlearn.show.rows import ARROW, NOTHING, Row, per_clip, rows

__all__ = [
    "COLUMNS",
    "grid",
    "legend",
    "letters_line",
    "markdown",
    "markdown_table",
    "summary",
    "table",
    "terminal_width",
]

COLUMNS = ("layer", "what it does", "shape in → shape out", "parameters", "real per clip", "mask seen")
_ALIGN = "lllrll"
_REAL = 4
_NARROW = 108  # columns; below, what belongs together is stacked
_SHRINK = {0: 0, 4: 14, 1: 22}  # names of mask steps, real per clip, what it does

# Letters that a clip's length or the number of clips moves; every other letter is fixed by the config.
_FRAME_LETTERS = "T"
_MEANINGS = {
    "B": "clip|clips",
    "L": "sample|samples of the longest clip",
    "T": "frame|frames of the longest clip",
    "C": "channels of the feature encoder",
    "D": "features of a hidden state",
    "H": "attention heads",
    "F": "width of the feed-forward",
    "V": "vocabulary",
    "K": "negatives",
    "G": "codebooks",
}


def terminal_width() -> int:
    """Columns of the terminal; 120 where there is none (a pipe, a notebook)."""
    return shutil.get_terminal_size((DEFAULT_WIDTH, 40)).columns


def table(trace: Any, fold: bool = True, width: int | None = None, level: str | None = None) -> str:
    """A trace as text: what goes in and comes out of each layer, how much of it is real, which mask the layer saw.

    Parameters
    ----------
    trace : Trace
        Observed or symbolic.
    fold : bool
        True: equal layers in one line ("× 12"), dropouts and activations left out. False: one line per call.
    width : int, optional
        Columns to fill, 120 unless said. Cells wrap; names and shapes are never cut, so very long ones stick out.
    level : {"stages", "layers", "all"}, optional
        Detail, instead of ``fold``.

    Returns
    -------
    str
        Several lines, no newline at the end.
    """
    lines = rows(trace, level or ("layers" if fold else "all"))
    width = width or DEFAULT_WIDTH
    parts = [_wrapped(summary(trace), width), _wrapped(letters_line(trace), width), ""]
    if width < _NARROW:
        parts.append(_stacked(lines, width))
    else:
        headers, body, align = columns(lines)
        parts.append(grid(headers, body, align=align, width=width, shrink=_SHRINK))
    if trace_error(trace):
        parts.append(_wrapped(f"Here it broke: {trace_error(trace)}", width))
    parts += ["", *(_wrapped(line, width) for line in legend(trace, lines))]
    return "\n".join(parts)


def columns(lines: list[Row]) -> tuple[tuple[str, ...], list[list[str]], str]:
    """Headers, cells and alignment of the table; no column of real positions where nothing is known of them."""
    body = [cells(row) for row in lines]
    if any(row.record.valid is not None for row in lines):
        return COLUMNS, body, _ALIGN
    return COLUMNS[:_REAL] + COLUMNS[_REAL + 1 :], [row[:_REAL] + row[_REAL + 1 :] for row in body], _ALIGN[:-1]


def _stacked(lines: list[Row], width: int) -> str:
    """The table for a narrow terminal: three columns, more lines per row."""
    body = []
    for row in lines:
        name, what, shape, own, real, mask = cells(row)
        indent = "  " * row.depth
        words = "" if what.replace("\u200b", "") == row.label else f"\n{indent}  {what}"
        facts = [f"real: {real}" if row.record.valid is not None else "", f"mask: {mask}", f"parameters: {own}"]
        body.append([name + words, shape, "\n".join(fact for fact in facts if fact and not fact.endswith(NOTHING))])
    return grid((COLUMNS[0], COLUMNS[2], "real per clip, mask seen"), body, align="lll", width=width, shrink={0: 25})


def cells(row: Row) -> list[str]:
    """The six cells of a row, ready for `grid`: shapes on two lines, letters above numbers."""
    name = "  " * row.depth + unbreakable(row.label)
    if row.record.is_mask_step:
        name = "  " * row.depth + row.label
    shape = unbreakable(row.letters) + ("\n" + unbreakable(row.sizes) if row.sizes else "")
    what = breakable(row.what.replace("->", ARROW))
    return [name, what, shape, parameters(row), row.real, unbreakable(row.mask)]


def parameters(row: Row) -> str:
    """Parameters with thousands separated; "–" for none, "counted above" for a module that an earlier row counted."""
    if row.counted and row.record.parameters:
        return "counted above"
    return f"{row.parameters:,}" if row.parameters else NOTHING


def summary(trace: Any) -> str:
    """First line: the model, the batch, its lengths, how many calls and parameters."""
    title = getattr(trace, "model_name", "") or "model"
    records = tuple(trace.records)
    words = [title]
    batch = getattr(trace, "batch", None)
    if batch is not None:
        clips = "1 clip" if batch.clips == 1 else f"{batch.clips} clips in one batch"
        lengths = (
            f" of {per_clip(batch.lengths)} samples" if batch.lengths is not None else f" of {batch.samples} samples"
        )
        words.append(clips + lengths)
    words.append(f"{_total_parameters(records):,} parameters")
    words.append(f"{sum(not record.is_mask_step for record in records)} layer calls")
    return " · ".join(words)


def _total_parameters(records: tuple[Any, ...]) -> int:
    """Parameters of the model: of the calls that lie in no other call, each module once."""
    top = min((record.depth for record in records), default=0)
    return sum({record.name: record.parameters for record in records if record.depth == top}.values())


def letters_line(trace: Any) -> str:
    """Second line: what each letter stands for here; third line: which no length can move, with a lock."""
    letters = dict(getattr(trace, "letters", None) or {}) | dict(getattr(trace, "constants", None) or {})
    stack = [name for name in letters if name.startswith("T") and name[1:].isdigit()]
    moved = [name for name in ("B", "L", "T") if name in letters]
    fixed = [name for name in letters if name not in moved and name not in stack]
    words = [_letter(name, letters[name]) for name in moved if name != "T"]
    if stack and all(isinstance(letters[name], int) for name in stack):
        names = f"{stack[0]} … {stack[-1]}" if len(stack) > 1 else stack[0]
        words.append(unbreakable(names) + " = " + ", ".join(str(letters[name]) for name in stack))
    else:
        words += [_letter(name, letters[name]) for name in stack]
    words += [_letter(name, letters[name]) for name in moved if name == "T"]
    lines = [" · ".join(words)] if words else []
    if fixed:
        lines.append(
            f"{LOCK} fixed, whatever the length: " + " · ".join(_letter(name, letters[name]) for name in fixed)
        )
    return "\n".join(lines)


def _letter(name: str, value: object) -> str:
    """``"T = 124 frames of the longest clip"``; of a letter that stands for itself only its meaning."""
    one, _, many = _MEANINGS.get(name, "").partition("|")
    meaning = one if value == 1 or not many else many
    said = f"{name}:" if str(value) == name else f"{name} = {value}"
    return unbreakable(f"{said} {meaning}".rstrip(" :"))


def legend(trace: Any, lines: list[Row]) -> list[str]:
    """What the columns mean, and what the trace decided, below the table."""
    said = []
    if any(row.record.valid is not None for row in lines):
        said.append(
            "real per clip: how many positions each clip would have here if it were alone; the rest is padding."
        )
    if any(row.mask == MIXES_UNMASKED for row in lines):
        said.append(
            f"{MIXES_UNMASKED}: looks along time and was handed no mask, so padding can get in here; "
            "padding_leak(model, clips) measures whether it does."
        )
    said += [f"note: {note}" for note in getattr(trace, "notes", ()) or ()]
    return said


def trace_error(trace: Any) -> str:
    """Where and how the model broke, for a partial trace; empty otherwise."""
    return str(getattr(trace, "error", None) or "")


def markdown_table(trace: Any, fold: bool = True, level: str | None = None) -> str:
    """The same table in GitHub's Markdown, with the header lines above and the legend below it."""
    lines = rows(trace, level or ("layers" if fold else "all"))
    headers, body, align = columns(lines)
    for row, line in zip(body, lines, strict=True):
        row[0] = "\u00a0\u00a0" * line.depth + f"`{row[0].strip().replace(chr(160), ' ')}`"
    header = [summary(trace), *letters_line(trace).split("\n")]
    end = [f"- {line}" for line in legend(trace, lines)]
    return (
        "\n\n".join([*(line for line in header if line), markdown(headers, body, align=align), "\n".join(end)]).replace(
            "\u00a0", " "
        )
        + "\n"
    )


def _wrapped(text: str, width: int) -> str:
    return "\n".join(line.replace("\u00a0", " ") for line in wrap(text, width))
