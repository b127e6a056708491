"""The text table: golden files, and invariants that do not know how the table is made."""

import os
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from w2vlearn.batch import pad
from w2vlearn.cli import derived
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.model import Wav2Vec2ForCTC
from w2vlearn.show.palette import MIXES_UNMASKED
from w2vlearn.show.rows import LEVELS, inside, rows
from w2vlearn.show.text import markdown_table, table
from w2vlearn.tracing import MaskSeen, Trace, trace
from w2vlearn.tracing.record import TraceData

GOLDEN = Path(__file__).parent / "golden"
LENGTHS = (16000, 23456, 40000)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Wav2Vec2ForCTC(Wav2Vec2Config.tiny()).eval()


@pytest.fixture(scope="module")
def tiny(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return trace(model, pad([torch.randn(length, generator=generator) for length in LENGTHS]))


@pytest.fixture(scope="module")
def base():
    return derived(LENGTHS, "base")


def check_golden(name, text):
    """Compare with tests/golden/NAME; W2VLEARN_GOLDEN=1 writes it anew (then look at the difference in git)."""
    path = GOLDEN / name
    if os.environ.get("W2VLEARN_GOLDEN"):
        path.write_text(text + "\n", encoding="utf-8")
        pytest.skip(f"{name} written anew")
    assert text + "\n" == path.read_text(encoding="utf-8"), f"{name} differs; W2VLEARN_GOLDEN=1 pytest writes it anew"


def changed(old, position, **fields):
    """A trace whose record at one position has other fields."""
    records = list(old.records)
    records[position] = replace(records[position], **fields)
    data = TraceData(tuple(records), old.batch, old.letters, old.notes)
    return Trace(data, model_name=old.model_name)


def position_of(old, name):
    return next(index for index, record in enumerate(old.records) if record.name == name)


# ------------------------------------------------------------------------------------------------ golden files


@pytest.mark.parametrize("level", LEVELS)
def test_golden_tiny(tiny, level):
    check_golden(f"tiny_{level}.txt", table(tiny, level=level))


def test_golden_base(base):
    check_golden("base_layers.txt", table(base))


def test_golden_base_in_a_narrow_terminal(base):
    check_golden("base_layers_80.txt", table(base, width=80))


def test_golden_markdown(tiny):
    check_golden("tiny_layers.md", markdown_table(tiny).rstrip("\n"))


# -------------------------------------------------------------------------------------------------- invariants


def test_parameters_of_every_row_are_the_modules_own(model, tiny):
    modules = dict(model.named_modules())
    for level in LEVELS:
        for row in rows(tiny, level):
            if not row.record.is_mask_step:
                expected = sum(p.numel() for record in row.records for p in modules[record.name].parameters())
                assert row.parameters == expected, row.label


def test_the_printed_columns_add_up_to_the_model(model, tiny):
    """Every level: what stands directly below the model sums to the model's own parameters."""
    total = sum(p.numel() for p in model.parameters())
    assert f"{total:,} parameters" in table(tiny).split("\n")[0]
    lines = rows(tiny)
    direct = sum(p.numel() for p in model.parameters(recurse=False))
    assert sum(row.parameters for row in lines if row.depth == 1) + direct == lines[0].parameters == total


def test_base_adds_up_too(base):
    """Other than TINY's, BASE's numbers are known from outside: 94,396,320 with a head of 32."""
    lines = rows(base)
    assert lines[0].parameters == 94_396_320
    folded = next(row for row in lines if row.times == 12)
    assert folded.parameters == 12 * 7_087_872


def test_each_convolution_goes_on_where_the_last_one_stopped(tiny, base):
    for this in (tiny, base):
        stack = [row for row in rows(this) if "conv_layers" in row.name and row.what.startswith("convolution")]
        assert len(stack) == 7
        for before, after in pairwise(stack):
            assert before.record.output.shape == after.record.input.shape
            assert before.letters.split(" → ")[1] == after.letters.split(" → ")[0]


def test_real_positions_never_exceed_the_axis(tiny, base):
    for this in (tiny, base):
        for row in rows(this, "all"):
            if row.record.valid is not None and row.record.output is not None:
                assert len(row.record.valid) == 3
                assert max(row.record.valid) <= max(row.record.output.shape), row.label


def test_letters_and_numbers_of_a_row_agree(tiny, base):
    """ "(B, C, T1)" above "3×512×7999": each letter is worth what the legend says."""
    for this in (tiny, base):
        worth = this.letters
        for row in rows(this, "all"):
            for info in (*row.record.inputs, *row.record.outputs):
                for letter, size in zip(info.letters, info.shape, strict=True):
                    if letter in worth:
                        assert worth[letter] == size, (row.label, letter)


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_lines_fit_the_width_and_end_without_spaces(tiny, base, width):
    for this in (tiny, base):
        for line in table(this, width=width).split("\n"):
            assert len(line) <= width, line
            assert line == line.rstrip()


def test_a_wide_terminal_needs_no_wrapping(base):
    first = table(base, width=200).split("\n")
    assert any("convolution, kernel 10, stride 5, 1 → 512 channels" in line for line in first)


# ----------------------------------------------------------------------------------------------------- folding


def test_twelve_equal_layers_are_one_line_and_unfold(base):
    text = table(base)
    assert "layers.0 … 11 × 12" in text
    assert len(re.findall(r"^ +layers\.\d+ ", text, re.MULTILINE)) == 1
    unfolded = table(base, fold=False)
    assert len(re.findall(r"^ +layers\.\d+ ", unfolded, re.MULTILINE)) == 12
    assert "×" in unfolded and "× 12" not in unfolded


def test_every_record_has_its_line_when_unfolded(tiny):
    assert [row.record for row in rows(tiny, "all")] == list(tiny.records)


def test_folded_and_hidden_calls_are_all_accounted_for(tiny):
    """A row stands for its records and what it hides; with the dropouts left out nothing is lost or told twice."""
    lines = rows(tiny)
    shown = [record for row in lines for record in row.records]
    assert len({id(record) for record in shown}) == len(shown)
    folded = next(row for row in lines if row.times == 2)
    below = [record for record in tiny.records if re.match(r"wav2vec2\.encoder\.layers\.\d+\.", record.name)]
    quiet = [record for record in below if re.search("dropout|act_fn", record.name)]
    assert folded.hidden == len(below) - len(quiet)


def test_the_inside_of_a_folded_line(tiny):
    folded = next(row for row in rows(tiny) if row.times == 2)
    labels = [row.label for row in inside(folded, tiny)]
    assert labels[0] == "wav2vec2.encoder.layers.0"
    assert {"attention", "feed_forward", "intermediate_dense"} <= set(labels)
    assert not any("layers.1" in label for label in labels)


@pytest.mark.parametrize(
    "fields",
    [
        {"skipped": True},
        {"outputs": ()},
        {"mask": MaskSeen("attention_mask", "attention", "additive", (3, 1, 124, 124), "float32", "0 = attend")},
        {"valid": (1, 2, 3)},
        {"what": "something else"},
        {"parameters": 1},
    ],
)
def test_a_layer_that_differs_is_never_folded_away(tiny, fields):
    other = changed(tiny, position_of(tiny, "wav2vec2.encoder.layers.1"), **fields)
    assert not any(row.times > 1 and "encoder.layers" in row.name for row in rows(other))


def test_mask_steps_are_rows_at_every_level(tiny):
    for level in LEVELS:
        names = [row.name for row in rows(tiny, level)]
        assert "sample mask -> frame mask" in names, level
        assert "frame mask -> attention mask" in names, level


def test_a_mask_step_inside_folded_layers_is_shown(tiny):
    """A model that makes its mask in each layer: the layers fold, the step stays visible."""
    step = tiny.records[position_of(tiny, "frame mask -> attention mask")]
    records = []
    for record in tiny.records:
        records.append(record)
        if re.fullmatch(r"wav2vec2\.encoder\.layers\.\d+", record.name):
            records.append(replace(step, name="made -> here", depth=record.depth + 1))
    lines = rows(Trace(TraceData(tuple(records), tiny.batch, tiny.letters), model_name="Own masks"))
    assert [row.label for row in lines if row.name == "made -> here"] == ["made → here"]
    assert any(row.times == 2 for row in lines)


def test_unknown_level(tiny):
    with pytest.raises(ValueError, match="there are stages, layers, all"):
        rows(tiny, "everything")


# ------------------------------------------------------------------------------------------- the mask column


def test_the_warning_stands_only_where_time_is_mixed_unmasked(base):
    """One column tells where padding can get in: the convolutions, the group norm, the positional convolution."""
    marked = [row.name.removeprefix("wav2vec2.") for row in rows(base) if row.mask == MIXES_UNMASKED]
    convs = [f"feature_extractor.conv_layers.{index}.conv" for index in range(7)]
    assert marked == [convs[0], "feature_extractor.conv_layers.0.layer_norm", *convs[1:], "encoder.pos_conv_embed.conv"]
    attention = next(row for row in rows(base) if row.times == 12)
    assert attention.mask.split("\n") == ["attention mask", "3×1×124×124 bool"]


def test_without_a_mask_the_transformer_is_marked():
    bare = derived(LENGTHS, "base", masked=False)
    assert next(row for row in rows(bare) if row.times == 12).mask == MIXES_UNMASKED
    assert not any(row.record.is_mask_step for row in rows(bare))


def test_a_models_own_wrong_arithmetic_is_said(tiny):
    place = position_of(tiny, "wav2vec2.encoder")
    seen = tiny.records[place].mask
    assert "marks" not in table(tiny)
    wrong = changed(tiny, place, mask=replace(seen, real=(48, 73, 124)))
    assert "⚠ marks 48, 73, 124" in table(wrong)


def test_inverted_convention_is_said(tiny):
    place = position_of(tiny, "wav2vec2.encoder")
    other = changed(tiny, place, mask=replace(tiny.records[place].mask, convention="True = padding"))
    assert "True = padding" in table(other) and "True = padding" not in table(tiny)


# ----------------------------------------------------------------------------------------------- odd traces


def test_a_second_call_is_not_counted_twice(tiny):
    records = list(tiny.records)
    head = records[position_of(tiny, "lm_head")]
    data = TraceData((*records, replace(head, call=1)), tiny.batch, tiny.letters)
    lines = rows(Trace(data, model_name="Twice"))
    assert [row.label for row in lines if row.name == "lm_head"] == ["lm_head", "lm_head (call 2)"]
    assert [row.counted for row in lines if row.name == "lm_head"] == [False, True]
    assert "counted above" in table(Trace(data, model_name="Twice"))


def test_a_partial_trace_says_where_it_broke(tiny):
    place = position_of(tiny, "wav2vec2.feature_projection.projection")
    cut = [*tiny.records[:place], replace(tiny.records[place], outputs=())]
    partial = Trace(TraceData(tuple(cut), tiny.batch, tiny.letters), model_name="Broken", error="layer X raised Y")
    text = table(partial)
    assert "(B, T, C) → ?" in text and "Here it broke: layer X raised Y" in text


def test_an_empty_trace_is_a_table_without_rows():
    assert "layer" in table(Trace(TraceData(()), model_name="Nothing"))


def test_many_clips_are_shortened():
    many = derived([16000 + 320 * index for index in range(20)], "tiny")
    assert rows(many)[0].real == "49, 50, 51, 52, 53, 54, …, 68"
    assert "16000, 16320, 16640, 16960, 17280, 17600, …, 22080 samples" in table(many)


def test_one_clip_and_one_frame_are_singular():
    text = table(derived([400], "tiny"))
    assert "B = 1 clip ·" in text and re.search(r"T = 1 frame\s", text)


def test_a_symbolic_trace_shows_letters_and_no_empty_column():
    from w2vlearn.tracing.formulas import preset

    text = table(preset("base"))
    assert "(B, C, T1) → (B, C, T2)" in text
    assert "real per clip" not in text
    assert "C = 512" in text
    assert "7999" not in text
