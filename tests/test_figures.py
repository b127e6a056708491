"""Figures: described, theme-following, the same bytes on every run and machine, and true to their data."""

import base64
import math
import re
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from page_reader import SVG, PageReader, check_svg, svg_of, visible

from w2vlearn import FrameGeometry, Wav2Vec2Config
from w2vlearn.show import (
    bar_figure,
    boundary_figure,
    clips_figure,
    heat_map,
    line_figure,
    mask_figure,
    matrix_figure,
    strips_figure,
    waveform_figure,
)
from w2vlearn.show.attention_figure import cells_figure, weights_figure
from w2vlearn.show.canvas import INK, as_image
from w2vlearn.show.journey import journey, journey_of, journey_text
from w2vlearn.show.palette import HATCHES, STAGES, stage_of
from w2vlearn.show.pretraining_figure import choice_figure, views_figure
from w2vlearn.show.track_figure import KINDS, Track, pieces_of, track_figure
from w2vlearn.symbolic import SymbolicTrace
from w2vlearn.tracing.layers import Trace
from w2vlearn.tracing.records import TraceData

GEOMETRY = FrameGeometry.from_config(Wav2Vec2Config.base())
RAMP = [index / 1600 - 0.5 for index in range(1600)]
LENGTHS = (16000, 23456, 40000)


def figures(error=0.0):
    """One of each kind; ``error`` is what another processor's order of additions makes of every number."""
    e = 1 + error
    frame = torch.arange(8)[None] < torch.tensor([3, 8])[:, None]
    heat = [[1e-7 * e, 0.5 * e, 0.25 * e], [0.1 * e, 1e-9 * e, 3.14 * e]]
    tiny = {"a": [4e-9 * e, 37.2 * e, 6.1], "b": [1.5 * e, 1e-11, 9 * e]}
    square = torch.tensor([[0.5, 0.3, 0.2], [0.21, 0.33, 0.46], [0.05, 0.05, 0.9]]) * e
    masked = torch.tensor([[0.6, 0.4, 0.0], [0.3, 0.7, 0.0], [0.5, 0.5, 0.0]])
    shares = (torch.tensor([[1.0, 2.0, 0.5], [0.1, 0.2, 3.0]]) * e).softmax(-1)
    tracks = [Track("a", [(0, 3, "valid"), (3, 5, kind)], "3 of 5", [1.5]) for kind in KINDS]
    return {
        "waveform": waveform_figure(RAMP, GEOMETRY, length=1200, time_mask=[False, True, False, False], highlight=[1]),
        "heat": heat_map(heat, ["conv", "layer 0"], floor=1e-6, title="Leak"),
        "line": line_figure([1, 2, 3], {"a": [4, 5.02 * e, 6], "b": [1.5 * e, 0, 9]}, x_label="L", y_label="T"),
        "log line": line_figure([1, 2, 3], tiny, x_label="L", y_label="%", log_y=True, steps=True),
        "bar": bar_figure(["a", "b"], [94_396_320, 0.25 * e], value_label="parameters", title="Size"),
        "log bar": bar_figure(["a", "b"], [94_396_320, 31 * e], value_label="parameters", log=True),
        "boundary": boundary_figure(8_000, 16_000, GEOMETRY),
        "clips": clips_figure({"loud": [2 * e, -e, 0], "quiet": [0.52, 0.31 * e]}, lengths={"loud": 2}, extent=4),
        "matrix": matrix_figure({"scores": [[1.234 * e, -math.inf]], "weights": [[math.nan, 0.5 * e]]}, ["query 0"]),
        "strips": strips_figure({"formula": frame[0], "shortcut": [True] * 4 + [False] * 4}),
        "mask": mask_figure({"frame mask": frame, "attention mask": frame[:, None, None].expand(2, 1, 8, 8)}),
        "tracks": track_figure(tracks, x_label="frame t", title="All kinds", seams=[2], mark="here"),
        "weights": weights_figure({"no mask": square, "mask": masked}, 2),
        "cells": cells_figure({"frames": [[0, 1], [2, 3]]}, {"frames": [[0, 0], [1, 1]]}, source="frame", title="Two"),
        "views": views_figure(RAMP, GEOMETRY, [0, 1, 1, 0, 0], [[0, 4]] * 5, 5),
        "choice": choice_figure(shares, [1, 2], title="Frame 10"),
    }


