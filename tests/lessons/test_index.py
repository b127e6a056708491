"""README, index and glossary lead to sections that exist; lesson 11 holds the messages that people search for."""

import functools
import re
from pathlib import Path

import nbformat
import pytest

from course.contents import COURSE
from course.lesson_11 import MESSAGES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INDEX = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")


@functools.cache
def headings(file):
    notebook = nbformat.read(ROOT / "notebooks" / file, as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return {match[1].strip() for match in re.finditer(r"^#+ (.+)$", prose, re.MULTILINE)}


def test_readme_lists_every_lesson_with_its_minutes():
    for lesson in COURSE:
        assert f"| [{lesson.number} · {lesson.title}](notebooks/{lesson.file}.ipynb) | {lesson.minutes} |" in README


ROWS = [row for row in INDEX.split("## Messages")[0].splitlines() if re.search(r"\]\(\d\d_", row)]


def test_questions_lead_to_sections_that_exist_and_to_each_lesson_but_the_gallery():
    for row in ROWS:
        file = re.search(r"\]\((\d\d_\w+\.ipynb)\)", row)[1]
        sections = re.findall(r"\*([^*]+)\*", row.split("|")[3])
        assert sections and set(sections) <= headings(file), row
    linked = {int(number) for row in ROWS for number in re.findall(r"\]\((\d\d)_", row)}
    assert linked == set(range(len(COURSE))) - {11}


def test_messages_lead_to_sections_that_exist():
    rows = [row for row in INDEX.split("## Messages")[1].split("## For those")[0].splitlines() if row.count("|") == 3]
    sections = {match for row in rows for match in re.findall(r"\*([^*]+)\*", row.split("|")[2])}
    assert len(sections) == 8 and sections <= headings("11_error_gallery.ipynb")
    quoted = [part.strip("`") for row in rows for part in re.findall(r"`[^`]+`", row.split("|")[1])]
    known = " ".join(MESSAGES.values()).replace("`", "")
    pieces = [piece.strip() for quote in quoted for piece in quote.split("…") if len(piece.strip()) > 12]
    missing = [piece for piece in pieces if piece not in known]
    assert set(missing) <= {"inhomogeneous shape", "sdpa attention does not support output_attentions=True"} | {
        piece for piece in missing if "not initialized" in piece
    }


def test_glossary_links_each_term_to_a_lesson():
    glossary = (ROOT / "notebooks" / "glossary.md").read_text(encoding="utf-8")
    rows = [row for row in glossary.split("## Terms")[1].splitlines() if row.startswith("| ") and "term" not in row[:8]]
    linked = [re.search(r"\[(\d+)\]\((\w+)\.ipynb\) \|$", row) for row in rows]
    assert len(rows) > 50 and all(linked)
    assert all(COURSE[int(link[1])].file == link[2] for link in linked)


@pytest.mark.parametrize("name", MESSAGES)
def test_message_is_written_and_raised(name):
    notebook = nbformat.read(ROOT / "notebooks" / f"{COURSE[11].file}.ipynb", as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    printed = "\n".join(
        output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    )
    assert MESSAGES[name] in prose and MESSAGES[name] in printed
