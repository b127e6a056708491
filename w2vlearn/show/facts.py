"""What the picture of a journey needs to know, read from a trace: lengths, kernels, masks, sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from w2vlearn.show.palette import FEATURE_ENCODER, TRANSFORMER, stage_of
from w2vlearn.show.rows import rows


@dataclass(frozen=True)
class Journey:
    """The numbers of one batch's journey.

    Attributes
    ----------
    model : str
    lengths : tuple of int
        Real samples per clip; the whole width where the trace was not told.
    samples : int
        L, samples of the longest clip.
    tower : tuple of int
        Length after each convolution of the feature encoder.
    kernels, strides : tuple of int
        Of these convolutions; empty where the records do not say.
    frames : int
        T, frames of the longest clip.
    real_frames : tuple of int
        Per clip.
    channels, features, heads, vocabulary : int or None
        C, D, H, V.
    depth : int
        Number of Transformer layers.
    group_norm : bool
        A norm of the feature encoder averages over time, padding included.
    frame_mask, attention_mask : str or None
        Form of the mask that the Transformer was handed ("bool", "additive", …); None: handed none.
    unread : tuple of int or None
        Samples at each clip's end that no frame reads; None where kernels are not known.
    """

    model: str
    lengths: tuple[int, ...]
    samples: int
    tower: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    frames: int
    real_frames: tuple[int, ...]
    channels: int | None
    features: int | None
    heads: int | None
    vocabulary: int | None
    depth: int
    group_norm: bool
    frame_mask: str | None
    attention_mask: str | None
    unread: tuple[int, ...] | None

    @property
    def receptive_field(self) -> int | None:
        """Samples that one frame reads (normalisation left out)."""
        field, hop = 1, 1
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            field += (kernel - 1) * hop
            hop *= stride
        return field if self.kernels else None

    @property
    def hop(self) -> int | None:
        """Samples from one frame to the next."""
        hop = 1
        for stride in self.strides:
            hop *= stride
        return hop if self.strides else None

    @property
    def padded(self) -> bool:
        """True if some clip is shorter than the longest."""
        return any(length < self.samples for length in self.lengths)


def journey_facts(trace: Any) -> Journey | None:
    """Read the facts of a journey; None for a trace that is no journey (no batch of clips, or a symbolic one)."""
    batch = getattr(trace, "batch", None)
    letters = dict(getattr(trace, "letters", None) or {})
    numbers = [getattr(batch, "clips", None), getattr(batch, "samples", None), letters.get("T")]
    if not all(isinstance(value, int) for value in numbers):
        return None
    clips, samples, frames = numbers
    lengths = tuple(batch.lengths) if batch.lengths is not None else (samples,) * clips
    convolutions = [
        (record, found)
        for record in trace.records
        if stage_of(record.name, record.type) is FEATURE_ENCODER
        and (found := re.search(r"kernel (\d+).*?stride (\d+)", record.what))
        and not _has_inside(record, trace)
        and record.outputs
    ]
    tower = tuple(record.output.shape[-1] for record, _ in convolutions)
    kernels = tuple(int(found[1]) for _, found in convolutions)
    strides = tuple(int(found[2]) for _, found in convolutions)
    if not tower or tower[-1] != frames:
        names = sorted((name for name in letters if re.fullmatch(r"T\d+", name)), key=lambda name: int(name[1:]))
        tower, kernels, strides = tuple(letters[name] for name in names), (), ()
    real = _real_frames(trace, frames) or ((frames,) * clips if all(n == samples for n in lengths) else None)
    if real is None or len(real) != clips or len(lengths) != clips:
        return None
    facts = Journey(
        model=getattr(trace, "model_name", "") or "model",
        lengths=lengths,
        samples=samples,
        tower=tower,
        kernels=kernels,
        strides=strides,
        frames=frames,
        real_frames=real,
        channels=letters.get("C"),
        features=letters.get("D"),
        heads=letters.get("H"),
        vocabulary=letters.get("V"),
        depth=_depth(trace),
        group_norm=any(
            record.mixes_time and "GroupNorm" in record.type and stage_of(record.name) is FEATURE_ENCODER
            for record in trace.records
        ),
        frame_mask=_form(trace, "frame"),
        attention_mask=_form(trace, "attention"),
        unread=None,
    )
    return _with_unread(facts)


def _with_unread(facts: Journey) -> Journey:
    if facts.hop is None or facts.receptive_field is None:
        return facts
    hop, field = facts.hop, facts.receptive_field
    unread = tuple(
        length - ((count - 1) * hop + field) if count else length
        for length, count in zip(facts.lengths, facts.real_frames, strict=True)
    )
    return replace(facts, unread=unread if all(tail >= 0 for tail in unread) else None)


def _has_inside(record: Any, trace: Any) -> bool:
    inside = record.name + "."
    return any(
        other.name.startswith(inside) and "parametrizations" not in other.name and other.depth > record.depth
        for other in trace.records
        if "kernel" in other.what
    )


def _real_frames(trace: Any, frames: int) -> tuple[int, ...] | None:
    """Real frames per clip: of the first record of a stage after the towers whose time axis has T positions."""
    for record in trace.records:
        if record.valid is None or not record.outputs or frames not in record.output.shape[1:]:
            continue
        if stage_of(record.name, record.type) in (FEATURE_ENCODER, TRANSFORMER):
            return tuple(record.valid)
    return None


def _depth(trace: Any) -> int:
    groups = [row for row in rows(trace) if stage_of(row.name) is TRANSFORMER and row.name.rsplit(".", 1)[-1].isdigit()]
    return sum(row.times for row in groups)


def _form(trace: Any, kind: str) -> str | None:
    for record in trace.records:
        if record.mask is not None and record.mask.kind == kind:
            return record.mask.form
    return None
