"""Lesson 4: three masks, four ways of writing them, and nobody who complains."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from course.common import *
from course.contents import COURSE
from course.exercise import Case
from course.traps import frames_of
from w2vlearn import Wav2Vec2Model, pad, padding_masks

LESSON = COURSE[4]

# ---------------------------------------------------------------- what prose computes with

LENGTHS = (SECOND, SECOND // 2, SECOND // 4)  # samples of the lesson's three clips
FRAMES = [T(length) for length in LENGTHS]
LONG = 10 * SECOND  # samples: the batch of ten seconds in prediction 4.1
TORCHAUDIO = "-10000"  # in its additive masks
SINGLE_MIN = f"{torch.finfo(torch.float32).min:.1e}"


def hugging_face(length: int, frames: int) -> int:
    """How many of ``frames`` Hugging Face's code takes for valid if a row of the mask sums to ``length``."""
    for kernel, stride in zip(geometry.kernels, geometry.strides, strict=True):
        length = (length - kernel) // stride + 1
    return range(frames)[length - 1] + 1  # index -2 is the last but one


# ---------------------------------------------------------------- exercises


def _cases_of_alone() -> list[Case]:
    """Models of exercise 4.5, functions (waveforms, sample mask or None) -> (B, T, D); why each is right or not."""
    model = seeded(Wav2Vec2Model, "layer")

    def valid_frames(waveforms: Tensor, mask: Tensor) -> Tensor:
        return padding_masks.frame_mask(geometry.frame_counts(mask.sum(1)), T(waveforms.shape[1]))

    def with_mask(change: Callable[[Tensor], Tensor | None]) -> Callable[[Tensor, Tensor | None], Tensor]:
        @torch.no_grad()
        def run(waveforms: Tensor, mask: Tensor | None) -> Tensor:
            return frames_of(model, waveforms, None if mask is None else change(valid_frames(waveforms, mask)))

        return run

    @torch.no_grad()
    def zeroed(waveforms: Tensor, mask: Tensor | None) -> Tensor:
        hidden = model.feature_projection(model.feature_extractor(waveforms).transpose(1, 2))[0]  # (B, T, D)
        if mask is not None:
            hidden = padding_masks.zero_padding(hidden, valid_frames(waveforms, mask))
        return model.encoder(hidden)[0]

    def cut(waveforms: Tensor, mask: Tensor | None) -> Tensor:
        return waveforms.unfold(1, FIELD, HOP)  # (B, L) -> (B, T, 400)

    models = {
        "a model that uses its mask": (
            with_mask(lambda valid: valid),
            "Its short clips come out of the batch as they do alone.",
        ),
        "a model that drops its mask": (with_mask(lambda valid: None), "Attention looks at padding."),
        "a model that takes True for padding": (
            with_mask(lambda valid: ~valid),
            "Attention looks at nothing but padding.",
        ),
        "a model that zeroes padding and tells attention nothing": (
            zeroed,
            "Zeros are still looked at: they take their share of the softmax, and the more of them, the more they take.",
        ),
        "a model that forgets the mask of the second clip": (
            with_mask(lambda valid: valid | (torch.arange(len(valid)) == 1)[:, None]),
            "One clip of three is moved, and that is one too many.",
        ),
        "a model that only cuts the waveform into frames": (cut, "No frame looks at another one."),
        "the same with a millionth of float error": (
            lambda waveforms, mask: cut(waveforms, mask) + 1e-6 * len(waveforms),
            "Sums over a batch are added up in another order; the last digits may differ.",
        ),
    }
    generator = torch.Generator().manual_seed(1)
    batch = pad([torch.randn(length, generator=generator) for length in (6_000, 4_500, 3_000)])
    return [Case(run, batch.waveforms, batch.mask, because=why, label=name) for name, (run, why) in models.items()]


def _rows(*counts: int, frames: int) -> Tensor:
    return padding_masks.frame_mask(torch.tensor(counts), frames)


CASES = {
    "4.1": lambda: [
        Case(torch.tensor(LENGTHS), FRAMES[0]),
        Case(
            torch.tensor([719, 720, 400]),
            2,
            because="The second frame reads samples {{HOP}} to {{HOP + FIELD - 1}}; it is valid from {{HOP + FIELD}} samples on.",
        ),
        Case(torch.tensor([23_456, 40_000]), T(40_000)),
    ],
    "4.2": lambda: [
        Case(_rows(4, 2, 1, frames=4), label="frame_mask with 4, 2 and 1 valid frames of 4"),
        Case(_rows(3, 5, frames=5), label="frame_mask with 3 and 5 valid frames of 5"),
    ],
    "4.3": lambda: [
        Case(_rows(4, 2, frames=4), "valid", 4, label="a bool mask, True = valid"),
        Case(_rows(4, 2, frames=4).long(), "valid", 4, label="an integer mask, 1 = valid"),
        Case(~_rows(4, 1, frames=4), "padding", 4, label="a bool mask, True = padding"),
        Case((~_rows(4, 1, frames=4)).to(torch.uint8), "padding", 4, label="an integer mask, 1 = padding"),
        Case(
            padding_masks.additive_mask(_rows(3, 1, frames=3)), "additive", 3, label="an additive mask with finfo.min"
        ),
        Case(
            10_000.0 * (_rows(3, 1, frames=3).float() - 1), "additive", 3, label="an additive mask with {{TORCHAUDIO}}"
        ),
        Case(torch.tensor([5, 2, 0]), "lengths", 5, label="lengths 5, 2 and 0 of 5"),
    ],
    "4.4": lambda: [
        Case(_rows(8, 5, frames=8), because="A mask in Hugging Face's convention."),
        Case(~_rows(8, 5, frames=8), because="The same batch, True = padding."),
        Case(_rows(9, 2, 1, frames=9), because="Mostly padding, and right."),
        Case(_rows(4, 4, frames=4), because="No padding at all."),
        Case(~_rows(4, 4, frames=4), because="No padding, True = padding: all False."),
        Case(~_rows(9, 8, 8, frames=9), because="Hardly any padding, True = padding."),
    ],
    "4.5": _cases_of_alone,
}
