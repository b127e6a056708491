"""Formulas at work: for which batches they hold, and every layer's shapes at one B and L without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from w2vlearn.tracing.layers import Layers
from w2vlearn.tracing.records import BatchInfo, LayerRecord, TensorInfo
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
    """

    def __init__(
        self,
        template: Template,
        batch: BatchInfo,
        status: str,
        letters: dict[str, int],
        sizes: Mapping[str, int],
        valid: Mapping[str, tuple[int, ...]] | None,
    ) -> None:
        self.model_name = template.layers.model_name
        self.batch, self.status, self.letters = batch, status, letters
        self.notes = (f"evaluated from the formulas, nothing was run ({status})",)
        self._template, self._sizes, self._valid = template, sizes, valid
        self._records: tuple[LayerRecord, ...] | None = None

    @property
    def records(self) -> tuple[LayerRecord, ...]:
        """All records with numbers for letters, built when first looked at."""
        if self._records is None:
            self._records = self._template.fill(self._sizes, self._valid)
        return self._records

    def _by_name(self) -> dict[str, list[int]]:
        return self._template.layers._by_name()  # the same records in the same order

    def size_of(self, label: int | str) -> int | str:
        """The number for a label of a shape, ``"T+1"``; what is no label comes back as it is."""
        return self._sizes.get(label, label)

    def valid_at(self, label: int | str) -> tuple[int, ...] | None:
        """Valid positions per clip on an axis with that label; None without lengths, and where no length moves it."""
        return None if self._valid is None else self._valid.get(label)

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


class Template:
    """Records in letters, sorted by what is the same in several, so that filling in numbers is quick."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self.tensors: dict[TensorInfo, int] = {}
        self.rows = [(self._places(r.inputs), self._places(r.outputs)) for r in layers.records]

    def _places(self, infos: tuple[TensorInfo, ...]) -> list[int]:
        return [self.tensors.setdefault(info, len(self.tensors)) for info in infos]

    def fill(self, sizes: Mapping[str, int], valid: Mapping[str, tuple[int, ...]] | None) -> tuple[LayerRecord, ...]:
        """Records with ``sizes`` for labels; ``valid``: per label, its value at each clip's own length."""
        get = sizes.get
        tensors = [_changed(t, shape=tuple([get(d, d) for d in t.shape])) for t in self.tensors]
        masks: dict[int, Any] = {}
        records = []
        for record, (inputs, outputs) in zip(self.layers.records, self.rows, strict=True):
            new = {"inputs": tuple([tensors[i] for i in inputs]), "outputs": tuple([tensors[i] for i in outputs])}
            if record.masks or record.mask is not None:
                for mask in {id(m): m for m in (*record.masks, record.mask) if m is not None}.values():
                    if id(mask) not in masks:
                        masks[id(mask)] = _changed(
                            mask,
                            shape=tuple([get(d, d) for d in mask.shape]),
                            valid=time_sizes(mask.shape, valid) if mask.kind != "time" else None,
                        )
                new["masks"] = tuple([masks[id(m)] for m in record.masks])
                new["mask"] = masks[id(record.mask)] if record.mask is not None else None
            if valid is not None:
                new["valid"] = time_sizes(record.output.shape if record.output else (), valid)
            records.append(_changed(record, **new))
        return tuple(records)


def time_sizes(shape: tuple, valid: Mapping[str, tuple[int, ...]] | None) -> tuple[int, ...] | None:
    """Valid positions per clip on the last axis that moves with the length; None if none does."""
    return next((valid[d] for d in reversed(shape) if d in valid), None) if valid is not None else None


def _changed(record: Any, **fields: Any) -> Any:
    """`dataclasses.replace` for frozen classes without a second look at the fields: eight times as quick."""
    new = object.__new__(type(record))
    new.__dict__.update(record.__dict__)
    new.__dict__.update(fields)
    return new
