"""Where a clip ends inside its batch: the frames that a shortcut keeps beside those whose window is whole."""

from __future__ import annotations

from typing import Any

from w2vlearn.show.canvas import Canvas, Picture
from w2vlearn.show.charts import linear, x_axis
from w2vlearn.show.palette import FEATURE_ENCODER, HEAD, WAVEFORM
from w2vlearn.show.table import Table

_LEFT, _RIGHT, _HEIGHT = 24, 736, 22
_REACH = 1_100  # samples shown to each side of the clip's end


def boundary_figure(length: int, longest: int, geometry: Any, *, title: str = "", alt: str | None = None) -> Picture:
    """The samples, the T equal pieces of the shortcut and the windows of the frames, around the end of a clip.

    The shortcut cuts the batch into T equal pieces and keeps each piece that holds a valid sample. A frame is valid
    if its whole window is.

    Parameters
    ----------
    length : int
        Valid samples of the clip.
    longest : int
        Samples of the batch's longest clip.
    geometry : FrameGeometry
    title : str
        Above the figure.
    alt : str, optional
        Made from the numbers unless given.

    Raises
    ------
    ValueError
        If the batch has no frame, or the clip is longer than the batch.
    """
    frames = geometry.frame_count(longest)
    if not frames or not 0 <= length <= longest:
        raise ValueError(
            f"wanted a clip of 0 to {longest} samples in a batch of at least one frame, "
            f"found {length} samples and {frames} frames"
        )
    width = longest // frames
    kept, valid = min(frames, -(-length // width)), geometry.frame_count(length)
    low = max(0, min(length - _REACH, longest - 2 * _REACH))
    high = min(longest, low + 2 * _REACH)
    canvas, across = Canvas(), linear(low, high, _LEFT, _RIGHT)
    y = canvas.title(_LEFT, title)
    canvas.text(_LEFT, y, f"samples: the clip ends after {length}")
    top = y + 6
    _box(canvas, across, 0, length, top, WAVEFORM.colour)
    _box(canvas, across, length, longest, top, canvas.hatch("padding"))
    y = top + _HEIGHT + 22
    canvas.text(_LEFT, y, f"shortcut: pieces of {width} samples, kept if one sample is valid: {_counted(kept)}")
    shortcut = y + 6
    for t in range(frames):
        state = "too many" if valid <= t < kept else "valid" if t < kept else "padding"
        _frame(canvas, across, t, t * width, (t + 1) * width, shortcut, state)
    y += _HEIGHT + 28
    field = geometry.receptive_field
    canvas.text(_LEFT, y, f"formula: windows of {field} samples, valid if all are valid: {_counted(valid)}")
    for t in range(frames):
        span = geometry.span(t)
        state = "valid" if t < valid else "padding"
        _frame(canvas, across, t, span.start, span.stop, y + 6 + (_HEIGHT + 3) * (t % 2), state)
    y += 2 * _HEIGHT + 20
    if low < length < high:  # the clip's end, in each lane
        for start, stop in ((top, top + _HEIGHT), (shortcut, shortcut + _HEIGHT), (y - 14 - 2 * _HEIGHT, y - 12)):
            canvas.line(across(length), start - 4, across(length), stop + 4, 2)
    x_axis(canvas, across, y, "sample n")
    legend = [("valid", FEATURE_ENCODER.colour, 0.75), ("kept, and computed from padding", HEAD.colour, 0.75)]
    y = canvas.legend(_LEFT, y + 66, [*legend, canvas.hatch_entry("padding")])
    rows = [["shortcut", str(width), str(kept)], ["formula", str(field), str(valid)]]
    text = Table(("way", "samples per frame", "frames valid"), rows, title or f"clip of {length} samples").text()
    alt = alt or (
        f"{title + ': ' if title else ''}A clip of {length} samples in a batch of {longest}: the shortcut keeps "
        f"{_counted(kept)}, the formula {valid}. Samples {low} to {high} are drawn."
    )
    return canvas.picture(y + 14, alt, text)


def _counted(frames: int) -> str:
    return f"{frames} frame{'s' * (frames != 1)}"


def _box(canvas: Canvas, across: Any, start: float, stop: float, y: float, fill: str = "none") -> None:
    """A box over these samples, cut to what is drawn."""
    x = across(start)
    wide = across(stop) - x
    if wide > 0:
        canvas.rect(x, y, wide, _HEIGHT, fill, stroke="currentColor")


def _frame(canvas: Canvas, across: Any, t: int, start: int, stop: int, y: float, state: str) -> None:
    """The box of a frame; where its number fits, the filling leaves room for it."""
    fill = {"valid": FEATURE_ENCODER.colour, "too many": HEAD.colour}.get(state)
    left, right = across(start), across(stop)
    middle, numbered = (left + right) / 2, right - left > 40
    gap = 13 if numbered else 0
    for x, end in ((left, middle - gap), (middle + gap, right)):
        canvas.rect(x, y, end - x, _HEIGHT, fill or canvas.hatch("padding"), 0.75 if fill else 1)
    _box(canvas, across, start, stop, y)
    if numbered:
        canvas.text(middle, y + 16, str(t), anchor="middle", bold=state == "too many")
