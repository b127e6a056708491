"""`symbolic_trace`: every layer's shape and mask as a function of B and L, proved by `torch.export`.

What this module adds to the export run is names and arithmetic: letters instead of torch's symbols, the range for
which the proof holds, and evaluation at a given B and L. The lengths themselves come from the model's own operations.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from w2vlearn.tracing import closed_form
from w2vlearn.tracing.closed_form import Formula
from w2vlearn.tracing.expression import Expression, compile_expressions
from w2vlearn.tracing.record import LayerRecord
from w2vlearn.tracing.shapes import Plan, Range, Records, Shapes, alone, whole_number

if TYPE_CHECKING:
    from torch import nn

    from w2vlearn.tracing.check import CheckReport
    from w2vlearn.tracing.record import Trace

__all__ = ["SymbolicTrace", "symbolic_trace"]


@dataclass
class SymbolicTrace(Records):
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
        if letter in self.constants:
            value = Expression(self.constants[letter])
            return Formula(letter, value, None, None, "exact", "every batch: no length can move it")
        if letter not in self.letters:
            raise KeyError(f"no letter {letter!r}; this model has {', '.join([*self.letters, *self.constants])}")
        derived = self.letters[letter]
        closed = closed_form.find(derived) if letter not in ("B", "L") else None
        names = list(self.letters)
        chain = None
        if letter not in ("B", "L"):
            before = next((n for n in reversed(names[: names.index(letter)]) if self.letters[n] != derived), "L")
            chain = closed_form.step(self.letters[before], derived, before) if before != "B" else None
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
        B, L = whole_number("B", B), whole_number("L", L)
        # below the proved range a few runs vouch for the formulas, and torch's conditions (T != 1 …) say nothing
        inside = self.range.samples[0] > L or all(conditions(max(B, self.range.clips[0]), L))
        status = self.range.status(B, L, inside)
        every = dict(zip(names, values(B, L), strict=True))
        valid = None
        if lengths is not None:
            if len(lengths) != B or not all(0 <= n <= L for n in lengths):
                raise ValueError(f"lengths must be B = {B} numbers from 0 to L = {L}, found {list(lengths)}")
            rows = [per_clip[1](whole_number("a length", n)) for n in lengths]
            valid = {k: tuple([alone(k, i, r, uses) for r in rows]) for i, (k, uses) in enumerate(per_clip[0].items())}
        letters = {k: every[k] for k in self.letters} | self.constants
        return Shapes(plan, every, B, L, status, letters, valid)

    def _compile(self) -> tuple:
        sizes = {**self.letters, **{k: e.substitute(**self.letters) for k, e in self.labels.items()}}
        known = {k: e for k, e in sizes.items() if e.letters <= {"B", "L"}}
        timed = {k: e for k, e in known.items() if e.letters == {"L"}}
        plan = Plan(self.records, tuple(self.labels), self._places, self.model_name)
        self._compiled = (
            tuple(known),
            compile_expressions(known.values(), ("B", "L")),
            compile_expressions(self.guards, ("B", "L")),
            ({k: self._uses(k, timed) for k in timed}, compile_expressions(timed.values(), ("L",))),
            plan,
        )
        return self._compiled

    def _uses(self, label: str, timed: Mapping[str, Expression]) -> tuple[int, ...]:
        """Places of the letters that a label is made of: ``T+1`` of T."""
        places = {k: i for i, k in enumerate(timed)}
        letters = self.labels[label].letters if label in self.labels else {label}
        return tuple(places[n] for n in letters if n in places)

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
        """The stored formulas of ``"base"``, ``"large"``, ``"large_lv60"`` or ``"tiny"`` with a CTC head."""
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
        Any module on waveforms; it is not touched, its weights may be anywhere. The name of a preset (``"base"``)
        gives its stored formulas instead of a new derivation.
    *args, **kwargs
        Example arguments of the forward, only for a model whose own are not found out by themselves: tensors of B = 3
        clips and one L (any, but no size that the model has as a constant).
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
