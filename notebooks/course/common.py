"""What several lessons compute with: BASE and its frame geometry, lengths, the digit models and how well they hear.

A lesson's file takes all names from here, since its prose may compute with any of them (``{{T(SECOND)}}``); what only
that lesson needs stands in its own file.
"""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from importlib import resources
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn import FrameGeometry, Wav2Vec2Config, load, pad
from w2vlearn.audio import example

base, large, tiny = Wav2Vec2Config.base(), Wav2Vec2Config.large(), Wav2Vec2Config.tiny()
geometry = FrameGeometry.from_config(base)  # LARGE and TINY have the same
T, SECOND, HOP, FIELD = geometry.frame_count, geometry.sample_rate, geometry.hop, geometry.receptive_field
MS, HOUR = SECOND // 1000, 3600 * SECOND  # samples
RATE = SECOND // HOP  # frames per second
HOP_MS, FIELD_MS, CENTRE = HOP // MS, FIELD // MS, geometry.centre_ms(0)  # ms; the centre of frame 0
OVERLAP = FIELD - HOP
C, D = base.conv_dim[-1], base.hidden_size
KERNEL = base.num_conv_pos_embeddings  # frames, of the positional convolution
SPAN = base.mask_time_length  # frames of one span of a time mask
SPAN_SAMPLES = geometry.samples_for(SPAN)[0]  # the shortest clip that such a span fits in
CROP_BASE, CROP_LARGE = 250_000, 320_000  # samples: max_sample_size in fairseq's pre-training configs
FLOAT = 4  # bytes of a float32
HALF_MAX = int(torch.finfo(torch.float16).max)
BILLION, EPSILON = "-1e9", "1e-5"  # many a tutorial's minus infinity; under a norm's root, and float error
PHONE = 8_000  # Hz
IGNORED = 100  # -100 fills rows of labels up
YES, DIGITS = (len(example(name)) for name in ("yes", "digits"))  # samples

# What the solutions of all exercises are run with.
SETUP = """
import torch
from torch import nn
from w2vlearn import FrameGeometry, Wav2Vec2Config
config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
"""


def seeded(kind: type[nn.Module], norm: str = "group", **changes: Any) -> nn.Module:
    """A TINY model of this class in eval mode, its random weights the same each time; norm as in BASE, or "layer"."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(dataclasses.replace(tiny, feat_extract_norm=norm, conv_bias=norm == "layer", **changes)).eval()


def first_conv_gb(samples: int) -> float:
    """Output of BASE's first convolution for one clip, float32, in GB."""
    return base.conv_dim[0] * geometry.lengths(samples)[0] * FLOAT / 1e9


def stretched_ms(samples: int, t: int) -> float:
    """Where duration / frames puts the start of frame ``t``, in ms."""
    return t * samples / T(samples) / MS


def moved(states: Tensor, reference: Tensor) -> float:
    """Relative distance, 0 for equal up to float error."""
    return float((states - reference).norm() / reference.norm())


def normalised(row: Tensor) -> Tensor:
    """Mean 0 and variance 1, as the digit models want it."""
    return pad([row], normalize=True).waveforms[0]


@cache
def digit_model(norm: str) -> nn.Module:
    """A trained digit model, ``"group"`` or ``"layer"``."""
    return load(f"digits-{norm}")


@cache
def metrics(norm: str) -> dict[str, Any]:
    """What was measured of a digit model when it was trained (``metrics.json`` beside its weights)."""
    file = resources.files("w2vlearn") / "data" / f"digits_{norm}" / "metrics.json"
    return json.loads(file.read_text(encoding="utf-8"))


def trained(norm: str, padded_to: float, mask: bool, figure: str = "word_accuracy", frames: str = "valid") -> float:
    """One of these figures in per cent, for clips padded to so many times their length.

    On strings of digits by voices and accents that training left out, with noise at 20 dB.
    """
    wanted = {"padded_to": padded_to, "mask": mask and padded_to > 1, "frames": frames}
    return 100 * next(row[figure] for row in metrics(norm)["padding"] if wanted.items() <= row.items())
