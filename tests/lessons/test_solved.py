"""Every lesson, with its exercises solved, runs top to bottom and says "correct"; untouched it says "not yet"."""

from __future__ import annotations

import pytest
from lesson_files import NUMBERS, notebook_of, path_of

from course import contents
from tools.lesson_cells import KEY, with_solutions
from tools.lessons import comparable, execute


def checks(notebook) -> dict[str, str]:
    """Exercise -> what its check cell said."""
    cells = [cell for cell in notebook.cells if cell.metadata.get(KEY, {}).get("part") == "check"]
    return {cell.metadata[KEY]["of"]: comparable(cell).get("stdout", "") for cell in cells}


@pytest.mark.parametrize("number", NUMBERS)
def test_solved_lesson_says_correct_and_stored_one_not_yet(number):
    stored = notebook_of(number)
    solved = checks(execute(with_solutions(stored), path_of(number).parent))
    assert list(solved) == list(checks(stored)) == [exercise.id for exercise in contents.texts(number)[1]]
    for identifier, said in solved.items():
        assert said.startswith(f"{identifier} correct: ")
    for identifier, said in checks(stored).items():
        assert said.startswith(f"{identifier} not yet: ")
