"""Charts: lines, bars and heat maps, with alt text and a text form made from the same numbers.

What is stored with a lesson must not depend on the order in which a processor adds: float error is rounded away before
anything is drawn, numbers are told with one or two digits, what lies far below the largest is told as less than
something, and positions are whole pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from w2vlearn.show.canvas import CHARACTER, WIDTH, Canvas, Picture, as_list
from w2vlearn.show.palette import FEATURE_ENCODER, STAGES
from w2vlearn.show.table import Table

COLOURS = tuple(stage.colour for stage in STAGES[1:])
# One shape per line, centred on (0, 0): circle, square, triangle, diamond, cross. Colour is never alone.
_MARKERS = ("m-4,0a4,4 0 1 0 8,0a4,4 0 1 0 -8,0z", "m-3.5,-3.5h7v7h-7z", "m0,-4.5l4.5,8h-9z", "m0,-5l5,5l-5,5l-5,-5z",
            "m-4,-1.3h2.7v-2.7h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7z")  # fmt: skip
# Cividis without its darkest fifth, which would drown on a dark page. Source: Nuñez, Anderton and Renslow 2018.
_HEAT = ("#35456c", "#535a6d", "#6c6e72", "#868379", "#a39a74", "#c1b26a", "#e0cb56", "#fee838")
_DECADES = 6  # a logarithmic scale goes down so far from its largest value


def _steady(values: Any, digits: int = 5) -> list:
    """Numbers without float error: whole ones as they are, others rounded to so many digits."""
    return [value if _is_whole(value) else float(f"{value:.{digits}g}") for value in as_list(values)]


def _is_whole(value: float) -> bool:
    return float(value).is_integer() and abs(value) < 1e12


def short_number(value: float, smallest: float = 0.0) -> str:
    """A number as people write it: whole numbers whole, others with two digits; below ``smallest`` "< smallest"."""
    value = float(value)
    if 0 < abs(value) < smallest:
        return f"< {_round_number(smallest)}"
    return f"{value:{_commas(value)}.0f}" if _is_whole(value) else f"{value:.2g}"


def _round_number(value: float) -> str:
    """A round number beside an axis or in a legend."""
    return f"{value:.0e}" if 0 < value < 1e-4 or value >= 1e9 else f"{value:{_commas(value)}.10g}"


def _commas(value: float) -> str:
    return "," if abs(value) >= 10_000 else ""


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` on pixels from ``start`` to ``stop``, with marks at round values."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        share = (min(max(value, low), high) - low) / (high - low)
        return self.start + share * (self.stop - self.start)

    def marks(self, most: int) -> list[float]:
        """At most ``most`` round values: 1, 2 or 5 times a power of ten apart; powers of ten on a logarithmic scale."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            return [10.0**power for power in range(first, last + 1, max(1, -(-(last - first + 1) // most)))]
        step = _round_step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def _round_step(step: float) -> float:
    """The next larger of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def linear(low: float, high: float, start: float, stop: float) -> Scale:
    """A scale with these very ends: values ``low`` to ``high`` on pixels ``start`` to ``stop``."""
    return Scale(low, high if high > low else low + 1, start, stop)


def _scale(values: Sequence[float], start: float, stop: float, log: bool) -> Scale:
    """A scale for these values, its ends at round numbers, so that a last digit moves nothing."""
    if log:
        positive = [value for value in values if value > 0] or [1.0]
        high = 10.0 ** math.ceil(math.log10(max(positive)) - 1e-9)
        low = max(10.0 ** math.floor(math.log10(min(positive)) + 1e-9), high / 10**_DECADES)
        return Scale(min(low, high / 10), high, start, stop, True)
    low, high = min(values), max(values)
    step = _round_step(((high - low) or abs(high) or 1.0) / 5)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Scale(low, high if high > low else low + step, start, stop)


def with_axis(
    canvas: Canvas, across: Scale, y: float, label: str, legend: Sequence, alt: str, text: str = "", mark: str = ""
) -> Picture:
    """The finished figure: its axis at height ``y``, its legend below, and what a triangle means (``mark``)."""
    canvas.line(across.start, y, across.stop, y)
    for value in across.marks(8 if across.stop - across.start > 560 else 6):  # numbers of nine signs need room
        x = round(across(value))
        canvas.line(x, y, x, y + 5)
        canvas.text(x, y + 19, _round_number(value), 13, "middle")
    canvas.text((across.start + across.stop) / 2, y + 38, label, 13, "middle")
    y = canvas.legend(24, y + 66, legend) if legend else y + 30
    if mark:
        canvas.path(f"M24,{y + 10}h12l-6,9z", fill="currentColor")
        canvas.text(51, y + 20, mark)
        y += 20
    return canvas.picture(y + 14, alt, text)


def line_figure(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    title: str = "",
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    limits: tuple[float, float] | None = None,
    steps: bool = False,
    seams: Mapping[str, float] | None = None,
    measured: bool = False,
    alt: str | None = None,
) -> Picture:
    """One or more lines over ``x``, told apart by colour, marker and legend.

    Parameters
    ----------
    x : sequence of float
    series : mapping of str to sequence of float
        Name of each line -> its values, one per x.
    title, x_label, y_label, alt : str
        Above the figure, beside its axes; its alternative text, made from the data unless given.
    log_x, log_y : bool
        A logarithmic scale; up, at most six powers of ten: what lies below is drawn on the lower edge.
    limits : (lowest, highest), optional
        Ends of the vertical axis; by default round numbers around the values.
    steps : bool
        Each value holds until the next x.
    seams : mapping of str to float, optional
        Dashed vertical lines: what is written at each -> where it stands. An empty name is not written.
    measured : bool
        The lines come from a run whose last digits differ between processors: they stand in a group of class
        "measured", which the comparison of stored lessons leaves out. Wants ``limits`` and ``alt``.
    """
    x = _steady(x)
    data = {name: _steady(values) for name, values in series.items()}
    if not x or not data:
        raise ValueError("wanted at least one line of at least one point, found none")
    for name, values in data.items():
        if len(values) != len(x):
            raise ValueError(f"wanted {len(x)} values in {name!r}, one per x, found {len(values)}")
    if measured and (alt is None or limits is None):
        raise ValueError("a measured figure needs alt= and limits=: what is made from its numbers differs elsewhere")
    left, right, top, bottom = 76, WIDTH - 24, 30, 220
    canvas = Canvas()
    canvas.title(left, title)
    across = _scale(x, left, right, True) if log_x else linear(min(x), max(x), left, right)
    finite = [value for values in data.values() for value in values if math.isfinite(value)]
    up = _scale(list(limits or finite) or [0.0], bottom, top, log_y)
    for value in up.marks(5):
        y = round(up(value))
        canvas.line(left, y, right, y, 0.6, 0.25)
        canvas.text(left - 8, y + 5, _round_number(value), 13, "end")
    canvas.line(left, top, left, bottom)
    canvas.text(14, 125, y_label, 13, "middle", transform="rotate(-90 14 125)")
    for name, place in (seams or {}).items():
        at = round(across(place))
        canvas.dashed(at, top, bottom)
        if name.strip():
            room = at + 6 + CHARACTER * len(name) <= right
            canvas.text(at + (6 if room else -6), top + 14, name, 13, None if room else "end")
    start, legend = len(canvas.parts), []
    for index, (name, values) in enumerate(data.items()):
        colour, marker = COLOURS[index % len(COLOURS)], _MARKERS[index % len(_MARKERS)]
        points = [(round(across(a)), round(up(b))) for a, b in zip(x, values, strict=True) if math.isfinite(b)]
        line = "".join(
            f"{'M' if not place else f'H{px}V{py}M' if steps else 'L'}{px},{py}"
            for place, (px, py) in enumerate(points)
        )
        canvas.path(line, stroke=colour, width=2)
        every = max(1, len(points) // 12)
        canvas.path("".join(f"M{px},{py}{marker}" for px, py in points[::every]), fill=colour)
        legend.append((name, colour, None, marker))
    if measured:
        canvas.parts[start:] = ['<g class="measured">', *canvas.parts[start:], "</g>"]
    smallest = up.low if log_y else 0.0
    told = {name: [short_number(value, smallest) for value in values] for name, values in data.items()}
    if alt is None:
        lines = "; ".join(
            f"{name} goes from {words[0]} to {words[-1]}, "
            f"lowest {short_number(min(data[name]), smallest)}, highest {short_number(max(data[name]), smallest)}"
            for name, words in told.items()
        )
        heading = f"{title}: " if title else ""
        alt = f"{heading}{y_label} over {x_label} from {short_number(x[0])} to {short_number(x[-1])}. {lines}."
    body = list(zip((short_number(value) for value in x), *told.values(), strict=True))
    text = Table((x_label, *data), body).text() if len(x) <= 40 and not measured else alt
    return with_axis(canvas, across, bottom, x_label, legend if len(data) > 1 else [], alt, text)


def bar_figure(
    names: Sequence[str],
    values: Sequence[float],
    *,
    title: str = "",
    value_label: str,
    log: bool = False,
    limits: tuple[float, float] | None = None,
    alt: str | None = None,
) -> Picture:
    """Horizontal bars, one per name, each with its number beside it; ``limits`` keep the axis still under a slider."""
    values = _steady(values)
    if len(names) != len(values) or not names:
        raise ValueError(f"wanted one value per name, found {len(names)} names and {len(values)} values")
    words = [short_number(value) for value in values]
    left = min(330, 24 + round(CHARACTER * max(map(len, names))))
    right = WIDTH - 24 - round(8 * max(map(len, words)))
    canvas = Canvas()
    canvas.title(left, title)
    across = _scale([*(limits or values), *([] if log else [0.0])], left, right, log)
    pitch, top = 30, 30
    zero = across.start if log else across(0.0)
    for index, (name, value, word) in enumerate(zip(names, values, words, strict=True)):
        y, end = top + index * pitch, round(across(value))
        canvas.rect(min(zero, end), y, abs(end - zero), 20, FEATURE_ENCODER.colour, None, "currentColor")
        canvas.text(left - 10, y + 15, name, anchor="end")
        canvas.text(max(zero, end) + 8, y + 15, word)
    bottom = top + len(names) * pitch
    pairs = ", ".join(f"{name} {word}" for name, word in zip(names, words, strict=True))
    alt = alt or f"{title + ': ' if title else ''}{value_label}: {pairs}."
    text = Table(("", value_label), list(zip(names, words, strict=True)), align="lr").text()
    return with_axis(canvas, across, bottom, value_label, [], alt, text)


def heat_map(
    values: Any, rows: Sequence[str], *, floor: float, title: str = "", x_label: str = "frame t", alt: str | None = None
) -> Picture:
    """Numbers over layers (down) and frames (across), one step of colour per power of ten.

    Parameters
    ----------
    values : array-like
        (rows, columns), not negative.
    rows : sequence of str
        Name of each row.
    floor : float
        Smallest number that counts, e.g. what float error alone can do: what lies below stays blank.
    title, x_label, alt : str
        Above the map and below it; its alternative text, made from the data unless given.
    """
    table = [_steady(row, 3) for row in as_list(values)] if not hasattr(values, "ndim") or values.ndim == 2 else []
    if len(table) != len(rows) or not table or not table[0] or {len(row) for row in table} != {len(table[0])}:
        shape = tuple(getattr(values, "shape", (len(table), len(table[0]) if table else 0)))
        raise ValueError(f"wanted values of shape (rows, columns) with {len(rows)} named rows, found {shape}")
    largest = max(map(max, table))
    last = math.ceil(math.log10(max(largest, floor * 10)) - 1e-9)
    bounds = [10.0**power for power in range(max(math.floor(math.log10(floor) + 1e-9), last - len(_HEAT)), last)]
    colours = [_HEAT[step * (len(_HEAT) - 1) // max(1, len(bounds) - 1)] for step in range(len(bounds))]
    columns, pitch, top = len(table[0]), 20, 32
    left = min(420, 24 + round(CHARACTER * max(map(len, rows))))
    canvas = Canvas(max(WIDTH, left + 360))
    cell, bottom = (canvas.width - 24 - left) / columns, top + pitch * len(rows)
    canvas.title(max(24, min(left, canvas.width - 24 - 8.2 * len(title))), title)
    for index, name in enumerate(rows):
        canvas.text(left - 8, top + 15 + pitch * index, name, 13, "end")
    steps = [[max(0, sum(v >= bound for bound in bounds) - 1) if v > floor else None for v in row] for row in table]
    canvas.cells(left, top, cell, pitch, steps, {step: (colour, None) for step, colour in enumerate(colours)})
    canvas.rect(left, top, cell * columns, bottom - top, stroke="currentColor")
    legend = [(f"blank: at most {_round_number(floor)}", "none", None)] + [
        (f"{_round_number(bound)} to {_round_number(bound * 10)}", colour, None)
        for bound, colour in zip(bounds, colours, strict=True)
    ]
    body = []
    for name, row in zip(rows, table, strict=True):
        # the first column that is as large as the largest, up to a twentieth
        place = next(index for index, v in enumerate(row) if v >= max(row) * 0.95) if max(row) > floor else "–"
        body.append([name, _told(max(row), floor), place, _told(sorted(row)[len(row) // 2], floor)])
    text = Table(("row", "largest, about", f"at {x_label}", "median, about"), body).text()
    name, most, place, _ = body[max(range(len(rows)), key=lambda index: max(table[index]))]
    alt = alt or (
        f"Heat map of {len(rows)} rows by {columns} columns ({x_label}). Largest value about {most} in {name} at "
        f"{place}."
    )
    across = linear(0, columns, left, left + cell * columns)
    return with_axis(canvas, across, bottom, x_label, legend, alt, f"{title or alt}\n\n{text}")


def _told(value: float, floor: float) -> str:
    """A number of the map with one digit; one that float error alone can make is not written out."""
    return f"{value:.1g}" if value > floor else f"≤ {_round_number(floor)}"
