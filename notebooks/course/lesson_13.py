"""Lesson 13: fine-tuning, where every length is derived once and checked."""

from __future__ import annotations

import random
from functools import cache

import torch

from course.common import *
from course.contents import COURSE
from course.exercise import Case
from course.finetuning_demo import BUILT_IN, multiplications, of_ten_epochs, read_folder
from w2vlearn import Wav2Vec2Model

LESSON = COURSE[13]

# ---------------------------------------------------------------- what prose computes with

TWO_FRAMES = geometry.samples_for(2)[0]
PROB, LEAST = base.mask_time_prob, base.mask_time_min_masks
WORD, WORD_FRAMES = "THREE", 6  # five letters, and a blank between its two Es
WORD_SAMPLES = geometry.samples_for(WORD_FRAMES)[0]

SHORTEST, LONGEST, USUAL = 0.5, 16, 3  # seconds of the corpus: from, to, most frequent
CLIPS, SIZE = 1000, 8
POOL = 16  # batches, with which less than a tenth is padding
HF_POOL = 50  # transformers' LengthGroupedSampler, for a large corpus
SIX, TWO = 6, 2  # clips in the two parts of a batch
RECORDINGS = read_folder(BUILT_IN)
FEWEST = min(T(len(recording.clip)) for recording in RECORDINGS)  # frames


@cache
def corpus() -> tuple[int, ...]:
    """Lengths in samples, as the lesson draws them."""
    chance = random.Random(0)
    return tuple(round(SECOND * chance.triangular(SHORTEST, LONGEST, USUAL)) for _ in range(CLIPS))


@cache
def corpus_waste(pool: int) -> float:
    """Share of padding in batches of `SIZE`."""
    return of_ten_epochs(corpus(), SIZE, pool)[0]


ENCODER, BEHIND = multiplications(base, SECOND)
SAVED = 2 * ENCODER / (3 * (ENCODER + BEHIND))  # forward once, backward twice


@cache
def parameter_share() -> float:
    """Share of BASE's parameters that belong to its feature encoder."""
    with torch.device("meta"):
        model = Wav2Vec2Model(base)
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    return count(model.feature_extractor) / count(model)


# ---------------------------------------------------------------- exercises

CASES = {
    "13.1": (
        Case([10, 6, 12, 5, 5], 0, because="THREE: five labels, and a blank between E and E."),
        Case([10, 6, 12, 5, 5], 10, because="A span of hidden frames has to fit, too; the text needs fewer."),
        Case([7, 8, 5] * 5, 10, because="Here the text needs more frames than the span."),
        Case([5, 5, 5], 0, because="Two pairs of equal neighbours."),
        Case([5, 6, 5], 2, because="Equal labels that are no neighbours merge with nothing."),
        Case([], 0, because="Even an empty text needs a frame: without one the model refuses the clip."),
    ),
    "13.2": (
        Case([3, 0, 2, 1, 4, 5], [5, 9, 1, 7, 3, 8], 2, 1, because="A pool of one batch: who is in it stays as the order says, the short ones first."),
        Case([3, 0, 2, 1, 4, 5, 7, 6], [5, 9, 1, 7, 3, 8, 2, 6], 2, 2, because="Two pools of two batches."),
        Case([0, 1, 2, 3, 4, 5, 6], [7, 1, 6, 2, 5, 3, 4], 2, 2, because="What is left over makes a small batch; no clip is lost."),
        Case([4, 3, 2, 1, 0], [1, 2, 3, 4, 5], 2, 100, because="One pool for all: sorted."),
        Case([6, 2, 5, 1, 0, 4, 3, 7, 8], [5, 90, 1, 70, 3, 80, 2, 60, 4], 3, 2, because="Pools are counted in batches: here six clips."),
    ),
    "13.3": (
        Case([0, 1, 2, 3, 4], [3, 1, 2, 2, 5], 6, because="Two clips of at most three samples are six; a third would make it nine."),
        Case([4, 0, 1, 2, 3], [3, 1, 2, 2, 5], 4, because="The first clip alone has five samples, more than four: it gets a batch for itself."),
        Case([1, 2, 3, 0, 4], [3, 1, 2, 2, 5], 10, because="In order of length: three clips of at most two samples, then two of at most five."),
        Case([3, 2, 1, 0], [3, 1, 2, 2, 5], 5),
    ),
    "13.4": (
        Case([6, 2], because="Eight clips; the first batch has six of them."),
        Case([4, 4, 4], because="Batches of equal size: here the mean of means is the mean."),
        Case([1], because="One batch is the whole."),
        Case([3, 1, 2, 2, 8], because="The factors of all batches sum to 1."),
    ),
}  # fmt: skip
