"""The boundary: what a model is handed is checked once, here, and nowhere in the layers.

Each function raises TypeError for what is no tensor or has the wrong dtype, ValueError for a wrong shape or value.
Checks that look at values (NaN, a mask with holes) wait for a GPU and break ``torch.export``, so they run only where
:func:`readable` allows it: not while exporting or compiling, not on the meta device, not on fake tensors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from w2vlearn.geometry import FrameGeometry
from w2vlearn.padding_masks import frame_mask, sample_mask

__all__ = [
    "check_class_labels",
    "check_input_values",
    "check_negatives",
    "check_sample_mask",
    "check_spans",
    "check_time_mask",
    "check_token_labels",
    "readable",
]


def readable(tensor: Tensor) -> bool:
    """Whether looking at values is possible, and does not narrow a proof or a compiled graph."""
    if torch.compiler.is_exporting() or torch.compiler.is_compiling() or tensor.is_meta:
        return False
    return type(tensor) in (Tensor, torch.nn.Parameter)  # subclasses (fake tensors) have no values to look at


def check_input_values(input_values: Tensor, geometry: FrameGeometry, dtype: torch.dtype) -> None:
    """Waveforms (B, L) of the weights' ``dtype``: at least one clip, long enough for a frame, all numbers finite."""
    _check_tensor(input_values, "input_values must be a tensor of shape (B, L)", "use pad(clips).waveforms")
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
                f"{geometry.receptive_field - shape[1]} too few; pad the waveform with silence"
            )
    if readable(input_values) and not bool(torch.isfinite(input_values).all()):
        clip = int((~torch.isfinite(input_values)).any(dim=1).nonzero()[0])
        raise ValueError(f"clip {clip} holds NaN or infinity; every sample must be a finite number")


def check_sample_mask(attention_mask: Tensor, input_values: Tensor, geometry: FrameGeometry) -> Tensor:
    """The sample mask as bool (B, L): 1 … 1 0 … 0 in every row, and enough ones for a frame."""
    _check_tensor(attention_mask, "attention_mask must be a tensor of shape (B, L)", "use pad(clips).mask")
    if attention_mask.is_floating_point() or attention_mask.is_complex():
        raise TypeError(f"attention_mask must be boolean or integer, True = valid, found {attention_mask.dtype}")
    exporting, (expected, shape) = torch.compiler.is_exporting(), (input_values.shape, attention_mask.shape)
    if len(shape) != 2 or (not exporting and shape != expected):
        frames = None if exporting else geometry.frame_count(expected[1])
        hint = (
            f"it has one entry per frame (T = {frames}); give one per sample, the model makes the frame mask itself"
            if shape == (expected[0], frames)
            else "give one entry per sample, pad(clips).mask"
        )
        raise ValueError(
            f"attention_mask must have the waveforms' shape {tuple(expected)}, found {tuple(shape)}; {hint}"
        )
    mask = attention_mask.bool()  # (B, L)
    if readable(attention_mask):
        if not bool(((attention_mask == 0) | (attention_mask == 1)).all()):
            largest = int(attention_mask.max())
            raise ValueError(f"attention_mask must hold 0 (padding) and 1 (valid) only, found {largest} in it")
        _check_right_padded(mask, geometry.receptive_field)
    return mask


def _check_right_padded(mask: Tensor, shortest: int) -> None:
    lengths = mask.sum(dim=1)  # (B, L) -> (B,)
    misplaced = mask != sample_mask(lengths, mask.shape[1])  # (B, L): not 1 … 1 0 … 0
    wrong = misplaced.any(dim=1) | (lengths < shortest)  # (B,)
    if not bool(wrong.any()):
        return
    clip = int(wrong.nonzero()[0])
    row, length = mask[clip], int(lengths[clip])
    if not bool(row[0]):
        raise ValueError(
            f"clip {clip}: the first sample is marked as padding. True means valid here; if your mask says "
            "True = padding (fairseq, key_padding_mask), pass ~mask. Padding goes to the right, never to the left"
        )
    if bool(misplaced[clip].any()):
        raise ValueError(
            f"clip {clip}: the mask has a hole at sample {int((~row).nonzero()[0])}; valid samples must come first "
            "and padding after them, without gaps"
        )
    raise ValueError(
        f"clip {clip} has {length} valid samples, one frame needs {shortest}: "
        f"{shortest - length} too few; leave the clip out, or count some silence as valid"
    )


