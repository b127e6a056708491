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
from w2vlearn.show.canvas import INK, as_image
from w2vlearn.show.journey import journey_of, journey_text
from w2vlearn.show.journey_figure import journey
from w2vlearn.show.palette import HATCHES, STAGES, stage_of, svg_pattern
from w2vlearn.symbolic import SymbolicTrace
from w2vlearn.tracing.layers import Trace
from w2vlearn.tracing.records import TraceData

GEOMETRY = FrameGeometry.from_config(Wav2Vec2Config.base())
RAMP = [index / 1600 - 0.5 for index in range(1600)]
LENGTHS = (16000, 23456, 40000)


def derived(lengths, preset="base", masked=True):
    return SymbolicTrace.preset(preset, masked).at(B=len(lengths), L=max(lengths), lengths=lengths)


@pytest.fixture(scope="module")
def base():
    return derived(LENGTHS)


def figures(error=0.0):
    """One of each kind; ``error`` is what another processor's order of additions makes of every number."""
    e = 1 + error
    frame = torch.arange(8)[None] < torch.tensor([3, 8])[:, None]
    heat = [[1e-7 * e, 0.5 * e, 0.25 * e], [0.1 * e, 1e-9 * e, 3.14 * e]]
    shares = {"a": [4e-9 * e, 37.2 * e, 6.1], "b": [1.5 * e, 1e-11, 9 * e]}
    return {
        "waveform": waveform_figure(RAMP, GEOMETRY, length=1200, time_mask=[False, True, False, False], highlight=[1]),
        "heat": heat_map(heat, ["conv", "layer 0"], floor=1e-6, title="Leak"),
        "line": line_figure([1, 2, 3], {"a": [4, 5.02 * e, 6], "b": [1.5 * e, 0, 9]}, x_label="L", y_label="T"),
        "log line": line_figure([1, 2, 3], shares, x_label="L", y_label="%", log_y=True, steps=True),
        "bar": bar_figure(["a", "b"], [94_396_320, 0.25 * e], value_label="parameters", title="Size"),
        "log bar": bar_figure(["a", "b"], [94_396_320, 31 * e], value_label="parameters", log=True),
        "boundary": boundary_figure(8_000, 16_000, GEOMETRY),
        "clips": clips_figure({"loud": [2 * e, -e, 0], "quiet": [0.52, 0.31 * e]}, lengths={"loud": 2}, extent=4),
        "matrix": matrix_figure({"scores": [[1.234 * e, -math.inf]], "weights": [[math.nan, 0.5 * e]]}, ["query 0"]),
        "strips": strips_figure({"formula": frame[0], "shortcut": [True] * 4 + [False] * 4}),
        "mask": mask_figure({"frame mask": frame, "attention mask": frame[:, None, None].expand(2, 1, 8, 8)}),
    }


@pytest.fixture(scope="module")
def drawn():
    return figures()


# ------------------------------------------------------------------------------------------------ every figure


def test_every_figure_is_described_scales_and_follows_the_theme(drawn, base):
    pages = [picture.html for picture in drawn.values()]
    many = derived([16000 + 320 * i for i in range(20)], "tiny")
    odd = [derived([400], "tiny"), many, derived(LENGTHS, masked=False)]
    for page in (*pages, *(journey(trace) for trace in (base, *odd))):
        check_svg(page)
        assert len(page) < 60_000
        for colour in set(re.findall(r'fill="(#\w+)"', page)) - {"#808080"}:
            assert re.fullmatch(r"#[0-9a-fA-F]{6}", colour)
    identifiers = [set(PageReader(page).ids) for page in pages]
    assert len(set().union(*identifiers)) == sum(map(len, identifiers)), "two figures share an id"


def test_float_error_shows_nowhere(drawn):
    """What is stored with a lesson must be the same where a processor adds in another order."""
    for error in (3e-7, -3e-7):
        for name, picture in figures(error).items():
            assert picture.html == drawn[name].html and str(picture) == str(drawn[name]), name


