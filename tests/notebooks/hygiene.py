"""What every stored lesson must be. Each rule is a function: notebook (as a dict) and path in, complaints out.

A rule says what is wrong and where, so that its message alone is enough to mend the lesson. An empty list is good news.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

from bs4 import BeautifulSoup

MOST_LINES, MOST_CELLS = 15, 60

Rule = Callable[[dict, Path], list[str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Add a rule to `RULES` under its name."""
    RULES[function.__name__] = function
    return function


# ---------------------------------------------------------------- reading a notebook


def text_of(value: str | list[str]) -> str:
    """A string, whether the file stores it as one or as a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def cells(notebook: dict, kind: str) -> Iterator[tuple[int, dict]]:
    """(position, cell) of every cell of a kind, empty code cells left out."""
    for position, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == kind and (kind != "code" or text_of(cell["source"]).strip()):
            yield position, cell


def outputs(notebook: dict) -> Iterator[tuple[int, dict]]:
    """(position of the cell, output)."""
    for position, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            yield position, output


def output_texts(notebook: dict) -> Iterator[tuple[int, str, str]]:
    """(position, MIME type, text) of everything textual that a cell put out."""
    for position, output in outputs(notebook):
        if "text" in output:
            yield position, "text/plain", text_of(output["text"])
        if output["output_type"] == "error":
            yield position, "text/plain", "\n".join([output["ename"], output["evalue"], *output["traceback"]])
        for mime, value in output.get("data", {}).items():
            if mime.startswith("text/") or mime == "image/svg+xml":
                yield position, mime, text_of(value)


def without_code(markdown: str) -> str:
    """Markdown with its code blocks and code spans blanked: nothing in them is a heading, a link or a tag."""
    markdown = re.sub(r"^( *)(```|~~~).*?^\1\2", "", markdown, flags=re.M | re.S)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", markdown)


def headings(notebook: dict) -> Iterator[tuple[int, int, str]]:
    """(position, level, text) of every markdown heading."""
    for position, cell in cells(notebook, "markdown"):
        source = re.sub(r"^( *)(```|~~~).*?^\1\2", "", text_of(cell["source"]), flags=re.M | re.S)
        for match in re.finditer(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*$", source, flags=re.M):
            yield position, len(match[1]), match[2]


@functools.lru_cache(maxsize=32)
def parsed(html: str) -> BeautifulSoup:
    """HTML or SVG, as a browser would read it."""
    return BeautifulSoup(html, "html.parser", multi_valued_attributes=None)


def html_parts(notebook: dict) -> Iterator[tuple[int, str]]:
    """(position, HTML) of everything a browser would read as HTML or SVG: markdown, HTML and SVG outputs."""
    for position, cell in cells(notebook, "markdown"):
        yield position, without_code(text_of(cell["source"]))
    for position, mime, text in output_texts(notebook):
        if mime in ("text/html", "image/svg+xml"):
            yield position, text
        elif mime == "text/markdown":
            yield position, without_code(text)


# ---------------------------------------------------------------- run and stored


@rule
def executed_in_order(notebook: dict, path: Path) -> list[str]:
    """Every code cell has run, top to bottom, in a fresh kernel. nbval runs an unexecuted one and compares nothing."""
    counts = [(position, cell.get("execution_count")) for position, cell in cells(notebook, "code")]
    complaints = [
        f"cell {position}: execution count {count}, wanted {wanted}"
        for wanted, (position, count) in enumerate(counts, 1)
        if count != wanted
    ]
    if not counts:
        complaints.append("no code cell at all")
    empty = [p for p, cell in enumerate(notebook["cells"]) if not text_of(cell["source"]).strip()]
    return complaints + [f"cell {position}: empty" for position in empty]


@rule
def outputs_stored(notebook: dict, path: Path) -> list[str]:
    """A notebook whose outputs were stripped, counts left, is compared with nothing."""
    if any(True for _ in outputs(notebook)):
        return []
    return ["no output is stored: nbval would compare nothing; run make lessons"]


@rule
def no_errors(notebook: dict, path: Path) -> list[str]:
    """No error or warning is stored, but the errors shown on purpose."""
    complaints = []
    for position, cell in cells(notebook, "code"):
        on_purpose = "raises-exception" in cell.get("metadata", {}).get("tags", [])
        errors = [output["ename"] for output in cell.get("outputs", []) if output["output_type"] == "error"]
        if errors and not on_purpose:
            complaints.append(f"cell {position}: stored {errors[0]}; if it is on purpose, tag it raises-exception")
        if on_purpose and not errors:
            complaints.append(f"cell {position}: tagged raises-exception, but raises nothing")
        if any(output.get("name") == "stderr" for output in cell.get("outputs", [])):
            complaints.append(f"cell {position}: stored text on stderr, a warning perhaps")
    return complaints


@rule
def nothing_that_differs_from_run_to_run(notebook: dict, path: Path) -> list[str]:
    """No object address, process id, temporary name or random id in an output."""
    complaints = []
    for position, mime, text in output_texts(notebook):
        text = re.sub(r"data:[a-z/+-]+;base64,[A-Za-z0-9+/=\s]+", "", text)
        for found in re.findall(r"\b0x[0-9a-fA-F]{6,}\b|\bipykernel_\d+|\bpid[ =:]+\d+", text):
            complaints.append(f"cell {position}: {found} in its {mime} output")
    for position, output in outputs(notebook):
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
            complaints.append(f"cell {position}: a widget view with a random id; run make lessons")
    return complaints


@rule
def no_noise_in_metadata(notebook: dict, path: Path) -> list[str]:
    """No execution time, no Python version, no widget state, no kernel of somebody's own."""
    metadata = notebook["metadata"]
    complaints = []
    if "widgets" in metadata:
        complaints.append("metadata.widgets: widget state")
    if "version" in metadata.get("language_info", {}):
        complaints.append("metadata.language_info.version: the Python version of whoever ran it")
    if metadata.get("kernelspec", {}).get("name") != "python3":
        complaints.append(f"metadata.kernelspec: {metadata.get('kernelspec')}, wanted the kernel python3")
    for position, cell in enumerate(notebook["cells"]):
        for key in cell.get("metadata", {}).keys() - {"tags", "jupyter", "lesson"}:
            complaints.append(f"cell {position}: metadata.{key}")
    return complaints


