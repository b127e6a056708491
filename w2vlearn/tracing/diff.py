"""Two traces side by side, only what differs, by letter: which letters moved, and which layers differ beyond that."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from w2vlearn.shown import Shown
from w2vlearn.tracing.records import CALLED, LayerRecord, MaskSeen

__all__ = ["Diff", "LayerChange", "LetterChange", "diff"]

_NUMBERED = re.compile(r"^(.*?\.)?(layers|layer|blocks)\.(\d+)$")


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
    changes = [change for role in shared for change in _changes(one[role], two[role])]
    changed = {name for change in changes for name in change.names}
    letters = (*_letter_changes(before.letters, after.letters), *_depth(one, two))
    layers = _grouped(changes) + _missing(one, two)
    return Diff(
        before=_title(before),
        after=_title(after),
        letters=letters,
        layers=layers,
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


def _changes(one: LayerRecord, two: LayerRecord) -> Iterable[LayerChange]:
    if one.status != two.status:
        yield LayerChange((one.name,), "status", one.status, two.status)
        return
    shapes = [record.output.letters if record.output else () for record in (one, two)]
    if shapes[0] != shapes[1]:
        yield LayerChange((one.name,), "shape", *shapes)
    masks = [_comparable(record.mask) for record in (one, two)]
    if masks[0] != masks[1]:
        yield LayerChange((one.name,), "mask", *masks)


def _comparable(mask: MaskSeen | None) -> MaskSeen | None:
    """A mask without what differs from batch to batch or from library to library by name only."""
    return mask and replace(mask, argument="", shape=(), dtype="", valid=None)


def _letter_changes(before: dict[str, int], after: dict[str, int]) -> tuple[LetterChange, ...]:
    letters = [*before, *(letter for letter in after if letter not in before)]
    return tuple(
        LetterChange(letter, before.get(letter), after.get(letter))
        for letter in letters
        if before.get(letter) != after.get(letter)
    )


def _depth(one: dict, two: dict) -> tuple[LetterChange, ...]:
    """The number of Transformer layers, if it differs."""
    depths = [_numbered_layers(roles) for roles in (one, two)]
    changed = []
    for stack in dict.fromkeys([*depths[0], *depths[1]]):
        numbers = [depth.get(stack, 0) for depth in depths]
        if numbers[0] != numbers[1] and all(numbers):
            changed.append(LetterChange(f"depth of {stack.strip('·.')}", *numbers))
    return tuple(changed)


def _numbered_layers(roles: dict) -> Counter:
    """How many numbered layers each stack has: {"encoder.layers": 12}."""
    found: Counter = Counter()
    for name, call in roles:
        match = _NUMBERED.match(name)
        if match and call == 0:
            found[f"{match[1] or ''}{match[2]}"] += 1
    return found


def _missing(one: dict, two: dict) -> tuple[LayerChange, ...]:
    """Layers that only one trace has; those below another missing one, or in a deeper stack, are said by that alone."""
    changes = []
    stacks = [_numbered_layers(roles) for roles in (one, two)]
    for mine, others, theirs, field in (
        (one, two, stacks[1], "only in the first"),
        (two, one, stacks[0], "only in the second"),
    ):
        missing = [role for role in mine if role not in others]
        absent = {name for name, _ in missing}
        top = [
            mine[name, call].name + (f" (call {call})" if call else "")
            for name, call in missing
            if not any(_is_below(name, other) for other in absent) and not _in_deeper_stack(name, theirs)
        ]
        if top:
            first = field == "only in the first"
            present = (CALLED, None) if first else (None, CALLED)
            changes.append(LayerChange(tuple(dict.fromkeys(top)), field, *present))
    return tuple(changes)


def _is_below(name: str, other: str) -> bool:
    return bool(other) and name.startswith(other + ".")


def _in_deeper_stack(name: str, stacks: Counter) -> bool:
    """Whether ``name`` is a layer that is missing only because the other trace's stack is shorter."""
    match = _NUMBERED.match(name)
    return bool(match) and stacks.get(f"{match[1] or ''}{match[2]}", 0) > 0


def _grouped(changes: list[LayerChange]) -> tuple[LayerChange, ...]:
    """Equal changes of several layers in one."""
    groups: dict[tuple, list[str]] = {}
    for change in changes:
        groups.setdefault((change.field, change.before, change.after), []).extend(change.names)
    return tuple(LayerChange(tuple(names), *key) for key, names in groups.items())


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
