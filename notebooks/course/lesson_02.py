"""Lesson 2: from samples to frames, derived, observed and proved."""

from course.common import *
from course.contents import COURSE
from course.exercise import Case
from w2vlearn import FrameGeometry

LESSON = COURSE[2]

# ---------------------------------------------------------------- what prose computes with

KERNELS, STRIDES = base.conv_kernel, base.conv_stride
ONE, TWO = geometry.samples_for(1), geometry.samples_for(2)  # every length with one frame, with two
SOME, SOME_KERNEL, SOME_STRIDE = 10, 3, 2  # the toy convolution
FRAME = 3  # whose receptive field is measured
SPAN = geometry.span(FRAME)
TAIL = geometry.samples_for(24)  # lengths with the same 24 frames
LAST = T(SECOND) - 1
FIRST = FrameGeometry([10, 8, 4, 4, 4], [5, 4, 2, 2, 2])  # wav2vec 1.0 and vq-wav2vec

# ---------------------------------------------------------------- exercises

CASES = {
    "2.2": (
        Case(SECOND, because="One second."),
        Case(ONE[0] - 1, because="No full window fits."),
        Case(ONE[0], because="One window fits to the sample."),
        Case(ONE[-1], because="The second window lacks one sample."),
        Case(TWO[0], because="The second window fits to the sample."),
        Case(450),
        Case(16_200),
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
