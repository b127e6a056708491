"""Run the lessons and store them again, outputs included (``make lessons``).

Each notebook runs from a fresh kernel in its own folder, as a learner's would, and is written back without the noise
that differs from run to run. The stored outputs are what nbval then compares, to the last digit.

    python tools/lessons.py                    every lesson in notebooks/
    python tools/lessons.py notebooks/00*      some
    python tools/lessons.py --check            run nothing; say which are not in stored form
    python tools/lessons.py --inject FOLDER    run nothing; write copies with every exercise solved into FOLDER
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # tools/ is not installed

from tools.lesson_cells import KEY, refresh, with_solutions  # noqa: E402

LESSONS = ROOT / "notebooks"
SECONDS_PER_CELL = 60  # the same limit as nbval's in the Makefile

# Changes to a notebook's source before it runs, in order; each takes the notebook and its path and changes it in place.
Transform = Callable[[nbformat.NotebookNode, Path], None]
TRANSFORMS: list[Transform] = [refresh]

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy in stored form: what a learner wrote and what the kernel said, none of what differs from run to run.

    Gone are execution times, Python's version and widget state. A widget's view, which only names a random id of a
    kernel that is no more, goes too: its text stays, and that is what a reader of a fresh clone sees. Neighbouring
    pieces of one stream become one, trailing blanks go, and a cell's id is made from its content.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        cell.source = "\n".join(line.rstrip() for line in cell.source.strip("\n").split("\n"))
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in ("tags", "jupyter", KEY) if key in cell.metadata}
        )
        cell.id = _cell_id(cell, seen)
        cell.pop("attachments", None)
        if cell.cell_type == "code":
            cell.outputs = list(_quiet(cell.outputs))
    return notebook


def _cell_id(cell: nbformat.NotebookNode, seen: dict[str, int]) -> str:
    """An id made from the content, so that it changes only where the cell does; repeated cells are numbered."""
    digest = hashlib.sha1(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:10]
    seen[digest] = seen.get(digest, 0) + 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def _quiet(outputs: Iterable[nbformat.NotebookNode]) -> Iterable[nbformat.NotebookNode]:
    """The outputs without widget views, neighbouring pieces of one stream joined."""
    last = None
    for output in outputs:
        if output.output_type == "stream" and last is not None and last.get("name") == output.name:
            last.text += output.text
            continue
        if "data" in output:
            output.data.pop(WIDGET_VIEW, None)
            output.metadata = nbformat.from_dict({})
        last = output
        yield output


def run(path: Path) -> nbformat.NotebookNode:
    """The notebook at ``path``, transformed, executed from a fresh kernel, in stored form. Nothing is written.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails that is not tagged ``raises-exception``.
    """
    notebook = nbformat.read(path, as_version=4)
    for transform in TRANSFORMS:
        transform(notebook, path)
    notebook = normalise(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
    )
    return normalise(client.execute())


def as_text(notebook: nbformat.NotebookNode) -> str:
    """The file's content: sorted keys, one blank of indentation, a newline at the end, as JupyterLab writes it."""
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def is_stored_form(path: Path) -> bool:
    """Whether the file is what this tool would write, its outputs taken as they are."""
    return path.read_text(encoding="utf-8") == as_text(normalise(nbformat.read(path, as_version=4)))


def main(arguments: list[str] | None = None) -> int:
    """Run and store, or check; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run the lessons and store them again, outputs included.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="all of notebooks/ if none is named")
    parser.add_argument("--check", action="store_true", help="run nothing; fail if a notebook is not in stored form")
    parser.add_argument("--inject", type=Path, metavar="FOLDER", help="write copies with every exercise solved")
    options = parser.parse_args(arguments)
    paths = options.notebooks or sorted(LESSONS.glob("*.ipynb"))
    failed = 0
    for path in paths:
        if options.inject:
            options.inject.mkdir(parents=True, exist_ok=True)
            solved = normalise(with_solutions(nbformat.read(path, as_version=4)))
            (options.inject / path.name).write_text(as_text(solved), encoding="utf-8")
            continue
        if options.check:
            fine = is_stored_form(path)
            print(f"{path.name}: {'fine' if fine else 'not in stored form; run make lessons'}")
            failed += not fine
            continue
        start = time.perf_counter()
        before = path.read_text(encoding="utf-8")
        try:
            after = as_text(run(path))
        except Exception as error:  # one broken lesson must not hide the next; the status tells
            print(f"{path.name}: failed, left as it was\n{error}", file=sys.stderr)
            failed += 1
            continue
        if after != before:
            path.write_text(after, encoding="utf-8")
        print(f"{path.name}: {time.perf_counter() - start:.1f} s, {'changed' if after != before else 'as before'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
