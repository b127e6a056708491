"""`symbolic_trace`: every layer's shape and mask as a function of B and L, proved by `torch.export`.

What this module adds to the export run is names and arithmetic: letters instead of torch's symbols, the range for which the
proof holds, and evaluation at a given B and L. The lengths themselves come from the model's own operations.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from w2vlearn.tracing import closed_form
from w2vlearn.tracing.closed_form import Formula
from w2vlearn.tracing.expression import Expression, compile_expressions
from w2vlearn.tracing.record import LayerRecord, TensorInfo

if TYPE_CHECKING:
    from torch import nn

    from w2vlearn.tracing.check import CheckReport
    from w2vlearn.tracing.record import Trace

__all__ = ["Range", "Shapes", "SymbolicTrace", "symbolic_trace"]


@dataclass(frozen=True)
class Range:
    """For which batches the formulas hold, and how that is known.

    Attributes
    ----------
    clips, samples : (int, int or None)
        Smallest and largest B and L that the proof covers (None: no largest).
    conditions : tuple of Expression
        Further conditions on B and L that the proof relied on and that fail for some B and L in that range.
    minimum : int
        Smallest L for which every size is at least 1 (400 for BASE).
    short, one_clip : str
        What running the model outside the proved range showed, for L from ``minimum`` up to the proof's smallest (T = 1)
        and for B = 1: ``"agrees"``, ``""`` (not run), or what happened instead.
    runs : tuple of (int, int)
        The (B, L) that were run for that.
    """

    clips: tuple[int, int | None] = (1, None)
    samples: tuple[int, int | None] = (1, None)
    conditions: tuple[Expression, ...] = ()
    minimum: int = 1
    short: str = ""
    one_clip: str = ""
    runs: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        parts = [f"{_bounds('L', self.samples)} and {_bounds('B', self.clips)} (proved)"]
        parts += [f"only where {c}" for c in self.conditions]
        if self.minimum < self.samples[0]:
            name = f"L = {self.minimum} … {self.samples[0] - 1}"
            parts.append(f"{name}: {_outside(self.short)}")
        if self.clips[0] > 1:
            parts.append(f"B = 1: {_outside(self.one_clip)}")
        return "; ".join(parts)

    def status(self, B: int, L: int, holds: bool = True) -> str:
        """``"proved"`` or ``"checked by running"``.

        Raises
        ------
        ValueError
            If neither: says what holds.
        """
        if L < self.minimum:
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
        for outside, found in ((L < self.samples[0], self.short), (B < self.clips[0], self.one_clip)):
            if outside and found != "agrees":
                raise ValueError(f"B = {B}, L = {L}: {_outside(found)}; the formulas hold for {self}")
        return "proved" if L >= self.samples[0] and B >= self.clips[0] else "checked by running"


def _bounds(letter: str, bounds: tuple[int, int | None]) -> str:
    low, high = bounds
    if low == high:
        return f"{letter} = {low}"
    return f"{letter} >= {low}" if high is None else f"{low} <= {letter} <= {high}"


def _outside(found: str) -> str:
    return {"agrees": "checked by running", "": "neither proved nor run"}.get(found, found)


class _Records:
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


class Shapes(_Records):
    """Every layer's shapes at one B and L, evaluated and not run: ``shapes["wav2vec2.encoder"].output.shape``.

    Attributes
    ----------
    clips, samples : int
    letters : dict of str to int
        ``{"B": 3, "L": 40000, "T1": 7999, …}``.
    status : str
        ``"proved"`` or ``"checked by running"`` (T = 1 and B = 1, which export cannot cover).
    """

    def __init__(self, plan: _Plan, values: dict[str, int], clips: int, samples: int, status: str, letters, lengths):
        self._plan = plan
        self._values = values
        self._lengths = lengths
        self._records: tuple[LayerRecord, ...] | None = None
        self._places = plan.places
        self.clips, self.samples, self.status = clips, samples, status
        self.letters: dict[str, int] = letters
        self.model_name = plan.model_name
        self.notes: tuple[str, ...] = (f"evaluated from the formulas, nothing was run ({status})",)

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


class _Plan:
    """Which label stands where, so that filling in numbers is quick."""

    def __init__(self, records: Sequence[LayerRecord], labels: Sequence[str], places: dict, model_name: str):
        self.records, self.places, self.model_name = tuple(records), places, model_name
        self.tensors: dict[TensorInfo, int] = {}
        self.rows = [([self._place(t) for t in r.inputs], [self._place(t) for t in r.outputs]) for r in records]
        self.labels = tuple(labels)

    def _place(self, info: TensorInfo) -> int:
        return self.tensors.setdefault(info, len(self.tensors))

    def fill(self, values: dict[str, int], lengths: dict[str, tuple[int, ...]] | None) -> tuple[LayerRecord, ...]:
        """Records with ``values`` in the place of labels; ``lengths``: per label, its value at each clip's own length."""
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
    """Real positions per clip at the first axis of the output that depends on the length."""
    shape = record.output.shape if record.output else ()
    return next((lengths[d] for d in shape if d in lengths), None)


