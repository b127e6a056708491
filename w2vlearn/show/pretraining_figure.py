"""Pictures of pre-training: one clip seen twice, and the quantizer's choice among its entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2vlearn.show.canvas import Canvas, Picture, as_list, envelope, number, runs
from w2vlearn.show.charts import linear, with_axis
from w2vlearn.show.palette import FEATURE_ENCODER, HEAD, TRANSFORMER, WAVEFORM
from w2vlearn.show.track_figure import Track, draw_track, pieces_of

_LEFT, _RIGHT = 130, 736


def views_figure(
    waveform: Any, geometry: Any, time_mask: Sequence[bool], codes: Any, entries: int, *, title: str = "One clip, twice"
) -> Picture:
    """One clip as the Transformer gets it (frames masked) and as the quantizer does (all of them, as entries).

    Parameters
    ----------
    waveform : array-like
        Samples (L,).
    geometry : FrameGeometry
    time_mask : sequence of bool
        (T,), True = masked.
    codes : array-like
        The quantizer's choices, (T, G), whole numbers below ``entries``.
    entries : int
        Entries of a codebook.
    title : str
        Above the figure.
    """
    values, flags, table = as_list(waveform), as_list(time_mask), as_list(codes)
    frames, hop = len(flags), geometry.hop
    if len(table) != frames:
        raise ValueError(f"wanted one row of codes per frame, found {frames} frames and {len(table)} rows")
    canvas, across = Canvas(), linear(0, len(values), _LEFT, _RIGHT)
    canvas.title(24, title)
    loudest = max(map(abs, values), default=0) or 1.0
    canvas.text(_LEFT - 10, 62, WAVEFORM.name, anchor="end")
    canvas.path(envelope(values, _LEFT, _RIGHT - _LEFT, 58, 26, loudest), fill=WAVEFORM.colour)
    pieces = [(start * hop, stop * hop, kind) for start, stop, kind in pieces_of(flags, "masked", "valid")]
    draw_track(canvas, Track(TRANSFORMER.name, pieces, stage=TRANSFORMER), across, 100, 24)
    y, high, wide = 140, 70, across(hop) - _LEFT - 1
    for group in range(len(table[0])):
        canvas.text(_LEFT - 10, y + high / 2 + 5, f"codebook {group}", anchor="end")
        canvas.rect(_LEFT, y, across(frames * hop) - _LEFT, high, stroke="currentColor")
        seen, targets = "", ""
        for frame, row in enumerate(table):
            level = y + (high - 6) * (1 - row[group] / max(1, entries - 1))
            dot = f"M{number(across(frame * hop))},{number(level)}h{number(wide)}v6h{number(-wide)}z"
            seen, targets = (seen, targets + dot) if flags[frame] else (seen + dot, targets)
        canvas.path(seen, fill=FEATURE_ENCODER.colour)
        canvas.path(targets, fill=HEAD.colour)
        y += high + 12
    legend = [
        ("frame as it is", TRANSFORMER.colour, 0.75), canvas.hatch_entry("time_mask"),
        ("entry of a frame that is seen", FEATURE_ENCODER.colour, None),
        ("entry to be found: a target", HEAD.colour, None),
    ]  # fmt: skip
    spans = ", ".join(f"{start} to {stop - 1}" for start, stop, masked in runs(flags) if masked)
    alt = (
        f"{title}. The Transformer gets {frames} frames, {sum(flags)} of them masked ({spans or 'none'}). The "
        f"quantizer gets all {frames} unmasked and names one of {entries} entries in each of {len(table[0])} codebooks "
        f"for every frame; the {sum(flags)} of masked frames are the targets."
    )
    return with_axis(canvas, across, y, "sample n", legend, alt)


def choice_figure(shares: Any, chosen: Sequence[int], *, title: str = "", alt: str | None = None) -> Picture:
    """How one frame shares its choice out among the entries of each codebook, and what it takes.

    Parameters
    ----------
    shares : array-like
        (G, E), rows that sum to 1.
    chosen : sequence of int
        (G,), the entry that is taken.
    title, alt : str
        Above the figure; its alternative text, made from the numbers unless given.
    """
    table, canvas, high = [[round(float(v), 3) for v in row] for row in as_list(shares)], Canvas(), 90
    entries, told = len(table[0]), []
    pitch = (_RIGHT - _LEFT) / entries
    canvas.title(24, title)
    y = 40
    for group, (row, taken) in enumerate(zip(table, as_list(chosen), strict=True)):
        canvas.text(_LEFT - 10, y + high / 2, f"codebook {group}", anchor="end")
        canvas.text(_LEFT - 10, y + high / 2 + 20, f"{row[taken]:.0%} on {taken}", 13, "end")
        for entry, share in enumerate(row):
            bar, colour = round(high * share), HEAD.colour if entry == taken else FEATURE_ENCODER.colour
            canvas.rect(_LEFT + entry * pitch + 1, y + high - bar, pitch - 2, bar, colour, 0.85)
        x = number(_LEFT + (taken + 0.5) * pitch - 6)
        canvas.path(f"M{x},{y + high + 12}h12l-6,-9z", fill="currentColor")
        canvas.line(_LEFT, y + high, _RIGHT, y + high)
        canvas.line(_LEFT, y, _RIGHT, y, 0.6, 0.25)
        told.append(f"codebook {group}: entry {taken} of {entries} is taken; its share is {row[taken]:.0%}.")
        y += high + 30
    canvas.text(_LEFT, y, f"entries 0 … {entries - 1}; full height: all of it; ▲ the entry that is taken", 13)
    alt = alt or f"{title + '. ' if title else ''}{' '.join(told)}"
    return canvas.picture(y + 14, alt, "\n".join([title, *told]).strip())
