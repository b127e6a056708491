"""A trace as a table: golden files, and invariants that do not know how the table is made."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from page_reader import PageReader

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC, pad, trace
from w2vlearn.show import render, trace_table
from w2vlearn.show.palette import MIXES_UNMASKED, STAGES
from w2vlearn.show.rows import LEVELS, inside, rows
from w2vlearn.symbolic import SymbolicTrace
from w2vlearn.tracing.layers import Trace
from w2vlearn.tracing.records import SKIPPED, WEIGHTS_USED, MaskSeen, Operation, TraceData

GOLDEN = Path(__file__).parent / "golden"
LENGTHS = (16000, 23456, 40000)


def derived(lengths, preset="base", masked=True):
    return SymbolicTrace.preset(preset, masked).at(B=len(lengths), L=max(lengths), lengths=lengths)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Wav2Vec2ForCTC(Wav2Vec2Config.tiny()).eval()


@pytest.fixture(scope="module")
def tiny(model):
    return trace(model, pad([torch.randn(length) for length in LENGTHS]))


@pytest.fixture(scope="module")
def base():
    return derived(LENGTHS)


def changed(old, name, **fields):
    """The trace with other fields in the record of one name."""
    return retold(old, [replace(record, **fields) if record.name == name else record for record in old.records])


def retold(old, records, **more):
    """The trace with other records."""
    return Trace(TraceData(tuple(records), old.batch, old.letters, old.notes), model_name="Other", **more)


def row_of(shown, name):
    return next(row for row in rows(shown) if row.name == name)


@pytest.mark.parametrize(
    "name, options",
    [
        *((f"tiny_{level}.txt", {"level": level}) for level in LEVELS),
        ("base_layers.txt", {}),
        ("base_layers_80.txt", {"width": 80}),
        ("tiny_layers.md", {}),
    ],
)
def test_golden(request, name, options):
    """Compare with tests/golden/NAME; W2VLEARN_GOLDEN=1 writes it anew (then look at the difference in git)."""
    shown, path = request.getfixturevalue(name[:4]), GOLDEN / name
    text = trace_table.markdown(shown) if name.endswith(".md") else trace_table.text(shown, **options) + "\n"
    if os.environ.get("W2VLEARN_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{name} differs; W2VLEARN_GOLDEN=1 pytest writes it anew"


def test_parameters_of_every_row_are_the_modules_own_and_add_up(model, tiny, base):
    modules = dict(model.named_modules())
    for level in LEVELS:
        for row in rows(tiny, level):
            if not row.record.is_mask_step:
                expected = sum(p.numel() for record in row.records for p in modules[record.name].parameters())
                assert row.parameters == expected, row.label
    total = sum(p.numel() for p in model.parameters())
    direct = sum(p.numel() for p in model.parameters(recurse=False))
    assert sum(row.parameters for row in rows(tiny) if row.depth == 1) + direct == total
    assert f"{total:,} parameters" in str(tiny).split("\n")[0]
    assert rows(base)[0].parameters == 94_396_320  # other than TINY's, this number is known from outside


@pytest.mark.parametrize("kind", ["tiny", "base"])
def test_every_form_shows_the_same_cells(request, kind):
    shown = request.getfixturevalue(kind)
    forms = (
        PageReader(trace_table.html(shown)).text(),
        trace_table.text(shown, width=400),
        trace_table.markdown(shown),
    )
    for row in trace_table.layer_table(rows(shown)).rows:
        for line in "\n".join(map(str, row)).replace("\u200b", "").replace("\u00a0", " ").split("\n"):
            assert all(line.strip() in form for form in forms), line
    frame = render(shown, "pandas")
    assert list(frame["name"]) == [record.name for record in shown.records]
    assert frame.set_index("name").loc["lm_head", "output"][:2] == (3, 124)
    assert len(re.findall(r"^\|", render(shown, "markdown"), re.MULTILINE)) == len(shown.records) + 2


def test_equal_layers_are_one_line_and_unfold(base):
    folded = next(row for row in rows(base) if len(row.records) == 12)
    assert folded.label == "layers.0 … 11 × 12" and folded.parameters == 12 * 7_087_872
    labels = [row.label for row in inside(folded, base)]
    assert labels[0] == "wav2vec2.encoder.layers.0" and {"attention", "feed_forward"} <= set(labels)
    assert not any("layers.1" in label for label in labels)
    assert [row.record for row in rows(base, "all")] == list(base.records)
    below = [record for record in base.records if re.match(r"wav2vec2\.encoder\.layers\.\d+\.", record.name)]
    assert folded.hidden == len(below) - sum(bool(re.search("dropout|act_fn", record.name)) for record in below)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": SKIPPED},
        {"outputs": ()},
        {"mask": MaskSeen("attention_mask", "attention", "additive", (3, 1, 124, 124), "float32")},
        {"valid": (1, 2, 3)},
        {"operation": Operation("module", "Other")},
        {"parameters": 1},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_layer_that_differs_is_never_folded_away_nor_joined_with_its_container(tiny, fields):
    other = changed(tiny, "wav2vec2.encoder.layers.1", **fields)
    assert not any(len(row.records) > 1 and "encoder.layers" in row.name for row in rows(other))
    name = "wav2vec2.feature_extractor.conv_layers.1"
    joined = not {"status", "outputs", "mask", "parameters"} & set(fields)
    for shown, labels in (
        (tiny, ["conv_layers.1.conv"]),
        (changed(tiny, f"{name}.conv", **fields), ["conv_layers.1.conv"] if joined else ["conv_layers.1", "conv"]),
    ):
        assert [row.label for row in rows(shown) if row.name.startswith(name)] == labels


def test_mask_steps_are_rows_at_every_level_also_inside_folded_layers(tiny):
    for level in LEVELS:
        names = [row.name for row in rows(tiny, level)]
        assert {"sample mask -> frame mask", "frame mask -> attention mask"} <= set(names), level
    step = tiny["frame mask -> attention mask"]
    records = []
    for record in tiny.records:
        is_layer = re.fullmatch(r"wav2vec2\.encoder\.layers\.\d+", record.name)
        records += [record, *([replace(step, name="own -> mask", depth=record.depth + 1)] if is_layer else [])]
    lines = rows(retold(tiny, records))
    assert [row.label for row in lines if row.name == "own -> mask"] == ["own → mask"]
    assert any(len(row.records) == 2 for row in lines)


def test_the_warning_stands_only_where_time_is_mixed_unmasked(base):
    """One column tells where padding can get in: the convolutions, the group norm, the positional convolution."""
    marked = [row.name.removeprefix("wav2vec2.") for row in rows(base) if row.mask == MIXES_UNMASKED]
    convs = [f"feature_extractor.conv_layers.{index}.conv" for index in range(7)]
    assert marked == [convs[0], "feature_extractor.conv_layers.0.layer_norm", *convs[1:], "encoder.pos_conv_embed.conv"]
    bare = derived(LENGTHS, masked=False)
    assert next(row for row in rows(bare) if len(row.records) == 12).mask == MIXES_UNMASKED


@pytest.mark.parametrize(
    "mask, wording",
    [
        (("frame", "bool", (3, 124), "bool", "valid", None, (48, 73, 124)), "3×124 bool ⚠ marks 48, 73, 124"),
        (("frame", "bool", (3, 124), "bool", "padding", None, (49, 73, 124)), "3×124 bool True = padding"),
        (("attention", "object", (), "BlockMask"), "attention mask BlockMask"),
        (("attention", "object", (3, 1, 124, 124), "BlockMask"), "attention mask 3×1×124×124 BlockMask"),
        (("frame", "none", (), ""), "frame mask dropped, all valid"),
        (("frame", "lengths", (3,), "int64", "", None, (49, 73, 124)), "frame mask 3 lengths"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mask_is_shown_as_what_it_is(tiny, mask, wording):
    other = changed(tiny, "wav2vec2.encoder", mask=MaskSeen("attention_mask", *mask))
    row = row_of(other, "wav2vec2.encoder")
    assert row.mask.replace("\n", " ").endswith(wording) and "mixes time" not in row.mask
    assert wording in re.sub(r"\s+", " ", PageReader(trace_table.html(other)).text())


@pytest.mark.parametrize("status", [SKIPPED, WEIGHTS_USED])
def test_a_module_that_was_not_called_says_so_in_every_form(tiny, status):
    other = changed(tiny, "lm_head", status=status, inputs=(), outputs=(), mixes_time=True, mask=None, valid=None)
    row = row_of(other, "lm_head")
    assert (row.letters, row.mask) == (status, "–")
    assert all(status in render(other, form) for form in ("text", "html", "markdown"))
    assert render(other, "pandas").set_index("name").loc["lm_head", "status"] == status


def test_a_second_call_is_not_counted_twice(tiny):
    twice = retold(tiny, [*tiny.records, replace(tiny["lm_head"], call=1)])
    lines, once = [row for row in rows(twice) if row.name == "lm_head"], tiny["lm_head"].parameters
    assert [(row.label, row.parameters) for row in lines] == [("lm_head", once), ("lm_head (call 2)", 0)]
    assert "counted above" in str(twice)


def test_a_partial_trace_says_where_it_broke(tiny):
    partial = retold(tiny, [*tiny.records[:5], replace(tiny["lm_head"], outputs=())], error="layer 'x' raised <oops>")
    assert "(B, T, D) → ?" in str(partial) and "Here it broke: layer 'x' raised <oops>" in str(partial)
    page = trace_table.html(partial)
    PageReader(page)
    assert 'role="alert"' in page and "&lt;oops&gt;" in page and "<oops>" not in page


def test_empty_symbolic_many_and_single(base):
    empty = Trace(TraceData(()), model_name="<Nothing>")
    assert "what it does" in str(empty)
    assert "<svg" not in trace_table.html(empty) and "<Nothing>" not in trace_table.html(empty)
    symbolic = str(SymbolicTrace.preset("base"))
    assert "(B, C, T1) → (B, C, T2)" in symbolic and "valid per clip" not in symbolic and "7999" not in symbolic
    many = derived([16000 + 320 * index for index in range(20)], "tiny")
    assert rows(many)[0].valid == "49, 50, 51, 52, 53, 54, …, 68"
    assert "16000, 16320, 16640, 16960, 17280, 17600, …, 22080 samples" in str(many)
    text = str(derived([400], "tiny"))
    assert "B = 1 clip ·" in text and re.search(r"T = 1 frame\s", text)
    classifier = str(Trace(TraceData(base.records, base.batch, {"B": 3, "N": 32}), model_name="Classifier"))
    assert "N = 32 classes" in classifier and "vocabulary" not in classifier


def test_what_cannot_be_shown_is_refused(tiny):
    with pytest.raises(ValueError, match="there are stages, layers, all"):
        rows(tiny, "everything")
    with pytest.raises(ValueError, match="no form called 'latex'"):
        render(tiny, "latex")
    with pytest.raises(TypeError, match="a str has no text"):
        render("a trace", "text")


def test_the_page_needs_no_script_and_follows_the_theme(base):
    page = trace_table.html(base)
    reader = PageReader(page)
    assert not any(reader.all(tag) for tag in ("script", "style", "link"))
    assert not re.search(r"\son\w+=|javascript:|https?://(?!www\.w3\.org)", page)
    for style in re.findall(r'style="([^"]*)"', page):
        rules = dict(rule.split(":", 1) for rule in style.split(";") if rule)
        assert rules.get("color", "inherit") == "inherit"
        assert rules.get("background", "transparent") in {"transparent", *(stage.colour for stage in STAGES)}
    assert "🔒" not in page and "fixed, whatever the length" in page  # drawn: not every machine has an emoji font
    # colour is never alone: beside every mark of a stage stands the stage's name
    cells = re.findall(r"<span aria-hidden[^>]*background:(#\w+)[^>]*></span>([^<]*)<br>", page)
    assert set(cells) == {(stage.colour, stage.name) for stage in STAGES[1:]}
    summaries = [inside[-1] for _, inside in reader.all("summary")]
    assert summaries == ["details"] and "Inside wav2vec2.encoder.layers.0, the first of 12 equal layers" in page
