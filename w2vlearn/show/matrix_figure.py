"""Small matrices side by side, each number in its cell: scores, masks, weights; minus infinity and NaN stand out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from w2vlearn.show.canvas import Canvas, Picture, as_list
from w2vlearn.show.palette import HEAD, TRANSFORMER
from w2vlearn.show.table import Table

_CELL, _HEIGHT, _GAP = 58, 30, 46


def matrix_figure(named: Mapping[str, Any], rows: Sequence[str], *, title: str = "", alt: str | None = None) -> Picture:
    """Matrices of the same height side by side, each number written in its cell with two digits.

    Parameters
    ----------
    named : mapping of str to array-like
        Name of each matrix -> its numbers, (rows, columns). Where all are from 0 to 1, they are shaded by
        their size.
    rows : sequence of str
        Name of each row, written once at the left.
    title : str
        Above the figure.
    alt : str, optional
        Made from the numbers unless given.

    Raises
    ------
    ValueError
        If there is no matrix, or one has another number of rows than there are names.
    """
    tables = {name: [as_list(row) for row in as_list(values)] for name, values in named.items()}
    if not tables or any(len(table) != len(rows) for table in tables.values()):
        counts = [len(table) for table in tables.values()]
        raise ValueError(f"wanted matrices of {len(rows)} rows, one per name, found {counts}")
    left = 36 + 7.4 * max(map(len, rows))
    canvas = Canvas()
    y = canvas.title(24, title)
    for index, name in enumerate(rows):
        canvas.text(left - 10, y + 26 + _HEIGHT * index, name, anchor="end")
    x = left
    for name, table in tables.items():
        canvas.text(x, y, name, bold=True)
        weights = all(math.isnan(value) or 0 <= value <= 1 for values in table for value in values)
        for row, values in enumerate(table):
            for column, value in enumerate(values):
                _cell(canvas, x + _CELL * column, y + 6 + _HEIGHT * row, value, weights)
        x += _CELL * max(map(len, table)) + _GAP
    y += 6 + _HEIGHT * len(rows)
    body = [
        [name, *(" ".join(written(value) for value in table[index]) for table in tables.values())]
        for index, name in enumerate(rows)
    ]
    said = "; ".join(
        f"{row[0]}: " + ", ".join(f"{name} {values}" for name, values in zip(tables, row[1:], strict=True))
        for row in body
    )
    alt = alt or f"{title + ': ' if title else ''}{said}."
    return canvas.picture(y + 14, alt, Table(("row", *tables), body, title).text())


def _cell(canvas: Canvas, x: float, y: float, value: float, weight: bool) -> None:
    strange = math.isnan(value)
    share = round(0.6 * value, 2) if weight and not strange else 0
    canvas.rect(x, y, _CELL, _HEIGHT, HEAD.colour if strange else TRANSFORMER.colour, 0.55 if strange else share)
    canvas.rect(x, y, _CELL, _HEIGHT, stroke="currentColor", stroke_width=2.4 if strange else 0.8)
    canvas.text(x + _CELL / 2, y + 20, written(value), anchor="middle", bold=strange)


def written(value: float) -> str:
    """A number as a cell holds it: two decimals, ``-inf``, ``NaN``, or ``-3e+38``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "-inf" if value < 0 else "inf"
    return f"{value:.0e}" if abs(value) >= 10_000 else f"{value + 0.0:.2f}"
