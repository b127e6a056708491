"""A trace as JSON, Markdown or a data frame."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from w2vlearn.tracing.record import BatchInfo, LayerRecord, MaskSeen, TensorInfo, Trace, TraceData

FORMAT = "w2vlearn trace"
VERSION = 1
_COLUMNS = ("name", "call", "type", "what", "input", "output", "real positions", "mask", "mixes time", "parameters")


def to_dict(trace: Trace) -> dict[str, Any]:
    """All of a trace but the output object and the values, as plain dicts, lists, numbers and text.

    Parameters
    ----------
    trace : Trace
        The trace; it is looked at (and so worked out) now.

    Returns
    -------
    dict
        With ``"format"`` and ``"version"``; `from_dict` reads it.
    """
    data = trace.data
    return {
        "format": FORMAT,
        "version": VERSION,
        "model_name": trace.model_name,
        "error": trace.error,
        "batch": None if data.batch is None else _plain(data.batch),
        "letters": dict(data.letters),
        "notes": list(data.notes),
        "aliases": dict(data.aliases),
        "records": [_plain(record) for record in data.records],
    }


def _plain(value: Any) -> Any:
    """Dataclasses as dicts, tuples as lists."""
    if isinstance(value, (LayerRecord, TensorInfo, MaskSeen, BatchInfo)):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.name != "values"}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def from_dict(data: Any) -> Trace:
    """The trace that `to_dict` made.

    Raises
    ------
    ValueError
        If it is no trace, one of another version, or incomplete.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = f"format {data.get('format')!r}" if isinstance(data, dict) else f"a {type(data).__name__}"
        raise ValueError(
            f"this is no saved trace: wanted a dict with format {FORMAT!r}, found {found}; Trace.save writes one"
        )
    if data.get("version") != VERSION:
        raise ValueError(
            f"this trace was saved in version {data.get('version')!r} of the format, this package reads version "
            f"{VERSION}: trace the model again, or load it with the package that saved it"
        )
    try:
        batch = data["batch"]
        content = TraceData(
            tuple(_record(item) for item in data["records"]),
            None if batch is None else BatchInfo(batch["clips"], batch["samples"], _tuple(batch["lengths"])),
            dict(data["letters"]),
            tuple(data["notes"]),
            dict(data["aliases"]),
        )
        return Trace(content, model_name=data["model_name"], error=data["error"])
    except (KeyError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"this saved trace is incomplete or was changed by hand: {what}") from error


def _tuple(value: Any) -> tuple | None:
    return None if value is None else tuple(value)


def _tensor(item: dict[str, Any]) -> TensorInfo:
    return TensorInfo(item["path"], tuple(item["shape"]), item["dtype"], item["device"], tuple(item["letters"]))


def _mask(item: dict[str, Any] | None) -> MaskSeen | None:
    if item is None:
        return None
    return MaskSeen(
        item["argument"],
        item["kind"],
        item["form"],
        tuple(item["shape"]),
        item["dtype"],
        item["convention"],
        _tuple(item["real"]),
    )


def _record(item: dict[str, Any]) -> LayerRecord:
    plain = ("name", "call", "type", "what", "depth", "parameters", "mixes_time", "skipped")
    return LayerRecord(
        **{name: item[name] for name in plain},
        inputs=tuple(_tensor(part) for part in item["inputs"]),
        outputs=tuple(_tensor(part) for part in item["outputs"]),
        mask=_mask(item["mask"]),
        masks=tuple(_mask(part) for part in item["masks"]),
        valid=_tuple(item["valid"]),
    )


def save(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write a trace as JSON; the file appears whole or not at all."""
    path = Path(path)
    text = json.dumps(to_dict(trace), ensure_ascii=False, indent=1)
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> Trace:
    """Read a trace that `save` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, cut off, no JSON, no trace, or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no file {str(path)!r} to load a trace from" + (": it is a folder" if path.is_dir() else "")
        )
    try:
        text = path.read_text(encoding="utf-8")
        if not text.strip():
            raise ValueError(f"{str(path)!r} is empty: it holds no trace")
        data = json.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(path)!r} is not text, so no trace that Trace.save wrote") from error
    except json.JSONDecodeError as error:
        where = (
            "it is cut off"
            if error.pos >= len(text.rstrip()) - 1 or '"w2vlearn trace"' in text[:80]
            else "it is no JSON"
        )
        raise ValueError(
            f"{str(path)!r} cannot be read as a trace: {where} (line {error.lineno}: {error.msg})"
        ) from error
    try:
        return from_dict(data)
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error


def _shape(info: TensorInfo | None) -> str:
    """``"3 x 512 x 7999 (B, C, T1)"``."""
    if info is None:
        return ""
    numbers = " x ".join(str(size) for size in info.shape) or "one number"
    return f"{numbers} ({', '.join(info.letters)})" if info.letters else numbers


def rows(trace: Trace) -> list[dict[str, Any]]:
    """One dict per record, with the columns of the Markdown table."""
    found = []
    for record in trace:
        mask = record.mask
        cells = (
            record.name or trace.model_name,
            record.call,
            record.type,
            record.what + (" (not called)" if record.skipped else ""),
            _shape(record.input),
            _shape(record.output),
            "" if record.valid is None else ", ".join(str(n) for n in record.valid),
            "" if mask is None else f"{mask.kind} {mask.form}, {mask.convention}",
            "yes" if record.mixes_time else "",
            record.parameters,
        )
        found.append(dict(zip(_COLUMNS, cells, strict=True)))
    return found


def to_markdown(trace: Trace) -> str:
    """A Markdown table, one row per record, notes and letters below it."""

    def cell(value: Any) -> str:
        return str(value).replace("|", "\\|").replace("\n", " ")

    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + " --- |" * len(_COLUMNS)]
    lines += ["| " + " | ".join(cell(value) for value in row.values()) + " |" for row in rows(trace)]
    if trace.letters:
        lines += ["", ", ".join(f"{letter} = {value}" for letter, value in trace.letters.items())]
    if trace.error:
        lines += ["", f"Broke: {cell(trace.error)}"]
    if trace.notes:
        lines += ["", *(f"- {cell(note)}" for note in trace.notes)]
    return "\n".join(lines) + "\n"


def to_pandas(trace: Trace) -> Any:
    """A ``pandas.DataFrame``, one row per record, shapes as tuples.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "to_pandas needs pandas, which is not installed: pip install pandas; to_dict() needs nothing"
        ) from error
    table = []
    for record in trace:
        line = {
            f.name: getattr(record, f.name)
            for f in fields(record)
            if f.name not in ("values", "masks", "inputs", "outputs")
        }
        line["input"] = record.input.shape if record.input else None
        line["output"] = record.output.shape if record.output else None
        line["input_letters"] = record.input.letters if record.input else None
        line["output_letters"] = record.output.letters if record.output else None
        line["mask"] = f"{record.mask.kind} {record.mask.form}" if record.mask else None
        line["marked_real"] = record.mask.real if record.mask else None
        table.append(line)
    return pandas.DataFrame(table)
