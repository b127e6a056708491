"""The explorer in words: what the picture says, from the same facts; the front end's sentences are the same."""

from __future__ import annotations

from typing import Any

from w2vlearn.geometry import FrameGeometry
from w2vlearn.show.table import Table
from w2vlearn.symbolic.expressions import evaluate

_HEADERS = ("layer", "shape, letters", "shape, numbers", "valid per clip", "mask handed", "padding")
_SPACE = "\u00a0"
_MANY = (("", 1), ("thousand", 1e3), ("million", 1e6), ("billion", 1e9), ("trillion", 1e12), ("quadrillion", 1e15))
_BYTES = (("B", 1), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("PB", 1e15))
_SIGNS = {"valid": ("True", "False"), "padding": ("False", "True"), "additive": ("0", "−3.4e38")}


def sizes(facts: dict[str, Any], B: int, L: int) -> dict[str, int]:
    """Every letter and label at one B and L; 0 from the layer on at which a clip runs out."""
    values, gone = {"B": B, "L": L}, False
    for letter, tree in facts["letters"].items():
        value = evaluate(tree, {"B": B, "L": L})
        if letter not in ("B", "L"):
            gone = gone or value <= 0
            values[letter] = 0 if gone else value
    for label, tree in facts["labels"].items():
        values.setdefault(label, 0 if gone else evaluate(tree, values))
    return values


def clip_words(facts: dict[str, Any], length: int, rate: int) -> str:
    """``"16 000 samples = 1.000 s → 49 frames, the last 240 samples unread"``."""
    values, geometry = sizes(facts, 1, length), _geometry(facts)
    frames, unread = values["T"], len(geometry.unread(length))
    text = f"{_spaced(length)} samples = {length / rate:.3f} s → {_spaced(frames)} frame{'' if frames == 1 else 's'}"
    if frames:
        return text + (f", the last {_spaced(unread)} samples unread" if unread else ", every sample read")
    step = next(step for step in facts["tower"] if not _size(step["after"], values))
    left, missing = _size(step["before"], values), _spaced(geometry.receptive_field - length)
    gets = f"{_spaced(left)} position{'' if left == 1 else 's'} and needs {step['kernel']}"
    return f"{text}: it runs out at {step['name']}, which gets {gets}; {missing} samples are missing"


def pointed_words(facts: dict[str, Any], lengths: list[int], clip: int, frame: int, sample: int, rate: int) -> str:
    """Which samples make the frame, or which frames read the sample, that is pointed at (-1: neither)."""
    who, length, geometry = f"clip {clip + 1}", lengths[clip], _geometry(facts)
    frames = geometry.frame_count(length)
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


def _geometry(facts: dict[str, Any]) -> FrameGeometry:
    return FrameGeometry(*(tuple(step[name] for step in facts["tower"]) for name in ("kernel", "stride")))


def mask_words(facts: dict[str, Any], lengths: list[int], convention: str) -> list[str]:
    """The masks in one convention, one line per clip."""
    whole = sizes(facts, len(lengths), max(lengths))
    frames = [sizes(facts, 1, length)["T"] for length in lengths]
    if not facts["masked"]:
        return [
            "no mask is handed: the model takes every sample and every frame for valid",
            f"attention: every query sees all {_spaced(whole['T'])} keys of every clip",
        ]
    if convention == "lengths":
        return [f"samples: [{', '.join(map(str, lengths))}]", f"frames: [{', '.join(map(str, frames))}]"]

    def run(valid: int, total: int) -> str:
        parts = zip(_SIGNS[convention], (valid, total - valid), strict=True)
        return ", ".join(f"{sign} × {_spaced(many)}" for sign, many in parts if many)

    return [
        f"clip {index + 1}: sample mask {run(length, whole['L'])} · frame mask {run(own, whole['T'])} · "
        f"attention mask: each of {_spaced(whole['T'])} rows {run(own, whole['T'])}"
        for index, (length, own) in enumerate(zip(lengths, frames, strict=True))
    ]


