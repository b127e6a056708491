"""Waveforms: one with its frames below it, or several below each other on one time axis and one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from w2vlearn.show.canvas import WIDTH, Canvas, Picture, as_list, envelope, runs
from w2vlearn.show.charts import Scale, linear, short_number, with_axis
from w2vlearn.show.palette import FEATURE_ENCODER, WAVEFORM
from w2vlearn.show.table import Table

_LEFT, _RIGHT = 24, WIDTH - 24


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
    """A waveform with its frames below it: padding hatched, the unread tail dotted, time-masked frames cross-hatched.

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
    title, alt : str
        Above the figure; its alternative text, made from the data unless given.
    """
    values = as_list(waveform)
    total = len(values)
    length = total if length is None else length
    if not 0 <= length <= total:
        raise ValueError(f"wanted a length from 0 to {total}, the samples of the waveform, found {length}")
    windows = [geometry.span(t) for t in range(geometry.frame_count(total))] if geometry is not None else []
    valid = geometry.frame_count(length) if geometry is not None else 0
    unread = geometry.unread(length) if geometry is not None else range(0)
    shaded = {t: geometry.span(t) for t in highlight} if geometry is not None else {}
    masked = [bool(flag) for flag in as_list(time_mask)] if time_mask is not None else []

    canvas, across = Canvas(), linear(0, max(total, extent or 0), _LEFT, _RIGHT)
    canvas.title(_LEFT, title)
    top, height = 30, 130
    bottom = top + height
    legend = [("waveform", WAVEFORM.colour, None)]
    for t, span in shaded.items():
        start, stop = across(span.start), across(span.stop)
        canvas.rect(start, top, stop - start, height, fill=FEATURE_ENCODER.colour, opacity=0.25)
        legend.append((f"frame {t}", FEATURE_ENCODER.colour, 0.25))
    _wave(canvas, across, values, length, top, height, _peak(values) or 1.0)
    legend += [canvas.hatch_entry("padding")] if length < total else []
    if unread:
        wide = max(across(unread.stop) - across(unread.start), 2)
        canvas.rect(across(unread.start), top, wide, height, fill=canvas.hatch("unread"), stroke="currentColor")
        legend.append(canvas.hatch_entry("unread"))
    if windows or (geometry is not None and extent):
        canvas.text(_LEFT, bottom + 20, "frames", 13)
        for t, span in enumerate(windows):
            # Neighbours overlap by receptive field - hop samples: two lanes keep them apart.
            box = (across(span.start), bottom + 28 + 15 * (t % 2), across(span.stop) - across(span.start), 11)
            fill = FEATURE_ENCODER.colour if t < valid else canvas.hatch("padding")
            canvas.rect(*box, fill=fill, opacity=0.85 if t < valid else 1, stroke="currentColor", stroke_width=0.5)
            if any(masked[t : t + 1]):
                canvas.rect(*box, fill=canvas.hatch("time_mask"))
        bottom += 62
    legend += [canvas.hatch_entry("time_mask")] if any(masked) else []

    parts = [f"Waveform of {total} samples ({total / sample_rate:.3f} s)"]
    if length < total:
        parts.append(f"{length} of them valid, {total - length} padding")
    if geometry is not None:
        count, field = len(windows), geometry.receptive_field
        parts.append(f"{count} frame{'s' * (count != 1)} of {field} samples every {geometry.hop}")
        if valid != count:
            parts.append(f"{valid} frames valid, {count - valid} padding")
        parts.append(f"{len(unread)} samples at the end read by no frame")
    if any(masked):
        spans = [f"{start} to {stop - 1}" if stop - start > 1 else str(start) for start, stop, m in runs(masked) if m]
        parts.append(f"time mask over {sum(masked)} frame{'s' * (sum(masked) > 1)}: {', '.join(spans)}")
    if shaded:
        spans = [f"{t}: samples {span.start} to {span.stop - 1}" for t, span in shaded.items()]
        parts.append(f"shaded frames {', '.join(spans)}")
    return with_axis(canvas, across, bottom, "sample n", legend, alt or "; ".join(parts) + ".")


def clips_figure(
    named: Mapping[str, Any],
    *,
    lengths: Mapping[str, int] | None = None,
    extent: int | None = None,
    loudest: float | None = None,
    title: str = "",
    alt: str | None = None,
) -> Picture:
    """Waveforms below each other, so that lengths and loudness can be compared by eye: channels, before and after.

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
    title, alt : str
        Above the figure; its alternative text, made from the data unless given.

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
    extent = max(extent or 0, *map(len, rows.values()), 1)
    loudest = loudest or max(map(_peak, rows.values())) or 1.0
    canvas, across = Canvas(), linear(0, extent, _LEFT, _RIGHT)
    y, height = canvas.title(_LEFT, title), 64
    body = []
    for name, values in rows.items():
        samples, padding = values[: valid[name]], values[valid[name] :]
        body.append([name, len(samples), len(padding), short_number(_peak(samples))])
        canvas.text(_LEFT, y, name)
        _wave(canvas, across, values, valid[name], y + 8, height, loudest)
        y += height + 34
    legend = [("samples", WAVEFORM.colour, None)]
    legend += [canvas.hatch_entry("padding")] if any(padding for _, _, padding, _ in body) else []
    told = "; ".join(
        f"{name}: {samples} samples, largest value {peak}" + f", then {padding} of padding" * (padding > 0)
        for name, samples, padding, peak in body
    )
    text = Table(("row", "valid samples", "padding", "largest value"), body).text()
    return with_axis(canvas, across, y - 20, "sample n", legend, alt or f"{title + ': ' if title else ''}{told}", text)


def _wave(
    canvas: Canvas, across: Scale, values: list[float], valid: int, y: float, height: float, loudest: float
) -> None:
    """One waveform, its padding hatched; a line at the padding's value where that is not 0: silence that hums."""
    stop, end, middle, half = across(valid), across(len(values)), y + height / 2, height / 2 - 3
    if valid:
        samples = [max(-loudest, min(loudest, value)) for value in values[:valid]]
        canvas.path(envelope(samples, _LEFT, stop - _LEFT, middle, half, loudest), fill=WAVEFORM.colour)
    if end > stop:
        canvas.rect(stop, y, end - stop, height, fill=canvas.hatch("padding"))
        padding = values[valid:]
        if abs(padding[0]) > 1e-3 * loudest > max(padding) - min(padding):
            level = round(middle - half * padding[0] / loudest)
            canvas.line(stop, level, end, level, 2)
    canvas.rect(_LEFT, y, end - _LEFT, height, stroke="currentColor")


def _peak(values: list[float]) -> float:
    return max(map(abs, values), default=0.0)
