"""A trace as HTML for a notebook: the journey's picture, then the table; inline styles only, no script.

Untrusted notebooks strip stylesheets, scripts and SVG; what is left here is still a complete table with its caption.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from w2vlearn.show.grid import is_number
from w2vlearn.show.journey import journey
from w2vlearn.show.palette import MODEL, STAGES, Stage
from w2vlearn.show.rows import Row, inside, rows
from w2vlearn.show.text import columns, legend, letters_line, summary, trace_error

# Notebooks bring styles of their own for tables, so what must hold is said inline, as briefly as possible. The rules
# are a translucent grey, which is seen on white and on black; everything else inherits the theme.
_TABLE = "border-collapse:collapse;background:transparent;color:inherit;font-size:13px;line-height:1.35;margin:6px 0"
_CAPTION = "caption-side:top;text-align:left;padding:6px 0;color:inherit;font-size:14px;font-weight:600"
_ROW = "background:transparent;border-bottom:1px solid rgba(128,128,128,0.45)"
_CELL = "text-align:{side};vertical-align:top;padding:4px 6px"
_LINE = "white-space:nowrap"
_MONO = "font-family:ui-monospace,'DejaVu Sans Mono',monospace"
_SIDES = {"l": "left", "r": "right", "c": "center"}


class Raw(str):
    """HTML that `grid` puts into a cell as it is, on one line, without escaping it."""


def html(trace: Any, fold: bool = True, waveforms: Sequence[Any] | None = None) -> str:
    """A trace as HTML: the picture of the batch's journey, the table, and the inside of folded layers to unfold.

    Parameters
    ----------
    trace : Trace
        Observed or symbolic.
    fold : bool
        True: equal layers in one line. False: one line per call.
    waveforms : sequence of array-like, optional
        The clips, drawn in the picture as they are; bars without them.

    Returns
    -------
    str
        One ``<div>``; follows the theme, folds with ``<details>``, works without scripts.
    """
    lines = rows(trace, "layers" if fold else "all")
    parts = [journey(trace, waveforms)]
    parts.append(_table(lines, summary(trace)))
    if trace_error(trace):
        parts.append(f'<p role="alert"><strong>Here it broke:</strong> {escape(trace_error(trace))}</p>')
    if fold:
        for row in lines:
            if row.times > 1 and row.hidden:
                caption = f"Inside {row.name}, the first of {row.times} equal layers"
                parts.append(_details(caption, _table(inside(row, trace), caption)))
    said = [line for line in letters_line(trace).split("\n") if line] + legend(trace, lines)
    parts.append("".join(f'<p style="margin:4px 0">{escape(line)}</p>' for line in said))
    return '<div style="color:inherit;background:transparent">' + "".join(part for part in parts if part) + "</div>"


def grid(
    headers: Sequence[str],
    rows: Sequence[Sequence[object] | None],
    *,
    caption: str,
    align: str | None = None,
    row_headers: bool = True,
) -> str:
    r"""HTML table with a caption and header cells that screen readers can follow.

    Parameters
    ----------
    headers : sequence of str
        One per column.
    rows : sequence of (sequence or None)
        Cells; text is escaped, ``"\n"`` becomes a line break, `Raw` goes in as it is. ``None`` is left out.
    caption : str
        What the table shows; required, because a table without one means nothing to those who only hear it.
    align : str, optional
        One letter per column: "l", "r" or "c". Default: numbers right, all else left.
    row_headers : bool
        The first cell of each row names the row.

    Raises
    ------
    ValueError
        If the caption is empty, or a row or ``align`` has not one entry per column.
    """
    if not caption.strip():
        raise ValueError("a table needs a caption: say in one line what it shows")
    body = [list(row) for row in rows if row is not None]
    columns = len(headers)
    for index, row in enumerate(body):
        if len(row) != columns:
            raise ValueError(f"wanted {columns} cells in every row, one per header, found {len(row)} in row {index}")
    if align is None:
        numeric = [bool(body) and all(is_number(str(row[index])) for row in body) for index in range(columns)]
        align = "".join("r" if numbers else "l" for numbers in numeric)
    if len(align) != columns or set(align) - set(_SIDES):
        raise ValueError(f"wanted align as {columns} letters out of l, r, c, found {align!r}")
    head = "".join(_cell("th", header, side, "col") for header, side in zip(headers, align, strict=True))
    made = []
    for row in body:
        named = [("th", "row") if row_headers and index == 0 else ("td", "") for index in range(columns)]
        content = "".join(
            _cell(tag, value, side, scope) for (tag, scope), value, side in zip(named, row, align, strict=True)
        )
        made.append(f'<tr style="{_ROW}">{content}</tr>')
    return (
        f'<div style="overflow-x:auto"><table style="{_TABLE}"><caption style="{_CAPTION}">{escape(caption)}</caption>'
        f'<thead><tr style="{_ROW}">{head}</tr></thead><tbody>{"".join(made)}</tbody></table></div>'
    )


class _Line(str):
    """Text of a cell that is never wrapped."""


class _Code(_Line):
    """Text of a cell that is set in type of equal width and never wrapped; leading spaces indent it."""


class _Name(_Code):
    """The same, wrapped where it must be: names of mask steps are long."""


class _Wrapped(Raw):
    """HTML that goes in as it is, wrapped where it must be."""


def _cell(tag: str, value: object, side: str, scope: str) -> str:
    text = str(value)
    style = _CELL.format(side=_SIDES[side])
    if isinstance(value, (Raw, _Line)) and not isinstance(value, (_Name, _Wrapped)):
        style += f";{_LINE}"
    if isinstance(value, _Code):
        bare = text.lstrip(" ")
        style += f";{_MONO}" + (f";padding-left:{6 + 7 * (len(text) - len(bare))}px" if bare != text else "")
        text = bare
    if scope == "row":
        style += ";font-weight:400"
    content = text if isinstance(value, Raw) else escape(text).replace("\n", "<br>")
    return f'<{tag}{f" scope={chr(34)}{scope}{chr(34)}" if scope else ""} style="{style}">{content}</{tag}>'


def _table(lines: list[Row], caption: str) -> str:
    """The table of a trace. The stage stands above what the layer does: a column of its own would push the masks, which
    matter most, out of a notebook's width."""
    headers, body, align = columns(lines)
    few = all(row.record.valid is None or len(row.record.valid) <= 4 for row in lines)
    made = [_styled(line, cells, few) for line, cells in zip(lines, body, strict=True)]
    return grid((headers[0], "stage, what it does", *headers[2:]), made, caption=caption, align=align)


def _styled(row: Row, cells: list[str], few: bool) -> list[object]:
    """The text table's cells, with the stage's colour and name, and without line breaks where they would hurt."""
    name, what, shape, parameters, *rest = (cell.replace("\u00a0", " ").replace("\u200b", "") for cell in cells)
    stage = f"{marker(row.stage)}{escape(row.stage.name)}<br>" if row.stage is not MODEL else ""
    layer = _Name(name) if row.record.is_mask_step else _Code(name)
    return [
        layer,
        _Wrapped(stage + escape(what)),
        _Code(shape),
        parameters,
        *(_Line(cell) if few else cell for cell in rest),
    ]


def marker(stage: Stage) -> str:
    """A small square in the stage's colour, outlined so that it is seen on every background; decoration only."""
    if stage not in STAGES:
        return ""
    return (
        '<span aria-hidden="true" style="display:inline-block;width:0.7em;height:0.7em;margin-right:0.5em;'
        f'background:{stage.colour};border:1px solid currentColor"></span>'
    )


def _details(summary_text: str, content: str) -> str:
    return f'<details style="margin:6px 0"><summary>{escape(summary_text)}</summary>{content}</details>'


html_grid = grid  # the same table under a name that says where it comes from, for modules that also use `show.grid`
