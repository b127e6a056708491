"""What the widgets share: their front end's files, and what is left of them where a notebook is only read."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from w2vlearn.show.canvas import as_image

__all__ = ["RUN_TO_MOVE", "StillPicture", "as_html", "front_end"]

RUN_TO_MOVE = "Run this lesson to move it."


class StillPicture:
    """Mixin for a widget, first among its bases: the stored output also holds ``text/html`` without any kernel.

    A live page prefers the widget. A code host, an exported page, the site and a notebook not yet run have no kernel
    and show `still_html`: the picture as it was when the cell ended, and `still_line`: how to make it move.
    """

    still_line = RUN_TO_MOVE

    def still_html(self) -> str:
        """The widget's picture as HTML; a widget without one shows its text."""
        return as_html(repr(self))

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict] | None:
        bundle = super()._repr_mimebundle_(**options)
        if bundle is not None:
            still = as_image(self.still_html())
            bundle[0]["text/html"] = f'<div>{still}<p style="font-size:13px">▷ {self.still_line}</p></div>'
        return bundle


def as_html(shown: Any) -> str:
    """The HTML of anything that has some (a figure of `w2vlearn.show`, a trace), else its text."""
    form = getattr(shown, "_repr_html_", None)
    text = shown if isinstance(shown, str) else repr(shown)
    return form() if form else f'<pre style="line-height:1.35;white-space:pre-wrap">{escape(text)}</pre>'


def front_end(*names: str) -> str:
    """JavaScript files of this folder, joined into one module; first what all widgets build their parts with."""
    files = (Path(__file__).parent / f"{name}.js" for name in ("elements", *names))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
