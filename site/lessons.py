"""All lessons as pages, from their stored outputs: sources are copied, completed by a note, and handed to Sphinx."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import nbformat
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LESSONS = ROOT / "notebooks"

INDEX = """# The lessons

{text}

```{{toctree}}
:hidden:
:caption: Lessons

{lessons}
```

```{{toctree}}
:hidden:
:caption: To look things up

notebooks/README
notebooks/glossary
```
"""
OPEN = """```{{admonition}} Open this lesson
These are its stored outputs. To run it, predict and solve its exercises, say in the project's folder:
`make lab LESSON={number}`
```"""


def anchor(title: str) -> str:
    """A heading's anchor as JupyterLab makes it, so that the notebooks' links lead to it here as well."""
    return title.replace(" ", "-")


def index() -> str:
    """README's section on the lessons, links as this site has them."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.search(r"^## The lessons\n+(.+?)(?=^## )", readme, re.S | re.M)[1].strip()
    names = sorted(path.stem for path in LESSONS.glob("*.ipynb"))
    return INDEX.format(text=text, lessons="\n".join(f"notebooks/{name}" for name in names))


def with_note(path: Path) -> nbformat.NotebookNode:
    """A lesson, with the command that opens it below its first cell."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(OPEN.format(number=int(path.stem[:2]))))
    return notebook


def write_sources(folder: Path) -> None:
    """What Sphinx reads: the index, the lessons, the index of questions, the glossary, images."""
    target = folder / "notebooks"
    target.mkdir(parents=True)
    (folder / "index.md").write_text(index(), encoding="utf-8")
    for path in LESSONS.glob("*.ipynb"):
        nbformat.write(with_note(path), target / path.name)
    for path in LESSONS.glob("*.md"):
        (target / path.name).write_text(
            path.read_text(encoding="utf-8").replace("../README.md", "../index.md"), encoding="utf-8"
        )
    shutil.copytree(LESSONS / "images", target / "images")


def build_lessons(out: Path) -> None:
    """Write the pages into ``out``; a warning of Sphinx is an error."""
    with tempfile.TemporaryDirectory() as folder, docutils_namespace():
        sources = Path(folder) / "sources"
        write_sources(sources)
        trees = Path(folder) / "trees"
        app = Sphinx(sources, HERE, out, trees, "html", status=None, warningiserror=True, keep_going=True, parallel=1)
        app.build()
        if app.statuscode:
            raise SystemExit("Sphinx warned, see above: the lessons' pages are not whole")
    for page in out.rglob("*.html"):  # a heading that heads nothing is none
        text = page.read_text(encoding="utf-8")
        page.write_text(re.sub(r'<th class="head"><p></p></th>', "<td></td>", text), encoding="utf-8")
    for left_over in (".buildinfo", "objects.inv"):
        (out / left_over).unlink(missing_ok=True)
    shutil.rmtree(out / "_sources", ignore_errors=True)
