"""matplotlib figures: alt text from the data, the page's colours, the same bytes on every run."""

import base64
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.show import figure
from w2vlearn.show.matplot import INK
from w2vlearn.show.palette import contrast

GEOMETRY = FrameGeometry.from_config(Wav2Vec2Config.base())
RAMP = [index / 1600 - 0.5 for index in range(1600)]


def pictures():
    return {
        "waveform": figure.waveform_figure(
            RAMP, GEOMETRY, length=1200, time_mask=[False, True, False, False], highlight=[1]
        ),
        "heat": figure.heat_map([[1e-7, 0.5, 0.25], [0.1, 1e-9, 3.0]], ["conv", "layer 0"], floor=1e-6, title="Leak"),
        "line": figure.line_figure([1, 2, 3], {"a": [4, 5, 6], "b": [1.5, 0, 9]}, x_label="L", y_label="T"),
        "bar": figure.bar_figure(["a", "b"], [94_396_320, 0.25], value_label="parameters", title="Size"),
        "mask": figure.mask_figure([[True, True, False], [True, True, False]]),
    }


@pytest.fixture(scope="module")
def drawn():
    return pictures()


def test_alt_text_holds_the_numbers(drawn):
    waveform = drawn["waveform"].alt
    for said in ("1600 samples", "1200 of them real, 400 padding", "4 frames of 400 samples every 320",
                 "3 frames real, 1 padding", "160 samples at the end", "time mask over 1 frames: 1",
                 "1: samples 320 to 719"):  # fmt: skip
        assert said in waveform
    assert "2 rows by 3 columns" in drawn["heat"].alt and "Largest value 3 in layer 0 at 2" in drawn["heat"].alt
    assert (
        "a goes from 4 to 6" in drawn["line"].alt and "b goes from 1.5 to 9, lowest 0, highest 9" in drawn["line"].alt
    )
    assert drawn["bar"].alt == "Size: parameters: a 94,396,320, b 0.25."
    assert "2 queries by 3 keys: 4 of 6 pairs" in drawn["mask"].alt


def test_figures_are_described_svg_that_follows_the_theme(drawn):
    for name, picture in drawn.items():
        root = ElementTree.fromstring(picture.html)
        title = root.find("{http://www.w3.org/2000/svg}title")
        assert root.get("role") == "img" and root.get("aria-labelledby") == title.get("id"), name
        assert title.text == picture.alt
        assert "width:100%" in root.get("style") and root.get("viewBox")
        assert "<style" not in picture.html and "<metadata" not in picture.html and INK not in picture.html
        for text in root.iter("{http://www.w3.org/2000/svg}text"):
            style = (text.get("style") or "") + (text.get("fill") or "")
            assert "currentColor" in style, (name, text.text)
            size = float(re.search(r"font(?:-size)?:[^;]*?([\d.]+)px", style)[1])
            assert size * 4 / 3 >= 11.99, f"{name}: text of {size * 4 / 3} px"


def test_figures_are_the_same_bytes_every_time(drawn):
    for name, again in pictures().items():
        assert again.html == drawn[name].html, name
    assert "20" + "26-" not in drawn["bar"].html  # no date


def test_ids_never_clash_and_references_lead_somewhere(drawn):
    seen = set()
    for picture in drawn.values():
        ids = re.findall(r'\bid="([^"]+)"', picture.html)
        assert len(ids) == len(set(ids)) and not seen & set(ids)
        assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', picture.html)) <= set(ids)
        seen |= set(ids)


def test_figures_stay_small(drawn):
    for name, picture in drawn.items():
        assert len(picture.html) < 60_000, f"{name}: {len(picture.html)} bytes"


def test_png_is_an_image_with_alt_text():
    picture = figure.bar_figure(["a"], [1], value_label="n", format="png", alt='one "bar" <1>')
    assert "alt='one \"bar\" &lt;1&gt;'" in picture.html
    data = re.search(r"base64,([^\"']+)", picture.html)[1]
    assert base64.b64decode(data).startswith(b"\x89PNG")


def test_ink_of_a_png_is_equally_readable_on_white_and_on_dark():
    assert contrast(INK, "#ffffff") > 4.3 and contrast(INK, "#111111") > 4.3


def test_twins_in_words_carry_the_numbers(drawn):
    assert "94,396,320" in str(drawn["bar"])
    assert re.search(r"layer 0 +3 +2", str(drawn["heat"]))
    assert drawn["line"]._repr_mimebundle_()["text/plain"] == str(drawn["line"]) == repr(drawn["line"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figure.waveform_figure([0.0] * 10, length=11), "wanted a length from 0 to 10"),
        (lambda: figure.heat_map([[1, 2]], ["a", "b"]), "2 named rows"),
        (lambda: figure.line_figure([1, 2], {"a": [1]}, x_label="x", y_label="y"), "wanted 2 values in 'a'"),
        (lambda: figure.line_figure([], {}, x_label="x", y_label="y"), "at least one line"),
        (lambda: figure.bar_figure([], [], value_label="n"), "one value per name"),
        (lambda: figure.mask_figure([[True], [True, False]]), r"shape \(queries, keys\)"),
        (lambda: figure.bar_figure(["a"], [1], value_label="n", format="gif"), 'format "svg" or "png"'),
        (lambda: figure.bar_figure(["a"], [1], value_label="n", alt=" "), "needs alt text"),
    ],
)
def test_wrong_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_silence_and_one_frame_can_be_drawn():
    assert "1 frames of 400 samples" in figure.waveform_figure([0.0] * 400, GEOMETRY).alt
    assert "0 frames" in figure.waveform_figure([0.0] * 399, GEOMETRY).alt


def test_the_tables_cost_no_matplotlib():
    code = (
        "import sys, w2vlearn.show.text, w2vlearn.show.html, w2vlearn.show.masks, w2vlearn.show.figure; "
        "print([m for m in ('matplotlib', 'torch', 'numpy', 'ipywidgets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_of_matplotlib_are_left_alone(drawn):
    import matplotlib

    before = dict(matplotlib.rcParams)
    pictures()
    assert dict(matplotlib.rcParams) == before
