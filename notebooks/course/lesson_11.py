"""Lesson 11: famous errors and silent traps, each with the smallest input that shows it."""

from __future__ import annotations

import functools

import torch

from course.common import *
from course.contents import COURSE
from course.traps import moved_by_traps

LESSON = COURSE[11]

# ---------------------------------------------------------------- what prose computes with

LOUDEST = 32_768  # of 16-bit samples
XVECTOR = 1 + sum((kernel - 1) * dilation for kernel, dilation in ((5, 1), (3, 2), (3, 3)))  # frames the TDNN needs
XVECTOR_RUNS, XVECTOR_WORKS = (geometry.samples_for(frames)[0] for frames in (XVECTOR, XVECTOR + 1))  # samples
# The text that torch and transformers print: a search for the message must find this page.
MESSAGES = {
    "short": (
        "Calculated padded input size per channel: (1). Kernel size: (2). "
        "Kernel size can't be greater than actual input size"
    ),
    "group norm": "Expected more than 1 value per channel when training, got input size [1, 24, 1]",
    "span": "`mask_length` has to be smaller than `sequence_length`, but got `mask_length`: 10 and `sequence_length`: 9`",
    "4-D": "Expected 2D (unbatched) or 3D (batched) input to conv1d, but got input of size: [1, 1, 1, 16000]",
    "1-D": (
        "Given groups=1, weight of size [24, 1, 10], expected input[1, 16000, 1] to have 1 channels, "
        "but got 16000 channels instead"
    ),
    "mask batch": (
        "The shape of the mask [1, 49, 48] at index 0 does not match the shape of the indexed tensor [2, 49, 48] at index 0"
    ),
    "double": "expected scalar type Double but found Float",
    "short int": "expected scalar type Short but found Float",
    "half": "value cannot be converted to type c10::Half without overflow",
    "ragged": (
        "Unable to convert output 'input_values' (type: list) to tensor: setting an array element with a sequence. "
        "The requested array has an inhomogeneous shape after 1 dimensions."
    ),
    "rate": (
        "was trained using a sampling rate of 16000. Please make sure that the provided `raw_speech` input was sampled "
        "with 16000 and not 8000."
    ),
    "mono": "Only mono-channel audio is supported for input to Wav2Vec2FeatureExtractor",
    "max_length": (
        "When setting ``padding=PaddingStrategy.MAX_LENGTH``, make sure that max_length is defined"
    ),
    "feature span": (
        "`mask_length` has to be smaller than `sequence_length`, but got `mask_length`: 100 and `sequence_length`: 48`"
    ),
    "negatives": "high <= 0",
    "ctc": "Expected input_lengths to have value at least 0, but got value -1",
    "50 columns": (
        "The shape of the mask [1, 50] at index 1 does not match the shape of the indexed tensor [1, 49, 48] at index 1"
    ),
    "long mask": "index 1 is out of bounds for dimension 0 with size 1",
    "no vector": "'Wav2Vec2Model' object has no attribute 'masked_spec_embed'",
    "50 labels": "Expected input batch_size (49) to match target batch_size (50).",
    "one-hot": "shape '[-1, 3]' is invalid for input of size 49",
    "label": "Label values must be <= vocab_size: 32",
    "x-vector": (
        "Calculated padded input size per channel: (6). Kernel size: (7). "
        "Kernel size can't be greater than actual input size"
    ),
}  # fmt: skip


@functools.cache
def batch_leaks(samples: int) -> dict[str, float]:
    """How far each silent trap moves the short clip's frames, relative to the clip alone; TINY, random weights."""
    with torch.random.fork_rng():
        return moved_by_traps(samples)
