"""``compare("2.1", prediction, actual)``: did it happen, and if not, which rule explains the gap."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from numbers import Real
from typing import Any

from course import contents, logbook
from course.differences import difference, show
from course.exercise import Prediction, Rule
from course.prose import fill, wrapped
from course.sandbox import attempt, describe_error

__all__ = ["again", "compare", "explain"]


def compare(identifier: str, prediction: Any, actual: Any) -> None:
    """Print whether the prediction met what happened, and which rule explains the gap; keep it. Never raises.

    Parameters
    ----------
    identifier : str
        ``"2.1"``.
    prediction : object
        What the learner expected; None: no prediction was made, which is fine.
    actual : object
        What happened.
    """
    met, text = _told(identifier, prediction, actual)
    print(wrapped(text))
    if met is not None:
        with contextlib.suppress(Exception):  # whatever was predicted: the notebook runs on
            logbook.note_prediction(str(identifier), prediction, actual, met)


def again(identifier: str, prediction: Any) -> None:
    """Answer a prediction that is asked again: ``again("2.1", 49)``. Prints what happened then; never raises."""
    entries = logbook.kept()
    entry = entries["predictions"].get(str(identifier))
    if entry is None:
        print(wrapped(f"{identifier} was not predicted yet: its cell stands in its lesson."))
        return
    met, text = _told(str(identifier), prediction, entry["was"])
    print(wrapped(text))
    if met:
        entry["met_again"] = True
        logbook.keep(entries)


def _told(identifier: str, prediction: Any, actual: Any) -> tuple[bool | None, str]:
    """Whether the prediction was met (None: there was none), and what `compare` prints."""
    try:
        met, text = explain(contents.prediction(identifier), prediction, actual)
    except Exception as error:
        met, text = None, f"this could not be compared ({describe_error(error)})."
    return met, f"{identifier} {text}"


def explain(question: Prediction, prediction: Any, actual: Any) -> tuple[bool | None, str]:
    """As `_told`, without the number in front."""
    names = contents.names_for(question.id)

    def filled(text: str) -> str:
        return fill(text, names).replace("{prediction}", show(prediction)).replace("{actual}", show(actual))

    because = filled(question.because)
    if prediction is None or prediction is Ellipsis:
        return None, f"no prediction, fine. It is {show(actual)}: {because}"
    value = _normalised(prediction, isinstance(actual, str))
    if _met(value, actual, question.tolerance):
        return True, f"as you said: {show(actual)}. {because[:1].upper()}{because[1:]}"
    for rule in question.rules:
        if _applies(rule, value, actual, question.tolerance, names):
            return False, f"you said {show(prediction)}, it is {show(actual)}. {filled(rule.says)}"
    return False, f"you said {show(prediction)}, it is {show(actual)}: {because}"


def _normalised(prediction: Any, text: bool) -> Any:
    """Text in lower case and without blanks around it; as a number, if it is one and no text was asked for."""
    if not isinstance(prediction, str):
        return prediction
    number = None if text else attempt(lambda: float(prediction)).value
    return prediction.strip().lower() if number is None else number


def _met(prediction: Any, actual: Any, tolerance: float) -> bool:
    """Whether the two say the same, up to the tolerance; 49.0 counts as 49, and upper case as lower."""
    if isinstance(actual, str):
        actual = actual.strip().lower()
    if isinstance(prediction, float) and isinstance(actual, int) and not isinstance(actual, bool):
        actual = float(actual)
    return difference(prediction, actual, tolerance) is None


def _applies(rule: Rule, prediction: Any, actual: Any, tolerance: float, names: dict[str, Any]) -> bool:
    """Whether a rule's value was predicted, or its condition holds for a prediction of the kind that it asks about."""
    scope = dict(names, prediction=prediction, actual=actual)
    value = attempt(lambda: eval(rule.when, scope)).value
    if not re.search(r"\bprediction\b", rule.when):
        return _met(prediction, value, tolerance)
    return value is True and (_kind(prediction) == _kind(actual) or '== "' in rule.when)


def _kind(value: Any) -> str:
    """Number, sequence of numbers, or something else, by its type."""
    if isinstance(value, Real) and not isinstance(value, bool):
        return "number"
    if isinstance(value, Sequence) and not isinstance(value, str) and all(_kind(item) == "number" for item in value):
        return "sequence"
    return type(value).__name__