DRAWN = figures()
# What alt text or text must hold: its numbers, where its stretches begin and end.
SAID = {
    "waveform": "1600 samples|1200 of them valid, 400 padding|4 frames of 400 samples every 320"
    "|3 frames valid, 1 padding|160 samples at the end|time mask over 1 frame: 1|1: samples 320 to 719",
    "heat": "2 rows by 3 columns|Largest value about 3 in layer 0 at 2|layer 0 3 2",
    "line": "a goes from 4 to 6|b goes from 1.5 to 9, lowest 0, highest 9|2 5 0",
    "log line": "a goes from < 0.0001 to 6.1, lowest < 0.0001, highest 37",
    "bar": "Size: parameters: a 94,396,320, b 0.25.|b 0.25",
    "log bar": "parameters: a 94,396,320, b 31.",
    "boundary": "the shortcut keeps 25 frames, the formula 24|shortcut 326 25",
    "clips": "loud: 2 samples, largest value 2, then 1 of padding; quiet: 2 samples|quiet 2 0 0.52",
    "matrix": "query 0: scores 1.23 -inf, weights NaN 0.50.",
    "strips": "formula: 0 to 2 valid, 3 to 7 padding (3 of 8).",
    "mask": "attention mask (2, 1, 8, 8), keys looked at per clip: 3 of 8, 8 of 8.|clip 0 3 of 8 ###/////",
    "tracks": "a: 0 to 2 valid, 3 to 4 padding; here: 1.5 (3 of 5).|Seams at 2.",
    "weights": "padded keys 2 to 2 get up to 0.9|mask: each of 3 queries shares out 1; padded keys 2 to 2 get nothing.",
    "cells": "frames: 0 1 / 2 3.",
    "views": "5 frames, 2 of them masked (1 to 2)|one of 5 entries in each of 2",
    "choice": "codebook 1: entry 2 of 3 is taken; its share is 90%",
}


# ------------------------------------------------------------------------------------------------ every figure


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_described_scales_and_follows_the_theme(name):
    picture = DRAWN[name]
    assert len(check_svg(picture.html).find(f"{SVG}title").text) > 4 and len(picture.html) < 60_000
    assert picture._repr_mimebundle_() == {"text/plain": str(picture), "text/html": picture.html}
    words = re.sub(r"\s+", " ", f"{picture.alt} {picture}")
    assert all(phrase in words for phrase in SAID[name].split("|")), words
    title, description = (svg_of(picture.html).find(f"{SVG}{tag}") for tag in ("title", "desc"))
    assert picture.alt == (title if description is None else description).text


def test_float_error_shows_nowhere_and_no_id_is_shared():
    """What is stored with a lesson must be the same where a processor adds in another order."""
    for error in (3e-7, -3e-7):
        for name, picture in figures(error).items():
            assert picture.html == DRAWN[name].html and str(picture) == str(DRAWN[name]), name
    identifiers = [set(PageReader(picture.html).ids) for picture in DRAWN.values()]
    assert len(set().union(*identifiers)) == sum(map(len, identifiers))


