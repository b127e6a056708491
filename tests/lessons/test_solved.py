"""Every lesson with its exercises solved says "correct"; as it is stored it says "not yet"."""

from __future__ import annotations

import ast
import symtable

import pytest
from lesson_files import NUMBERS, notebook_of, path_of
from nbformat import NotebookNode

from course import contents
from tools.lesson_cells import KEY, with_solutions
from tools.lessons import comparable, execute


def part_of(cell: NotebookNode) -> str:
    return cell.metadata.get(KEY, {}).get("part", "")


def checks(notebook: NotebookNode) -> dict[str, str]:
    """Exercise -> what its check cell printed."""
    cells = [cell for cell in notebook.cells if part_of(cell) == "check"]
    return {cell.metadata[KEY]["of"]: comparable(cell).get("stdout", "") for cell in cells}


def names_in(source: str) -> tuple[set[str], set[str]]:
    """Global names that a cell binds or changes, and those that it reads, also inside functions."""
    table = symtable.symtable(source, "cell", "exec")
    binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            binds |= {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
    reads, scopes = set(), [table]
    for scope in scopes:
        scopes += scope.get_children()
        reads |= {s.get_name() for s in scope.get_symbols() if s.is_referenced() and (scope is table or s.is_global())}
    return binds, reads


def reached_by_answers(notebook: NotebookNode) -> NotebookNode:
    """A copy with the code that an answer can change, and what that code needs; nbval runs all the rest as stored."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    names = [names_in(cell.source) for cell in cells]
    kept, answers, needed = [], set(), set()
    for cell, (binds, reads) in zip(cells, names, strict=True):
        kept.append(part_of(cell) in ("stub", "check") or bool(reads & answers))
        answers = answers | binds if kept[-1] else answers - binds
    for place, (binds, reads) in reversed([*enumerate(names)]):
        kept[place] |= bool(binds & needed)
        if kept[place]:
            needed = needed - binds | reads
    return NotebookNode({**notebook, "cells": [cell for cell, keep in zip(cells, kept, strict=True) if keep]})


@pytest.mark.parametrize("number", NUMBERS)
def test_solved_lesson_says_correct_and_stored_one_not_yet(number):
    stored = notebook_of(number)
    solved = checks(execute(reached_by_answers(with_solutions(stored)), path_of(number).parent))
    assert list(solved) == list(checks(stored)) == [exercise.id for exercise in contents.texts(number)[1]]
    for identifier, printed in solved.items():
        assert printed.startswith(f"{identifier} correct: ")
    for identifier, printed in checks(stored).items():
        assert printed.startswith(f"{identifier} not yet: ")
