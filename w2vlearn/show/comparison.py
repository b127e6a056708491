"""Two runs side by side: what differs between traces, and what padding did to each layer."""

from __future__ import annotations

import textwrap
from typing import Any

from w2vlearn.show.grid import grid, unbreakable
from w2vlearn.show.rows import per_clip

_FEW = 3  # so many names are listed in full


def diff_text(diff: Any) -> str:
    """A `Diff` as plain text: letters first, then what no letter explains."""
    lines = [f"before: {diff.before}", f"after:  {diff.after}", ""]
    if diff.letters:
        lines += [grid(["letter", "before", "after"], _letter_rows(diff)), ""]
    else:
        lines += ["no letter differs", ""]
    if diff.layers:
        lines += [grid(["layers", "what", "before", "after"], _layer_rows(diff)), ""]
    lines += [*diff.notes, _same(diff)]
    return "\n".join(lines)


def diff_html(diff: Any) -> str:
    """A `Diff` as accessible HTML tables; says the same as `diff_text`."""
    from w2vlearn.show import html

    parts = [f"<div>before: {_escape(diff.before)}<br>after: {_escape(diff.after)}</div>"]
    if diff.letters:
        parts.append(html.grid(["letter", "before", "after"], _letter_rows(diff), caption="What differs, by letter"))
    if diff.layers:
        caption = "What no letter explains"
        parts.append(html.grid(["layers", "what", "before", "after"], _layer_rows(diff), caption=caption))
    parts += [f"<div>{_escape(line)}</div>" for line in (*diff.notes, _same(diff))]
    return "".join(parts)


def _letter_rows(diff: Any) -> list[list[str]]:
    return [[c.letter, _number(c.before), _number(c.after)] for c in diff.letters]


def _layer_rows(diff: Any) -> list[list[str]]:
    return [[_names(c.names), c.field, c.before or "–", c.after or "–"] for c in diff.layers]


def _same(diff: Any) -> str:
    return f"{diff.same} layers are the same in letters" + ("; nothing else differs" if not diff.layers else "")


def _number(value: int | None) -> str:
    return "–" if value is None else str(value)


def _names(names: tuple[str, ...]) -> str:
    shown = [name or "the model itself" for name in names[:_FEW]]
    return "\n".join(shown + ([f"… and {len(names) - _FEW} more"] if len(names) > _FEW else []))


def leak_text(report: Any, fold: bool = True) -> str:
    """A `LeakReport` as plain text; ``fold`` keeps to the stages, the numbered layers and the way in."""
    table = grid(_LEAK_HEADERS[: 2 + len(report.runs)], _leak_rows(report, fold), align="ll" + "l" * len(report.runs))
    words = [textwrap.fill(line, 118, subsequent_indent="  ") for line in _leak_words(report)]
    return "\n".join([*_leak_heading(report), "", table, "", *words])


def leak_html(report: Any, fold: bool = True) -> str:
    """A `LeakReport` as accessible HTML; says the same as `leak_text`."""
    from w2vlearn.show import html

    heading, caption = _leak_heading(report)
    table = html.grid(_LEAK_HEADERS[: 2 + len(report.runs)], _leak_rows(report, fold), caption=caption)
    return f"<div>{_escape(heading)}</div>{table}" + "".join(f"<div>{_escape(w)}</div>" for w in _leak_words(report))


def leak_figure(report: Any, clip: int, masked: bool) -> Any:
    """Heat map of the relative difference over layers and real frames of one clip, with alt text from the same data."""
    from w2vlearn.show.figure import heat_map

    names, values = report.heat(clip, masked)
    run = report.with_mask if masked and report.with_mask is not None else report.without_mask
    landmarks = {layer.name for layer in run.layers if layer.name == run.entry or _is_landmark(layer)}
    kept = [index for index, name in enumerate(names) if name in landmarks]
    names, values = [names[index] or report.model_name for index in kept], values[kept]
    kind = "with mask" if run.masked else "without mask"
    worst = values.max(dim=1).values
    row = int(worst.argmax())
    alt = (
        f"Heat map, {kind}: {len(names)} layers by {values.shape[1]} real frames of clip {clip} "
        f"({report.lengths[clip]} samples, padded to {max(report.lengths)}). Largest relative difference "
        f"{float(worst[row]):.1e} at {names[row]}; padding touches {int((worst > run.tolerance).sum())} layers."
    )
    return heat_map(
        values,
        rows=names,
        title=f"How far padding moved clip {clip}, {kind}",
        x_label="real frame t",
        floor=run.tolerance,
        alt=alt,
    )


_LEAK_HEADERS = ["layer", "what it does", "without mask", "with mask"]


def _leak_heading(report: Any) -> list[str]:
    return [
        f"Padding leak of {report.model_name}: clips of {per_clip(report.lengths)} samples, "
        "each alone against all in one batch",
        "relative difference at real positions, worst clip: 0 = untouched, ~ = float error only, ! = padding got in",
    ]


def _leak_rows(report: Any, fold: bool) -> list[list[str]]:
    runs = report.runs
    entries = {run.entry for run in runs}
    rows = []
    for layer in runs[-1].layers:
        if fold and layer.name not in entries and not _is_landmark(layer):
            continue
        found = [next((other for other in run.layers if other.name == layer.name), None) for run in runs]
        cells = [_leak_cell(leak, run) for leak, run in zip(found, runs, strict=True)]
        rows.append([layer.name or report.model_name, layer.what, *cells])
    return rows


def _is_landmark(layer: Any) -> bool:
    """A row to steer by: the model, its stages, its numbered layers; not what is inside those."""
    parts = layer.name.split(".")
    numbered = [index for index, part in enumerate(parts) if part.isdigit()]
    if numbered:
        return numbered == [len(parts) - 1]
    outer = len(parts) <= 2 and not layer.what.startswith(("dropout", "layer norm"))
    return outer or layer.name.endswith("embed")


def _leak_cell(layer: Any, run: Any) -> str:
    if layer is None:
        return "–"
    if layer.relative == 0:
        return "0"
    sign = "!" if layer.relative > run.tolerance else "~"
    number = f"{layer.relative:.2f}" if layer.relative >= 0.01 else f"{layer.relative:.0e}"
    return unbreakable(f"{sign} {number}" + (" ← enters here" if layer.name == run.entry else ""))


def _leak_words(report: Any) -> list[str]:
    lines = []
    for run in report.runs:
        kind = "with mask" if run.masked else "without mask"
        moved = run.worst.relative > run.tolerance
        end = f"moved by {run.worst.relative:.2g} of its size" if moved else "untouched"
        where = f"padding gets in at {run.entry}: {run.reason}" if run.entry else run.reason
        lines.append(f"{kind}: the output is {end}; {where}")
    return lines + ([report.note] if report.note else [])


def _escape(text: str) -> str:
    from html import escape

    return escape(text)
