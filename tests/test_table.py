"""One table in four forms: it fits, never cuts a word, holds the same cells in every form, and explains bad input."""

import re
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_reader import PageReader

from w2vlearn.show import Table
from w2vlearn.show.table import Alert, Cell, Document, Raw, breakable, folded, text_width, unbreakable, wrap

WORDS = st.lists(st.text(alphabet="abcdefgh,.→日é", min_size=1, max_size=12), min_size=1, max_size=12)
ROWS = st.lists(st.lists(WORDS.map(" ".join), min_size=3, max_size=3), min_size=1, max_size=5)


def test_numbers_to_the_right_text_to_the_left_and_the_column_named_first_gives_way_first():
    table = Table(["name", "n"], [["日本", 1], ["b", 22]])
    assert table.text().split("\n") == ["name   n", "────────", "日本   1", "b     22"]
    long = "word " * 20
    assert Table(["a", "b"], [[long, long]], shrink={0: 10}).text(80).split("\n")[0].index("b") == 12


@given(WORDS, st.integers(5, 60))
@settings(max_examples=40)
def test_wrapping_keeps_every_word_whole_and_in_order(words, width):
    lines = wrap(" ".join(words), width)
    assert " ".join(lines).split() == words
    assert all(text_width(line) <= max(width, max(map(text_width, words))) for line in lines)


@given(ROWS, st.integers(100, 150))
@settings(max_examples=30)
def test_every_form_holds_the_same_words_and_the_text_fits(rows, width):
    table = Table(["a", "b", "c"], rows, caption="words")
    text = table.text(width)
    assert max(map(text_width, text.split("\n"))) <= width and not re.search(" $", text, re.MULTILINE)
    words = sorted(["a", "b", "c", *" ".join(cell for row in rows for cell in row).split()])
    assert sorted(text.replace("─", " ").split()) == words
    _, rule, *_ = markdown = table.markdown().split("\n")
    markdown.remove(rule)
    assert sorted(" ".join(markdown).replace("|", " ").split()) == words
    assert sorted(PageReader(table.html()).text().split()) == sorted([*words, "words"])
    frame = table.pandas()
    assert frame.values.tolist() == rows and list(frame.columns) == ["a", "b", "c"]


def test_unbreakable_stays_together_and_breakable_breaks():
    assert wrap(unbreakable("a b c"), 1) == ("a\u00a0b\u00a0c",)
    assert wrap(breakable("Wav2Vec2EncoderLayer"), 8) == ("Wav2Vec2", "Encoder", "Layer")
    assert wrap("  indented words here", 12) == ("  indented", "    words", "    here")
    assert [text_width(sign) for sign in ("日本", "🔒", "é", "e\u0301", "⚠", "a\u200b")] == [4, 2, 1, 1, 1, 1]


def test_markup_and_marks_of_one_form_never_reach_another():
    cells = ["x|y\nz", "<b>&", Cell("  a.b", code=True, nowrap=True), breakable("AbCd")]
    table = Table(list("wxyz"), [cells], caption='a "caption" <i>')
    assert table.markdown().split("\n")[2] == "| x\\|y<br>z | <b>& | &nbsp;&nbsp;`a.b` | AbCd |"
    html = table.html()
    assert "x|y<br>z" in html and "&lt;b&gt;&amp;" in html and "<b>" not in html and "<i>" not in html
    assert "padding-left:20px" in html and ">AbCd<" in html
    assert table.pandas().values.tolist() == [["x|y\nz", "<b>&", "  a.b", "AbCd"]]


def test_an_html_table_can_be_followed_by_ear():
    page = PageReader(Table(["a", "b"], [[1, 2], [3, 4]], caption="numbers").html())
    assert [attributes["scope"] for attributes, _ in page.all("th")] == ["col", "col", "row", "row"]
    assert [inside[-1] for _, inside in page.all("caption")] == ["table"] and len(page.all("td")) == 2


def test_a_document_in_every_form():
    table, hidden = (Table(["a"], [[n]], caption=f"table {n}") for n in (1, 2))
    document = Document(["two\nlines", "", table, Alert("Broken:", "<x>"), "after it", folded(hidden), Raw("<svg/>")])
    assert document.text() == "two\nlines\n\na\n─\n1\nBroken: <x>\nafter it"
    assert document.markdown().split("\n")[-3:] == ["- **Broken:** <x>", "- after it", ""]
    page = document.html()
    PageReader(page)
    assert "<strong>Broken:</strong> &lt;x&gt;" in page and "<summary>table 2</summary>" in page and "<svg/>" in page
    assert unescape(page).count("<p ") == 4 and document.pandas().values.tolist() == [[1]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Table(["a", "b"], [["x"]]), "wanted 2 cells in every row, one per header, found 1 in row 0"),
        (lambda: Table(["a"], [["x"]], align="z"), "wanted align as 1 letters out of l, r"),
        (lambda: Table(["a"], [["x"]], caption=" ").html(), "a table needs a caption"),
    ],
)
def test_wrong_input_is_explained(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_pandas_that_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        Table(["a"], [[1]]).pandas()
