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
from course.prose import compute, expressions, fill, numbers

KEY = "lesson"  # the entry of a cell's metadata that is ours
PARTS = {"exercise": ("task", "stub", "check", "solution"), "prediction": ("question", "prediction")}
LISTS = {"opening": "Do you remember? Answer before you unfold.", "recall": "Can you answer these without looking?"}


def part_source(part: str, identifier: str) -> str:
    """Source of one cell of an exercise or prediction, or of a list of recall questions (``of`` is the lesson)."""
    if part in LISTS:
        return _questions_source(part, int(identifier))
    names = contents.names_for(identifier)
    if part in PARTS["prediction"]:
        prediction = contents.prediction(identifier)
        question = f"**Prediction {identifier}.** {fill(prediction.question, names)}"
        return question if part == "question" else prediction.stub
    exercise = contents.exercise(identifier)
    if part == "task":
        hints = [_fold(f"Hint {place}", fill(hint, names)) for place, hint in enumerate(exercise.hints, 1)]
        return "\n\n".join([f"## {exercise.heading}", fill(exercise.task, names), *hints])
    if part == "solution":
        why = f"\n\n{fill(exercise.why, names)}" if exercise.why else ""
        return _fold(f"Solution {identifier}", f"```python\n{exercise.solution}\n```{why}")
    return exercise.stub if part == "stub" else f'check("{identifier}", {exercise.name})'


def _questions_source(part: str, number: int) -> str:
    """The recall questions of a lesson, or those of earlier lessons with which it opens; answers folded."""
    texts = contents.texts(number)
    parts = [f"**{LISTS[part]}**"]
    for recall in texts.recalls if part == "recall" else map(contents.recall, texts.opening):
        names, lesson = contents.names_for(recall.id), contents.COURSE[int(recall.id.split(".")[0])]
        origin = f" ([lesson {lesson.number}]({lesson.file}.ipynb))" if part == "opening" else ""
        parts += [fill(recall.question, names) + origin, _fold(f"Answer {recall.id}", fill(recall.answer, names))]
    return "\n\n".join(parts)


def _fold(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def part_cells(kind: str, identifier: str) -> list[NotebookNode]:
    """All cells of an exercise (task, stub, check, solution), a prediction (question, answer), or a list of recalls."""
    cells = []
    for part in PARTS.get(kind, (kind,)):
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
    lessons = {f"{lesson.file}.ipynb": lesson for lesson in contents.COURSE}
    if path.name not in lessons:
        return
    lesson = lessons[path.name]
    for cell in notebook.cells:
        own = cell.metadata.get(KEY, {})
        if "part" in own:
            cell.source = part_source(own["part"], own["of"])
        elif "numbers" in own:
            cell.source = recomputed(cell.source, own["numbers"], contents.content(lesson.number))
    notebook.cells[0].source = re.sub(r"\A# .*", lambda _: f"# {lesson.heading}", notebook.cells[0].source)


def recomputed(source: str, kept: list[str], content: ModuleType) -> str:
    """The prose with each number replaced by what its expression gives now; unchanged if they do not pair up."""
    wanted = [match[0] for expression in kept for match in numbers(compute(expression, vars(content)))]
    found = numbers(source)
    if len(found) != len(wanted):
        return source  # the prose test says what is missing
    for match, number in zip(reversed(found), reversed(wanted), strict=True):
        source = source[: match.start()] + number + source[match.end() :]
    return source


def with_solutions(notebook: NotebookNode) -> NotebookNode:
    """A copy in which every stub is replaced by its solution."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        own = cell.metadata.get(KEY, {})
        if own.get("part") == "stub":
            cell.source = contents.exercise(own["of"]).solution
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
