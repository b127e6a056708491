"""What an axis can be (`Length`, CLIPS, CONSTANT, …), and its letter: L, T1, T, or a constant's C, D, H, V.

A length's letter follows from when it first appears: L, then T1, T2, … up to T, the length that most calls share, then
A1, … for what shortens it further (adapters). Observed and derived lengths are named by the same rule.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from w2vlearn.tracing.records import main_output

TIME_LETTER = re.compile(r"(\d+\*)?(B\*)?(L|T\d*|A\d+)([+-]\d+)?")
_LARGEST_OFFSET = 64  # "T+1" reads as T and a constant; "T+500" would not


@functools.lru_cache(maxsize=4096)
def is_time(letter: str) -> bool:
    """Whether a letter (or ``"T+1"``, ``"2*T-1"``, ``"B*T"``) moves with the length of the clips."""
    return TIME_LETTER.fullmatch(letter) is not None


Key = tuple[int, ...]  # one length's sizes for clips of several lengths: the same key, the same length

# Clips of so many samples tell lengths apart: what is equal for all of these is taken for one length.
PROBES: Key = (40_000, 57_601, 81_601, 160_160, 1_000_003)


@dataclass(slots=True, eq=False)
class Length:
    """One length: the samples of the clips, or what a convolution made of another length.

    Attributes
    ----------
    size : int
        Positions of the whole axis in this run.
    valid : tuple of int, optional
        Positions that each clip would have if it were alone; None where the lengths of the clips are not known.
    key : tuple of int
        Positions for clips of `PROBES` samples: equal keys, equal lengths for every clip.
    """

    size: int
    valid: tuple[int, ...] | None
    key: tuple[int, ...] = PROBES


@dataclass(frozen=True)
class Merged:
    """Neighbouring axes that a view made one: clips times frames."""

    parts: tuple[Any, ...]


class _Mark(Enum):
    CLIPS = "clips"
    CONSTANT = "constant"  # no length and no number of clips moves it
    UNKNOWN = "unknown"

    __hash__ = object.__hash__  # Enum's own is written in Python, and axes are looked up all the time


CLIPS, CONSTANT, UNKNOWN = _Mark


@dataclass(slots=True, eq=False)
class Marks:
    """The axes of one tensor, shared by all who saw it."""

    axes: tuple
    aside: bool = False  # went in beside a main input: no stage on the clips' own way


def valid_along(axes: Iterable[Any]) -> tuple[int, ...] | None:
    """Valid positions per clip on a tensor's time axis (its last, where it has two); None if it has none."""
    lengths = [mark for mark in axes if isinstance(mark, Length)]
    return lengths[-1].valid if lengths else None


def name_lengths(keys: Iterable[Key], samples: Key | None, counts: Mapping[Key, int]) -> dict[Key, str]:
    """Letters for lengths.

    Parameters
    ----------
    keys : iterable of tuple of int
        Each length's sizes in the same several runs, in the order in which the lengths first came about.
    samples : tuple of int, optional
        The key of L.
    counts : mapping
        How many calls gave that length; the most frequent other than L is T.

    Returns
    -------
    dict
        Key -> ``"L"``, ``"T1"``, …, ``"T"``, ``"A1"``, or ``"T+1"``, ``"2*T-1"`` for what is T up to constants in
        every run.
    """
    ordered = list(dict.fromkeys(keys))
    names: dict[Key, str] = {} if samples is None else {samples: "L"}
    candidates = [key for key in ordered if key != samples and counts.get(key)]
    if not candidates:
        return names
    frames = max(reversed(candidates), key=lambda key: counts[key])
    names[frames] = "T"
    first = ordered.index(frames)
    stages, adapters = itertools.count(1), itertools.count(1)
    for place, key in enumerate(ordered):
        if key not in names:
            before = place < first
            multiple = _multiple(key, frames, whole=not before)
            names[key] = multiple or (f"T{next(stages)}" if before else f"A{next(adapters)}")
    return names


def _multiple(key: Key, frames: Key, whole: bool) -> str | None:
    """``"T+1"``, ``"2*T"``, ``"2*T-1"`` if that holds in every run."""
    base = next((i for i in range(1, len(frames)) if frames[i] != frames[0]), None)
    if base is None:
        return None
    factor, remainder = divmod(key[base] - key[0], frames[base] - frames[0])
    if remainder or factor < 1 or (factor > 1 and not whole):
        return None
    offset = key[0] - factor * frames[0]
    if abs(offset) > _LARGEST_OFFSET or any(k != factor * f + offset for k, f in zip(key, frames, strict=False)):
        return None
    return ("T" if factor == 1 else f"{factor}*T") + (f"{offset:+d}" if offset else "")


