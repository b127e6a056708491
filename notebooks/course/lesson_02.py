"""Lesson 2: from samples to frames, derived, observed and proved."""

from __future__ import annotations

import dataclasses
from functools import cache

import torch

from course.contents import COURSE
from course.exercise import Case
from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2Model, receptive_field

LESSON = COURSE[2]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
KERNELS, STRIDES = config.conv_kernel, config.conv_stride
T, SECOND, HOP, FIELD = geometry.frame_count, geometry.sample_rate, geometry.hop, geometry.receptive_field
C, D = config.conv_dim[-1], config.hidden_size
RATE = SECOND // HOP  # frames per second
HOP_MS, FIELD_MS = 1000 * HOP // SECOND, 1000 * FIELD // SECOND
CENTRE = geometry.centre_ms(0)  # ms
OVERLAP = FIELD - HOP
ONE, TWO = geometry.samples_for(1), geometry.samples_for(2)  # every length with one frame, with two
THREAD = 2 * HOP  # samples; what a thread gives as the shortest clip with two frames
SOME, SOME_KERNEL, SOME_STRIDE = 10, 3, 2  # the toy convolution
FRAME, NOISE = 3, 4_000  # the frame whose receptive field is measured, and the noise clip's samples
SPAN = geometry.span(FRAME)
TAIL = geometry.samples_for(24)  # lengths with the same 24 frames
MASK_LENGTH = config.mask_time_length  # frames
STRETCHED = SECOND / T(SECOND)  # samples per frame, as many tutorials have it
LAST = T(SECOND) - 1
LATE = 1000 * LAST * STRETCHED / SECOND  # ms
FIRST = FrameGeometry([10, 8, 4, 4, 4], [5, 4, 2, 2, 2])  # wav2vec 1.0 and vq-wav2vec


def drift(samples: int) -> float:
    """How late samples / T puts the start of the last frame, in ms."""
    frames = T(samples)
    return 1000 * (frames - 1) * (samples / frames - HOP) / SECOND


SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config
config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
"""


@cache
def field_with_layer_norm():
    """Receptive field of frame 3 in TINY with layer norm; weights random."""
    torch.manual_seed(0)
    tiny = dataclasses.replace(Wav2Vec2Config.tiny(), feat_extract_norm="layer")
    return receptive_field(Wav2Vec2Model(tiny), FRAME, samples=NOISE)


# ---------------------------------------------------------------- exercises

CASES = {
    "2.2": (
        Case(SECOND, because="One second."),
        Case(ONE[0] - 1, because="No full window fits."),
        Case(ONE[0], because="One window fits to the sample."),
        Case(ONE[-1], because="The second window lacks one sample."),
        Case(TWO[0], because="The second window fits to the sample."),
        Case(16_079),
        Case(16_080),
        Case(16_200),
        Case(450),
        Case(320_000, because="Twenty seconds."),
        Case(15, because="Far too short, and there is no such thing as -1 frames."),
        Case(0, because="Nothing in, nothing out."),
    ),
    "2.3": (Case(1), Case(2), Case(T(SECOND)), Case(999)),
    "2.4": (Case(399), Case(400), Case(9), Case(100), Case(16_000), Case(0), Case(200)),
    "2.5": (Case(0, 16_000), Case(1, 16_000), Case(48, 16_000), Case(48, 16_079), Case(498, 160_000)),
    "2.6": (
        Case(0, 16_000),
        Case(319, 16_000),
        Case(320, 16_000, because="Frame 1 begins here, frame 0 is not over yet."),
        Case(399, 16_000, because="The last sample of frame 0."),
        Case(400, 16_000, because="Frame 0 is over."),
        Case(15_759, 16_000, because="The last sample of the last frame."),
        Case(15_760, 16_000, because="Behind the last frame: the unread tail."),
        Case(700, 719, because="Frame 1 would contain it, but lacks a sample and does not exist."),
        Case(100, 399, because="A clip without frames."),
        Case(0, 400, because="The shortest clip with a frame."),
        Case(159_500, 160_000, because="The last frame of ten seconds."),
    ),
}


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {
    "reads exactly these": lambda: (field_with_layer_norm().span, field_with_layer_norm().status) == (SPAN, "exact"),
}
