"""HTML, SVG and palette: well formed, described, readable without colour and in every theme."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import torch

from w2vlearn.cli import derived
from w2vlearn.show import masks as masks_module
from w2vlearn.show.html import grid, html
from w2vlearn.show.journey import journey, journey_picture
from w2vlearn.show.journey_words import journey_text
from w2vlearn.show.palette import FEATURE_ENCODER as ENCODER
from w2vlearn.show.palette import (
    HATCHES,
    HEAD,
    MASK,
    MODEL,
    POSITIONS,
    PROJECTION,
    STAGES,
    TRANSFORMER,
    contrast,
    stage_of,
    svg_pattern,
)
from w2vlearn.tracing import Trace
from w2vlearn.tracing.record import TraceData

SVG = "{http://www.w3.org/2000/svg}"
VOID = {"br", "img", "hr"}
LENGTHS = (16000, 23456, 40000)


@pytest.fixture(scope="module")
def base():
    return derived(LENGTHS, "base")


@pytest.fixture(scope="module")
def page(base):
    return html(base)


class Reader(HTMLParser):
    """Reads a page, checks that tags nest, and collects what the tests ask about."""

    def __init__(self, source):
        super().__init__()
        self.open, self.starts, self.ids, self.words = [], [], [], []
        self.feed(source)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.starts.append((tag, dict(attributes), tuple(self.open)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.starts.append((tag, dict(attributes), tuple(self.open)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [(attributes, inside) for name, attributes, inside in self.starts if name == tag]


def svg_of(source):
    return ElementTree.fromstring(re.search(r"<svg.*?</svg>", source, re.DOTALL)[0])


# --------------------------------------------------------------------------------------------------------- HTML


def test_page_is_well_formed_and_needs_no_script_or_stylesheet(page):
    reader = Reader(page)
    assert not reader.all("script") and not reader.all("style") and not reader.all("link")
    assert not re.search(r"\son\w+=|javascript:|https?://(?!www\.w3\.org)", page)
    assert len(reader.ids) == len(set(reader.ids)), "an id is there twice"


def test_every_table_can_be_followed_by_ear(page):
    reader = Reader(page)
    tables = page.count("<table")
    assert tables == 2  # the table, and the inside of one of the twelve equal layers
    assert [inside[-1] for _, inside in reader.all("caption")] == ["table"] * tables
    for attributes, _ in reader.all("th"):
        assert attributes.get("scope") in ("col", "row")
    for row in re.findall(r"<tbody>.*?</tbody>", page, re.DOTALL)[0].split("<tr")[1:]:
        assert row.count("<th") == 1 and row.count("<td") == 5


def test_folding_works_without_script(page):
    reader = Reader(page)
    assert len(reader.all("details")) == 1
    assert [inside[-1] for _, inside in reader.all("summary")] == ["details"]
    assert "Inside wav2vec2.encoder.layers.0, the first of 12 equal layers" in page


def test_page_follows_the_theme(page):
    """No text has a colour of its own and no box a background; only the stages' marks are filled."""
    for style in re.findall(r'style="([^"]*)"', page):
        for name, value in (rule.split(":", 1) for rule in style.split(";") if rule):
            if name == "color":
                assert value == "inherit"
            if name == "background":
                assert value == "transparent" or value in {stage.colour for stage in STAGES}
    for attributes, _ in Reader(page).all("span"):
        assert attributes["aria-hidden"] == "true"


def test_colour_is_never_alone(page):
    """Beside every mark of a stage stands the stage's name."""
    cells = re.findall(r"<td[^>]*>(<span aria-hidden[^>]*background:(#\w+)[^>]*></span>)([^<]*)<br>", page)
    assert len(cells) > 20
    names = {stage.colour: stage.name for stage in STAGES}
    for _, colour, words in cells:
        assert words == names[colour]
    assert {words for *_, words in cells} == {s.name for s in (ENCODER, PROJECTION, POSITIONS, TRANSFORMER, HEAD)}


def test_page_and_text_say_the_same(base, page):
    from w2vlearn.show.rows import rows
    from w2vlearn.show.text import columns

    body = re.findall(r"<tbody>.*?</tbody>", page, re.DOTALL)[0]
    words = re.sub(r"<br>", "\n", body)
    words = re.sub(r"<[^>]*>", "\0", words).replace("&gt;", ">")
    for cells in columns(rows(base))[1]:
        for cell in cells:
            assert cell.replace("\u00a0", " ").replace("\u200b", "").strip() in words, cell


def test_names_cannot_become_markup(base):
    evil = Trace(
        TraceData(tuple(replace(r, what="<script>alert(1)</script>") for r in base.records), base.batch, base.letters),
        model_name="<b>&\"'",
    )
    source = html(evil)
    assert "<script" not in source and "<b>" not in source
    Reader(source)


def test_error_of_a_partial_trace_is_shown(base):
    partial = Trace(TraceData(base.records[:5], base.batch), model_name="Broken", error="layer 'x' raised <oops>")
    source = html(partial)
    assert "layer &#x27;x&#x27; raised &lt;oops&gt;" in source and 'role="alert"' in source
    Reader(source)


