"""A trace as plain dicts and as JSON files, and back."""

from __future__ import annotations

import json
import os
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from w2vlearn.tracing.records import BatchInfo, LayerRecord, MaskSeen, Operation, TensorInfo, TraceData

FORMAT = "w2vlearn trace"
VERSION = 2
_PARTS: dict[type, dict[str, type]] = {  # the fields that hold records themselves
    TraceData: {"records": LayerRecord, "batch": BatchInfo},
    LayerRecord: {
        "operation": Operation, "inputs": TensorInfo, "outputs": TensorInfo, "mask": MaskSeen, "masks": MaskSeen,
    },
}  # fmt: skip


def plain(value: Any) -> Any:
    """Records as dicts, tuples as lists, values of tensors left out: what JSON can hold."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.name != "values"}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def trace_to_dict(data: TraceData, model_name: str, error: str | None) -> dict[str, Any]:
    """All of a trace as plain dicts, lists, numbers and text, with ``"format"`` and ``"version"``."""
    content = plain(data) | {"letters": dict(data.letters), "aliases": dict(data.aliases)}
    return {"format": FORMAT, "version": VERSION, "model_name": model_name, "error": error, **content}


def trace_from_dict(data: Any, source: str = "") -> tuple[TraceData, str, str | None]:
    """Content, name of the model and error that `trace_to_dict` was given.

    Raises
    ------
    ValueError
        If it is no trace, one of another version, or incomplete; begins with ``source``, where it came from.
    """
    prefix = f"{source}: " if source else ""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        got = f"format {data.get('format')!r}" if isinstance(data, dict) else f"a {type(data).__name__}"
        raise ValueError(
            f"{prefix}this is no saved trace: wanted a dict with format {FORMAT!r}, found {got}; Trace.save writes one"
        )
    if data.get("version") != VERSION:
        raise ValueError(
            f"{prefix}this trace was saved in version {data.get('version')!r} of the format, this package reads "
            f"version {VERSION}: trace the model again, or load it with the package that saved it"
        )
    try:
        return _read(TraceData, data), data["model_name"], data["error"]
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{prefix}this saved trace is incomplete or was changed by hand: {what}") from error


def _read(kind: type, item: Any) -> Any:
    """What `plain` turned into a dict; a ``KeyError`` names a field that is missing."""
    parts = _PARTS.get(kind, {})
    own = [f for f in fields(kind) if f.name != "values"]
    return kind(**{f.name: _part(parts.get(f.name), f.type, item[f.name]) for f in own})


def _part(kind: type | None, wanted: str, value: Any) -> Any:
    """A field's value, by its annotation: ``tuple[LayerRecord, ...]``, ``Mapping[str, int]``, ``int | None``."""
    if value is None and wanted.endswith("| None"):
        return None
    if wanted.startswith("tuple["):
        return tuple(_part(kind, wanted.removeprefix("tuple["), item) for item in value)
    if wanted.startswith("Mapping["):
        return dict(value)
    return value if kind is None else _read(kind, value)


def write_json(data: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a dict as JSON; the file appears whole or not at all. ``~`` stands for the home folder."""
    path = Path(path).expanduser()
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_json(path: str | os.PathLike[str], what: str) -> Any:
    """Read a JSON file that `write_json` wrote; ``what`` is said to be in it: "trace", "symbolic trace".

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is empty, cut off or no JSON.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        why = ": it is a folder" if path.is_dir() else ""
        raise FileNotFoundError(f"no file {str(path)!r} to load a {what} from{why}")
    try:
        text = path.read_text(encoding="utf-8")
        if not text.strip():
            raise ValueError(f"{str(path)!r} is empty: it holds no {what}")
        return json.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(path)!r} is not text, so it holds no {what} that was saved here") from error
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) - 1 or '"format": "w2vlearn' in text[:80]
        why = "it is cut off" if cut else "it is no JSON"
        raise ValueError(
            f"{str(path)!r} cannot be read as a {what}: {why} (line {error.lineno}: {error.msg})"
        ) from error
