"""Masks as they travel: which kind, written how, and what they mark valid.

A mask is read when a layer is handed it (`MaskReader`): flags per clip, computed where the mask lies and fetched later,
so that what the model or its user writes into it afterwards changes nothing. What they mean is worked out after the run
(`read`): kinds follow the axes (sample: L, frame: T, attention: a matrix over keys); the convention is read from the
values where they settle it, else from the name, for "True" means "valid" in one library and "padding" in the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from w2vlearn.tracing.letters import is_time

MASK_NAME = re.compile(r"mask|padding|(^|_)len(gth)?s?$", re.IGNORECASE)
TIME_MASK = re.compile(r"time|spec|mask_indices|masked", re.IGNORECASE)
PADDING = re.compile(r"pad", re.IGNORECASE)  # padding_mask, key_padding_mask: True = padding
LENGTHS = re.compile(r"(^|_)len(gth)?s?$|lens$", re.IGNORECASE)
_VALID = re.compile(r"attention_mask", re.IGNORECASE)  # Hugging Face: True = valid
_FAR_BELOW = -1000.0  # an additive mask adds at least this much less to what is not to be seen (torchaudio: -10000)


@dataclass(frozen=True)
class MaskValues:
    """What a mask says when a layer is handed it, where it lies; its rows belong to the clips, or to each clip's heads.

    Attributes
    ----------
    dtype : torch.dtype
        Of the mask.
    numbers : Tensor, optional
        Of a mask with one number per clip: those. Shape: (B,).
    nonzero, zero, above : Tensor, optional
        Flags: it is not 0, it is 0, it is (a float) not far below 0; of an attention mask for any query. Shape: (rows,
        n), bool.
    lowest, highest : Tensor, optional
        Of floats.
    """

    dtype: torch.dtype
    numbers: Tensor | None = None
    nonzero: Tensor | None = None
    zero: Tensor | None = None
    above: Tensor | None = None
    lowest: Tensor | None = None
    highest: Tensor | None = None


class MaskReader:
    """Reads masks when they are handed over; the same tensor, unchanged, once."""

    def __init__(self) -> None:
        self._read = WeakTensorKeyDictionary()  # mask -> its version, its values

    def read(self, mask: Tensor) -> MaskValues | None:
        """The values of a mask as it is now; None where it has none (meta and fake tensors, a nested tensor)."""
        version = None if mask.is_inference() else mask._version
        known, values = self._read.get(mask, (None, None))
        if version is None or version != known:
            values = None
            if mask.layout is torch.strided and mask.ndim and not (mask.is_meta or mask.is_nested or not mask.numel()):
                with torch.no_grad():
                    values = _values(mask.detach())
            self._read[mask] = version, values
        return values


def _values(mask: Tensor) -> MaskValues:
    if mask.ndim == 1:
        return MaskValues(mask.dtype, numbers=mask.clone())
    nonzero = mask != 0
    values = MaskValues(mask.dtype, nonzero=_rows(nonzero), zero=_rows(~nonzero))
    if not mask.is_floating_point():
        return values
    return replace(values, above=_rows(mask > _FAR_BELOW), lowest=mask.min(), highest=mask.max())


def _rows(flags: Tensor) -> Tensor:
    """Heads and queries away: (B, 1, Tq, Tk), (B * H, Tq, Tk), (B, 1, n), (B, n, 1) -> (B, n) or (B * H, n)."""
    if flags.ndim == 3 and flags.shape[2] == 1:
        flags = flags[:, :, 0]
    while flags.ndim > 2:
        flags = flags.any(dim=1)
    return flags


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
    frames = max(frame_lengths or (1,))
    frames = frames if frames < samples else 1  # the layer's own input counts samples: nearer to none or to all
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
    fitting = [word for word, flags in options if expected is not None and per_clip(flags, clips) == tuple(expected)]
    is_told = given and by_name is not None
    if len(fitting) == 1 and not is_told:
        return fitting[0], False
    by_pattern = next((word for word, flags in options if _right_padded(flags)), None)
    if is_told:
        return by_name, by_pattern not in (None, by_name)
    return by_pattern or by_name or "valid", False


def _right_padded(flags: Tensor) -> bool:
    """Every row is Trues, then Falses; with at least one False somewhere."""
    rises = flags[:, 1:] & ~flags[:, :-1]
    return bool(flags[:, 0].all()) and not bool(flags.all()) and not bool(rises.any())


def per_clip(flags: Tensor, clips: int) -> tuple[int, ...] | None:
    """Trues per clip; a mask that all clips share counts for each, one that is repeated for each head once."""
    counts = flags.sum(dim=1).tolist()
    if len(counts) == 1:
        return tuple(counts * clips)
    heads, remainder = divmod(len(counts), clips) if clips else (0, 1)
    if remainder:
        return None
    return tuple(max(counts[i * heads : (i + 1) * heads]) for i in range(clips))  # the heads of a clip lie together
