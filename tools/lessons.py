"""Run the lessons and store them again, outputs included (``make lessons``).

Each notebook runs from a fresh kernel in its own folder, as a learner's would, and is written back without the noise
that differs from run to run. The stored outputs are what nbval then compares, to the last digit. Before it is stored a
lesson runs once more as on an old processor; what comes out otherwise there is not stored, and its cell is named.

    python tools/lessons.py                    every lesson in notebooks/
    python tools/lessons.py notebooks/00*      some
    python tools/lessons.py --quick            without the run as on an old processor
"""

from __future__ import annotations

import argparse
import configparser
import copy
import hashlib
import os
import re
import sys
import time
from collections.abc import Mapping
from functools import cache
from itertools import takewhile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
LESSONS = ROOT / "notebooks"
sys.path[:0] = [str(ROOT), str(LESSONS)]  # tools/ and the course are not installed

from tools.check import PLAIN  # noqa: E402
from tools.lesson_cells import KEY, refresh  # noqa: E402

SECONDS_PER_CELL = 60  # the same limit as nbval's in the Makefile
SANITIZE = ROOT / "tests" / "notebooks" / "sanitize.cfg"  # what nbval does not compare either

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy in stored form: what a learner wrote and what the kernel said, none of what differs from run to run.

    Gone are execution times, Python's version and widget state. A widget's view, which only names a random id of a
    kernel that is no more, goes too: its text stays, and that is what a reader of a fresh clone sees. Trailing blanks
    go, and a cell's id is made from its content, so that it changes only where the cell does.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        cell.source = "\n".join(line.rstrip() for line in cell.source.strip("\n").split("\n"))
        kept = {key: cell.metadata[key] for key in ("tags", "jupyter", KEY) if key in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
        digest = hashlib.sha1(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:10]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cell.pop("attachments", None)
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data.pop(WIDGET_VIEW, None)
                output.metadata = nbformat.from_dict({})
    return notebook


def execute(
    notebook: nbformat.NotebookNode, folder: Path, environment: Mapping[str, str] | None = None
) -> nbformat.NotebookNode:
    """A copy that ran from a fresh kernel in ``folder``, under more environment variables if given; in stored form.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails that is not tagged ``raises-exception``.
    """
    notebook = normalise(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    )
    return normalise(client.execute(env={**os.environ, **(environment or {})}))


# ---------------------------------------------------------------- comparing


@cache
def _patterns() -> tuple[tuple[re.Pattern, str], ...]:
    config = configparser.RawConfigParser()
    config.read(SANITIZE, encoding="utf-8")
    return tuple((re.compile(config[name]["regex"]), config[name]["replace"]) for name in config.sections())


def comparable(cell: nbformat.NotebookNode) -> dict[str, str]:
    """MIME type -> text of everything a cell put out that nbval compares."""
    texts: dict[str, str] = {}
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            parts = {output.name: output.text}
        elif output.output_type == "error":
            parts = {"error": f"{output.ename}: {output.evalue}"}
        else:
            parts = {mime: str(value) for mime, value in output.data.items() if not mime.startswith("image/png")}
        for kind, text in parts.items():
            for pattern, replacement in _patterns():
                text = pattern.sub(replacement, text)
            texts[kind] = texts.get(kind, "") + text
    return texts


def changes(stored: nbformat.NotebookNode, ran: nbformat.NotebookNode) -> list[str]:
    """Where two runs of one notebook differ: a complaint for each cell, with both texts from the difference on."""
    complaints = []
    for place, (before, after) in enumerate(zip(stored.cells, ran.cells, strict=True)):
        then, now = comparable(before), comparable(after)
        for kind in sorted(then.keys() | now.keys()):
            one, other = then.get(kind, ""), now.get(kind, "")
            if one != other:
                same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
                start = max(0, len([*same]) - 30)
                told = f"{one[start : start + 120]!r} became {other[start : start + 120]!r}"
                complaints.append(f"cell {place} ({before.source.splitlines()[0][:60]}), {kind}: {told}")
                break
    return complaints


# ---------------------------------------------------------------- storing


def as_text(notebook: nbformat.NotebookNode) -> str:
    """The file's content: sorted keys, one blank of indentation, a newline at the end, as JupyterLab writes it."""
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def is_stored_form(path: Path) -> bool:
    """Whether the file is what this tool would write, its outputs taken as they are."""
    return path.read_text(encoding="utf-8") == as_text(normalise(nbformat.read(path, as_version=4)))


def store(path: Path, quick: bool = False) -> tuple[str, list[str]]:
    """Run a lesson and store it, unless it raises or comes out otherwise elsewhere; what was done, and complaints."""
    before = path.read_text(encoding="utf-8")
    try:
        notebook = nbformat.read(path, as_version=4)
        refresh(notebook, path)
        notebook = execute(notebook, path.parent)
        complaints = [] if quick else changes(notebook, execute(notebook, path.parent, PLAIN))
    except Exception as error:  # one broken lesson must not hide the next
        return "failed, left as it was", [str(error)]
    if complaints:
        return "differs on an old processor, left as it was", complaints
    after = as_text(notebook)
    if after != before:
        path.write_text(after, encoding="utf-8")
    return "changed" if after != before else "as before", []


def main(arguments: list[str] | None = None) -> int:
    """Run and store; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run the lessons and store them again, outputs included.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="all of notebooks/ if none is named")
    parser.add_argument("--quick", action="store_true", help="store without the run as on an old processor")
    options = parser.parse_args(arguments)
    failed = False
    for path in options.notebooks or sorted(LESSONS.glob("*.ipynb")):
        start = time.perf_counter()
        said, complaints = store(path, options.quick)
        print(f"{path.name}: {time.perf_counter() - start:.1f} s, {said}", flush=True)
        for complaint in complaints:
            print(f"  {complaint}", file=sys.stderr)
        failed = failed or bool(complaints)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
