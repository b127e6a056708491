"""The explorer as text: what the picture says, from the same formulas; the front end's sentences are the same."""

from __future__ import annotations

from typing import Any

from w2vlearn.geometry import FrameGeometry
from w2vlearn.show.table import Table
from w2vlearn.show.trace_table import text as table_text
from w2vlearn.symbolic.expressions import evaluate
from w2vlearn.widgets.explorer_data import geometry_of

_SPACE = "\u00a0"
_MANY = (("", 1), ("thousand", 1e3), ("million", 1e6), ("billion", 1e9), ("trillion", 1e12), ("quadrillion", 1e15))
_BYTES = (("B", 1), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("PB", 1e15))
_SIGNS = {"valid": ("True", "False"), "padding": ("False", "True"), "additive": ("0", "−3.4e38")}


def sizes(data: dict[str, Any], B: int, L: int) -> dict[str, int]:
    """Every letter and label at one B and L; 0 from the layer on at which a clip runs out."""
    values, gone = {"B": B, "L": L}, False
    for letter, tree in data["letters"].items():
        value = evaluate(tree, {"B": B, "L": L})
        if letter not in ("B", "L"):
            gone = gone or value <= 0
            values[letter] = 0 if gone else value
    for label, tree in data["labels"].items():
        values.setdefault(label, 0 if gone else evaluate(tree, values))
    return values


def clip_sentence(geometry: FrameGeometry, length: int, rate: int) -> str:
    """``"16 000 samples = 1.000 s → 49 frames, the last 240 samples unread"``."""
    *_, frames = lengths = geometry.lengths(length)
    text = f"{_plural(length, 'sample')} = {length / rate:.3f} s → {_plural(frames, 'frame')}"
    if frames:
        unread = len(geometry.unread(length))
        return text + (f", the last {_plural(unread, 'sample')} unread" if unread else ", every sample read")
    layer = lengths.index(0)
    left, missing = [length, *lengths][layer], geometry.receptive_field - length
    gets = f"{_plural(left, 'position')} and needs {geometry.kernels[layer]}"
    are = "is" if missing == 1 else "are"
    return f"{text}: it runs out at T{layer + 1}, which gets {gets}; {_plural(missing, 'sample')} {are} missing"


def pointed_sentence(geometry: FrameGeometry, length: int, clip: int, frame: int, sample: int, rate: int) -> str:
    """Which samples make the frame, or which frames read the sample, that is pointed at (-1: neither)."""
    who, frames = f"clip {clip}", geometry.frame_count(length)
    if frame >= 0:
        if frame >= frames:
            which = f"frames 0 … {frames - 1}" if frames else "no frame at all"
            return f"{who} has no frame {frame}: {which}"
        span = geometry.span(frame)
        start, stop = (position * 1000 / rate for position in (span.start, span.stop))
        return (
            f"frame {frame} of {who} reads samples {span.start} … {span[-1]}: {start:.1f} … {stop:.1f} ms, "
            f"centre {(start + stop) / 2:.1f} ms"
        )
    if sample < 0:
        return f"point at a frame or a sample of {who}"
    if sample >= length:
        return f"{who} has no sample {sample}: it has {length}"
    reading = geometry.frames_at(sample, length)
    if len(reading) == 1:
        readers = f"frame {reading[0]} reads it"
    elif reading:
        readers = f"frames {reading[0]} … {reading[-1]} read it"
    elif not frames:
        readers = "no frame reads it: no frame fits"
    else:
        where = "is in the unread tail" if sample in geometry.unread(length) else "lies between frames"
        readers = f"no frame reads it: it {where}"
    return f"sample {sample} of {who} ({sample * 1000 / rate:.1f} ms): {readers}"


def mask_lines(geometry: FrameGeometry, lengths: list[int], convention: str, masked: bool) -> list[str]:
    """The masks in one convention, one line per clip."""
    L, frames = max(lengths), [geometry.frame_count(length) for length in lengths]
    T = max(frames)
    if not masked:
        return [
            "no mask is handed: the model takes every sample and every frame for valid",
            f"attention: every query sees all {_spaced(T)} keys of every clip",
        ]
    if convention == "lengths":
        return [f"samples: [{', '.join(map(str, lengths))}]", f"frames: [{', '.join(map(str, frames))}]"]

    def run(valid: int, total: int) -> str:
        parts = zip(_SIGNS[convention], (valid, total - valid), strict=True)
        return ", ".join(f"{sign} × {_spaced(many)}" for sign, many in parts if many)

    return [
        f"clip {index}: sample mask {run(length, L)} · frame mask {run(own, T)} · "
        f"attention mask: each of {_spaced(T)} rows {run(own, T)}"
        for index, (length, own) in enumerate(zip(lengths, frames, strict=True))
    ]


def explorer_text(explorer: Any) -> str:
    """The whole picture as plain text, in the order of its parts."""
    data, lengths, rate = explorer.current, list(explorer.lengths), explorer.sample_rate
    geometry, clip, question = geometry_of(data["encoder"]), explorer.clip, explorer.question
    whole = sizes(data, len(lengths), max(lengths))
    try:
        table = table_text(explorer.shapes(), "all" if explorer.unfold else "layers")
    except ValueError as error:  # no clip has a frame
        table = str(error)
    parts: dict[str, list[str]] = {
        "model": [f"{data['formula']} — derived from the model's own operations", explorer.model_text],
        "clips": [f"clip {i}: {clip_sentence(geometry, length, rate)}" for i, length in enumerate(lengths)],
        "batch": [f"batch: B = {len(lengths)}, L = {_spaced(max(lengths))}, T = {_spaced(whole['T'])}"],
        "encoder": [_encoder(geometry, lengths)],
        "frames": [pointed_sentence(geometry, lengths[clip], clip, explorer.frame, explorer.sample, rate)],
        "masks": mask_lines(geometry, lengths, explorer.convention, data["masked"]),
        "costs": [_costs(data, whole), f"padding gets in {leak_sentence(data, lengths)}"],
        "table": [table],
    }
    wanted = explorer.focus.split()
    chosen = [lines for key, lines in parts.items() if key == "model" or explorer.focus == "all" or key in wanted]
    text = "\n".join("\n".join(lines) for lines in chosen)
    asked = f"\n{question['text']} {' · '.join(question['options'])}" if question else ""
    return text + asked + (f"\n⚠ {explorer.message}" if explorer.message else "")


