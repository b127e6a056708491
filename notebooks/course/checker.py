"""``check("2.1", answer)``: says what an answer shows, and never raises."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import GeneratorType
from typing import Any

from course import contents, logbook
from course.common import SETUP
from course.differences import describe, difference, show
from course.exercise import Case, Exercise, Wrong
from course.prose import fill, wrapped
from course.sandbox import Asked, Outcome, TooLong, attempt, describe_error, run_source

__all__ = ["Verdict", "answer_of", "check", "judge_answer"]

UNTOUCHED = "the cell above is still as it was given. Two hints are folded above it."
NO_TRY = ("stub", "kit")  # reasons that count as no try


@dataclass(frozen=True)
class Verdict:
    """What is said about an answer."""

    id: str  # of the exercise
    reason: str  # "solution", "stub", "wrong: NAME", "error", "case", "value", "kind", "judge", "kit"
    says: str  # the message, without the exercise's number

    @property
    def correct(self) -> bool:
        return self.reason == "solution"

    def __str__(self) -> str:
        return wrapped(f"{self.id} {'correct' if self.correct else 'not yet'}: {self.says}")


def check(identifier: str, answer: Any) -> None:
    """Print what the answer to exercise ``identifier`` shows, and the solution once it is right; never raises.

    Parameters
    ----------
    identifier : str
        ``"2.1"``.
    answer : object
        The function, or the value, that the cell above defines.
    """
    try:
        exercise = contents.exercise(identifier)
        verdict = judge_answer(exercise, answer)
    except Exception as error:  # our own fault, or a wrong number: say so, keep the notebook running
        verdict = Verdict(str(identifier), "kit", f"this could not be checked ({describe_error(error)}).")
    print(verdict)
    if verdict.correct:
        parts = ["The course's solution, to compare yours with:", textwrap.indent(exercise.solution, "    ")]
        parts += [wrapped(_filled(exercise, exercise.why))] if exercise.why else []
        print("\n\n".join(parts))
    if verdict.reason not in NO_TRY:
        with contextlib.suppress(Exception):  # a logbook that cannot be kept is no reason to stop
            logbook.note_try(verdict.id, verdict.correct)


def judge_answer(exercise: Exercise, answer: Any) -> Verdict:
    """The verdict on an answer to an exercise."""
    reference = _reference(exercise)
    judge = _judge_function if reference.cases else _judge_value
    return Verdict(exercise.id, *judge(exercise, answer, reference))


@dataclass(frozen=True)
class _Reference:
    """What solution and typical wrong answers do on the cases, and the stub itself."""

    cases: Sequence[Case]
    right: list[Outcome]
    stub: Any
    wrongs: list[tuple[Wrong, list[Outcome]]]


@cache
def _reference(exercise: Exercise) -> _Reference:
    cases = exercise.cases() if callable(exercise.cases) else exercise.cases

    def behaviour(source: str) -> list[Outcome]:
        return _outcomes(exercise, answer_of(exercise, source), cases)

    return _Reference(
        cases,
        behaviour(exercise.solution),
        answer_of(exercise, exercise.stub),
        [(wrong, behaviour(code)) for wrong in exercise.wrongs for code in wrong.codes],
    )


def answer_of(exercise: Exercise, source: str) -> Any:
    """What the notebook would hand to ``check`` if the exercise's cell held ``source``."""
    return eval(exercise.name, run_source(SETUP + source))


def _filled(exercise: Exercise, text: str) -> str:
    return fill(text, contents.names_for(exercise.id))


def _outcomes(exercise: Exercise, answer: Any, cases: Sequence[Case]) -> list[Outcome]:
    """What the function does on each case; a value is the one outcome."""
    outcomes = [] if cases else [Outcome(answer)]
    for case in cases:
        if outcomes and isinstance(outcomes[-1].error, TooLong | KeyboardInterrupt):
            outcomes.append(outcomes[-1])  # no second wait for the same endless loop
        else:
            outcomes.append(attempt(answer, case.arguments, exercise.seconds))
    return outcomes


def _is_right(outcome: Outcome, expected: Outcome, tolerance: float) -> bool:
    if expected.error is not None:  # the solution refuses: any error of that kind will do
        return isinstance(outcome.error, type(expected.error))
    return outcome.error is None and difference(outcome.value, expected.value, tolerance) is None


def _diagnosis(exercise: Exercise, reference: _Reference, outcomes: list[Outcome]) -> tuple[str, str] | None:
    """The typical wrong answer that this one behaves like, on every case."""
    for wrong, behaviour in reference.wrongs:
        tolerance = wrong.tolerance or exercise.tolerance
        if all(_same(one, other, tolerance) for one, other in zip(outcomes, behaviour, strict=True)):
            return f"wrong: {wrong.name}", _filled(exercise, wrong.says)
    return None


def _same(outcome: Outcome, other: Outcome, tolerance: float) -> bool:
    """The same value, or the same error with the same text."""
    if outcome.error is not None or other.error is not None:
        return describe_error(outcome.error) == describe_error(other.error)
    return difference(outcome.value, other.value, tolerance) is None


# ---------------------------------------------------------------- answers that are values


