"""The journey of a batch, in one picture: waveforms, conv tower, frames, one frame's sizes, attention masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2vlearn.show.facts import Journey, journey_facts
from w2vlearn.show.journey_words import clips_in_words, journey_text
from w2vlearn.show.palette import (
    FEATURE_ENCODER,
    HATCHES,
    HEAD,
    POSITIONS,
    PROJECTION,
    TRANSFORMER,
    WARNING,
    WAVEFORM,
    Stage,
)
from w2vlearn.show.picture import Canvas, Picture

WIDTH = 1000
_LEFT, _TRACK, _TRACK_WIDTH, _RIGHT = 20, 170, 590, 776
_SECTION = 42  # from the end of one part to the heading of the next
_MOST_CLIPS = 6  # lanes drawn; of more clips the first ones and the longest
SAMPLE_RATE = 16_000


def journey(trace: Any, waveforms: Sequence[Any] | None = None) -> str:
    """SVG of what happens to a batch on its way through the model.

    Parameters
    ----------
    trace : Trace
        Observed, of a batch of clips.
    waveforms : sequence of array-like, optional
        The clips (or the padded rows (B, L)), drawn as they are; bars without them.

    Returns
    -------
    str
        ``<svg role="img">`` with title and description; ``""`` where the trace shows no batch of clips.
    """
    facts = journey_facts(trace)
    if facts is None:
        return ""
    canvas = Canvas(WIDTH)
    shown = _shown(facts)
    y = _waveforms(canvas, facts, shown, waveforms, 26)
    if facts.tower:
        y = _tower(canvas, facts, y + _SECTION)
    y = _frames(canvas, facts, shown, y + _SECTION)
    y = _one_frame(canvas, facts, y + _SECTION)
    y = _attention(canvas, facts, shown, y + _SECTION)
    y = _legend(canvas, facts, y + _SECTION + 12)
    title = (
        f"From {facts.samples} samples to {facts.frames} frames: the journey of {clips_in_words(len(facts.lengths))}"
    )
    return canvas.svg(y + 8, title, journey_text(trace))


def journey_picture(trace: Any, waveforms: Sequence[Any] | None = None) -> Picture | None:
    """The picture of `journey` with its twin in words, for a notebook; None where there is no journey."""
    drawing = journey(trace, waveforms)
    words = journey_text(trace)
    return Picture(drawing, words, words) if drawing else None


# ----------------------------------------------------------------------------------------------------- parts


def _waveforms(canvas: Canvas, facts: Journey, shown: list[int], waveforms: Sequence[Any] | None, y: float) -> float:
    shape = f"(B, L) = ({len(facts.lengths)}, {facts.samples})"
    canvas.heading(_LEFT, y, "waveforms", shape, WAVEFORM.colour)
    height, pitch, top = 38, 48, y + 18
    scale = _TRACK_WIDTH / facts.samples
    loudest = _loudest(facts, shown, waveforms)
    for lane, clip in enumerate(shown):
        length, middle = facts.lengths[clip], top + lane * pitch + height / 2
        real = length * scale
        _lane_label(canvas, clip, middle)
        values = None if waveforms is None else _values(waveforms[clip], length)
        if values is None or not loudest:
            canvas.rect(_TRACK, middle - 9, real, 18, fill=WAVEFORM.colour, opacity=0.6)
        else:
            canvas.path(_envelope(values, real, middle, height / 2 - 1, loudest), fill=WAVEFORM.colour)
        tail = facts.unread[clip] if facts.unread is not None else 0
        if tail:
            wide = min(real, max(6, tail * scale))
            canvas.rect(_TRACK + real - wide, middle - height / 2, wide, height, fill=canvas.hatch("unread"))
        if length < facts.samples:
            canvas.rect(_TRACK + real, middle - height / 2, _TRACK_WIDTH - real, height, fill=canvas.hatch("padding"))
            canvas.line(_TRACK + real, middle - height / 2, _TRACK + real, middle + height / 2, 0.8)
        canvas.rect(_TRACK, middle - height / 2, _TRACK_WIDTH, height, stroke="currentColor", stroke_width=0.8)
        canvas.text(_RIGHT, middle + (-3 if tail else 5), f"{length} samples, {length / SAMPLE_RATE:.2f} s")
        if tail:
            canvas.text(_RIGHT, middle + 15, f"{tail} of them read by no frame", 13)
    return top + len(shown) * pitch - (pitch - height)


def _tower(canvas: Canvas, facts: Journey, y: float) -> float:
    rest = f"{len(facts.tower)} convolutions, (B, L) → (B, C, T), the longest clip's lengths"
    canvas.heading(_LEFT, y, FEATURE_ENCODER.name, rest, FEATURE_ENCODER.colour)
    pitch, height, top = 22, 14, y + 18
    for step, length in enumerate(facts.tower):
        middle = top + step * pitch + height / 2
        if facts.kernels:
            words = f"kernel {facts.kernels[step]}, stride {facts.strides[step]}"
            canvas.text(_TRACK - 14, middle + 5, words, 13, "end")
        fineness = 1 - step / max(1, len(facts.tower) - 1)
        _cells(canvas, middle - height / 2, height, length, 0.35 + 0.5 * fineness)
        last = step == len(facts.tower) - 1
        sign = f"  {WARNING} group norm" if facts.group_norm and step == 0 else ""
        canvas.text(_RIGHT, middle + 5, f"T{step + 1}{' = T' if last else ''} = {length}{sign}", bold=last)
    return top + len(facts.tower) * pitch - (pitch - height)


def _cells(canvas: Canvas, y: float, height: float, count: int, opacity: float, real: int | None = None) -> None:
    """A strip of ``count`` cells, those from ``real`` on hatched; separators where they are wide enough to be seen."""
    real = count if real is None else real
    cell = _TRACK_WIDTH / max(1, count)
    canvas.rect(_TRACK, y, cell * real, height, fill=FEATURE_ENCODER.colour, opacity=opacity)
    if real < count:
        canvas.rect(_TRACK + cell * real, y, cell * (count - real), height, fill=canvas.hatch("padding"))
        canvas.line(_TRACK + cell * real, y, _TRACK + cell * real, y + height, 0.8)
    if cell >= 2 and real > 1:
        canvas.separators(_TRACK, y, cell * real, height, real)
    canvas.rect(_TRACK, y, _TRACK_WIDTH, height, stroke="currentColor", stroke_width=0.8)


def _frames(canvas: Canvas, facts: Journey, shown: list[int], y: float) -> float:
    shape = f"(B, T) = ({len(facts.lengths)}, {facts.frames})"
    mask = ", and the frame mask: True where solid" if facts.frame_mask not in (None, "none") else ""
    canvas.heading(_LEFT, y, "frames", shape + mask, FEATURE_ENCODER.colour)
    height, pitch, top = 22, 31, y + 18
    for lane, clip in enumerate(shown):
        here, real = top + lane * pitch, facts.real_frames[clip]
        _cells(canvas, here, height, facts.frames, 0.5, real)
        _lane_label(canvas, clip, here + height / 2)
        padding = facts.frames - real
        canvas.text(_RIGHT, here + height / 2 + 5, f"{real} real" + (f" + {padding} padding" if padding else ""))
    return top + len(shown) * pitch - (pitch - height)


def _one_frame(canvas: Canvas, facts: Journey, y: float) -> float:
    """Blocks for what each frame is made of, as high as it has features."""
    if not (facts.channels and facts.features):
        return y - _SECTION
    canvas.heading(_LEFT, y, "one frame", f"the same sizes and the same weights for each of the {facts.frames}")
    full, wide = 92, 30
    scale = full / max(facts.channels, facts.features, facts.vocabulary or 0)
    base = y + 20 + full
    blocks: list[tuple[Stage, int, str, str]] = [
        (FEATURE_ENCODER, facts.channels, "C", FEATURE_ENCODER.name),
        (PROJECTION, facts.features, "D", PROJECTION.name),
        (POSITIONS, facts.features, "D", f"+ {POSITIONS.name}"),
        (TRANSFORMER, facts.features, "D", TRANSFORMER.name + (f" × {facts.depth}" if facts.depth else "")),
    ]
    if facts.vocabulary:
        blocks.append((HEAD, facts.vocabulary, "V", HEAD.name))
    pitch = (WIDTH - 20 - _TRACK) / len(blocks)
    for index, (stage, size, letter, words) in enumerate(blocks):
        x, height = _TRACK + index * pitch, max(4, size * scale)
        canvas.rect(
            x, base - height, wide, height, fill=stage.colour, opacity=0.8, stroke="currentColor", stroke_width=0.8
        )
        canvas.text(x + wide + 9, base - 38, str(size), 17, bold=True)
        canvas.lock(x + wide + 9 + 10.8 * len(str(size)) + 7, base - 38, 15)
        canvas.text(x + wide + 9, base - 20, letter)
        canvas.text(x, base + 21, words)
        if index:
            canvas.arrow(x - 38, x - 9, base - 25)
    return base + 21


def _attention(canvas: Canvas, facts: Journey, shown: list[int], y: float) -> float:
    handed = facts.attention_mask is not None
    shape = f"(B, 1, T, T) = ({len(facts.lengths)}, 1, {facts.frames}, {facts.frames})"
    rest = f"{shape}; across: frames looked at, down: frames that look"
    if facts.attention_mask == "none":
        rest = f"{shape}; dropped, for every frame is real"
    elif not handed:
        rest = f"{WARNING} none was handed: every frame looks at every frame"
    canvas.heading(_LEFT, y, "attention mask", rest, TRANSFORMER.colour)
    side, gap, below, top = 112, 40, 44, y + 18
    per_line = max(1, int((WIDTH - 20 - _TRACK + gap) // (side + gap)))
    for place, clip in enumerate(shown):
        x, here = _TRACK + (place % per_line) * (side + gap), top + (place // per_line) * (side + below)
        real = side * facts.real_frames[clip] / max(1, facts.frames)
        canvas.rect(x, here, real if handed else side, side, fill=TRANSFORMER.colour, opacity=0.3)
        canvas.rect(x, here, real, real, fill=TRANSFORMER.colour, opacity=0.6)
        if facts.real_frames[clip] < facts.frames:
            canvas.rect(x + real, here, side - real, side, fill=canvas.hatch("padding"))
            canvas.line(x, here + real, x + side, here + real, 0.8)
            canvas.line(x + real, here, x + real, here + side, 0.8)
        canvas.rect(x, here, side, side, stroke="currentColor", stroke_width=0.8)
        keys = facts.real_frames[clip] if handed else facts.frames
        canvas.text(x, here + side + 20, f"clip {clip}: {keys} of {facts.frames}")
    return top + -(-len(shown) // per_line) * (side + below) - below + 20


def _legend(canvas: Canvas, facts: Journey, y: float) -> float:
    canvas.line(_LEFT, y - 24, WIDTH - 20, y - 24, 0.6, 0.6)
    entries = [("solid: real", "")]
    if facts.padded:
        entries += [(HATCHES["padding"], "padding"), ("pale: padding that looks", "pale")]
    if facts.unread is not None and any(facts.unread):
        entries.append((HATCHES["unread"], "unread"))
    x = _LEFT
    for words, kind in entries:
        if kind in HATCHES:
            canvas.legend_box(x, y, canvas.hatch(kind))
        elif kind == "pale":
            canvas.legend_box(x, y, TRANSFORMER.colour, 0.3)
        else:
            canvas.legend_box(x, y, WAVEFORM.colour)
        canvas.text(x + 27, y, words)
        x += 27 + 7.2 * len(words) + 28
    canvas.lock(x + 2, y, 15)
    canvas.text(x + 22, y, "no length moves it")
    if facts.group_norm:
        y += 26
        words = "group norm averages over each row's whole time axis, padding included; no mask reaches it"
        canvas.text(_LEFT, y, f"{WARNING} {words}")
    return y + 6


# --------------------------------------------------------------------------------------------------- helpers


def _lane_label(canvas: Canvas, clip: int, middle: float) -> None:
    canvas.text(_TRACK - 14, middle + 5, f"clip {clip}", anchor="end")


def _shown(facts: Journey) -> list[int]:
    """Clips that get a lane: all of a few; of many, the first ones and the longest."""
    many = len(facts.lengths)
    if many <= _MOST_CLIPS:
        return list(range(many))
    longest = max(range(many), key=lambda clip: facts.lengths[clip])
    first = [clip for clip in range(many) if clip != longest][: _MOST_CLIPS - 1]
    return sorted([*first, longest])


def _values(waveform: Any, length: int) -> list[float] | None:
    """The real samples as plain numbers, ``None`` for no values (an empty or meta tensor)."""
    try:
        values = waveform.tolist() if hasattr(waveform, "tolist") else list(waveform)
    except (NotImplementedError, RuntimeError):
        return None
    return values[:length] or None


def _loudest(facts: Journey, shown: list[int], waveforms: Sequence[Any] | None) -> float:
    if waveforms is None:
        return 0.0
    values = [_values(waveforms[clip], facts.lengths[clip]) or [0.0] for clip in shown]
    return max(max(max(row), -min(row)) for row in values)


def _envelope(values: list[float], width: float, middle: float, half: float, loudest: float) -> str:
    """Outline of a waveform: highest and lowest value per step of 2 units, as one closed path."""
    steps = max(1, int(width / 2))
    upper, lower = [], []
    for step in range(steps):
        part = values[
            step * len(values) // steps : max(step * len(values) // steps + 1, (step + 1) * len(values) // steps)
        ]
        x = _TRACK + width * (step + 0.5) / steps
        upper.append(f"{x:.1f},{middle - max(0.3, half * max(part) / loudest):.1f}")
        lower.append(f"{x:.1f},{middle + max(0.3, -half * min(part) / loudest):.1f}")
    return "M" + " L".join(upper) + " L" + " L".join(reversed(lower)) + " Z"
