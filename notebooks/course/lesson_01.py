"""Lesson 1: any recording becomes a row of a batch."""

from __future__ import annotations

from functools import cache

import torch

from course.common import *
from course.contents import COURSE
from course.exercise import Case
from w2vlearn import Wav2Vec2Model, pad
from w2vlearn.audio import example

LESSON = COURSE[1]

# ---------------------------------------------------------------- what prose computes with

WRONG_RATE, STUDIO = 22_050, 48_000  # Hz: librosa's default, a studio
RESAMPLED = -(-YES * WRONG_RATE // SECOND)  # samples of "yes" at the wrong rate, as soxr rounds
BITS, STEPS = 16, 2**15  # what a CD or a WAV file stores
CASE_SECONDS, CASE_FRAMES = 9.36, 644  # a real question: TencentGameMate/chinese_speech_pretrain, issue 30
CASE_RIGHT = T(round(CASE_SECONDS * SECOND))
OFFSET = 0.05  # a constant that a cheap microphone adds
LOUDER = 10
RATES = "8000, 11025, 16000, 22050, 24000, 44100 or 48000"
EPSILON = "1e-7"


@cache
def loudness(norm: str) -> float:
    """How much a clip ten times louder changes what leaves TINY, in per cent of its size; weights random."""
    model = seeded(Wav2Vec2Model, norm)
    with torch.no_grad():
        usual, loud = (model(scale * example("yes")[None]).last_hidden_state for scale in (1, LOUDER))
    return 100 * moved(loud, usual)


# ---------------------------------------------------------------- exercises


def _recording(rows: list[list[int]], because: str) -> Case:
    """An integer recording (L, channels)."""
    return Case(torch.tensor(rows, dtype=torch.int16), because=because, label=str(rows))


def _clips(because: str, *rows: list[int]) -> Case:
    return Case([torch.tensor(row, dtype=torch.float32) for row in rows], because=because, label=str([*rows]))


def _padded(clips: list[list[float]], because: str, label: str) -> Case:
    batch = pad([torch.tensor(clip) for clip in clips], minimum_samples=1)
    return Case(batch.waveforms, batch.mask, because=because, label=label)


def not_float32(to_clip) -> str | None:
    """Says so if the samples came out in another precision."""
    dtype = to_clip(torch.zeros(3, 2, dtype=torch.int16)).dtype
    if dtype == torch.float32:
        return None
    return f"every value is right, but as {str(dtype)[6:]}. The model's weights are float32, and it wants the same."


CASES = {
    "1.2": lambda: [
        _recording([[16384, 0], [-32768, -32768], [8192, 24576]], "Each row is one moment; its channels are averaged."),
        _recording([[-32768], [32767], [5]], "One channel is its own average; the shape is still (L,)."),
        _recording([[1, 2, 3, 6]], "One moment of four channels is one sample."),
    ],
    "1.3": lambda: [
        _clips("Two clips, the longer has five samples: both tensors are ({{2}}, {{5}}).", [1, 2, 3], [4, 5, 6, 7, 8]),
        _clips("A sample of 0 is silence, and valid.", [1, 0, 2, 0], [0, 0], [3, 4, 5]),
        _clips("One clip is a batch of one, without padding.", [7, 8]),
    ],
    "1.4": lambda: [
        _padded(
            [[1.0, 3.0, 8.0], [2.0, 2.0, 5.0, 1.0, 0.0, 2.0]],
            "Each clip has mean 0 and standard deviation 1 over its valid samples, and its padding is 0.",
            "clips of 3 and 6 samples",
        ),
        _padded(
            [[0.0, 0.0], [-1.0, 1.0, 3.0]],
            "Silence has variance 0; the small number under the root keeps it silence.",
            "a clip of pure silence beside another",
        ),
    ],
}
JUDGES = {"1.2": not_float32}
