"""A picture with words: what a notebook displays as an image and prints as text, and the SVG canvas that draws it.

The one drawing stack: no library, no font files, the same bytes on every machine and run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from w2vlearn.show.palette import HATCHES, svg_pattern

_FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\""
SMALLEST_TEXT = 13  # px at normal size; the design asks for 12 or more
INK = "#797979"  # of an image, which cannot follow the theme: 4.3 : 1 on white and on JupyterLab's dark #111111
WIDTH = 760  # of a figure, unless it needs more
CHARACTER = 7.2  # width of a character of text of 14 px, roughly; what is beside a text keeps that much away


@dataclass(frozen=True)
class Picture:
    """Something to look at, with its description and the same in words.

    Attributes
    ----------
    html : str
        ``<svg role="img">`` or ``<img alt>``; inline styles only, no script.
    alt : str
        What the picture shows, with its numbers: the alternative text inside ``html``.
    text : str
        The same as plain text, good enough to learn from alone: what `print` and text/plain show.
    """

    html: str
    alt: str
    text: str = ""

    def __str__(self) -> str:
        return self.text or self.alt

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.html

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.html}


def number(value: float) -> str:
    """A coordinate with at most two decimals, written the same on every machine."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


class Canvas:
    """Collects SVG elements; `svg` wraps them with title, description and hatches, and gives ids unique to the content.

    One unit of ``width`` is one CSS pixel at normal size.
    """

    def __init__(self, width: float = WIDTH) -> None:
        self.width = width
        self.parts: list[str] = []
        self.hatches: list[str] = []

    def add(self, tag: str, content: str = "", **attributes: Any) -> None:
        """Append one element; underscores in names become hyphens, numbers are rounded, None is left out."""
        written = "".join(
            f' {name.replace("_", "-")}="{number(value) if isinstance(value, int | float) else value}"'
            for name, value in attributes.items()
            if value is not None
        )
        self.parts.append(f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>")

    def rect(
        self, x: float, y: float, width: float, height: float, fill: str = "none", opacity: float | None = None,
        stroke: str | None = None, stroke_width: float = 0.8, rx: float | None = None,
    ) -> None:  # fmt: skip
        """A rectangle; colours are ``"#rrggbb"``, ``"currentColor"`` or a hatch from `hatch`."""
        line = {"stroke": stroke, "stroke_width": stroke_width} if stroke else {}
        self.add("rect", x=x, y=y, width=max(0, width), height=height, fill=fill, fill_opacity=opacity, rx=rx, **line)

    def title(self, x: float, title: str) -> float:
        """The figure's title, if it has one; returns where the first line below it stands."""
        if not title:
            return 18.0
        self.text(x, 18, title, 15, bold=True)
        return 44.0

    def line(self, x1: float, y1: float, x2: float, y2: float, width: float = 1, opacity: float | None = None) -> None:
        """A straight line in the theme's colour."""
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke="currentColor", stroke_width=width, stroke_opacity=opacity)

    def dashed(self, x: float, top: float, bottom: float, width: float | None = None) -> None:
        """A dashed vertical line."""
        d = f"M{number(x)},{top}V{bottom}"
        self.add("path", d=d, stroke="currentColor", stroke_width=width, stroke_dasharray="5 4")

    def path(
        self, d: str, fill: str = "none", stroke: str | None = None, width: float = 1, opacity: float | None = None
    ) -> None:
        """A path; ``d`` as in SVG."""
        line = {"stroke": stroke, "stroke_width": width, "stroke_linejoin": "round"} if stroke else {}
        self.add("path", d=d, fill=fill, fill_opacity=opacity, **line)

    def separators(self, x: float, y: float, width: float, height: float, count: int) -> None:
        """Thin lines between ``count`` equal cells of a strip: one dashed line as thick as the strip is high."""
        if count > 1:
            cell = width / count
            d = f"M{number(x + cell - 0.25)},{number(y + height / 2)}H{number(x + width - 0.5)}"
            self.add("path", d=d, fill="none", stroke="currentColor", stroke_width=height, stroke_opacity=0.7,
                     stroke_dasharray=f"0.5 {cell - 0.5:.4f}")  # fmt: skip

    def cells(
        self, x: float, y: float, width: float, height: float, steps: list[list], fills: dict[Any, tuple[str, Any]]
    ) -> None:
        """A grid of cells, (rows, columns), each filled by its step: colour and opacity; one path per step."""
        paths = dict.fromkeys(fills, "")
        for row, line in enumerate(steps):
            for start, stop, step in runs(line):
                if step in fills:
                    wide, top = (stop - start) * width, y + row * height
                    paths[step] += f"M{x + start * width:.1f},{top:.1f}h{wide:.1f}v{height:.1f}h{-wide:.1f}z"
        for step, (fill, opacity) in fills.items():
            if paths[step]:
                self.path(paths[step], fill, opacity=opacity)

    def text(self, x: float, y: float, words: str, size: float = 14, anchor: str | None = None, bold: bool = False,
             **more: Any) -> None:  # fmt: skip
        """Text in the theme's colour, its baseline at ``y``; at least 13 px."""
        self.add("text", escape(words), x=x, y=y, font_size=max(size, SMALLEST_TEXT), fill="currentColor",
                 text_anchor=anchor, font_weight=600 if bold else None, **more)  # fmt: skip

    def heading(self, x: float, y: float, name: str, more: str = "", colour: str | None = None) -> None:
        """A section's heading: its stage's colour as a square, its name in bold, then ``more``, on one baseline."""
        if colour is not None:
            self.rect(x, y - 11, 12, 12, fill=colour, stroke="currentColor")
        more = f'<tspan dx="14" font-size="14" font-weight="400">{escape(more)}</tspan>' if more else ""
        self.add("text", escape(name) + more, x=x + 22, y=y, font_size=16, fill="currentColor", font_weight=600)

    def arrow(self, x1: float, x2: float, y: float) -> None:
        """A horizontal arrow from ``x1`` to ``x2`` at height ``y``."""
        self.line(x1, y, x2 - 1, y, 1.4)
        self.path(f"M{number(x2 - 6)},{number(y - 4)}l6,4l-6,4", stroke="currentColor", width=1.4)

    def lock(self, x: float, y: float, size: float = 14) -> None:
        """A padlock whose lower left corner is (x, y): no length can move what stands beside it."""
        body, arch = size * 0.58, size * 0.24
        self.rect(x, y - body, size * 0.8, body, fill="currentColor", rx=size * 0.1)
        start, side = f"M{number(x + size * 0.4 - arch)},{number(y - body)}", number(size * 0.16)
        arc = f"a{number(arch)},{number(arch)} 0 0 1 {number(arch * 2)},0"
        self.path(f"{start}v-{side}{arc}v{side}", stroke="currentColor", width=size * 0.12)

    def hatch(self, kind: str) -> str:
        """Fill for one of `palette.HATCHES`: ``canvas.rect(..., fill=canvas.hatch("padding"))``."""
        if kind not in self.hatches:
            self.hatches.append(kind)
        return f"url(#{kind}-@ID@)"

    def legend(self, x: float, y: float, entries: Iterable[tuple]) -> float:
        """Boxes with words in a row, new rows below where it is full; returns the last row's y.

        An entry is (words, fill, opacity), or (words, colour, None, marker) of a line.
        """
        left = x
        for words, fill, opacity, *marker in entries:
            wide = 27 + CHARACTER * len(words)
            if x > left and x + wide > self.width:
                x, y = left, y + 22
            if marker:
                self.path(f"M{number(x - 4)},{y - 5}h24", stroke=fill, width=2)
                self.path(f"M{number(x + 8)},{y - 5}{marker[0]}", fill=fill)
            else:
                self.rect(x, y - 12, 20, 13, fill, opacity, "currentColor")
            self.text(x + 27, y, words)
            x += wide + 28
        return y

    def hatch_entry(self, kind: str) -> tuple[str, str, None]:
        """A hatch as an entry of `legend`."""
        return HATCHES[kind], self.hatch(kind), None

    def svg(self, height: float, title: str, description: str = "") -> str:
        """The finished ``<svg role="img">``: scales with the page, follows the theme, says the same in words.

        Its ids come from what it says and not from what is drawn, whose last digits may differ between machines.
        """
        key = hashlib.sha256(f"{title}\n{description}".encode()).hexdigest()[:10]
        patterns = "".join(svg_pattern(kind, f"{kind}-{key}") for kind in self.hatches)
        described = f'<desc id="desc-{key}">{escape(description)}</desc>' if description else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(self.width)} {number(height)}" role="img" '
            f'aria-labelledby="title-{key}{f" desc-{key}" if description else ""}" {_FONT} '
            f'style="width:100%;max-width:{number(self.width)}px;height:auto;display:block">'
            f'<title id="title-{key}">{escape(title)}</title>{described}'
            + (f"<defs>{patterns}</defs>" if patterns else "")
            + "".join(self.parts).replace("@ID@", key)
            + "</svg>"
        )

    def picture(self, height: float, alt: str, text: str = "") -> Picture:
        """The drawing as a `Picture`: ``alt`` says what it shows, with its numbers (ValueError if it is empty)."""
        if not alt.strip():
            raise ValueError("a figure needs alt text: say what it shows, with its numbers")
        return Picture(self.svg(height, alt), alt, text)


