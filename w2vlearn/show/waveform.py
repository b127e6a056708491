"""A waveform with its frames and masks, and an attention mask, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from w2vlearn.show.masks import runs
from w2vlearn.show.matplot import INK, as_list, finish, new_figure, style
from w2vlearn.show.palette import FEATURE_ENCODER, MATPLOTLIB_HATCHES, TRANSFORMER, WAVEFORM
from w2vlearn.show.picture import Picture


def waveform_figure(
    waveform: Any,
    geometry: Any = None,
    *,
    length: int | None = None,
    time_mask: Sequence[bool] | None = None,
    highlight: Sequence[int] = (),
    sample_rate: int = 16_000,
    title: str = "",
    alt: str | None = None,
    format: str = "svg",
) -> Picture:
    """A waveform with its frames below it; padding hatched, the unread tail dotted, time-masked frames cross-hatched.

    Parameters
    ----------
    waveform : array-like
        Samples (L,).
    geometry : FrameGeometry, optional
        Gives frames their place; without it only the waveform is drawn.
    length : int, optional
        Real samples; what follows is padding. Default: all.
    time_mask : sequence of bool, optional
        One per frame, True where the frame is masked.
    highlight : sequence of int
        Frames whose window of samples is shaded.
    sample_rate : int
        Samples per second, for the time axis.
    title : str
        Above the figure.
    alt : str, optional
        Made from the data unless given.
    format : {"svg", "png"}
        See `finish`.
    """
    values = as_list(waveform)
    total = len(values)
    length = total if length is None else length
    if not 0 <= length <= total:
        raise ValueError(f"wanted a length from 0 to {total}, the samples of the waveform, found {length}")
    frames = geometry.frame_count(total) if geometry is not None else 0
    real = geometry.frame_count(length) if geometry is not None else 0
    unread = geometry.unread(length) if geometry is not None else range(0)
    masked = [index for index, flag in enumerate(as_list(time_mask) if time_mask is not None else []) if flag]
    said = [f"Waveform of {total} samples ({total / sample_rate:.3f} s)"]
    if length < total:
        said.append(f"{length} of them real, {total - length} padding")
    if geometry is not None:
        said.append(f"{frames} frames of {geometry.receptive_field} samples every {geometry.hop}")
        if real != frames:
            said.append(f"{real} frames real, {frames - real} padding")
        said.append(f"{len(unread)} samples at the end read by no frame")
    if masked:
        said.append(f"time mask over {len(masked)} frames: {_ranges(masked)}")
    if highlight:
        windows = ", ".join(f"{t}: samples {_span(geometry, t)}" for t in highlight) if geometry is not None else ""
        said.append(f"shaded frames {windows}")
    alt = alt or "; ".join(said) + "."
    with style():
        from matplotlib.patches import Rectangle

        figure, axes = new_figure(7.2, 2.6 if geometry is not None else 2.0)
        peak = max((abs(value) for value in values), default=0) or 1.0
        _draw_waveform(axes, values)
        low, high = -1.15 * peak, 1.15 * peak
        if length < total:
            _hatched(axes, length, low, total - length, high - low, "padding", "padding")
        if len(unread):
            _hatched(axes, unread.start, low, len(unread), high - low, "unread", "read by no frame")
        for t in highlight if geometry is not None else ():
            span = geometry.span(t)
            axes.axvspan(
                span.start, span.stop, color=FEATURE_ENCODER.colour, alpha=0.25, linewidth=0, label=f"frame {t}"
            )
        if geometry is not None and frames:
            lane = 0.2 * peak
            for t in range(frames):
                span = geometry.span(t)
                # Neighbours overlap by receptive field - hop samples: two lanes keep them apart.
                bottom = low - lane * (1.4 if t % 2 == 0 else 2.6)
                face = FEATURE_ENCODER.colour if t < real else "none"
                hatch = MATPLOTLIB_HATCHES["time_mask"] if t in masked else None
                hatch = MATPLOTLIB_HATCHES["padding"] if t >= real else hatch
                axes.add_patch(
                    Rectangle(
                        (span.start, bottom),
                        len(span),
                        lane,
                        facecolor=face,
                        edgecolor=INK,
                        linewidth=0.4,
                        hatch=hatch,
                        alpha=0.9,
                    )
                )
            low -= lane * 3
            axes.text(0, low, "frames", va="top", fontsize=9)
            low -= lane * 1.2
            if masked:
                _hatched(axes, 0, 0, 0, 0, "time_mask", "time mask")
        axes.set(xlim=(0, total), ylim=(low, high), yticks=[], xlabel="sample n", title=title)
        axes.spines["left"].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        return finish(figure, alt, format=format)


def mask_figure(mask: Any, *, title: str = "", alt: str | None = None, format: str = "svg") -> Picture:
    """An attention mask (queries down, keys across): True solid, False hatched. Without matplotlib: `show.masks`."""
    rows = [[bool(flag) for flag in as_list(row)] for row in as_list(mask)]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("wanted a mask of shape (queries, keys)")
    seen = sum(map(sum, rows))
    alt = alt or (
        f"Attention mask of {len(rows)} queries by {len(rows[0])} keys: {seen} of {len(rows) * len(rows[0])} pairs "
        f"may look; the first query looks at {sum(rows[0])} keys, the last one at {sum(rows[-1])}."
    )
    with style():
        from matplotlib.patches import Rectangle

        figure, axes = new_figure(3.6, 3.4)
        for upper, lower, row in runs(rows):
            for start, stop, flag in runs(row):
                face = {"facecolor": TRANSFORMER.colour, "edgecolor": "none"}
                if not flag:
                    face = {
                        "facecolor": "none",
                        "edgecolor": INK,
                        "hatch": MATPLOTLIB_HATCHES["padding"],
                        "linewidth": 0,
                    }
                axes.add_patch(Rectangle((start, upper), stop - start, lower - upper, **face))
        axes.set(
            xlim=(0, len(rows[0])), ylim=(len(rows), 0), xlabel="key (looked at)", ylabel="query (looks)", title=title
        )
        axes.set_aspect("equal")
        return finish(figure, alt, format=format)


def _draw_waveform(axes: Any, values: list[float], steps: int = 700) -> None:
    """The samples themselves, or of many the highest and lowest per step: the same picture in a tenth of the bytes."""
    if len(values) <= 2 * steps:
        axes.plot(range(len(values)), values, color=WAVEFORM.colour, linewidth=0.8, marker="")
        return
    edges = [step * len(values) // steps for step in range(steps + 1)]
    parts = [values[start:stop] for start, stop in pairwise(edges)]
    middle = [(start + stop) / 2 for start, stop in pairwise(edges)]
    low, high = [min(part) for part in parts], [max(part) for part in parts]
    axes.fill_between(middle, low, high, color=WAVEFORM.colour, linewidth=0.4)


def _hatched(axes: Any, x: float, y: float, width: float, height: float, kind: str, label: str) -> None:
    from matplotlib.patches import Rectangle

    hatch = MATPLOTLIB_HATCHES[kind]
    axes.add_patch(
        Rectangle((x, y), width, height, facecolor="none", edgecolor=INK, hatch=hatch, linewidth=0.4, label=label)
    )


def _ranges(numbers: Sequence[int]) -> str:
    """``[3, 4, 5, 9]`` -> ``"3 to 5, 9"``."""
    words, start = [], 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            first, last = numbers[start], numbers[index - 1]
            words.append(f"{first} to {last}" if last > first else str(first))
            start = index
    return ", ".join(words)


def _span(geometry: Any, t: int) -> str:
    span = geometry.span(t)
    return f"{span.start} to {span.stop - 1}"
