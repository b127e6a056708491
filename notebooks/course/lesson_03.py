"""Lesson 3: one Linear for every frame, and the tensor that everybody calls the features."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from course.contents import COURSE
from course.exercise import Case
from w2vlearn import FrameGeometry, Wav2Vec2Config
from w2vlearn.show import palette

LESSON = COURSE[3]

# ---------------------------------------------------------------- what prose computes with

config, large, tiny = Wav2Vec2Config.base(), Wav2Vec2Config.large(), Wav2Vec2Config.tiny()
geometry = FrameGeometry.from_config(config)
T, SECOND = geometry.frame_count, geometry.sample_rate
HOP, FIELD = geometry.hop, geometry.receptive_field
C, D = config.conv_dim[-1], config.hidden_size
LARGE_D = large.hidden_size
POSITIONS = config.num_conv_pos_embeddings
WEIGHTS = C * D + D + 2 * C  # parameters of BASE's feature projection
CHANNELS_FIRST = (1, C, T(SECOND))
SHAPES = (
    (C,),
    (T(SECOND), C),
    (1, T(SECOND), C),
    (3, T(40_000), C),
    (2, 3, 5, C),
    (0, T(SECOND), C),
    CHANNELS_FIRST,
)
SHAPES_TEXT = "\n".join(f"* `{shape}`" for shape in SHAPES)
SQUARE_SAMPLES = geometry.samples_for(C)  # clips with as many frames as a frame has channels
SQUARE_SECONDS = SQUARE_SAMPLES[0] / SECOND
EPSILON = "1e-5"
UNREAD = geometry.unread(4 * SECOND)[-1] + 1 - HOP // 4  # a sample that no frame of four seconds reads
STAGES = {
    "convolutions": palette.FEATURE_ENCODER,
    "LayerNorm": palette.PROJECTION,
    "Linear": palette.PROJECTION,
    "positions": palette.POSITIONS,
    "Transformer": palette.TRANSFORMER,
}

SETUP = """
import torch
from torch import nn
"""


@cache
def runs() -> int:
    """How many of `SHAPES` a Linear(C -> D) takes."""
    linear, count = nn.Linear(C, D), 0
    for shape in SHAPES:
        try:
            linear(torch.zeros(shape))
            count += 1
        except RuntimeError:
            pass
    return count


def refusal() -> str:
    """PyTorch's words when the convolutions' output goes into the Linear as it is."""
    try:
        nn.Linear(C, D)(torch.zeros(CHANNELS_FIRST))
    except RuntimeError as error:
        return f"RuntimeError: {error}"
    return "nothing: it runs"


def _frames_alone_equal_the_batch() -> bool:
    linear, x = nn.Linear(24, 48), torch.randn(3, 5, 24)
    return torch.allclose(linear(x)[:, 3], linear(x[:, 3]), atol=1e-6)


# ---------------------------------------------------------------- exercises


def _tensor(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _layers() -> dict[str, tuple]:
    """Layers (B, T, C) -> (B, T, C') for exercise 3.3, each with why it mixes time or does not; C = 6."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear, norm, wide = nn.Linear(6, 8), nn.LayerNorm(6), nn.LayerNorm((9, 6))
        single, triple = nn.Conv1d(6, 8, 1), nn.Conv1d(6, 8, 3, padding=1)
        late = nn.Conv1d(6, 8, 3)

    def along_time(convolution, before: int = 0, after: int = 0):
        return lambda x: convolution(nn.functional.pad(x.transpose(1, 2), (before, after))).transpose(1, 2)

    def attention(x):
        return (x @ x.transpose(1, 2)).softmax(-1) @ x

    return {
        "Linear": (linear, "It reads one frame at a time."),
        "LayerNorm over the channels": (norm, "Mean and variance of one frame are its own affair."),
        "a convolution with kernel 1": (along_time(single), "Kernel 1 is a Linear in disguise."),
        "a convolution with kernel 3": (along_time(triple), "Each frame reads its two neighbours."),
        "a convolution that looks back": (
            along_time(late, before=2),
            "Each frame reads the two before it: frames after the one you change are those that notice.",
        ),
        "a convolution that looks ahead": (
            along_time(late, after=2),
            "Each frame reads the two after it: frames before the one you change are those that notice.",
        ),
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


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {"never sees the length": _frames_alone_equal_the_batch}
