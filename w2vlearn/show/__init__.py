"""A trace or a batch in, something to look at out: tables and figures, in one visual language.

Figures for learners are named here; `render` gives every table of the package in every form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from w2vlearn.show import trace_table
from w2vlearn.show.attention_figure import matrix_figure
from w2vlearn.show.canvas import Picture
from w2vlearn.show.charts import bar_figure, heat_map, line_figure
from w2vlearn.show.comparison import check_document, diff_document, leak_document, leak_figure
from w2vlearn.show.mask_figure import mask_figure
from w2vlearn.show.sentences import describe
from w2vlearn.show.table import Document, Table
from w2vlearn.show.track_figure import boundary_figure, strips_figure
from w2vlearn.show.transcript_figure import transcript_figure
from w2vlearn.show.waveform_figure import clips_figure, waveform_figure

__all__ = [
    "Picture",
    "Table",
    "bar_figure",
    "boundary_figure",
    "clips_figure",
    "describe",
    "heat_map",
    "line_figure",
    "mask_figure",
    "matrix_figure",
    "render",
    "strips_figure",
    "transcript_figure",
    "waveform_figure",
]

FORMS = ("text", "html", "markdown", "pandas", "figure")
_DOCUMENTS: Mapping[str, Callable[[Any], Document]] = {
    "Diff": diff_document,
    "LeakReport": leak_document,
    "CheckReport": check_document,
}
_FIGURES: Mapping[str, Callable[..., Picture]] = {"LeakReport": leak_figure, "Transcript": transcript_figure}


def render(value: Any, form: str, **options: Any) -> Any:
    """Show a result of this package in one of its forms.

    Parameters
    ----------
    value : Layers, Diff, LeakReport, CheckReport or Transcript
        What to show; told by the name of its class, so that nothing has to be imported.
    form : {"text", "html", "markdown", "pandas", "figure"}
        Text, HTML and Markdown as ``str``; a ``pandas.DataFrame``; a `Picture` (leak report, transcript). Of a trace
        text and HTML fold equal layers, Markdown and the data frame have one row per record.
    **options
        Of a figure: ``clip`` and ``masked`` (leak report), ``start_s`` and ``end_s`` (transcript).

    Raises
    ------
    ValueError, TypeError
        If there is no such form, or ``value`` has no such form.
    """
    if form not in FORMS:
        raise ValueError(f"no form called {form!r}; there are {', '.join(FORMS)}")
    makers = _FIGURES if form == "figure" else _DOCUMENTS
    for kind in type(value).__mro__:
        if kind.__name__ in makers:
            shown = makers[kind.__name__](value, **options)
            return shown if form == "figure" else getattr(shown, form)()
    if form == "figure" or not hasattr(value, "records"):
        raise TypeError(f"a {type(value).__name__} has no {form}; a trace, a diff or a report has")
    if form == "pandas":
        return trace_table.record_table(value).pandas()
    return trace_table.markdown(value, "all") if form == "markdown" else getattr(trace_table, form)(value)
