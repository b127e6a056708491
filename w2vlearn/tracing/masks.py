"""Masks as they travel: which kind, written how, and what they mark valid.

A mask is read when a layer is handed it (`MaskReader`): a few numbers per clip, computed where the mask lies and
fetched later, so that what the model or its user writes into it afterwards changes nothing. What the numbers mean is
worked out after the run (`read`): kinds follow the axes (sample: L, frame: T, attention: a matrix over keys); the
convention is read from the values where they settle it, else from the name, for "True" means "valid" in one library and
"padding" in the next.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from w2vlearn.tracing.letters import is_time

MASK_NAME = re.compile(r"mask|padding|(^|_)len(gth)?s?$", re.IGNORECASE)
TIME_MASK = re.compile(r"time|spec|mask_indices|masked", re.IGNORECASE)
PADDING = re.compile(r"pad", re.IGNORECASE)  # padding_mask, key_padding_mask: True = padding
LENGTHS = re.compile(r"(^|_)len(gth)?s?$|lens$", re.IGNORECASE)
_VALID = re.compile(r"attention_mask", re.IGNORECASE)  # Hugging Face: True = valid
_FAR_BELOW = -1000.0  # an additive mask adds at least this much less to what is not to be seen (torchaudio: -10000)


@dataclass(frozen=True)
class Flags:
    """Flags along the last axis, a number per row: how many are True; whether the first is; whether one rises again."""

    count: Tensor
    first: Tensor
    rises: Tensor


@dataclass(frozen=True)
class MaskValues:
    """A few numbers of a mask, where it lies. Of an attention mask a key counts if any query sees it."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    numbers: Tensor | None = None  # of one number per clip, the numbers
    nonzero: Flags | None = None
    zero: Flags | None = None
    above: Flags | None = None  # of floats: not far below 0
    lowest: Tensor | None = None
    highest: Tensor | None = None


class MaskReader:
    """Reads masks when they are handed over; the same tensor, unchanged, once."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[weakref.ref, int, MaskValues | None]] = {}

    def read(self, mask: Tensor) -> MaskValues | None:
        """The numbers of a mask as it is now; None where it has none (meta and fake tensors, a nested tensor)."""
        version = None if mask.is_inference() else mask._version
        entry = self._read.get(id(mask))
        if entry is not None and entry[0]() is mask and entry[1] == version and version is not None:
            return entry[2]
        values = None
        if not (mask.is_meta or mask.is_nested or mask.layout is not torch.strided):
            with torch.no_grad():
                values = _values(mask.detach())
        self._read[id(mask)] = (weakref.ref(mask), version, values)
        return values


def _values(mask: Tensor) -> MaskValues | None:
    shape, dtype = tuple(mask.shape), mask.dtype
    if mask.ndim == 0 or not mask.numel():
        return None
    if mask.ndim == 1:
        return MaskValues(shape, dtype, numbers=mask.clone())
    nonzero = mask if dtype is torch.bool else mask != 0
    values = MaskValues(shape, dtype, nonzero=_flags(nonzero), zero=_flags(~nonzero))
    if not dtype.is_floating_point:
        return values
    return replace(values, above=_flags(mask > _FAR_BELOW), lowest=mask.min(), highest=mask.max())


def _flags(flags: Tensor) -> Flags:
    """Per row, heads and queries away: (B, 1, Tq, Tk), (B * H, Tq, Tk), (B, 1, n), (B, n, 1) -> (B,) or (B * H,)."""
    if flags.ndim == 3 and flags.shape[2] == 1:
        flags = flags[:, :, 0]
    while flags.ndim > 2:
        flags = flags.any(dim=1)
    rising = (flags[:, 1:] & ~flags[:, :-1]).any(dim=1)
    return Flags(flags.sum(dim=1), flags[:, 0], rising)


@dataclass(frozen=True)
class Reading:
    """What a mask's values say."""

    form: str
    true_means: str = ""
    lowest: float | None = None
    valid: tuple[int, ...] | None = None
    inverted: bool = False  # name and values disagree: left-padded, or turned round


