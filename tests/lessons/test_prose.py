"""What a lesson says: numbers and claims are computed, cells are fresh, printed texts hold no Markdown."""

from __future__ import annotations

import re

import pytest
from lesson_files import NUMBERS, minutes_of, notebook_of, own_prose, texts

from course import contents
from course.prose import PLACE, fill, numbers, print_error, wrapped
from tools import draft
from tools.lesson_cells import KEY, refresh
from tools.lessons import LESSONS, normalise

each_lesson = pytest.mark.parametrize("number", NUMBERS)


@each_lesson
def test_a_notebook_is_what_its_draft_gives(number):
    """Cells from the lesson's Markdown are fresh, and numbers in prose are what their expressions give."""
    stored = notebook_of(number)
    again = normalise(draft.to_notebook(draft.from_notebook(stored, number), number))
    for one, other in zip(stored.cells, again.cells, strict=True):
        assert (one.cell_type, one.source, one.metadata) == (other.cell_type, other.source, other.metadata)


@each_lesson
def test_every_number_is_computed_and_printed_texts_hold_no_markdown(number):
    """Printed lines end between words and never in code."""
    complaints, names = [], vars(contents.content(number))
    for where, text in [*texts(number), *own_prose(number)]:
        typed = [match[0] for match in numbers(PLACE.sub("·", text))]
        complaints += [f"{where}: {typed} typed, write {{{{…}}}}"] * bool(typed)
    for where, text in texts(number):
        for line in wrapped(fill(text, names)).splitlines():
            outside = re.sub(r"`[^`]*`", "", line)
            raw = "`" in outside or re.search(r"(?<![\w*])\*{1,2}\w[^*]*\*", outside)
            complaints += [f"{where}, printed: {line!r}"] * bool(raw or (len(line) > 100 and "`" not in line))
    assert not complaints, "\n".join(complaints)


@each_lesson
def test_claims_hold(number):
    """What a sentence says of the trained models beyond its numbers: new weights may turn it wrong."""
    claims = getattr(contents.content(number), "CLAIMS", {})
    assert [key for key, proof in claims.items() if bool(proof()) is not True] == []


@each_lesson
def test_lesson_has_what_a_lesson_needs(number):
    asked, notebook = contents.texts(number), notebook_of(number)
    for table in asked[:3]:
        assert [item.id for item in table] == [f"{number}.{place}" for place in range(1, len(table) + 1)]
    parts = [(own.get("part"), own.get("of")) for own in (cell.metadata.get(KEY, {}) for cell in notebook.cells)]
    kinds = [part for part, _ in parts]
    assert [of for part, of in parts if part == "question"] == [prediction.id for prediction in asked.predictions]
    sources = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    for prediction in asked.predictions:
        assert f'compare("{prediction.id}"' in sources, f"prediction {prediction.id} is compared nowhere"
    if number != 11:  # the page for looking things up
        assert kinds.count("recall") == 1 and len(asked.recalls) >= 3
    if number not in (0, 11):
        assert {exercise.level for exercise in asked.exercises} == {"warm-up", "core", "stretch"}
        assert 2 <= len(asked.predictions) <= 4
    if number not in (0, 1, 11):  # opens with two questions of earlier lessons
        assert kinds.count("opening") == 1 and kinds.index("opening") < 5
        assert len(set(asked.opening)) == 2 and all(int(of.split(".")[0]) < number for of in asked.opening)


@each_lesson
def test_minutes_are_what_words_cells_and_exercises_take(number):
    said, measured = contents.COURSE[number].minutes, minutes_of(number)
    assert abs(said - measured) <= 5 and said <= 45, f"measured {measured:.0f} minutes, course/contents.py says {said}"


# ---------------------------------------------------------------- numbers, drafts and printed texts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("49 frames", ["49"]),
        ("16\u00a0000 samples", ["16\u00a0000"]),
        ("`(1, 49, 768)`", ["49", "768"]),
        ("`geometry.frame_count(16_000)`", ["16_000"]),
        ("16 000", ["16", "000"]),  # a blank that breaks: written by hand
        ("0.065, 49 %, 1e-5 and 25 ms", ["0.065", "49", "1e-5", "25"]),
        ("lesson 2, lessons 4 and 5, exercise 2.1, section 4.2, figure 1, Q05, #2556", []),
        ("wav2vec 2.0, torch 2.13, T7, conv0, float32, 2-D, a 1-D clip", []),
        ("[a link](02_x.ipynb#3-b) <a id='12'></a> (Baevski et al., 2020)", []),
        ("# 2 · From 16 000 to 49", []),
        ("1. first\n2. second", []),
        ("20t and 5-25 ms", ["20", "5", "25"]),
        ("no frame is 0 frames, not 1", []),
    ],
)
def test_what_counts_as_a_number(text, found):
    assert [match[0] for match in numbers(text)] == found


def test_numbers_that_went_stale_are_made_again():
    text = "# %% [markdown]\n# # {{LESSON.heading}}\n#\n# A clip of {{LENGTHS[0]}} samples has {{FRAMES[0]}} frames.\n"
    notebook = draft.to_notebook(text, 0)
    fresh = "# 0 · The question\n\nA clip of 16\u00a0004 samples has 49 frames."
    assert notebook.cells[0].source == fresh
    notebook.cells[0].source = "# 0 · Another title\n\nA clip of 8000 samples has 24 frames."
    refresh(notebook, LESSONS / "00_the_question.ipynb")
    assert notebook.cells[0].source == fresh


def test_printed_text_keeps_code_and_loses_emphasis(capsys):
    assert wrapped("what *goes in*, **all** of `a * b * c`: 2 * 3 * 4") == "what goes in, all of `a * b * c`: 2 * 3 * 4"
    print_error(ValueError("no clip " * 20), "empty")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and " ".join(lines).split() == ["empty:", *["no", "clip"] * 20]
    text = "word " * 18 + "`f(first, second, third)` and more"
    assert wrapped(text).splitlines()[1] == "  `f(first, second, third)` and more"
