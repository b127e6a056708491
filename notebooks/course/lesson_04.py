"""Lesson 4: three masks, four ways of writing them, and nobody who complains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from course.contents import COURSE
from course.exercise import Case
from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2Model, padding_masks

LESSON = COURSE[4]

# ---------------------------------------------------------------- what prose computes with

config = dataclasses.replace(Wav2Vec2Config.tiny(), feat_extract_norm="layer", conv_bias=True)
geometry = FrameGeometry.from_config(config)
T, SECOND = geometry.frame_count, geometry.sample_rate
HOP, FIELD = geometry.hop, geometry.receptive_field
LENGTHS = (SECOND, SECOND // 2, SECOND // 4)  # samples of the lesson's three clips
FRAMES = [T(length) for length in LENGTHS]
LONG = 10 * SECOND  # samples: the batch of ten seconds in prediction 4.1
TORCHAUDIO, BILLION = "-10000", "-1e9"  # additive masks of torchaudio, and of many a tutorial
HALF_MAX, HALF_MIN = int(torch.finfo(torch.float16).max), int(torch.finfo(torch.float16).min)
TOLERANCE = "1e-5"
SINGLE_MIN = f"{torch.finfo(torch.float32).min:.1e}"

SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config, padding_masks
geometry = FrameGeometry.from_config(Wav2Vec2Config.tiny())
"""


def shortcut(length: int, samples: int) -> int:
    """Valid frames by the shortcut: cut the remainder, reshape to (T, samples // T), padding if all of a row is."""
    width = samples // T(samples)
    return -(-min(length, T(samples) * width) // width)


def hugging_face(lengths: tuple[int, ...], frames: int) -> list[int]:
    """How many frames Hugging Face's code takes for valid if these are the sums of the mask's rows."""
    counts = []
    for length in lengths:
        for kernel, stride in zip(geometry.kernels, geometry.strides, strict=True):
            length = (length - kernel) // stride + 1
        counts.append(range(frames)[length - 1] + 1)  # index -2 is the last but one
    return counts


@cache
def models() -> dict[str, tuple[Callable[[Tensor, Tensor | None], Tensor], str]]:
    """What exercise 4.5 is tried on: functions (waveforms, sample mask or None) -> (B, T, D), and why each is right or not."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Wav2Vec2Model(config).eval()

    def with_frame_mask(encode: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor | None], Tensor]:
        @torch.no_grad()
        def run(waveforms: Tensor, mask: Tensor | None) -> Tensor:
            hidden = model.feature_projection(model.feature_extractor(waveforms).transpose(1, 2))[0]  # (B, T, D)
            if mask is None:
                return model.encoder(hidden)[0]
            lengths = geometry.frame_counts(mask.sum(1))
            return encode(hidden, padding_masks.frame_mask(lengths, hidden.shape[1]))

        return run

    def second_unmasked(hidden: Tensor, valid: Tensor) -> Tensor:
        valid = valid.clone()
        valid[1:2] |= len(valid) > 1
        return model.encoder(hidden, valid)[0]

    def cut(waveforms: Tensor, mask: Tensor | None) -> Tensor:
        return waveforms.unfold(1, FIELD, HOP)  # (B, L) -> (B, T, 400)

    return {
        "a model that uses its mask": (
            with_frame_mask(lambda hidden, valid: model.encoder(hidden, valid)[0]),
            "Its short clips come out of the batch as they do alone.",
        ),
        "a model that drops its mask": (
            with_frame_mask(lambda hidden, valid: model.encoder(hidden)[0]),
            "Attention looks at padding.",
        ),
        "a model that takes True for padding": (
            with_frame_mask(lambda hidden, valid: model.encoder(hidden, ~valid)[0]),
            "Attention looks at nothing but padding.",
        ),
        "a model that zeroes padding and tells attention nothing": (
            with_frame_mask(lambda hidden, valid: model.encoder(padding_masks.zero_padding(hidden, valid))[0]),
            "Zeros are still looked at: they take their share of the softmax, and the more of them, the more they take.",
        ),
        "a model that forgets the mask of the second clip": (
            with_frame_mask(second_unmasked),
            "One clip of three is moved, and that is one too many.",
        ),
        "a model that only cuts the waveform into frames": (cut, "No frame looks at another one."),
        "the same with a millionth of float error": (
            lambda waveforms, mask: cut(waveforms, mask) + 1e-6 * len(waveforms),
            "Sums over a batch are added up in another order; the last digits may differ.",
        ),
    }


def _cases_of_alone() -> list[Case]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        clips = [torch.randn(length) for length in (6_000, 4_500, 3_000)]
    waveforms = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    mask = padding_masks.sample_mask(torch.tensor([len(clip) for clip in clips]), waveforms.shape[1])
    return [Case(run, waveforms, mask, because=why, label=name) for name, (run, why) in models().items()]


def _rows(*counts: int, frames: int) -> Tensor:
    return padding_masks.frame_mask(torch.tensor(counts), frames)


def weight_of_padding() -> float:
    """What padded keys weigh after the softmax, scores random, mask additive (finfo.min and torchaudio's)."""
    scores, valid = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)), torch.arange(7) < 4
    weights = [
        (scores + torch.where(valid, 0.0, low)).softmax(-1)[:, ~valid]
        for low in (torch.finfo(torch.float32).min, float(TORCHAUDIO))
    ]
    return float(torch.cat(weights).abs().max())


def same_shortcut() -> bool:
    """Whether "all of the piece is padding", turned round, and "some sample of the piece is valid" are the same."""
    frames, width = T(SECOND), SECOND // T(SECOND)
    mask = padding_masks.sample_mask(torch.arange(1, SECOND + 1, 7), SECOND)[:, : frames * width]  # (B, T * width)
    pieces = mask.reshape(len(mask), frames, width)
    return torch.equal(pieces.any(2), ~(~pieces).all(2))


def _masks() -> list[Case]:
    """Right-padded masks, right and inverted."""

    def mask(*lengths: int) -> Tensor:
        return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]

    return [
        Case(mask(8, 5), because="A mask in Hugging Face's convention."),
        Case(~mask(8, 5), because="The same batch, True = padding."),
        Case(mask(9, 2, 1), because="Mostly padding, and right."),
        Case(mask(4, 4), because="No padding at all."),
        Case(~mask(4, 4), because="No padding, True = padding: all False."),
        Case(~mask(9, 8, 8), because="Hardly any padding, True = padding."),
    ]


# ---------------------------------------------------------------- exercises

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
            torch.where(_rows(3, 1, frames=3), 0.0, -10_000.0),
            "additive",
            3,
            label="an additive mask with {{TORCHAUDIO}}",
        ),
        Case(torch.tensor([5, 2, 0]), "lengths", 5, label="lengths 5, 2 and 0 of 5"),
    ],
    "4.4": _masks,
    "4.5": _cases_of_alone,
}


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {
    "padded keys weigh exactly 0": lambda: weight_of_padding() == 0,
    "exactly the same frames": same_shortcut,
    "is never below": lambda: all(
        shortcut(n, longest) >= T(n) for longest in (SECOND, SECOND + 79, 91_000, LONG) for n in range(FIELD, longest)
    ),
}
