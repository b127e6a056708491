"""Write a lesson as a plain Python file, and turn it into a notebook; or a notebook back into such a file.

    python tools/draft.py to-notebook DRAFT.py 2      writes notebooks/02_….ipynb, not run: make lessons does that
    python tools/draft.py from-notebook 2 DRAFT.py    the way back, to change a lesson

The notebook is the only source that is kept; a draft is a working aid, for outside the repository. It is a file in
jupytext's percent format, in which numbers are expressions, and a title stands for all cells of an exercise:

    # %% [markdown]
    # # {{LESSON.heading}}
    #
    # Prose. Every number is computed: {{T(SECOND)}} frames.
    # %%
    print("a code cell")
    # %% tags=["raises-exception"]
    model(too_short)
    # %% opening
    # %% prediction 2.1
    # %% exercise 2.1
    # %% recall

The last four become all their cells, from the lesson's Markdown (notebooks/course/lesson_02.md): the questions of
earlier lessons with which it opens, a prediction, an exercise, and all its recall questions.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]  # tools/ and the course are not installed

from course import contents  # noqa: E402
from tools import lesson_cells, lessons  # noqa: E402

PERCENT = "py:percent"


def to_notebook(draft: str, number: int) -> nbformat.NotebookNode:
    """The notebook that a draft describes, not run."""
    content, cells = contents.content(number), []
    for cell in jupytext.reads(draft, fmt=PERCENT).cells:
        title = cell.metadata.get("title", "")
        if cell.cell_type == "markdown":
            cells.append(lesson_cells.prose_cell(cell.source, content))
        elif found := re.fullmatch(r"(exercise|prediction) (\d+\.\d+)|opening|recall", title):
            if cell.source.strip():
                raise ValueError(f"# %% {title}: nothing may stand below it, found {cell.source.strip()[:60]!r}")
            cells += lesson_cells.part_cells(found[1] or title, found[2] or str(number))
        elif title:
            raise ValueError(f"# %% {title}: not [markdown], exercise N.N, prediction N.N, opening, recall or tags=[…]")
        else:
            tags = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
            cells.append(new_code_cell(cell.source, metadata=tags))
    return new_notebook(cells=cells)


def from_notebook(notebook: nbformat.NotebookNode, number: int) -> str:
    """The draft that gives this notebook."""
    content, cells = contents.content(number), []
    for cell in notebook.cells:
        own = cell.metadata.get(lesson_cells.KEY, {})
        if own.get("part") in ("task", "question"):
            kind = "exercise" if own["part"] == "task" else "prediction"
            cells.append(new_code_cell("", metadata={"title": f"{kind} {own['of']}"}))
        elif own.get("part") in lesson_cells.LISTS:
            cells.append(new_code_cell("", metadata={"title": own["part"]}))
        elif "part" not in own and cell.cell_type == "markdown":
            cells.append(new_markdown_cell(lesson_cells.template(cell, content)))
        elif "part" not in own:
            tags = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
            cells.append(new_code_cell(cell.source, metadata=tags))
    text = jupytext.writes(new_notebook(cells=cells), fmt=PERCENT)
    return re.sub(r"\A# ---\n.*?^# ---\n\n", "", text, flags=re.M | re.S)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="A lesson as a plain Python file, to and from its notebook.")
    commands = parser.add_subparsers(dest="command", required=True)
    forward = commands.add_parser("to-notebook", help="write the notebook, not run")
    forward.add_argument("draft", type=Path)
    forward.add_argument("lesson", type=int)
    back = commands.add_parser("from-notebook", help="write the draft of a stored lesson")
    back.add_argument("lesson", type=int)
    back.add_argument("draft", type=Path)
    options = parser.parse_args(arguments)
    path = lessons.LESSONS / f"{contents.COURSE[options.lesson].file}.ipynb"
    if options.command == "from-notebook":
        text = from_notebook(nbformat.read(path, as_version=4), options.lesson)
        options.draft.write_text(text, encoding="utf-8")
        print(f"wrote {options.draft}")
        return 0
    notebook = to_notebook(options.draft.read_text(encoding="utf-8"), options.lesson)
    path.write_text(lessons.as_text(lessons.normalise(notebook)), encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}, {len(notebook.cells)} cells; now run make lessons")
    return 0


if __name__ == "__main__":
    sys.exit(main())
