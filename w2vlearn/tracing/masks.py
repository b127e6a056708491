"""Masks as they travel: which kind, written how, and what they mark real. Read when looked at, never during a forward.

Kinds follow the axes (sample: L, frame: T, attention: a matrix over keys). The convention is read from the values
where they settle it, else from the name, for "True" means "real" in one library and "padding" in the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from w2vlearn.tracing.labels import is_time

DROPPED = "None: the library dropped an all-true mask"
TIME_MASK = re.compile(r"time|spec|mask_indices|masked", re.IGNORECASE)
PADDING = re.compile(r"pad", re.IGNORECASE)  # padding_mask, key_padding_mask: True = padding
_REAL = re.compile(r"attention_mask", re.IGNORECASE)  # Hugging Face: True = real
_LENGTHS = re.compile(r"(^|_)len(gth)?s?$|lens$", re.IGNORECASE)
_FAR_BELOW = -1000.0  # an additive mask adds at least this much less to what is not to be seen (torchaudio: -10000)


@dataclass(frozen=True)
class Reading:
    """What a mask's values say."""

    form: str
    convention: str
    real: tuple[int, ...] | None
    inverted: bool = False  # name and values disagree: left-padded, or turned round


def kind_of(argument: str, letters: Sequence[str], dtype: torch.dtype) -> str | None:
    """``"sample"``, ``"frame"``, ``"attention"``, ``"time"``, or None for what is no mask.

    Lengths (one number per clip) count as ``"sample"`` here; whether they count frames is for `lengths_kind` to say.
    """
    if len(letters) == 1:
        return "sample" if _LENGTHS.search(argument) and letters[0] in ("B", "1") else None
    if not letters or _LENGTHS.search(argument):
        return None
    timed = [axis for axis, letter in enumerate(letters) if is_time(letter)]
    if not timed:
        return None
    if dtype.is_floating_point and not re.search(r"mask|padding", argument) and len(letters) != 4:
        return None
    if len(letters) == 2 and len(timed) == 1:
        if TIME_MASK.search(argument):
            return "time"
        return "sample" if letters[timed[0]] == "L" else "frame"
    if len(letters) == 3 and len(timed) == 1 and (letters[0] == "B" or letters[0].isdigit()):
        if "1" not in letters[1:] and dtype.is_floating_point:
            return None  # (B, T, D) features that happen to be called a mask
        return "sample" if letters[timed[0]] == "L" else "frame"
    return "attention" if timed[-1] == len(letters) - 1 else None


def lengths_kind(
    value: Tensor, sample_lengths: Sequence[int] | None, frame_lengths: Sequence[int] | None, samples: int
) -> str:
    """Whether one number per clip counts samples or frames."""
    numbers = [float(v) for v in value.tolist()]
    if sample_lengths is not None and numbers == [float(v) for v in sample_lengths]:
        return "sample"
    if value.is_floating_point() and max(numbers, default=0.0) <= 1.0:
        return "sample"
    if frame_lengths is not None and max(frame_lengths) < samples:
        nearer_frames = abs(max(numbers) - max(frame_lengths)) < abs(max(numbers) - samples)
        return "frame" if nearer_frames else "sample"
    return "sample" if max(numbers, default=0.0) > samples // 2 else "frame"


