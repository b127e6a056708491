"""Lesson 11 is searched by the text of messages: each one stands in its prose, and its cells really raise it."""

from pathlib import Path

import nbformat
import pytest
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.lesson_11 import MESSAGES

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOKS / f"{COURSE[11].file}.ipynb", as_version=4)


@pytest.mark.parametrize("name", MESSAGES)
def test_message_is_written_and_raised(notebook, name):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    printed = "\n".join(
        output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    )
    assert MESSAGES[name] in prose
    assert MESSAGES[name] in printed
