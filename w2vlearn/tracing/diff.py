"""Two traces side by side, only what differs, by letter: which letters moved, and which layers differ beyond that."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from w2vlearn.shown import Shown
from w2vlearn.tracing.records import CALLED, LayerRecord

__all__ = ["Diff", "LayerChange", "LetterChange", "diff"]

_NUMBERED = re.compile(r"((?:.*\.)?(?:layers|layer|blocks))\.\d+")  # a layer of a stack: "encoder.layers.3"


@dataclass(frozen=True)
class LetterChange:
    """A letter that stands for different numbers in the two traces; None where a trace has no such letter."""

    letter: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class LayerChange:
    """Something about one layer, or about several in the same way, that no letter explains.

    Attributes
    ----------
    names : tuple of str
        The layers' names in the first trace (in the second, for layers that only it has).
    field : str
        "shape", "mask", "status", "only in the first", "only in the second".
    before, after : object
        What it was and what it is: letters of the output's axes for "shape", a `MaskSeen` (of which kind, form and
        what True means are compared) or None for "mask", the status for "status"; None where there is nothing.
    """

    names: tuple[str, ...]
    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Diff(Shown):
    """What differs between two traces. True if anything does; prints as a table."""

    before: str
    after: str
    letters: tuple[LetterChange, ...]
    layers: tuple[LayerChange, ...]
    same: int
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.letters or self.layers)


def diff(before: Any, after: Any) -> Diff:
    """Compare two traces, layer by layer, each layer with the one that plays the same role.

    Parameters
    ----------
    before, after : Trace
        Or any two `Layers`. Of the same model on two batches, of two sizes of a model, or of two models of the same
        kind (ours and Hugging Face's): layers are matched by name, whatever the part that holds them is called
        (``wav2vec2``, ``hubert``).

    Returns
    -------
    Diff
        ``letters``: each letter whose number differs. ``layers``: what those letters do not explain, equal changes of
        several layers together. ``same``: how many layers are the same in letters.

    Raises
    ------
    TypeError
        If one of the two is not a trace.
    ValueError
        If a trace is partial, or no layer of one plays the role of a layer of the other.
    """
    for trace in (before, after):
        if not hasattr(trace, "records") or not hasattr(trace, "letters"):
            raise TypeError(f"diff compares two traces, found a {type(trace).__name__}; trace(model, batch) makes one")
        if trace.error:
            raise ValueError(f"a partial trace cannot be compared: {trace.error}")
    one, two = _by_role(before), _by_role(after)
    shared = [role for role in one if role in two]
    if len(shared) < 2:
        raise ValueError(
            f"these traces cannot be compared: no layer of {before.model_name} has the role of a layer of "
            f"{after.model_name}; names are compared after the part that holds the model"
        )
    groups: dict[tuple, list[str]] = {}  # equal changes of several layers are one
    for role in shared:
        for change in _changes(one[role], two[role]):
            groups.setdefault(change, []).append(one[role].name)
    changed = {name for names in groups.values() for name in names}
    for change, roles, others in (
        (("only in the first", CALLED, None), one, two),
        (("only in the second", None, CALLED), two, one),
    ):
        if missing := _missing(roles, others):
            groups[change] = missing
    sizes = [dict(before.letters) | _depths(one, two), dict(after.letters) | _depths(two, one)]
    letters = dict.fromkeys([*before.letters, *after.letters, *sizes[0]])
    pairs = [(letter, *(numbers.get(letter) for numbers in sizes)) for letter in letters]
    return Diff(
        before=_title(before),
        after=_title(after),
        letters=tuple(LetterChange(*pair) for pair in pairs if pair[1] != pair[2]),
        layers=tuple(LayerChange(tuple(names), *change) for change, names in groups.items()),
        same=sum(one[role].name not in changed for role in shared),
        notes=_notes(before.letters, after.letters),
    )


def _by_role(trace: Any) -> dict[tuple[str, int], LayerRecord]:
    """Records by what they are, the name of the part that holds the base model left out."""
    encoders = [name for name in trace.names if name.split(".")[-1] == "feature_extractor"]
    base = encoders[0].rpartition(".")[0] if encoders else None  # "wav2vec2", "hubert", "" for a model without a head
    roles: dict[tuple[str, int], LayerRecord] = {}
    for record in trace.records:
        name = record.name
        inside = base is not None and (not base or name == base or name.startswith(base + "."))
        if inside and not record.is_mask_step:
            inner = name[len(base) :].lstrip(".")
            name = f"·.{inner}" if inner else "·"
        roles.setdefault((name, record.call), record)
    return roles


def _changes(one: LayerRecord, two: LayerRecord) -> Iterator[tuple[str, Any, Any]]:
    """Field, before, after of whatever differs between two layers of one role."""
    if one.status != two.status:
        yield "status", one.status, two.status
        return
    shapes = [record.output.letters if record.output else () for record in (one, two)]
    if shapes[0] != shapes[1]:
        yield "shape", *shapes
    # Masks without what differs from batch to batch, or from library to library by name only.
    masks = [r.mask and replace(r.mask, argument="", shape=(), dtype="", valid=None) for r in (one, two)]
    if masks[0] != masks[1]:
        yield "mask", *masks


def _stacks(roles: dict) -> Counter:
    """How many numbered layers each stack has: {"·.encoder.layers": 12}."""
    matches = [_NUMBERED.fullmatch(name) for name, call in roles if call == 0]
    return Counter(match[1] for match in matches if match)


def _depths(roles: dict, others: dict) -> dict[str, int]:
    """The number of layers of each stack that both traces have."""
    known = _stacks(others)
    return {f"depth of {name.strip('·.')}": depth for name, depth in _stacks(roles).items() if name in known}


def _missing(roles: dict, others: dict) -> list[str]:
    """Layers that only one trace has; those below another missing one, or in a deeper stack, are said by that alone."""
    absent = [role for role in roles if role not in others]
    above, stacks = tuple(f"{name}." for name, _ in absent if name), _stacks(others)
    names = [
        roles[name, call].name + (f" (call {call})" if call else "")
        for name, call in absent
        if not name.startswith(above) and not ((match := _NUMBERED.fullmatch(name)) and match[1] in stacks)
    ]
    return list(dict.fromkeys(names))


def _notes(before: dict[str, int], after: dict[str, int]) -> tuple[str, ...]:
    if before.get("L") == after.get("L") or "T" not in before or before.get("T") != after.get("T"):
        return ()
    lengths = [letter for letter in before if re.fullmatch(r"T\d*", letter)]
    if all(before[letter] == after.get(letter) for letter in lengths):
        return ("L differs and no T does: the samples that one clip has more are never read",)
    return ("L differs and T does not: early convolutions read the samples that one clip has more, no frame does",)


def _title(trace: Any) -> str:
    batch = trace.batch
    return f"{trace.model_name} (B = {batch.clips}, L = {batch.samples})" if batch else trace.model_name
