"""Formulas at work: for which batches they hold, and every layer's shapes at one B and L without running anything."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from w2vlearn.symbolic.expressions import compiled, letters_of
from w2vlearn.tracing.layers import Layers
from w2vlearn.tracing.records import BatchInfo, LayerRecord, MaskSeen, TensorInfo
from w2vlearn.tracing.store import plain

AGREES = "agrees"
PROVED = "proved"
CHECKED = "checked by running"


@dataclass(frozen=True)
class Range:
    """For which batches the formulas hold, and how that is known.

    Attributes
    ----------
    clips, samples : (int, int or None)
        Smallest and largest B and L that the proof covers (None: no largest).
    conditions : tuple of str
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
    conditions: tuple[str, ...] = ()
    minimum: int = 1
    short: str = ""
    one_clip: str = ""
    short_one_clip: str = ""
    runs: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        parts = [f"{_bounds('L', self.samples)} and {_bounds('B', self.clips)} ({PROVED})"]
        parts += [f"only where {condition}" for condition in self.conditions[:3]]
        if len(self.conditions) > 3:
            parts.append(f"and {len(self.conditions) - 3} more conditions")
        if self.minimum < self.samples[0]:
            parts.append(f"L = {self.minimum} … {self.samples[0] - 1}: {_outside(self.short)}")
        if self.clips[0] > 1:
            parts.append(f"B = 1: {_outside(self.one_clip)}")
        if self.short_one_clip not in ("", AGREES):
            parts.append(f"both at once: {self.short_one_clip}")
        return "; ".join(parts)

    def status(self, B: int, L: int, failing: str = "") -> str:
        """``"proved"`` or ``"checked by running"``; ``failing``: a condition that does not hold for this B and L.

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
        if failing:
            raise ValueError(
                f"B = {B}, L = {L}: the proof relies on {failing}, which fails here; the formulas hold for {self}"
            )
        is_short, is_one = self.samples[0] > L, self.clips[0] > B
        if not (is_short or is_one):
            return PROVED
        outcome = self.short_one_clip if is_short and is_one else self.short if is_short else self.one_clip
        if outcome != AGREES:
            raise ValueError(f"B = {B}, L = {L}: {_outside(outcome)}; the formulas hold for {self}")
        return CHECKED


def _bounds(letter: str, bounds: tuple[int, int | None]) -> str:
    low, high = bounds
    if low == high:
        return f"{letter} = {low}"
    return f"{letter} >= {low}" if high is None else f"{low} <= {letter} <= {high}"


def _outside(outcome: str) -> str:
    return {AGREES: CHECKED, "": "neither proved nor run"}.get(outcome, outcome)


class Shapes(Layers):
    """Every layer's shapes at one B and L, evaluated and not run: ``shapes["wav2vec2.encoder"].output.shape``.

    Attributes
    ----------
    batch : BatchInfo
        B, L and the lengths that were given.
    letters : dict of str to int
        ``{"B": 3, "L": 40000, "T1": 7999, …}``.
    status : str
        ``"proved"`` or ``"checked by running"`` (T = 1 and B = 1, which export cannot cover).
    symbolic : Layers
        The `SymbolicTrace` whose formulas were evaluated.
    """

    def __init__(self, symbolic: Layers, batch: BatchInfo, status: str) -> None:
        self.model_name, self.symbolic = symbolic.model_name, symbolic
        self.batch, self.status = batch, status
        self.notes = (f"evaluated from the formulas, nothing was run ({status})",)
        letters, labels = self._evaluated(batch.clips, batch.samples)
        self.letters = letters | symbolic.constants
        self._sizes, self._valid = letters | labels, {}
        if batch.lengths is not None:
            alone = [self._evaluated(1, length) for length in batch.lengths]
            for label in labels:
                used = letters_of(symbolic.labels[label])  # "T+1" is made of T: 0 where T is 0 or less
                if used and "B" not in used:
                    sizes = (row[label] if min(values[n] for n in used) > 0 else 0 for values, row in alone)
                    self._valid[label] = tuple(sizes)

    def _evaluated(self, B: int, L: int) -> tuple[dict[str, int], dict[str, int]]:
        """Letters and labels as numbers; a label that depends on values is left out."""
        texts = self.symbolic.letters
        letters = dict(zip(texts, compiled(tuple(texts.values()), ("B", "L"))(B, L), strict=True))
        known = {label: text for label, text in self.symbolic.labels.items() if letters_of(text) <= letters.keys()}
        values = compiled(tuple(known.values()), tuple(letters))(*letters.values())
        return letters, dict(zip(known, values, strict=True))

    @cached_property
    def records(self) -> tuple[LayerRecord, ...]:
        """All records with numbers for letters, built when first looked at."""
        filled: dict[int, TensorInfo | MaskSeen] = {}  # many layers share one: each is filled in once
        return tuple(
            _changed(
                record,
                inputs=tuple([self._fill(info, filled) for info in record.inputs]),
                outputs=tuple([self._fill(info, filled) for info in record.outputs]),
                masks=tuple([self._fill(mask, filled) for mask in record.masks]),
                mask=self._fill(record.mask, filled) if record.mask is not None else None,
                valid=self._valid_at(record.output.shape) if self._valid and record.output else None,
            )
            for record in self.symbolic.records
        )

    def _fill(self, info: Any, filled: dict[int, Any]) -> Any:
        new = filled.get(id(info))
        if new is None:
            fields: dict[str, Any] = {"shape": tuple([self._sizes.get(d, d) for d in info.shape])}
            if isinstance(info, MaskSeen) and info.kind != "time":
                fields["valid"] = self._valid_at(info.shape)
            new = filled[id(info)] = _changed(info, **fields)
        return new

    def _valid_at(self, shape: tuple) -> tuple[int, ...] | None:
        """Valid positions per clip on the last axis that moves with the length; None if none does."""
        return next((self._valid[size] for size in reversed(shape) if size in self._valid), None)

    def _by_name(self) -> dict[str, list[int]]:
        return self.symbolic._by_name()  # the same records in the same order

    def to_dict(self) -> dict[str, Any]:
        """As plain lists, dicts, numbers and strings: model, batch, letters, status and records."""
        return {
            "model_name": self.model_name,
            "batch": plain(self.batch),
            "letters": dict(self.letters),
            "status": self.status,
            "records": plain(self.records),
        }

    def __repr__(self) -> str:
        return f"<Shapes of {self.model_name} at B = {self.batch.clips}, L = {self.batch.samples} ({self.status})>"


def _changed(record: Any, **fields: Any) -> Any:
    """`dataclasses.replace` for frozen classes without a second look at the fields: eight times as quick."""
    new = object.__new__(type(record))
    new.__dict__.update(record.__dict__)
    new.__dict__.update(fields)
    return new
