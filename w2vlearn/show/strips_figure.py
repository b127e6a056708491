"""Yes or no for each position, one strip per row: which frames notice a change, which frames a mask marks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from w2vlearn.show.canvas import CHARACTER, Canvas, Picture, as_list, runs
from w2vlearn.show.charts import linear, x_axis
from w2vlearn.show.palette import FEATURE_ENCODER, WAVEFORM
from w2vlearn.show.table import Table

WIDTH = 760
_HEIGHT, _PITCH, _COUNT = 20, 28, 92


def strips_figure(
    named: Mapping[str, Any],
    *,
    on: str = "valid",
    off: str = "padding",
    position: str = "frame t",
    colours: Mapping[str, str] | None = None,
    title: str = "",
    alt: str | None = None,
    format: str = "svg",
) -> Picture:
    """Rows of flags on one axis, each with its count.

    Parameters
    ----------
    named : mapping of str to array-like of bool
        Name of each row -> its flags, one per position.
    on, off : str
        What True and False mean: ``"valid"`` and ``"padding"``. Padding is hatched, any other ``off`` left empty.
    position : str
        Label of the axis.
    colours : mapping of str to str, optional
        Colour of a row, such as that of its stage; the feature encoder's unless given.
    title : str
        Above the figure.
    alt : str, optional
        Made from the data unless given: where the stretches of True begin and end.
    format : {"svg", "image"}
        See `Canvas.picture`.

    Raises
    ------
    ValueError
        If there is no row, or a row is empty.
    """
    rows = {name: [bool(flag) for flag in as_list(flags)] for name, flags in named.items()}
    if not rows or not all(rows.values()):
        raise ValueError("wanted at least one row of at least one flag, such as {'formula': [True, False]}")
    most = max(map(len, rows.values()))
    left, y = 24 + CHARACTER * max(map(len, rows)) + 8, 18.0
    canvas, right = Canvas(WIDTH), WIDTH - _COUNT
    if title:
        canvas.text(24, y, title, 15, bold=True)
        y += 16
    across = linear(0, most, left, right)
    for name, flags in rows.items():
        canvas.text(left - 8, y + 15, name, anchor="end")
        for start, stop, flag in runs(flags):
            fill = (colours or {}).get(name, FEATURE_ENCODER.colour) if flag else ""
            fill = fill or (canvas.hatch("padding") if off == "padding" else "none")
            canvas.rect(across(start), y, across(stop) - across(start), _HEIGHT, fill, 0.85 if flag else 1)
        if (right - left) / most >= 4:
            canvas.separators(left, y, across(len(flags)) - left, _HEIGHT, len(flags))
        canvas.rect(left, y, across(len(flags)) - left, _HEIGHT, stroke="currentColor")
        canvas.text(right + 8, y + 15, f"{sum(flags)} of {len(flags)}")
        y += _PITCH
    x_axis(canvas, across, y, position)
    other = canvas.hatch_entry("padding") if off == "padding" else (f"empty: {off}", "none", None)
    y = canvas.legend(24, y + 66, [(f"solid: {on}", WAVEFORM.colour, None), other])
    body = [[name, f"{sum(flags)} of {len(flags)}", _stretches(flags)] for name, flags in rows.items()]
    heads = ("row", on, f"where ({position})")
    alt = alt or f"{title + ': ' if title else ''}" + "; ".join(
        f"{name}: {count} {on}" + (f", {where}" if where else "") for name, count, where in body
    )
    return canvas.picture(y + 14, alt, Table(heads, body, title).text(), format)


def _stretches(flags: list[bool]) -> str:
    """Where the flags are True: ``"0 to 23, 48"``."""
    stretches = [(start, stop) for start, stop, flag in runs(flags) if flag]
    parts = [f"{start} to {stop - 1}" if stop - start > 1 else str(start) for start, stop in stretches]
    return ", ".join(parts[:4]) + (f" and {len(parts) - 4} more" if len(parts) > 4 else "")
