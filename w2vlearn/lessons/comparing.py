"""``compare("2.1", prediction, actual)``: did it happen, and if not, which rule explains the gap."""

from __future__ import annotations

from typing import Any

from w2vlearn.lessons import course
from w2vlearn.lessons.alike import alike, show
from w2vlearn.lessons.attempt import attempt, describe_error
from w2vlearn.lessons.exercise import Prediction, Rule
from w2vlearn.lessons.prose import fill
from w2vlearn.lessons.wording import wrapped

__all__ = ["compare", "explain"]


def compare(identifier: str, prediction: Any, actual: Any) -> None:
    """Print whether the prediction met what happened, and which rule explains the gap. Never raises.

    Parameters
    ----------
    identifier : str
        ``"2.1"``.
    prediction : object
        What the learner expected; None: no prediction was made, which is fine.
    actual : object
        What happened.
    """
    try:
        text = explain(course.prediction(identifier), prediction, actual)
    except Exception as error:
        text = f"this could not be compared ({describe_error(error)})."
    print(wrapped(f"{identifier} {text}"))


def explain(question: Prediction, prediction: Any, actual: Any) -> str:
    """What `compare` says, without the number in front."""
    names = vars(course.content(int(question.id.split(".")[0])))

    def words(text: str) -> str:
        return fill(text, names).replace("{prediction}", show(prediction)).replace("{actual}", show(actual))

    because = words(question.because)
    if prediction is None or prediction is Ellipsis:
        return f"no prediction, fine. It is {show(actual)}: {because}"
    if _met(prediction, actual, question.tolerance):
        return f"as you said: {show(actual)}. {because[:1].upper()}{because[1:]}"
    for rule in question.rules:
        if _applies(rule, prediction, actual, question.tolerance):
            return f"you said {show(prediction)}, it is {show(actual)}. {words(rule.says)}"
    return f"you said {show(prediction)}, it is {show(actual)}: {because}"


def _met(prediction: Any, actual: Any, tolerance: float) -> bool:
    """Whether the two say the same; "49" counts as 49, and case and blanks of words do not count."""
    if isinstance(prediction, str) and not isinstance(actual, str):
        prediction = attempt(lambda: float(prediction)).value
        if prediction is None:
            return False
    if isinstance(prediction, str) and isinstance(actual, str):
        return prediction.strip().lower() == actual.strip().lower()
    if isinstance(prediction, float) and isinstance(actual, int) and not isinstance(actual, bool):
        actual = float(actual)
    return alike(prediction, actual, tolerance)


def _applies(rule: Rule, prediction: Any, actual: Any, tolerance: float) -> bool:
    if callable(rule.when):
        return attempt(lambda: bool(rule.when(prediction, actual))).value is True
    return _met(prediction, rule.when, tolerance)
