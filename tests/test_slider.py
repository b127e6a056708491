"""The slider without a browser: its value, its text and picture, its question, and what it says to a wrong value."""

import base64
import re

import pytest

from w2vlearn.show.canvas import Canvas
from w2vlearn.widgets import slide
from w2vlearn.widgets.still import RUN_TO_MOVE


def figure(value):
    canvas = Canvas(200)
    canvas.rect(0, 0, value, 10, "currentColor")
    return canvas.picture(20, alt=f"A bar {value} wide & high", text=f"bar: {value}")


def test_moving_it_shows_what_draw_returns():
    slider = slide("samples L", range(400, 1000, 80), lambda value: f"<{value}>", start=480, unit="samples")
    assert (slider.value, slider.text, slider.place, slider.count) == (480, "<480>", 1, 8)
    assert repr(slider) == "[slider] samples L = 480 samples\n<480>" and "&lt;480&gt;" in slider.html
    assert slider.edges == ["400", "−80", "+80", "960"]
    slider.place = 2  # what the front end sends
    assert (slider.value, slider.text, slider.shown, slider.written) == (560, "<560>", "560 samples", "560")
    slider.value = 400
    assert slider.place == 0 and slider._repr_mimebundle_()[0]["text/plain"] == repr(slider)


def test_a_figure_is_shown_as_it_is_and_stored_as_a_still_picture():
    slider = slide("x <", [1, 2], figure, start=2, ask="Which bar is <wider>?")
    assert slider.html == figure(2).html and slider.text == "bar: 2"
    data = slider._repr_mimebundle_()[0]
    assert data["text/plain"] == "Which bar is <wider>?\n[slider] x < = 2\nbar: 2"
    still = data["text/html"]  # nothing in it that an untrusted notebook or a code host would take away
    assert RUN_TO_MOVE in still and "<svg" not in still and "x &lt; = 2" in still and "is &lt;wider&gt;?" in still
    assert 'alt="A bar 2 wide &amp; high"' in still
    assert b'width="2"' in base64.b64decode(re.search(r'base64,([^"]+)"', still)[1])
    assert (
        still == slide("x <", [1, 2], figure, start=2, ask="Which bar is <wider>?")._repr_mimebundle_()[0]["text/html"]
    )


def test_the_question_and_the_marks_reach_the_front_end():
    slider = slide("L", range(400, 900), str, ask="Which L?", choices=(719, 720), answer="720", marks=(719, 720))
    assert (slider.ask, slider.choices, slider.answer) == ("Which L?", ["719", "720"], "720")
    assert slider.marks == [["719", 319], ["720", 320]]
    heard = []
    slider.observe(lambda change: heard.append(change.new), "prediction")
    slider.prediction = "720"  # what the front end sends
    assert heard == ["720"] and slider.value == 400


@pytest.mark.parametrize(
    "typed, value, message",
    [
        ("719", 719, ""),
        (" 15,999 samples", 15_999, ""),
        ("16 000", 16_000, ""),
        ("57,599,994", 57_599_994, ""),
        ("57_600_001", 57_600_000, "57_600_001 is none of the slider's values; the nearest is 57600000"),
        ("−5", 400, "−5 is none of the slider's values; the nearest is 400"),
        ("719.6", 720, "719.6 is none of the slider's values; the nearest is 720"),
        ("many", 8_000, "wanted a number from 400 to 57600000, found 'many'"),
        ("", 8_000, "wanted a number from 400 to 57600000, found ''"),
    ],
)
def test_a_typed_number_is_taken_or_answered(typed, value, message):
    """An hour of samples has 57 million values; each is reached at once."""
    slider = slide("L", range(400, 57_600_001), str, start=8_000, unit="samples")
    slider._handle_custom_msg({"typed": typed}, [])
    assert (slider.value, slider.message) == (value, message) and slider.text == str(value)
    slider.value = 500
    assert not slider.message


def test_decimals_and_names():
    slider = slide("p", [0.02, 0.065, 0.08], str)
    assert slider.numeric and slider.edges == ["0.02", "previous", "next", "0.08"]
    for typed in ("0.065", "0,065", ".065"):
        slider.place = 0
        slider._handle_custom_msg({"typed": typed}, [])
        assert slider.value == 0.065
    assert not slide("norm", ["group", "layer"], str).numeric


def test_an_error_of_the_drawing_is_said_and_the_next_value_drawn():
    slider = slide("x", [1, 0, 2], lambda value: f"{1 / value}")
    slider.place = 1
    assert slider.message == "nothing to show at 0: ZeroDivisionError: division by zero" and slider.version == 2
    slider.place = 2
    assert (slider.text, slider.message) == ("0.5", "")


def test_wrong_values_are_explained_and_change_nothing():
    with pytest.raises(ValueError, match="at least one value"):
        slide("x", [], str)
    for wrong in ({"start": 5}, {"marks": (1, 5)}):
        with pytest.raises(ValueError, match="5 is none of the slider's values; it goes from 1 to 3"):
            slide("x", [1, 2, 3], str, **wrong)
    slider = slide("x", [1, 2, 3], str)
    with pytest.raises(ValueError, match="it goes from 1 to 3"):
        slider.value = 4
    assert slider.value == 1