def test_an_image_holds_the_same_drawing_for_untrusted_notebooks():
    alt = 'one "bar" <1>'
    svg = bar_figure(["a"], [1], value_label="n", alt=alt)
    ((attributes, _),) = PageReader(as_image(svg.html)).all("img")
    inner = base64.b64decode(attributes["src"].removeprefix("data:image/svg+xml;base64,")).decode()
    assert attributes["alt"] == alt and visible(ElementTree.fromstring(inner)) == visible(svg_of(svg.html))
    assert "currentColor" not in inner and INK in inner


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: waveform_figure([0.0] * 10, length=11), "wanted a length from 0 to 10"),
        (lambda: clips_figure({"a": [0.0]}, lengths={"a": 2}), "wanted a length from 0 to 1 for 'a'"),
        (lambda: boundary_figure(9, 400, FrameGeometry((500,), (1,))), "found 9 samples and 0 frames"),
        (lambda: heat_map([[1, 2]], ["a", "b"], floor=1), "2 named rows"),
        (lambda: heat_map(torch.zeros(3), ["a"], floor=1), r"found \(3,\)"),
        (lambda: line_figure([1, 2], {"a": [1]}, x_label="x", y_label="y"), "wanted 2 values in 'a'"),
        (lambda: line_figure([], {}, x_label="x", y_label="y"), "at least one line"),
        (lambda: line_figure([1], {"a": [1]}, x_label="x", y_label="y", measured=True), "needs alt= and limits="),
        (lambda: bar_figure([], [], value_label="n"), "one value per name"),
        (lambda: bar_figure(["a"], [1], value_label="n", alt=" "), "needs alt text"),
        (lambda: mask_figure({}), "no mask given"),
        (lambda: mask_figure({"m": []}), "a mask of size 0"),
        (lambda: mask_figure({"m": torch.zeros(1, 1, 1, 1, 1)}), "a mask of 1 to 4 axes"),
        (lambda: track_figure([], x_label="t"), "wanted tracks with pieces of the kinds valid, pale"),
        (lambda: track_figure([Track("a", [(0, 1, "odd")])], x_label="t"), r"found \['odd'\]"),
        (lambda: track_figure([Track("a", [(0, 1, "valid")], "", [0])], x_label="t"), "say in mark="),
        (lambda: strips_figure({"a": []}), "at least one flag"),
        (lambda: matrix_figure({"a": [[1]]}, ["x", "y"]), r"matrices of 2 rows, one per name, found \[1\]"),
        (lambda: weights_figure({"a": [[1, 2], [3]]}, 1), "wanted one or two squares"),
        (lambda: views_figure([0.0] * 800, GEOMETRY, [0, 1], [[1]], 2), "found 2 frames and 1 rows"),
    ],
)
def test_wrong_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ------------------------------------------------------------------------------------------------------ charts


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=30), st.booleans())
@settings(max_examples=40)
def test_a_line_shows_its_order(values, log):
    """A higher value is never drawn lower, whatever the range, and everything lies on the drawing."""
    picture = check_svg(line_figure(range(len(values)), {"a": values}, x_label="x", y_label="y", log_y=log).html)
    path = next(e.get("d") for e in picture.iter(f"{SVG}path") if e.get("stroke-width") == "2")
    heights = [int(y) for y in re.findall(r",(\d+)", path)]
    for one, other, low, high in zip(values, values[1:], heights, heights[1:], strict=False):
        assert (one <= other and low >= high) or (one >= other and low <= high)


def test_measured_lines_stand_apart_from_what_is_compared():
    """Two runs with other last digits differ in nothing but the group that the comparison leaves out."""

    def drawn(values):
        figure = line_figure(
            range(3), {"loss": values}, x_label="step", y_label="loss", limits=(0, 5), measured=True, alt="It falls."
        )
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
    axis = next(pictures[0].iter(f"{SVG}line"))
    assert int(re.match(r"M(\d+)", dashed)[1]) == pytest.approx((float(axis.get("x1")) + 736) / 2, abs=1)


def test_a_heat_map_colours_by_decade_and_leaves_float_error_blank():
    picture = svg_of(heat_map([[0, 1e-5, 2e-4, 3e-3, 0.04, 0.5]], ["a"], floor=1e-4).html)
    boxes = [path for path in picture.iter(f"{SVG}path") if path.get("d").endswith("z")]
    assert [path.get("d").count("z") for path in boxes] == [1, 1, 1, 1]
    assert len({path.get("fill") for path in boxes}) == 4
    assert len({re.search(r"h([\d.]+)", path.get("d"))[1] for path in boxes}) == 1  # one cell each
    assert "0.0001 to 0.001" in visible(picture) and "blank: at most 0.0001" in visible(picture)


# ---------------------------------------------------------------------------------- waveforms, tracks and masks


@given(st.integers(0, 4000), st.data())
@settings(max_examples=30)
def test_a_waveform_says_what_geometry_says(total, data):
    length = data.draw(st.integers(0, total))
    figure = waveform_figure([0.1] * total, GEOMETRY, length=length)
    picture = check_svg(figure.html)
    frames, valid, unread = GEOMETRY.frame_count(total), GEOMETRY.frame_count(length), len(GEOMETRY.unread(length))
    assert f"{frames} frame{'s' * (frames != 1)} of 400" in figure.alt and f"{unread} samples at the end" in figure.alt
    assert (f"{valid} frames valid, {frames - valid} padding" in figure.alt) == (valid != frames)
    assert (HATCHES["padding"] in visible(picture)) == (length < total)
    assert (HATCHES["unread"] in visible(picture)) == (unread > 0)


