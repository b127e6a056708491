"""The two steps of every padding mask: sample mask (B, L) -> frame mask (B, T) -> attention mask (B, 1, T, T).

True means valid, not padding, as in Hugging Face; fairseq's ``padding_mask`` and PyTorch's ``key_padding_mask`` are
the opposite, ``~mask``.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["additive_mask", "attention_mask", "frame_mask", "sample_mask", "zero_padding"]


def sample_mask(lengths: Tensor, samples: int) -> Tensor:
    """Sample mask of right-padded clips.

    Parameters
    ----------
    lengths : Tensor
        Valid samples per clip. Shape: (B,), integer.
    samples : int
        L, the padded length.

    Returns
    -------
    Tensor
        Shape: (B, L), bool; True for valid samples.
    """
    return torch.arange(samples, device=lengths.device) < lengths[:, None]  # (L,) < (B, 1) -> (B, L)


def frame_mask(frame_lengths: Tensor, frames: int) -> Tensor:
    """Step 1. Which of ``frames`` frames are valid. Shapes: (B,) -> (B, T), bool, True for valid frames.

    The valid frames per clip come from its valid samples: ``geometry.frame_counts(lengths)``, (B,) -> (B,).
    """
    return torch.arange(frames, device=frame_lengths.device) < frame_lengths[:, None]  # (T,) < (B, 1) -> (B, T)


def attention_mask(frame_mask: Tensor) -> Tensor:
    """Step 2. Which keys each query may attend to.

    Parameters
    ----------
    frame_mask : Tensor
        Shape: (B, T), bool.

    Returns
    -------
    Tensor
        Shape: (B, 1, T, T), bool, True where a query (third axis) attends to a key (fourth). Only keys are masked:
        every row of a clip is the same, and padded queries still compute something that nobody should read.
    """
    clips, frames = frame_mask.shape
    return frame_mask[:, None, None, :].expand(clips, 1, frames, frames)  # (B, T) -> (B, 1, 1, T) -> (B, 1, T, T)


def zero_padding(hidden_states: Tensor, frame_mask: Tensor) -> Tensor:
    """Set padded frames to 0, so that the positional convolution reads silence there. Shapes: (B, T, D), (B, T)."""
    return hidden_states.masked_fill(~frame_mask[:, :, None], 0.0)


def additive_mask(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The same mask as a number to add to attention scores: 0 = attend, the dtype's lowest finite number = do not.

    ``finfo.min`` and not minus infinity: a row of nothing but -inf turns into NaN in the softmax; -1e9 overflows
    float16, whose range ends at 65504. Shape as given; ``dtype`` floating.
    """
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)
