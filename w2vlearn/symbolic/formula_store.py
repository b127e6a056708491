"""A symbolic trace as plain dicts and as JSON files, and back.

The form (version 2); formulas are the text that `w2vlearn.symbolic.expressions` reads::

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
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from w2vlearn.symbolic.evaluation import Range
from w2vlearn.symbolic.expressions import letters_of
from w2vlearn.tracing.records import LayerRecord, MaskSeen, Operation, TensorInfo
from w2vlearn.tracing.store import plain

FORMAT = "w2vlearn.symbolic_trace"
VERSION = 2

_SHARED = {"operation": "operations", "inputs": "tensors", "outputs": "tensors", "mask": "masks", "masks": "masks"}
_KINDS = {"operations": Operation, "tensors": TensorInfo, "masks": MaskSeen}


def write_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `SymbolicTrace` as plain data; see this module's docstring."""
    tables: dict[str, dict[Any, int]] = {name: {} for name in _KINDS}

    def place(item: Any, table: dict[Any, int]) -> Any:
        if item is None:
            return None
        return [place(part, table) for part in item] if isinstance(item, tuple) else table.setdefault(item, len(table))

    records = [
        {
            name: place(getattr(record, name), tables[_SHARED[name]]) if name in _SHARED else value
            for name, value in _changed_fields(record).items()
        }
        for record in content["records"]
    ]
    lists = {name: [_changed_fields(item) for item in table] for name, table in tables.items()}
    simple = {name: plain(value) for name, value in content.items() if name != "records"}
    return {"format": FORMAT, "version": VERSION, **simple, **lists, "records": records}


def _changed_fields(item: Any) -> dict[str, Any]:
    """Fields that are not at their default, as JSON can hold them."""
    every = {f.name: (getattr(item, f.name), f.default) for f in fields(item) if f.name != "values"}
    return {name: plain(value) for name, (value, default) in every.items() if default is MISSING or value != default}


def read_content(data: Any) -> dict[str, Any]:
    """The fields that `write_content` was given.

    Raises
    ------
    ValueError
        If the data is of another kind or version, or a part is missing or damaged.
    """
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        kind = data.get("format", "no format") if isinstance(data, Mapping) else type(data).__name__
        raise ValueError(f"not a saved symbolic trace: its 'format' must be {FORMAT!r}, found {kind!r}")
    if data.get("version") != VERSION:
        raise ValueError(f"a symbolic trace of version {data.get('version')!r}; this w2vlearn reads version {VERSION}")
    try:
        tables = {name: [kind(**_tuples(item)) for item in data[name]] for name, kind in _KINDS.items()}

        def look_up(place: Any, table: list) -> Any:
            if place is None:
                return None
            return tuple(table[i] for i in place) if isinstance(place, list | tuple) else table[place]

        records = tuple(
            LayerRecord(**{
                name: look_up(value, tables[_SHARED[name]]) if name in _SHARED else _tuples(value)
                for name, value in record.items()
            })
            for record in data["records"]
        )  # fmt: skip
        content = {
            "model_name": data["model_name"],
            "records": records,
            "letters": dict(data["letters"]),
            "labels": dict(data["labels"]),
            "range": Range(**{name: _tuples(value) for name, value in data["range"].items()}),
            "masked": data["masked"],
            "guards": tuple(data["guards"]),
            "constants": dict(data["constants"]),
            "notes": tuple(data["notes"]),
        }
        for text in (*content["letters"].values(), *content["labels"].values(), *content["guards"]):
            letters_of(text)
        return content
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"this saved symbolic trace is damaged: {what}") from error


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def write_lines(data: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a symbolic trace as JSON, one record per line; ``~`` stands for the home folder."""
    parts = [f" {json.dumps(name)}: {_lines(value)}" for name, value in data.items()]
    Path(path).expanduser().write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _lines(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n  " + ",\n  ".join(json.dumps(item) for item in value) + "\n ]"