def explorer_text(explorer: Any) -> str:
    """The whole picture as plain text, in the order of its parts."""
    facts, lengths, rate = explorer.shown, list(explorer.lengths), explorer.sample_rate
    whole = sizes(facts, len(lengths), max(lengths))
    clips = [sizes(facts, 1, length) for length in lengths]
    parts: dict[str, list[str]] = {
        "model": [f"{facts['formula']} — derived from the model's own operations", explorer.model_words],
        "clips": [f"clip {i + 1}: {clip_words(facts, length, rate)}" for i, length in enumerate(lengths)],
        "batch": [f"batch: B = {len(lengths)}, L = {_spaced(max(lengths))}, T = {_spaced(whole['T'])}"],
        "tower": [_tower(facts, whole, clips)],
        "frames": [pointed_words(facts, lengths, explorer.clip, explorer.frame, explorer.sample, rate)],
        "masks": mask_words(facts, lengths, explorer.convention),
        "costs": [_costs(facts, whole), _leak(facts)],
        "table": [Table(_HEADERS, table_rows(facts, lengths, explorer.unfold)).text()],
    }
    wanted = explorer.focus.split()
    chosen = [lines for key, lines in parts.items() if key == "model" or explorer.focus == "all" or key in wanted]
    text = "\n".join("\n".join(lines) for lines in chosen)
    return text + (f"\n⚠ {explorer.message}" if explorer.message else "")


def _tower(facts: dict[str, Any], whole: dict[str, int], clips: list[dict[str, int]]) -> str:
    lines = [["L, samples", "–", "–", *[_spaced(clip["L"]) for clip in clips], "–"]]
    for step, left in zip(facts["tower"], _geometry(facts).left_over(whole["L"]), strict=True):
        name = step["name"] + (" = T" if step["after"] == "T" else "")
        per_clip = [_spaced(_size(step["after"], clip)) for clip in clips]
        lines.append([name, step["kernel"], step["stride"], *per_clip, _spaced(left)])
    names = [f"clip {index + 1}" for index in range(len(clips))]
    return Table(["after", "kernel", "stride", *names, "left over, longest clip"], lines).text()


def _costs(facts: dict[str, Any], whole: dict[str, int]) -> str:
    constants = facts["constants"]
    costs = {name: evaluate(tree, whole) for name, tree in facts["costs"].items()}
    letters = " · ".join(f"{letter} = {constants[letter]}" for letter in "CDHV" if letter in constants)
    return (
        f"no length moves: {letters} · {facts['depth']} Transformer layers · {_spaced(facts['parameters'])} parameters "
        f"({_amount(costs['parameters'], _BYTES)})\n"
        f"grows with the batch: T = {_spaced(whole['T'])} · T × T = {_spaced(whole['T'] ** 2)} · waveforms "
        f"{_amount(costs['waveforms'], _BYTES)} · output of the first convolution "
        f"{_amount(costs['first_convolution'], _BYTES)} · one hidden state "
        f"{_amount(costs['hidden_state'], _BYTES)} · attention weights of one layer, if stored "
        f"{_amount(costs['attention_weights'], _BYTES)} · multiply-adds "
        f"{_amount(costs['multiply_adds'], _MANY)}"
    )


def _leak(facts: dict[str, Any]) -> str:
    way = "with the mask" if facts["masked"] else "without a mask"
    leak = facts["leak"]
    if not leak["entry"]:
        return f"padding gets in {way}: nowhere. Valid frames are the same as alone, to float error."
    return f"padding gets in {way}: at {leak['entry']}. {leak['reason']}. Reached: {', '.join(leak['stages'])}."


def table_rows(facts: dict[str, Any], lengths: list[int], unfold: bool) -> list[list[str]]:
    """Cells of the table of all layers: layer, shape in letters and in numbers, valid per clip, mask, reached."""
    whole = sizes(facts, len(lengths), max(lengths))
    clips = [sizes(facts, 1, length) for length in lengths]
    lines = []
    for row in facts["all_rows" if unfold else "rows"]:
        ends = " → ".join("×".join(str(_size(part, whole)) for part in end) for end in row["ends"])
        valid = ", ".join(str(_size(row["time"], clip)) for clip in clips) if row["time"] else "–"
        mask = row["mask"].split("\n")[0]
        reached = "! reached" if row["reached"] else "–"
        lines.append(["  " * row["depth"] + row["label"], row["letters"], ends, valid, mask, reached])
    return lines


def _size(label: int | str, values: dict[str, int]) -> int:
    return label if isinstance(label, int) else values[label]


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", _SPACE)


def _amount(number: float, units: tuple[tuple[str, float], ...]) -> str:
    """Three digits and a unit: ``"81.9 MB"``."""
    unit, scale = next((u for u in reversed(units) if number >= u[1]), units[0])
    value = number / scale
    digits = str(round(value)) if value >= 100 or scale == 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
    return f"{digits} {unit}".strip()
