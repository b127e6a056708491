"""``slide("samples", range(400, 80_001, 80), draw)``: a slider, and below it what ``draw(value)`` shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import anywidget
import traitlets

__all__ = ["Slider", "slide"]


class Slider(anywidget.AnyWidget):
    """A slider over any values; make one with `slide`.

    Attributes
    ----------
    value : object
        The chosen value; can be set to any of the slider's values.
    text : str
        The text of what is shown below the slider.
    """

    # A native range input: it has a name for screen readers and keeps the arrow keys, which JupyterLab would take.
    _esm = """
export default { render({ model, el }) {
  const label = document.createElement("label");
  const name = document.createElement("span");
  const input = document.createElement("input");
  const value = document.createElement("output");
  const picture = document.createElement("div");
  label.style.cssText = "display:flex;gap:0.8em;align-items:center;max-width:760px";
  input.style.flex = "1";
  value.style.cssText = "min-width:7em;font-variant-numeric:tabular-nums";
  input.type = "range"; input.min = 0; input.max = model.get("count") - 1; input.step = 1;
  input.dataset.lmSuppressShortcuts = "true";
  name.textContent = model.get("label");
  input.setAttribute("aria-label", model.get("label"));
  picture.setAttribute("aria-live", "polite");
  label.append(name, input, value);
  el.append(label, picture);
  const show = () => {
    input.value = model.get("place");
    value.textContent = model.get("shown");
    input.setAttribute("aria-valuetext", model.get("shown"));
    picture.innerHTML = model.get("html");
  };
  const move = () => { model.set("place", Number(input.value)); model.save_changes(); };
  input.addEventListener("input", move);
  for (const trait of ["place", "shown", "html"]) model.on("change:" + trait, show);
  show();
} };
"""
    label = traitlets.Unicode().tag(sync=True)
    count = traitlets.Int(1).tag(sync=True)
    place = traitlets.Int(0).tag(sync=True)
    shown = traitlets.Unicode().tag(sync=True)
    html = traitlets.Unicode().tag(sync=True)

    def __init__(self, label: str, values: Sequence[Any], draw: Callable[[Any], Any], place: int, unit: str) -> None:
        self._values, self._draw, self._unit, self.text = values, draw, unit, ""
        super().__init__(label=label, count=len(values), place=place)
        self._redraw()
        self.observe(self._redraw, "place")

    @property
    def value(self) -> Any:
        """The chosen value."""
        return self._values[self.place]

    @value.setter
    def value(self, value: Any) -> None:
        self.place = _place(self._values, value)

    def _redraw(self, change: Any = None) -> None:
        picture = self._draw(self.value)
        self.text = picture if isinstance(picture, str) else repr(picture)
        with self.hold_sync():
            self.shown = f"{self.value} {self._unit}".strip()
            form = getattr(picture, "_repr_html_", None)
            self.html = form() if form else f'<pre style="line-height:1.35">{escape(self.text)}</pre>'

    def __repr__(self) -> str:
        return f"[slider] {self.label} = {self.shown}\n{self.text}"


def slide(label: str, values: Sequence[Any], draw: Callable[[Any], Any], start: Any = None, unit: str = "") -> Slider:
    """A slider over ``values``; whenever it moves, ``draw(value)`` is shown below it.

    Parameters
    ----------
    label : str
        What is moved, with its letter: ``"samples L"``.
    values : sequence
        What can be chosen, in order: a range, or a list of anything printable.
    draw : callable
        Gets the chosen value; returns text, or anything with an HTML form (a figure of this package, a trace).
    start : object, optional
        The value chosen at first; else the first one.
    unit : str
        Said after the value: ``"samples"``.

    Returns
    -------
    Slider
        As the last line of a cell it shows itself, where there are no widgets as its text.

    Raises
    ------
    ValueError
        If there is nothing to choose from, or ``start`` (or a value set later) is none of the values.
    """
    if not len(values):
        raise ValueError("slide needs at least one value to choose from")
    return Slider(label, values, draw, 0 if start is None else _place(values, start), unit)


def _place(values: Sequence[Any], value: Any) -> int:
    if value not in values:
        raise ValueError(f"{value!r} is none of the slider's values; it goes from {values[0]} to {values[-1]}")
    return values.index(value)
