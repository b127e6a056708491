"""Lesson 6: where positions come from, and what attention costs."""

from __future__ import annotations

import torch

from course.contents import COURSE
from course.exercise import Case
from w2vlearn import FrameGeometry, Wav2Vec2Config
from w2vlearn.audio import example
from w2vlearn.padding_masks import frame_mask

LESSON = COURSE[6]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
tiny = Wav2Vec2Config.tiny()
geometry = FrameGeometry.from_config(config)
T = geometry.frame_count
SECOND, HOP, FIELD = geometry.sample_rate, geometry.hop, geometry.receptive_field
KERNEL, GROUPS = config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups
D, H, DEPTH = config.hidden_size, config.num_attention_heads, config.num_hidden_layers
PER_HEAD = D // H
KERNEL_S = KERNEL * HOP / SECOND  # seconds

YES, QUESTION = (len(example(name)) for name in ("yes", "question"))  # samples
HALF_MINUTE, HOUR = 30 * SECOND, 3600 * SECOND  # samples
CROP_BASE, CROP_LARGE = 250_000, 320_000  # samples: max_sample_size in fairseq's pre-training configs
GIGA, BYTES = 1e9, 4  # bytes of a float32


def weights_gb(samples: int, clips: int = 1) -> float:
    """Attention weights of one BASE layer, if they are stored: (B, H, T, T) float32, in GB."""
    return clips * H * T(samples) ** 2 * BYTES / GIGA


def first_gb(samples: int) -> float:
    """Output of BASE's first convolution, float32, in GB."""
    return config.conv_dim[0] * geometry.lengths(samples)[0] * BYTES / GIGA


CROSSING = next(s for s in range(1, 600) if weights_gb(s * SECOND) > first_gb(s * SECOND))  # seconds

SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config
geometry = FrameGeometry.from_config(Wav2Vec2Config.base())
"""


# ---------------------------------------------------------------- exercises


def queries() -> list[Case]:
    """Small queries and keys (B, H, T, d) with frame masks (B, T)."""
    generator = torch.Generator().manual_seed(0)
    query, key = (2 * torch.randn(2, 2, 4, 3, generator=generator) for _ in range(2))
    return [
        Case(
            query,
            key,
            frame_mask(torch.tensor([2, 4]), 4),
            label="2 clips of 2 and 4 valid frames",
            because="Each row sums to 1 over the valid keys; padded keys have weight 0.",
        ),
        Case(
            query[:1],
            key[:1],
            torch.ones(1, 4, dtype=torch.bool),
            label="one clip without padding",
            because="Scores divided by the root of d, then a softmax over the keys, the last axis.",
        ),
    ]


CASES = {
    "6.1": (
        Case(
            49,
            128,
            because="A window of even length fits into the padded row at one place more than there are frames.",
        ),
        Case(49, 15, because="An odd kernel has a middle: as many come out as went in."),
        Case(1, 128, because="Even one frame works: its neighbours are zeros."),
        Case(124, 3),
        Case(200, 2),
    ),
    "6.2": queries,
    "6.3": (
        Case([16_000], because="One clip: heads times frames times frames, four bytes each."),
        Case([16_000, 40_000], because="The longest clip decides T for both."),
        Case([480_000], because="Thirty seconds: T enters as its square."),
        Case([8_000, 8_000, 24_000]),
    ),
}


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {}
