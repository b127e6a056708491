"""`SymbolicTrace`: every layer's shape and mask in letters, the formula of each letter, and what follows from them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any

from w2vlearn.symbolic.agreement import CheckReport, compare
from w2vlearn.symbolic.closed_form import Formula, find, step
from w2vlearn.symbolic.evaluation import Range, Shapes, Template
from w2vlearn.symbolic.expressions import compiled, letters_of, parse, substituted
from w2vlearn.symbolic.formula_store import read_content, write_content, write_lines
from w2vlearn.tracing.layers import Layers
from w2vlearn.tracing.records import BatchInfo, LayerRecord
from w2vlearn.tracing.store import read_json

if TYPE_CHECKING:
    from w2vlearn.tracing.layers import Trace


@dataclass(kw_only=True, repr=False)
class SymbolicTrace(Layers):
    """Every layer's shapes and masks in letters. Made by `symbolic_trace`, `SymbolicTrace.preset` or `load`.

    Attributes
    ----------
    records : tuple of LayerRecord
        As in an observed trace, with letters for sizes: ``s["wav2vec2.encoder"].output.shape == ("B", "T", 768)``.
    letters : dict of str to str
        Each letter in B and L, as derived from the model's operations: ``{"T1": "L // 5 - 1", …}``.
    labels : dict of str to str
        Each label that stands in a shape, in letters: ``{"T+1": "T + 1", …}``.
    range : Range
        For which B and L all this holds, and how that is known.
    masked : bool
        Whether the model was handed a mask.
    guards : tuple of str
        Every condition on B and L that `torch.export` relied on.
    constants : dict of str to int
        Letters that no length moves: ``{"C": 512, "D": 768, "H": 12, "V": 32}``.
    notes : tuple of str
        What was decided, assumed or left open, in words.
    """

    model_name: str
    records: tuple[LayerRecord, ...]
    letters: dict[str, str]
    labels: dict[str, str]
    range: Range
    masked: bool
    guards: tuple[str, ...] = ()
    constants: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def formula(self, letter: str) -> Formula:
        """The derived expression of one letter and, where one was proved, its closed form ``floor((L - a) / h) + 1``.

        Raises
        ------
        KeyError
            If the model has no such letter; names those it has.
        """
        if letter in self.constants:
            value = str(self.constants[letter])
            return Formula(letter, value, None, None, "exact", "every batch: no length can move it")
        if letter not in self.letters:
            raise KeyError(f"no letter {letter!r}; this model has {', '.join([*self.letters, *self.constants])}")
        derived = self.letters[letter]
        if letter in ("B", "L"):
            return Formula(letter, derived, None, None, "exact", str(self.range))
        closed = find(parse(derived))
        names = list(self.letters)
        before = next((n for n in reversed(names[: names.index(letter)]) if self.letters[n] != derived), "L")
        chain = step(parse(self.letters[before]), parse(derived), before) if before != "B" else None
        status = "unknown" if closed is None else "exact"
        return Formula(letter, derived, chain, closed, status, str(self.range))

    def at(self, B: int, L: int, lengths: Sequence[int] | None = None) -> Shapes:
        """Every layer's shapes for B clips padded to L samples, from the formulas; nothing is run.

        Parameters
        ----------
        B, L : int
            Clips, and samples of the longest.
        lengths : sequence of int, optional
            Valid samples of each clip; fills in ``valid`` per clip.

        Returns
        -------
        Shapes

        Raises
        ------
        ValueError
            If B or L lie outside the range for which the formulas hold, or ``lengths`` does not fit them.
        """
        B, L = _whole_number("B", B), _whole_number("L", L)
        code = self._code
        # below the proved range a few runs vouch for the formulas, and torch's conditions (T != 1 …) say nothing
        outcomes = () if self.range.samples[0] > L else code.guards(max(B, self.range.clips[0]), L)
        failing = next((guard for guard, holds in zip(self.guards, outcomes, strict=False) if not holds), "")
        status = self.range.status(B, L, failing)
        sizes = dict(zip(code.names, code.sizes(B, L), strict=True))
        valid = None
        if lengths is not None:
            if len(lengths) != B or not all(0 <= n <= L for n in lengths):
                raise ValueError(f"lengths must be B = {B} numbers from 0 to L = {L}, found {list(lengths)}")
            lengths = tuple(_whole_number("a length", n) for n in lengths)
            valid = code.valid(lengths)
        letters = {name: sizes[name] for name in self.letters} | self.constants
        return Shapes(code.template, BatchInfo(B, L, lengths), status, letters, sizes, valid)

    @cached_property
    def _code(self) -> _Code:
        return _Code(self)

    def check(self, trace: Trace) -> CheckReport:
        """Compare everything that an observed trace and the formulas both state; never raises for a run that differs.

        Parameters
        ----------
        trace : Trace
            Of the same model, with the same arguments (mask or no mask).

        Returns
        -------
        CheckReport
            Shapes, letters, types, masks (kind, form, what True means, valid counts), valid positions, mask steps and
            which layers took part; each difference by name.
        """
        batch = trace.batch
        if batch is None:
            return CheckReport.impossible(
                "the trace does not say what its batch was (B and L), so there is nothing to put into the formulas"
            )
        try:
            shapes = self.at(batch.clips, batch.samples, batch.lengths or (batch.samples,) * batch.clips)
        except (ValueError, TypeError) as error:
            return CheckReport.impossible(str(error))
        return compare(self, shapes, trace)

    def to_dict(self) -> dict[str, Any]:
        """As plain lists, dicts, numbers and strings, ready for JSON; see `w2vlearn.symbolic.formula_store`."""
        return write_content({f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SymbolicTrace:
        """Back from `to_dict`; a ``ValueError`` says what is wrong with data of another kind or version."""
        return cls(**read_content(data))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dict` as a JSON file."""
        write_lines(self.to_dict(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SymbolicTrace:
        """Read a file that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not JSON, cut off, or of another kind or version.
        """
        return cls.from_dict(read_json(path, "symbolic trace"))

    @classmethod
    def preset(cls, name: str, mask: bool = True) -> SymbolicTrace:
        """The stored formulas of ``"base"``, ``"large"``, ``"large_lv60"`` or ``"tiny"`` with a CTC head.

        Raises
        ------
        ValueError
            If there is no such preset; names those there are.
        """
        return _stored(name, mask)

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # compiled code does not travel

    def __repr__(self) -> str:
        return f"<SymbolicTrace of {self.model_name}: {len(self.records)} records, {self.range}>"


@cache
def _stored(name: str, mask: bool) -> SymbolicTrace:
    folder = resources.files("w2vlearn") / "data" / "formulas"
    names = sorted(file.name.removesuffix(".json") for file in folder.iterdir() if "_without_mask" not in file.name)
    if name not in names:
        raise ValueError(f"no stored formulas for {name!r}; there are {', '.join(names)}")
    file = folder / f"{name}{'' if mask else '_without_mask'}.json"
    return SymbolicTrace.from_dict(json.loads(file.read_text(encoding="utf-8")))


class _Code:
    """The formulas of a trace as functions."""

    def __init__(self, s: SymbolicTrace) -> None:
        every = {**s.letters, **{label: substituted(text, s.letters) for label, text in s.labels.items()}}
        known = {name: text for name, text in every.items() if letters_of(text) <= {"B", "L"}}
        timed = {name: text for name, text in known.items() if letters_of(text) == {"L"}}
        self.names = tuple(known)
        self.sizes = compiled(tuple(known.values()), ("B", "L"))
        self.guards = compiled(s.guards, ("B", "L"))
        self.template = Template(s)
        self._alone = compiled(tuple(timed.values()), ("L",))
        places = {name: i for i, name in enumerate(timed)}
        used = {name: letters_of(s.labels.get(name, name)) for name in timed}  # "T+1" is made of T
        self._uses = {name: (i, tuple(places[n] for n in used[name] if n in places)) for name, i in places.items()}

    def valid(self, lengths: Sequence[int]) -> dict[str, tuple[int, ...]]:
        """Each label's size for every clip alone; 0 if the clip is too short (``T+1`` where T is 0 or less)."""
        rows = [self._alone(n) for n in lengths]
        return {
            name: tuple([row[i] if min((row[j] for j in uses), default=1) > 0 else 0 for row in rows])
            for name, (i, uses) in self._uses.items()
        }


def _whole_number(name: str, value: Any) -> int:
    try:
        return value.__index__()
    except AttributeError:
        raise TypeError(f"{name} must be a whole number, found {value!r}") from None
