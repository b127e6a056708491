"""Two runs side by side: what differs between traces, and what padding did to each layer."""

from __future__ import annotations

from typing import Any

from w2vlearn.show.grid import grid
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
    from w2vlearn.show.html import html_grid

    parts = [f"<div>before: {_escape(diff.before)}<br>after: {_escape(diff.after)}</div>"]
    if diff.letters:
        parts.append(html_grid(["letter", "before", "after"], _letter_rows(diff), caption="What differs, by letter"))
    if diff.layers:
        caption = "What no letter explains"
        parts.append(html_grid(["layers", "what", "before", "after"], _layer_rows(diff), caption=caption))
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


def leak_text(report: Any) -> str:
    """A `LeakReport` as plain text: one row per layer that padding can reach, the way in first."""
    lines = [*_leak_heading(report), ""]
    lines += [grid(_leak_headers(report), _leak_rows(report), align="ll" + "r" * len(report.runs) + "l"), ""]
    return "\n".join(lines + _leak_words(report))


def leak_html(report: Any) -> str:
    """A `LeakReport` as accessible HTML; says the same as `leak_text`."""
    from w2vlearn.show.html import html_grid

    heading = "".join(f"<div>{_escape(line)}</div>" for line in _leak_heading(report))
    caption = "How far padding moved the real positions, relative to the same clip alone"
    words = "".join(f"<div>{_escape(line)}</div>" for line in _leak_words(report))
    return heading + html_grid(_leak_headers(report), _leak_rows(report), caption=caption) + words


def leak_figure(report: Any, clip: int, masked: bool) -> Any:
    """Heat map of the relative difference over layers and real frames of one clip, with alt text from the same data."""
    from w2vlearn.show.figure import heat_map

    names, values = report.heat(clip, masked)
    run = report.with_mask if masked and report.with_mask is not None else report.without_mask
    kind = "with mask" if run.masked else "without mask"
    worst = values.max(dim=1).values
    row = int(worst.argmax())
    alt = (
        f"Heat map, {kind}: {len(names)} layers by {values.shape[1]} real frames of clip {clip} "
        f"({report.lengths[clip]} samples, padded to {max(report.lengths)}). Largest relative difference "
        f"{float(worst[row]):.1e} at {names[row]}; {sum(bool(v > run.tolerance) for v in worst)} layers are touched by padding."
    )
    return heat_map(
        values,
        rows=names,
        title=f"How far padding moved clip {clip}, {kind}",
        x_label="real frame t",
        floor=run.tolerance,
        alt=alt,
    )


def _leak_heading(report: Any) -> list[str]:
    return [
        f"Padding leak of {report.model_name}: clips of {per_clip(report.lengths)} samples, each alone against all in one batch",
        "relative difference at real positions, worst clip; 0 = untouched, ~ = float error only, ! = padding got in",
    ]


def _leak_headers(report: Any) -> list[str]:
    runs = ["without mask" if not run.masked else "with mask" for run in report.runs]
    return ["layer", "what it does", *runs, "mask it is handed"]


def _leak_rows(report: Any) -> list[list[str]]:
    masked = report.runs[-1]
    rows = []
    for layer in masked.layers:
        cells = []
        for run in report.runs:
            found = next((other for other in run.layers if other.name == layer.name), None)
            cells.append(_leak_cell(found, run))
        rows.append([layer.name or report.model_name, layer.what, *cells, layer.mask])
    return _folded(rows)


def _folded(rows: list[list[str]]) -> list[list[str]]:
    """Leaves out what only repeats the row before: same numbers, one level further in."""
    kept: list[list[str]] = []
    for row in rows:
        above = kept[-1] if kept else None
        inside = above is not None and row[0].startswith(above[0] + ".")
        if inside and row[2:-1] == above[2:-1]:
            continue
        kept.append(row)
    return kept


def _leak_cell(layer: Any, run: Any) -> str:
    if layer is None:
        return "–"
    if layer.relative == 0:
        return "0"
    sign = "!" if layer.relative > run.tolerance else "~"
    here = " <- enters here" if layer.name == run.entry else ""
    return f"{sign} {layer.relative:.1e}{here}"


def _leak_words(report: Any) -> list[str]:
    lines = []
    for run in report.runs:
        kind = "with mask" if run.masked else "without mask"
        end = "untouched" if run.worst.relative <= run.tolerance else f"moved by {run.worst.relative:.1e} of its size"
        where = f"padding gets in at {run.entry}: {run.reason}" if run.entry else run.reason
        lines.append(f"{kind}: the output is {end}; {where}")
    return lines + ([report.note] if report.note else [])


def _escape(text: str) -> str:
    from html import escape

    return escape(text)
