"""Squares of cells: attention weights with their masked columns, and small tables whose numbers can be followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from w2vlearn.show.canvas import Canvas, Picture, as_list, number
from w2vlearn.show.palette import FEATURE_ENCODER, POSITIONS, PROJECTION, TRANSFORMER

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
    cell = side / frames
    largest = max(max(map(max, table)) for table in tables.values()) or 1.0
    canvas.text(24, 18, title, 15, bold=True)
    told = []
    for place, (name, table) in enumerate(tables.items()):
        left = 60 + place * (side + 76)
        canvas.text(left, 42, name, 14)
        boxes = [""] * _STEPS
        for row, weights in enumerate(table):
            for column, weight in enumerate(weights):
                step = min(_STEPS, round(_STEPS * weight / largest))
                if step:
                    x, y = left + column * cell, top + row * cell
                    boxes[step - 1] += f"M{x:.1f},{y:.1f}h{cell:.1f}v{cell:.1f}h{-cell:.1f}z"
        for step, box in enumerate(boxes, 1):
            if box:
                canvas.path(box, fill=TRANSFORMER.colour, opacity=step / _STEPS)
        padded = max(sum(row[valid:]) for row in table)
        if valid < frames and padded < 1e-6:
            canvas.rect(left + valid * cell, top, (frames - valid) * cell, side, canvas.hatch("padding"))
        canvas.rect(left, top, side, side, stroke="currentColor")
        if valid < frames:
            for x1, y1, x2, y2 in ((valid, 0, valid, frames), (0, valid, frames, valid)):
                canvas.line(left + x1 * cell, top + y1 * cell, left + x2 * cell, top + y2 * cell, 1.2)
        canvas.text(left + side / 2, top + side + 18, f"keys 0 … {frames - 1}", 13, "middle")
        middle = top + side / 2
        canvas.text(left - 10, middle, "queries", 13, "middle", transform=f"rotate(-90 {number(left - 10)} {middle})")
        told.append(
            f"{name}: each of {frames} queries shares out 1; padded keys {valid} to {frames - 1} get "
            f"{'nothing' if padded < 1e-6 else f'up to {padded:.1g}'}."
        )
    legend = [
        ("stronger: more weight", TRANSFORMER.colour, 0.75),
        ("no weight at all, padding", canvas.hatch("padding"), None),
    ]
    y = canvas.legend(24, top + side + 46, legend)
    canvas.text(
        24, y + 24, f"lines: from frame {valid} on everything is padding, as a key (right) and as a query (below)"
    )
    return canvas.picture(y + 40, f"{title}. {' '.join(told)}", "\n".join([title, *told]))


def cells_figure(panels: Mapping[str, Any], sources: Mapping[str, Any], *, source: str, title: str = "") -> Picture:
    """Small tables of numbers side by side; cells that come from one source share a colour and stand in one frame.

    Parameters
    ----------
    panels : mapping of str to array-like
        Name of each table -> its whole numbers, (rows, columns).
    sources : mapping of str to array-like
        For each table, which source every cell comes from: whole numbers of the same shape.
    source : str
        What a source is called: ``"frame"``.
    title : str
        Above the figure.
    """
    cell, top, left, canvas = 34, 64, 24, Canvas()
    canvas.text(24, 18, title, 15, bold=True)
    told, bottom, seen = [], 0, set()
    for name, rows in panels.items():
        rows, origins = as_list(rows), as_list(sources[name])
        canvas.text(left, 48, name, 14)
        for y, (values, places) in enumerate(zip(rows, origins, strict=True)):
            for x, (value, origin) in enumerate(zip(values, places, strict=True)):
                corner = (left + x * cell, top + y * cell)
                canvas.rect(*corner, cell, cell, _COLOURS[origin % len(_COLOURS)], 0.4, "currentColor")
                canvas.text(corner[0] + cell / 2, corner[1] + 22, str(value), 14, "middle")
                seen.add(origin)
        told.append(f"{name}: " + " / ".join(" ".join(map(str, row)) for row in rows) + ".")
        bottom = max(bottom, top + len(rows) * cell)
        left += max(len(rows[0]) * cell, round(7.6 * len(name))) + 30
    legend = [(f"{source} {origin}", _COLOURS[origin % len(_COLOURS)], 0.4) for origin in sorted(seen)]
    y = canvas.legend(24, bottom + 30, legend)
    return canvas.picture(y + 14, f"{title}. {' '.join(told)}", "\n".join([title, *told]).strip())