def read(
    argument: str,
    value: Tensor,
    kind: str,
    clips: int,
    expected: Sequence[int] | None,
    given: bool,
    unit: str,
    longest: int,
) -> Reading:
    """Read a mask's values.

    Parameters
    ----------
    argument : str
        Its name.
    value : Tensor
        The mask. Shape: (B,) lengths, (B, n), (B, 1, n), (B, n, 1), (…, n, n) or (B, 1, 1, n).
    kind : str
        From `kind_of`.
    clips : int
        B.
    expected : sequence of int, optional
        What should be real per clip, if it is known from elsewhere.
    given : bool
        The user handed this mask to the model (then a name is stronger evidence than values).
    unit : str
        "samples" or "frames", for lengths.
    longest : int
        Size of the axis, for relative lengths.
    """
    if value.ndim == 1:
        if value.is_floating_point() and (not value.numel() or float(value.max()) <= 1.0):
            real = tuple(round(v * longest) for v in value.tolist())
            return Reading("lengths", "share of the longest clip that is real", real)
        return Reading("lengths", f"count of real {unit}", tuple(int(v) for v in value.tolist()))
    value = value.detach()
    if kind == "time":
        return Reading("bool" if value.dtype is torch.bool else "integer", "True = masked", _sums(value != 0, clips))
    if value.is_floating_point():
        lowest = float(value.min()) if value.numel() else 0.0
        if lowest <= _FAR_BELOW or float(value.max()) <= 0.0:
            attended = _over_keys(value > _FAR_BELOW, kind, any_query=True)
            below = (
                f"-{'inf' if lowest == float('-inf') else f'{-lowest:.1e}'.replace('e+0', 'e+')}"
                if lowest < 0
                else "below 0"
            )
            return Reading("additive", f"0 = attend, {below} = padding", _sums(attended, clips))
    form = {True: "bool"}.get(value.dtype is torch.bool, "multiplicative" if value.is_floating_point() else "integer")
    true_word, flags = ("True" if form == "bool" else "1"), value != 0
    if_real = _over_keys(flags, kind, any_query=True)  # keys that count as real if True means real
    if_padding = _over_keys(~flags, kind, any_query=True)  # … if True means padding
    meaning, inverted = _convention(argument, if_real, if_padding, clips, expected, given)
    real = _sums(if_real if meaning == "real" else if_padding, clips)
    return Reading(form, f"{true_word} = {meaning}", real, inverted)


def _convention(
    argument: str, if_real: Tensor, if_padding: Tensor, clips: int, expected: Sequence[int] | None, given: bool
) -> tuple[str, bool]:
    """``"real"`` or ``"padding"``, and whether the name and the values disagree."""
    by_name = "padding" if PADDING.search(argument) else "real" if _REAL.search(argument) else None
    by_count = None
    if expected is not None:
        hits = [
            word
            for word, flags in (("real", if_real), ("padding", if_padding))
            if _sums(flags, clips) == tuple(expected)
        ]
        by_count = hits[0] if len(hits) == 1 else None
    by_pattern = "real" if _starts_real(if_real) else "padding" if _starts_real(if_padding) else None
    if given and by_name is not None:
        return by_name, by_pattern is not None and by_pattern != by_name
    return by_count or by_pattern or by_name or "real", False


def _starts_real(flags: Tensor) -> bool:
    """Right-padded: every row is Trues, then Falses; with at least one False somewhere."""
    if flags.ndim != 2 or not flags.numel() or bool(flags.all()):
        return False
    steps = flags[:, 1:].int() - flags[:, :-1].int()
    return bool(flags[:, 0].all()) and not bool((steps > 0).any())


def _over_keys(flags: Tensor, kind: str, any_query: bool) -> Tensor:
    """Flags per clip and position: (B, n). Of attention masks a key counts if any query sees it."""
    if kind == "attention":
        while flags.ndim > 2:
            flags = flags.any(dim=1)  # (B, 1, Tq, Tk) -> (B, Tk), heads and queries away
        return flags
    if flags.ndim == 3:
        flags = flags.any(dim=2) if flags.shape[2] == 1 or flags.shape[1] != 1 else flags.any(dim=1)
    return flags


def _sums(flags: Tensor, clips: int) -> tuple[int, ...] | None:
    """Trues per clip; a mask that all clips share counts for each, one that is repeated for each head once."""
    counts = flags.reshape(flags.shape[0], -1).sum(1).tolist() if flags.ndim > 1 else [int(flags.sum())]
    if len(counts) == clips:
        return tuple(int(c) for c in counts)
    if len(counts) == 1:
        return tuple(int(counts[0]) for _ in range(clips))
    if clips and len(counts) % clips == 0:  # (B * H, T, T): the heads of a clip lie together
        heads = len(counts) // clips
        return tuple(max(int(c) for c in counts[i * heads : (i + 1) * heads]) for i in range(clips))
    return None


def all_real(reading: Reading, longest: int) -> bool:
    """Whether a mask marks nothing as padding."""
    return reading.real is not None and all(count >= longest for count in reading.real)
