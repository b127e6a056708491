"""Run a lesson's cells in this process, without a kernel: quick enough to run them many times over.

    python tools/lesson_run.py notebooks/02_feature_encoder.ipynb                compared with the stored texts
    python tools/lesson_run.py --solved notebooks/02_feature_encoder.ipynb       with every exercise solved

Only texts are compared (what is printed, and the text of what is shown), blanks made single: nbval compares the rest.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import os
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # tools/ is not installed

os.environ.setdefault("MPLBACKEND", "Agg")

import nbformat  # noqa: E402

from tools.lesson_cells import KEY, with_solutions  # noqa: E402


@dataclass(frozen=True)
class Ran:
    """One code cell that ran: its place and source, the text it gave, and the error that it raised, if any."""

    place: int
    cell: nbformat.NotebookNode
    text: str
    error: str | None

    @property
    def part(self) -> str | None:
        """``"stub"``, ``"check"``, … for a cell made from the lesson's file, else None."""
        return self.cell.metadata.get(KEY, {}).get("part")


def run_cells(notebook: nbformat.NotebookNode, folder: Path) -> Iterator[Ran]:
    """Run the code cells one after another in a namespace of their own, in ``folder``; an error ends the run.

    A cell tagged ``raises-exception`` may raise, and the run goes on.
    """
    import IPython.display

    namespace = {"__name__": "__main__", "display": _shown}
    before, shown = os.getcwd(), IPython.display.display
    os.chdir(folder)
    IPython.display.display = _shown
    try:
        for place, cell in enumerate(notebook.cells):
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            out, error = io.StringIO(), None
            with contextlib.redirect_stdout(out):
                try:
                    _run(cell.source, namespace, f"<cell {place}>")
                except Exception as raised:
                    error = f"{type(raised).__name__}: {raised}"
                    if "raises-exception" not in cell.metadata.get("tags", []):
                        error += "\n" + "".join(traceback.format_tb(raised.__traceback__)[-2:])
            yield Ran(place, cell, out.getvalue(), error)
            if error and "raises-exception" not in cell.metadata.get("tags", []):
                return
    finally:
        os.chdir(before)
        IPython.display.display = shown


def _run(source: str, namespace: dict, name: str) -> None:
    """Run a cell; show the value of its last line, as Jupyter does."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), namespace)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
        if value is not None:
            _shown(value)


def _shown(*values: object, **_: object) -> None:
    """The text of what is shown."""
    from IPython.lib.pretty import pretty

    for value in values:
        bundle = getattr(value, "_repr_mimebundle_", None)
        bundle = bundle() if callable(bundle) else None
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        print(data["text/plain"] if data and "text/plain" in data else pretty(value))


def stored_text(cell: nbformat.NotebookNode) -> str:
    """The texts that the cell's stored outputs hold; a picture that only pixels show has none."""
    texts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if output.output_type == "stream":
            texts.append(output.text)
        elif "image/png" not in data and "text/plain" in data:
            texts.append(data["text/plain"])
    return "\n".join(texts)


def first_change(notebook: nbformat.NotebookNode, folder: Path) -> str | None:
    """Where the lesson, run now, first says something else than what is stored; None if nowhere."""
    for ran in run_cells(notebook, folder):
        stored = [output for output in ran.cell.get("outputs", []) if output.output_type == "error"]
        now, then = _plain(ran.text), _plain(stored_text(ran.cell))
        if now != then:
            return f"cell {ran.place} says {now[:300]!r}, stored is {then[:300]!r}"
        if ran.error and not stored:
            return f"cell {ran.place} raises {ran.error}"
        if stored and not (ran.error or "").startswith(stored[0].ename):
            return f"cell {ran.place} raises {ran.error}, stored is {stored[0].ename}"
        if stored and _plain(stored[0].evalue) != _plain(ran.error.partition(": ")[2]):
            return f"cell {ran.place} raises {ran.error!r}, stored is {stored[0].evalue!r}"
    return None


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def unsolved(notebook: nbformat.NotebookNode, folder: Path) -> list[str]:
    """With every exercise solved: complaints about cells that raise and checks that do not say "correct"."""
    complaints, checks = [], 0
    for ran in run_cells(with_solutions(notebook), folder):
        if ran.error and "raises-exception" not in ran.cell.metadata.get("tags", []):
            complaints.append(f"cell {ran.place} raises {ran.error}")
        if ran.part == "check":
            checks += 1
            wanted = f"{ran.cell.metadata[KEY]['of']} correct: "
            if not ran.text.startswith(wanted):
                complaints.append(f"cell {ran.place}: wanted {wanted!r}, it says {ran.text!r}")
    return complaints if checks else [*complaints, "no exercise was checked"]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run a lesson's cells in this process and compare their texts.")
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--solved", action="store_true", help="with every exercise solved")
    options = parser.parse_args(arguments)
    failed = False
    for path in options.notebooks:
        notebook = nbformat.read(path, as_version=4)
        change = first_change(notebook, path.parent) if not options.solved else None
        complaints = unsolved(notebook, path.parent) if options.solved else [change] * bool(change)
        failed |= bool(complaints)
        print(f"{path.name}: " + ("fine" if not complaints else "\n  " + "\n  ".join(complaints)))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