def frame_index(names: Mapping[Hashable, str]) -> int:
    """n of the T_n that is T: one more than the lengths before it."""
    return 1 + sum(bool(re.fullmatch(r"T\d+", name)) for name in names.values())


def constant_letters(calls: Sequence, letters: Mapping, attention_heads: int | None) -> tuple[dict, dict[str, int]]:
    """Letters for constants whose role is clear.

    Parameters
    ----------
    calls : sequence
        Calls with ``operation``, ``inputs``, ``outputs``, ``began``, ``ended``.
    letters : mapping
        ``(call index, side, tensor index)`` -> letters of that tensor's axes, lengths already named.
    attention_heads : int, optional
        H, where the modules say so.

    Returns
    -------
    tuple of dict
        The same mapping with C, D, H, V or N filled in, and their values.

    Notes
    -----
    C: channels of the last convolution before the first frame-wise Linear. D: last axis of most (B, T, ·) tensors. H:
    heads, the second axis of (B, H, T, T). V (of a (B, T, ·) output) or N (of a (B, ·) output: classes): last axis of
    the model's own output, and of what it came from.
    """
    order = sorted(range(len(calls)), key=lambda i: calls[i].began if calls[i].ended is None else calls[i].ended)
    ranks = {i: rank for rank, i in enumerate(order)}
    features = _common_width(letters)
    channels, encoder_end, projection = None, -1, -1  # projection: where C turns into D
    for rank, i in enumerate(order):
        source, target = letters.get((i, "in", 0), ()), letters.get((i, "out", 0), ())
        if len(source) != 3 or len(target) != 3:
            continue
        if calls[i].operation.kind == "linear" and is_time(source[1]):  # from here on it is frames and features
            if source[2] == channels and (target[2] != channels or features != channels):
                projection = rank
            break
        shortens = calls[i].operation.kernel and source[2] != target[2] and target[1].isdigit()
        # A convolution on the clip's way from L to T; adapters shorten T itself.
        if shortens and re.fullmatch(r"L|T\d+", source[2]) and re.fullmatch(r"T\d*", target[2]):
            channels, encoder_end = target[1], rank

    output, output_letter, shape = None, "V", ()
    main = main_output(calls[0].outputs) if calls else None
    if main is not None:
        shape = letters[0, "out", next(j for j, tensor in enumerate(calls[0].outputs) if tensor is main)]
    if shape and shape[-1].isdigit():
        unnamed = len(shape) in (2, 3) and shape[0] == "B" and shape[-1] not in (features, channels)
        if unnamed or main.path == "output.logits":
            output, output_letter = shape[-1], "V" if len(shape) == 3 else "N"
    framed = [i for i in ranks if i and len(out := letters.get((i, "out", 0), ())) == 3 and out[-1] == features]
    last_of_width = max((ranks[i] for i in framed), default=-1)

    result = dict(letters)
    for (i, side, j), marks in letters.items():
        if not marks or not (marks[0] == "B" or (len(marks) == 3 and is_time(marks[1]))):
            continue
        rank, new = ranks[i], list(marks)
        early = rank < projection or (rank == projection and side == "in") or (projection < 0 and rank <= encoder_end)
        names = {features: "D"}
        if channels != features or early:
            names[channels] = "C"
        for axis in range(3) if len(marks) == 3 else (-1,):
            new[axis] = names.get(marks[axis], marks[axis])
        if side == "out" and marks[-1] == output and len(marks) == len(shape) and (i == 0 or rank > last_of_width):
            new[-1] = output_letter
        if len(marks) == 4 and marks[1] == str(attention_heads) and is_time(marks[2]) and is_time(marks[3]):
            new[1] = "H"
        result[i, side, j] = tuple(new)
    values = {"C": channels, "D": features, output_letter: output, "H": attention_heads}
    return result, {letter: int(value) for letter, value in values.items() if value is not None}


def _common_width(letters: Mapping) -> str | None:
    """The last axis of most (B, T, ·) outputs, of most (B, L, ·) where there are none."""
    widths: dict[str, Counter] = defaultdict(Counter)
    for (_, side, _), marks in letters.items():
        if side == "out" and len(marks) == 3 and marks[2].isdigit() and marks[0].startswith(("B", "?")):
            widths["T" if marks[1].startswith("?") else marks[1]][marks[2]] += 1  # what is unknown is most often time
    common = (widths["T"] or widths["L"]).most_common(1)
    return common[0][0] if common else None
