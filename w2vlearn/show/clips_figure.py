"""Several waveforms below each other, on one time axis and one scale: channels, batches, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from w2vlearn.show.canvas import Canvas, Picture, as_list, envelope
from w2vlearn.show.charts import linear, short_number, x_axis
from w2vlearn.show.palette import WAVEFORM
from w2vlearn.show.table import Table

_LEFT, _RIGHT, _HEIGHT = 24, 736, 64


def clips_figure(
    named: Mapping[str, Any],
    *,
    lengths: Mapping[str, int] | None = None,
    extent: int | None = None,
    loudest: float | None = None,
    title: str = "",
    alt: str | None = None,
) -> Picture:
    """Waveforms below each other, so that lengths and loudness can be compared by eye.

    Parameters
    ----------
    named : mapping of str to array-like
        Name of each row -> its samples (L,); rows may differ in length.
    lengths : mapping of str to int, optional
        Valid samples of the rows that end in padding.
    extent : int, optional
        Samples that the time axis covers; the longest row unless given. A slider keeps it fixed.
    loudest : float, optional
        The value that reaches the edge of a row, the same for all rows; the largest of all unless given.
    title : str
        Above the figure.
    alt : str, optional
        Made from the data unless given.

    Raises
    ------
    ValueError
        If there is no row, or a row claims more valid samples than it has.
    """
    if not named:
        raise ValueError("no waveform given: pass a mapping from name to samples, such as {'left channel': clip}")
    rows = {name: as_list(values) for name, values in named.items()}
    valid = {name: (lengths or {}).get(name, len(values)) for name, values in rows.items()}
    for name, values in rows.items():
        if not 0 <= valid[name] <= len(values):
            raise ValueError(f"wanted a length from 0 to {len(values)} for {name!r}, found {valid[name]}")
    extent = max(extent or 0, *(len(values) for values in rows.values()), 1)
    loudest = loudest or max((abs(value) for values in rows.values() for value in values), default=0) or 1.0
    canvas, across = Canvas(), linear(0, extent, _LEFT, _RIGHT)
    y = canvas.title(_LEFT, title)
    for name, values in rows.items():
        canvas.text(_LEFT, y, name)
        y += 8
        stop, end = across(valid[name]), across(len(values))
        if valid[name]:
            shown = [max(-loudest, min(loudest, value)) for value in values[: valid[name]]]
            path = envelope(shown, _LEFT, stop - _LEFT, y + _HEIGHT / 2, _HEIGHT / 2 - 3, loudest)
            canvas.path(path, fill=WAVEFORM.colour)
        if end > stop:
            canvas.rect(stop, y, end - stop, _HEIGHT, fill=canvas.hatch("padding"))
            _level(canvas, values[valid[name] :], stop, end, y, loudest)
        canvas.rect(_LEFT, y, end - _LEFT, _HEIGHT, stroke="currentColor")
        y += _HEIGHT + 26
    x_axis(canvas, across, y - 20, "sample n")
    legend = [("samples", WAVEFORM.colour, None)]
    padded = any(valid[name] < len(values) for name, values in rows.items())
    y = canvas.legend(_LEFT, y + 46, legend + [canvas.hatch_entry("padding")] * padded)
    body = [
        [name, str(valid[name]), str(len(values) - valid[name]), short_number(_peak(values[: valid[name]]))]
        for name, values in rows.items()
    ]
    heads = ("row", "valid samples", "padding", "largest value")
    alt = alt or f"{title + ': ' if title else ''}" + "; ".join(
        f"{name}: {samples} samples, largest value {peak}" + f", then {padding} of padding" * (padding != "0")
        for name, samples, padding, peak in body
    )
    return canvas.picture(y + 14, alt, Table(heads, body, title).text())


def _peak(values: list[float]) -> float:
    return max((abs(value) for value in values), default=0.0)


def _level(canvas: Canvas, padding: list[float], start: float, stop: float, y: float, loudest: float) -> None:
    """A line at the height of the padding's value, where that is not 0: silence that hums."""
    level = padding[0]
    if abs(level) > 1e-3 * loudest and max(padding) - min(padding) < 1e-3 * loudest:
        height = round(y + _HEIGHT / 2 - (_HEIGHT / 2 - 3) * level / loudest)
        canvas.line(start, height, stop, height, 2)
