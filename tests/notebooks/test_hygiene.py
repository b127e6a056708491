"""The stored lessons keep every rule of hygiene.py; README, index and glossary lead to files and sections that exist;
the tool that stores lessons takes noise away and nothing else.
"""

from __future__ import annotations

import copy

import nbformat
import pytest
from hygiene import RULES, page
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course.contents import COURSE
from tools import lessons

LESSONS = sorted(lessons.LESSONS.glob("*.ipynb"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", RULES)
def test_lesson(path, name):
    complaints = [*RULES[name](page(path), path)]
    assert not complaints, f"{path.name}, {name}: {RULES[name].__doc__}\n  " + "\n  ".join(complaints)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_is_in_stored_form(path):
    assert lessons.is_stored_form(path), f"{path.name}: run make lessons, and commit what it writes"


PAGES = [lessons.ROOT / "README.md", lessons.LESSONS / "README.md", lessons.LESSONS / "glossary.md"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_links_lead_somewhere_and_every_lesson_is_linked(path):
    assert [*RULES["links_alive"](page(path), path)] == []
    text = path.read_text(encoding="utf-8")
    assert path.name != "README.md" or all(f"{lesson.file}.ipynb" in text for lesson in COURSE)


# ---------------------------------------------------------------- the tool that stores lessons


def notebook(*cells):
    return new_notebook(cells=list(cells), metadata=copy.deepcopy(lessons.METADATA))


def on_purpose(source):
    return new_code_cell(source, metadata={"tags": ["raises-exception"]})


def test_storing_takes_the_noise_away_and_nothing_else():
    shown = new_output("display_data", {"text/html": "<b>1</b>", "text/plain": "1", lessons.WIDGET_VIEW: {"id": "71"}})
    noisy = notebook(
        new_markdown_cell("# A title"),
        new_code_cell("print(1)   \n", execution_count=1, metadata={"execution": {"iopub.execute_input": "today"}}),
        on_purpose("fail()"),
        new_code_cell("picture", outputs=[shown], execution_count=3),
    )
    noisy.metadata["widgets"] = {"state": 1}
    noisy.metadata["language_info"]["version"] = "3.11.7"
    stored = lessons.normalise(noisy)
    assert stored.metadata == lessons.METADATA
    assert (stored.cells[1].source, stored.cells[1].execution_count, stored.cells[1].metadata) == ("print(1)", 1, {})
    assert stored.cells[2].metadata.tags == ["raises-exception"]
    assert set(stored.cells[3].outputs[0].data) == {"text/html", "text/plain"}
    assert lessons.normalise(stored) == stored
    assert noisy.metadata["widgets"] == {"state": 1}  # the argument is left alone
    ids = [cell.id for cell in stored.cells]  # follow the content
    assert len(set(ids)) == len(ids)
    more = lessons.normalise(notebook(new_markdown_cell("new"), *noisy.cells, new_markdown_cell("# A title")))
    assert [cell.id for cell in more.cells][1:] == [*ids, f"{ids[0]}-2"]


def test_a_lesson_is_run_and_stored(tmp_path, capsys):
    path = tmp_path / "toy.ipynb"
    toy = notebook(
        new_markdown_cell("# Toy"),
        new_code_cell("import pathlib\nprint(pathlib.Path('beside.txt').read_text())"),
        on_purpose("raise ValueError('on purpose')"),
        new_code_cell("import ipywidgets\nipywidgets.IntSlider(7)"),
        new_code_cell("for n in range(3):\n    print(n, flush=True)"),
    )
    nbformat.write(toy, path)
    (tmp_path / "beside.txt").write_text("found")  # the kernel works in the notebook's folder
    assert not lessons.is_stored_form(path)
    assert lessons.main([str(path)]) == 0
    assert "changed" in capsys.readouterr().out
    stored = page(path)
    assert [complaint for rule in RULES.values() for complaint in rule(stored, path)] == []
    assert stored.cells[1].outputs[0].text == "found\n" and stored.cells[4].outputs[0].text == "0\n1\n2\n"
    assert stored.cells[3].outputs[0].data == {"text/plain": "IntSlider(value=7)"}
    assert lessons.is_stored_form(path)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import os\nprint(os.environ.get('ATEN_CPU_CAPABILITY'))", "cell 0 (import os), stdout: 'None"),
    ],
)
def test_a_lesson_that_fails_or_differs_elsewhere_is_left_as_it_was(tmp_path, capsys, source, words):
    path = tmp_path / "toy.ipynb"
    nbformat.write(notebook(new_code_cell(source)), path)
    before = path.read_text()
    assert lessons.main([str(path)]) == 1
    told = capsys.readouterr()
    assert words in told.err and "left as it was" in told.out
    assert path.read_text() == before
