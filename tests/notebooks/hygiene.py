"""What every stored lesson must be. Each rule is a generator: notebook and path in, complaints out.

A rule says what is wrong and where, so that its message alone is enough to mend the lesson. No complaint is good news.
What `tools.lessons.normalise` takes away (metadata, ids of widgets) needs no rule: a lesson is in stored form.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import nbformat
from bs4 import BeautifulSoup
from nbformat import NotebookNode

MOST_LINES, MOST_CELLS = 15, 60

Rule = Callable[[NotebookNode, Path], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Add a rule to `RULES` under its name."""
    RULES[function.__name__] = function
    return function


# ---------------------------------------------------------------- reading a notebook


def cells(notebook: NotebookNode, kind: str) -> Iterator[tuple[int, NotebookNode]]:
    """(position, cell) of every cell of a kind."""
    return ((position, cell) for position, cell in enumerate(notebook.cells) if cell.cell_type == kind)


def outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """(position of the cell, output)."""
    return ((position, output) for position, cell in cells(notebook, "code") for output in cell.outputs)


def output_texts(notebook: NotebookNode) -> Iterator[tuple[int, str, str]]:
    """(position, MIME type, text) of everything textual that a cell put out; embedded sound and images left out."""
    for position, output in outputs(notebook):
        texts = {"text/plain": output.text} if "text" in output else output.get("data", {})
        if output.output_type == "error":
            texts = {"text/plain": "\n".join([output.ename, output.evalue, *output.traceback])}
        for mime, text in texts.items():
            if mime.startswith("text/") or mime == "image/svg+xml":
                yield position, mime, re.sub(r"data:[a-z/+-]+;base64,[A-Za-z0-9+/=\s]+", "", text)


def without_code(markdown: str) -> str:
    """Markdown with its code blocks and code spans blanked: nothing in them is a heading, a link or a tag."""
    markdown = re.sub(r"^( *)(```|~~~).*?^\1\2", "", markdown, flags=re.M | re.S)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", markdown)


