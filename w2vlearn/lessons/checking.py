"""``check("2.1", answer)``: says what an answer shows, and never raises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from w2vlearn.lessons import course
from w2vlearn.lessons.alike import alike, difference, show
from w2vlearn.lessons.attempt import Outcome, TooLong, attempt, describe_error, run_source
from w2vlearn.lessons.exercise import Case, Exercise, Wrong
from w2vlearn.lessons.prose import fill
from w2vlearn.lessons.wording import wrapped

__all__ = ["Verdict", "answer_of", "check", "judge_answer", "verdict"]


UNTOUCHED = "the cell above is still as it was given. Two hints are folded above it."


@dataclass(frozen=True)
class Verdict:
    """What is said about an answer.

    Attributes
    ----------
    id : str
        The exercise.
    correct : bool
    reason : str
        ``"solution"``, ``"stub"``, ``"wrong: NAME"``, ``"error"``, ``"case"``, ``"value"``, ``"kind"``, ``"judge"``,
        ``"kit"``.
    says : str
        The message, without the exercise's number.
    """

    id: str
    correct: bool
    reason: str
    says: str

    def __str__(self) -> str:
        return wrapped(f"{self.id} {'correct' if self.correct else 'not yet'}: {self.says}")


def check(identifier: str, answer: Any) -> None:
    """Print what the answer to exercise ``identifier`` shows; nothing that the answer does can raise here.

    Parameters
    ----------
    identifier : str
        ``"2.1"``.
    answer : object
        The function, or the value, that the cell above defines.
    """
    print(verdict(identifier, answer))


def verdict(identifier: str, answer: Any) -> Verdict:
    """As `check`, returned."""
    try:
        return judge_answer(course.exercise(identifier), answer)
    except Exception as error:  # our own fault, or a wrong number: say so, keep the notebook running
        return Verdict(str(identifier), False, "kit", f"this could not be checked ({describe_error(error)}).")


def judge_answer(exercise: Exercise, answer: Any) -> Verdict:
    """The verdict on an answer to an exercise."""

    def say(reason: str, text: str, correct: bool = False) -> Verdict:
        return Verdict(exercise.id, correct, reason, text)

    reference = _reference(exercise)
    if answer is None or answer is Ellipsis:
        return say("stub", UNTOUCHED)
    if reference.cases and not callable(answer):
        return say(
            "kind",
            f"this is {show(answer)}; hand over the function itself, without calling it: "
            f'check("{exercise.id}", {exercise.name}).',
        )
    if not reference.cases and exercise.judge is None and callable(answer):
        return say("kind", f"this is {show(answer)}; hand over the value that it gives.")

    outcomes = _outcomes(exercise, answer, reference.cases)
    if _all_right(outcomes, reference.right, exercise) and (
        exercise.judge is None or _judged(exercise, answer) is None
    ):
        return say("solution", fill(exercise.says, _names(exercise)), correct=True)
    if all(_is_untouched(outcome) for outcome in outcomes) or _same(outcomes, reference.stub, exercise):
        return say("stub", UNTOUCHED)
    for wrong, behaviour in reference.wrongs:
        if _recognised(wrong, behaviour, answer, outcomes, exercise):
            return say(f"wrong: {wrong.name}", fill(wrong.says, _names(exercise)))
    return say(*_first_difference(exercise, outcomes, reference, answer))


@dataclass(frozen=True)
class _Reference:
    """What solution, stub and typical wrong answers do on the cases."""

    cases: Sequence[Case]
    right: list[Outcome]
    stub: list[Outcome]
    wrongs: list[tuple[Wrong, list[Outcome]]]


@cache
def _reference(exercise: Exercise) -> _Reference:
    cases = exercise.cases() if callable(exercise.cases) else exercise.cases

    def behaviour(source: str) -> list[Outcome]:
        return _outcomes(exercise, answer_of(exercise, source), cases)

    return _Reference(
        cases,
        behaviour(exercise.solution),
        behaviour(exercise.stub),
        [(wrong, behaviour(wrong.code)) for wrong in exercise.wrongs],
    )


def answer_of(exercise: Exercise, source: str) -> Any:
    """What the notebook would hand to ``check`` if the exercise's cell held ``source``."""
    return eval(exercise.name, run_source(source, _setup(exercise)))


def _setup(exercise: Exercise) -> str:
    if exercise.setup:
        return exercise.setup
    return getattr(course.content(int(exercise.id.split(".")[0])), "SETUP", "")


def _names(exercise: Exercise) -> dict[str, Any]:
    """What the lesson's texts may compute with."""
    return vars(course.content(int(exercise.id.split(".")[0])))


