"""Symbolic traces as JSON, and the ones stored with the package.

The form (version 1), also what the explorer's front end reads; trees are those of `w2vlearn.tracing.expression`::

    {
      "format": "w2vlearn.symbolic_trace", "version": 1,
      "model": "Wav2Vec2ForCTC", "masked": true,
      "letters":   {"B": "B", "L": "L", "T1": ["+", ["//", "L", 5], -1], …, "T": …},  trees in B and L, as derived
      "chain":     {"T2": ["+", ["//", ["+", "T1", -3], 2], 1], …},     trees in an earlier letter, proved equal
      "closed":    {"T": {"letter": "L", "offset": 400, "hop": 320}, …},   floor((L - offset) / hop) + 1, proved equal
      "labels":    {"T": "T", "T+1": ["+", "T", 1], …},                 what stands in shapes, trees in letters
      "constants": {"C": 512, "D": 768, …},
      "range":     {"clips": [2, null], "samples": [720, null], "conditions": [], "minimum": 400, …},
      "guards":    [[">=", "L", 10], …],                                trees that are true or false
      "notes":     ["…"],
      "tensors":   [["hidden_states", ["B", "T", 768], "float32", "any", ["B", "T", "D"]], …],
      "masks":     [["attention_mask", "frame", "bool", ["B", "T"], "bool", "True = real"], …],
      "records":   [{"name": "", "call": 0, "type": "…", "what": "…", "depth": 0, "parameters": 0, "inputs": [0, 1],
                     "outputs": [2], "mask": 0, "masks": [0], "mixes_time": false, "skipped": false}, …]
    }

A tensor is path, shape, dtype, device, letters; a mask is argument, kind, form, shape, dtype, convention. A shape's
entry is a number, or a label to look up in "labels". Records name tensors and masks by their place in those lists.

``python -m w2vlearn.tracing.formulas`` derives the stored files anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from w2vlearn.tracing.expression import Expression
from w2vlearn.tracing.record import LayerRecord, MaskSeen, TensorInfo
from w2vlearn.tracing.shapes import Range
from w2vlearn.tracing.symbolic import SymbolicTrace

__all__ = ["FORMAT", "VERSION", "from_dict", "load", "preset", "preset_of", "save", "to_dict"]

FORMAT = "w2vlearn.symbolic_trace"
VERSION = 1


def to_dict(s: SymbolicTrace) -> dict[str, Any]:
    """A symbolic trace as plain data; see this module's docstring."""
    tensors: dict[TensorInfo, int] = {}
    masks: dict[MaskSeen, int] = {}

    def places(things, table) -> list[int]:
        return [table.setdefault(t, len(table)) for t in things]

    records = [
        {
            "name": r.name, "call": r.call, "type": r.type, "what": r.what,
            "depth": r.depth, "parameters": r.parameters,
            "inputs": places(r.inputs, tensors), "outputs": places(r.outputs, tensors),
            "mask": None if r.mask is None else places([r.mask], masks)[0], "masks": places(r.masks, masks),
            "mixes_time": r.mixes_time, "skipped": r.skipped,
        }
        for r in s.records
    ]  # fmt: skip
    formulas = {k: s.formula(k) for k in s.letters}
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": s.model_name,
        "masked": s.masked,
        "letters": {k: e.to_json() for k, e in s.letters.items()},
        "chain": {k: f.chain.to_json() for k, f in formulas.items() if f.chain is not None},
        "closed": {
            k: {"letter": f.closed.letter, "offset": f.closed.offset, "hop": f.closed.hop}
            for k, f in formulas.items()
            if f.closed is not None
        },
        "labels": {k: e.to_json() for k, e in s.labels.items()},
        "constants": dict(s.constants),
        "range": {
            "clips": list(s.range.clips),
            "samples": list(s.range.samples),
            "conditions": [e.to_json() for e in s.range.conditions],
            "minimum": s.range.minimum,
            "short": s.range.short,
            "one_clip": s.range.one_clip,
            "short_one_clip": s.range.short_one_clip,
            "runs": [list(r) for r in s.range.runs],
        },
        "guards": [e.to_json() for e in s.guards],
        "notes": list(s.notes),
        "tensors": [[t.path, list(t.shape), t.dtype, t.device, list(t.letters)] for t in tensors],
        "masks": [[m.argument, m.kind, m.form, list(m.shape), m.dtype, m.convention] for m in masks],
        "records": records,
    }


def from_dict(data: Mapping[str, Any]) -> SymbolicTrace:
    """Back from `to_dict`.

    Raises
    ------
    ValueError
        If the data is of another kind or version, or a part is missing or damaged.
    """
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        found = data.get("format", "no format") if isinstance(data, Mapping) else type(data).__name__
        raise ValueError(f"not a saved symbolic trace: its 'format' must be {FORMAT!r}, found {found!r}")
    if data.get("version") != VERSION:
        raise ValueError(
            f"this file has version {data.get('version')!r} of the form, this package reads {VERSION}: derive it "
            "anew with symbolic_trace(model)"
        )
    try:
        return _read(data)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"this saved symbolic trace is damaged: {type(error).__name__}: {error}") from error


