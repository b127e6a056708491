"""Squares of cells: attention weights with their masked columns, and small matrices whose numbers can be followed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from w2vlearn.show.canvas import Canvas, Picture, as_list, number
from w2vlearn.show.palette import FEATURE_ENCODER, HEAD, POSITIONS, PROJECTION, TRANSFORMER
from w2vlearn.show.table import Table

_STEPS = 8  # shades of a weight
_COLOURS = (FEATURE_ENCODER.colour, PROJECTION.colour, POSITIONS.colour, TRANSFORMER.colour)


def weights_figure(panels: Mapping[str, Any], valid: int, *, title: str = "Attention weights") -> Picture:
    """Attention weights as squares side by side: a row for each query, a column for each key.

    Parameters
    ----------
    panels : mapping of str to array-like
        Name of each square -> its weights (T, T), rows that sum to 1; at most two.
    valid : int
        How many frames are valid. The columns behind them are hatched where no query gives them any weight.
    title : str
        Above the figure.

    Raises
    ------
    ValueError
        If there are not one or two squares of equal size.
    """
    tables = {name: [[float(value) for value in row] for row in as_list(rows)] for name, rows in panels.items()}
    frames = len(next(iter(tables.values()), []))
    if len(tables) not in (1, 2) or not frames or any(len(row) != frames for t in tables.values() for row in t):
        raise ValueError(f"wanted one or two squares (T, T) of one size, found {len(tables)} with {frames} rows")
    side, top, canvas = 300, 64, Canvas()
    cell, middle, split = side / frames, top + side / 2, valid * side / frames
    largest = max(max(map(max, table)) for table in tables.values()) or 1.0
    canvas.title(24, title)
    told = []
    for left, (name, table) in zip((60, 60 + side + 76), tables.items(), strict=False):
        canvas.text(left, 42, name)
        steps = [[min(_STEPS, round(_STEPS * weight / largest)) or None for weight in row] for row in table]
        shades = {step: (TRANSFORMER.colour, step / _STEPS) for step in range(1, _STEPS + 1)}
        canvas.cells(left, top, cell, cell, steps, shades)
        padded = max(sum(row[valid:]) for row in table)
        if valid < frames and padded < 1e-6:
            canvas.rect(left + split, top, side - split, side, canvas.hatch("padding"))
        canvas.rect(left, top, side, side, stroke="currentColor")
        if valid < frames:
            canvas.line(left + split, top, left + split, top + side, 1.2)
            canvas.line(left, top + split, left + side, top + split, 1.2)
        canvas.text(left + side / 2, top + side + 18, f"keys 0 … {frames - 1}", 13, "middle")
        canvas.text(left - 10, middle, "queries", 13, "middle", transform=f"rotate(-90 {number(left - 10)} {middle})")
        told.append(
            f"{name}: each of {frames} queries shares out 1; padded keys {valid} to {frames - 1} get "
            f"{'nothing' if padded < 1e-6 else f'up to {padded:.1g}'}."
        )
    legend = [
        ("stronger: more weight", TRANSFORMER.colour, 0.75),
        ("no weight at all, padding", canvas.hatch("padding"), None),
    ]
    y = canvas.legend(24, top + side + 46, legend) + 24
    canvas.text(24, y, f"lines: from frame {valid} on everything is padding, as a key (right) and as a query (below)")
    return canvas.picture(y + 16, f"{title}. {' '.join(told)}", "\n".join([title, *told]))


def cells_figure(panels: Mapping[str, Any], sources: Mapping[str, Any], *, source: str, title: str = "") -> Picture:
    """Small tables of numbers side by side; cells that come from one source share a colour and stand in one frame.

    Parameters
    ----------
    panels : mapping of str to array-like
        Name of each table -> its whole numbers, (rows, columns).
    sources : mapping of str to array-like
        For each table, which source every cell comes from: whole numbers of the same shape.
    source, title : str
        What a source is called: ``"frame"``; above the figure.
    """
    cell, top, left, canvas = 34, 64, 24, Canvas()
    canvas.title(24, title)
    tables = {name: as_list(rows) for name, rows in panels.items()}
    seen = set()
    for name, rows in tables.items():
        canvas.text(left, 48, name)
        for y, (values, origins) in enumerate(zip(rows, as_list(sources[name]), strict=True)):
            for x, (value, origin) in enumerate(zip(values, origins, strict=True)):
                box = (left + x * cell, top + y * cell, cell, cell)
                _number_cell(canvas, box, str(value), _COLOURS[origin % len(_COLOURS)], 0.4)
                seen.add(origin)
        left += max(len(rows[0]) * cell, round(7.6 * len(name))) + 30
    legend = [(f"{source} {origin}", _COLOURS[origin % len(_COLOURS)], 0.4) for origin in sorted(seen)]
    y = canvas.legend(24, top + max(map(len, tables.values())) * cell + 30, legend)
    told = [f"{name}: {' / '.join(' '.join(map(str, row)) for row in rows)}." for name, rows in tables.items()]
    return canvas.picture(y + 14, f"{title}. {' '.join(told)}", "\n".join([title, *told]).strip())


def matrix_figure(named: Mapping[str, Any], rows: Sequence[str], *, title: str = "", alt: str | None = None) -> Picture:
    """Matrices of the same height side by side, each number in its cell with two digits; -inf and NaN stand out.

    Parameters
    ----------
    named : mapping of str to array-like
        Name of each matrix -> its numbers, (rows, columns). Where all are from 0 to 1, they are shaded by
        their size.
    rows : sequence of str
        Name of each row, written once at the left.
    title, alt : str
        Above the figure; its alternative text, made from the numbers unless given.

    Raises
    ------
    ValueError
        If there is no matrix, or one has another number of rows than there are names.
    """
    tables = {name: [as_list(row) for row in as_list(values)] for name, values in named.items()}
    if not tables or any(len(table) != len(rows) for table in tables.values()):
        counts = [len(table) for table in tables.values()]
        raise ValueError(f"wanted matrices of {len(rows)} rows, one per name, found {counts}")
    wide, high, left = 58, 30, 36 + 7.4 * max(map(len, rows))
    canvas = Canvas()
    y = canvas.title(24, title)
    for index, name in enumerate(rows):
        canvas.text(left - 10, y + 26 + high * index, name, anchor="end")
    for name, table in tables.items():
        canvas.text(left, y, name, bold=True)
        shaded = all(math.isnan(value) or 0 <= value <= 1 for values in table for value in values)
        for row, values in enumerate(table):
            for column, value in enumerate(values):
                strange, box = math.isnan(value), (left + wide * column, y + 6 + high * row, wide, high)
                colour, share = TRANSFORMER.colour, round(0.6 * value, 2) if shaded and not strange else 0
                if strange:
                    colour, share = HEAD.colour, 0.55
                _number_cell(canvas, box, written(value), colour, share, strange)
        left += wide * max(map(len, table)) + 46
    body = [
        [name, *(" ".join(map(written, table[index])) for table in tables.values())] for index, name in enumerate(rows)
    ]
    told = "; ".join(
        f"{name}: " + ", ".join(f"{matrix} {values}" for matrix, values in zip(tables, cells, strict=True))
        for name, *cells in body
    )
    alt = alt or f"{title + ': ' if title else ''}{told}."
    return canvas.picture(y + 20 + high * len(rows), alt, Table(("row", *tables), body).text())


def _number_cell(canvas: Canvas, box: tuple, text: str, fill: str, share: float, strange: bool = False) -> None:
    x, y, wide, high = box
    canvas.rect(*box, fill, share, "currentColor", 2.4 if strange else 0.8)
    canvas.text(x + wide / 2, y + high / 2 + 5, text, anchor="middle", bold=strange)


def written(value: float) -> str:
    """A number as a cell holds it: two decimals, ``-inf``, ``NaN``, or ``-3e+38``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "-inf" if value < 0 else "inf"
    return f"{value:.0e}" if abs(value) >= 10_000 else f"{value + 0.0:.2f}"
