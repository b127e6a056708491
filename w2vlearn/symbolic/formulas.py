"""`SymbolicTrace`: every layer's shape and mask in letters, the formula of each letter, and what follows from them.

Saved, it is JSON in this form (version 2); formulas are the text that `w2vlearn.symbolic.expressions` reads::

    {
      "format": "w2vlearn.symbolic_trace", "version": 2,
      "model_name": "Wav2Vec2ForCTC", "masked": true,
      "letters":    {"B": "B", "L": "L", "T1": "L // 5 - 1", …},   in B and L, as derived
      "labels":     {"T": "T", "T+1": "T + 1", …},                  what stands in shapes, in letters
      "constants":  {"C": 512, "D": 768, …},
      "range":      {"clips": [2, null], "samples": [720, null], "conditions": [], "minimum": 400, …},
      "guards":     ["L >= 10", …],
      "notes":      ["…"],
      "operations": [{"kind": "convolution", …}, …],
      "tensors":    [{"path": "hidden_states", "shape": ["B", "T", 768], …}, …],
      "masks":      [{"argument": "attention_mask", "kind": "frame", …}, …],
      "records":    [{"name": "", "type": "…", "operation": 0, "inputs": [0, 1], "outputs": [2], "mask": 0, …}, …]
    }

Operations, tensors, masks and records are `w2vlearn.tracing.records` by the names of their fields; a field at its
default is left out. Records name the other three by their place in those lists.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2vlearn.config import PRESETS, Wav2Vec2Config
from w2vlearn.symbolic.agreement import CheckReport, Difference, compare
from w2vlearn.symbolic.closed_form import Formula, find, step
from w2vlearn.symbolic.evaluation import Range, Shapes
from w2vlearn.symbolic.expressions import compiled, letters_of
from w2vlearn.tracing.layers import Layers
from w2vlearn.tracing.records import BatchInfo, LayerRecord, MaskSeen, Operation, TensorInfo
from w2vlearn.tracing.store import plain, read_json

if TYPE_CHECKING:
    from w2vlearn.tracing.layers import Trace

FORMAT = "w2vlearn.symbolic_trace"
VERSION = 2
_SHARED = {"operation": "operations", "inputs": "tensors", "outputs": "tensors", "mask": "masks", "masks": "masks"}
_KINDS = {"operations": Operation, "tensors": TensorInfo, "masks": MaskSeen}


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
            return Formula(letter, str(self.constants[letter]), "every batch: no length can move it")
        if letter not in self.letters:
            raise KeyError(f"no letter {letter!r}; this model has {', '.join([*self.letters, *self.constants])}")
        derived = self.letters[letter]
        if letter in ("B", "L"):
            return Formula(letter, derived, str(self.range))
        names = list(self.letters)
        before = next((n for n in reversed(names[: names.index(letter)]) if self.letters[n] != derived), "L")
        chain = step(self.letters[before], derived, before) if before != "B" else None
        return Formula(letter, derived, str(self.range), chain, find(derived))

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
        # below the proved range a few runs vouch for the formulas, and torch's conditions (T != 1 …) say nothing
        guards = compiled(self.guards, ("B", "L"))
        outcomes = () if self.range.samples[0] > L else guards(max(B, self.range.clips[0]), L)
        failing = next((guard for guard, holds in zip(self.guards, outcomes, strict=False) if not holds), "")
        status = self.range.status(B, L, failing)
        if lengths is not None:
            if len(lengths) != B or not all(0 <= n <= L for n in lengths):
                raise ValueError(f"lengths must be B = {B} numbers from 0 to L = {L}, found {list(lengths)}")
            lengths = tuple(_whole_number("a length", n) for n in lengths)
        return Shapes(self, BatchInfo(B, L, lengths), status)

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
        try:
            if batch is None:
                raise ValueError(
                    "the trace does not say what its batch was (B and L), so there is nothing to put into the formulas"
                )
            shapes = self.at(batch.clips, batch.samples, batch.lengths or (batch.samples,) * batch.clips)
        except (ValueError, TypeError) as error:
            return CheckReport((Difference("", 0, "batch", "a batch that the formulas hold for", str(error)),))
        return compare(shapes, trace)

    def to_dict(self) -> dict[str, Any]:
        """As plain lists, dicts, numbers and strings, ready for JSON; see this module's docstring."""
        tables: dict[str, dict[Any, int]] = {name: {} for name in _KINDS}

        def place(item: Any, table: dict[Any, int]) -> Any:
            if isinstance(item, tuple):
                return [place(part, table) for part in item]
            return None if item is None else table.setdefault(item, len(table))

        records = [
            {
                name: place(getattr(record, name), tables[_SHARED[name]]) if name in _SHARED else value
                for name, value in _changed_fields(record).items()
            }
            for record in self.records
        ]
        content = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name != "records"}
        lists = {name: [_changed_fields(item) for item in table] for name, table in tables.items()}
        return {"format": FORMAT, "version": VERSION, **content, **lists, "records": records}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SymbolicTrace:
        """Back from `to_dict`; a ``ValueError`` says what is wrong with data of another kind or version."""
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            kind = data.get("format", "no format") if isinstance(data, Mapping) else type(data).__name__
            raise ValueError(f"not a saved symbolic trace: its 'format' must be {FORMAT!r}, found {kind!r}")
        if data.get("version") != VERSION:
            raise ValueError(
                f"a symbolic trace of version {data.get('version')!r}; this w2vlearn reads version {VERSION}"
            )
        try:
            tables = {name: [kind(**_tuples(item)) for item in data[name]] for name, kind in _KINDS.items()}

            def look_up(place: Any, table: list) -> Any:
                if isinstance(place, list | tuple):
                    return tuple(table[i] for i in place)
                return None if place is None else table[place]

            records = tuple(
                LayerRecord(**{
                    name: look_up(value, tables[_SHARED[name]]) if name in _SHARED else _tuples(value)
                    for name, value in record.items()
                })
                for record in data["records"]
            )  # fmt: skip
            content = {f.name: _tuples(data[f.name]) for f in fields(cls)}
            s = cls(**content | {"records": records, "range": Range(**content["range"])})
            for text in (*s.letters.values(), *s.labels.values(), *s.guards):
                letters_of(text)
            return s
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"this saved symbolic trace is damaged: {what}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dict` as a JSON file, one record per line; ``~`` stands for the home folder."""
        parts = [f" {json.dumps(name)}: {_lines(value)}" for name, value in self.to_dict().items()]
        Path(path).expanduser().write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")

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

    @staticmethod
    @cache
    def preset(name: str, mask: bool = True, norm: str | None = None) -> SymbolicTrace:
        """The stored formulas of ``"base"``, ``"large"``, ``"large_lv60"`` or ``"tiny"`` with a CTC head.

        ``norm`` is the feature encoder's, "group" or "layer"; the preset's own unless given.

        Raises
        ------
        ValueError
            If there is no such preset or norm; names those there are.
        """
        if name not in PRESETS:
            raise ValueError(f"no stored formulas for {name!r}; there are {', '.join(sorted(PRESETS))}")
        if norm not in (None, "group", "layer"):
            raise ValueError(f"no stored formulas for norm {norm!r}; there are group, layer")
        file = resources.files("w2vlearn") / "data" / "formulas" / stored_name(name, mask, norm)
        return SymbolicTrace.from_dict(json.loads(file.read_text(encoding="utf-8")))

    def __repr__(self) -> str:
        return f"<SymbolicTrace of {self.model_name}: {len(self.records)} records, {self.range}>"


def stored_name(name: str, mask: bool, norm: str | None) -> str:
    """``"base.json"``, ``"base_layer_norm_without_mask.json"``: the file that holds these formulas."""
    own = norm in (None, Wav2Vec2Config.from_preset(name).feat_extract_norm)
    return f"{name}{'' if own else f'_{norm}_norm'}{'' if mask else '_without_mask'}.json"


def _whole_number(name: str, value: Any) -> int:
    try:
        return value.__index__()
    except AttributeError:
        raise TypeError(f"{name} must be a whole number, found {value!r}") from None


def _changed_fields(item: Any) -> dict[str, Any]:
    """Fields that are not at their default, as JSON can hold them."""
    every = {f.name: (getattr(item, f.name), f.default) for f in fields(item) if f.name != "values"}
    return {name: plain(value) for name, (value, default) in every.items() if default is MISSING or value != default}


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _lines(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n  " + ",\n  ".join(json.dumps(item) for item in value) + "\n ]"
