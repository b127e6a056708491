"""The journey of a batch, in one picture: waveforms, convolutions, frames, one frame's sizes, attention masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2vlearn.show.canvas import Canvas, as_list, envelope
from w2vlearn.show.journey import Journey, in_sentences, journey_of
from w2vlearn.show.palette import FEATURE_ENCODER, HEAD, POSITIONS, PROJECTION, TRANSFORMER, WARNING, WAVEFORM

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
    numbers = journey_of(trace)
    if numbers is None:
        return ""
    drawing = _Drawing(numbers)
    y = drawing.waveforms(waveforms, 26)
    if numbers.stack:
        y = drawing.convolutions(y + _SECTION)
    y = drawing.frames(y + _SECTION)
    if numbers.channels and numbers.features:
        y = drawing.one_frame(y + _SECTION)
    y = drawing.attention(y + _SECTION)
    y = drawing.legend(y + _SECTION + 12)
    title = f"From {numbers.samples} samples to {numbers.frames} frames: the journey of {numbers.clips}"
    return drawing.canvas.svg(y + 8, title, in_sentences(numbers))


class _Drawing:
    """The parts of the picture, each drawn from ``y`` down; each returns where it ends."""

    def __init__(self, numbers: Journey) -> None:
        self.numbers, self.canvas = numbers, Canvas(WIDTH)
        many = len(numbers.lengths)
        self.shown = list(range(many))
        if many > _MOST_CLIPS:
            longest = max(self.shown, key=lambda clip: numbers.lengths[clip])
            self.shown = sorted([*[clip for clip in self.shown if clip != longest][: _MOST_CLIPS - 1], longest])

    def waveforms(self, waveforms: Sequence[Any] | None, y: float) -> float:
        numbers, canvas = self.numbers, self.canvas
        shape = f"(B, L) = ({len(numbers.lengths)}, {numbers.samples})"
        canvas.heading(_LEFT, y, "waveforms", shape, WAVEFORM.colour)
        height, pitch, top = 38, 48, y + 18
        scale = _TRACK_WIDTH / numbers.samples
        values = {} if waveforms is None else {c: _values(waveforms[c], numbers.lengths[c]) for c in self.shown}
        loudest = max((max(max(row), -min(row)) for row in values.values() if row), default=0)
        for lane, clip in enumerate(self.shown):
            length, middle = numbers.lengths[clip], top + lane * pitch + height / 2
            valid = length * scale
            self.lane_label(clip, middle)
            if values.get(clip) and loudest:
                path = envelope(values[clip], _TRACK, valid, middle, height / 2 - 1, loudest)
                canvas.path(path, fill=WAVEFORM.colour)
            else:
                canvas.rect(_TRACK, middle - 9, valid, 18, fill=WAVEFORM.colour, opacity=0.6)
            tail = numbers.unread[clip] if numbers.unread is not None else 0
            if tail:
                wide = min(valid, max(6, tail * scale))
                canvas.rect(_TRACK + valid - wide, middle - height / 2, wide, height, fill=canvas.hatch("unread"))
            self.outline(middle - height / 2, height, valid if length < numbers.samples else _TRACK_WIDTH)
            canvas.text(_RIGHT, middle + (-3 if tail else 5), f"{length} samples, {length / SAMPLE_RATE:.2f} s")
            if tail:
                canvas.text(_RIGHT, middle + 15, f"{tail} of them read by no frame", 13)
        return top + len(self.shown) * pitch - (pitch - height)

    def convolutions(self, y: float) -> float:
        numbers, canvas = self.numbers, self.canvas
        rest = f"{len(numbers.stack)} convolutions, (B, L) → (B, C, T), the longest clip's lengths"
        canvas.heading(_LEFT, y, FEATURE_ENCODER.name, rest, FEATURE_ENCODER.colour)
        pitch, height, top = 22, 14, y + 18
        for step, length in enumerate(numbers.stack):
            middle = top + step * pitch + height / 2
            if numbers.geometry:
                words = f"kernel {numbers.geometry.kernels[step]}, stride {numbers.geometry.strides[step]}"
                canvas.text(_TRACK - 14, middle + 5, words, 13, "end")
            fineness = 1 - step / max(1, len(numbers.stack) - 1)
            self.cells(middle - height / 2, height, length, 0.35 + 0.5 * fineness, length)
            last = step == len(numbers.stack) - 1
            sign = f"  {WARNING} group norm" if numbers.group_norm and step == 0 else ""
            canvas.text(_RIGHT, middle + 5, f"T{step + 1}{' = T' if last else ''} = {length}{sign}", bold=last)
        return top + len(numbers.stack) * pitch - (pitch - height)

    def frames(self, y: float) -> float:
        numbers, canvas = self.numbers, self.canvas
        shape = f"(B, T) = ({len(numbers.lengths)}, {numbers.frames})"
        mask = ", and the frame mask: True where solid" if numbers.frame_mask not in (None, "none") else ""
        canvas.heading(_LEFT, y, "frames", shape + mask, FEATURE_ENCODER.colour)
        height, pitch, top = 22, 31, y + 18
        for lane, clip in enumerate(self.shown):
            lane_top, valid = top + lane * pitch, numbers.valid_frames[clip]
            self.cells(lane_top, height, numbers.frames, 0.5, valid)
            self.lane_label(clip, lane_top + height / 2)
            padding = f" + {numbers.frames - valid} padding" if valid < numbers.frames else ""
            canvas.text(_RIGHT, lane_top + height / 2 + 5, f"{valid} valid{padding}")
        return top + len(self.shown) * pitch - (pitch - height)

    def one_frame(self, y: float) -> float:
        """Blocks for what each frame is made of, as high as it has features."""
        numbers, canvas = self.numbers, self.canvas
        canvas.heading(_LEFT, y, "one frame", f"the same sizes and the same weights for each of the {numbers.frames}")
        full, wide = 92, 30
        scale = full / max(numbers.channels, numbers.features, numbers.vocabulary or 0)
        base = y + 20 + full
        layers = f" × {numbers.depth}" if numbers.depth else ""
        blocks = [
            (FEATURE_ENCODER, numbers.channels, "C", FEATURE_ENCODER.name),
            (PROJECTION, numbers.features, "D", PROJECTION.name),
            (POSITIONS, numbers.features, "D", f"+ {POSITIONS.name}"),
            (TRANSFORMER, numbers.features, "D", TRANSFORMER.name + layers),
        ]
        if numbers.vocabulary:
            blocks.append((HEAD, numbers.vocabulary, "V", HEAD.name))
        pitch = (WIDTH - 20 - _TRACK) / len(blocks)
        for index, (stage, size, letter, words) in enumerate(blocks):
            x, height = _TRACK + index * pitch, max(4, size * scale)
            box = (x, base - height, wide, height, stage.colour)
            canvas.rect(*box, opacity=0.8, stroke="currentColor")
            canvas.text(x + wide + 9, base - 38, str(size), 17, bold=True)
            canvas.lock(x + wide + 9 + 10.8 * len(str(size)) + 7, base - 38, 15)
            canvas.text(x + wide + 9, base - 20, letter)
            canvas.text(x, base + 21, words)
            if index:
                canvas.arrow(x - 38, x - 9, base - 25)
        return base + 21

    def attention(self, y: float) -> float:
        numbers, canvas = self.numbers, self.canvas
        handed, frames = numbers.attention_mask is not None, numbers.frames
        shape = f"(B, 1, T, T) = ({len(numbers.lengths)}, 1, {frames}, {frames})"
        rest = f"{shape}; across: frames looked at, down: frames that look"
        if numbers.attention_mask == "none":
            rest = f"{shape}; dropped, for every frame is valid"
        elif not handed:
            rest = f"{WARNING} none was handed: every frame looks at every frame"
        canvas.heading(_LEFT, y, "attention mask", rest, TRANSFORMER.colour)
        side, gap, below, top = 112, 40, 44, y + 18
        per_line = max(1, int((WIDTH - 20 - _TRACK + gap) // (side + gap)))
        for place, clip in enumerate(self.shown):
            x, box_top = _TRACK + (place % per_line) * (side + gap), top + (place // per_line) * (side + below)
            valid = side * numbers.valid_frames[clip] / max(1, frames)
            canvas.rect(x, box_top, valid if handed else side, side, fill=TRANSFORMER.colour, opacity=0.3)
            canvas.rect(x, box_top, valid, valid, fill=TRANSFORMER.colour, opacity=0.6)
            if numbers.valid_frames[clip] < frames:
                canvas.rect(x + valid, box_top, side - valid, side, fill=canvas.hatch("padding"))
                canvas.line(x, box_top + valid, x + side, box_top + valid, 0.8)
                canvas.line(x + valid, box_top, x + valid, box_top + side, 0.8)
            canvas.rect(x, box_top, side, side, stroke="currentColor")
            keys = numbers.valid_frames[clip] if handed else frames
            canvas.text(x, box_top + side + 20, f"clip {clip}: {keys} of {frames}")
        return top + -(-len(self.shown) // per_line) * (side + below) - below + 20

    def legend(self, y: float) -> float:
        numbers, canvas = self.numbers, self.canvas
        canvas.line(_LEFT, y - 24, WIDTH - 20, y - 24, 0.6, 0.6)
        entries = [("solid: valid", WAVEFORM.colour, None)]
        if numbers.padded:
            entries += [canvas.hatch_entry("padding"), ("faint: padding that looks", TRANSFORMER.colour, 0.3)]
        if numbers.unread is not None and any(numbers.unread):
            entries.append(canvas.hatch_entry("unread"))
        y = canvas.legend(_LEFT, y, entries) + 26
        canvas.lock(_LEFT + 2, y, 15)
        canvas.text(_LEFT + 27, y, "no length moves it")
        if numbers.group_norm:
            words = "group norm averages over each row's whole time axis, padding included; no mask reaches it"
            canvas.text(_LEFT + 190, y, f"{WARNING} {words}")
        return y + 6

    def cells(self, y: float, height: float, count: int, opacity: float, valid: int) -> None:
        """A strip of ``count`` cells, those from ``valid`` on hatched; separators where they are wide enough to see."""
        cell = _TRACK_WIDTH / max(1, count)
        self.canvas.rect(_TRACK, y, cell * valid, height, fill=FEATURE_ENCODER.colour, opacity=opacity)
        if cell >= 2 and valid > 1:
            self.canvas.separators(_TRACK, y, cell * valid, height, valid)
        self.outline(y, height, cell * valid if valid < count else _TRACK_WIDTH)

    def outline(self, y: float, height: float, valid: float) -> None:
        """The frame of a lane, hatched from ``valid`` on."""
        canvas, end = self.canvas, _TRACK + valid
        if valid < _TRACK_WIDTH:
            canvas.rect(end, y, _TRACK_WIDTH - valid, height, fill=canvas.hatch("padding"))
            canvas.line(end, y, end, y + height, 0.8)
        canvas.rect(_TRACK, y, _TRACK_WIDTH, height, stroke="currentColor")

    def lane_label(self, clip: int, middle: float) -> None:
        self.canvas.text(_TRACK - 14, middle + 5, f"clip {clip}", anchor="end")


def _values(waveform: Any, length: int) -> list[float] | None:
    """The valid samples as plain numbers, ``None`` for no values (an empty or meta tensor)."""
    try:
        return as_list(waveform)[:length] or None
    except (NotImplementedError, RuntimeError):
        return None
