"""Records in words: what a layer does, how a mask is read, how a mask came about. The one place where that is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from w2vlearn.show.palette import MIXES_UNMASKED, WARNING
from w2vlearn.tracing.records import CALLED, LayerRecord, MaskSeen, Operation

if TYPE_CHECKING:
    from w2vlearn.tracing.leak import LeakRun

ARROW = "→"
DROPPED = "None: the library dropped an all-true mask"


def describe(record: LayerRecord) -> str:
    """What a record does: ``"convolution, kernel 10, stride 5, 1 -> 512 channels"``."""
    return _mask_step(record) if record.is_mask_step else operation(record.operation)


def operation(op: Operation) -> str:
    """An operation in words."""
    sentence = _SENTENCES.get(op.kind)
    if sentence is not None:
        return sentence(op)
    return f"{op.name}, {op.parts} part{'s' if op.parts != 1 else ''}" if op.parts else op.name


def _convolution(op: Operation) -> str:
    text = f"{op.kind}, kernel {_sizes(op.kernel)}, stride {_sizes(op.stride)}"
    if op.padding_name:
        text += f", padding {op.padding_name}"
    elif any(left for left, _ in op.padding):
        text += f", padding {_sizes([left for left, _ in op.padding])}"
    if any(value != 1 for value in op.dilation):
        text += f", dilation {_sizes(op.dilation)}"
    text += f", {op.inputs} -> {op.outputs} channels"
    text += f", {op.groups} groups" if op.groups != 1 else ""
    return text + (", weight-normed" if op.weight_norm else "")


_SENTENCES = {
    "convolution": _convolution,
    "transposed convolution": _convolution,
    "pooling": lambda op: f"{op.name}, kernel {_sizes(op.kernel)}, stride {_sizes(op.stride)}",
    "linear": lambda op: f"linear, {op.inputs} -> {op.outputs} features, each position by itself",
    "group norm": lambda op: (
        f"group norm, {op.groups} groups "
        f"({'one per channel' if op.groups == op.inputs else f'of {op.inputs} channels'}), statistics over time"
    ),
    "layer norm": lambda op: f"layer norm over {op.inputs} features, each position by itself",
    "batch norm": lambda op: (
        f"batch norm, {op.inputs} channels, {'statistics over batch and time' if op.training else 'stored statistics'}"
    ),
    "instance norm": lambda op: f"instance norm, {op.inputs} channels, statistics over time",
    "dropout": lambda op: f"dropout {op.probability:g}" + ("" if op.training else ", off in eval mode"),
    "recurrent": lambda op: (
        f"recurrent {op.name}, {op.inputs} -> {op.outputs} features, {op.layers} layers"
        + (", both directions" if op.both_directions else "")
    ),
    "embedding": lambda op: f"embedding, {op.inputs} entries of {op.outputs} features",
    "identity": lambda op: "identity: hands its input on",
    "activation": lambda op: f"{op.name}, each number by itself",
    "attention": lambda op: (
        f"self-attention, {op.heads} heads" + (f" of {op.head_size} features" if op.head_size else "")
    ),
    "weight norm": lambda op: "weight norm: the kernel from its length and direction",
    "parametrization": lambda op: "computes a parameter from others",
}


def convention(mask: MaskSeen) -> str:
    """How to read a mask: ``"True = valid"``, ``"0 = attend, -3.4e+38 = padding"``, ``"count of valid samples"``."""
    if mask.form == "none":
        return DROPPED
    if mask.form == "lengths":
        return f"count of valid {'samples' if mask.kind == 'sample' else 'frames'}"
    if mask.form == "shares":
        return "share of the longest clip that is valid"
    if mask.form == "additive":
        return f"0 = attend, {_lowest(mask.lowest)} = padding"
    if mask.form == "object":
        return f"a {mask.dtype}, not read"
    return f"{'True' if mask.form == 'bool' else '1'} = {mask.true_means}"


def leak_reason(run: LeakRun) -> str:
    """Why the layer at which padding gets in lets it in."""
    if run.entry is None:
        return "no layer: valid positions are the same to float error"
    layer = run[run.entry]
    kind = layer.type.lower()
    if "groupnorm" in kind:
        why = "takes mean and variance over the whole time axis, padding included; no mask can undo that"
    elif "attention" in kind:
        why = "attends to padded frames" + (
            "; its mask did not keep them out" if layer.mask != "none" else ": it got no mask"
        )
    elif "conv" in kind:
        why = "reads neighbouring positions, padded ones included"
        why += "" if run.masked else "; without a mask nobody set them to zero"
    else:
        why = "mixes positions along time, padded ones included"
    return f"{layer.type} {why}"


def _lowest(value: float | None) -> str:
    if value is None or value >= 0:
        return "below 0"
    return "-inf" if value == float("-inf") else f"{value:.1e}".replace("e+0", "e+")


def _mask_step(record: LayerRecord) -> str:
    mask = record.mask
    if mask is None:
        return ""
    if mask.form == "none":
        return f"{DROPPED}, no layer is handed one"
    shapes = [_sizes(info.shape) for info in (*record.inputs[:1], mask)]
    text = f"{' -> '.join(shapes)}, {mask.form}, {convention(mask)}"
    if record.valid is not None and mask.valid is not None and record.valid != mask.valid:
        expected, marked = (", ".join(map(str, counts)) for counts in (record.valid, mask.valid))
        text += f"; expected {expected}, the model marks {marked}"
    return text


def mask_seen(record: LayerRecord) -> str:
    """What a layer knows of padding: the mask it was handed, on two lines; "–" if it needs none; else the warning."""
    if record.is_mask_step:
        return "makes it"
    mask = record.mask
    if mask is None:
        return MIXES_UNMASKED if record.mixes_time and record.status == CALLED else "–"
    if mask.form == "none":
        return f"{mask.kind} mask\ndropped, all valid"
    text = f"{mask.kind} mask\n{sizes(mask.shape)} {mask.dtype if mask.form == 'object' else mask.form}"
    if mask.form == "bool" and mask.true_means == "padding":
        text += "\nTrue = padding"
    # A model whose own mask arithmetic is off by one shows here: it marks other positions than the clip has alone.
    if mask.kind in ("frame", "attention") and None not in (mask.valid, record.valid) and mask.valid != record.valid:
        text += f"\n{WARNING} marks {per_clip(mask.valid)}"
    return text.replace("\n ", "\n")


def per_clip(counts: Sequence[object] | None, most: int = 8) -> str:
    """Counts per clip in one cell: ``"49, 73, 124"``; more than ``most`` clips are shortened in the middle."""
    if counts is None:
        return "–"
    words = [str(count) for count in counts]
    if len(words) > most:
        words = [*words[: most - 2], "…", words[-1]]
    return ", ".join(words)


def in_words(numbers: Sequence[int]) -> str:
    """``"49, 73 and 124"``; of more than eight, the first six and the last."""
    head, _, last = per_clip(numbers).rpartition(", ")
    return f"{head} and {last}" if head else last


def sizes(shape: Sequence[object]) -> str:
    """``"3×1×124×124"``."""
    return "×".join(map(str, shape))


def _sizes(values: Sequence[object]) -> str:
    return " x ".join(map(str, values))
