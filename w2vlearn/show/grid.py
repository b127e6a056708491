"""Plain tables of text: columns that fit a width, cells that wrap, and the same table as Markdown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

GAP = "  "
DEFAULT_WIDTH = 120
NARROWEST = 60
_SOFT = "\u200b"  # zero-width space: a word may be broken here


def text_width(text: str) -> int:
    """Number of terminal columns that ``text`` takes (wide East Asian characters and emoji take two)."""
    columns = 0
    for character in text:
        if unicodedata.combining(character) or character in "\u200b\ufe0e\ufe0f":
            continue
        columns += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return columns


def pad_text(text: str, width: int, align: str = "l") -> str:
    """``text`` filled with spaces to ``width`` columns, to the left ("l"), right ("r") or centred ("c")."""
    missing = max(0, width - text_width(text))
    if align == "r":
        return " " * missing + text
    if align == "c":
        return " " * (missing // 2) + text + " " * (missing - missing // 2)
    return text + " " * missing


def unbreakable(text: str) -> str:
    """``text`` with its spaces made unbreakable, so that `wrap` and `grid` keep it on one line."""
    return text.replace(" ", "\u00a0")


def breakable(name: str) -> str:
    """``name`` with permission to be broken after a dot or before a capital (``Wav2Vec2Encoder|Layer``)."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=\.)(?=\w)", _SOFT, name)


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` columns, broken at spaces; what follows the first line is indented like it, plus two.

    A word wider than ``width`` keeps its line to itself and sticks out: names and shapes are never cut in two, unless
    `breakable` said where.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        bare = paragraph.lstrip(" ")
        indent = paragraph[: len(paragraph) - len(bare)]
        hanging = indent + "  " if indent else ""
        line, started = indent, False
        for glue, word in re.findall(f"( +|{_SOFT}|^)([^ {_SOFT}]+)", bare):
            glue = " " if glue.strip(_SOFT) else ""
            if started and text_width(line + glue + word) > width:
                lines.append(line)
                line = hanging + word
            else:
                line = line + glue + word if started else line + word
            started = True
        lines.append(line if started else "")
    return lines


def _fit(natural: list[int], minimum: list[int], available: int, first: Mapping[int, int]) -> list[int]:
    """Column widths: the natural ones, or, where they do not fit, narrowed: columns ``first``, then the widest."""
    widths = list(natural)
    for index, floor in first.items():
        widths[index] -= max(0, min(sum(widths) - available, widths[index] - max(floor, minimum[index])))
    while sum(widths) > available:
        candidates = [index for index in range(len(widths)) if widths[index] > minimum[index]]
        if not candidates:
            break
        widths[max(candidates, key=lambda index: (widths[index], index))] -= 1
    return widths


def grid(
    headers: Sequence[str],
    rows: Sequence[Sequence[object] | None],
    *,
    align: str | None = None,
    width: int | None = None,
    shrink: Mapping[int, int] | None = None,
) -> str:
    r"""Text table, columns two spaces apart, a rule under the headers.

    Parameters
    ----------
    headers : sequence of str
        One per column.
    rows : sequence of (sequence or None)
        Cells, one per column, turned into text with ``str``; ``"\n"`` starts a new line in a cell. ``None`` for a row
        draws a rule.
    align : str, optional
        One letter per column: "l" left, "r" right, "c" centred. Default: numbers right, all else left.
    width : int, optional
        Columns of the terminal, 120 unless said; cells wrap at spaces to fit. Single words are never cut, so a table
        can become wider than asked.
    shrink : mapping of int to int, optional
        Columns (0-based) that give way first where the table does not fit, in this order, each down to the width given
        (never below its longest word); after them the widest column gives way.

    Returns
    -------
    str
        Lines without trailing spaces, no newline at the end.

    Raises
    ------
    ValueError
        If a row or ``align`` has not one entry per column.
    """
    columns = len(headers)
    cells: list[list[str] | None] = [None if row is None else [str(cell) for cell in row] for row in rows]
    for number, row in enumerate(cells):
        if row is not None and len(row) != columns:
            raise ValueError(
                f"wanted {columns} cells in every row, one per header, found {len(row)} in row {number}: {row}"
            )
    body = [row for row in cells if row is not None]
    if align is None:
        align = "".join("r" if body and all(is_number(row[index]) for row in body) else "l" for index in range(columns))
    if len(align) != columns or set(align) - set("lrc"):
        raise ValueError(f"wanted align as {columns} letters out of l, r, c, found {align!r}")
    if not columns:
        return ""

    everything = [list(headers), *body]
    natural = [max(text_width(line) for row in everything for line in row[i].split("\n")) for i in range(columns)]
    minimum = [max(text_width(line) for row in everything for line in wrap(row[i], 1)) for i in range(columns)]
    available = max(NARROWEST, width or DEFAULT_WIDTH) - len(GAP) * (columns - 1)
    widths = _fit(natural, minimum, available, shrink or {})
    rule = "─" * (sum(widths) + len(GAP) * (columns - 1))

    lines = [*_lines(list(headers), widths, align), rule]
    for row in cells:
        lines += [rule] if row is None else _lines(row, widths, align)
    return "\n".join(line.replace("\u00a0", " ").rstrip() for line in lines)


def is_number(cell: str) -> bool:
    """True for what a column of numbers may hold: ``"1,024"``, ``"-3.5"``, ``"12 %"``, and "–" for nothing."""
    stripped = cell.replace(",", "").replace("\u202f", "").strip().lstrip("-+").rstrip("%")
    if stripped in ("", "–", "—"):
        return True
    try:
        float(stripped)
    except ValueError:
        return False
    return True


def _lines(row: list[str], widths: list[int], align: str) -> list[str]:
    wrapped = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    height = max(len(cell) for cell in wrapped)
    return [
        GAP.join(
            pad_text(cell[line] if line < len(cell) else "", width, side)
            for cell, width, side in zip(wrapped, widths, align, strict=True)
        )
        for line in range(height)
    ]


def markdown(headers: Sequence[str], rows: Sequence[Sequence[object] | None], *, align: str | None = None) -> str:
    """The same table in GitHub's Markdown; rules (``None``) are left out, line breaks become ``<br>``."""

    def cell(value: object) -> str:
        text = str(value).strip(" ").replace("\u00a0", " ")
        return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>")

    marks = {"l": ":--", "r": "--:", "c": ":-:"}
    align = align or "l" * len(headers)
    lines = ["| " + " | ".join(cell(header) for header in headers) + " |"]
    lines.append("| " + " | ".join(marks[side] for side in align) + " |")
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows if row is not None]
    return "\n".join(lines)