def test_alt_text_and_words_hold_the_numbers(drawn):
    for labels in ("1600 samples", "1200 of them valid, 400 padding", "4 frames of 400 samples every 320",
                  "3 frames valid, 1 padding", "160 samples at the end", "time mask over 1 frame: 1",
                  "1: samples 320 to 719"):  # fmt: skip
        assert labels in drawn["waveform"].alt
    assert "2 rows by 3 columns" in drawn["heat"].alt and "Largest value about 3 in layer 0 at 2" in drawn["heat"].alt
    assert re.search(r"layer 0 +3 +2", str(drawn["heat"])) and "blank: at most 1e-06" in visible(
        svg_of(drawn["heat"].html)
    )
    assert (
        "a goes from 4 to 6" in drawn["line"].alt and "b goes from 1.5 to 9, lowest 0, highest 9" in drawn["line"].alt
    )
    assert "a goes from < 0.0001 to 6.1, lowest < 0.0001, highest 37" in drawn["log line"].alt
    assert drawn["bar"].alt == "Size: parameters: a 94,396,320, b 0.25." and "94,396,320" in str(drawn["bar"])
    assert "the shortcut keeps 25 frames, the formula 24" in drawn["boundary"].alt
    assert "loud: 2 samples, largest value 2, then 1 of padding; quiet: 2 samples" in drawn["clips"].alt
    assert drawn["matrix"].alt == "query 0: scores 1.23 -inf, weights NaN 0.50."
    assert "formula: 0 to 2 valid, 3 to 7 padding (3 of 8)." in drawn["strips"].alt
    assert "attention mask (2, 1, 8, 8), keys looked at per clip: 3 of 8, 8 of 8." in drawn["mask"].alt
    for picture in drawn.values():
        assert picture._repr_mimebundle_() == {"text/plain": str(picture), "text/html": picture.html}
        assert svg_of(picture.html).find(f"{SVG}title").text in (picture.alt, "Masks")


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
        (lambda: heat_map([[1, 2]], ["a", "b"], floor=1), "2 named rows"),
        (lambda: heat_map(torch.zeros(3), ["a"], floor=1), r"found \(3,\)"),
        (lambda: line_figure([1, 2], {"a": [1]}, x_label="x", y_label="y"), "wanted 2 values in 'a'"),
        (lambda: line_figure([], {}, x_label="x", y_label="y"), "at least one line"),
        (lambda: bar_figure([], [], value_label="n"), "one value per name"),
        (lambda: bar_figure(["a"], [1], value_label="n", alt=" "), "needs alt text"),
        (lambda: mask_figure({}), "no mask given"),
        (lambda: mask_figure({"m": []}), "a mask of size 0"),
        (lambda: mask_figure({"m": torch.zeros(1, 1, 1, 1, 1)}), "a mask of 1 to 4 axes"),
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


def test_a_heat_map_colours_by_decade_and_leaves_float_error_blank():
    picture = svg_of(heat_map([[0, 1e-5, 2e-4, 3e-3, 0.04, 0.5]], ["a"], floor=1e-4).html)
    boxes = [path for path in picture.iter(f"{SVG}path") if path.get("d").endswith("z")]
    assert [path.get("d").count("z") for path in boxes] == [1, 1, 1, 1]
    assert len({path.get("fill") for path in boxes}) == 4
    assert len({re.search(r"h([\d.]+)", path.get("d"))[1] for path in boxes}) == 1  # one cell each
    assert "0.0001 to 0.001" in visible(picture) and "blank: at most 0.0001" in visible(picture)


# ------------------------------------------------------------------------------------------ waveforms and masks


@given(st.integers(0, 4000), st.data())
@settings(max_examples=30)
def test_a_waveform_says_what_geometry_says(total, data):
    length = data.draw(st.integers(0, total))
    figure = waveform_figure([0.1] * total, GEOMETRY, length=length)
    picture = check_svg(figure.html)
    frames, valid, unread = GEOMETRY.frame_count(total), GEOMETRY.frame_count(length), len(GEOMETRY.unread(length))
    assert f"{frames} frame{'s' * (frames != 1)} of 400" in figure.alt and f"{unread} samples at the end" in figure.alt
    assert (f"{valid} frames valid, {frames - valid} padding" in figure.alt) == (valid != frames)
    assert ("diagonal lines: padding" in visible(picture)) == (length < total)
    assert (HATCHES["unread"] in visible(picture)) == (unread > 0)


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
    ("mask", "key"),
    [
        ([[True, True], [True, False]], "True = valid, False = padding"),
        ([[1, 1], [1, 0]], "1 = valid, 0 = padding"),
        ([[0.0, 0.0], [0.0, -10_000.0]], "0 = valid, -1e+04 = padding"),
        ([[True, True]], "True = valid"),
    ],
)
def test_a_mask_says_how_it_is_written(mask, key):
    """Squares of every form look alike; what stands in them is said beside the title."""
    assert f"({len(mask)}, 2) {key}" in " ".join(visible(svg_of(mask_figure({"frame mask": torch.tensor(mask)}).html)))


