"""The boundary: what a model is handed is checked once, here, and nowhere in the layers.

Checks that look at values (NaN, a mask with holes) wait for a GPU and break ``torch.export``, so they run only where
values can be read: not while exporting or compiling, not on the meta device, not on fake tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from w2vlearn.geometry import FrameGeometry

__all__ = ["check_input", "check_sample_mask", "readable"]


def check_input(input_values: Tensor, geometry: FrameGeometry, dtype: torch.dtype) -> None:
    """Raise unless ``input_values`` is a batch of waveforms (B, L) that this model can read.

    Raises
    ------
    TypeError
        If it is no tensor, or not of the model's floating-point ``dtype``.
    ValueError
        If it is not two-dimensional, holds no clip, is too short for one frame, or holds NaN or infinity.
    """
    if not isinstance(input_values, Tensor):
        raise TypeError(
            f"input_values must be a tensor of shape (B, L), found a {type(input_values).__name__}; "
            "for clips of different length use pad(clips).waveforms"
        )
    shape = tuple(input_values.shape)
    if input_values.ndim != 2:
        hint = {
            1: "add the batch axis: waveform[None]",
            3: "the model adds the channel axis itself: give (B, L), mono",
        }.get(input_values.ndim, "one row per clip")
        raise ValueError(f"input_values must have shape (B, L), found {shape}; {hint}")
    if input_values.dtype != dtype:
        raise TypeError(
            f"input_values must be {dtype} like the model's weights, found {input_values.dtype}; use "
            + ("x.to(dtype)" if input_values.is_floating_point() else "x / 32768.0 for 16-bit integers")
        )
    if not torch.compiler.is_exporting():  # sizes are letters there; asking about them would narrow the proof
        if shape[0] == 0:
            raise ValueError("input_values holds no clip: its first axis, B, has size 0")
        if shape[1] < geometry.receptive_field:
            raise ValueError(
                f"the clips have {shape[1]} samples, one frame needs {geometry.receptive_field}: "
                f"{geometry.receptive_field - shape[1]} are missing; pad the waveform with silence"
            )
    if readable(input_values) and not bool(torch.isfinite(input_values).all()):
        clip = int((~torch.isfinite(input_values)).any(dim=1).nonzero()[0])
        raise ValueError(f"clip {clip} holds NaN or infinity; every sample must be a finite number")


def check_sample_mask(attention_mask: Tensor, input_values: Tensor, geometry: FrameGeometry) -> Tensor:
    """The sample mask as bool (B, L), or an error that says what is wrong with it.

    Raises
    ------
    TypeError
        If it is no tensor of booleans or integers.
    ValueError
        If its shape is not that of ``input_values``; if it is not 1 … 1 0 … 0 in every row (holes, left padding,
        inverted); if a clip's real part is too short for one frame.
    """
    if not isinstance(attention_mask, Tensor):
        raise TypeError(f"attention_mask must be a tensor of shape (B, L), found a {type(attention_mask).__name__}")
    if attention_mask.is_floating_point() or attention_mask.is_complex():
        raise TypeError(f"attention_mask must be boolean or integer, True = real, found {attention_mask.dtype}")
    expected, found = tuple(input_values.shape), tuple(attention_mask.shape)
    if len(found) != 2 or (not torch.compiler.is_exporting() and found != expected):
        frames = geometry.frame_count(expected[1]) if not torch.compiler.is_exporting() else None
        hint = (
            f"it has one entry per frame (T = {frames}); give one per sample, the model makes the frame mask itself"
            if found == (expected[0], frames)
            else "give one entry per sample, pad(clips).mask"
        )
        raise ValueError(f"attention_mask must have the waveforms' shape {expected}, found {found}; {hint}")
    mask = attention_mask.bool()  # (B, L)
    if readable(attention_mask):
        _check_values(attention_mask, mask, geometry)
    return mask


def _check_values(given: Tensor, mask: Tensor, geometry: FrameGeometry) -> None:
    if not bool(((given == 0) | (given == 1)).all()):
        raise ValueError(f"attention_mask must hold 0 (padding) and 1 (real) only, found {int(given.max())} in it")
    for clip, row in enumerate(mask):
        real = int(row.sum())
        if not bool(row[0]):
            raise ValueError(
                f"clip {clip}: the first sample is marked as padding. True means real here; if your mask says "
                "True = padding (fairseq, key_padding_mask), pass ~mask. Padding goes to the right, never to the left"
            )
        if not bool(row[:real].all()):
            raise ValueError(
                f"clip {clip}: the mask has a hole at sample {int((~row).nonzero()[0])}; real samples must come first "
                "and padding after them, without gaps"
            )
        if real < geometry.receptive_field:
            raise ValueError(
                f"clip {clip} has {real} real samples, one frame needs {geometry.receptive_field}: "
                f"{geometry.receptive_field - real} are missing; leave the clip out, or count some silence as real"
            )


def readable(tensor: Tensor) -> bool:
    """Whether looking at values is possible, and does not narrow a proof or a compiled graph."""
    if torch.compiler.is_exporting() or torch.compiler.is_compiling() or tensor.is_meta:
        return False
    return type(tensor) in (Tensor, torch.nn.Parameter)  # subclasses (fake tensors) have no values to look at