def check_spans(lengths: Tensor, size: int, prob: float, span: int, min_spans: int, kind: str = "time") -> None:
    """Spans of ``span`` positions fit into every clip; ``kind`` of mask: time or feature. Lengths: (B,), integer."""
    what, repair = ("valid frames", " leave the clip out,") if kind == "time" else ("features", "")
    if lengths.ndim != 1 or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise TypeError(
            "lengths must be integers of shape (B,), one per clip, found "
            f"{lengths.dtype} of shape {tuple(lengths.shape)}"
        )
    if not 0 <= prob <= 1:
        raise ValueError(f"prob is a share of the {what}, 0 … 1, found {prob}")
    if span < 1 or min_spans < 0:
        raise ValueError(f"a span has at least 1 position and min_spans is at least 0, found {span} and {min_spans}")
    for clip, length in enumerate(lengths.tolist() if readable(lengths) else []):
        if length > size:
            raise ValueError(f"clip {clip} has {length} {what}, but the mask is to have {size} positions only")
        if length < span:
            raise ValueError(
                f"clip {clip} has {length} {what}, one span needs {span}: {span - length} too few;{repair} choose "
                f"shorter spans (mask_{kind}_length), or hide nothing (mask_{kind}_prob=0, or eval())"
            )


def check_time_mask(
    time_mask: Tensor, frame_lengths: Tensor | None = None, geometry: FrameGeometry | None = None, samples: int = 0
) -> None:
    """A bool tensor (B, T) and, given the valid frames per clip (B,) and L, hiding nothing but valid frames."""
    _check_tensor(time_mask, "the time mask must be a bool tensor of shape (B, T)", "use sample_time_mask")
    if time_mask.dtype != torch.bool:
        raise TypeError(
            f"the time mask (mask_time_indices) must be bool, True = hidden, found {time_mask.dtype}: as integers, "
            "0 and 1 would mean rows 0 and 1; use .bool()"
        )
    if time_mask.ndim != 2:
        raise ValueError(f"the time mask (mask_time_indices) must have shape (B, T), found {tuple(time_mask.shape)}")
    if frame_lengths is None or torch.compiler.is_exporting():  # sizes are letters there
        return
    frames = geometry.frame_count(samples)
    if time_mask.shape != (len(frame_lengths), frames):
        raise ValueError(
            f"mask_time_indices must have shape (B, T) = ({len(frame_lengths)}, {frames}), because {samples} samples "
            f"give {frames} frames; found {tuple(time_mask.shape)}"
        )
    if readable(time_mask) and readable(frame_lengths):
        padded = time_mask & ~frame_mask(frame_lengths, frames)  # (B, T)
        if bool(padded.any()):
            clip, frame = padded.nonzero()[0].tolist()
            raise ValueError(
                f"mask_time_indices hides frame {frame} of clip {clip}, which has {int(frame_lengths[clip])} valid "
                "frames: those after them are padding, there is nothing to predict; "
                "draw the mask with sample_time_mask(frame_lengths, T)"
            )


