"""What the explorer's front end is told: expressions from a symbolic trace, and rows and costs that refer to them.

Nothing here knows a length. The front end evaluates the trees (see `w2vlearn.symbolic.expressions.to_json`) and adds
no formula.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any

from w2vlearn.show.palette import STAGES
from w2vlearn.show.rows import Row, rows
from w2vlearn.symbolic import SymbolicTrace
from w2vlearn.symbolic.expressions import to_json

_NUMBERED = re.compile(r"(encoder\.layers)\.\d+")
_BYTES = 4  # float32


def facts(symbolic: SymbolicTrace, norm: str) -> dict[str, Any]:
    """All that one picture of the model needs, as JSON data.

    Parameters
    ----------
    symbolic : SymbolicTrace
        With or without the mask.
    norm : {"group", "layer"}
        Normalisation of the feature encoder; chooses which measured leaks are shown.

    Returns
    -------
    dict
        ``letters``, ``labels``: trees; ``closed``: offset and hop of T; ``tower``: the feature encoder's convolutions;
        ``rows``: the table, folded and not; ``costs``: trees for work and memory; ``leak``.
    """
    frames = symbolic.formula("T")
    reached = leaks()[norm]["with mask" if symbolic.masked else "without mask"]
    folded = rows(symbolic, "layers")
    return {
        "model": symbolic.model_name,
        "masked": symbolic.masked,
        "letters": {letter: to_json(text) for letter, text in symbolic.letters.items()},
        "labels": {label: to_json(text) for label, text in symbolic.labels.items()},
        "closed": {"T": {"letter": frames.closed.letter, "offset": frames.closed.offset, "hop": frames.closed.hop}},
        "constants": dict(symbolic.constants),
        "formula": f"T = {frames.closed}",
        "tower": _tower(folded),
        "rows": [_row(row, reached) for row in folded],
        "all_rows": [_row(row, reached) for row in rows(symbolic, "all")],
        "costs": _costs(symbolic),
        "parameters": symbolic.records[0].parameters,
        "depth": _depth(symbolic),
        "leak": {"entry": reached["entry"], "reason": reached["reason"], "stages": _stages_reached(folded, reached)},
        "stages": [{"key": stage.key, "name": stage.name, "colour": stage.colour} for stage in STAGES],
    }


def _row(row: Row, reached: dict[str, Any]) -> dict[str, Any]:
    ends = [info for info in (row.record.input, row.record.output) if info is not None]
    return {
        "label": row.label,
        "name": row.name,
        "depth": row.depth,
        "stage": row.stage.key,
        "what": row.what,
        "letters": row.letters,
        "ends": [list(info.shape) for info in ends],
        "time": _time_label(ends[-1].shape) if ends else None,
        "mask": row.mask,
        "parameters": row.parameters,
        "reached": role(row.name) in reached["layers"],
    }


def _time_label(shape: tuple[int | str, ...]) -> str | None:
    """The first size that length moves: how many of these positions are valid is worth asking."""
    return next((size for size in shape[1:] if isinstance(size, str) and size != "B"), None)


def _tower(folded: list[Row]) -> list[dict[str, Any]]:
    """The convolutions that shorten the waveform: letter, kernel, stride, and a tree for the positions left over."""
    tower = []
    for row in folded:
        operation, output = row.record.operation, row.record.output
        if operation.kind != "convolution" or row.stage.key != "feature_encoder" or output is None:
            continue
        kernel, stride = operation.kernel[0], operation.stride[0]
        before, after = (str(info.shape[-1]) for info in (row.record.input, output))
        # what lies beyond the last kernel's end: before - ((after - 1) * stride + kernel)
        left = ["+", before, ["*", -stride, after], stride - kernel]
        name = f"T{len(tower) + 1}"
        tower.append({"before": before, "after": after, "kernel": kernel, "stride": stride, "left": left, "name": name})
    return tower


def _costs(symbolic: SymbolicTrace) -> dict[str, Any]:
    """Trees for multiply-adds and for the memory of tensors that matter, in bytes of float32."""
    trees = {label: to_json(text) for label, text in symbolic.labels.items()}  # "T+1" is a label, not a letter
    work: list[Any] = []
    largest_convolution: Any = 0
    for record in symbolic.records:
        if record.input is None or record.output is None:
            continue
        operation = record.operation
        before, after = ([trees.get(size, size) for size in info.shape] for info in (record.input, record.output))
        if operation.kind == "convolution":
            work.append(["*", *after, operation.kernel[0] * operation.inputs // operation.groups])
            largest_convolution = largest_convolution or ["*", *after, _BYTES]
        elif operation.kind == "linear":
            work.append(["*", *before, after[-1]])
        elif operation.kind == "attention":
            clips, frames, features = after
            work.append(["*", 2, clips, frames, frames, features])  # query times key, then weights times value
    heads = symbolic.constants.get("H", 1)
    return {
        "multiply_adds": ["+", *work],
        "waveforms": ["*", "B", "L", _BYTES],
        "first_convolution": largest_convolution,
        "hidden_state": ["*", "B", "T", symbolic.constants["D"], _BYTES],
        "attention_weights": ["*", "B", heads, "T", "T", _BYTES],
        "parameters": symbolic.records[0].parameters * _BYTES,
    }


def _depth(symbolic: SymbolicTrace) -> int:
    return len({match[0] for record in symbolic.records if (match := re.search(r"encoder\.layers\.\d+$", record.name))})


def role(name: str) -> str:
    """A layer's name without the part that holds the model; Transformer layers count as one."""
    return _NUMBERED.sub(r"\1", name.removeprefix("wav2vec2").lstrip("."))


def _stages_reached(folded: list[Row], reached: dict[str, Any]) -> list[str]:
    names = [row.stage.name for row in folded if row.depth > 1 and role(row.name) in reached["layers"]]
    return [stage.name for stage in STAGES if stage.name in names]


@cache
def leaks() -> dict[str, Any]:
    """Which layers padding reaches, measured on TINY and stored with the package by tools/store_formulas.py."""
    return json.loads((resources.files("w2vlearn") / "data" / "leaks.json").read_text(encoding="utf-8"))