def test_padding_is_hatched_its_hum_is_a_line_and_loud_samples_stay_in_their_row():
    picture = check_svg(clips_figure({"hum": [5.0] * 100 + [0.5] * 60}, lengths={"hum": 100}, loudest=1.0).html)
    row, *_ = (e for e in picture.iter(f"{SVG}rect") if "padding" in e.get("fill"))
    top, height = float(row.get("y")), float(row.get("height"))
    level = next(float(e.get("y1")) for e in picture.iter(f"{SVG}line") if e.get("stroke-width") == "2")
    assert top + height / 4 <= level < top + height / 2
    drawn = next(e.get("d") for e in picture.iter(f"{SVG}path") if e.get("d").endswith("Z"))
    assert all(top <= float(y) <= top + height for y in re.findall(r",(-?[\d.]+)", drawn))


@pytest.mark.parametrize(
    ("figure", "fill", "boxes"),
    [
        (boundary_figure(719, 16_000, GEOMETRY), "#D55E00", 2 * 2 + 1),  # two frames, a label within each; the legend
        (DRAWN["weights"], "url(#padding", 1 + 1),  # the masked square; the legend
        (DRAWN["views"], "#D55E00", 2 * 2 + 1),  # two masked frames in two codebooks; the legend
    ],
)
def test_what_is_kept_by_mistake_masked_or_a_target_stands_out(figure, fill, boxes):
    parts = [e for e in svg_of(figure.html).iter() if e.get("fill", "").startswith(fill)]
    assert sum((e.get("d") or "M").count("M") for e in parts) == boxes


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
    for words, drawn in ((HATCHES["padding"], not all(flags)), ("filled: moved by padding", any(flags))):
        assert (words in visible(picture)) == drawn


@given(st.lists(st.integers(1, 8), min_size=1, max_size=4))
@settings(max_examples=30)
def test_a_mask_in_every_form_counts_what_is_valid(lengths):
    frame = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    clips, frames = frame.shape
    attention = frame[:, None, None, :].expand(clips, 1, frames, frames)
    additive = torch.zeros(attention.shape).masked_fill(~attention, torch.finfo(torch.float32).min)
    for square in (attention, additive, attention.long(), attention.float()):
        figure = mask_figure({"frame mask": frame, "attention mask": square})
        labels = visible(check_svg(figure.html))
        for clip, length in enumerate(lengths):
            assert f"{length} of {frames} valid" in labels and f"clip {clip}: {length} of {frames}" in labels
        assert ("/" in str(figure)) == (set(lengths) != {frames})


@pytest.mark.parametrize(
    ("title", "mask", "key", "counted", "strip", "hatch"),
    [
        ("frame mask", [[True, True], [True, False]], "(2, 2) True = valid, False = padding", "1 of 2 valid", "#/",
         "padding"),
        ("frame mask", [[1, 1], [1, 0]], "(2, 2) 1 = valid, 0 = padding", "1 of 2 valid", "#/", "padding"),
        ("frame mask", [[0.0, 0.0], [0.0, -1e4]], "0 = valid, -1e+04 = padding", "1 of 2 valid", "#/", "padding"),
        ("frame mask", [[False] * 4], "(1, 4) False = padding", "0 of 4 valid", "////", "padding"),
        ("attention mask", [[[[0.0] * 4] * 4]], "(1, 1, 4, 4) 0 = valid", "clip 0: 4 of 4", "####", "padding"),
        ("time mask", [0, 0, 1, 1, 1, 0, 0, 0, 0, 0], "(10) 0 = seen, 1 = masked", "7 of 10 seen", "##xxx#####",
         "time_mask"),
    ],
)  # fmt: skip
def test_a_mask_says_how_it_is_written(title, mask, key, counted, strip, hatch):
    """Squares of every form look alike; what stands in them is said beside the title."""
    figure = mask_figure({title: torch.tensor(mask)})
    labels = visible(svg_of(figure.html))
    assert key in " ".join(labels) and counted in labels and strip in str(figure)
    assert set(re.findall(r"url\(#(\w+)-", figure.html)) == {hatch}


# ----------------------------------------------------------------------------------------------------- journey


