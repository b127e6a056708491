"""Every lesson, with its exercises solved, runs top to bottom and says "correct"; untouched it says "not yet"."""

from __future__ import annotations

import subprocess
import sys

import nbformat
import pytest
from lesson_files import CONTENTS, NUMBERS, notebook_of, path_of
from tools.lesson_run import unsolved

from tools.lesson_cells import KEY, with_solutions
from tools.lessons import ROOT


@pytest.mark.parametrize("number", NUMBERS)
def test_solved_lesson_says_correct(number):
    line = [sys.executable, str(ROOT / "tools" / "lesson_run.py"), "--solved", str(path_of(number))]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("number", NUMBERS)
def test_stored_lesson_says_not_yet(number):
    checks = 0
    for cell in notebook_of(number).cells:
        if cell.metadata.get(KEY, {}).get("part") == "check":
            said = "".join(output.get("text", "") for output in cell.outputs)
            assert said.startswith(f"{cell.metadata[KEY]['of']} not yet: "), said
            checks += 1
    assert checks == len(CONTENTS[number].EXERCISES)


def test_a_wrong_solution_is_seen(tmp_path):
    """The check on solved lessons would notice an answer that is wrong, and one that raises."""
    notebook = nbformat.v4.new_notebook(
        cells=[cell for cell in notebook_of(0).cells if cell.metadata.get(KEY, {}).get("part") in ("stub", "check")]
    )
    notebook.cells.insert(0, nbformat.v4.new_code_cell(CONTENTS[0].SETUP + "\nfrom w2vlearn.lessons import check"))
    assert unsolved(notebook, tmp_path) == []
    solved = with_solutions(notebook, {"0.1": "shape, real = (3, 124, 768), [124] * 3"})
    for cell in solved.cells:
        if cell.metadata.get(KEY, {}).get("part") == "stub":
            cell.metadata = {}  # so that it stays as it is
    assert "wanted '0.1 correct: '" in unsolved(solved, tmp_path)[0]
    solved.cells[1].source = "1 / 0"
    assert "ZeroDivisionError" in unsolved(solved, tmp_path)[0]
