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
            cells.append(_code_cell(cell))
    return new_notebook(cells=cells)


def _code_cell(cell: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The same code, not run, and its tags."""
    return new_code_cell(cell.source, metadata={key: cell.metadata[key] for key in ("tags",) if key in cell.metadata})


def from_notebook(notebook: nbformat.NotebookNode, number: int) -> str:
    """The draft that gives this notebook."""
    cells, titles = [], {"task": "exercise ", "question": "prediction "}
    for cell in notebook.cells:
        own = cell.metadata.get(lesson_cells.KEY, {})
        part = own.get("part")
        if part in titles or part in lesson_cells.LISTS:
            title = titles[part] + own["of"] if part in titles else part
            cells.append(new_code_cell("", metadata={"title": title}))
        elif part is None and cell.cell_type == "markdown":
            cells.append(new_markdown_cell(lesson_cells.template(cell, contents.content(number))))
        elif part is None:
            cells.append(_code_cell(cell))
    text = jupytext.writes(new_notebook(cells=cells), fmt=PERCENT)
    return re.sub(r"\A# ---\n.*?^# ---\n\n", "", text, flags=re.M | re.S)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, order in (("to-notebook", ("draft", "lesson")), ("from-notebook", ("lesson", "draft"))):
        command = commands.add_parser(name)
        for argument in order:
            command.add_argument(argument, type=Path if argument == "draft" else int)
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