def _read(data: Mapping[str, Any]) -> SymbolicTrace:
    tensors = [
        TensorInfo(p, tuple(shape), dtype, device, tuple(letters))
        for p, shape, dtype, device, letters in data["tensors"]
    ]
    masks = [MaskSeen(a, k, f, tuple(shape), dtype, c) for a, k, f, shape, dtype, c in data["masks"]]
    records = tuple(
        LayerRecord(
            name=r["name"], call=r["call"], type=r["type"], what=r["what"],
            depth=r["depth"], parameters=r["parameters"],
            inputs=tuple(tensors[i] for i in r["inputs"]), outputs=tuple(tensors[i] for i in r["outputs"]),
            mask=None if r["mask"] is None else masks[r["mask"]], masks=tuple(masks[i] for i in r["masks"]),
            mixes_time=r["mixes_time"], skipped=r["skipped"],
        )
        for r in data["records"]
    )  # fmt: skip
    held = data["range"]
    return SymbolicTrace(
        model_name=data["model"],
        records=records,
        letters={k: Expression(t) for k, t in data["letters"].items()},
        labels={k: Expression(t) for k, t in data["labels"].items()},
        range=Range(
            tuple(held["clips"]),
            tuple(held["samples"]),
            tuple(Expression(t) for t in held["conditions"]),
            held["minimum"],
            held["short"],
            held["one_clip"],
            held["short_one_clip"],
            tuple(tuple(r) for r in held["runs"]),
        ),
        masked=data["masked"],
        guards=tuple(Expression(t) for t in data["guards"]),
        constants=dict(data["constants"]),
        notes=tuple(data["notes"]),
    )


def save(s: SymbolicTrace, path: str | os.PathLike) -> None:
    """Write a symbolic trace as JSON, one record per line."""
    data = to_dict(s)
    lines = [f" {json.dumps(k)}: {_lines(v) if k in _LONG else json.dumps(v)}" for k, v in data.items()]
    Path(path).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


_LONG = ("guards", "tensors", "masks", "records")


def _lines(items: list) -> str:
    return "[\n  " + ",\n  ".join(json.dumps(i) for i in items) + "\n ]" if items else "[]"


def load(path: str | os.PathLike) -> SymbolicTrace:
    """Read what `save` wrote.

    Raises
    ------
    ValueError
        If the file is not JSON, cut off, or of another kind or version.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{os.fspath(path)} is not a saved symbolic trace, or it was cut off: {error}") from error
    return from_dict(data)


def preset(name: str, mask: bool = True) -> SymbolicTrace:
    """The stored formulas of a preset with a CTC head: ``"base"``, ``"large"``, ``"large_lv60"``, ``"tiny"``.

    Raises
    ------
    ValueError
        If there is no such preset; names those there are.
    """
    from w2vlearn.config import PRESETS

    if name not in PRESETS:
        raise ValueError(f"no stored formulas for {name!r}; there are {', '.join(PRESETS)}")
    return _stored(name, mask)


@cache
def _stored(name: str, mask: bool) -> SymbolicTrace:
    file = resources.files("w2vlearn") / "data" / "formulas" / file_name(name, mask)
    return from_dict(json.loads(file.read_text(encoding="utf-8")))


def file_name(name: str, mask: bool) -> str:
    """``base.json`` with a mask, ``base_without_mask.json`` without."""
    return f"{name}.json" if mask else f"{name}_without_mask.json"


def preset_of(model: Any) -> str | None:
    """Name of the preset whose stored formulas describe this model (same modules and sizes), else None."""
    from w2vlearn.config import PRESETS

    def kinds(module: Any) -> list[tuple[str, str]]:  # by name: a parametrized module has a class of its own
        return [(type(m).__module__, type(m).__qualname__) for m in module.modules()]

    sizes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    for name in PRESETS:
        twin = _preset_model(name)
        same = kinds(model) == kinds(twin)
        if same and sizes == {k: tuple(v.shape) for k, v in twin.state_dict().items()} and str(model) == str(twin):
            return name
    return None


def _preset_model(name: str) -> Any:
    """The preset's model with a CTC head on the meta device: sizes, no weights."""
    import torch

    from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC  # the presets' own: only here, where presets are meant

    with torch.device("meta"):
        return Wav2Vec2ForCTC(Wav2Vec2Config.from_preset(name)).eval()


def main() -> None:
    """Derive the formulas of every preset anew and write them where the package keeps them."""
    from w2vlearn.config import PRESETS
    from w2vlearn.tracing.symbolic import symbolic_trace

    folder = Path(str(resources.files("w2vlearn"))) / "data" / "formulas"
    folder.mkdir(parents=True, exist_ok=True)
    for name in PRESETS:
        model = _preset_model(name)
        for mask in (True, False):
            s = symbolic_trace(model, mask=mask)
            save(s, folder / file_name(name, mask))
            print(f"{file_name(name, mask)}: {len(s.records)} records, {s.range}")


if __name__ == "__main__":
    main()
