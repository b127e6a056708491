"""Lesson 6: where positions come from, and what attention costs."""

from __future__ import annotations

import torch

from course.common import *
from course.contents import COURSE
from course.exercise import Case
from w2vlearn import pad
from w2vlearn.audio import example
from w2vlearn.model.encoder import eager_attention
from w2vlearn.padding_masks import attention_mask, frame_mask
from w2vlearn.show import Picture, line_figure
from w2vlearn.show.track_figure import Track, track_figure

LESSON = COURSE[6]

# ---------------------------------------------------------------- what prose computes with

H = base.num_attention_heads
SHORT_FRAMES, LONG_FRAMES = 19, 29  # valid frames of the two clips whose attention weights are drawn
REACH_FRAMES = 300  # T of the clip on which the positional convolution's reach is drawn


def weights_gb(samples: int) -> float:
    """Attention weights of one BASE layer, if they are stored, for one clip: (1, H, T, T) float32, in GB."""
    return H * T(samples) ** 2 * FLOAT / 1e9


CROSSING = next(s for s in range(1, 600) if weights_gb(s * SECOND) > first_conv_gb(s * SECOND))  # seconds

# ---------------------------------------------------------------- what is drawn


def reach_figure(t: int) -> Picture:
    """The frames that the positional convolution reads for frame ``t``, and the zeros beyond the clip's ends."""
    first, stop = t - KERNEL // 2, t + KERNEL // 2
    beyond = [(first, min(stop, 0), "padding"), (max(first, REACH_FRAMES), stop, "padding")]
    read = (max(0, first), min(stop, REACH_FRAMES), "valid")
    others = [(0, read[0], "pale"), (read[1], REACH_FRAMES, "pale")]
    pieces = sorted(piece for piece in (*beyond, read, *others) if piece[0] < piece[1])
    zeros = KERNEL - (read[1] - read[0])
    return track_figure(
        [Track("frames", pieces, f"{zeros} zeros", [t])],
        x_label="frame",
        title=f"Frame {t} reads {first} … {stop - 1}",
        words={"valid": "solid: read", "pale": "pale: not read", "padding": "diagonal lines: zeros beyond the end"},
        mark="frame t",
        limits=(-KERNEL // 2, REACH_FRAMES + KERNEL // 2),
    )


def cost_figure(seconds: int) -> Picture:
    """Memory of one clip over its length, both axes logarithmic, with a line at ``seconds``."""
    lengths = [10, 15, 20, 30, 45, CROSSING, 90, 120, 300, 600, 1800, 3600]
    costs = {"attention weights, one layer, eager": weights_gb, "first convolution": first_conv_gb}
    now = {name: cost(seconds * SECOND) for name, cost in costs.items()}
    numbers = [f"{value:.0f}" if value >= 10 else f"{value:.2g}" for value in now.values()]
    told = ", ".join(f"{name} {number} GB" for name, number in zip(now, numbers, strict=True))
    picture = line_figure(
        lengths,
        {name: [cost(length * SECOND) for length in lengths] for name, cost in costs.items()},
        title=f"One clip of {seconds} s in BASE, float32: T = {T(seconds * SECOND)}",
        x_label="seconds",
        y_label="GB",
        log_x=True,
        log_y=True,
        seams={f"{' and '.join(numbers)} GB": seconds},
        alt=f"At {seconds} s, T = {T(seconds * SECOND)}: {told}. The lines cross at about {CROSSING} s.",
    )
    return Picture(picture.html, picture.alt)


def head_panels(frames: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor) -> tuple[dict, dict]:
    """Tables for `cells_figure`: small frames (T, D) and their heads (H, T, d), with the frame of every number."""
    panels = {"frames (T, D)": frames}
    for name, heads in (("right", right), ("reshaped", wrong)):
        panels |= {f"{name}, head {head}": table for head, table in enumerate(heads)}
    return panels, {name: table // frames.shape[1] for name, table in panels.items()}


def attention_shares() -> dict[str, torch.Tensor]:
    """Weights (T, T) of one head of a trained model's first layer, without the mask and with it."""
    model, clip = digit_model("layer"), example("digits")
    batch = pad([clip[: geometry.samples_for(frames).start] for frames in (SHORT_FRAMES, LONG_FRAMES)], normalize=True)
    attention = model.wav2vec2.encoder.layers[0].attention
    with torch.no_grad():
        output = model.wav2vec2(batch.waveforms, batch.mask, output_hidden_states=True)
        query, key = (
            part(output.hidden_states[0][:1]).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)  # (1, H, T, d)
            for part in (attention.q_proj, attention.k_proj)
        )
    masks = {"no mask": None, "mask": attention_mask(output.frame_mask[:1])}
    identity = torch.eye(LONG_FRAMES)  # as values: attention makes its weights of them
    weights = {name: eager_attention(query, key, identity, mask)[0] for name, mask in masks.items()}  # (H, T, T)
    head = int(weights["no mask"][:, :SHORT_FRAMES, SHORT_FRAMES:].sum(dim=(1, 2)).argmax())
    return {name: table[head] for name, table in weights.items()}


# ---------------------------------------------------------------- exercises


def _queries() -> list[Case]:
    """Small queries and keys (B, H, T, d) with frame masks (B, T)."""
    generator = torch.Generator().manual_seed(0)
    query, key = (2 * torch.randn(2, 2, 4, 3, generator=generator) for _ in range(2))
    mask = frame_mask(torch.tensor([2, 4]), 4)
    padded = "Each row sums to 1 over the valid keys; padded keys have weight 0."
    plain = "Scores divided by the root of d, then a softmax over the keys, the last axis."
    return [
        Case(query, key, mask, label="2 clips of 2 and 4 valid frames", because=padded),
        Case(query[:1], key[:1], mask[1:], label="one clip without padding", because=plain),
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
    ),
    "6.2": _queries,
    "6.3": (
        Case([16_000], because="One clip: heads times frames times frames, four bytes each."),
        Case([16_000, 40_000], because="The longest clip decides T for both."),
        Case([480_000], because="Thirty seconds: T enters as its square."),
    ),
}