def check_negatives(negatives: Tensor | None, time_mask: Tensor | None, training: bool) -> None:
    """Both or neither, (B, T, K) integer and (B, T) bool (in eval mode the time mask may come alone).

    Each hidden frame's negatives are other hidden frames of the same clip; padded frames never are.
    """
    if negatives is None:
        if training and time_mask is not None:
            raise ValueError(
                "in train mode a time mask needs negatives, or there is no loss: "
                "pass sampled_negative_indices=sample_negatives(mask_time_indices, K), or call model.eval()"
            )
        return
    if time_mask is None:
        raise ValueError(
            "sampled_negative_indices were given without mask_time_indices: the loss is taken over hidden frames; "
            "pass both, sample_task(config, batch.lengths) draws both"
        )
    check_time_mask(time_mask)
    expected = "sampled_negative_indices must be an int64 or int32 tensor of shape (B, T, K)"
    _check_tensor(negatives, expected, "draw them with sample_negatives(mask_time_indices, K)")
    if negatives.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{expected}, found {negatives.dtype}")
    if negatives.ndim != 3 or (not torch.compiler.is_exporting() and negatives.shape[:2] != time_mask.shape):
        raise ValueError(
            "sampled_negative_indices must have shape (B, T, K) with B and T of mask_time_indices, "
            f"{tuple(time_mask.shape)}; found {tuple(negatives.shape)}"
        )
    if readable(negatives) and readable(time_mask):
        _check_negative_values(negatives, time_mask)


def _check_negative_values(negatives: Tensor, time_mask: Tensor) -> None:
    clips, frames = time_mask.shape
    if not bool(time_mask.any()) or negatives.shape[2] < 1:
        raise ValueError(
            f"mask_time_indices hides {int(time_mask.sum())} frames and each has {negatives.shape[2]} negatives: "
            "at least one of both is needed for a loss"
        )
    row = torch.arange(clips * frames, device=time_mask.device).view(clips, frames, 1)  # (B, T, 1): b T + t
    inside = (negatives >= 0) & (negatives < clips * frames)  # (B, T, K)
    hidden = time_mask.flatten()[negatives.long().clamp(0, clips * frames - 1)]  # (B T,) -> (B, T, K)
    problems = {
        f"which is not a row of the {clips} x {frames} frames": ~inside,
        "which is a frame of another clip": negatives // frames != row // frames,
        "which is the frame itself, the right answer": negatives == row,
        "which is not hidden, or is padding": ~hidden,
    }
    for problem, wrong in problems.items():
        wrong = wrong & time_mask[:, :, None]  # rows of frames that are not hidden are never read
        if bool(wrong.any()):
            clip, frame, index = wrong.nonzero()[0].tolist()
            raise ValueError(
                f"sampled_negative_indices: frame {frame} of clip {clip} has the negative "
                f"{int(negatives[clip, frame, index])}, {problem}; "
                f"negatives are other hidden frames of the same clip, numbered clip * {frames} + frame: "
                "draw them with sample_negatives(mask_time_indices, K)"
            )


def check_token_labels(labels: Tensor, clips: int, vocabulary: int) -> None:
    """Labels (B, U): integers 0 … V - 1, or -100 where a row is filled up."""
    _check_tensor(labels, "labels must be an integer tensor of shape (B, U)", "-100 fills shorter rows up")
    if labels.ndim != 2 or labels.shape[0] != clips:
        raise ValueError(f"labels must have shape (B, U) with B = {clips}, found {tuple(labels.shape)}")
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"labels must be integers, found {labels.dtype}")
    wrong = (labels >= vocabulary) | ((labels < 0) & (labels != -100))
    if readable(labels) and bool(wrong.any()):
        raise ValueError(
            f"labels must be 0 … {vocabulary - 1} (V = {vocabulary}), or -100 to fill a row up, "
            f"found {int(labels[wrong][0])}"
        )


def check_class_labels(labels: Tensor, clips: int, classes: int) -> None:
    """Labels (B,): int64, 0 … N - 1."""
    _check_tensor(labels, "labels must be an int64 tensor of shape (B,)", "one class per clip")
    if labels.shape != (clips,):
        raise ValueError(f"labels must have shape (B,) with B = {clips}, one per clip, found {tuple(labels.shape)}")
    if labels.dtype != torch.int64:
        raise TypeError(f"labels must be int64, found {labels.dtype}; use labels.long()")
    if readable(labels) and bool(((labels < 0) | (labels >= classes)).any()):
        raise ValueError(f"labels must be 0 … {classes - 1} (num_labels = {classes}), found {labels.tolist()}")


def _check_tensor(value: Any, expected: str, hint: str) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{expected}, found a {type(value).__name__}; {hint}")
