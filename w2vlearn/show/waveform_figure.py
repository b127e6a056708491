"""A waveform with its frames: padding hatched, the unread tail dotted, time-masked frames cross-hatched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2vlearn.show.canvas import Canvas, Picture, as_list, envelope, runs
from w2vlearn.show.charts import linear, x_axis
from w2vlearn.show.palette import FEATURE_ENCODER, WAVEFORM

_LEFT, _RIGHT = 24, 736


def waveform_figure(
    waveform: Any,
    geometry: Any = None,
    *,
    length: int | None = None,
    time_mask: Sequence[bool] | None = None,
    highlight: Sequence[int] = (),
    extent: int | None = None,
    sample_rate: int = 16_000,
    title: str = "",
    alt: str | None = None,
) -> Picture:
    """A waveform with its frames below it.

    Parameters
    ----------
    waveform : array-like
        Samples (L,).
    geometry : FrameGeometry, optional
        Gives frames their place; without it only the waveform is drawn.
    length : int, optional
        Valid samples; what follows is padding. Default: all.
    time_mask : sequence of bool, optional
        One per frame, True where the frame is masked.
    highlight : sequence of int
        Frames whose window of samples is shaded.
    extent : int, optional
        Samples that the axis covers; those of the waveform unless given. A slider over lengths keeps it fixed.
    sample_rate : int
        Samples per second, for the duration in the alt text.
    title : str
        Above the figure.
    alt : str, optional
        Made from the data unless given.
    """
    values = as_list(waveform)
    total = len(values)
    length = total if length is None else length
    if not 0 <= length <= total:
        raise ValueError(f"wanted a length from 0 to {total}, the samples of the waveform, found {length}")
    frames = geometry.frame_count(total) if geometry is not None else 0
    valid = geometry.frame_count(length) if geometry is not None else 0
    unread = geometry.unread(length) if geometry is not None else range(0)
    spans = {t: geometry.span(t) for t in highlight} if geometry is not None else {}
    masked = [t for t, flag in enumerate(as_list(time_mask) if time_mask is not None else []) if flag]

    canvas, top, height = Canvas(), 30, 130
    canvas.text(_LEFT, 18, title, 15, bold=True)
    across = linear(0, max(total, extent or 0), _LEFT, _RIGHT)
    right = across(total)
    legend = [("waveform", WAVEFORM.colour, None)]
    loudest = max((abs(value) for value in values), default=0) or 1.0
    for t, span in spans.items():
        start, stop = across(span.start), across(span.stop)
        canvas.rect(start, top, stop - start, height, fill=FEATURE_ENCODER.colour, opacity=0.25)
        legend.append((f"frame {t}", FEATURE_ENCODER.colour, 0.25))
    if values:
        path = envelope(values, _LEFT, right - _LEFT, top + height / 2, height / 2 - 6, loudest)
        canvas.path(path, fill=WAVEFORM.colour)
    for kind, start, stop in (("padding", length, total), ("unread", unread.start, unread.stop)):
        if stop > start:
            wide = max(across(stop) - across(start), 2)
            canvas.rect(across(start), top, wide, height, fill=canvas.hatch(kind), stroke="currentColor")
            legend.append(canvas.hatch_entry(kind))
    canvas.rect(_LEFT, top, right - _LEFT, height, stroke="currentColor")
    bottom = top + height
    if frames or (geometry is not None and extent):
        canvas.text(_LEFT, bottom + 20, "frames", 13)
        for t in range(frames):
            span = geometry.span(t)
            # Neighbours overlap by receptive field - hop samples: two lanes keep them apart.
            box = (across(span.start), bottom + 28 + 15 * (t % 2), across(span.stop) - across(span.start), 11)
            fill = FEATURE_ENCODER.colour if t < valid else canvas.hatch("padding")
            canvas.rect(*box, fill=fill, opacity=0.85 if t < valid else 1, stroke="currentColor", stroke_width=0.5)
            if t in masked:
                canvas.rect(*box, fill=canvas.hatch("time_mask"))
        bottom += 62
    legend += [canvas.hatch_entry("time_mask")] if masked else []
    x_axis(canvas, across, bottom, "sample n")
    y = canvas.legend(_LEFT, bottom + 66, legend)
    parts = [f"Waveform of {total} samples ({total / sample_rate:.3f} s)"]
    if length < total:
        parts.append(f"{length} of them valid, {total - length} padding")
    if geometry is not None:
        parts.append(f"{frames} frame{'s' * (frames != 1)} of {geometry.receptive_field} samples every {geometry.hop}")
        if valid != frames:
            parts.append(f"{valid} frames valid, {frames - valid} padding")
        parts.append(f"{len(unread)} samples at the end read by no frame")
    if masked:
        flags = [t in masked for t in range(masked[-1] + 1)]
        ranges = [f"{start} to {stop - 1}" if stop - start > 1 else str(start) for start, stop, f in runs(flags) if f]
        parts.append(f"time mask over {len(masked)} frame{'s' if len(masked) > 1 else ''}: {', '.join(ranges)}")
    if spans:
        windows = ", ".join(f"{t}: samples {span.start} to {span.stop - 1}" for t, span in spans.items())
        parts.append(f"shaded frames {windows}")
    return canvas.picture(y + 14, alt or "; ".join(parts) + ".")
