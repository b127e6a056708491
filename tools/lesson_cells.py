"""The cells of a lesson that are made from its Markdown: what it asks, and the numbers in prose.

A cell says in its metadata what it is made from: ``{"lesson": {"part": "stub", "of": "2.1"}}`` or, for prose,
``{"lesson": {"numbers": ["T(SECOND)", ...]}}``, one expression for each number in order. `refresh` makes them again;
it is the first thing that ``make lessons`` does. Everything else in a notebook is its author's and stays as it is.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from types import ModuleType

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from course import contents
from course.exercise import Exercise, Prediction
from course.prose import compute, expressions, fill, numbers

KEY = "lesson"  # the entry of a cell's metadata that is ours
EXERCISE_PARTS = ("task", "stub", "check", "solution")
PREDICTION_PARTS = ("question", "prediction")
LISTS = {"opening": "Do you remember? Answer before you unfold.", "recall": "Can you answer these without looking?"}


def lesson_number(path: Path) -> int | None:
    """2 for ``02_feature_encoder.ipynb``; None for a notebook that is no lesson."""
    found = re.match(r"(\d\d)_", path.name)
    return int(found[1]) if found else None


def part_source(part: str, identifier: str) -> str:
    """Source of one cell of an exercise or prediction, or of a list of recall questions (``of`` is the lesson)."""
    if part in LISTS:
        return _questions_source(part, int(identifier))
    if part in PREDICTION_PARTS:
        return _prediction_source(part, contents.prediction(identifier))
    return _exercise_source(part, contents.exercise(identifier))


def _prediction_source(part: str, prediction: Prediction) -> str:
    names = contents.names_for(prediction.id)
    if part == "question":
        return f"**Prediction {prediction.id}.** {fill(prediction.question.strip(), names)}"
    return prediction.stub.strip()


def _questions_source(part: str, number: int) -> str:
    """The recall questions of a lesson, or those of earlier lessons with which it opens; answers folded."""
    texts = contents.texts(number)
    parts = [f"**{LISTS[part]}**"]
    for recall in texts.recalls if part == "recall" else map(contents.recall, texts.opening):
        names, lesson = contents.names_for(recall.id), contents.COURSE[int(recall.id.split(".")[0])]
        origin = f" ([lesson {lesson.number}]({lesson.file}.ipynb))" if part == "opening" else ""
        parts += [fill(recall.question, names) + origin, _fold(f"Answer {recall.id}", fill(recall.answer, names))]
    return "\n\n".join(parts)


def _exercise_source(part: str, exercise: Exercise) -> str:
    names = contents.names_for(exercise.id)
    if part == "task":
        hints = [_fold(f"Hint {place}", fill(hint.strip(), names)) for place, hint in enumerate(exercise.hints, 1)]
        return "\n\n".join([f"## {exercise.heading}", fill(exercise.task, names), *hints])
    if part == "stub":
        return exercise.stub
    if part == "check":
        return f'check("{exercise.id}", {exercise.name})'
    why = fill(exercise.why.strip(), names)
    return _fold(f"Solution {exercise.id}", f"```python\n{exercise.solution}\n```" + (f"\n\n{why}" if why else ""))


def _fold(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def part_cells(kind: str, identifier: str) -> list[NotebookNode]:
    """All cells of an exercise (task, stub, check, solution), a prediction (question, answer), or a list of recalls."""
    cells = []
    for part in {"exercise": EXERCISE_PARTS, "prediction": PREDICTION_PARTS}.get(kind, (kind,)):
        make = new_markdown_cell if part in ("task", "solution", "question", *LISTS) else new_code_cell
        cells.append(make(part_source(part, identifier), metadata={KEY: {"part": part, "of": identifier}}))
    return cells


def prose_cell(template: str, content: ModuleType) -> NotebookNode:
    """A Markdown cell from text with ``{{expressions}}``, which its metadata keep."""
    found = expressions(re.sub(r"^# .*", "", template))  # the title comes from the course's list and needs none
    cell = new_markdown_cell(fill(template, vars(content)).strip())
    if found:
        cell.metadata[KEY] = {"numbers": found}
    return cell


def refresh(notebook: NotebookNode, path: Path) -> None:
    """Make the cells that come from the lesson's file again, and compute the numbers in prose again."""
    number = lesson_number(path)
    for cell in notebook.cells:
        own = cell.metadata.get(KEY, {})
        if "part" in own:
            cell.source = part_source(own["part"], own["of"])
        elif "numbers" in own and number is not None:
            cell.source = recomputed(cell.source, own["numbers"], contents.content(number))
    if number is not None and notebook.cells and notebook.cells[0].source.startswith("# "):
        title = f"# {contents.COURSE[number].heading}"
        notebook.cells[0].source = re.sub(r"\A# .*", lambda _: title, notebook.cells[0].source)


def recomputed(source: str, kept: list[str], content: ModuleType) -> str:
    """The prose with each number replaced by what its expression gives now; unchanged if they do not pair up."""
    wanted = [match[0] for expression in kept for match in numbers(compute(expression, vars(content)))]
    found = numbers(source)
    if len(found) != len(wanted):
        return source  # the prose test says what is missing
    for match, number in zip(reversed(found), reversed(wanted), strict=True):
        source = source[: match.start()] + number + source[match.end() :]
    return source


def with_solutions(notebook: NotebookNode, answers: dict[str, str] | None = None) -> NotebookNode:
    """A copy in which every stub is replaced by its solution, or by the answer given for its exercise."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        own = cell.metadata.get(KEY, {})
        if own.get("part") == "stub":
            cell.source = (answers or {}).get(own["of"], contents.exercise(own["of"]).solution)
    return notebook


def template(cell: NotebookNode, content: ModuleType) -> str:
    """The prose of a cell with its numbers turned back into ``{{expressions}}``."""
    source = re.sub(r"\A# .*", "# {{LESSON.heading}}", cell.source)
    places, parts, end = iter(numbers(source)), [], 0
    for expression in cell.metadata.get(KEY, {}).get("numbers", []):
        value = compute(expression, vars(content))
        inner = numbers(value)
        first = [next(places, None) for _ in inner][:1]  # where the value's first number stands in the text
        start = first[0].start() - inner[0].start() if first and first[0] else source.find(value, end)
        if start < end or source[start : start + len(value)] != value:
            raise ValueError(f"{value!r} ({expression}) is not in the text any more: {source[:80]!r}")
        parts += [source[end:start], "{{" + expression + "}}"]
        end = start + len(value)
    return "".join(parts) + source[end:]
