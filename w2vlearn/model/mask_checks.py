"""The boundary of training: time masks and negatives, checked once before anything is computed.

As in :mod:`w2vlearn.model.checks`, values are looked at only where that is possible and cheap: not while exporting or
compiling, not on the meta device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from w2vlearn import masks
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.model.checks import readable

__all__ = ["check_enough_hidden", "check_negatives", "check_spans", "check_time_mask"]


def check_spans(lengths: Tensor, size: int, prob: float, span: int, min_spans: int, what: str = "real frames") -> None:
    """Raise unless spans of ``span`` positions fit into every clip. Shape: lengths (B,), integer.

    Raises
    ------
    TypeError
        If ``lengths`` holds no integers.
    ValueError
        If a number makes no sense, or a clip has fewer positions than one span.
    """
    if lengths.ndim != 1 or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise TypeError(
            "lengths must be integers of shape (B,), one per clip, found "
            f"{lengths.dtype} of shape {tuple(lengths.shape)}"
        )
    if not 0 <= prob <= 1:
        raise ValueError(f"prob is a share of the {what}, 0 … 1, found {prob}")
    if span < 1 or min_spans < 0:
        raise ValueError(f"a span has at least 1 position and min_spans is at least 0, found {span} and {min_spans}")
    if not readable(lengths):
        return
    for clip, length in enumerate(lengths.tolist()):
        if length > size:
            raise ValueError(f"clip {clip} has {length} {what}, but the mask is to have {size} positions only")
        if length < span:
            raise ValueError(
                f"clip {clip} has {length} {what}, one span needs {span}: {span - length} are missing; leave the clip "
                f"out, choose shorter spans (mask_time_length), or hide nothing (mask_time_prob=0, or eval())"
            )


def check_time_mask(
    time_mask: Tensor | None,
    input_values: Tensor,
    sample_mask: Tensor | None,
    geometry: FrameGeometry,
    config: Wav2Vec2Config,
    augment: bool,
) -> None:
    """Raise unless the time mask fits the waveforms; if there is none but one will be drawn, unless spans fit.

    Shapes: time mask (B, T), waveforms (B, L), sample mask (B, L) bool.

    Raises
    ------
    TypeError
        If the time mask is no tensor of booleans.
    ValueError
        If its shape is not (B, T), it marks padded frames, or the model was built without a mask vector.
    """
    if time_mask is None and not (augment and config.mask_time_prob > 0):
        return
    frame_lengths = None
    if sample_mask is not None and readable(sample_mask):
        frame_lengths = masks.frame_lengths(sample_mask.sum(dim=1), geometry.kernels, geometry.strides)  # (B,)
    if time_mask is None:
        if not torch.compiler.is_exporting():
            frames = geometry.frame_count(input_values.shape[1])
            if frame_lengths is None:
                frame_lengths = torch.tensor([frames])
            check_spans(
                frame_lengths, frames, config.mask_time_prob, config.mask_time_length, config.mask_time_min_masks
            )
        return

    _check_bool(time_mask)
    if config.mask_time_prob <= 0 and config.mask_feature_prob <= 0:
        raise ValueError(
            "this model has no mask vector (masked_spec_embed) to put in place of hidden frames, because it was built "
            "with mask_time_prob = 0 and mask_feature_prob = 0; build it with mask_time_prob > 0"
        )
    if torch.compiler.is_exporting():  # sizes are letters there; comparing them would narrow the proof
        return
    clips, samples = input_values.shape
    expected = (clips, geometry.frame_count(samples))
    if tuple(time_mask.shape) != expected:
        raise ValueError(
            f"mask_time_indices must have shape (B, T) = {expected}, because {samples} samples give {expected[1]} "
            f"frames; found {tuple(time_mask.shape)}"
        )
    if frame_lengths is not None and readable(time_mask):
        padded = time_mask & ~masks.frame_mask(frame_lengths, expected[1])  # (B, T)
        if bool(padded.any()):
            clip, frame = padded.nonzero()[0].tolist()
            raise ValueError(
                f"mask_time_indices hides frame {frame} of clip {clip}, which has {int(frame_lengths[clip])} real "
                "frames: the rest is padding, there is nothing to predict; "
                "draw the mask with sample_time_mask(frame_lengths, T)"
            )


def check_enough_hidden(time_mask: Tensor, num_negatives: int) -> None:
    """Raise unless every clip has two hidden frames, so that each has another one as its negative.

    Raises
    ------
    TypeError, ValueError
        If ``time_mask`` is no (B, T) of booleans, or too little is hidden, or ``num_negatives`` is below 1.
    """
    _check_bool(time_mask)
    if num_negatives < 1:
        raise ValueError(f"num_negatives must be at least 1, found {num_negatives}")
    if not readable(time_mask):
        return
    for clip, hidden in enumerate(time_mask.sum(dim=1).tolist()):
        if hidden < 2:
            raise ValueError(
                f"clip {clip} has {hidden} hidden frames; a negative is another hidden frame of the same clip, so "
                "two are needed: leave the clip out, or hide more of it"
            )


def check_negatives(negatives: Tensor | None, time_mask: Tensor | None, training: bool) -> None:
    """Raise unless negatives and time mask belong together. Shapes: (B, T, K) integer, (B, T) bool.

    Raises
    ------
    TypeError
        If one of them has the wrong dtype.
    ValueError
        If only one of them is given (time mask alone is fine in eval mode), shapes differ, nothing is hidden, or a
        hidden frame has a negative that is the frame itself, of another clip, or not hidden (padded frames never are).
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
    _check_bool(time_mask)
    if not isinstance(negatives, Tensor) or negatives.dtype not in (torch.int64, torch.int32):
        found = negatives.dtype if isinstance(negatives, Tensor) else type(negatives).__name__
        raise TypeError(f"sampled_negative_indices must be an int64 or int32 tensor of shape (B, T, K), found {found}")
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
            found = int(negatives[clip, frame, index])
            raise ValueError(
                f"sampled_negative_indices: frame {frame} of clip {clip} has the negative {found}, {problem}; "
                f"negatives are other hidden frames of the same clip, numbered clip * {frames} + frame: "
                "draw them with sample_negatives(mask_time_indices, K)"
            )


def _check_bool(time_mask: Tensor) -> None:
    if not isinstance(time_mask, Tensor):
        raise TypeError(f"the time mask must be a bool tensor of shape (B, T), found a {type(time_mask).__name__}")
    if time_mask.dtype != torch.bool:
        raise TypeError(
            f"the time mask (mask_time_indices) must be bool, True = hidden, found {time_mask.dtype}: as integers, "
            "0 and 1 would mean rows 0 and 1; use .bool()"
        )
    if time_mask.ndim != 2:
        raise ValueError(f"the time mask (mask_time_indices) must have shape (B, T), found {tuple(time_mask.shape)}")
