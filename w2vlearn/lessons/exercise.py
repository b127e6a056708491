"""What an exercise and a prediction are made of: pure data, written down once per lesson."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Case", "Exercise", "Prediction", "Rule", "Wrong"]

LEVELS = ("warm-up", "core", "stretch")


def flow(text: str) -> str:
    """A message as one line for each paragraph, however it is broken in the source."""
    return "\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip()))


@dataclass(frozen=True, init=False)
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

    arguments: tuple
    because: str
    label: str

    def __init__(self, *arguments: Any, because: str = "", label: str = ""):
        object.__setattr__(self, "arguments", arguments)
        object.__setattr__(self, "because", flow(because))
        object.__setattr__(self, "label", label)


@dataclass(frozen=True)
class Wrong:
    """A typical wrong answer and what to say to it.

    Attributes
    ----------
    name : str
        For us: ``"counts 50 per second"``.
    code : str
        The stub's cell filled in wrongly. An answer that behaves like it on every case gets `says`.
    says : str
        What leads on; no solution given away.
    when : callable, optional
        Recognises a whole family instead: gets the learner's answer, returns True. `code` is then an example of it.
    """

    name: str
    code: str
    says: str
    when: Callable[[Any], bool] | None = None

    def __post_init__(self):
        object.__setattr__(self, "says", flow(self.says))


@dataclass(frozen=True, eq=False)  # hashable, so that what its solution does is worked out once
class Exercise:
    """One exercise: task, stub, hints, solution, wrong answers; rendered into the notebook, run by the tests.

    Attributes
    ----------
    id : str
        ``"2.1"``: lesson, then number.
    title, level, minutes
        ``level`` is one of ``"warm-up"``, ``"core"``, ``"stretch"``.
    task : str
        What to do, in Markdown. Numbers as ``{{expression}}``, evaluated in the lesson's file.
    name : str
        What the stub defines and ``check`` is handed: a function if there are cases, else a value; several values as
        ``"(shape, real)"``.
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
        Source run before stub, solution and wrongs in tests and check; as much of the notebook as they need.
        Empty: the lesson's ``SETUP``.
    tolerance : float
        Relative (and absolute, times 0.1) tolerance for floating-point numbers.
    judge : callable, optional
        Beyond comparison: gets the answer, returns None if it is right, else what to say.
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
        for part in ("stub", "solution", "task"):
            object.__setattr__(self, part, getattr(self, part).strip())
        object.__setattr__(self, "says", flow(self.says))

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
    when : object or callable
        The predicted value, or a function of (prediction, actual) that recognises it.
    says : str
        Which rule makes the difference. ``{prediction}`` and ``{actual}`` are filled in.
    """

    when: Any
    says: str

    def __post_init__(self):
        object.__setattr__(self, "says", flow(self.says))


@dataclass(frozen=True)
class Prediction:
    """A question asked before the code runs, and what to say afterwards.

    Attributes
    ----------
    id : str
        ``"2.1"``: lesson, then number.
    question : str
        Markdown; numbers as ``{{expression}}``.
    because : str
        Why what happened happened; follows on every answer but those that a rule explains.
    rules : tuple of Rule
        Typical wrong predictions.
    stub : str
        Source of the cell that the learner fills in.
    tolerance : float
        Relative distance at which a number still counts as met.
    """

    id: str
    question: str
    because: str
    rules: tuple[Rule, ...] = field(default=())
    stub: str = "prediction = None  # yours; running on without one is fine"
    tolerance: float = 1e-6

    def __post_init__(self):
        object.__setattr__(self, "because", flow(self.because))
