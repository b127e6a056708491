"""Lesson 10: what of all this holds for your own model."""

from __future__ import annotations

import torch

from course.common import *
from course.contents import COURSE
from course.exercise import Case
from w2vlearn import FrameGeometry
from w2vlearn.show import Picture
from w2vlearn.show.palette import TRANSFORMER
from w2vlearn.show.track_figure import Track, track_figure

LESSON = COURSE[10]

# ---------------------------------------------------------------- what prose computes with

LAYERS, STRIDE = base.num_adapter_layers, base.adapter_stride

OWN_KERNELS, OWN_STRIDES = (10, 3, 3, 3, 3, 2), (5, 2, 2, 2, 2, 2)  # exercise 10.1: one convolution fewer
own = FrameGeometry(OWN_KERNELS, OWN_STRIDES)

WHISPER_SECONDS, MEL_HOP = 30, 160  # Whisper's window; samples between two mel frames
MELS = WHISPER_SECONDS * SECOND // MEL_HOP  # mel frames that Whisper wants
WHISPER_T = MELS // 2  # its second convolution has stride 2
STACKED = 2  # mel frames that w2v-BERT puts side by side
MEL_BANDS = 80
CHECKPOINT = "facebook/wav2vec2-base-960h"


def after_adapter(frames: int, layers: int = LAYERS) -> int:
    """Frames that an adapter of some layers leaves: kernel 3, stride 2, one zero on either side."""
    for _ in range(layers):
        frames = (frames + 2 - base.adapter_kernel_size) // STRIDE + 1
    return frames


# ---------------------------------------------------------------- what is drawn


def beside_whisper(samples: int) -> Picture:
    """What three models make of a clip of ``samples``: how many vectors, and what of their time is padding."""
    seconds, frames = samples / SECOND, T(samples)
    own = [(0, seconds, "valid")]
    filled = [*own, *([(seconds, WHISPER_SECONDS, "padding")] * (seconds < WHISPER_SECONDS))]
    rows = (
        ("wav2vec 2.0", own, frames),
        ("with an adapter", own, after_adapter(frames)),
        ("Whisper", filled, WHISPER_T),
    )
    return track_figure(
        [Track(name, pieces, f"{count} vectors", (), TRANSFORMER) for name, pieces, count in rows],
        x_label="seconds",
        title=f"{samples} samples, {seconds:.3g} s",
        limits=(0, WHISPER_SECONDS),
        words={"valid": "solid: the clip", "padding": "diagonal lines: silence that the processor adds"},
    )


# ---------------------------------------------------------------- exercises


def _weights(*shape: int) -> Case:
    """g and v of a small convolution, shapes (1, 1, K) and (out, in, K)."""
    generator = torch.Generator().manual_seed(0)
    g, v = 1 + torch.rand(1, 1, shape[2], generator=generator), torch.randn(shape, generator=generator)
    because = "Each slice `weight[:, :, k]` has the length `g[0, 0, k]`, over both other axes together."
    return Case(g, v, label=f"g {tuple(g.shape)}, v {shape}", because=because)


CASES = {
    "10.2": (
        Case(T(SECOND), 3, because="The adapter of BASE, on one second."),
        Case(50, 1),
        Case(1, 3, because="A single frame stays one: its neighbours are zeros."),
        Case(7, 0, because="No layer, no change."),
    ),
    "10.3": lambda: [_weights(2, 3, 2), _weights(3, 2, 4)],
}
