"""What predictions, exercises and recall questions are made of: plain data, read by `course.lesson_text`.

An ``id`` is lesson, then number: ``"2.1"``. Texts are Markdown; numbers in them are ``{{expressions}}``, which the
lesson's Python file computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Case", "Exercise", "LessonTexts", "Prediction", "Recall", "Rule", "Wrong"]

LEVELS = ("warm-up", "core", "stretch")


class Case:
    """Arguments that a learner's function is called with: ``Case(399, because="no full window fits")``."""

    def __init__(self, *arguments: Any, because: str = "", label: str = ""):
        self.arguments = arguments  # handed on by position; copied for every call
        self.because = because  # why the result is what it is: shown when the learner's differs
        self.label = label  # how to write the arguments in a message; made from them if empty


@dataclass(frozen=True)
class Wrong:
    """A typical wrong answer and what to say to it.

    An answer that behaves like one of ``codes`` on **every** case gets ``says``. In a value ``...`` is anything.
    """

    name: str  # for authors and tests: "counts 50 per second"
    codes: tuple[str, ...]  # sources of the cell filled in wrongly
    says: str  # what leads on; no solution given away, and nothing claimed that a ``...`` leaves open
    tolerance: float | None = None  # relative, of a value, if it is not the exercise's own: "about 22 017"


@dataclass(frozen=True, eq=False)  # hashable, so that what its solution does is worked out once
class Exercise:
    """One exercise: task, stub, hints, solution, wrong answers; rendered into the notebook, run by the tests."""

    id: str
    title: str
    level: str  # one of `LEVELS`
    minutes: int
    task: str
    name: str  # what the stub defines and ``check`` is handed; several values as "(shape, valid)"
    stub: str  # source of the cell, untouched
    hints: tuple[str, str]  # the second tells more
    solution: str  # source of the cell, solved
    says: str  # said after "correct": what has been understood, and where it leads
    wrongs: tuple[Wrong, ...]  # each with a message of its own
    cases: Sequence[Case] | Callable[[], Sequence[Case]] = ()  # a function is tried on them; none: a value
    why: str = ""  # below the solution's code
    tolerance: float = 1e-5  # relative (and absolute, times 0.1), for floating-point numbers
    judge: Callable[[Any], str | None] | None = None  # what is wrong with a function that is right on every case
    seconds: float = 10.0  # after that much time the learner's function is stopped

    def __post_init__(self):
        if self.level not in LEVELS:
            raise ValueError(f"exercise {self.id}: level is one of {LEVELS}, found {self.level!r}")
        if len(self.hints) != 2:
            raise ValueError(f"exercise {self.id}: two graded hints, found {len(self.hints)}")
        if not self.wrongs:
            raise ValueError(f"exercise {self.id}: at least one typical wrong answer with its own message")

    @property
    def heading(self) -> str:
        """``"Exercise 2.1 · core · 10 minutes: how many frames?"``."""
        minutes = "1 minute" if self.minutes == 1 else f"{self.minutes} minutes"
        return f"Exercise {self.id} · {self.level} · {minutes}: {self.title}"


@dataclass(frozen=True)
class Rule:
    """A wrong prediction and the rule that explains it."""

    when: str  # an expression: a value that many predict, or a condition on ``prediction`` (and ``actual``)
    says: str  # which rule makes the difference; ``{prediction}`` and ``{actual}`` are filled in


@dataclass(frozen=True)
class Prediction:
    """A question asked before the code runs, and what to say afterwards."""

    id: str
    question: str
    stub: str  # source of the cell that the learner fills in
    because: str  # why what happened happened; follows on every answer but those that a rule explains
    rules: tuple[Rule, ...] = ()  # typical wrong predictions; the first that applies is told
    tolerance: float = 1e-6  # relative distance at which a number still counts as met


@dataclass(frozen=True)
class Recall:
    """A question to answer from memory; its answer is folded under it, in its own lesson and where it comes back."""

    id: str
    question: str
    answer: str


class LessonTexts(NamedTuple):
    """What a lesson's Markdown file holds; ``opening`` has the ids of the earlier lessons' questions it opens with."""

    predictions: tuple[Prediction, ...]
    exercises: tuple[Exercise, ...]
    recalls: tuple[Recall, ...]
    opening: tuple[str, ...]