def test_symbolic_and_empty_traces_have_a_page_too():
    from w2vlearn.tracing.formulas import preset

    for source in (html(preset("tiny")), html(Trace(TraceData(()), model_name="Nothing"))):
        Reader(source)
        assert "<svg" not in source and "<table" in source


def test_grid_refuses_what_nobody_could_follow():
    with pytest.raises(ValueError, match="needs a caption"):
        grid(["a"], [[1]], caption=" ")
    with pytest.raises(ValueError, match="found 2 in row 0"):
        grid(["a"], [[1, 2]], caption="x")
    assert 'scope="row"' not in grid(["a"], [[1]], caption="x", row_headers=False)
    assert "text-align:right" in grid(["a", "n"], [["x", 1]], caption="x")


# ------------------------------------------------------------------------------------------------------ journey


def visible(picture):
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def test_journey_is_described_and_scales(base):
    picture = svg_of(journey(base))
    title, description = picture.find(f"{SVG}title"), picture.find(f"{SVG}desc")
    assert picture.get("role") == "img"
    assert picture.get("aria-labelledby").split() == [title.get("id"), description.get("id")]
    assert description.text == journey_text(base)
    assert picture.get("viewBox") and "width:100%" in picture.get("style")
    assert picture.find(f".//{SVG}style") is None and picture.find(f".//{SVG}script") is None


def test_journey_shows_the_numbers_of_the_trace(base):
    words = " | ".join(visible(svg_of(journey(base))))
    for length, real in zip(LENGTHS, (49, 73, 124), strict=True):
        assert f"{length} samples" in words
        assert re.search(rf"\b{real} real", words) and f"{real} of 124" in words
    for number, length in enumerate((7999, 3999, 1999, 999, 499, 249), 1):
        assert f"T{number} = {length}" in words
    assert "T7 = T = 124" in words and "512" in words and "768" in words and "Transformer × 12" in words
    assert "240 of them read by no frame" in words and "16 of them read by no frame" in words


def test_journey_in_words_has_every_number(base):
    words = journey_text(base)
    for number in (*LENGTHS, 7999, 3999, 1999, 999, 499, 249, 124, 49, 73, 512, 768, 12, 32, 240, 16):
        assert re.search(rf"\b{number}\b", words), number


def test_journey_text_is_large_enough_and_takes_the_themes_colour(base):
    texts = list(svg_of(journey(base)).iter(f"{SVG}text"))
    assert len(texts) > 30
    for text in texts:
        assert float(text.get("font-size")) >= 12
        assert text.get("fill") == "currentColor"


def test_journey_reads_without_colour(base):
    """Grey it out, and padding, unread samples and stages are still told apart: by hatch, legend and name."""
    source = journey(base)
    words = " | ".join(visible(svg_of(source)))
    for kind in ("padding", "unread"):
        assert HATCHES[kind] in words
        assert re.search(rf'fill="url\(#{kind}-\w+\)"', source)
    # Two of three clips are padded: their waveform, frames and attention square; and the legend.
    assert len(re.findall(r'fill="url\(#padding-', source)) == 2 * 3 + 1
    assert len(re.findall(r'fill="url\(#unread-', source)) == 3 + 1
    for stage in (ENCODER, PROJECTION, POSITIONS, TRANSFORMER, HEAD):
        assert stage.name in words
    for colour in set(re.findall(r'fill="(#\w+)"', source)):
        assert colour in {stage.colour for stage in STAGES}


def test_every_reference_in_the_picture_leads_somewhere(base):
    source = journey(base)
    assert set(re.findall(r"url\(#([^)]+)\)", source)) <= set(re.findall(r'id="([^"]+)"', source))
    assert len(re.findall(r'id="', source)) == len(set(re.findall(r'id="([^"]+)"', source)))


def test_everything_lies_inside_the_drawing(base):
    for this in (base, derived([400], "tiny"), derived([16000] * 20, "tiny"), derived([16000, 400_000], "large_lv60")):
        picture = svg_of(journey(this))
        _, _, wide, high = map(float, picture.get("viewBox").split())
        for rect in picture.iter(f"{SVG}rect"):
            x, y = float(rect.get("x")), float(rect.get("y"))
            assert x >= 0 and x + float(rect.get("width")) <= wide + 0.1
            assert y >= 0 and y + float(rect.get("height")) <= high + 0.1
        for text in picture.iter(f"{SVG}text"):
            assert 0 < float(text.get("y")) < high
            assert 0 <= float(text.get("x")) < wide


def test_same_trace_same_bytes_and_other_trace_other_ids(base):
    again = journey(derived(LENGTHS, "base"))
    assert journey(base) == again
    other = journey(derived((16000, 23456, 40080), "base"))
    assert not set(re.findall(r'id="([^"]+)"', again)) & set(re.findall(r'id="([^"]+)"', other))


def test_waveforms_are_drawn_when_given(base):
    generator = torch.Generator().manual_seed(0)
    clips = [torch.randn(length, generator=generator) for length in LENGTHS]
    drawn = journey(base, clips)
    assert drawn.count(" Z") - journey(base).count(" Z") == 3
    loud = [clips[0], clips[1] * 0, clips[2]]
    assert journey(base, loud) != drawn
    svg_of(journey(base, [clip * 0 for clip in clips]))  # silence: bars, no division by zero