def as_image(html: str) -> str:
    """HTML with every ``<svg>`` of `Canvas` as an ``<img>`` with that SVG inside; its alt text is the SVG's.

    Untrusted notebooks keep an ``<img>``. It cannot follow the page's theme, so its lines are a grey that is seen on
    every background.
    """

    def image(found: re.Match) -> str:
        svg, width = found[0].replace("currentColor", INK), found[1]
        svg = svg.replace("width:100%;", f"width:{width}px;", 1)
        alt = ". ".join(re.findall(r"<(?:title|desc) [^>]*>(.*?)</(?:title|desc)>", svg, re.S))
        source = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
        return f'<img src="{source}" alt="{alt}" style="width:100%;max-width:{width}px">'

    return re.sub(r'<svg [^>]*?viewBox="0 0 ([\d.]+) .*?</svg>', image, html, flags=re.S)


def as_list(values: Any) -> list:
    """A tensor, an array or a sequence as a list of plain numbers."""
    return values.tolist() if hasattr(values, "tolist") else list(values)


def runs(flags: list) -> list[tuple[int, int, Any]]:
    """Stretches of equal entries: (start, stop, entry)."""
    starts = [index for index, flag in enumerate(flags) if index == 0 or flag != flags[index - 1]]
    return [(start, stop, flags[start]) for start, stop in zip(starts, [*starts[1:], len(flags)], strict=True)]


def envelope(values: list[float], x: float, width: float, middle: float, half: float, loudest: float) -> str:
    """Outline of a waveform: highest and lowest value per step of 2 px, a closed path, ``half`` px high each way."""
    steps = max(1, min(len(values), int(width / 2)))
    parts = [values[step * len(values) // steps : (step + 1) * len(values) // steps] for step in range(steps)]
    points = [(x + width * (step + 0.5) / steps, min(part), max(part)) for step, part in enumerate(parts)]
    return outline(points, middle, half, loudest)


def outline(points: list[tuple[float, float, float]], middle: float, half: float, loudest: float) -> str:
    """A closed path around (x, lowest, highest) of every step, drawn ``half`` px high each way of ``middle``."""
    upper = [f"{x:.1f},{middle - max(0.4, half * highest / loudest):.1f}" for x, _, highest in points]
    lower = [f"{x:.1f},{middle + max(0.4, -half * lowest / loudest):.1f}" for x, lowest, _ in points]
    return f"M{' L'.join(upper)} L{' L'.join(reversed(lower))} Z"
