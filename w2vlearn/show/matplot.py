"""matplotlib's figures made fit for a page: its theme's ink, alt text, the same bytes on every run.

matplotlib is imported when the first figure is drawn.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import escape

from w2vlearn.show.palette import STAGES
from w2vlearn.show.picture import Picture, image

INK = "#797979"  # text and lines of a PNG: 4.3 : 1 on white and on JupyterLab's dark #111111; an SVG follows the theme
COLOURS = tuple(stage.colour for stage in STAGES[1:])
_FONT = ["DejaVu Sans"]


@contextmanager
def style() -> Iterator[None]:
    """matplotlib settings of the course for what is drawn inside: no background, the theme's ink, the palette."""
    import matplotlib

    settings = {
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "legend.facecolor": "none",
        "legend.edgecolor": INK,
        "legend.framealpha": 0,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "hatch.color": INK,
        "patch.edgecolor": INK,
        "hatch.linewidth": 0.7,
        "font.family": _FONT,
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": matplotlib.cycler(color=COLOURS) + matplotlib.cycler(marker=["o", "s", "^", "D", "v"]),
        "svg.fonttype": "none",
        "svg.hashsalt": "w2vlearn",
        "path.simplify": True,
    }
    with matplotlib.rc_context(settings):
        yield


def new_figure(width: float = 7.2, height: float = 2.8) -> tuple[Any, Any]:
    """A figure of ``width`` by ``height`` inches and its axes, outside pyplot; call it inside `style`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def finish(figure: Any, alt: str, text: str | None = None, format: str = "svg") -> Picture:
    """Turn a matplotlib figure into a `Picture`.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Drawn inside `style`.
    alt : str
        What the figure shows, with its numbers.
    text : str, optional
        The twin in words; ``alt`` unless said.
    format : {"svg", "png"}
        "svg" stands in the page and follows its theme; "png" is an ``<img>``, kept also by untrusted notebooks.

    Raises
    ------
    ValueError
        If ``alt`` is empty or the format unknown.
    """
    if not alt.strip():
        raise ValueError("a figure needs alt text: say what it shows, with its numbers")
    if format not in ("svg", "png"):
        raise ValueError(f'wanted format "svg" or "png", found {format!r}')
    file = io.BytesIO()
    with style():
        if format == "png":
            figure.savefig(file, format="png", dpi=144, metadata={"Software": None})
        else:
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    if format == "png":
        source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        return Picture(image(source, alt, round(figure.get_figwidth() * 96)), alt, text or alt)
    return Picture(_inline_svg(file.getvalue().decode(), alt), alt, text or alt)


def _light_dots(pattern: re.Match[str]) -> str:
    """One small circle for the hundreds of curves with which matplotlib draws its hatch of dots (250 kB)."""
    if not re.search(r"\sC\s", pattern[0]):
        return pattern[0]
    circle = '<circle cx="2" cy="2" r="0.8" fill="currentColor"/>'
    return f'<pattern id="{pattern[1]}" width="4" height="4" patternUnits="userSpaceOnUse">{circle}</pattern>'


def _inline_svg(source: str, alt: str) -> str:
    """matplotlib's SVG made fit for a page: the theme's ink, no stylesheet, no stray ids, scalable, described."""
    source = source[source.index("<svg") :]
    source = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", source, flags=re.DOTALL)
    source = re.sub(INK, "currentColor", source, flags=re.IGNORECASE)
    source = re.sub(r'<pattern id="([^"]*)".*?</pattern>', _light_dots, source, flags=re.DOTALL)
    source = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), source)
    referred = set(re.findall(r'(?:url\(#|href="#)([^")]+)', source))
    source = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in referred else "", source)
    view = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', source)
    wide = round(float(view[1]) * 4 / 3) if view else 700
    identifier = hashlib.sha256((source + alt).encode()).hexdigest()[:10]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {view[0] if view else ""} '
        f'role="img" aria-labelledby="alt-{identifier}" '
        f'style="width:100%;max-width:{wide}px;height:auto;display:block;stroke-linejoin:round;stroke-linecap:butt">'
        f'<title id="alt-{identifier}">{escape(alt)}</title>'
    )
    # Ids of clip paths and markers are hashes of what they draw, salted by the figure here: two figures never clash.
    source = re.sub(r"<svg[^>]*>", head, source, count=1)
    for name in sorted(referred, key=len, reverse=True):
        source = re.sub(rf'(id="|#){re.escape(name)}(?=[")])', rf"\g<1>{name}-{identifier}", source)
    return re.sub(r"\s*\n\s*", " ", source).strip()


def as_list(values: Any) -> list:
    """A tensor, an array or a sequence as a list of plain numbers."""
    return values.tolist() if hasattr(values, "tolist") else list(values)


def short_number(value: float) -> str:
    """A number as people write it: whole numbers whole, others with three digits."""
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e12 else f"{value:.3g}"
