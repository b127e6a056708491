"""Numbers in prose: written as ``{{expression}}``, computed in the lesson's file, and found again in the text.

``{{T(SECOND)}}`` becomes 49, ``{{SECOND}}`` becomes 16 000 (with a blank that no line breaks at), ``{{SECOND:_}}``
16_000 for code, ``{{leak:.2f}}`` 0.34. The tests find every number of the text and compare it with its expression.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

__all__ = ["compute", "expressions", "fill", "numbers", "print_error", "wrapped"]

WIDTH = 100  # of a printed line
NO_BREAK = "\u00a0"
KEPT_BLANK, KEPT_HYPHEN = "\ue000", "\ue001"  # private characters: where a line must not end
PLACE = re.compile(r"\{\{(.+?)\}\}", re.S)
SPEC = re.compile(r":(_|\.\d+[efg%]|[defg])$")
NUMBER = re.compile(r"(?<![\w.])(?:\d{1,3}(?:[\u00a0\u202f_]\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?")
SMALLEST = ("0", "1")  # in prose these two are words: "no frame, one frame"

# What looks like a number and counts nothing: places in the course and in papers, names, versions, links, list items.
EXEMPT = re.compile(
    r"""
    \]\([^)]*\) | <!--.*?--> | </?[a-zA-Z][^<>]*> | https?://\S+               # links, comments, tags
    | ^[ ]*\d+\.[ ] | ^\#[ ][^\n]*                                            # list items, the lesson's title
    | \b(?:lessons?|exercises?|predictions?|sections?|figures?|tables?|appendix|equations?|pages?|hints?|issues?|PR)[ ]
      [A-Z]?\d+(?:\.\d+)*(?:(?:,[ ]|[ ]and[ ]|[ ]to[ ]|–)\d+(?:\.\d+)*)*       # "lessons 2 and 3", "section 4.2"
    | \#\d+ | \bQ\d+
    | \bet[ ]al\.?,?[ ]\(?(?:19|20)\d\d | \((?:[^()\d]*,?[ ])?(?:19|20)\d\d\)  # "et al. 2020", "(Interspeech, 2019)"
    | \b(?:wav2vec|Python|torch|PyTorch|transformers|torchaudio|CUDA|fairseq|BERT|v)[ ]?\d+(?:\.\d+)*
    | \b\d-?D\b                                                                # 2-D
    """,
    re.X | re.M | re.I | re.S,
)


def fill(text: str, names: Mapping[str, Any]) -> str:
    """The text with every ``{{expression}}`` replaced by its value.

    Raises
    ------
    ValueError
        If an expression fails, or is a bare number above 9: that would be typed, not computed.
    """
    return PLACE.sub(lambda place: compute(place[1], names), text)


def expressions(text: str) -> list[str]:
    """The expressions in a text, in order."""
    return [place.strip() for place in PLACE.findall(text)]


def compute(expression: str, names: Mapping[str, Any]) -> str:
    """The value of one expression as prose writes it."""
    expression = expression.strip()
    spec = SPEC.search(expression)
    code = expression[: spec.start()] if spec else expression
    try:
        tree = ast.parse(code.strip(), mode="eval")
        value = eval(compile(tree, "<prose>", "eval"), dict(names))
    except Exception as error:
        raise ValueError(
            f"{{{{{expression}}}}} in the lesson's prose fails: {type(error).__name__}: {error}"
        ) from error
    if isinstance(tree.body, ast.Constant) and not (isinstance(value, int) and value <= 9):
        raise ValueError(f"{{{{{expression}}}}} is typed, not computed: name where the number comes from")
    if hasattr(value, "item"):
        value = value.item()
    if spec:
        return format(value, spec[1])
    if isinstance(value, Integral):
        return f"{value:,}".replace(",", NO_BREAK) if value >= 10_000 else str(value)
    return f"{value:g}" if isinstance(value, Real) else str(value)


def numbers(text: str) -> list[re.Match]:
    """Every number in a text that has to be computed; a match knows where it stands."""
    blanked = EXEMPT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return [match for match in NUMBER.finditer(blanked) if match[0] not in SMALLEST]


def wrapped(text: str) -> str:
    """Markdown as printed text, in lines of at most 100 characters; line breaks stay, what follows one is indented.

    Emphasis loses its asterisks, and no line ends within `code`.
    """
    code = re.compile(r"(`[^`\n]*`)")
    parts = code.split(text)
    parts[::2] = [re.sub(r"(?<![\w*])(\*{1,2})(?=\S)([^*\n]+?)(?<=\S)\1(?![\w*])", r"\2", part) for part in parts[::2]]
    parts[1::2] = [part.replace(" ", KEPT_BLANK).replace("-", KEPT_HYPHEN) for part in parts[1::2]]
    lines = [
        textwrap.fill(line, WIDTH, initial_indent="  " * (place > 0), subsequent_indent="  ", break_long_words=False)
        for place, line in enumerate("".join(parts).split("\n"))
    ]
    return "\n".join(lines).replace(KEPT_BLANK, " ").replace(KEPT_HYPHEN, "-")


def print_error(error: BaseException, name: str = "") -> None:
    """Print an error's text so that its lines end between words; a notebook breaks long lines within them.

    Parameters
    ----------
    error : exception
    name : str
        What was tried, printed before it: ``print_error(error, "one entry per frame")``.
    """
    print(wrapped(f"{name}: {error}" if name else f"{type(error).__name__}: {error}"))