def _encoder(geometry: FrameGeometry, lengths: list[int]) -> str:
    clips = [geometry.lengths(length) for length in lengths]
    steps = [f"T{place}" for place in range(1, len(geometry.kernels))] + [f"T{len(geometry.kernels)} = T"]
    columns = (geometry.kernels, geometry.strides, *clips, geometry.left_over(max(lengths)))
    lines = [["L, samples", "–", "–", *map(_spaced, lengths), "–"]]
    lines += [[name, *map(_spaced, numbers)] for name, *numbers in zip(steps, *columns, strict=True)]
    names = [f"clip {index}" for index in range(len(clips))]
    return Table(["after", "kernel", "stride", *names, "left over, longest clip"], lines).text()


def _costs(data: dict[str, Any], whole: dict[str, int]) -> str:
    constants = data["constants"]
    costs = {name: evaluate(tree, whole) for name, tree in data["costs"].items()}
    letters = " · ".join(f"{letter} = {constants[letter]}" for letter in "CDHV" if letter in constants)
    return (
        f"no length moves: {letters} · {data['depth']} Transformer layers · {_spaced(data['parameters'])} parameters "
        f"({_amount(costs['parameters'], _BYTES)})\n"
        f"grows with the batch: T = {_spaced(whole['T'])} · T × T = {_spaced(whole['T'] ** 2)} · waveforms "
        f"{_amount(costs['waveforms'], _BYTES)} · output of the first convolution "
        f"{_amount(costs['first_convolution'], _BYTES)} · one hidden state "
        f"{_amount(costs['hidden_state'], _BYTES)} · attention weights of one layer, if stored "
        f"{_amount(costs['attention_weights'], _BYTES)} · multiply-adds "
        f"{_amount(costs['multiply_adds'], _MANY)}"
    )


def leak_sentence(data: dict[str, Any], lengths: list[int]) -> str:
    """Where padding gets in, and how far it reaches."""
    way = "with the mask" if data["masked"] else "without a mask"
    leak = data["leak"]
    if not leak["entry"]:
        return f"{way}: nowhere. Valid frames are the same as alone, to float error."
    where = f"at {leak['entry']}. {leak['reason']}. Reached: {', '.join(leak['stages'])}."
    none = "nowhere yet, for no clip is padded. With clips of unequal length: "
    return f"{way}: {where if len(set(lengths)) > 1 else none + where}"


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", _SPACE)


def _plural(number: int, noun: str) -> str:
    return f"{_spaced(number)} {noun}{'' if number == 1 else 's'}"


def _amount(number: float, units: tuple[tuple[str, float], ...]) -> str:
    """Three digits and a unit: ``"81.9 MB"``."""
    unit, scale = next((u for u in reversed(units) if number >= u[1]), units[0])
    value = number / scale
    digits = str(round(value)) if value >= 100 or scale == 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
    return f"{digits} {unit}".strip()


def question_of(kind: str, data: dict[str, Any], lengths: list[int]) -> dict[str, Any]:
    """Something to predict before anything is moved: ``text``, ``options``, ``answer`` (its place) and ``reason``."""
    first, geometry = lengths[0], geometry_of(data["encoder"])
    if kind == "frame":
        text = (
            f"Before you move anything: how many samples longer must clip 0 ({_spaced(first)}) be for one more frame?"
        )
        frames = geometry.frame_count(first)
        right = geometry.samples_for(frames).stop - first
        reason = f"From {_spaced(first + right)} samples on there are {_spaced(frames + 1)} frames"
        if frames:
            reason += (
                f": {_spaced(len(geometry.unread(first)))} samples at the end lie ready, and each further frame needs "
                f"{geometry.hop} new ones"
            )
        reason += "."
        choices = sorted({1, geometry.hop, geometry.receptive_field, right})
        return _asked(text, [_spaced(choice) for choice in choices], choices.index(right), reason)
    if kind == "padding":
        text = "Before you move anything: where does padding first touch the valid frames of the shorter clip?"
        places = {
            "feature_encoder": "in the feature encoder",
            "positions": "in the positions",
            "transformer": "in attention",
        }
        options = [*places.values(), "nowhere"]
        right = places.get(data["leak"]["entry_stage"], "nowhere")
        return _asked(text, options, options.index(right), f"Padding gets in {leak_sentence(data, lengths)}")
    if kind == "costs":
        text = "Before you move anything: every clip becomes twice as long. What happens to the attention weights?"
        reason = "T doubles, and there is one weight for each pair of frames: T × T."
        return _asked(text, ["the same size", "2 times", "4 times", "8 times"], 2, reason)
    return {}


def _asked(text: str, options: list[str], answer: int, reason: str) -> dict[str, Any]:
    return {"text": text, "options": options, "answer": answer, "reason": reason}
