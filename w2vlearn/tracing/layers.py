"""`Layers`: one way to look into what was traced, derived or evaluated; and `Trace`, the observed one."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

from w2vlearn.shown import Shown
from w2vlearn.tracing.diff import Diff, diff
from w2vlearn.tracing.records import BatchInfo, LayerRecord, TraceData
from w2vlearn.tracing.store import read_json, trace_from_dict, trace_to_dict, write_json


class Layers(Shown):
    """Records of layers, looked up by name: ``t["wav2vec2.encoder"]`` is that module's first call, ``t["name", 1]``
    its second, ``t[0]`` the first record; iterating gives every `LayerRecord`; ``"name" in t`` asks.

    Base of an observed `Trace`, of a `SymbolicTrace` and of its shapes at one batch.
    """

    model_name: str = ""
    error: str | None = None
    records: tuple[LayerRecord, ...] = ()
    letters: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    batch: BatchInfo | None = None
    aliases: ClassVar[Mapping[str, str]] = {}

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for i, record in enumerate(self.records):
            places.setdefault(record.name, []).append(i)
        return places

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all records, each once, in order."""
        return tuple(self._places)

    @property
    def masks(self) -> tuple[LayerRecord, ...]:
        """The mask steps and every layer that was handed a mask, in order."""
        return tuple(record for record in self.records if record.is_mask_step or record.mask is not None)

    def calls(self, name: str) -> tuple[LayerRecord, ...]:
        """All records of one module (or mask step), in order; empty if there is none of that name."""
        return tuple(self.records[i] for i in self._places.get(self.aliases.get(name, name), ()))

    def __iter__(self) -> Iterator[LayerRecord]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __contains__(self, key: object) -> bool:
        name, call = key if isinstance(key, tuple) and len(key) == 2 else (key, None)
        return isinstance(name, str) and any(call in (None, record.call) for record in self.calls(name))

    def __getitem__(self, key: str | tuple[str, int] | int | slice) -> LayerRecord | tuple[LayerRecord, ...]:
        if isinstance(key, int | slice):
            return self.records[key]
        name, call = key if isinstance(key, tuple) else (key, 0)
        records = self.calls(name) if isinstance(name, str) else ()
        if not records:
            raise KeyError(
                f"no layer called {name!r} in this trace of {self.model_name or 'a model'}{self._suggestion(str(name))}"
            )
        for record in records:
            if record.call == call:
                return record
        raise KeyError(
            f"{name!r} was called {len(records)} time(s) in this trace: there is no call {call} (calls count from 0)"
        )

    def _suggestion(self, name: str) -> str:
        names = self.names
        close = difflib.get_close_matches(name, names, n=3) or [n for n in names if name and n.endswith(name)][:3]
        if close:
            return f"; did you mean {', '.join(map(repr, close))}?"
        return f"; it has {len(names)} names, see `.names`"

    def diff(self, other: Layers) -> Diff:
        """What differs between this and another, by letter; see `w2vlearn.tracing.diff`."""
        return diff(self, other)

    def to_markdown(self) -> str:
        """A Markdown table, one row per record, with letters and notes below it."""
        return self._show("markdown")

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``, one row per record (pandas must be installed)."""
        return self._show("pandas")


class Trace(Layers):
    """The layers of one forward pass, in order, with shapes and masks. Made by `w2vlearn.trace`.

    What it says was so when the model ran; nothing that happens to the model or its inputs afterwards changes it. It
    holds no module. Copies and pickles keep everything but ``output`` and the values.

    Parameters
    ----------
    data : TraceData
        The content.
    model_name : str
        Class name of the model.
    output : object
        What the model returned, the very object; None for a trace that was loaded, unpickled, or that broke.
    error : str, optional
        For a partial trace: where and how the model broke.

    Attributes
    ----------
    records : tuple of LayerRecord
        Every module call and mask step, in the order in which they began.
    batch : BatchInfo or None
        Clips, samples and lengths of the batch; None where the model's input was no batch of clips.
    notes : tuple of str
        What was decided about arguments and masks, and what could not be found out, in words.
    aliases : dict of str to str
        Second names of modules that the model holds twice, and the name used here.
    """

    def __init__(self, data: TraceData, *, model_name: str = "", output: Any = None, error: str | None = None) -> None:
        self.data, self.model_name, self.output, self.error = data, model_name, output, error
        self.records, self.batch, self.notes, self.aliases = data.records, data.batch, data.notes, data.aliases

    @property
    def letters(self) -> dict[str, int]:
        """What each letter stands for in this run: ``{"B": 3, "L": 40000, "T1": 7999, …, "T": 124, "D": 768}``."""
        return dict(self.data.letters)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain dicts and lists that JSON can hold (the output object and the values left out)."""
        return trace_to_dict(self.data, self.model_name, self.error)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dict` as JSON; the file appears whole or not at all."""
        write_json(self.to_dict(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read what `save` wrote; equal to the saved trace in everything but the output object and the values.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is empty, cut off, no JSON, no trace, or of another version.
        """
        return cls.from_dict(read_json(path, "trace"), source=repr(str(path)))

    @classmethod
    def from_dict(cls, data: Any, source: str = "") -> Trace:
        """The trace that `to_dict` made; a ``ValueError`` says what is wrong with anything else."""
        content, model_name, error = trace_from_dict(data, source)
        return cls(content, model_name=model_name, error=error)

    def __reduce__(self) -> tuple:
        return Trace.from_dict, (self.to_dict(),)

    def __copy__(self) -> Trace:
        return Trace(self.data, model_name=self.model_name, output=self.output, error=self.error)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        return (self.data, self.model_name, self.error) == (other.data, other.model_name, other.error)

    def __repr__(self) -> str:
        return f"<Trace of {self.model_name or 'a model'}{', broken' if self.error else ''}>"