def test_one_clip_has_no_padding_and_no_hatch_for_it():
    source = journey(derived([16000], "base"))
    assert "padding" not in " ".join(visible(svg_of(source))).replace("padding included", "")
    assert "url(#padding" not in source
    assert "nothing padded" in journey_text(derived([16000], "base"))


def test_without_mask_the_picture_says_so():
    bare = derived(LENGTHS, "base", masked=False)
    assert "none was handed: every frame looks at every frame" in journey(bare)
    assert "padding included" in journey_text(bare)
    assert "124 of 124" in journey(bare) and "49 of 124" not in journey(bare)


def test_group_norm_is_named_where_it_is_and_only_there():
    assert "⚠ group norm" in journey(derived(LENGTHS, "base"))
    assert "group norm" not in journey(derived(LENGTHS, "large_lv60"))


def test_of_many_clips_the_longest_is_among_those_shown():
    words = visible(svg_of(journey(derived([16000] * 19 + [40000], "tiny"))))
    assert "40000 samples, 2.50 s" in words and words.count("clip 19") >= 1


def test_picture_has_a_twin_in_words(base):
    picture = journey_picture(base)
    assert str(picture) == journey_text(base) and picture._repr_mimebundle_()["text/html"] == journey(base)
    assert journey_picture(Trace(TraceData(()), model_name="Nothing")) is None


# ------------------------------------------------------------------------------------------------------ palette


@pytest.mark.parametrize(
    ("name", "kind", "stage"),
    [
        ("wav2vec2.feature_extractor.conv_layers.0.conv", "Conv1d", ENCODER),
        ("wav2vec2.feature_projection.projection", "Linear", PROJECTION),
        ("wav2vec2.encoder.pos_conv_embed.conv", "Conv1d", POSITIONS),
        ("wav2vec2.encoder.layers.3.attention.q_proj", "Linear", TRANSFORMER),
        ("wav2vec2.encoder.layer_norm", "LayerNorm", TRANSFORMER),
        ("lm_head", "Linear", HEAD),
        ("quantizer.weight_proj", "Linear", HEAD),
        ("project_hid", "Linear", HEAD),
        ("encoder.transformer.pos_conv_embed", "ConvolutionalPositionalEmbedding", POSITIONS),  # torchaudio
        ("encoder.feature_projection", "FeatureProjection", PROJECTION),
        ("post_extract_proj", "Linear", PROJECTION),  # fairseq
        ("sample mask -> frame mask", "mask step", MASK),
        ("", "Wav2Vec2ForCTC", MODEL),
        ("wav2vec2", "Wav2Vec2Model", MODEL),
    ],
)
def test_stage_of(name, kind, stage):
    assert stage_of(name, kind) is stage


def test_contrast_is_the_one_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#ffffff", "#767676") == contrast("#767676", "#ffffff")
    with pytest.raises(ValueError, match="wanted a colour"):
        contrast("red", "#ffffff")


def test_stages_have_six_different_colours_and_names():
    assert len({stage.colour for stage in STAGES}) == len({stage.name for stage in STAGES}) == 6


def test_hatches_differ_in_shape_not_colour():
    drawings = [svg_pattern(kind, "x") for kind in HATCHES]
    assert len(set(drawings)) == 3 and all("currentColor" in drawing for drawing in drawings)
    with pytest.raises(KeyError, match="padding, unread, time_mask"):
        svg_pattern("stripes", "x")


# -------------------------------------------------------------------------------------------------------- masks


def test_masks_picture_counts_what_is_real():
    frame = torch.arange(8)[None] < torch.tensor([3, 8])[:, None]
    attention = frame[:, None, None, :].expand(2, 1, 8, 8)
    additive = torch.zeros(2, 1, 8, 8).masked_fill(~attention, torch.finfo(torch.float32).min)
    for square in (attention, additive, attention.long()):
        picture = masks_module.masks({"frame mask": frame, "attention mask": square})
        words = visible(svg_of(picture.html))
        assert {"3 of 8 real", "8 of 8 real", "clip 0: 3 of 8", "clip 1: 8 of 8"} <= set(words)
        assert "attention mask (2, 1, 8, 8), keys looked at per clip: 3 of 8, 8 of 8." in picture.alt
        assert "###/////" in str(picture)


def test_time_mask_is_another_hatch_and_another_word():
    mask = torch.zeros(1, 10, dtype=torch.bool)
    mask[0, 2:5] = True
    picture = masks_module.masks({"time mask": mask})
    assert "url(#time_mask-" in picture.html and "url(#padding-" not in picture.html
    assert "7 of 10 seen" in visible(svg_of(picture.html)) and "##xxx#####" in str(picture)


@pytest.mark.parametrize("bad", [{}, {"m": []}, {"m": torch.zeros(1, 1, 1, 1, 1)}])
def test_masks_refuse_what_is_no_mask(bad):
    with pytest.raises(ValueError, match="mask"):
        masks_module.masks(bad)
