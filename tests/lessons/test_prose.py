"""Numbers and claims in prose are computed: the text is compared with what the lesson's file computes now."""

from __future__ import annotations

import re

import pytest
from lesson_files import NUMBERS, minutes_of, notebook_of, own_prose, texts

from course import contents
from course.prose import PLACE, fill, numbers, print_error, wrapped
from tools.lesson_cells import EXERCISE_PARTS, KEY, part_source, wrong_numbers


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_in_the_notebook(number):
    complaints = []
    for position, cell in own_prose(notebook_of(number)):
        kept = cell.metadata.get(KEY, {}).get("numbers", [])
        complaints += [
            f"cell {position}: {said}" for said in wrong_numbers(cell.source, kept, contents.content(number))
        ]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("number", NUMBERS)
def test_texts_of_the_lesson_file(number):
    """Every number is computed; what is printed holds no Markdown, and its lines end between words, never in code."""
    complaints = []
    for where, text in texts(number):
        typed = [match[0] for match in numbers(PLACE.sub("·", text))]
        complaints += [f"{where}: {typed} typed, write {{{{…}}}}"] * bool(typed)
        for line in wrapped(fill(text, vars(contents.content(number)))).splitlines():
            outside = re.sub(r"`[^`]*`", "", line)
            raw = "`" in outside or re.search(r"(?<![\w*])\*{1,2}\w[^*]*\*", outside)
            complaints += [f"{where}, printed: {line!r}"] * bool(raw or (len(line) > 100 and "`" not in line))
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("number", NUMBERS)
def test_claims_hold(number):
    """What a sentence says of the trained models beyond its numbers: new weights may turn it wrong."""
    claims = getattr(contents.content(number), "CLAIMS", {})
    assert [key for key, proof in claims.items() if bool(proof()) is not True] == []


@pytest.mark.parametrize("number", NUMBERS)
def test_cells_from_the_lesson_file_are_fresh(number):
    notebook, used = notebook_of(number), []
    for position, cell in enumerate(notebook.cells):
        own = cell.metadata.get(KEY, {})
        if "part" in own:
            used.append((own["part"], own["of"]))
            assert cell.source == part_source(own["part"], own["of"]), f"cell {position}: run make lessons"
    wanted = [(part, exercise.id) for exercise in contents.texts(number)[1] for part in EXERCISE_PARTS]
    assert [entry for entry in used if entry[0] in EXERCISE_PARTS] == wanted
    asked = [of for part, of in used if part == "question"]
    assert asked == [prediction.id for prediction in contents.texts(number)[0]]
    sources = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    for identifier in asked:
        assert f'compare("{identifier}"' in sources, f"prediction {identifier} is compared nowhere"


LEARNT = [number for number in NUMBERS if number != 11]  # lesson 11 is for looking things up


@pytest.mark.parametrize("number", LEARNT)
def test_what_is_to_be_recalled_is_answered_in_a_fold(number):
    asked = contents.texts(number)
    used = [cell.metadata.get(KEY, {}).get("part") for cell in notebook_of(number).cells]
    assert used.count("recall") == 1 and len(asked.recalls) >= 3
    assert {recall.id.split(".")[0] for recall in asked.recalls} == {str(number)}
    prose = " ".join(cell.source for _, cell in own_prose(notebook_of(number)))
    assert "without looking" not in prose, "recall questions belong into the lesson's Markdown, with their answers"


@pytest.mark.parametrize("number", [number for number in LEARNT if number >= 2])
def test_a_lesson_opens_with_two_questions_of_earlier_ones(number):
    opening = contents.texts(number).opening
    cells = [cell.metadata.get(KEY, {}).get("part") for cell in notebook_of(number).cells]
    assert cells.count("opening") == 1 and cells.index("opening") < 5
    assert len(set(opening)) == 2 and all(int(identifier.split(".")[0]) < number for identifier in opening)


@pytest.mark.parametrize("number", NUMBERS)
def test_minutes_are_what_words_cells_and_exercises_take(number):
    said, measured = contents.COURSE[number].minutes, minutes_of(number)
    assert abs(said - measured) <= 5 and said <= 45, f"measured {measured:.0f} minutes, course/contents.py says {said}"


# ---------------------------------------------------------------- what is printed, and what counts as a number


def test_printed_text_keeps_code_and_loses_emphasis(capsys):
    assert wrapped("what *goes in*, **all** of `a * b * c`: 2 * 3 * 4") == "what goes in, all of `a * b * c`: 2 * 3 * 4"
    print_error(ValueError("no clip " * 20), "empty")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and " ".join(lines).split() == ["empty:", *["no", "clip"] * 20]
    text = "word " * 18 + "`f(first, second, third)` and more"
    assert wrapped(text).splitlines()[1] == "  `f(first, second, third)` and more"


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
