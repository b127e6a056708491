"""The journey of a batch through the model: its numbers, read from the records of a trace; as a picture; in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from w2vlearn.geometry import FrameGeometry
from w2vlearn.show.canvas import Canvas
from w2vlearn.show.charts import linear
from w2vlearn.show.palette import (
    FEATURE_ENCODER,
    HEAD,
    POSITIONS,
    PROJECTION,
    TRANSFORMER,
    WARNING,
    WAVEFORM,
    Stage,
    stage_of,
)
from w2vlearn.show.sentences import in_words
from w2vlearn.show.track_figure import Track, draw_square, draw_track

WIDTH = 1000
_LEFT, _TRACK, _RIGHT = 20, 170, 770
_SECTION = 42  # from the end of one part to the heading of the next
_MOST_CLIPS = 6  # lanes drawn; of more clips the first ones and the longest
SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Journey:
    """The numbers of one batch's journey."""

    lengths: tuple[int, ...]  # valid samples per clip; the whole width where the trace was not told
    samples: int  # L, samples of the longest clip
    stack: tuple[int, ...]  # length after each convolution of the feature encoder
    geometry: FrameGeometry | None  # kernels and strides of these convolutions, where the records say them
    frames: int  # T, frames of the longest clip
    valid_frames: tuple[int, ...]  # per clip
    letters: dict[str, int]  # C channels, D features, V vocabulary, where the trace has them
    depth: int  # Transformer layers
    group_norm: bool  # a norm of the feature encoder averages over time, padding included
    masks: dict[str, str]  # "frame", "attention": form of the mask that was handed ("bool", "additive", …)

    @property
    def padded(self) -> bool:
        """True if some clip is shorter than the longest."""
        return any(length < self.samples for length in self.lengths)

    @cached_property
    def unread(self) -> tuple[int, ...] | None:
        """Samples at each clip's end that no frame reads; None where kernels are not known."""
        return self.geometry and tuple(len(self.geometry.unread(length)) for length in self.lengths)

    @property
    def clips(self) -> str:
        """``"one clip"``, ``"3 clips"``."""
        return "one clip" if len(self.lengths) == 1 else f"{len(self.lengths)} clips"


def journey_of(trace: Any) -> Journey | None:
    """Read the numbers of a journey; None for a trace that is no journey (no batch of clips, or a symbolic one)."""
    batch, letters = trace.batch, dict(trace.letters or {})
    if batch is None or not all(isinstance(n, int) for n in (batch.clips, batch.samples, letters.get("T"))):
        return None
    frames = letters["T"]
    lengths = tuple(batch.lengths) if batch.lengths is not None else (batch.samples,) * batch.clips
    stages = [(record, stage_of(record.name, record.type)) for record in trace.records]
    encoder = [record for record, stage in stages if stage is FEATURE_ENCODER]
    stack, geometry = _stack(encoder, letters)
    # Of the first record after the convolutions whose time axis has T positions.
    on_frames = (
        record.valid
        for record, stage in stages
        if stage in (FEATURE_ENCODER, TRANSFORMER)
        and record.valid is not None
        and record.outputs
        and frames in record.output.shape[1:]
    )
    valid = next(on_frames, (frames,) * batch.clips if set(lengths) == {batch.samples} else None)
    if valid is None or not len(valid) == len(lengths) == batch.clips:
        return None
    masks = {record.mask.kind: record.mask.form for record in reversed(trace.records) if record.mask}  # the first ones
    return Journey(
        lengths=lengths,
        samples=batch.samples,
        stack=stack,
        geometry=geometry,
        frames=frames,
        valid_frames=tuple(valid),
        letters=letters,
        depth=len({record.name for record, stage in stages if stage is TRANSFORMER and _is_layer(record.name)}),
        group_norm=any(record.operation.kind == "group norm" and record.mixes_time for record in encoder),
        masks=masks,
    )


def _is_layer(name: str) -> bool:
    """``"encoder.layers.3"``, and nothing inside of it."""
    parts = [part.isdigit() for part in name.split(".")]
    return parts[-1] and sum(parts) == 1


