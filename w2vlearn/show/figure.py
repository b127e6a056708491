"""Figures by matplotlib that speak: readable on light and dark pages, with alt text, and a twin in words.

Each function returns a `Picture`: a notebook shows its ``<svg>`` (or ``<img>``), `print` and text/plain show its words.
matplotlib is imported when the first figure is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from w2vlearn.show.grid import grid
from w2vlearn.show.matplot import INK, as_list, finish, new_figure, short_number, style
from w2vlearn.show.palette import FEATURE_ENCODER
from w2vlearn.show.picture import Picture
from w2vlearn.show.waveform import mask_figure, waveform_figure

__all__ = ["bar_figure", "finish", "heat_map", "line_figure", "mask_figure", "new_figure", "style", "waveform_figure"]


def heat_map(
    values: Any,
    rows: Sequence[str],
    *,
    title: str = "",
    x_label: str = "frame t",
    floor: float | None = None,
    alt: str | None = None,
    unit: str = "",
    format: str = "svg",
) -> Picture:
    """Numbers over layers (down) and frames (across).

    Parameters
    ----------
    values : array-like
        (rows, columns), not negative where ``floor`` is given.
    rows : sequence of str
        Name of each row.
    title, x_label, unit : str
        Words around the map.
    floor : float, optional
        Smallest number that counts, e.g. what float error alone can do: the scale is then logarithmic, and what lies
        below stays blank.
    alt : str, optional
        Made from the data unless given.
    format : {"svg", "png"}
        See `finish`.
    """
    import numpy as np

    table = np.asarray(values, dtype=float)
    if table.ndim != 2 or len(table) != len(rows) or not table.size:
        raise ValueError(f"wanted values of shape (rows, columns) with {len(rows)} named rows, found {table.shape}")
    best = np.unravel_index(int(np.nanargmax(table)), table.shape)
    alt = alt or (
        f"Heat map of {len(rows)} rows by {table.shape[1]} columns ({x_label}). Largest value {table[best]:.2g}{unit} "
        f"in {rows[best[0]]} at {best[1]}; smallest {np.nanmin(table):.2g}{unit}."
    )
    body = [
        [name, _above(np.nanmax(row), floor), _place(row, floor), _above(np.nanmedian(row), floor)]
        for name, row in zip(rows, table, strict=True)
    ]
    twin = f"{title or alt}\n\n" + grid(("row", f"largest{unit and ' ' + unit}", f"at {x_label}", "median"), body)
    with style():
        import matplotlib
        from matplotlib.colors import ListedColormap, LogNorm

        figure, axes = new_figure(7.2, max(2.2, 0.24 * len(rows) + 1.1))
        norm, shown = None, table
        if floor is not None:
            shown = np.where(table > floor, table, np.nan)
            top = float(np.nanmax(shown)) if np.isfinite(shown).any() else floor * 10
            norm = LogNorm(floor, max(top, floor * 10))
        # The darkest fifth of the map would drown on a dark page.
        colours = ListedColormap(matplotlib.colormaps["cividis"](np.linspace(0.2, 1, 256)))
        picture = axes.imshow(shown, aspect="auto", cmap=colours, norm=norm, interpolation="nearest")
        axes.set(xlabel=x_label, title=title)
        axes.set_yticks(range(len(rows)), rows, fontsize=9)
        bar = figure.colorbar(picture, ax=axes, pad=0.02)
        bar.outline.set_edgecolor(INK)
        if floor is not None:
            bar.ax.yaxis.set_major_formatter(lambda value, place: f"{value:.0e}")  # plain text, no typeset powers
            bar.ax.yaxis.set_minor_formatter(lambda value, place: "")
            bar.set_label(f"blank: at most {floor:.0e}")
        return finish(figure, alt, twin, format)


def _above(value: float, floor: float | None) -> str:
    """A number of the map; one that float error alone can make is not written out."""
    return short_number(value) if floor is None or value > floor else f"≤ {floor:.0e}"


def _place(row: Any, floor: float | None) -> int | str:
    return int(row.argmax()) if floor is None or row.max() > floor else "–"


def line_figure(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    title: str = "",
    x_label: str,
    y_label: str,
    log_y: bool = False,
    steps: bool = False,
    alt: str | None = None,
    format: str = "svg",
) -> Picture:
    """One or more lines over ``x``, told apart by colour, marker and a label at their end."""
    x = as_list(x)
    data = {name: as_list(values) for name, values in series.items()}
    if not x or not data:
        raise ValueError("wanted at least one line of at least one point, found none")
    for name, values in data.items():
        if len(values) != len(x):
            raise ValueError(f"wanted {len(x)} values in {name!r}, one per x, found {len(values)}")
    if alt is None:
        heading = f"{title}: " if title else ""
        lines = "; ".join(
            f"{name} goes from {short_number(values[0])} to {short_number(values[-1])}, "
            f"lowest {short_number(min(values))}, highest {short_number(max(values))}"
            for name, values in data.items()
        )
        alt = f"{heading}{y_label} over {x_label} from {short_number(x[0])} to {short_number(x[-1])}. {lines}."
    twin = grid(
        (x_label, *data),
        [[short_number(value), *(short_number(line[i]) for line in data.values())] for i, value in enumerate(x)],
    )
    with style():
        figure, axes = new_figure()
        for name, values in data.items():
            every = max(1, len(x) // 12)
            axes.plot(
                x, values, label=name, markevery=every, markersize=5, drawstyle="steps-post" if steps else "default"
            )
        axes.set(xlabel=x_label, ylabel=y_label, title=title)
        if log_y:
            axes.set_yscale("log")
        if len(data) > 1:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        return finish(figure, alt, twin if len(x) <= 40 else f"{alt}", format)


def bar_figure(
    names: Sequence[str],
    values: Sequence[float],
    *,
    title: str = "",
    value_label: str,
    colours: Sequence[str] | None = None,
    log: bool = False,
    alt: str | None = None,
    format: str = "svg",
) -> Picture:
    """Horizontal bars, one per name, each with its number beside it."""
    values = as_list(values)
    if len(names) != len(values) or not names:
        raise ValueError(f"wanted one value per name, found {len(names)} names and {len(values)} values")
    words = [f"{value:,}" if float(value).is_integer() else short_number(value) for value in values]
    pairs = ", ".join(f"{name} {word}" for name, word in zip(names, words, strict=True))
    alt = alt or f"{title + ': ' if title else ''}{value_label}: {pairs}."
    twin = grid(("", value_label), list(zip(names, words, strict=True)), align="lr")
    with style():
        figure, axes = new_figure(7.2, 0.34 * len(names) + 0.9)
        colour = list(colours) if colours else FEATURE_ENCODER.colour
        bars = axes.barh(list(names), values, color=colour, edgecolor=INK, linewidth=0.6, height=0.7)
        axes.bar_label(bars, words, padding=5)
        axes.xaxis.set_major_formatter(lambda value, place: f"{value:,g}" if value < 1e5 else f"{value:,.0f}")
        axes.invert_yaxis()
        axes.set(xlabel=value_label, title=title)
        axes.margins(x=0.16)
        if log:
            axes.set_xscale("log")
        return finish(figure, alt, twin, format)
