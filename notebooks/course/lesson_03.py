"""Lesson 3: one Linear for every frame, and the tensor that everybody calls the features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from course.common import *
from course.contents import COURSE
from course.exercise import Case
from w2vlearn.show import palette

LESSON = COURSE[3]

# ---------------------------------------------------------------- what prose computes with

LARGE_D = large.hidden_size
CHANNELS_FIRST = (1, C, T(SECOND))
SHAPES = ((C,), (T(SECOND), C), (1, T(SECOND), C), (3, T(40_000), C), (2, 3, 5, C), (0, T(SECOND), C), CHANNELS_FIRST)
SHAPES_TEXT = "\n".join(f"* `{shape}`" for shape in SHAPES)
SQUARE_SAMPLES = geometry.samples_for(C)  # clips with as many frames as a frame has channels
UNREAD = geometry.unread(4 * SECOND)[-1] + 1 - HOP // 4  # a sample that no frame of four seconds reads
STAGES = {
    "convolutions": palette.FEATURE_ENCODER,
    "LayerNorm": palette.PROJECTION,
    "Linear": palette.PROJECTION,
    "positions": palette.POSITIONS,
    "Transformer": palette.TRANSFORMER,
}


def refusal() -> str:
    """PyTorch's words when the convolutions' output goes into the Linear as it is."""
    try:
        nn.Linear(C, D)(torch.zeros(CHANNELS_FIRST))
    except RuntimeError as error:
        return f"RuntimeError: {error}"


# ---------------------------------------------------------------- exercises


def _tensor(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _layers() -> dict[str, tuple]:
    """Layers (B, T, C) -> (B, T, C') for exercise 3.3, each with why it mixes time or does not; C = 6."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear, norm, wide = nn.Linear(6, 8), nn.LayerNorm(6), nn.LayerNorm((9, 6))
        single, triple = nn.Conv1d(6, 8, 1), nn.Conv1d(6, 8, 3)

    def along_time(convolution, before: int, after: int):
        return lambda x: convolution(nn.functional.pad(x.transpose(1, 2), (before, after))).transpose(1, 2)

    def attention(x):
        return (x @ x.transpose(1, 2)).softmax(-1) @ x

    notice = "Each frame reads the two {} it: frames {} the one you change are those that notice."
    return {
        "Linear": (linear, "It reads one frame at a time."),
        "LayerNorm over the channels": (norm, "Mean and variance of one frame are its own affair."),
        "a convolution with kernel 1": (along_time(single, 0, 0), "Kernel 1 is a Linear in disguise."),
        "a convolution with kernel 3": (along_time(triple, 1, 1), "Each frame reads its two neighbours."),
        "a convolution that looks back": (along_time(triple, 2, 0), notice.format("before", "after")),
        "a convolution that looks ahead": (along_time(triple, 0, 2), notice.format("after", "before")),
        "LayerNorm over time and channels": (wide, "One mean for all frames: everybody notices."),
        "attention": (attention, "Every frame looks at every frame."),
    }


CASES = {
    "3.1": (Case(C, D), Case(C, LARGE_D), Case(24, 48), Case(1, 1)),
    "3.2": lambda: [
        Case(_tensor(2, 5, 4), _tensor(3, 4, seed=1), _tensor(3, seed=2), label="features (2, 5, 4), weight (3, 4)"),
        Case(_tensor(4), _tensor(3, 4, seed=1), _tensor(3, seed=2), label="one frame (4,), weight (3, 4)"),
        Case(_tensor(2, 3, 3), _tensor(3, 3, seed=1), _tensor(3, seed=2), label="features (2, 3, 3), weight (3, 3)"),
    ],
    "3.3": lambda: [
        Case(layer, _tensor(2, 9, 6, seed=3), because=why, label=name) for name, (layer, why) in _layers().items()
    ],
    "3.4": lambda: [
        Case(2 * _tensor(2, 4, 6) + 1, label="a tensor (2, 4, 6)"),
        Case(3 * _tensor(1, 5, 5, seed=1) - 2, label="a tensor (1, 5, 5)"),
        Case(
            0.01 * _tensor(1, 4, 3, seed=2),
            label="a very quiet tensor (1, 4, 3)",
            because="Where the variance is small, the number under the root counts.",
        ),
    ],
}
