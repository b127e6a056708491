"""The stored lessons keep every rule of hygiene.py, and every rule sees the fault it is there for."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path

import nbformat
import pytest
from hygiene import RULES, anchors

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
UNNAMED_SVG = SVG.replace("aria-label", "id").replace("<rect/>", "<g><title>one bar of three</title></g>")

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
        markdown("### The end of it"),
    ],
}  # fmt: skip


def with_cell(*added):
    """The good notebook with cells added, execution counts put right."""
    notebook = copy.deepcopy(GOOD)
    notebook["cells"] += copy.deepcopy(list(added))
    for count, cell in enumerate((c for c in notebook["cells"] if c["cell_type"] == "code"), 1):
        cell["execution_count"] = count
    return notebook


def changed(**changes):
    """The good notebook with its third cell (code) changed."""
    notebook = copy.deepcopy(GOOD)
    notebook["cells"][2].update(changes)
    return notebook


def with_metadata(**metadata):
    notebook = copy.deepcopy(GOOD)
    notebook["metadata"].update(metadata)
    return notebook


def stripped():
    notebook = copy.deepcopy(GOOD)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return notebook


FAULTS = [
    ("executed_in_order", stripped(), "execution count None"),
    ("executed_in_order", changed(execution_count=7), "execution count 7, wanted 1"),
    ("executed_in_order", {**GOOD, "cells": GOOD["cells"][:2]}, "no code cell"),
    ("executed_in_order", with_cell(markdown("  ")), "cell 6: empty"),
    ("outputs_stored", stripped(), "no output is stored"),
    ("no_errors", changed(outputs=[ERROR]), "stored ValueError"),
    ("no_errors", changed(metadata={"tags": ["raises-exception"]}), "raises nothing"),
    ("no_errors", changed(outputs=[printed("UserWarning", "stderr")]), "stderr"),
    ("nothing_that_differs_from_run_to_run", changed(outputs=[printed("<A at 0x7f3aa2c4d0>")]), "0x7f3aa2c4d0"),
    ("nothing_that_differs_from_run_to_run", changed(outputs=[printed("ipykernel_71/12.py:3")]), "ipykernel_71"),
    ("nothing_that_differs_from_run_to_run", changed(outputs=[shown(lessons.WIDGET_VIEW, {})]), "random id"),
    ("no_noise_in_metadata", with_metadata(widgets={}), "widget state"),
    ("no_noise_in_metadata", with_metadata(language_info={"version": "3.11.7"}), "Python version"),
    ("no_noise_in_metadata", with_metadata(kernelspec={"name": "mine"}), "python3"),
    ("no_noise_in_metadata", changed(metadata={"execution": {}}), "metadata.execution"),
    ("one_title", with_cell(markdown("# Another title")), "2 headings of level 1"),
    ("one_title", {**GOOD, "cells": GOOD["cells"][1:]}, "0 headings of level 1"),
    ("one_title", {**GOOD, "cells": [markdown("hello"), *GOOD["cells"]]}, "wanted it in cell 0"),
    ("heading_levels", with_cell(markdown("## A\n\n#### B")), "'B' is of level 4, after level 2"),
    ("short_cells", with_cell(code("\n".join(["x"] * 16))), "16 lines"),
    ("short_cells", with_cell(*[markdown("words")] * 55), "61 cells"),
    ("no_trailing_semicolon", changed(source="plot();\n"), "';'"),
    ("no_trailing_semicolon", changed(source="plot();  # hide it"), "';'"),
    ("alt_text", with_cell(markdown("![](tower.png)")), "tower.png has no alt text"),
    ("alt_text", with_cell(markdown('<img src="a.png" alt=" ">')), "<img> without alt"),
    ("alt_text", changed(outputs=[shown("text/html", "<p><img src='x'></p>")]), "<img> without alt"),
    ("alt_text", changed(outputs=[shown("text/html", SVG.replace('role="img"', ""))]), 'without role="img"'),
    ("alt_text", changed(outputs=[shown("image/svg+xml", SVG.replace("aria-label", "id"))]), "neither aria-label nor"),
    ("alt_text", changed(outputs=[shown("text/html", UNNAMED_SVG)]), "neither aria-label nor"),
    ("alt_text", changed(outputs=[shown("image/png", "iVBORw0")]), "bare image/png"),
    ("no_network", changed(source='get("https://example.org/a.wav")'), "https://example.org/a.wav"),
    ("no_network", changed(source="%pip install x"), "%pip install x"),
    ("no_network", changed(source="import os\n!wget x"), "!wget x"),
    ("no_network", with_cell(markdown("![tower](https://example.org/tower.png)")), "tower.png"),
    ("no_network", with_cell(markdown('<img alt="tower" src="//example.org/tower.png">')), "<img src="),
    ("no_network", changed(outputs=[shown("text/html", '<script src="https://cdn/x.js"></script>')]), "<script src="),
    ("no_network", changed(outputs=[shown("text/html", "<style>@import 'x.css'</style>")]), "style sheet"),
    ("no_network", changed(outputs=[shown("text/html", '<p style="background: url(http://x/y)">')]), "style"),
    ("no_absolute_paths", changed(source='read_audio("/home/me/a.wav")'), "/home/me"),
    ("no_absolute_paths", changed(outputs=[printed("saved in /tmp/trace.json")]), "/tmp/trace.json"),
    ("no_absolute_paths", changed(outputs=[printed(r"C:\Users\me")]), r"C:\Users"),
    ("no_absolute_paths", changed(outputs=[dict(ERROR, evalue="no /root/a.wav")]), "/root/a.wav"),
    ("links_alive", with_cell(markdown("[next](99_nowhere.ipynb)")), "99_nowhere.ipynb leads nowhere"),
    ("links_alive", with_cell(markdown('<img alt="tower" src="tower.png">')), "tower.png leads nowhere"),
    ("links_alive", with_cell(markdown("[up](#the-end-of-it)")), "no such heading"),
    ("links_alive", with_cell(markdown('<a href="other.ipynb#Nowhere">other</a>')), "other.ipynb#Nowhere"),
]  # fmt: skip


@pytest.fixture
def path(tmp_path) -> Path:
    other = {**GOOD, "cells": [markdown("# Other\n\n## The `pad` step")]}
    (tmp_path / "other.ipynb").write_text(json.dumps(other))
    (tmp_path / "a.png").touch()
    (tmp_path / "notes.md").write_text("# Notes\n\n## How long, exactly?\n")
    return tmp_path / "toy.ipynb"


@pytest.mark.parametrize("name", RULES)
def test_a_good_notebook_passes(name, path):
    assert RULES[name](GOOD, path) == []


@pytest.mark.parametrize("name, notebook, words", FAULTS, ids=[f"{name}-{words}" for name, _, words in FAULTS])
def test_a_broken_notebook_is_seen(name, notebook, words, path):
    complaints = RULES[name](notebook, path)
    assert len(complaints) >= 1
    assert any(words in complaint for complaint in complaints), complaints


def test_every_rule_has_a_fault():
    assert {name for name, _, _ in FAULTS} == set(RULES)


def test_links_to_headings_of_other_files_are_followed(path):
    assert anchors(path.parent / "other.ipynb") >= {"Other", "The-pad-step"}
    good = with_cell(markdown("[a](other.ipynb#The-pad-step) [b](notes.md#how-long-exactly) [c](mailto:a@b.org)"))
    assert RULES["links_alive"](good, path) == []


# ---------------------------------------------------------------- the tool that stores lessons


def test_storing_takes_the_noise_away_and_nothing_else():
    notebook = nbformat.from_dict(copy.deepcopy(GOOD))
    notebook.metadata["widgets"] = {"state": 1}
    notebook.metadata["language_info"]["version"] = "3.11.7"
    notebook.cells[2].metadata["execution"] = {"iopub.execute_input": "today"}
    notebook.cells[2].source = "print(1)   \n"
    notebook.cells[2].outputs = [nbformat.from_dict(printed("1\n")), nbformat.from_dict(printed("2\n"))]
    notebook.cells[4].outputs[0].data[lessons.WIDGET_VIEW] = {"model_id": "71"}
    stored = lessons.normalise(notebook)
    assert stored.metadata == lessons.METADATA
    assert stored.cells[2].source == "print(1)"
    assert stored.cells[2].outputs == [printed("1\n2\n")]
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


def test_a_lesson_is_run_and_stored(tmp_path, capsys):
    path = tmp_path / "toy.ipynb"
    toy = {**GOOD, "cells": [
        markdown("# Toy"),
        code("import pathlib\nprint(pathlib.Path('beside.txt').read_text())", count=None),
        code("raise ValueError('on purpose')", count=None, tags=["raises-exception"]),
        code("import ipywidgets\nipywidgets.IntSlider(7)", count=None),
    ]}  # fmt: skip
    path.write_text(json.dumps(toy))
    (tmp_path / "beside.txt").write_text("found")  # the kernel works in the notebook's folder
    assert not lessons.is_stored_form(path)
    assert lessons.main([str(path)]) == 0
    assert "changed" in capsys.readouterr().out
    stored = json.loads(path.read_text())
    for name in RULES:
        assert RULES[name](stored, path) == [], name
    assert stored["cells"][1]["outputs"][0]["text"] == ["found\n"]
    assert stored["cells"][3]["outputs"][0]["data"] == {"text/plain": ["IntSlider(value=7)"]}
    assert lessons.is_stored_form(path)
    assert lessons.main(["--check", str(path)]) == 0
    assert lessons.main([str(path)]) == 0
    assert "as before" in capsys.readouterr().out


def test_a_lesson_that_fails_is_left_as_it_was(tmp_path, capsys):
    path = tmp_path / "toy.ipynb"
    path.write_text(json.dumps({**GOOD, "cells": [code("1 / 0", count=None)]}))
    before = path.read_text()
    assert lessons.main([str(path)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert path.read_text() == before