def kind_of(argument: str, letters: Sequence[str], dtype: torch.dtype) -> str | None:
    """``"sample"``, ``"frame"``, ``"attention"``, ``"time"``, or None for what is no mask.

    Lengths (one number per clip) count as ``"sample"`` here; whether they count frames is for `lengths_kind` to say.
    """
    timed = [axis for axis, letter in enumerate(letters) if is_time(letter)]
    is_lengths, is_float = LENGTHS.search(argument), dtype.is_floating_point
    if len(letters) == 1 and is_lengths and letters[0] in ("B", "1"):
        return "sample"
    if len(letters) < 2 or is_lengths or not timed:
        return None
    if is_float and len(letters) != 4 and not re.search(r"mask|padding", argument):
        return None
    column = len(letters) == 3 and (letters[0] == "B" or letters[0].isdigit())
    if len(timed) > 1 or not (column or len(letters) == 2):
        return "attention" if timed[-1] == len(letters) - 1 else None
    if column and is_float and "1" not in letters[1:]:
        return None  # (B, T, D) features that happen to be called a mask
    if TIME_MASK.search(argument):
        return "time"
    return "sample" if letters[timed[0]] == "L" else "frame"


def lengths_kind(
    numbers: Sequence[float], sample_lengths: Sequence[int] | None, frame_lengths: Sequence[int] | None, samples: int
) -> str:
    """Whether one number per clip counts samples or frames."""
    largest = max(map(float, numbers), default=0.0)
    if largest <= 1.0 or (sample_lengths is not None and list(map(float, numbers)) == list(map(float, sample_lengths))):
        return "sample"
    frames = max(frame_lengths) if frame_lengths is not None else 0
    return "frame" if abs(largest - frames) < abs(largest - samples) else "sample"


def read(
    argument: str,
    mask: MaskValues,
    kind: str,
    clips: int,
    expected: Sequence[int] | None,
    given: bool,
    longest: int,
) -> Reading:
    """What a mask's numbers mean.

    Parameters
    ----------
    argument : str
        Its name.
    mask : MaskValues
        Its numbers. Shapes of the mask: (B,) lengths, (B, n), (B, 1, n), (B, n, 1), (…, n, n) or (B, 1, 1, n).
    kind : str
        From `kind_of`.
    clips : int
        B.
    expected : sequence of int, optional
        What should be valid per clip, if it is known from elsewhere.
    given : bool
        The user handed this mask to the model (then a name is stronger evidence than values).
    longest : int
        Size of the axis, for shares.
    """
    if mask.numbers is not None:
        numbers = mask.numbers.tolist()
        if mask.dtype.is_floating_point and max(numbers) <= 1.0:
            return Reading("shares", valid=tuple(round(n * longest) for n in numbers))
        return Reading("lengths", valid=tuple(int(n) for n in numbers))
    is_float = mask.dtype.is_floating_point
    form = "bool" if mask.dtype is torch.bool else "multiplicative" if is_float else "integer"
    if kind == "time":
        return Reading("integer" if is_float else form, "masked", valid=per_clip(mask.nonzero, clips))
    if is_float and (float(mask.lowest) <= _FAR_BELOW or float(mask.highest) <= 0.0):
        return Reading("additive", lowest=float(mask.lowest), valid=per_clip(mask.above, clips))
    meaning, inverted = _meaning(argument, mask, clips, expected, given)
    valid = per_clip(mask.nonzero if meaning == "valid" else mask.zero, clips)
    return Reading(form, meaning, valid=valid, inverted=inverted)


def _meaning(
    argument: str, mask: MaskValues, clips: int, expected: Sequence[int] | None, given: bool
) -> tuple[str, bool]:
    """``"valid"`` or ``"padding"``, and whether the name and the values disagree."""
    by_name = "padding" if PADDING.search(argument) else "valid" if _VALID.search(argument) else None
    options = (("valid", mask.nonzero), ("padding", mask.zero))
    width = mask.shape[-2] if len(mask.shape) == 3 and mask.shape[-1] == 1 else mask.shape[-1]
    by_pattern = next((word for word, flags in options if _right_padded(flags, width)), None)
    if given and by_name is not None:
        return by_name, by_pattern not in (None, by_name)
    fitting = [word for word, flags in options if expected is not None and per_clip(flags, clips) == tuple(expected)]
    return (fitting[0] if len(fitting) == 1 else by_pattern or by_name or "valid"), False


def _right_padded(flags: Flags, width: int) -> bool:
    """Every row is Trues, then Falses; with at least one False somewhere."""
    full = bool((flags.count == width).all())
    return not full and bool(flags.first.all()) and not bool(flags.rises.any())


def per_clip(flags: Flags, clips: int) -> tuple[int, ...] | None:
    """Trues per clip; a mask that all clips share counts for each, one that is repeated for each head once."""
    counts = flags.count.tolist()
    if len(counts) == 1:
        return tuple(counts * clips)
    heads, remainder = divmod(len(counts), clips) if clips else (0, 1)
    if remainder:
        return None
    return tuple(max(counts[i * heads : (i + 1) * heads]) for i in range(clips))  # the heads of a clip lie together
