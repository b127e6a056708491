"""``slide("samples L", range(400, 80_001, 80), draw)``: a slider, and below it what ``draw(value)`` shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from numbers import Real
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from w2vlearn.widgets.still import StillPicture, as_html, front_end

__all__ = ["Slider", "slide"]


class Slider(StillPicture, anywidget.AnyWidget):
    """A slider over any values; make one with `slide`.

    Attributes
    ----------
    value : object
        The chosen value; can be set to any of the slider's values.
    text : str
        The text of what is shown below the slider.
    prediction : str
        What the learner said to the question, or "". ``slider.observe(callback, "prediction")`` hears of it.
    """

    _esm = front_end("slider")
    _css = Path(__file__).parent / "controls.css"
    # The front end sets these.
    place = traitlets.Int(0).tag(sync=True)
    moved = traitlets.Bool(False).tag(sync=True)
    prediction = traitlets.Unicode().tag(sync=True)
    # These stay as they are.
    label = traitlets.Unicode().tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)
    count = traitlets.Int(1).tag(sync=True)
    numeric = traitlets.Bool(False).tag(sync=True)
    edges = traitlets.List(traitlets.Unicode()).tag(sync=True)
    marks = traitlets.List().tag(sync=True)
    ask = traitlets.Unicode().tag(sync=True)
    choices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    answer = traitlets.Unicode().tag(sync=True)
    # These follow the place; `version` counts how often.
    shown = traitlets.Unicode().tag(sync=True)
    written = traitlets.Unicode().tag(sync=True)
    html = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    version = traitlets.Int(0).tag(sync=True)

    def __init__(
        self, values: Sequence[Any], draw: Callable[[Any], Any], place: int, marks: Sequence[Any], **fixed: Any
    ):
        self._values, self._draw = values, draw
        numeric = isinstance(values, range) or all(isinstance(value, Real) for value in values)
        back, forward = (f"−{values.step}", f"+{values.step}") if isinstance(values, range) else ("previous", "next")
        super().__init__(
            count=len(values),
            place=place,
            numeric=numeric,
            edges=[str(values[0]), back, forward, str(values[-1])],
            marks=[[str(value), _place(values, value)] for value in marks],
            **fixed,
        )
        self._follow()
        self.observe(self._follow, "place")
        self.on_msg(self._take_typed)

    @property
    def value(self) -> Any:
        """The chosen value."""
        return self._values[self.place]

    @value.setter
    def value(self, value: Any) -> None:
        self.place = _place(self._values, value)

    def _follow(self, change: Any = None) -> None:
        """Draw; after a move an error of the drawing function is said, for in a callback nobody would see it."""
        shown, message = f"{self.value} {self.unit}".strip(), ""
        try:
            drawn = self._draw(self.value)
            text, html = str(drawn), as_html(drawn)
        except Exception as error:
            if change is None:
                raise
            text, html, message = self.text, self.html, f"nothing to show at {shown}: {type(error).__name__}: {error}"
        with self.hold_sync():
            self.written, self.shown, self.text, self.html, self.message = str(self.value), shown, text, html, message
            self.version += 1

    def _take_typed(self, _: Any, content: dict, buffers: list) -> None:
        """From the number field: go to that value, or to the nearest and say so."""
        typed = str(content.get("typed", "")).strip()
        number = _number(typed.removesuffix(self.unit))
        if number is None:
            self.message = f"wanted a number from {self._values[0]} to {self._values[-1]}, found {typed!r}"
            return
        self.place = _nearest(self._values, number)
        self.message = (
            "" if self.value == number else f"{typed} is none of the slider's values; the nearest is {self.value}"
        )

    def still_html(self) -> str:
        """The question, label and value, and what is shown below them."""
        asked = f"<p>{escape(self.ask)}</p>" if self.ask else ""
        return f"{asked}<p><b>{escape(self.label)} = {escape(self.shown)}</b></p>{self.html}"

    def __repr__(self) -> str:
        asked = f"{self.ask}\n" if self.ask else ""
        return f"{asked}[slider] {self.label} = {self.shown}\n{self.text}"


def slide(
    label: str,
    values: Sequence[Any],
    draw: Callable[[Any], Any],
    start: Any = None,
    unit: str = "",
    *,
    ask: str = "",
    choices: Sequence[Any] = (),
    answer: str = "",
    marks: Sequence[Any] = (),
) -> Slider:
    """A slider over ``values``; whenever it moves, ``draw(value)`` is shown below it.

    Parameters
    ----------
    label : str
        What is moved, with its letter: ``"samples L"``.
    values : sequence
        What can be chosen, in order: a range, or a list of anything printable.
    draw : callable
        Gets the chosen value; returns a figure of `w2vlearn.show`, anything else with an HTML form (a trace), or text.
    start : object, optional
        The value chosen at first; else the first one.
    unit : str
        Said after the value: ``"samples"``.
    ask : str
        A question that moving the slider answers. It stands above the slider with a field for a prediction; who moves
        without one is not held up. The prediction is kept in ``slider.prediction``.
    choices : sequence
        What can be predicted, to choose from instead of the field.
    answer : str
        Folded under the question once the slider has been moved.
    marks : sequence
        Values with a button of their own: ``(719, 720)`` where something happens between the two.

    Returns
    -------
    Slider
        As the last line of a cell it shows itself; where there are no widgets, as a still picture and its text.

    Raises
    ------
    ValueError
        If there is nothing to choose from, or ``start``, a mark, or a value set later is none of the values.

    Notes
    -----
    Its keys: arrows, Page Up and Page Down, Home and End move the handle; in the number field up and down do, and Enter
    takes what is typed.
    """
    if not len(values):
        raise ValueError("slide needs at least one value to choose from")
    place = 0 if start is None else _place(values, start)
    fixed = {"label": label, "unit": unit, "ask": ask, "choices": [str(choice) for choice in choices], "answer": answer}
    return Slider(values, draw, place, marks, **fixed)


def _place(values: Sequence[Any], value: Any) -> int:
    if value not in values:
        raise ValueError(f"{value!r} is none of the slider's values; it goes from {values[0]} to {values[-1]}")
    return values.index(value)


def _nearest(values: Sequence[Any], number: float) -> int:
    if isinstance(values, range):  # an hour of samples has 57 million values
        return max(0, min(len(values) - 1, round((number - values.start) / values.step)))
    return min(range(len(values)), key=lambda place: abs(values[place] - number))


def _number(text: str) -> float | None:
    """A number as people type it: ``16,000``, ``16 000``, ``0,065``; None if it is none."""
    text = re.sub(r"[\s_]", "", text).replace("−", "-")
    thousands = re.fullmatch(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?", text)
    text = text.replace(",", "" if thousands else ".")
    return float(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, re.I) else None