def _changed(record: Any, **fields: Any) -> Any:
    """`dataclasses.replace` for frozen classes without a second look at the fields: eight times as quick."""
    new = object.__new__(type(record))
    new.__dict__.update(record.__dict__)
    new.__dict__.update(fields)
    return new


@dataclass
class SymbolicTrace(_Records):
    """Every layer's shapes and masks in letters. Made by `symbolic_trace`, `SymbolicTrace.preset` or `load`.

    Attributes
    ----------
    records : tuple of LayerRecord
        As in an observed trace, with letters for sizes: ``s["wav2vec2.encoder"].output.shape == ("B", "T", 768)``.
    letters : dict of str to Expression
        Each letter in B and L, as derived from the model's operations.
    labels : dict of str to Expression
        Each label that stands in a shape, in letters: ``"T+1"`` is ``T + 1``.
    range : Range
        For which B and L all this holds, and how that is known.
    masked : bool
        Whether the model was handed a mask.
    guards : tuple of Expression
        Every condition on B and L that `torch.export` relied on.
    notes : tuple of str
        What was decided, assumed or left open, in words.
    """

    model_name: str
    records: tuple[LayerRecord, ...]
    letters: dict[str, Expression]
    labels: dict[str, Expression]
    range: Range
    masked: bool
    guards: tuple[Expression, ...] = ()
    constants: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._places: dict[Any, int] = {}
        for i, record in enumerate(self.records):
            self._places.setdefault(record.name, i)
            self._places[record.name, record.call] = i
        self._compiled: tuple | None = None

    # -- what holds ----------------------------------------------------------------------------------------------------

    def formula(self, letter: str) -> Formula:
        """The derived expression of one letter and, where one was proved, its closed form ``floor((L - a) / h) + 1``.

        Raises
        ------
        KeyError
            If the model has no such letter; names those it has.
        """
        if letter not in self.letters:
            raise KeyError(f"no letter {letter!r}; this model has {', '.join(self.letters)}")
        derived = self.letters[letter]
        closed = closed_form.find(derived) if letter not in ("B", "L") else None
        names = list(self.letters)
        chain = None
        if letter not in ("B", "L", "T1"):
            before = next((n for n in reversed(names[: names.index(letter)]) if self.letters[n] != derived), None)
            chain = closed_form.step(self.letters[before], derived, before) if before not in (None, "B", "L") else None
        exact = closed is not None or letter in ("B", "L")
        return Formula(letter, derived, chain, closed, "exact" if exact else "unknown", str(self.range))

    def at(self, B: int, L: int, lengths: Sequence[int] | None = None) -> Shapes:
        """Every layer's shapes for B clips padded to L samples, from the formulas; nothing is run.

        Parameters
        ----------
        B, L : int
            Clips, and samples of the longest.
        lengths : sequence of int, optional
            Real samples of each clip; fills in ``valid`` per clip.

        Returns
        -------
        Shapes

        Raises
        ------
        ValueError
            If B or L lie outside the range for which the formulas hold, or ``lengths`` does not fit them.
        """
        names, values, conditions, per_clip, plan = self._compiled or self._compile()
        B, L = _whole("B", B), _whole("L", L)
        status = self.range.status(B, L, all(conditions(B, L)))
        every = dict(zip(names, values(B, L), strict=True))
        valid = None
        if lengths is not None:
            if len(lengths) != B or not all(0 <= n <= L for n in lengths):
                raise ValueError(f"lengths must be B = {B} numbers from 0 to L = {L}, found {list(lengths)}")
            rows = [per_clip[1](_whole("a length", n)) for n in lengths]
            valid = {k: tuple([max(0, r[i]) for r in rows]) for i, k in enumerate(per_clip[0])}
        letters = {k: every[k] for k in self.letters} | self.constants
        return Shapes(plan, every, B, L, status, letters, valid)

    def _compile(self) -> tuple:
        sizes = {**self.letters, **{k: e.substitute(**self.letters) for k, e in self.labels.items()}}
        known = {k: e for k, e in sizes.items() if e.letters <= {"B", "L"}}
        timed = {k: e for k, e in known.items() if e.letters == {"L"}}
        plan = _Plan(self.records, tuple(self.labels), self._places, self.model_name)
        self._compiled = (
            tuple(known),
            compile_expressions(known.values(), ("B", "L")),
            compile_expressions(self.range.conditions, ("B", "L")),
            (tuple(timed), compile_expressions(timed.values(), ("L",))),
            plan,
        )
        return self._compiled

    def check(self, trace: Trace) -> CheckReport:
        """Compare every shape, mask and count of real positions in an observed trace with its formula; never raises."""
        from w2vlearn.tracing.check import check

        return check(self, trace)

    # -- kept and shown ------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """As plain lists, dicts, numbers and strings, ready for JSON; see `w2vlearn.tracing.formulas` for the form."""
        from w2vlearn.tracing.formulas import to_dict

        return to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SymbolicTrace:
        """Back from `to_dict`; a ``ValueError`` says what is wrong with data of another kind or version."""
        from w2vlearn.tracing.formulas import from_dict

        return from_dict(data)

    def save(self, path: str | os.PathLike) -> None:
        """Write `to_dict` as a JSON file."""
        from w2vlearn.tracing.formulas import save

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> SymbolicTrace:
        """Read a file that `save` wrote."""
        from w2vlearn.tracing.formulas import load

        return load(path)

    @classmethod
    def preset(cls, name: str, mask: bool = True) -> SymbolicTrace:
        """The stored formulas of ``"base"``, ``"large"``, ``"large_lv60"`` or ``"tiny"`` with a CTC head; nothing is exported."""
        from w2vlearn.tracing.formulas import preset

        return preset(name, mask)

    def __repr__(self) -> str:
        return f"<SymbolicTrace of {self.model_name}: {len(self.records)} records, {self.range}>"

    def __str__(self) -> str:
        from w2vlearn.show.text import table

        return table(self)

    def _repr_html_(self) -> str:
        from w2vlearn.show.html import html

        return html(self)