def _stack(encoder: list[Any], letters: dict[str, int]) -> tuple[tuple[int, ...], FrameGeometry | None]:
    """Length after each convolution of the feature encoder, and their geometry where the records tell it."""
    convolutions = [
        record
        for record in encoder
        if record.operation.kind == "convolution" and len(record.operation.kernel) == 1 and record.output is not None
    ]
    stack = tuple(record.output.shape[-1] for record in convolutions)
    if stack and stack[-1] == letters["T"]:
        steps = ((record.operation.kernel[0], record.operation.stride[0]) for record in convolutions)
        geometry = FrameGeometry(*zip(*steps, strict=True))
        return stack, geometry if tuple(geometry.lengths(letters.get("L", 0))) == stack else None
    names = sorted((name for name in letters if name[0] == "T" and name[1:].isdigit()), key=lambda name: int(name[1:]))
    return tuple(letters[name] for name in names), None


# ------------------------------------------------------------------------------------------------ in words


def journey_text(trace: Any) -> str:
    """The picture in words: every number that it shows; ``""`` where the trace shows no batch of clips."""
    numbers = journey_of(trace)
    return _in_sentences(numbers) if numbers else ""


def _in_sentences(journey: Journey) -> str:
    many, padded = len(journey.lengths), journey.padded
    sentences = [
        f"{journey.clips.capitalize()} of {in_words(journey.lengths)} samples "
        f"{'lie' if many > 1 else 'lies'} in one batch of shape ({many}, {journey.samples})"
        + (", the shorter ones padded." if padded else ", nothing padded.")
    ]
    if journey.stack:
        steps = ", ".join(map(str, journey.stack))
        sentences.append(f"{len(journey.stack)} convolutions shorten {journey.samples} samples to {steps} positions.")
    valid = in_words(journey.valid_frames)
    sentences.append(f"So there are {journey.frames} frames (T), of which per clip {valid} are valid.")
    if journey.unread is not None:
        sentences.append(f"At the clips' ends {in_words(journey.unread)} samples are read by no frame.")
    channels, features, vocabulary = map(journey.letters.get, "CDV")
    if channels and features:
        sentences.append(
            f"Each frame, on its own, is turned from {channels} into {features} features: both numbers are fixed by "
            "the config, no length moves them."
        )
    if journey.depth:
        shape = f"({many}, {journey.frames}, {features})"
        sentences.append(f"{journey.depth} Transformer layers keep the shape {shape}.")
    if vocabulary:
        sentences.append(f"The head turns every frame into {vocabulary} scores.")
    mask = journey.masks.get("attention")
    if mask is None:
        end = ", padding included." if padded else "."
        sentences.append(f"No attention mask was handed to the Transformer: every frame looks at every frame{end}")
    elif mask == "none":
        sentences.append("The attention mask was dropped because every frame is valid.")
    else:
        sentences.append(
            f"The attention mask is {journey.frames} x {journey.frames} per clip ({mask}): each frame "
            f"looks at the {valid} valid frames of its clip only."
        )
    if journey.group_norm:
        sentences.append("The feature encoder's group norm averages over each row's whole time axis, padding included.")
    return " ".join(sentences)


# -------------------------------------------------------------------------------------------- as a picture


def journey(trace: Any) -> str:
    """SVG of what happens to a batch: waveforms, convolutions, frames, one frame's sizes, attention masks.

    Parameters
    ----------
    trace : Trace
        Of a batch of clips: observed, or derived at these lengths.

    Returns
    -------
    str
        ``<svg role="img">`` with title and description; ``""`` where the trace shows no batch of clips.
    """
    numbers = journey_of(trace)
    if numbers is None:
        return ""
    drawing = _Drawing(numbers)
    y = drawing.waveforms(26)
    if numbers.stack:
        y = drawing.convolutions(y + _SECTION)
    y = drawing.frames(y + _SECTION)
    if numbers.letters.get("C") and numbers.letters.get("D"):
        y = drawing.one_frame(y + _SECTION)
    y = drawing.attention(y + _SECTION)
    y = drawing.legend(y + _SECTION + 12)
    title = f"From {numbers.samples} samples to {numbers.frames} frames: the journey of {numbers.clips}"
    return drawing.canvas.svg(y + 8, title, _in_sentences(numbers))


