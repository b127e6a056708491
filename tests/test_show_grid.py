"""Plain tables: they fit, they never cut a word, and they say what is wrong with their input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2vlearn.show.grid import breakable, grid, markdown, pad_text, text_width, unbreakable, wrap

WORDS = st.lists(st.text(alphabet="abcdefgh,.→", min_size=1, max_size=12), min_size=1, max_size=12)


def test_numbers_to_the_right_and_text_to_the_left():
    assert grid(["name", "n"], [["a", 1], ["b", 22]]).split("\n") == ["name   n", "────────", "a      1", "b     22"]


def test_none_draws_a_rule():
    assert grid(["a"], [["x"], None, ["y"]]).split("\n") == ["a", "─", "x", "─", "y"]


def test_wide_characters_keep_the_columns_straight():
    lines = grid(["a", "b"], [["日本", "x"], ["ab", "y"]]).split("\n")
    assert text_width(lines[2].split("x")[0]) == text_width(lines[3].split("y")[0])
    assert text_width("🔒") == 2 and text_width("é") == 1


@given(WORDS, st.integers(5, 60))
def test_wrapping_keeps_every_word_whole_and_in_order(words, width):
    lines = wrap(" ".join(words), width)
    assert " ".join(lines).split() == words
    assert all(text_width(line) <= max(width, max(map(text_width, words))) for line in lines)


@given(st.lists(st.lists(WORDS.map(" ".join), min_size=3, max_size=3), min_size=1, max_size=5), st.integers(60, 150))
def test_a_table_fits_if_its_words_do(rows, width):
    text = grid(["a", "b", "c"], rows, width=width)
    assert max(map(text_width, text.split("\n"))) <= width
    assert sorted(text.replace("─", " ").split()) == sorted(
        ["a", "b", "c", *" ".join(cell for row in rows for cell in row).split()]
    )


def test_unbreakable_stays_together_and_breakable_breaks():
    assert wrap(unbreakable("a b c"), 1) == ["a\u00a0b\u00a0c"]
    assert wrap(breakable("Wav2Vec2EncoderLayer"), 8) == ["Wav2Vec2", "Encoder", "Layer"]
    assert wrap("  indented words here", 12) == ["  indented", "    words", "    here"]


def test_the_column_named_first_gives_way_first():
    long = "word " * 20
    text = grid(["a", "b"], [[long, long]], width=80, shrink={0: 10})
    assert text.split("\n")[0].index("b") == 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grid(["a", "b"], [["x"]]), "wanted 2 cells in every row, one per header, found 1 in row 0"),
        (lambda: grid(["a"], [["x"]], align="z"), "wanted align as 1 letters out of l, r, c"),
        (lambda: grid(["a"], [["x"]], align="ll"), "wanted align as 1 letters"),
    ],
)
def test_wrong_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_padding_of_text():
    assert (pad_text("a", 4), pad_text("a", 4, "r"), pad_text("a", 4, "c")) == ("a   ", "   a", " a  ")


def test_markdown_escapes_what_would_break_it():
    assert markdown(["a"], [["x|y"], ["u\nv"], None]).split("\n") == ["| a |", "| :-- |", "| x\\|y |", "| u<br>v |"]