def _whole(name: str, value: Any) -> int:
    try:
        return value.__index__()
    except AttributeError:
        raise TypeError(f"{name} must be a whole number, found {value!r}") from None


def symbolic_trace(
    model: nn.Module | str,
    *args: Any,
    mask: bool = True,
    edges: bool = True,
    stored: bool = False,
    **kwargs: Any,
) -> SymbolicTrace:
    """Every layer's shape and mask as a function of the batch B and the length L, derived by `torch.export`.

    Parameters
    ----------
    model : nn.Module or str
        Any module on waveforms; it is not touched, its weights may be anywhere. The name of a preset (``"base"``) gives its
        stored formulas instead of a new derivation.
    *args, **kwargs
        Example arguments of the forward, only for a model whose own are not found out by themselves: tensors of B = 3 clips
        and one L (any, but no size that the model has as a constant).
    mask : bool
        Hand the model a mask of real samples, if it takes one.
    edges : bool
        Also run the model without values at B = 1 and T = 1, which export cannot cover (five quick runs).
    stored : bool
        Take the stored formulas if the model equals a preset; by default they are derived anew.

    Returns
    -------
    SymbolicTrace

    Raises
    ------
    ExportError
        If torch cannot follow the model's code; names layer and operation.
    """
    if isinstance(model, str):
        return SymbolicTrace.preset(model, mask)
    if stored:
        from w2vlearn.tracing.formulas import preset_of

        name = preset_of(model)
        if name is not None:
            return SymbolicTrace.preset(name, mask)
    from w2vlearn.tracing.derive import derive

    return derive(model, args, kwargs, mask=mask, edges=edges)