class _Drawing:
    """The parts of the picture, each drawn from ``y`` down; each returns where it ends."""

    def __init__(self, numbers: Journey) -> None:
        self.numbers, self.canvas = numbers, Canvas(WIDTH)
        self.shown = list(range(len(numbers.lengths)))
        if len(self.shown) > _MOST_CLIPS:
            longest = max(self.shown, key=lambda clip: numbers.lengths[clip])
            self.shown = sorted([*[clip for clip in self.shown if clip != longest][: _MOST_CLIPS - 1], longest])

    def waveforms(self, y: float) -> float:
        numbers, canvas, rows = self.numbers, self.canvas, []
        shape = f"(B, L) = ({len(numbers.lengths)}, {numbers.samples})"
        canvas.heading(_LEFT, y, "waveforms", shape, WAVEFORM.colour)
        for place, clip in enumerate(self.shown):
            length, tail = numbers.lengths[clip], numbers.unread[clip] if numbers.unread is not None else 0
            start = max(0, length - max(tail, numbers.samples // 100)) if tail else length  # wide enough to be seen
            rows.append((f"clip {clip}", [(0, start, "valid"), (start, length, "unread")], numbers.samples, ""))
            middle = y + 37 + place * 48
            canvas.text(_RIGHT, middle + (-3 if tail else 5), f"{length} samples, {length / SAMPLE_RATE:.2f} s")
            if tail:
                canvas.text(_RIGHT, middle + 15, f"{tail} of them read by no frame", 13)
        return self.lanes(y, 38, 10, rows, WAVEFORM)

    def convolutions(self, y: float) -> float:
        numbers, rows, last = self.numbers, [], len(self.numbers.stack) - 1
        words = f"{last + 1} convolutions, (B, L) → (B, C, T), the longest clip's lengths"
        self.canvas.heading(_LEFT, y, FEATURE_ENCODER.name, words, FEATURE_ENCODER.colour)
        for step, length in enumerate(numbers.stack):
            kernel = ""
            if numbers.geometry:
                kernel = f"kernel {numbers.geometry.kernels[step]}, stride {numbers.geometry.strides[step]}"
            sign = f"  {WARNING} group norm" if numbers.group_norm and step == 0 else ""
            note = f"T{step + 1}{' = T' if step == last else ''} = {length}{sign}"
            rows.append((kernel, [(0, length, "valid")], length, note))
        return self.lanes(y, 14, 8, rows)

    def frames(self, y: float) -> float:
        numbers, rows = self.numbers, []
        shape = f"(B, T) = ({len(numbers.lengths)}, {numbers.frames})"
        mask = ", and the frame mask: True where solid" if numbers.masks.get("frame", "none") != "none" else ""
        self.canvas.heading(_LEFT, y, "frames", shape + mask, FEATURE_ENCODER.colour)
        for clip in self.shown:
            valid = numbers.valid_frames[clip]
            padding = f" + {numbers.frames - valid} padding" if valid < numbers.frames else ""
            rows.append((f"clip {clip}", [(0, valid, "valid")], numbers.frames, f"{valid} valid{padding}"))
        return self.lanes(y, 22, 9, rows)

    def lanes(self, y: float, height: float, gap: float, rows: list[tuple], stage: Stage = FEATURE_ENCODER) -> float:
        """Rows of (name, pieces, positions, note) below a heading at ``y``; what no piece covers is padding."""
        for place, (name, pieces, count, note) in enumerate(rows):
            pieces = [piece for piece in (*pieces, (pieces[-1][1], count, "padding")) if piece[0] < piece[1]]
            top, across = y + 18 + place * (height + gap), linear(0, count, _TRACK, _RIGHT - 10)
            draw_track(self.canvas, Track(name, pieces, note, stage=stage), across, top, height, count)
        return top + height

    def one_frame(self, y: float) -> float:
        """Blocks for what each frame is made of, as high as it has features."""
        numbers, canvas = self.numbers, self.canvas
        canvas.heading(_LEFT, y, "one frame", f"the same sizes and the same weights for each of the {numbers.frames}")
        layers = f" × {numbers.depth}" if numbers.depth else ""
        blocks = [
            (FEATURE_ENCODER, "C", FEATURE_ENCODER.name),
            (PROJECTION, "D", PROJECTION.name),
            (POSITIONS, "D", f"+ {POSITIONS.name}"),
            (TRANSFORMER, "D", TRANSFORMER.name + layers),
            (HEAD, "V", HEAD.name),
        ]
        blocks = [block for block in blocks if numbers.letters.get(block[1])]
        full, wide, pitch = 92, 30, (WIDTH - 20 - _TRACK) / len(blocks)
        scale, base = full / max(numbers.letters[letter] for _, letter, _ in blocks), y + 20 + full
        for index, (stage, letter, words) in enumerate(blocks):
            size = numbers.letters[letter]
            x, height = _TRACK + index * pitch, max(4, size * scale)
            beside = x + wide + 9
            canvas.rect(x, base - height, wide, height, stage.colour, 0.8, "currentColor")
            canvas.text(beside, base - 38, str(size), 17, bold=True)
            canvas.lock(beside + 10.8 * len(str(size)) + 7, base - 38, 15)
            canvas.text(beside, base - 20, letter)
            canvas.text(x, base + 21, words)
            if index:
                canvas.arrow(x - 38, x - 9, base - 25)
        return base + 21

    def attention(self, y: float) -> float:
        numbers, canvas = self.numbers, self.canvas
        handed, frames = "attention" in numbers.masks, numbers.frames
        shape = f"(B, 1, T, T) = ({len(numbers.lengths)}, 1, {frames}, {frames})"
        words = f"{shape}; across: frames looked at, down: frames that look"
        if numbers.masks.get("attention") == "none":
            words = f"{shape}; dropped, for every frame is valid"
        elif not handed:
            words = f"{WARNING} none was handed: every frame looks at every frame"
        canvas.heading(_LEFT, y, "attention mask", words, TRANSFORMER.colour)
        side, pitch, below, per_line = 112, 152, 44, 5
        for place, clip in enumerate(self.shown):
            x, top = _TRACK + (place % per_line) * pitch, y + 18 + (place // per_line) * (side + below)
            valid = numbers.valid_frames[clip]
            keys = valid if handed else frames
            padding = ["padding"] * (frames - valid)
            queries = [["valid"] * valid + padding] * valid + [["pale"] * valid + padding] * (frames - valid)
            if not handed:  # padded keys are looked at as well
                canvas.rect(x, top, side, side, TRANSFORMER.colour, 0.2)
            draw_square(canvas, queries, x, top, side, TRANSFORMER.colour)
            canvas.text(x, top + side + 20, f"clip {clip}: {keys} of {frames}")
        return top + side + 20

    def legend(self, y: float) -> float:
        numbers, canvas = self.numbers, self.canvas
        canvas.line(_LEFT, y - 24, WIDTH - 20, y - 24, 0.6, 0.6)
        entries = [("solid: valid", WAVEFORM.colour, None)]
        if numbers.padded:
            entries += [canvas.hatch_entry("padding"), ("faint: padding that looks", TRANSFORMER.colour, 0.2)]
        if numbers.unread is not None and any(numbers.unread):
            entries.append(canvas.hatch_entry("unread"))
        y = canvas.legend(_LEFT, y, entries) + 26
        canvas.lock(_LEFT + 2, y, 15)
        canvas.text(_LEFT + 27, y, "no length moves it")
        if numbers.group_norm:
            words = "group norm averages over each row's whole time axis, padding included; no mask reaches it"
            canvas.text(_LEFT + 190, y, f"{WARNING} {words}")
        return y + 6