def _outcomes(exercise: Exercise, answer: Any, cases: Sequence[Case]) -> list[Outcome]:
    if not cases:
        return [Outcome(answer)]
    outcomes = []
    for case in cases:
        outcomes.append(attempt(answer, case.arguments, exercise.seconds))
        if isinstance(outcomes[-1].error, (TooLong, KeyboardInterrupt)):  # no second wait for the same endless loop
            outcomes += [outcomes[-1]] * (len(cases) - len(outcomes))
            break
    return outcomes


def _is_untouched(outcome: Outcome) -> bool:
    """A stub: returns nothing (and printed nothing), ``...``, raises NotImplementedError, or computes with ``...``."""
    if outcome.error is not None:
        return isinstance(outcome.error, NotImplementedError) or "ellipsis" in describe_error(outcome.error)
    return outcome.value is Ellipsis or (outcome.value is None and not outcome.printed)


def _one_right(outcome: Outcome, wanted: Outcome, exercise: Exercise) -> bool:
    if wanted.error is not None:  # the solution refuses: any error of that kind will do
        return isinstance(outcome.error, type(wanted.error))
    return outcome.error is None and alike(outcome.value, wanted.value, exercise.tolerance)


def _all_right(outcomes: list[Outcome], wanted: list[Outcome], exercise: Exercise) -> bool:
    if exercise.judge is not None and not exercise.cases:
        return True  # the judge alone decides about a value
    return all(_one_right(one, other, exercise) for one, other in zip(outcomes, wanted, strict=True))


def _same(one: list[Outcome], other: list[Outcome], exercise: Exercise) -> bool:
    """The same behaviour on every case, errors included."""
    for left, right in zip(one, other, strict=True):
        if (left.error is None) != (right.error is None):
            return False
        if left.error is not None:
            if type(left.error) is not type(right.error):
                return False
            continue
        printed_instead = left.value is None and bool(left.printed) != bool(right.printed)
        if printed_instead or not alike(left.value, right.value, exercise.tolerance):
            return False
    return True


def _recognised(
    wrong: Wrong, behaviour: list[Outcome], answer: Any, outcomes: list[Outcome], exercise: Exercise
) -> bool:
    if wrong.when is None:
        return _same(outcomes, behaviour, exercise)
    return attempt(lambda: bool(wrong.when(answer)), (), exercise.seconds).value is True


def _judged(exercise: Exercise, answer: Any) -> str | None:
    outcome = attempt(exercise.judge, (answer,), exercise.seconds)
    if outcome.error is not None:
        return f"your answer broke off with {describe_error(outcome.error)}."
    return outcome.value


def _first_difference(
    exercise: Exercise, outcomes: list[Outcome], reference: _Reference, answer: Any
) -> tuple[str, str]:
    """Reason and message for an answer that nobody foresaw: the first case that differs."""
    if not reference.cases:
        judged = _judged(exercise, answer) if exercise.judge is not None else None
        if judged:
            return "judge", judged
        return "value", f"you have {show(answer)}{_place(answer, reference.right[0].value, exercise)}. Hint 1 leads on."
    right = [_one_right(one, other, exercise) for one, other in zip(outcomes, reference.right, strict=True)]
    if all(right):
        return "judge", _judged(exercise, answer) or "not quite."
    place = right.index(False)
    case, outcome, wanted = reference.cases[place], outcomes[place], reference.right[place]
    call = f"{exercise.name}({case.label or ', '.join(show(argument) for argument in case.arguments)})"
    because = f" {fill(case.because, _names(exercise))}" if case.because else ""
    score = f" ({sum(right)} of {len(right)} cases are right.)"
    if outcome.error is not None:
        return "error", f"{call} breaks off: {describe_error(outcome.error)}.{because}{score}"
    if wanted.error is not None:
        return (
            "case",
            f"{call} should refuse with {describe_error(wanted.error)}; "
            f"you return {show(outcome.value)}.{because}{score}",
        )
    if outcome.value is None and outcome.printed:
        return "case", f"{call} prints its answer and returns nothing: write return instead of print.{score}"
    return (
        "case",
        f"for {call} you return {difference(outcome.value, wanted.value, exercise.tolerance)}.{because}{score}",
    )


def _place(found: Any, wanted: Any, exercise: Exercise) -> str:
    """Which entry of several values is not right yet; the right one is not given away."""
    if not isinstance(wanted, (list, tuple)) or not isinstance(found, (list, tuple)):
        return ""
    if len(found) != len(wanted):
        return f": {len(found)} entries, wanted {len(wanted)}"
    for place, (one, other) in enumerate(zip(found, wanted, strict=True)):
        if not alike(one, other, exercise.tolerance):
            return f"; entry {place}, {show(one)}, is not right yet"
    return ""
