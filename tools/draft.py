"""Write a lesson as a plain Python file, and turn it into a notebook; or a notebook back into such a file.

    python tools/draft.py to-notebook DRAFT.py 2      writes notebooks/02_….ipynb and runs it
    python tools/draft.py from-notebook 2 DRAFT.py    the way back, to change a lesson

The notebook is the only source that is kept; a draft is a working aid, for outside the repository. Its form:

    # %% [markdown]
    # # {{LESSON.heading}}
    #
    # Prose. Every number is computed: {{T(SECOND)}} frames.
    # %%
    print("a code cell")
    # %% tags: raises-exception
    model(too_short)
    # %% prediction 2.1
    # %% exercise 2.1

The last two become all their cells, from the lesson's file (w2vlearn/lessons/lesson_02.py).
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # tools/ is not installed

import nbformat  # noqa: E402
from nbformat.v4 import new_code_cell, new_notebook  # noqa: E402

from tools import lesson_cells, lessons  # noqa: E402
from w2vlearn.lessons import course  # noqa: E402


def to_notebook(draft: str, number: int) -> nbformat.NotebookNode:
    """The notebook that a draft describes, not run."""
    content, cells = course.content(number), []
    for head, body in blocks(draft):
        if head == "[markdown]":
            text = "\n".join(re.sub(r"^# ?", "", line) for line in body.strip("\n").split("\n"))
            cells.append(lesson_cells.prose_cell(text, content))
        elif found := re.fullmatch(r"(exercise|prediction) (\d+\.\d+)", head):
            if body.strip():
                raise ValueError(f"# %% {head}: nothing may stand below it, found {body.strip()[:60]!r}")
            cells += lesson_cells.part_cells(found[1], found[2])
        elif head == "" or head.startswith("tags:"):
            tags = [tag.strip() for tag in head.removeprefix("tags:").split(",") if tag.strip()]
            cells.append(new_code_cell(body.strip("\n"), metadata={"tags": tags} if tags else {}))
        else:
            raise ValueError(f"# %% {head}: not [markdown], exercise N.N, prediction N.N or tags: …")
    return new_notebook(cells=cells)


def blocks(draft: str) -> list[tuple[str, str]]:
    """(head, body) of each block; what stands above the first is left out."""
    parts = re.split(r"^# %%(.*)$", draft, flags=re.M)[1:]
    return [(head.strip(), body) for head, body in zip(parts[::2], parts[1::2], strict=True)]


def from_notebook(notebook: nbformat.NotebookNode, number: int) -> str:
    """The draft that gives this notebook."""
    content, lines = course.content(number), []
    for cell in notebook.cells:
        own = cell.metadata.get(lesson_cells.KEY, {})
        if own.get("part") in ("task", "question"):
            lines += [f"# %% {'exercise' if own['part'] == 'task' else 'prediction'} {own['of']}"]
        elif "part" in own:
            continue
        elif cell.cell_type == "markdown":
            text = lesson_cells.template(cell, content)
            lines += ["# %% [markdown]", *(f"# {line}".rstrip() for line in text.split("\n"))]
        else:
            tags = cell.metadata.get("tags", [])
            lines += [f"# %% tags: {', '.join(tags)}" if tags else "# %%", cell.source]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="A lesson as a plain Python file, to and from its notebook.")
    commands = parser.add_subparsers(dest="command", required=True)
    there = commands.add_parser("to-notebook", help="write the notebook, run it and store it")
    there.add_argument("draft", type=Path)
    there.add_argument("lesson", type=int)
    there.add_argument("--no-run", action="store_true", help="only write it")
    back = commands.add_parser("from-notebook", help="write the draft of a stored lesson")
    back.add_argument("lesson", type=int)
    back.add_argument("draft", type=Path)
    options = parser.parse_args(arguments)

    path = lessons.LESSONS / f"{course.COURSE[options.lesson].file}.ipynb"
    if options.command == "from-notebook":
        notebook = nbformat.read(path, as_version=4)
        options.draft.write_text(from_notebook(notebook, options.lesson), encoding="utf-8")
        print(f"wrote {options.draft}")
        return 0
    notebook = to_notebook(options.draft.read_text(encoding="utf-8"), options.lesson)
    path.write_text(lessons.as_text(lessons.normalise(notebook)), encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}, {len(notebook.cells)} cells")
    return 0 if options.no_run else lessons.main([str(path)])


if __name__ == "__main__":
    sys.exit(main())
