"""Plain text for the notebook: wrapped, the same on every run."""

from __future__ import annotations

import textwrap

__all__ = ["WIDTH", "wrapped"]

WIDTH = 100


def wrapped(text: str) -> str:
    """The text in lines of at most 100 characters; line breaks in it stay, following lines are indented by two."""
    lines = []
    for position, paragraph in enumerate(text.split("\n")):
        first = "" if position == 0 else "  "
        lines.append(
            textwrap.fill(paragraph, WIDTH, initial_indent=first, subsequent_indent="  ", break_long_words=False)
        )
    return "\n".join(lines)
