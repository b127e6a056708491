"""What predictions, exercises and recall questions are made of: plain data, read by `course.lesson_text`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Case", "Exercise", "LessonTexts", "Prediction", "Recall", "Rule", "Wrong"]

LEVELS = ("warm-up", "core", "stretch")


class Case:
    """Arguments that a learner's function is called with: ``Case(399, because="no full window fits")``.

    Attributes
    ----------
    arguments : tuple
        Handed on by position; copied for every call.
    because : str
        Why the result is what it is: shown when the learner's differs.
    label : str
        How to write the arguments in a message; made from them if empty.
    """

    def __init__(self, *arguments: Any, because: str = "", label: str = ""):
        self.arguments, self.because, self.label = arguments, because, label


@dataclass(frozen=True)
class Wrong:
    """A typical wrong answer and what to say to it.

    Attributes
    ----------
    name : str
        For authors and tests: ``"counts 50 per second"``.
    codes : tuple of str
        Sources of the cell filled in wrongly. An answer that behaves like one of them on **every** case gets `says`.
        In a value, ``...`` stands for anything.
    says : str
        What leads on; no solution given away, and nothing claimed that a ``...`` leaves open.
    tolerance : float or None
        Relative tolerance of a value, if it is not the exercise's own: "about 22 017".
    """

    name: str
    codes: tuple[str, ...]
    says: str
    tolerance: float | None = None


@dataclass(frozen=True, eq=False)  # hashable, so that what its solution does is worked out once
class Exercise:
    """One exercise: task, stub, hints, solution, wrong answers; rendered into the notebook, run by the tests.

    Attributes
    ----------
    id, title, level, minutes
        ``"2.1"``: lesson, then number; ``level`` is one of ``"warm-up"``, ``"core"``, ``"stretch"``.
    task : str
        What to do, in Markdown. Numbers as ``{{expression}}``, evaluated in the lesson's file.
    name : str
        What the stub defines and ``check`` is handed: a function if there are cases, else a value; several values as
        ``"(shape, valid)"``.
    stub, solution : str
        Source of the cell, untouched and solved.
    hints : tuple of str
        Two, the second tells more.
    says : str
        Said after "correct": what has been understood, and where it leads.
    wrongs : tuple of Wrong
        Each with a message of its own.
    cases : sequence of Case, or callable that makes it
        What the function is tried on; none: the answer is a value.
    why : str
        Markdown below the solution's code.
    setup : str
        Source run before stub, solution and wrongs: as much of the notebook as they need.
    tolerance : float
        Relative (and absolute, times 0.1) tolerance for floating-point numbers.
    judge : callable, optional
        Beyond comparison: gets an answer that is right on every case, returns None, or what is wrong with it.
    seconds : float
        After that much time the learner's function is stopped.
    """

    id: str
    title: str
    level: str
    minutes: int
    task: str
    name: str
    stub: str
    hints: tuple[str, str]
    solution: str
    says: str
    wrongs: tuple[Wrong, ...]
    cases: Sequence[Case] | Callable[[], Sequence[Case]] = ()
    why: str = ""
    setup: str = ""
    tolerance: float = 1e-5
    judge: Callable[[Any], str | None] | None = None
    seconds: float = 10.0

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
    """A wrong prediction and the rule that explains it.

    Attributes
    ----------
    when : str
        An expression: a value that many predict, or a condition on ``prediction`` (and ``actual``).
    says : str
        Which rule makes the difference. ``{prediction}`` and ``{actual}`` are filled in.
    """

    when: str
    says: str


@dataclass(frozen=True)
class Prediction:
    """A question asked before the code runs, and what to say afterwards.

    Attributes
    ----------
    id : str
        ``"2.1"``: lesson, then number.
    question : str
        Markdown; numbers as ``{{expression}}``.
    stub : str
        Source of the cell that the learner fills in.
    because : str
        Why what happened happened; follows on every answer but those that a rule explains.
    rules : tuple of Rule
        Typical wrong predictions; the first that applies is told.
    tolerance : float
        Relative distance at which a number still counts as met.
    """

    id: str
    question: str
    stub: str
    because: str
    rules: tuple[Rule, ...] = ()
    tolerance: float = 1e-6


@dataclass(frozen=True)
class Recall:
    """A question to answer from memory; its answer is folded under it, in its own lesson and where it comes back.

    Attributes
    ----------
    id : str
        ``"2.1"``: lesson, then number.
    question, answer : str
        Markdown; numbers as ``{{expression}}``.
    """

    id: str
    question: str
    answer: str


class LessonTexts(NamedTuple):
    """What a lesson's Markdown file holds; ``opening`` has the ids of the earlier lessons' questions it opens with."""

    predictions: tuple[Prediction, ...]
    exercises: tuple[Exercise, ...]
    recalls: tuple[Recall, ...]
    opening: tuple[str, ...]
