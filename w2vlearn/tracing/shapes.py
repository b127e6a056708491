"""Formulas at work: for which batches they hold, and every layer's shapes at one B and L without running anything."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from w2vlearn.tracing.expression import Expression
from w2vlearn.tracing.record import LayerRecord, TensorInfo

__all__ = ["Plan", "Range", "Records", "Shapes", "alone", "whole_number"]


@dataclass(frozen=True)
class Range:
    """For which batches the formulas hold, and how that is known.

    Attributes
    ----------
    clips, samples : (int, int or None)
        Smallest and largest B and L that the proof covers (None: no largest).
    conditions : tuple of Expression
        Further conditions that the proof relied on and that fail for some B and L in that range, in letters.
    minimum : int
        Smallest L for which every size is at least 1 (400 for BASE).
    short, one_clip, short_one_clip : str
        What running the model outside the proved range showed, for L from ``minimum`` up to the proof's smallest
        (T = 1), for B = 1, and for both at once: ``"agrees"``, ``""`` (not run), or what happened instead.
    runs : tuple of (int, int)
        The (B, L) that were run for that.
    """

    clips: tuple[int, int | None] = (1, None)
    samples: tuple[int, int | None] = (1, None)
    conditions: tuple[Expression, ...] = ()
    minimum: int = 1
    short: str = ""
    one_clip: str = ""
    short_one_clip: str = ""
    runs: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        parts = [f"{_bounds('L', self.samples)} and {_bounds('B', self.clips)} (proved)"]
        parts += [f"only where {c}" for c in self.conditions[:3]]
        if len(self.conditions) > 3:
            parts.append(f"and {len(self.conditions) - 3} more conditions")
        if self.minimum < self.samples[0]:
            name = f"L = {self.minimum} … {self.samples[0] - 1}"
            parts.append(f"{name}: {_outside(self.short)}")
        if self.clips[0] > 1:
            parts.append(f"B = 1: {_outside(self.one_clip)}")
        if self.short_one_clip not in ("", "agrees"):
            parts.append(f"both at once: {self.short_one_clip}")
        return "; ".join(parts)

    def status(self, B: int, L: int, holds: bool = True) -> str:
        """``"proved"`` or ``"checked by running"``.

        Raises
        ------
        ValueError
            If neither: says what holds.
        """
        if self.minimum > L:
            raise ValueError(
                f"L = {L}: too short, some layer would have no position left; the formulas hold for {self}. "
                f"Give clips of at least {self.minimum} samples (missing: {self.minimum - L})"
            )
        if B < 1:
            raise ValueError(f"B = {B}: a batch has at least one clip")
        for letter, value, (_, high) in (("B", B, self.clips), ("L", L, self.samples)):
            if high is not None and value > high:
                raise ValueError(f"{letter} = {value}: the formulas hold for {self}")
        if not holds:
            raise ValueError(f"B = {B}, L = {L}: a condition of the proof fails; the formulas hold for {self}")
        is_short, is_one = self.samples[0] > L, self.clips[0] > B
        if not (is_short or is_one):
            return "proved"
        found = self.short_one_clip if is_short and is_one else self.short if is_short else self.one_clip
        if found != "agrees":
            raise ValueError(f"B = {B}, L = {L}: {_outside(found)}; the formulas hold for {self}")
        return "checked by running"


def _bounds(letter: str, bounds: tuple[int, int | None]) -> str:
    low, high = bounds
    if low == high:
        return f"{letter} = {low}"
    return f"{letter} >= {low}" if high is None else f"{low} <= {letter} <= {high}"


def _outside(found: str) -> str:
    return {"agrees": "checked by running", "": "neither proved nor run"}.get(found, found)


class Records:
    """Looking up records by name, shared by the symbolic trace and its values at one batch."""

    records: tuple[LayerRecord, ...]
    _places: dict[Any, int]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[LayerRecord]:
        return iter(self.records)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __getitem__(self, key: str | tuple[str, int] | int) -> LayerRecord:
        if isinstance(key, int | slice):
            return self.records[key]
        try:
            return self.records[self._places[key]]
        except KeyError:
            names = [k for k in self._places if isinstance(k, str)]
            close = difflib.get_close_matches(str(key), names, n=3, cutoff=0.4)
            raise KeyError(f"no layer {key!r} here; closest names: {', '.join(close) or 'none'}") from None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all records, in order, each once."""
        return tuple(k for k in self._places if isinstance(k, str))

    def calls(self, name: str) -> tuple[LayerRecord, ...]:
        """All records of one name."""
        return tuple(r for r in self.records if r.name == name)

    @property
    def masks(self) -> tuple[LayerRecord, ...]:
        """The mask steps, and every layer that was handed a mask, in order."""
        return tuple(r for r in self.records if r.type == "mask step" or r.mask is not None)


