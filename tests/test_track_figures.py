"""Tracks, attention weights, pre-training's pictures: described, scalable, steady, and true to their data."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from page_reader import SVG, check_svg, svg_of, visible

from w2vlearn import FrameGeometry, Wav2Vec2Config
from w2vlearn.show import line_figure
from w2vlearn.show.attention_figure import cells_figure, weights_figure
from w2vlearn.show.palette import HATCHES
from w2vlearn.show.pretraining_figure import choice_figure, views_figure
from w2vlearn.show.track_figure import KINDS, Track, pieces_of, track_figure

GEOMETRY = FrameGeometry.from_config(Wav2Vec2Config.base())


def shares(error=0.0):
    return (torch.tensor([[1.0, 2.0, 0.5], [0.1, 0.2, 3.0]]) * (1 + error)).softmax(-1)


def figures(error=0.0):
    """One of each kind; ``error`` is what another processor's order of additions makes of every number."""
    square = torch.tensor([[0.5, 0.3, 0.2], [0.21, 0.33, 0.46], [0.05, 0.05, 0.9]]) * (1 + error)
    masked = torch.tensor([[0.6, 0.4, 0.0], [0.3, 0.7, 0.0], [0.5, 0.5, 0.0]])
    tracks = [Track("a", [(0, 3, "valid"), (3, 5, kind)], "3 of 5", [1.5]) for kind in KINDS]
    return {
        "tracks": track_figure(tracks, x_label="frame t", title="All kinds", seams=[2], mark="here"),
        "weights": weights_figure({"no mask": square, "mask": masked}, 2),
        "cells": cells_figure(
            {"frames": [[0, 1], [2, 3]]}, {"frames": [[0, 0], [1, 1]]}, source="frame", title="Split"
        ),
        "views": views_figure(torch.arange(2000) / 2000 - 0.5, GEOMETRY, [0, 1, 1, 0, 0], [[0, 4]] * 5, 5),
        "choice": choice_figure(shares(error), [1, 2], title="Frame 10"),
    }


@pytest.mark.parametrize("name", figures())
def test_a_figure_is_described_follows_the_theme_and_hides_float_error(name):
    picture = figures()[name]
    check_svg(picture.html)
    assert len(picture.alt) > 20 and svg_of(picture.html).find(f"{SVG}title").text == picture.alt
    for error in (3e-7, -3e-7):
        assert figures(error)[name].html == picture.html


def test_alt_texts_say_what_is_drawn():
    drawn = figures()
    assert (
        "padded keys 2 to 2 get up to 0.9" in drawn["weights"].alt and "mask: each of 3 queries" in drawn["weights"].alt
    )
    assert drawn["weights"].alt.endswith("get nothing.")
    assert "frames: 0 1 / 2 3." in drawn["cells"].alt
    assert (
        "5 frames, 2 of them masked (1 to 2)" in drawn["views"].alt
        and "one of 5 entries in each of 2" in drawn["views"].alt
    )
    assert "codebook 1: entry 2 of 3 is taken; its share is 90%" in drawn["choice"].alt
    assert (
        "a: 0 to 2 valid, 3 to 4 padding; here: 1.5 (3 of 5)." in drawn["tracks"].alt
        and "Seams at 2." in drawn["tracks"].alt
    )


@given(st.lists(st.booleans(), min_size=1, max_size=60))
@settings(max_examples=40)
def test_a_track_shows_every_piece_at_its_place(flags):
    """Widths are in proportion, no position is lost, and every kind that is drawn has its entry in the legend."""
    pieces = pieces_of(flags, "touched", "padding")
    assert [kind == "touched" for start, stop, kind in pieces for _ in range(start, stop)] == flags
    picture = check_svg(track_figure([Track("clip", pieces)], x_label="frame t").html)
    boxes = [e for e in picture.iter(f"{SVG}rect") if e.get("height") == "22" and "url" not in e.get("fill")]
    wide = [float(box.get("width")) for box in boxes]
    for width, (start, stop, _) in zip(wide, pieces, strict=True):
        assert width / sum(wide) == pytest.approx((stop - start) / len(flags), abs=1e-3)
    words = visible(picture)
    assert (HATCHES["padding"] in words) == (False in flags) and ("filled: moved by padding" in words) == (
        True in flags
    )


def test_measured_lines_stand_apart_from_what_is_compared():
    """Two runs with other last digits differ in nothing but the group that the comparison leaves out."""

    def drawn(values):
        figure = line_figure(
            range(3), {"loss": values}, x_label="step", y_label="loss", limits=(0, 5), measured=True, alt="It falls."
        )
        check_svg(figure.html)
        return re.sub(r'<g class="measured">.*?</g>', "", figure.html), str(figure)

    assert drawn([4.0, 3.0, 1.0]) == drawn([4.1, 2.7, 1.3])


def test_axes_stay_still_under_a_slider_and_seams_stand_where_they_are():
    pictures = [
        svg_of(line_figure([1, 10, 100], {"a": [1, 5, h]}, x_label="s", y_label="GB", log_x=True, log_y=True,
                           limits=(1, 1000), seams={"here": 10}).html)
        for h in (50, 500)
    ]  # fmt: skip
    assert visible(pictures[0]) == visible(pictures[1])
    dashed = next(e.get("d") for e in pictures[0].iter(f"{SVG}path") if e.get("stroke-dasharray") == "5 4")
    left, right = (float(line.get("x1")) for line in list(pictures[0].iter(f"{SVG}line"))[:2]), 736
    assert int(re.match(r"M(\d+)", dashed)[1]) == pytest.approx((next(left) + right) / 2, abs=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: track_figure([], x_label="t"), "wanted tracks with pieces of the kinds valid, pale"),
        (lambda: track_figure([Track("a", [(0, 1, "odd")])], x_label="t"), r"found \['odd'\]"),
        (lambda: track_figure([Track("a", [(0, 1, "valid")], "", [0])], x_label="t"), "say in mark="),
        (lambda: weights_figure({}, 1), "wanted one or two squares"),
        (lambda: weights_figure({"a": [[1, 2], [3]]}, 1), "wanted one or two squares"),
        (lambda: views_figure([0.0] * 800, GEOMETRY, [0, 1], [[1]], 2), "found 2 frames and 1 rows"),
        (lambda: line_figure([1], {"a": [1]}, x_label="x", y_label="y", measured=True), "needs alt= and limits="),
    ],
)
def test_wrong_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()
