"""What the lesson tests share: the lessons, and their texts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat

from course import contents
from tools.lesson_cells import KEY, template
from tools.lessons import LESSONS

WORDS_A_MINUTE, MINUTES_A_CELL, MINUTES_A_QUESTION = 150, 0.5, 1.0  # of a text with code, read to be understood
NUMBERS = range(len(contents.COURSE))
PREDICTIONS = [prediction for number in NUMBERS for prediction in contents.texts(number)[0]]
EXERCISES = [exercise for number in NUMBERS for exercise in contents.texts(number)[1]]


def path_of(number: int) -> Path:
    """The notebook of a lesson."""
    return LESSONS / f"{contents.COURSE[number].file}.ipynb"


def notebook_of(number: int) -> nbformat.NotebookNode:
    """The stored notebook of a lesson."""
    return nbformat.read(path_of(number), as_version=4)


def own_prose(number: int) -> Iterator[tuple[str, str]]:
    """(where, text) of the Markdown that the author wrote into the notebook, numbers as ``{{expressions}}``."""
    for position, cell in enumerate(notebook_of(number).cells):
        if cell.cell_type == "markdown" and "part" not in cell.metadata.get(KEY, {}):
            yield f"cell {position}", template(cell, contents.content(number))


def minutes_of(number: int) -> float:
    """What a lesson takes: its prose read, its cells run and looked at, its questions answered, its exercises done.

    The exercises count with their own minutes, hints and solutions included, those for further practice ("stretch") not
    at all; whatever is folded is read by few.
    """
    words, cells = 0, 0
    for cell in notebook_of(number).cells:
        part = cell.metadata.get(KEY, {}).get("part")
        if cell.cell_type == "markdown" and part not in ("task", "solution"):
            unfolded = re.sub(r"<details>.*?</details>|^```.*?^```", "", cell.source, flags=re.S | re.M)
            words += len(re.findall(r"\w+", unfolded))
        cells += cell.cell_type == "code" and part is None
    predictions, exercises, recalls, opening = contents.texts(number)
    questions = len(predictions) + len(recalls) + len(opening)
    practice = sum(exercise.minutes for exercise in exercises if exercise.level != "stretch")
    return words / WORDS_A_MINUTE + cells * MINUTES_A_CELL + questions * MINUTES_A_QUESTION + practice


def texts(number: int) -> Iterator[tuple[str, str]]:
    """(where, text) of everything in the lesson's files that a learner may read, ``{{expressions}}`` unfilled."""
    for item in itertools.chain(*contents.texts(number)[:3]):
        where = f"{type(item).__name__.lower()} {item.id}"
        for part in ("title", "task", "question", "answer", "because", "says", "why"):
            yield f"{where}, {part}", getattr(item, part, "")
        for part in ("hints", "rules", "wrongs"):
            for place, entry in enumerate(getattr(item, part, ()), 1):
                yield f"{where}, {part} {place}", getattr(entry, "says", entry)
        cases = getattr(item, "cases", ())
        for case in cases() if callable(cases) else cases:
            yield f"{where}, case {case.label or case.arguments}"[:80], case.because
