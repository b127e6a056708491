"""What happens to a batch on its way through the model, as numbers and in words: read from the records of a trace."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from w2vlearn.geometry import FrameGeometry
from w2vlearn.show.palette import FEATURE_ENCODER, TRANSFORMER, stage_of
from w2vlearn.show.sentences import in_words


@dataclass(frozen=True)
class Journey:
    """The numbers of one batch's journey.

    Attributes
    ----------
    lengths : tuple of int
        Valid samples per clip; the whole width where the trace was not told.
    samples : int
        L, samples of the longest clip.
    stack : tuple of int
        Length after each convolution of the feature encoder.
    geometry : FrameGeometry or None
        Kernels and strides of these convolutions; None where the records do not say.
    frames : int
        T, frames of the longest clip.
    valid_frames : tuple of int
        Per clip.
    channels, features, vocabulary : int or None
        C, D, V.
    depth : int
        Number of Transformer layers.
    group_norm : bool
        A norm of the feature encoder averages over time, padding included.
    frame_mask, attention_mask : str or None
        Form of the mask that the Transformer was handed ("bool", "additive", …); None: handed none.
    """

    lengths: tuple[int, ...]
    samples: int
    stack: tuple[int, ...]
    geometry: FrameGeometry | None
    frames: int
    valid_frames: tuple[int, ...]
    channels: int | None
    features: int | None
    vocabulary: int | None
    depth: int
    group_norm: bool
    frame_mask: str | None
    attention_mask: str | None

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
    stack, geometry = _stack(trace, letters)
    valid = _valid_frames(trace, frames)
    if valid is None and set(lengths) == {batch.samples}:
        valid = (frames,) * batch.clips
    if valid is None or not len(valid) == len(lengths) == batch.clips:
        return None
    stages = [(record, stage_of(record.name, record.type)) for record in trace.records]
    layers = {record.name for record, stage in stages if stage is TRANSFORMER and _is_layer(record.name)}
    norms = {record.operation.kind for record, stage in stages if stage is FEATURE_ENCODER and record.mixes_time}
    return Journey(
        lengths=lengths,
        samples=batch.samples,
        stack=stack,
        geometry=geometry,
        frames=frames,
        valid_frames=valid,
        channels=letters.get("C"),
        features=letters.get("D"),
        vocabulary=letters.get("V"),
        depth=len(layers),
        group_norm="group norm" in norms,
        frame_mask=_form(trace, "frame"),
        attention_mask=_form(trace, "attention"),
    )


def _is_layer(name: str) -> bool:
    """``"encoder.layers.3"``, and nothing inside of it."""
    parts = [part.isdigit() for part in name.split(".")]
    return parts[-1] and sum(parts) == 1


def _stack(trace: Any, letters: dict[str, int]) -> tuple[tuple[int, ...], FrameGeometry | None]:
    """Length after each convolution of the feature encoder, and their geometry where the records tell it."""
    convolutions = [
        record
        for record in trace.records
        if record.operation.kind == "convolution"
        and len(record.operation.kernel) == 1
        and record.output is not None
        and stage_of(record.name, record.type) is FEATURE_ENCODER
    ]
    stack = tuple(record.output.shape[-1] for record in convolutions)
    if stack and stack[-1] == letters["T"]:
        geometry = FrameGeometry(
            *zip(*((r.operation.kernel[0], r.operation.stride[0]) for r in convolutions), strict=True)
        )
        return stack, geometry if tuple(geometry.lengths(letters.get("L", 0))) == stack else None
    names = sorted((name for name in letters if name[0] == "T" and name[1:].isdigit()), key=lambda name: int(name[1:]))
    return tuple(letters[name] for name in names), None


def _valid_frames(trace: Any, frames: int) -> tuple[int, ...] | None:
    """Valid frames per clip: of the first record of a stage after the convolutions whose time axis has T positions."""
    for record in trace.records:
        on_frames = record.valid is not None and record.outputs and frames in record.output.shape[1:]
        if on_frames and stage_of(record.name, record.type) in (FEATURE_ENCODER, TRANSFORMER):
            return tuple(record.valid)
    return None


def _form(trace: Any, kind: str) -> str | None:
    return next((record.mask.form for record in trace.records if record.mask and record.mask.kind == kind), None)


def journey_text(trace: Any) -> str:
    """The picture in words: every number that it shows; ``""`` where the trace shows no batch of clips."""
    journey = journey_of(trace)
    return in_sentences(journey) if journey else ""


def in_sentences(journey: Journey) -> str:
    """A journey in words."""
    many = len(journey.lengths)
    sentences = [
        f"{journey.clips.capitalize()} of {in_words(journey.lengths)} samples "
        f"{'lie' if many > 1 else 'lies'} in one batch of shape ({many}, {journey.samples})"
        + (", the shorter ones padded." if journey.padded else ", nothing padded.")
    ]
    if journey.stack:
        steps = ", ".join(map(str, journey.stack))
        sentences.append(f"{len(journey.stack)} convolutions shorten {journey.samples} samples to {steps} positions.")
    valid = in_words(journey.valid_frames)
    sentences.append(f"So there are {journey.frames} frames (T), of which per clip {valid} are valid.")
    if journey.unread is not None:
        sentences.append(f"At the clips' ends {in_words(journey.unread)} samples are read by no frame.")
    if journey.channels and journey.features:
        sentences.append(
            f"Each frame, on its own, is turned from {journey.channels} into {journey.features} features: both numbers "
            "are fixed by the config, no length moves them."
        )
    if journey.depth:
        shape = f"({many}, {journey.frames}, {journey.features})"
        sentences.append(f"{journey.depth} Transformer layers keep the shape {shape}.")
    if journey.vocabulary:
        sentences.append(f"The head turns every frame into {journey.vocabulary} scores.")
    sentences.append(_attention_sentence(journey))
    if journey.group_norm:
        sentences.append("The feature encoder's group norm averages over each row's whole time axis, padding included.")
    return " ".join(sentences)


def _attention_sentence(journey: Journey) -> str:
    if journey.attention_mask is None:
        return "No attention mask was handed to the Transformer: every frame looks at every frame" + (
            ", padding included." if journey.padded else "."
        )
    if journey.attention_mask == "none":
        return "The attention mask was dropped because every frame is valid."
    return (
        f"The attention mask is {journey.frames} x {journey.frames} per clip ({journey.attention_mask}): each frame "
        f"looks at the {in_words(journey.valid_frames)} valid frames of its clip only."
    )
