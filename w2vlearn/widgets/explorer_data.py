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

from w2vlearn.geometry import FrameGeometry
from w2vlearn.show.palette import STAGES, stage_of
from w2vlearn.show.rows import Row, rows
from w2vlearn.symbolic import SymbolicTrace
from w2vlearn.symbolic.expressions import to_json

_LAYER = re.compile(r"encoder\.layers\.\d+$")
_BYTES = 4  # float32


def model_data(symbolic: SymbolicTrace, norm: str) -> dict[str, Any]:
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
        ``sizes``: trees for every letter and label of a shape, each from those before it; ``encoder``: the feature
        encoder's convolutions; ``geometry``: trees for which samples a frame reads, and which frames read a sample;
        ``rows``: the table, folded and not; ``costs``: trees for work and memory; ``leak``: where padding gets in, and
        which stages it reaches.
    """
    reached = leaks()[norm]["with mask" if symbolic.masked else "without mask"]
    folded = rows(symbolic, "layers")
    encoder = _encoder(folded, reached)
    labels = {label: text for label, text in symbolic.labels.items() if label not in symbolic.letters}  # "T+1"
    layers = {match[0] for record in symbolic.records if (match := _LAYER.search(record.name))}
    return {
        "masked": symbolic.masked,
        "sizes": {name: to_json(text) for name, text in (symbolic.letters | labels).items() if name not in ("B", "L")},
        "constants": dict(symbolic.constants),
        "formula": f"T = {symbolic.formula('T').closed}",
        "encoder": encoder,
        "geometry": geometry_trees(geometry_of(encoder)),
        "rows": [_row(row, reached) for row in folded],
        "all_rows": [_row(row, reached) for row in rows(symbolic, "all")],
        "costs": _costs(symbolic),
        "parameters": symbolic.records[0].parameters,
        "depth": len(layers),
        "leak": _leak(folded, reached),
        "colours": {stage.key: stage.colour for stage in STAGES},
    }


def _row(row: Row, reached: dict[str, Any]) -> dict[str, Any]:
    ends = [list(info.shape) for info in (row.record.input, row.record.output) if info is not None]
    # how many positions are valid is worth asking of the first size that length moves
    times = [size for size in ends[-1][1:] if isinstance(size, str) and size != "B"] if ends else []
    return {
        "label": row.label,
        "name": row.name,
        "depth": row.depth,
        "stage": row.stage.key,
        "what": row.what,
        "letters": row.letters,
        "ends": ends,
        "time": times[0] if times else None,
        "mask": row.mask,
        "reached": role(row.name) in reached["layers"],
    }


def _encoder(folded: list[Row], reached: dict[str, Any]) -> list[dict[str, Any]]:
    """The convolutions that shorten the waveform: letter, kernel, stride, and trees for where frame ``t`` comes from.

    ``left``: positions left over; ``hop``: samples from one output position to the next; ``start``, ``stop``: output
    positions that frame ``t`` is computed from.
    """
    steps = []
    for row in folded:
        operation, output = row.record.operation, row.record.output
        if operation.kind != "convolution" or row.stage.key != "feature_encoder" or output is None:
            continue
        kernel, stride = operation.kernel[0], operation.stride[0]
        before, after = (str(info.shape[-1]) for info in (row.record.input, output))
        # what lies beyond the last kernel's end: before - ((after - 1) * stride + kernel)
        left = ["+", before, ["*", -stride, after], stride - kernel]
        layer = role(row.name).removesuffix(".conv")
        name = f"T{len(steps) + 1}"
        step = {"name": name, "before": before, "after": after, "kernel": kernel, "stride": stride, "left": left}
        steps.append(step | {"reached": layer in reached["layers"]})
    hop, spans = 1, geometry_of(steps).spans
    for place, step in enumerate(steps, 1):
        hop *= step["stride"]
        first, second = ((*spans(t), range(t, t + 1))[place] for t in (0, 1))
        step |= {"hop": hop} | _moving(second.start - first.start, len(first))
    return steps


def geometry_trees(geometry: FrameGeometry) -> dict[str, Any]:
    """`FrameGeometry` as trees: samples of frame ``t``, frames that read sample ``n``, samples at the end unread."""
    field, hop = geometry.receptive_field, geometry.hop
    return {
        "receptive_field": field,
        "hop": hop,
        **_moving(hop, field),
        "first": ["max", 0, ["//", ["+", "n", hop - field], hop]],
        "last": ["//", "n", hop],
        "unread": ["+", "L", ["*", -hop, "T"], hop - field],
    }


def _moving(step: int, width: int) -> dict[str, Any]:
    """A span of ``width`` positions that moves by ``step`` from frame to frame, as trees in ``t``."""
    return {"start": ["*", step, "t"], "stop": ["+", ["*", step, "t"], width]}


def geometry_of(encoder: list[dict[str, Any]]) -> FrameGeometry:
    """The geometry of these convolutions."""
    return FrameGeometry(*(tuple(step[name] for step in encoder) for name in ("kernel", "stride")))


def _costs(symbolic: SymbolicTrace) -> dict[str, Any]:
    """Trees for multiply-adds and for the memory of tensors that matter, in bytes of float32."""
    work: list[Any] = []
    largest_convolution: Any = 0
    for record in symbolic.records:
        if record.input is None or record.output is None:
            continue
        operation = record.operation
        before, after = record.input.shape, record.output.shape
        if operation.kind == "convolution":
            work.append(["*", *after, operation.kernel[0] * operation.inputs // operation.groups])
            largest_convolution = largest_convolution or ["*", *after, _BYTES]
        elif operation.kind == "linear":
            work.append(["*", *before, after[-1]])
        elif operation.kind == "attention":
            clips, frames, features = after
            work.append(["*", 2, clips, frames, frames, features])  # query times key, then weights times value
    return {
        "multiply_adds": ["+", *work],
        "waveforms": ["*", "B", "L", _BYTES],
        "first_convolution": largest_convolution,
        "hidden_state": ["*", "B", "T", symbolic.constants["D"], _BYTES],
        "attention_weights": ["*", "B", symbolic.constants.get("H", 1), "T", "T", _BYTES],
        "parameters": symbolic.records[0].parameters * _BYTES,
    }


def role(name: str) -> str:
    """A layer's name without the part that holds the model; Transformer layers count as one.

    Leaks were measured on seven convolutions; where there are more, those behind the seventh are like it.
    """
    name = re.sub(r"(encoder\.layers)\.\d+", r"\1", name.removeprefix("wav2vec2").lstrip("."))
    return re.sub(r"conv_layers\.(\d+)", lambda match: f"conv_layers.{min(6, int(match[1]))}", name)


def _leak(folded: list[Row], reached: dict[str, Any]) -> dict[str, Any]:
    """Where padding gets in, why, and the names of the stages that it reaches; ``entry`` is None for nowhere."""
    keys = {row.stage.key for row in folded if role(row.name) in reached["layers"]}
    stages = [stage for stage in STAGES if stage.key in keys]
    entry = reached["entry"]
    return {
        "entry": entry,
        "entry_stage": stage_of(entry).key if entry else None,
        "reason": reached["reason"],
        "keys": [stage.key for stage in stages],
        "stages": [stage.name for stage in stages],
    }


@cache
def leaks() -> dict[str, Any]:
    """Which layers padding reaches, measured on TINY and stored with the package by tools/store_formulas.py."""
    return json.loads((resources.files("w2vlearn") / "data" / "leaks.json").read_text(encoding="utf-8"))
