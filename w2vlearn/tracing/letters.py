"""Letters for axes: which length is L, T1 or T, and which constants are C, D, H and V.

A length's letter follows from when it first appears: L, then T1, T2, … up to T, the length that most calls share, then
A1, … for what shortens it further (adapters). Observed and derived lengths are named by the same rule.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

TIME_LETTER = re.compile(r"(\d+\*)?(B\*)?(L|T\d*|A\d+)([+-]\d+)?")
_LARGEST_OFFSET = 64  # "T+1" reads as T and a constant; "T+500" would not


@functools.lru_cache(maxsize=4096)
def is_time(letter: str) -> bool:
    """Whether a letter (or ``"T+1"``, ``"2*T-1"``, ``"B*T"``) moves with the length of the clips."""
    return TIME_LETTER.fullmatch(letter) is not None


Key = tuple[int, ...]  # one length's sizes for clips of several lengths: the same key, the same length

# Clips of so many samples tell lengths apart: what is equal for all of these is taken for one length.
PROBES: Key = (40_000, 57_601, 81_601, 160_160, 1_000_003)


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
    before = True
    stage = adapter = 0
    for key in ordered:
        if key == frames:
            before = False
        elif key in names:
            continue
        elif (shown := _multiple(key, frames, whole=not before)) is not None:
            names[key] = shown
        elif before:
            stage += 1
            names[key] = f"T{stage}"
        else:
            adapter += 1
            names[key] = f"A{adapter}"
    return names


def _multiple(key: Key, frames: Key, whole: bool) -> str | None:
    """``"T+1"``, ``"2*T"``, ``"2*T-1"`` if that holds in every run."""
    base = next((i for i in range(1, len(frames)) if frames[i] != frames[0]), None)
    if base is None:
        return None
    factor, rest = divmod(key[base] - key[0], frames[base] - frames[0])
    if rest or factor < 1 or (factor > 1 and not whole):
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
        Calls with ``module``, ``inputs``, ``outputs``, ``began``, ``ended``.
    letters : mapping
        ``(call index, side, tensor index)`` -> letters of that tensor's axes, lengths already named.
    attention_heads : int, optional
        H, where the modules say so.

    Returns
    -------
    tuple of dict
        The same mapping with C, D, H V or N filled in, and their values.

    Notes
    -----
    C: channels of the last convolution before the first frame-wise Linear. D: last axis of most (B, T, ·) tensors. H:
    heads, the second axis of (B, H, T, T). V (of a (B, T, ·) output) or N (of a (B, ·) output: classes): last axis of
    the model's own output, and of what it came from.
    """
    values: dict[str, int] = {}
    result = dict(letters)
    order = sorted((call.ended if call.ended is not None else call.began, i) for i, call in enumerate(calls))
    ranks = {i: rank for rank, (_, i) in enumerate(order)}

    channels, encoder_end = None, -1
    for _, i in order:  # the last convolution that shortens the clip on its way to T (adapters shorten T itself)
        source, target = result.get((i, "in", 0), ()), result.get((i, "out", 0), ())
        if "Linear" in type(calls[i].module).__name__ and len(source) == 3 and is_time(source[1]):
            break  # from here on it is frames and features
        convolves = getattr(calls[i].module, "kernel_size", None) is not None and len(source) == len(target) == 3
        if (
            convolves
            and source[2] != target[2]
            and re.fullmatch(r"L|T\d+", source[2])
            and re.fullmatch(r"T\d*", target[2])
        ):
            channels, encoder_end = target[1], ranks[i]
    if channels is not None and not channels.isdigit():
        channels = None

    widths: dict[str, Counter] = {"T": Counter(), "L": Counter()}
    for (_, side, _), marks in result.items():
        framed = side == "out" and len(marks) == 3 and marks[2].isdigit() and marks[0].startswith(("B", "?"))
        if framed and (marks[1] in widths or marks[1].startswith("?")):  # an axis that is unknown is most often time
            widths["L" if marks[1] == "L" else "T"][marks[2]] += 1
    common = (widths["T"] or widths["L"]).most_common(1)
    features = common[0][0] if common else None

    projection = -1  # where C turns into D
    if channels is not None:
        for _, i in order:
            source, target = result.get((i, "in", 0), ()), result.get((i, "out", 0), ())
            if ranks[i] > encoder_end and "Linear" in type(calls[i].module).__name__ and source and target:
                if source[-1] == channels and (target[-1] != channels or features != channels):
                    projection = ranks[i]
                break
    output, output_letter = None, "V"
    if calls:
        marks = result.get((0, "out", _main_index(calls[0])), ())
        if (
            len(marks) in (2, 3) and marks[0] == "B" and marks[-1].isdigit() and marks[-1] not in (features, channels)
        ) or (_main_path(calls[0]) == "output.logits" and marks and marks[-1].isdigit()):
            output, output_letter = marks[-1], "V" if len(marks) == 3 else "N"
    last_of_width = max((ranks[i] for i, call in enumerate(calls) if i and _ends_with(result, i, features)), default=-1)

    for (i, side, j), marks in result.items():
        new = list(marks)
        early = ranks[i] < projection or (ranks[i] == projection and side == "in")
        for axis, mark in enumerate(marks):
            if not mark.isdigit() or not (marks[0] == "B" or (len(marks) == 3 and is_time(marks[1]))):
                continue
            ends = axis == len(marks) - 1
            headed = len(marks) == 4 and axis == 1 and is_time(marks[2]) and is_time(marks[3])
            if headed and attention_heads is not None and mark == str(attention_heads):
                new[axis] = "H"
            elif len(marks) != 3 and not ends:
                continue
            elif (
                output is not None
                and ends
                and len(marks) == (3 if output_letter == "V" else 2)
                and mark == output
                and side == "out"
                and (i == 0 or ranks[i] > last_of_width)
            ):
                new[axis] = output_letter
            elif mark == channels and (mark != features or early or (projection < 0 and ranks[i] <= encoder_end)):
                new[axis] = "C"
            elif mark == features and not (projection >= 0 and early and mark == channels):
                new[axis] = "D"
        result[i, side, j] = tuple(new)
    for letter, value in (("C", channels), ("D", features), (output_letter, output)):
        if value is not None:
            values[letter] = int(value)
    if attention_heads is not None:
        values["H"] = attention_heads
    return result, values


def _ends_with(letters: Mapping, i: int, width: str | None) -> bool:
    marks = letters.get((i, "out", 0), ())
    return bool(marks) and len(marks) == 3 and marks[-1] == width


def _main_path(call) -> str:
    for wanted in ("output.logits", "output.last_hidden_state"):
        if any(tensor.path == wanted for tensor in call.outputs):
            return wanted
    return call.outputs[0].path if call.outputs else ""


def _main_index(call) -> int:
    path = _main_path(call)
    return next((j for j, tensor in enumerate(call.outputs) if tensor.path == path), 0)
