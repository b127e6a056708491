"""The slider without a browser: its value, its text, and what it says to a wrong value."""

from types import SimpleNamespace

import pytest

from w2vlearn.widgets import slide


def test_moving_it_shows_what_draw_returns():
    slider = slide("samples L", range(400, 1000, 80), lambda value: f"<{value}>", start=480, unit="samples")
    assert (slider.value, slider.text, slider.place, slider.count) == (480, "<480>", 1, 8)
    assert repr(slider) == "[slider] samples L = 480 samples\n<480>" and "&lt;480&gt;" in slider.html
    slider.place = 2  # what the front end sends
    assert (slider.value, slider.text, slider.shown) == (560, "<560>", "560 samples")
    slider.value = 400
    assert slider.place == 0 and slider._repr_mimebundle_()[0]["text/plain"] == repr(slider)


def test_a_figure_is_shown_as_html():
    figure = SimpleNamespace(_repr_html_=lambda: "<svg/>")
    assert slide("x", [1], lambda value: figure).html == "<svg/>"


def test_wrong_values_are_explained_and_change_nothing():
    with pytest.raises(ValueError, match="at least one value"):
        slide("x", [], str)
    with pytest.raises(ValueError, match="5 is none of the slider's values; it goes from 1 to 3"):
        slide("x", [1, 2, 3], str, start=5)
    slider = slide("x", [1, 2, 3], str)
    with pytest.raises(ValueError, match="it goes from 1 to 3"):
        slider.value = 4
    assert slider.value == 1
