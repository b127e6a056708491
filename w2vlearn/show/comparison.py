"""Two runs side by side: what differs between traces, what padding did to each layer, what a check of formulas says."""

from __future__ import annotations

from typing import Any

from w2vlearn.show.canvas import Picture
from w2vlearn.show.charts import heat_map
from w2vlearn.show.sentences import convention, leak_reason, operation, per_clip
from w2vlearn.show.table import NOTHING, Document, Table, unbreakable
from w2vlearn.tracing.records import MaskSeen

_FEW = 3  # so many names are listed in full
_MANY = 20  # so many differences
_MODEL = "the model itself"


def diff_document(diff: Any) -> Document:
    """A `Diff`: letters first, then what no letter explains."""
    blocks: list[Any] = [f"before: {diff.before}", f"after:  {diff.after}", ""]
    if diff.letters:
        letters = [[c.letter, *(NOTHING if n is None else str(n) for n in (c.before, c.after))] for c in diff.letters]
        blocks += [Table(("letter", "before", "after"), letters, "What differs, by letter"), ""]
    else:
        blocks += ["no letter differs", ""]
    if diff.layers:
        layers = [[_names(c.names), c.field, _value(c, c.before), _value(c, c.after)] for c in diff.layers]
        blocks += [Table(("layers", "what", "before", "after"), layers, "What no letter explains"), ""]
    same = f"{diff.same} layers are the same in letters" + ("" if diff.layers else "; nothing else differs")
    return Document([*blocks, *diff.notes, same])


def _value(change: Any, value: Any) -> str:
    """One side of a change: letters, a mask, a status, or whether the layer exists."""
    if value is None or value == ():
        return NOTHING
    if change.field.startswith("only in"):
        return "there"
    if isinstance(value, MaskSeen):
        return ", ".join([f"{value.kind} mask", value.form, convention(value)])
    return _shape(value)


def _names(names: tuple[str, ...]) -> str:
    shown = [name or _MODEL for name in names[:_FEW]]
    return "\n".join(shown + ([f"… and {len(names) - _FEW} more"] if len(names) > _FEW else []))


def check_document(report: Any) -> Document:
    """A `CheckReport`: whether a run agrees with the formulas, and where it does not."""
    compared = (
        f"{report.layers} layer calls, {report.tensors} shapes, {report.masks} masks, "
        f"{report.counts} counts of valid positions"
    )
    if report.ok:
        blocks: list[Any] = [f"agrees: {compared} compared"]
    else:
        many = len(report.differences)
        rows = [_difference(difference) for difference in report.differences[:_MANY]]
        blocks = [f"differs in {many} place{'s' * (many != 1)}: {compared} compared", ""]
        blocks += [Table(("layer", "what", "formula", "observed"), rows, "Where the run and the formulas differ"), ""]
        if many > _MANY:
            blocks.append(f"… and {many - _MANY} more, see .differences")
    return Document([*blocks, *(f"note: {note}" for note in report.notes)])


def _difference(difference: Any) -> list[str]:
    name = (difference.name or _MODEL) + (f" (call {difference.call})" if difference.call else "")
    letters = f" = {_shape(difference.formula)}" if difference.formula else ""
    return [name, difference.field, f"{_shape(difference.expected)}{letters}", _shape(difference.observed)]


def _shape(value: Any) -> str:
    return f"({', '.join(map(str, value))})" if isinstance(value, tuple) else str(value)


def leak_document(report: Any) -> Document:
    """A `LeakReport`: the stages, the numbered layers and the way in."""
    legend = "relative difference at valid positions, worst clip: 0 = untouched but for float error, ! = padding got in"
    entries = {run.entry for run in report.runs}
    rows = []
    for layer in report.runs[-1].layers:
        if layer.name in entries or _is_landmark(layer):
            cells = [_leak_cell(layer.name, run) for run in report.runs]
            rows.append([layer.name or report.model_name, operation(layer.operation).replace("->", "→"), *cells])
    headers = ("layer", "what it does", "without mask", "with mask")[: 2 + len(report.runs)]
    heading = (
        f"Padding leak of {report.model_name}: clips of {per_clip(report.lengths)} samples, "
        "each alone against all in one batch"
    )
    ends = [_leak_sentence(run) for run in report.runs] + ([report.note] if report.note else [])
    title = f"Padding leak of {report.model_name}, layer by layer"
    return Document([heading, legend, "", Table(headers, rows, title, "l" * len(headers)), "", *ends])


def _is_landmark(layer: Any) -> bool:
    """A row to steer by: the model, its stages, its numbered layers; not what is inside those."""
    parts = layer.name.split(".")
    numbers = [index for index, part in enumerate(parts) if part.isdigit()]
    if numbers:
        return numbers == [len(parts) - 1]
    outer = len(parts) <= 2 and layer.operation.kind not in ("dropout", "layer norm")
    return outer or layer.name.endswith("embed")


def _leak_cell(name: str, run: Any) -> str:
    layer = next((layer for layer in run.layers if layer.name == name), None)
    if layer is None:
        return NOTHING
    if layer.relative <= run.tolerance:  # whether it is bitwise untouched depends on the processor
        return "0"
    entry = " ← enters here" if name == run.entry else ""
    return unbreakable(f"! {_told(layer.relative)}{entry}")


def _told(relative: float) -> str:
    """A difference with two digits, or one where it is small."""
    relative = float(f"{relative:.4g}")  # float error is no reason to round up or down
    return f"{relative:.2f}" if relative >= 0.01 else f"{relative:.0e}"


def _leak_sentence(run: Any) -> str:
    moved = run.worst.relative > run.tolerance
    end = f"moved by {_told(run.worst.relative)} of its size" if moved else "untouched"
    entry = "" if run.entry is None else f"padding gets in at {run.entry or _MODEL}: "
    return f"{'with mask' if run.masked else 'without mask'}: the output is {end}; {entry}{leak_reason(run)}"


def leak_figure(report: Any, clip: int | None = None, masked: bool = True) -> Picture:
    """Heat map of the relative difference over layers and valid frames of one clip (the shortest unless said)."""
    clip = report.shortest if clip is None else clip
    (names, values), run = report.heat(clip, masked), report.runs[-1 if masked else 0]
    landmarks = {layer.name for layer in run.layers if layer.name == run.entry or _is_landmark(layer)}
    kept = [index for index, name in enumerate(names) if name in landmarks]
    names, values = [names[index] or report.model_name for index in kept], values[kept]
    kind = "with mask" if run.masked else "without mask"
    worst = [round(value, 3) for value in values.max(dim=1).values.tolist()]
    row = max(range(len(worst)), key=worst.__getitem__)
    alt = (
        f"Heat map, {kind}: {len(names)} layers by {values.shape[1]} valid frames of clip {clip} "
        f"({report.lengths[clip]} samples, padded to {max(report.lengths)}). Largest relative difference "
        f"about {worst[row]:.1g} at {names[row]}; padding touches {sum(w > run.tolerance for w in worst)} layers."
    )
    title = f"How far padding moved clip {clip}, {kind}"
    return heat_map(values, rows=names, title=title, x_label="valid frame t", floor=run.tolerance, alt=alt)