# ---------------------------------------------------------------- readable


@rule
def one_title(notebook: dict, path: Path) -> list[str]:
    """One H1, and it opens the lesson."""
    titles = [(position, text) for position, level, text in headings(notebook) if level == 1]
    if len(titles) != 1:
        return [f"{len(titles)} headings of level 1, wanted one: {[text for _, text in titles]}"]
    return [] if titles[0][0] == 0 else [f"cell {titles[0][0]}: the title; wanted it in cell 0"]


@rule
def heading_levels(notebook: dict, path: Path) -> list[str]:
    """No level is skipped on the way down."""
    complaints, before = [], 0
    for position, level, text in headings(notebook):
        if level > before + 1:
            complaints.append(f"cell {position}: '{text}' is of level {level}, after level {before}")
        before = level
    return complaints


@rule
def short_cells(notebook: dict, path: Path) -> list[str]:
    """Code cells are read at a glance, lessons in one sitting."""
    complaints = []
    for position, cell in cells(notebook, "code"):
        lines = len(text_of(cell["source"]).strip("\n").split("\n"))
        if lines > MOST_LINES:
            complaints.append(f"cell {position}: {lines} lines, at most {MOST_LINES}")
    if len(notebook["cells"]) > MOST_CELLS:
        complaints.append(f"{len(notebook['cells'])} cells, at most {MOST_CELLS}")
    return complaints


@rule
def no_trailing_semicolon(notebook: dict, path: Path) -> list[str]:
    """A trailing ';' hides an output in JupyterLab but not under nbval: end with plt.show() or `_ = ...`."""
    return [
        f"cell {position}: ends in ';'"
        for position, cell in cells(notebook, "code")
        if re.sub(r"\s*#.*$", "", text_of(cell["source"]).strip()).endswith(";")
    ]


@rule
def no_block_characters(notebook: dict, path: Path) -> list[str]:
    """What is drawn is a figure of `w2vlearn.show`, with alt text, not a row of block characters."""
    drawn = [(position, text) for position, _, text in output_texts(notebook)]
    drawn += [(position, text_of(cell["source"])) for position, cell in cells(notebook, "code")]
    return [f"cell {position}: draws with block characters" for position, text in drawn if re.search("[▀-▟]", text)]


@rule
def alt_text(notebook: dict, path: Path) -> list[str]:
    """Every figure says in words what it shows."""
    complaints = []
    for position, cell in cells(notebook, "markdown"):
        for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", without_code(text_of(cell["source"]))):
            if not alt.strip():
                complaints.append(f"cell {position}: the image {target} has no alt text")
    for position, html in html_parts(notebook):
        for image in parsed(html)("img"):
            if not image.get("alt", "").strip():
                complaints.append(f"cell {position}: an <img> without alt text")
        for svg in parsed(html)("svg"):
            if svg.find_parent("svg") or svg.get("aria-hidden") == "true":
                continue
            title = svg.find("title", recursive=False)
            if svg.get("role") != "img":
                complaints.append(f'cell {position}: an <svg> without role="img"')
            if not (svg.get("aria-label", "").strip() or (title and title.get_text().strip())):
                complaints.append(f"cell {position}: an <svg> with neither aria-label nor title")
    for position, output in outputs(notebook):
        data = output.get("data", {})
        bare = [mime for mime in data if mime.startswith("image/") and mime != "image/svg+xml"]
        if bare and "text/html" not in data:
            complaints.append(f"cell {position}: a bare {bare[0]} has no alt text; show it as <img alt=...>")
    return complaints