def _judge_value(exercise: Exercise, answer: Any, reference: _Reference) -> tuple[str, str]:
    """Reason and message."""
    names = exercise.name.strip("()").split(", ")
    placeholders = _placeholders(answer, names)
    if answer is None or (placeholders and placeholders == _placeholders(reference.stub, names)):
        return "stub", UNTOUCHED
    if placeholders:
        return "value", f"{' and '.join(placeholders)} still has `...` in it, where your answer belongs."
    if callable(answer) or isinstance(answer, GeneratorType):
        return "kind", f"this is {describe(answer)}; hand over the value that it gives."
    answer, expected = _whole_numbers(answer), reference.right[0].value
    if difference(answer, expected, exercise.tolerance) is None:
        return "solution", _filled(exercise, exercise.says)
    told = f"{_first_entry(answer, expected, names, exercise.tolerance)} Hint 1 leads on."
    return _diagnosis(exercise, reference, [Outcome(answer)]) or ("value", told)


def _placeholders(answer: Any, names: list[str]) -> list[str]:
    """Names of the values that still are, or hold, ``...``."""

    def holds(value: Any) -> bool:
        if isinstance(value, dict):
            return any(map(holds, value.values()))
        return value is ... or (isinstance(value, list | tuple) and any(map(holds, value)))

    values = answer if len(names) > 1 and isinstance(answer, tuple) else [answer]
    return [f"`{name}`" for name, value in zip(names, values, strict=False) if holds(value)]


def _whole_numbers(value: Any) -> Any:
    """22050.0 as 22050, also in tuples and lists: a value is right whichever way it is written."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) in (list, tuple):
        return type(value)(map(_whole_numbers, value))
    return value


def _first_entry(answer: Any, expected: Any, names: list[str], tolerance: float) -> str:
    """Which of several values is not right yet; the right one is not given away."""
    if len(names) > 1:
        if not isinstance(answer, list | tuple) or len(answer) != len(names):
            return f"you have {describe(answer)}; wanted are {len(names)} values, {', '.join(names)}."
        for name, one, other in zip(names, answer, expected, strict=True):
            if difference(one, other, tolerance) is not None:
                return f"`{name}`, {show(one)}, is not right yet."
    return f"you have {describe(answer)}; that is not it yet."


# ---------------------------------------------------------------- answers that are functions


def _judge_function(exercise: Exercise, answer: Any, reference: _Reference) -> tuple[str, str]:
    """Reason and message."""
    if answer is None or answer is ...:
        return "stub", UNTOUCHED
    if isinstance(answer, type) or not callable(answer):
        hand_over = f'hand over the function itself, without calling it: check("{exercise.id}", {exercise.name}).'
        return "kind", f"this is {describe(answer)}; {hand_over}"
    outcomes = _outcomes(exercise, answer, reference.cases)
    if all(_is_placeholder(outcome) for outcome in outcomes):
        return "stub", UNTOUCHED
    right = [_is_right(*pair, exercise.tolerance) for pair in zip(outcomes, reference.right, strict=True)]
    judged = _judged(exercise, answer) if all(right) else None
    if all(right) and judged is None:
        return "solution", _filled(exercise, exercise.says) + _side_effect(reference.cases, outcomes)
    known = _diagnosis(exercise, reference, outcomes)
    return known or (judged and ("judge", judged)) or _first_case(exercise, outcomes, reference, right)


def _judged(exercise: Exercise, answer: Any) -> str | None:
    """What the exercise's judge finds wrong, if it has one."""
    if exercise.judge is None:
        return None
    outcome = attempt(exercise.judge, (answer,), exercise.seconds)
    if outcome.error is not None:
        return f"your answer broke off with {describe_error(outcome.error)}."
    return outcome.value


def _is_placeholder(outcome: Outcome) -> bool:
    """Returns ``...`` as the stub does, or raises NotImplementedError without a word, as people mark what is left."""
    if outcome.error is not None:
        return type(outcome.error) is NotImplementedError and not outcome.error.args
    values = outcome.value if isinstance(outcome.value, tuple) and outcome.value else (outcome.value,)
    return all(value is ... for value in values)


def _first_case(
    exercise: Exercise, outcomes: list[Outcome], reference: _Reference, right: list[bool]
) -> tuple[str, str]:
    """Reason and message for an answer that nobody foresaw: the first case that differs."""
    place = right.index(False)
    case, outcome, expected = reference.cases[place], outcomes[place], reference.right[place]
    call = f"{exercise.name}({_filled(exercise, case.label) or ', '.join(map(show, case.arguments))})"
    because = f" {_filled(exercise, case.because)}" if case.because else ""
    score = f" ({sum(right)} of {len(right)} cases are right.)"
    if outcome.error is not None:
        told = f"{call} breaks off: {describe_error(outcome.error)}."
        if isinstance(outcome.error, Asked | TooLong):
            return "error", told + score
        left = " There is still a `...` in it." if "ellipsis" in told else ""
        return "error", told + left + because + score
    if expected.error is not None:
        told = f"{call} should refuse with {describe_error(expected.error)}; you return {show(outcome.value)}."
        return "case", told + because + score
    if outcome.value is None and outcome.printed:
        return "case", f"{call} prints its answer and returns nothing: write return instead of print.{score}"
    if all(one.error is None and one.value is None for one in outcomes):
        return "case", f"{call} returns nothing (None): does its last line begin with return?{because}{score}"
    if isinstance(outcome.value, GeneratorType):
        return "case", f"{call} returns a generator: write return instead of yield, and collect the values.{score}"
    told = difference(outcome.value, expected.value, exercise.tolerance)
    return "case", f"for {call} you return {told}.{because}{score}"


def _side_effect(cases: Sequence[Case], outcomes: list[Outcome]) -> str:
    """Says so if the function changed what it was given."""
    for case, outcome in zip(cases, outcomes, strict=True):
        for given, left in zip(case.arguments, outcome.arguments, strict=True):
            if not callable(given) and difference(left, given, 0.0) is not None:
                return " (One thing: it changes its argument in place, and the caller's data with it.)"
    return ""
