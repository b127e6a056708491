"""One table, four forms: the same rows as text, Markdown, HTML and a pandas data frame; and documents made of tables.

HTML has inline styles only: untrusted notebooks strip stylesheets, scripts and SVG, and what is left is still complete.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from itertools import zip_longest
from typing import Any

from w2vlearn.show.palette import LOCK, LOCK_SVG, Stage, marker

GAP = "  "
DEFAULT_WIDTH = 120
NARROWEST = 60
NOTHING = "–"
_SOFT = "\u200b"  # zero-width space: a word may be broken here

# Notebooks bring styles of their own for tables, so what must hold is said inline, as briefly as possible. The rules
# are a translucent grey, which is seen on white and on black; everything else inherits the theme.
_TABLE = "border-collapse:collapse;background:transparent;color:inherit;font-size:13px;line-height:1.35;margin:6px 0"
_CAPTION = "caption-side:top;text-align:left;padding:6px 0;color:inherit;font-size:14px;font-weight:600"
_ROW = "background:transparent;border-bottom:1px solid rgba(128,128,128,0.45)"
_MONO = "font-family:ui-monospace,'DejaVu Sans Mono',monospace"


@dataclass(frozen=True)
class Cell:
    r"""A cell that looks different from form to form. Plain text or numbers do for all others."""

    text: str  # "\n" starts a new line; leading spaces indent
    code: bool = False  # a name or a shape: type of equal width in HTML, backticks in Markdown
    nowrap: bool = False  # one line in HTML; in text, `unbreakable` says what stays together
    stage: Stage | None = None  # said above the text in HTML, with its colour

    def __str__(self) -> str:
        return self.text


@lru_cache(4096)
def text_width(text: str) -> int:
    """Number of terminal columns that ``text`` takes (wide East Asian characters and emoji take two)."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth  # 12 ms that `import w2vlearn.show` need not cost

    return max(wcswidth(text), 0)


def unbreakable(text: str) -> str:
    """``text`` with its spaces made unbreakable, so that `wrap` and tables keep it on one line."""
    return text.replace(" ", "\u00a0")


def breakable(name: str) -> str:
    """``name`` with permission to be broken after a dot or before a capital (``Wav2Vec2Encoder|Layer``)."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=\.)(?=\w)", _SOFT, name)


@lru_cache(4096)
def wrap(text: str, width: int) -> tuple[str, ...]:
    """Lines of at most ``width`` columns, broken at spaces; what follows the first line is indented like it, plus two.

    A word wider than ``width`` keeps its line to itself and sticks out: names and shapes are never cut in two, unless
    `breakable` said where.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        whole = paragraph.replace(_SOFT, "")
        if text_width(whole) <= width:
            lines.append(whole)
            continue
        bare = paragraph.lstrip(" ")
        indent = paragraph[: len(paragraph) - len(bare)]
        line = ""
        for glue, word in re.findall(f"( +|{_SOFT}|^)([^ {_SOFT}]+)", bare):
            longer = f"{line}{' ' if glue.strip(_SOFT) else ''}{word}" if line else indent + word
            if line and text_width(longer) > width:
                lines.append(line)
                longer = (indent + "  " if indent else "") + word
            line = longer
        lines.append(line)
    return tuple(lines)


def is_number(cell: str) -> bool:
    """True for what a column of numbers may hold: ``"1,024"``, ``"-3.5"``, ``"12 %"``, and "–" for nothing."""
    stripped = cell.replace(",", "").replace("\u202f", "").strip().lstrip("-+").rstrip("%")
    try:
        return stripped in ("", NOTHING, "—") or float(stripped) is not None
    except ValueError:
        return False