def derived(lengths, preset="base", masked=True):
    return SymbolicTrace.preset(preset, masked).at(B=len(lengths), L=max(lengths), lengths=lengths)


@pytest.fixture(scope="module")
def base():
    return derived(LENGTHS)


def test_the_journey_shows_the_numbers_of_the_trace(base):
    source = journey(base)
    labels, stack = " | ".join(visible(check_svg(source))), GEOMETRY.lengths(40_000)
    for clip, length in enumerate(LENGTHS):
        frames, unread = GEOMETRY.frame_count(length), len(GEOMETRY.unread(length))
        for words in (f"{length} samples", f"{frames} valid", f"clip {clip}: {frames} of 124", f"{unread} of them"):
            assert words in labels
    assert all(f"T{number} = {length}" in labels for number, length in enumerate(stack[:-1], 1))
    for words in ("T7 = T = 124", "kernel 10, stride 5", "Transformer × 12", "⚠ group norm"):
        assert words in labels
    for number in (*LENGTHS, *stack, 49, 73, 512, 768, 12, 32, 240, 16):
        assert re.search(rf"\b{number}\b", journey_text(base)), number
    assert svg_of(source).find(f"{SVG}desc").text == journey_text(base)
    # Grey it out, and padding, unread samples and stages are still told apart: by hatch, legend and name. Two of three
    # clips are padded: their waveform, frames and attention square (valid queries, padded ones); and the legend.
    assert len(re.findall(r'fill="url\(#padding-', source)) == 2 * 4 + 1
    assert len(re.findall(r'fill="url\(#unread-', source)) == 3 + 1
    assert all(words in labels for words in (HATCHES["padding"], HATCHES["unread"], *(s.name for s in STAGES[1:])))
    assert journey_of(base).geometry == GEOMETRY
    assert journey_of(Trace(TraceData(()))) is None and journey_of(SymbolicTrace.preset("base")) is None


def test_the_journey_without_mask_padding_or_group_norm():
    bare = derived(LENGTHS, masked=False)
    drawn = journey(bare)
    check_svg(drawn)
    assert "none was handed: every frame looks at every frame" in drawn and "padding included" in journey_text(bare)
    assert "124 of 124" in drawn and "49 of 124" not in drawn
    single = derived([400], "tiny")
    assert "url(#padding" not in journey(single) and "nothing padded" in journey_text(single)
    check_svg(journey(single))
    assert "group norm" not in journey(derived(LENGTHS, "large_lv60"))
    many = visible(check_svg(journey(derived([16000 + 320 * i for i in range(20)], "tiny"))))
    assert "22080 samples, 1.38 s" in many and "clip 19" in many  # of many clips the longest is shown


# ------------------------------------------------------------------------------------------------------ palette


@pytest.mark.parametrize(
    ("stage", "modules"),
    [
        ("feature_encoder", "wav2vec2.feature_extractor.conv_layers.0.conv x:FeatureExtractor"),
        ("projection", "wav2vec2.feature_projection.projection encoder.feature_projection post_extract_proj"),
        ("positions", "wav2vec2.encoder.pos_conv_embed.conv encoder.transformer.pos_conv_embed x:PositionalEncoding"),
        ("transformer", "wav2vec2.encoder.layers.3.attention.q_proj wav2vec2.encoder.layer_norm"),
        ("head", "lm_head quantizer.weight_proj x:GumbelVectorQuantizer"),
        ("mask", "frame_mask:mask step"),
        ("model", ":Wav2Vec2ForCTC wav2vec2:Wav2Vec2Model :FeatureExtractor"),
    ],
)
def test_stage_of(stage, modules):
    """Names of Hugging Face, torchaudio and fairseq; of a class where the name says nothing."""
    for module in modules.replace("mask step", "mask_step").split():
        name, _, kind = module.partition(":")
        assert stage_of(name, kind.replace("_", " ")).key == stage, module


def test_colours_differ_and_the_ink_of_an_image_is_readable_on_white_and_on_dark():
    """Contrast as WCAG 2.2 defines it."""

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    assert len({stage.colour for stage in STAGES}) == len({stage.name for stage in STAGES}) == 6
    for paper in ("#ffffff", "#111111"):
        low, high = sorted((luminance(INK), luminance(paper)))
        assert (high + 0.05) / (low + 0.05) > 4.3