def headings(notebook: NotebookNode) -> Iterator[tuple[int, int, str]]:
    """(position, level, text) of every markdown heading."""
    for position, cell in cells(notebook, "markdown"):
        source = re.sub(r"^( *)(```|~~~).*?^\1\2", "", cell.source, flags=re.M | re.S)
        for match in re.finditer(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*$", source, flags=re.M):
            yield position, len(match[1]), match[2]


@functools.lru_cache(maxsize=32)
def parsed(html: str) -> BeautifulSoup:
    """HTML or SVG, as a browser would read it."""
    return BeautifulSoup(html, "html.parser", multi_valued_attributes=None)


def html_parts(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """(position, HTML) of everything a browser would read as HTML or SVG: markdown, HTML and SVG outputs."""
    for position, cell in cells(notebook, "markdown"):
        yield position, without_code(cell.source)
    for position, mime, text in output_texts(notebook):
        if mime in ("text/html", "image/svg+xml"):
            yield position, text
        elif mime == "text/markdown":
            yield position, without_code(text)


# ---------------------------------------------------------------- run and stored


@rule
def executed_in_order(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Every code cell has run, top to bottom, in a fresh kernel. nbval runs an unexecuted one and compares nothing."""
    for wanted, (position, cell) in enumerate(cells(notebook, "code"), 1):
        if cell.execution_count != wanted:
            yield f"cell {position}: execution count {cell.execution_count}, wanted {wanted}"
    yield from (f"cell {place}: empty" for place, cell in enumerate(notebook.cells) if not cell.source.strip())
    if not any(outputs(notebook)):
        yield "no output is stored: nbval would compare nothing; run make lessons"


@rule
def no_errors(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """No error or warning is stored, but the errors shown on purpose."""
    for position, cell in cells(notebook, "code"):
        on_purpose = "raises-exception" in cell.metadata.get("tags", [])
        errors = [output.ename for output in cell.outputs if output.output_type == "error"]
        if errors and not on_purpose:
            yield f"cell {position}: stored {errors[0]}; if it is on purpose, tag it raises-exception"
        if on_purpose and not errors:
            yield f"cell {position}: tagged raises-exception, but raises nothing"
        if any(output.get("name") == "stderr" for output in cell.outputs):
            yield f"cell {position}: stored text on stderr, a warning perhaps"


@rule
def nothing_that_differs_elsewhere(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """No object address, process id or path of the machine that ran it."""
    folder = r"(?<![\w.:/])/(?:home|root|tmp|usr|var|opt|mnt|work|Users|private)/[\w.-]+|\b[A-Z]:\\\w+"
    for position, mime, text in output_texts(notebook):
        for found in re.findall(rf"\b0x[0-9a-fA-F]{{6,}}\b|\bipykernel_\d+|\bpid[ =:]+\d+|{folder}", text):
            yield f"cell {position}: {found} in its {mime} output"
    for position, cell in enumerate(notebook.cells):
        for found in re.findall(folder, re.sub(r"https?://\S+", "", cell.source)):
            yield f"cell {position}: {found}"


# ---------------------------------------------------------------- readable


@rule
def headings_in_order(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """One H1, and it opens the lesson; no level is skipped on the way down."""
    titles = [position for position, level, _ in headings(notebook) if level == 1]
    if titles != [0]:
        yield f"headings of level 1 in cells {titles}, wanted one, in cell 0"
    before = 0
    for position, level, text in headings(notebook):
        if level > before + 1:
            yield f"cell {position}: '{text}' is of level {level}, after level {before}"
        before = level


@rule
def short_cells(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Code cells are read at a glance, lessons in one sitting."""
    for position, cell in cells(notebook, "code"):
        lines = cell.source.count("\n") + 1
        if lines > MOST_LINES:
            yield f"cell {position}: {lines} lines, at most {MOST_LINES}"
    if len(notebook.cells) > MOST_CELLS:
        yield f"{len(notebook.cells)} cells, at most {MOST_CELLS}"


@rule
def no_block_characters(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """What is drawn is a figure of `w2vlearn.show`, with alt text, not a row of block characters."""
    drawn = [(position, text) for position, _, text in output_texts(notebook)]
    drawn += [(position, cell.source) for position, cell in cells(notebook, "code")]
    yield from (f"cell {position}: draws with block characters" for position, text in drawn if re.search("[▀-▟]", text))


@rule
def alt_text(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Every figure says in words what it shows."""
    for position, html in html_parts(notebook):
        for target in re.findall(r"!\[\s*\]\(([^)]*)\)", html):
            yield f"cell {position}: the image {target} has no alt text"
        for image in parsed(html)("img"):
            if not image.get("alt", "").strip():
                yield f"cell {position}: an <img> without alt text"
        for svg in parsed(html)("svg"):
            if svg.find_parent("svg") or svg.get("aria-hidden") == "true":
                continue
            title = svg.find("title", recursive=False)
            if svg.get("role") != "img":
                yield f'cell {position}: an <svg> without role="img"'
            if not (svg.get("aria-label", "").strip() or (title and title.get_text().strip())):
                yield f"cell {position}: an <svg> with neither aria-label nor title"
    for position, output in outputs(notebook):
        data = output.get("data", {})
        bare = [mime for mime in data if mime.startswith("image/") and mime != "image/svg+xml"]
        if bare and "text/html" not in data:
            yield f"cell {position}: a bare {bare[0]} has no alt text; show it as <img alt=...>"


# ---------------------------------------------------------------- standing alone


@rule
def no_network(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Nothing is fetched: an address may stand in a link that a person clicks, nowhere else."""
    for position, cell in cells(notebook, "code"):
        fetches = r"https?://[^\s'\"]+|^\s*[!%]+\s*(?:pip|conda|curl|wget|git)\b.*"
        yield from (f"cell {position}: {found.strip()}" for found in re.findall(fetches, cell.source, flags=re.M))
    for position, html in html_parts(notebook):
        for image in re.findall(r"!\[[^\]]*\]\(\s*<?(?:https?:)?//[^)]*\)", html):
            yield f"cell {position}: {image}"
        for tag in parsed(html)(True):
            for key in ("src", "srcset", "href", "xlink:href", "data", "poster", "action"):
                fetched = re.match(r"\s*(https?:|wss?:)?//", tag.get(key, ""))
                if fetched and not (tag.name == "a" and key == "href"):
                    yield f"cell {position}: <{tag.name} {key}={tag[key]}>"
        if re.search(r"@import|url\(\s*['\"]?(https?:)?//", html):
            yield f"cell {position}: a style fetches something"


def jupyter_anchor(heading: str) -> str:
    """The id that JupyterLab gives a heading: its text, blanks turned into hyphens."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # a link's words
    plain = re.sub(r"`([^`]*)`", r"\1", plain)
    return re.sub(r"[*]{1,2}([^*]+)[*]{1,2}", r"\1", plain).replace(" ", "-")


def github_anchor(heading: str) -> str:
    """The id that GitHub gives a heading of a .md file: lower case, punctuation dropped."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()).replace(" ", "-")


def page(path: Path) -> NotebookNode:
    """A notebook, or a Markdown file as a notebook of one cell."""
    if path.suffix == ".ipynb":
        return nbformat.read(path, as_version=4)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(path.read_text(encoding="utf-8"))])


@functools.cache
def anchors(path: Path) -> set[str]:
    """Every anchor of a notebook or a Markdown file."""
    anchor = jupyter_anchor if path.suffix == ".ipynb" else github_anchor
    named = {tag.get("id") or tag.get("name", "") for _, html in html_parts(page(path)) for tag in parsed(html)(True)}
    return named | {anchor(text) for _, _, text in headings(page(path))}


@rule
def links_alive(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Links to other files and to headings lead somewhere."""
    for position, html in html_parts(notebook):
        targets = re.findall(r"(?<!\\)\]\(\s*<?([^)\s>]+)>?[^)]*\)", html)
        targets += [tag[key] for tag in parsed(html)(True) for key in ("href", "src") if tag.get(key)]
        for target in targets:
            if re.match(r"[a-z][a-z0-9+.-]*:", target):  # http:, mailto:, data:
                continue
            name, _, fragment = unquote(target).partition("#")
            file = (path.parent / name) if name else path
            if not file.exists():
                yield f"cell {position}: {target} leads nowhere"
            elif fragment and file.suffix in (".ipynb", ".md") and fragment not in anchors(file):
                yield f"cell {position}: {target}: no such heading; there are {sorted(anchors(file) - {''})}"