# ---------------------------------------------------------------- standing alone


@rule
def no_network(notebook: dict, path: Path) -> list[str]:
    """Nothing is fetched: an address may stand in a link that a person clicks, nowhere else."""
    complaints = []
    for position, cell in cells(notebook, "code"):
        source = text_of(cell["source"])
        for found in re.findall(r"https?://[^\s'\"]+|^\s*[!%]+\s*(?:pip|conda|curl|wget|git)\b.*", source, flags=re.M):
            complaints.append(f"cell {position}: {found.strip()}")
    for position, html in html_parts(notebook):
        for image in re.findall(r"!\[[^\]]*\]\(\s*<?(?:https?:)?//[^)]*\)", html):
            complaints.append(f"cell {position}: {image}")
        for tag in parsed(html)(True):
            for key in ("src", "srcset", "href", "xlink:href", "data", "poster", "action"):
                fetched = re.match(r"\s*(https?:|wss?:)?//", tag.get(key, ""))
                if fetched and not (tag.name == "a" and key == "href"):
                    complaints.append(f"cell {position}: <{tag.name} {key}={tag[key]}>")
            if re.search(r"url\(\s*['\"]?(https?:)?//", tag.get("style", "")):
                complaints.append(f"cell {position}: a style fetches {tag['style']}")
        if re.search(r"@import|url\(\s*['\"]?https?://", html):
            complaints.append(f"cell {position}: a style sheet fetches something")
    return complaints


@rule
def no_absolute_paths(notebook: dict, path: Path) -> list[str]:
    """No path of the machine that ran it, in source or output."""
    pattern = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|usr|var|opt|mnt|work|Users|private)/[\w.-]+|\b[A-Z]:\\\w+")
    sources = [(position, text_of(cell["source"])) for position, cell in enumerate(notebook["cells"])]
    texts = sources + [(position, text) for position, _, text in output_texts(notebook)]
    complaints = []
    for position, text in texts:
        text = re.sub(r"https?://\S+|data:[a-z/+-]+;base64,[A-Za-z0-9+/=\s]+", "", text)
        complaints += [f"cell {position}: {found}" for found in pattern.findall(text)]
    return complaints


def jupyter_anchor(heading: str) -> str:
    """The id that JupyterLab gives a heading: its text, blanks turned into hyphens."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # a link's words
    plain = re.sub(r"`([^`]*)`", r"\1", plain)
    return re.sub(r"[*]{1,2}([^*]+)[*]{1,2}", r"\1", plain).replace(" ", "-")


def github_anchor(heading: str) -> str:
    """The id that GitHub gives a heading of a .md file: lower case, punctuation dropped."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()).replace(" ", "-")


def anchors(target: Path) -> set[str]:
    """Every anchor of a notebook or a markdown file."""
    if target.suffix == ".ipynb":
        notebook, anchor = json.loads(target.read_text(encoding="utf-8")), jupyter_anchor
    else:
        source = target.read_text(encoding="utf-8")
        notebook, anchor = {"cells": [{"cell_type": "markdown", "source": source}]}, github_anchor
    return _anchors(notebook, anchor)


def _anchors(notebook: dict, anchor: Callable[[str], str]) -> set[str]:
    named = {tag.get("id") or tag.get("name", "") for _, html in html_parts(notebook) for tag in parsed(html)(True)}
    return named | {anchor(text) for _, _, text in headings(notebook)}


@rule
def links_alive(notebook: dict, path: Path) -> list[str]:
    """Links to other files and to headings lead somewhere."""
    complaints = []
    for position, html in html_parts(notebook):
        targets = re.findall(r"(?<!\\)\]\(\s*<?([^)\s>]+)>?[^)]*\)", html)
        targets += [tag[key] for tag in parsed(html)(True) for key in ("href", "src") if tag.get(key)]
        for target in targets:
            if re.match(r"[a-z][a-z0-9+.-]*:", target):  # http:, mailto:, data:
                continue
            name, _, fragment = unquote(target).partition("#")
            file = (path.parent / name) if name else path
            if name and not file.exists():
                complaints.append(f"cell {position}: {target} leads nowhere")
            elif fragment and (file.suffix in (".ipynb", ".md")):
                known = anchors(file) if name else _anchors(notebook, jupyter_anchor)
                if fragment not in known:
                    complaints.append(f"cell {position}: {target}: no such heading; there are {sorted(known - {''})}")
    return complaints
