"""The stored lessons keep every rule of hygiene.py, and every rule sees the fault it is there for."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path

import nbformat
import pytest
from hygiene import RULES

from tools import lessons

LESSONS = sorted(lessons.LESSONS.glob("*.ipynb"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", RULES)
def test_lesson(path, name):
    complaints = RULES[name](json.loads(path.read_text(encoding="utf-8")), path)
    assert not complaints, f"{path.name}, {name}: {RULES[name].__doc__}\n  " + "\n  ".join(complaints)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_is_in_stored_form(path):
    assert lessons.is_stored_form(path), f"{path.name}: run make lessons, and commit what it writes"


# ---------------------------------------------------------------- each rule, seen red


NUMBERS = itertools.count()  # a cell's id must be its own


def markdown(source):
    return {"cell_type": "markdown", "id": f"m{next(NUMBERS)}", "metadata": {}, "source": source}


def code(source, *outputs, count=1, **metadata):
    return {
        "cell_type": "code",
        "id": f"c{next(NUMBERS)}",
        "metadata": metadata,
        "source": source,
        "execution_count": count,
        "outputs": list(outputs),
    }


def shown(mime, value):
    return {"output_type": "display_data", "metadata": {}, "data": {mime: value, "text/plain": "a figure"}}


def printed(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "no clip", "traceback": []}
SVG = '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="three bars"><rect/></svg>'
TITLED_SVG = SVG.replace("aria-label", "id").replace("<rect/>", "<title>three bars</title><rect/>")

GOOD = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": copy.deepcopy(lessons.METADATA),
    "cells": [
        markdown("# A title\n\n[A paper](https://example.org/usr/paper), [end](#The-end-of-it).\n\n![bars](a.png)"),
        markdown('## A part\n\n```\n# no heading, ![](no.png)\n```\n\n`[x](y)` <img src="a.png" alt="bars">'),
        code("print(1)  # fine;", printed("1\n"), count=1),
        code("fail()", ERROR, count=2, tags=["raises-exception"]),
        code("picture", shown("text/html", SVG), shown("image/svg+xml", TITLED_SVG), count=3),
        markdown("### The end of it\n\n[a](other.ipynb#The-pad-step) [b](notes.md#how-long-exactly) [c](mailto:a)"),
    ],
}  # fmt: skip

# One notebook with every fault that a rule is there for, and what each rule says of it.
BAD = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"widgets": {}, "language_info": {"version": "3.11.7"}, "kernelspec": {"name": "mine"}},
    "cells": [
        markdown("hello"),
        markdown('# A\n\n### B\n\n![](tower.png) [up](#the-end) <img src="//example.org/a.png">'),
        code('get("https://example.org/a.wav", "/home/me/a.wav");', ERROR, printed("UserWarning", "stderr"), count=7),
        code("\n".join("x" * 16), printed("<A at 0x7f3aa2c4d0>"), tags=["raises-exception"], execution={}),
        code("picture", shown("text/html", SVG.replace("aria-label", "id")), shown("image/png", "iVBORw0")),
        code("slider", shown(lessons.WIDGET_VIEW, {})),
        markdown("[next](99_nowhere.ipynb) [other](other.ipynb#Nowhere)"),
        *[markdown("words")] * 60,
    ],
}
TOLD = {
    "executed_in_order": ["execution count 7, wanted 1"],
    "outputs_stored": [],
    "no_errors": ["stored ValueError", "stderr", "raises nothing"],
    "nothing_that_differs_from_run_to_run": ["0x7f3aa2c4d0", "random id"],
    "no_noise_in_metadata": ["widget state", "Python version", "python3", "metadata.execution"],
    "one_title": ["wanted it in cell 0"],
    "heading_levels": ["'B' is of level 3, after level 1"],
    "short_cells": ["16 lines", "67 cells"],
    "no_trailing_semicolon": ["';'"],
    "alt_text": ["tower.png has no alt text", "<img> without alt", "neither aria-label nor", "bare image/png"],
    "no_network": ["https://example.org/a.wav", "<img src="],
    "no_absolute_paths": ["/home/me"],
    "links_alive": ["99_nowhere.ipynb leads nowhere", "#the-end: no such heading", "other.ipynb#Nowhere"],
}


@pytest.fixture
def path(tmp_path) -> Path:
    other = {**GOOD, "cells": [markdown("# Other\n\n## The `pad` step")]}
    (tmp_path / "other.ipynb").write_text(json.dumps(other))
    (tmp_path / "a.png").touch()
    (tmp_path / "notes.md").write_text("# Notes\n\n## How long, exactly?\n")
    return tmp_path / "toy.ipynb"


@pytest.mark.parametrize("name", RULES)
def test_a_rule_passes_a_good_notebook_and_sees_a_bad_one(name, path):
    assert RULES[name](GOOD, path) == []
    told = "\n".join(RULES[name](BAD, path))
    assert [words for words in TOLD[name] if words not in told] == []


def test_a_stripped_notebook_is_seen(path):
    stripped = copy.deepcopy(GOOD)
    for cell in stripped["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    assert "no output is stored" in RULES["outputs_stored"](stripped, path)[0]
    assert "execution count None" in RULES["executed_in_order"](stripped, path)[0]


# ---------------------------------------------------------------- the tool that stores lessons


def test_storing_takes_the_noise_away_and_nothing_else():
    notebook = nbformat.from_dict(copy.deepcopy(GOOD))
    notebook.metadata["widgets"] = {"state": 1}
    notebook.metadata["language_info"]["version"] = "3.11.7"
    notebook.cells[2].metadata["execution"] = {"iopub.execute_input": "today"}
    notebook.cells[2].source = "print(1)   \n"
    notebook.cells[4].outputs[0].data[lessons.WIDGET_VIEW] = {"model_id": "71"}
    stored = lessons.normalise(notebook)
    assert stored.metadata == lessons.METADATA
    assert stored.cells[2].source == "print(1)"
    assert stored.cells[2].execution_count == 1
    assert stored.cells[3].metadata.tags == ["raises-exception"]
    assert set(stored.cells[4].outputs[0].data) == {"text/html", "text/plain"}
    assert lessons.normalise(stored) == stored
    assert notebook.metadata["widgets"] == {"state": 1}  # the argument is left alone


def test_cell_ids_follow_the_content():
    ids = [cell.id for cell in lessons.normalise(nbformat.from_dict(GOOD)).cells]
    assert len(set(ids)) == len(ids)
    more = lessons.normalise(nbformat.from_dict({**GOOD, "cells": [markdown("new"), *GOOD["cells"], GOOD["cells"][0]]}))
    assert [cell.id for cell in more.cells][1:-1] == ids
    assert more.cells[-1].id == f"{ids[0]}-2"


TOY = {**GOOD, "cells": [
    markdown("# Toy"),
    code("import pathlib\nprint(pathlib.Path('beside.txt').read_text())", count=None),
    code("raise ValueError('on purpose')", count=None, tags=["raises-exception"]),
    code("import ipywidgets\nipywidgets.IntSlider(7)", count=None),
    code("for n in range(3):\n    print(n, flush=True)", count=None),
]}  # fmt: skip


def test_a_lesson_is_run_and_stored(tmp_path, capsys):
    path = tmp_path / "toy.ipynb"
    path.write_text(json.dumps(TOY))
    (tmp_path / "beside.txt").write_text("found")  # the kernel works in the notebook's folder
    assert not lessons.is_stored_form(path)
    assert lessons.main([str(path)]) == 0
    assert "changed" in capsys.readouterr().out
    stored = json.loads(path.read_text())
    for name in RULES:
        assert RULES[name](stored, path) == [], name
    assert stored["cells"][1]["outputs"][0]["text"] == ["found\n"]
    assert stored["cells"][3]["outputs"][0]["data"] == {"text/plain": ["IntSlider(value=7)"]}
    assert stored["cells"][4]["outputs"][0]["text"] == ["0\n", "1\n", "2\n"]
    assert lessons.is_stored_form(path)
    assert lessons.main(["--check", str(path)]) == 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import os\nprint(os.environ.get('ATEN_CPU_CAPABILITY'))", "cell 0 (import os), stdout: 'None"),
    ],
)
def test_a_lesson_that_fails_or_differs_elsewhere_is_left_as_it_was(tmp_path, capsys, source, words):
    path = tmp_path / "toy.ipynb"
    path.write_text(json.dumps({**GOOD, "cells": [code(source, count=None)]}))
    before = path.read_text()
    assert lessons.main([str(path)]) == 1
    said = capsys.readouterr()
    assert words in said.err and "left as it was" in said.out
    assert path.read_text() == before