class Shapes(Records):
    """Every layer's shapes at one B and L, evaluated and not run: ``shapes["wav2vec2.encoder"].output.shape``.

    Attributes
    ----------
    clips, samples : int
    letters : dict of str to int
        ``{"B": 3, "L": 40000, "T1": 7999, …}``.
    status : str
        ``"proved"`` or ``"checked by running"`` (T = 1 and B = 1, which export cannot cover).
    """

    def __init__(self, plan: Plan, values: dict[str, int], clips: int, samples: int, status: str, letters, lengths):
        self._plan = plan
        self._values = values
        self._lengths = lengths
        self._records: tuple[LayerRecord, ...] | None = None
        self._places = plan.places
        self.clips, self.samples, self.status = clips, samples, status
        self.letters: dict[str, int] = letters
        self.model_name = plan.model_name
        self.notes: tuple[str, ...] = (f"evaluated from the formulas, nothing was run ({status})",)

    def size_of(self, label: int | str) -> int | str:
        """The number for a label of a shape, ``"T+1"``; what is no label comes back as it is."""
        return self._values.get(label, label)

    def real_at(self, label: int | str) -> tuple[int, ...] | None:
        """Real positions per clip on an axis with that label; None without lengths or where it stays."""
        return None if self._lengths is None else self._lengths.get(label)

    @property
    def records(self) -> tuple[LayerRecord, ...]:
        """All records with numbers for letters, built when first looked at."""
        if self._records is None:
            self._records = self._plan.fill(self._values, self._lengths)
        return self._records

    def __str__(self) -> str:
        from w2vlearn.show.text import table

        return table(self)

    def _repr_html_(self) -> str:
        from w2vlearn.show.html import html

        return html(self)


class Plan:
    """Which label stands where, so that filling in numbers is quick."""

    def __init__(self, records: Sequence[LayerRecord], labels: Sequence[str], places: dict, model_name: str):
        self.records, self.places, self.model_name = tuple(records), places, model_name
        self.tensors: dict[TensorInfo, int] = {}
        self.rows = [([self._place(t) for t in r.inputs], [self._place(t) for t in r.outputs]) for r in records]
        self.labels = tuple(labels)

    def _place(self, info: TensorInfo) -> int:
        return self.tensors.setdefault(info, len(self.tensors))

    def fill(self, values: dict[str, int], lengths: dict[str, tuple[int, ...]] | None) -> tuple[LayerRecord, ...]:
        """Records with ``values`` for labels; ``lengths``: per label, its value at each clip's own length."""
        get = values.get
        numbers = [_changed(t, shape=tuple([get(d, d) for d in t.shape])) for t in self.tensors]
        masks: dict[int, Any] = {}
        filled = []
        for record, (inputs, outputs) in zip(self.records, self.rows, strict=True):
            new = {"inputs": tuple([numbers[i] for i in inputs]), "outputs": tuple([numbers[i] for i in outputs])}
            if record.masks or record.mask is not None:
                for mask in {id(m): m for m in (*record.masks, record.mask) if m is not None}.values():
                    if id(mask) not in masks:
                        masks[id(mask)] = _changed(mask, shape=tuple([get(d, d) for d in mask.shape]))
                new["masks"] = tuple([masks[id(m)] for m in record.masks])
                new["mask"] = masks[id(record.mask)] if record.mask is not None else None
            if lengths is not None:
                new["valid"] = _valid(record, lengths)
            filled.append(_changed(record, **new))
        return tuple(filled)


def _valid(record: LayerRecord, lengths: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    """Real positions per clip on the main output's last axis that moves with the length; None if none does."""
    shape = record.output.shape if record.output else ()
    return next((lengths[d] for d in reversed(shape) if d in lengths), None)


def alone(label: str, place: int, row: tuple[int, ...], uses: tuple[int, ...]) -> int:
    """A size for one clip alone; 0 if the clip is too short to get that far (``T+1`` where T is 0 or less)."""
    return row[place] if min((row[i] for i in uses), default=1) > 0 else 0


def _changed(record: Any, **fields: Any) -> Any:
    """`dataclasses.replace` for frozen classes without a second look at the fields: eight times as quick."""
    new = object.__new__(type(record))
    new.__dict__.update(record.__dict__)
    new.__dict__.update(fields)
    return new


def whole_number(name: str, value: Any) -> int:
    try:
        return value.__index__()
    except AttributeError:
        raise TypeError(f"{name} must be a whole number, found {value!r}") from None
