"""What a lesson prints of its texts: no Markdown, lines that end between words and never within code."""

from __future__ import annotations

import re

import pytest
from lesson_files import NUMBERS, texts

from course import contents
from course.prose import fill, print_error, wrapped


@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_printed_holds_no_markdown(number):
    for where, text in texts(number):
        for line in wrapped(fill(text, vars(contents.content(number)))).splitlines():
            outside = re.sub(r"`[^`]*`", "", line)
            assert "`" not in outside, f"{where}: a line ends within code: {line!r}"
            assert not re.search(r"(?<![\w*])\*{1,2}\w[^*]*\*", outside), f"{where}: raw asterisks: {line!r}"
            assert len(line) <= 100 or "`" in line, f"{where}: {line!r}"


def test_printed_text_keeps_code_and_loses_emphasis(capsys):
    assert wrapped("what *goes in*, **all** of `a * b * c`: 2 * 3 * 4") == "what goes in, all of `a * b * c`: 2 * 3 * 4"
    print_error(ValueError("no clip " * 20), "empty")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and " ".join(lines).split() == ["empty:", *["no", "clip"] * 20]
    text = "word " * 18 + "`f(first, second, third)` and more"
    assert wrapped(text).splitlines()[1] == "  `f(first, second, third)` and more"