@pytest.mark.parametrize(
    ("title", "mask", "counted", "strip", "hatch"),
    [
        ("attention mask", torch.zeros(1, 1, 4, 4), "clip 0: 4 of 4", "####", "padding"),  # nothing taken from a score
        ("frame mask", torch.zeros(1, 4, dtype=torch.bool), "0 of 4 valid", "////", "padding"),
        ("time mask", [0, 0, 1, 1, 1, 0, 0, 0, 0, 0], "7 of 10 seen", "##xxx#####", "time_mask"),
    ],
)
def test_additive_masks_empty_clips_and_time_masks(title, mask, counted, strip, hatch):
    figure = mask_figure({title: mask})
    assert counted in visible(svg_of(figure.html)) and strip in str(figure)
    assert set(re.findall(r"url\(#(\w+)-", figure.html)) == {hatch}


# ----------------------------------------------------------------------------------------------------- journey


def test_the_journey_shows_the_numbers_of_the_trace(base):
    labels = " | ".join(visible(svg_of(journey(base))))
    stack = GEOMETRY.lengths(40_000)
    for clip, length in enumerate(LENGTHS):
        frames, unread = GEOMETRY.frame_count(length), len(GEOMETRY.unread(length))
        assert (
            f"{length} samples" in labels and f"{frames} valid" in labels and f"clip {clip}: {frames} of 124" in labels
        )
        assert f"{unread} of them read by no frame" in labels
    assert all(f"T{number} = {length}" in labels for number, length in enumerate(stack[:-1], 1))
    assert "T7 = T = 124" in labels and "kernel 10, stride 5" in labels and "Transformer × 12" in labels
    for number in (*LENGTHS, *stack, 49, 73, 512, 768, 12, 32, 240, 16):
        assert re.search(rf"\b{number}\b", journey_text(base)), number
    assert svg_of(journey(base)).find(f"{SVG}desc").text == journey_text(base)
    numbers = journey_of(base)
    assert numbers.geometry == GEOMETRY and numbers.unread == tuple(len(GEOMETRY.unread(n)) for n in LENGTHS)
    assert journey_of(Trace(TraceData(()))) is None and journey_of(SymbolicTrace.preset("base")) is None


def test_the_journey_reads_without_colour(base):
    """Grey it out, and padding, unread samples and stages are still told apart: by hatch, legend and name."""
    source = journey(base)
    labels = " | ".join(visible(svg_of(source)))
    assert all(HATCHES[kind] in labels for kind in ("padding", "unread"))
    # Two of three clips are padded: their waveform, frames and attention square; and the legend.
    assert len(re.findall(r'fill="url\(#padding-', source)) == 2 * 3 + 1
    assert len(re.findall(r'fill="url\(#unread-', source)) == 3 + 1
    assert all(stage.name in labels for stage in STAGES[1:])


def test_the_journey_without_mask_padding_or_group_norm(base):
    bare = derived(LENGTHS, masked=False)
    assert "none was handed: every frame looks at every frame" in journey(bare) and "padding included" in journey_text(
        bare
    )
    assert "124 of 124" in journey(bare) and "49 of 124" not in journey(bare)
    single = derived([400], "tiny")
    assert "url(#padding" not in journey(single) and "nothing padded" in journey_text(single)
    assert "⚠ group norm" in journey(base)
    assert "group norm" not in journey(derived(LENGTHS, "large_lv60"))
    many = visible(svg_of(journey(derived([16000 + 320 * i for i in range(20)], "tiny"))))
    assert "22080 samples, 1.38 s" in many and "clip 19" in many  # of many clips the longest is shown


def test_waveforms_are_drawn_when_given(base):
    clips = [torch.randn(length) for length in LENGTHS]
    assert journey(base, clips).count(" Z") == 3 and journey(base).count(" Z") == 0
    assert journey(base, [clip * 0 for clip in clips]) == journey(base)  # silence: bars, no division by zero
    assert journey(base, [clip.to("meta") for clip in clips]) == journey(base)


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


def test_hatches_and_stages_differ_in_more_than_colour():
    assert len({stage.colour for stage in STAGES}) == len({stage.name for stage in STAGES}) == 6
    drawings = [svg_pattern(kind, "x") for kind in HATCHES]
    assert len(set(drawings)) == 3 and all("currentColor" in drawing for drawing in drawings)
    with pytest.raises(KeyError, match="padding, unread, time_mask"):
        svg_pattern("stripes", "x")


def test_the_ink_of_an_image_is_readable_on_white_and_on_dark():
    """Contrast as WCAG 2.2 defines it."""

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for paper in ("#ffffff", "#111111"):
        low, high = sorted((luminance(INK), luminance(paper)))
        assert (high + 0.05) / (low + 0.05) > 4.3