@dataclass(frozen=True)
class Table:
    r"""Rows under headers, and the forms in which they can be shown.

    Parameters
    ----------
    headers : sequence of str
        One per column.
    rows : sequence of sequence
        Cells, one per column: `Cell`, text, or anything that ``str`` turns into text.
    caption : str
        What the table shows. Needed for HTML: a table without one means nothing to those who only hear it.
    align : str
        One letter per column: "l" left, "r" right. Default: numbers right, all else left.
    shrink : mapping of int to int
        Columns (0-based) that give way first where the text does not fit, in this order, each down to the width given
        (never below its longest word); after them the widest column gives way.

    Raises
    ------
    ValueError
        If a row or ``align`` has not one entry per column.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    align: str = ""
    shrink: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = len(self.headers)
        for number, row in enumerate(self.rows):
            if len(row) != columns:
                raise ValueError(
                    f"wanted {columns} cells in every row, one per header, found {len(row)} in row {number}: "
                    f"{[str(cell) for cell in row]}"
                )
        if not self.align:
            numbers = [self.rows and all(is_number(str(row[i])) for row in self.rows) for i in range(columns)]
            object.__setattr__(self, "align", "".join("r" if number else "l" for number in numbers))
        if len(self.align) != columns or set(self.align) - {"l", "r"}:
            raise ValueError(f"wanted align as {columns} letters out of l, r, found {self.align!r}")

    def text(self, width: int | None = None) -> str:
        """Columns two spaces apart, a rule under the headers; cells wrap at spaces to fit ``width`` (120 unless said).

        Single words are never cut, so a table can become wider than asked. No line ends with spaces.
        """
        if not self.headers:
            return ""
        cells = [[str(cell) for cell in row] for row in (self.headers, *self.rows)]
        gaps = len(GAP) * (len(self.headers) - 1)
        widths = self._fit(cells, max(NARROWEST, width or DEFAULT_WIDTH) - gaps)
        lines = []
        for row in cells:
            wrapped = [wrap(cell, column) for cell, column in zip(row, widths, strict=True)]
            for line in zip_longest(*wrapped, fillvalue=""):
                padded = []
                for cell, column, side in zip(line, widths, self.align, strict=True):
                    spaces = " " * (column - text_width(cell))
                    padded.append(spaces + cell if side == "r" else cell + spaces)
                lines.append(GAP.join(padded).replace("\u00a0", " ").rstrip())
            if row is cells[0]:
                lines.append("─" * (sum(widths) + gaps))
        return "\n".join(lines)

    def _fit(self, cells: list[list[str]], available: int) -> list[int]:
        """Column widths, narrowed until they fit if they can: columns that shrink, then the widest."""
        columns = list(zip(*cells, strict=True))
        widths, minimum = (
            [max(text_width(line) for cell in column for line in wrap(cell, limit)) for column in columns]
            for limit in (9999, 1)
        )
        for index, floor in self.shrink.items():
            widths[index] -= max(0, min(sum(widths) - available, widths[index] - max(floor, minimum[index])))
        while sum(widths) > available:
            candidates = [index for index in range(len(widths)) if widths[index] > minimum[index]]
            if not candidates:
                break
            widths[max(candidates, key=lambda index: (widths[index], index))] -= 1
        return widths

    def markdown(self) -> str:
        """GitHub's Markdown; line breaks become ``<br>``."""
        lines = [[_markdown_cell(cell) for cell in row] for row in (self.headers, *self.rows)]
        lines.insert(1, [{"l": ":--", "r": "--:"}[side] for side in self.align])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def html(self) -> str:
        """HTML with a caption and header cells that screen readers can follow; the first cell of a row names the row.

        Raises
        ------
        ValueError
            If there is no caption.
        """
        if not self.caption.strip():
            raise ValueError("a table needs a caption: say in one line what it shows")
        head = "".join(_html_cell("th", "col", *cell) for cell in zip(self.headers, self.align, strict=True))
        body = ""
        for row in self.rows:
            first, *others = zip(row, self.align, strict=True)
            content = _html_cell("th", "row", *first) + "".join(_html_cell("td", "", *cell) for cell in others)
            body += f'<tr style="{_ROW}">{content}</tr>'
        return (
            f'<div style="overflow-x:auto"><table style="{_TABLE}"><caption style="{_CAPTION}">{escape(self.caption)}'
            f'</caption><thead><tr style="{_ROW}">{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def pandas(self) -> Any:
        """A ``pandas.DataFrame`` of the cells as they are.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "to_pandas needs pandas, which is not installed: pip install pandas; to_dict() needs nothing"
            ) from error
        rows = [[_plain(str(cell)) if isinstance(cell, Cell | str) else cell for cell in row] for row in self.rows]
        return pandas.DataFrame(rows, columns=list(self.headers))


def _plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace(_SOFT, "")


def _markdown_cell(value: Any) -> str:
    text = _plain(str(value))
    bare = text.strip(" ").replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>")
    if isinstance(value, Cell) and value.code and "<br>" not in bare:
        return "&nbsp;" * (len(text) - len(text.lstrip(" "))) + f"`{bare}`"
    return bare


def _html_cell(tag: str, scope: str, value: Any, side: str) -> str:
    text = _plain(str(value)) if isinstance(value, Cell) else str(value).replace(_SOFT, "")
    style = f"text-align:{'right' if side == 'r' else 'left'};vertical-align:top;padding:4px 6px"
    stage = ""
    if isinstance(value, Cell):
        bare = text.lstrip(" ")
        style += ";white-space:nowrap" if value.nowrap else ""
        style += f";{_MONO}" if value.code else ""
        style += f";padding-left:{6 + 7 * (len(text) - len(bare))}px" if bare != text else ""
        stage, text = f"{marker(value.stage)}{escape(value.stage.name)}<br>" if value.stage else "", bare
    style += ";font-weight:400" if scope == "row" else ""
    scope = f' scope="{scope}"' if scope else ""
    return f'<{tag}{scope} style="{style}">{stage}{escape(text).replace(chr(10), "<br>")}</{tag}>'


@dataclass(frozen=True)
class Raw:
    """HTML that a document holds as it is, and that its other forms leave out (a picture that repeats the text)."""

    html: str


@dataclass(frozen=True)
class Alert:
    """A paragraph that says what went wrong, its first words in bold."""

    label: str
    text: str


def folded(table: Table) -> Raw:
    """A table behind a line to click on; in HTML only, for what it holds is in the text's own table too."""
    return Raw(f'<details style="margin:6px 0"><summary>{escape(table.caption)}</summary>{table.html()}</details>')


@dataclass(frozen=True)
class Document:
    """Paragraphs (``""`` for an empty line of text), tables and pictures, one after the other."""

    blocks: Sequence[str | Table | Raw | Alert]

    def text(self, width: int | None = None) -> str:
        """Plain text, no newline at the end."""
        lines = []
        for block in self.blocks:
            if isinstance(block, Table):
                lines.append(block.text(width))
            elif isinstance(block, str | Alert):
                words = block if isinstance(block, str) else f"{block.label} {block.text}"
                lines += [line.replace("\u00a0", " ") for line in wrap(words, width or DEFAULT_WIDTH)]
        return "\n".join(lines)

    def markdown(self) -> str:
        """GitHub's Markdown; paragraphs that follow a table become a list."""
        parts: list[str] = []
        after_table: list[str] = []
        for index, block in enumerate(self.blocks):
            if isinstance(block, Table):
                parts.append(block.markdown())
            elif isinstance(block, str | Alert) and block != "":
                words = _plain(block if isinstance(block, str) else f"**{block.label}** {block.text}")
                if any(isinstance(earlier, Table) for earlier in self.blocks[:index]):
                    after_table.append(f"- {words}")
                else:
                    parts += words.split("\n")
        return "\n\n".join([*parts, "\n".join(after_table)]).rstrip("\n") + "\n"

    def html(self) -> str:
        """One ``<div>`` that follows the theme, folds with ``<details>`` and works without scripts."""
        return f'<div style="color:inherit;background:transparent">{"".join(map(_html_block, self.blocks))}</div>'

    def pandas(self) -> Any:
        """The last table as a ``pandas.DataFrame``."""
        return [block for block in self.blocks if isinstance(block, Table)][-1].pandas()


def _html_block(block: str | Table | Raw | Alert) -> str:
    if isinstance(block, Table):
        return block.html()
    if isinstance(block, Raw):
        return block.html
    if isinstance(block, Alert):
        return f'<p role="alert"><strong>{escape(block.label)}</strong> {escape(block.text)}</p>'
    lines = [escape(line).replace(LOCK, LOCK_SVG) for line in block.split("\n") if line]
    return "".join(f'<p style="margin:4px 0">{line}</p>' for line in lines)
