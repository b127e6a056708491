"""What the lesson tests share: the lessons that exist, and their texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat

from tools.lesson_cells import KEY
from tools.lessons import LESSONS
from w2vlearn.lessons import course

HERE = Path(course.__file__).parent
NUMBERS = [lesson.number for lesson in course.COURSE if (HERE / f"lesson_{lesson.number:02d}.py").is_file()]
CONTENTS = {number: course.content(number) for number in NUMBERS}
EXERCISES = [exercise for content in CONTENTS.values() for exercise in content.EXERCISES]
PREDICTIONS = [prediction for content in CONTENTS.values() for prediction in content.PREDICTIONS]


def path_of(number: int) -> Path:
    """The notebook of a lesson."""
    return LESSONS / f"{course.COURSE[number].file}.ipynb"


def notebook_of(number: int) -> nbformat.NotebookNode:
    """The stored notebook of a lesson."""
    return nbformat.read(path_of(number), as_version=4)


def own_prose(notebook: nbformat.NotebookNode) -> Iterator[tuple[int, nbformat.NotebookNode]]:
    """(position, cell) of the Markdown that the author wrote into the notebook."""
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and "part" not in cell.metadata.get(KEY, {}):
            yield position, cell


def texts(number: int) -> Iterator[tuple[str, str]]:
    """(where, text) of everything in the lesson's file that a learner may read, ``{{expressions}}`` unfilled."""
    content = CONTENTS[number]
    for prediction in content.PREDICTIONS:
        where = f"prediction {prediction.id}"
        yield f"{where}, question", prediction.question
        yield f"{where}, because", prediction.because
        for place, rule in enumerate(prediction.rules):
            yield f"{where}, rule {place}", rule.says
    for exercise in content.EXERCISES:
        where = f"exercise {exercise.id}"
        yield f"{where}, title", exercise.title
        yield f"{where}, task", exercise.task
        yield f"{where}, says", exercise.says
        yield f"{where}, why", exercise.why
        for place, hint in enumerate(exercise.hints, 1):
            yield f"{where}, hint {place}", hint
        for wrong in exercise.wrongs:
            yield f"{where}, {wrong.name}", wrong.says
        for case in exercise.cases() if callable(exercise.cases) else exercise.cases:
            yield f"{where}, case {case.label or case.arguments}"[:80], case.because
