"""Lesson 1: any recording becomes a row of a batch."""

from __future__ import annotations

import dataclasses
from functools import cache

import torch

from course.contents import COURSE
from course.exercise import Case
from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2Model, pad
from w2vlearn.audio import example

LESSON = COURSE[1]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
tiny = Wav2Vec2Config.tiny()
geometry = FrameGeometry.from_config(config)
T, SECOND = geometry.frame_count, geometry.sample_rate
HOP, C, D = geometry.hop, config.conv_dim[-1], config.hidden_size

YES, DIGITS = (len(example(name)) for name in ("yes", "digits"))  # samples
WRONG_RATE, PHONE, STUDIO = 22_050, 8_000, 48_000  # Hz: librosa's default, a telephone, a studio
RESAMPLED = -(-YES * WRONG_RATE // SECOND)  # samples of "yes" at the wrong rate, as soxr rounds
BITS, STEPS = 16, 2**15  # what a CD or a WAV file stores
CASE_SECONDS, CASE_FRAMES = 9.36, 644  # a real question: TencentGameMate/chinese_speech_pretrain, issue 30
CASE_RIGHT = T(round(CASE_SECONDS * SECOND))
OFFSET = 0.05  # a constant that a cheap microphone adds
LOUDER = 10
RATES = "8000, 11025, 16000, 22050, 24000, 44100 or 48000"
EPSILON = "1e-7"
STRETCH = (DIGITS / YES) ** 0.5  # what normalising over the padding does to the standard deviation

SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config, pad
geometry = FrameGeometry.from_config(Wav2Vec2Config.tiny())
"""


@cache
def loudness(norm: str) -> float:
    """How much a clip ten times louder changes what leaves TINY, in per cent of its size; weights random."""
    torch.manual_seed(0)
    model = Wav2Vec2Model(dataclasses.replace(tiny, feat_extract_norm=norm, conv_bias=norm == "layer")).eval()
    with torch.no_grad():
        usual, loud = (model(scale * example("yes")[None]).last_hidden_state for scale in (1, LOUDER))
    return float(100 * (loud - usual).norm() / usual.norm())


# ---------------------------------------------------------------- exercises


def recordings() -> list[Case]:
    """Integer recordings (L, channels) on which the usual slips differ."""

    def case(rows, because=""):
        return Case(torch.tensor(rows, dtype=torch.int16), because=because, label=str(rows))

    return [
        case([[16384, 0], [-32768, -32768], [8192, 24576]], "Each row is one moment; its channels are averaged."),
        case([[1000, 3000], [-500, 100]], "Two moments, two channels: the averages go along the second axis."),
        case([[-32768], [32767], [5]], "One channel is its own average; the shape is still (L,)."),
        case([[1, 2, 3, 6]], "One moment of four channels is one sample."),
    ]


def toy_clips() -> list[Case]:
    """Lists of readable clips: ramps, and one that holds real silence."""

    def case(*rows, because=""):
        return Case(
            [torch.tensor(row, dtype=torch.float32) for row in rows],
            because=because,
            label=str([list(r) for r in rows]),
        )

    return [
        case(
            (1, 2, 3),
            (4, 5, 6, 7, 8),
            because="Two clips, the longer has five samples: both tensors are ({{2}}, {{5}}).",
        ),
        case((1, 0, 2, 0), (0, 0), (3, 4, 5), because="A sample of 0 is silence, and valid."),
        case((7, 8), because="One clip is a batch of one, without padding."),
    ]


def toy_batches() -> list[Case]:
    """Padded batches (B, L) with their masks."""
    batch = pad([torch.tensor([1.0, 3.0, 8.0]), torch.tensor([2.0, 2.0, 5.0, 1.0, 0.0, 2.0])], minimum_samples=1)
    silent = pad([torch.zeros(2), torch.tensor([-1.0, 1.0, 3.0])], minimum_samples=1)
    return [
        Case(
            batch.waveforms,
            batch.mask,
            label="clips of 3 and 6 samples",
            because="Each clip has mean 0 and standard deviation 1 over its valid samples, and its padding is 0.",
        ),
        Case(
            silent.waveforms,
            silent.mask,
            label="a clip of pure silence beside another",
            because="Silence has variance 0; the small number under the root keeps it silence.",
        ),
    ]


def not_float32(to_clip) -> str | None:
    """Says so if the samples came out in another precision."""
    dtype = to_clip(torch.zeros(3, 2, dtype=torch.int16)).dtype
    if dtype == torch.float32:
        return None
    return f"every value is right, but as {str(dtype)[6:]}. The model's weights are float32, and it wants the same."


CASES = {
    "1.2": recordings,
    "1.3": toy_clips,
    "1.4": toy_batches,
}
JUDGES = {"1.2": not_float32}


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"


def _same_in_every_batch() -> bool:
    yes, digits, question = (example(name) for name in ("yes", "digits", "question"))
    alone = pad([yes], normalize=True).waveforms[0]
    return all(torch.equal(alone, pad([yes, o], normalize=True).waveforms[0, :YES]) for o in (digits, question))


CLAIMS = {"a clip is exactly the same in every batch": _same_in_every_batch}
