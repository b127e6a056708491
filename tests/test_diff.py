"""Two traces side by side: only what differs, by letter."""

import dataclasses

import pytest
import torch
import transformers

from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2ForCTC, pad
from w2vlearn.tracing.observe import TraceError, trace

TINY = Wav2Vec2Config.tiny()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Wav2Vec2ForCTC(TINY).eval()


def traced(model, *lengths):
    return trace(model, pad([torch.zeros(length) for length in lengths]))


def letters(diff):
    return {change.letter: (change.before, change.after) for change in diff.letters}


def test_a_sample_that_is_never_read_changes_only_the_length(model):
    diff = traced(model, 16_000).diff(traced(model, 16_001))
    assert letters(diff) == {"L": (16_000, 16_001)} and not diff.layers
    assert "never read" in str(diff)


def test_80_samples_more_change_the_lengths_and_nothing_else(model):
    diff = traced(model, 16_000).diff(traced(model, 16_080))
    geometry = FrameGeometry.from_config(TINY)
    expected = {"L": (16_000, 16_080), "T": (49, 50)}
    for index, pair in enumerate(zip(geometry.lengths(16_000), geometry.lengths(16_080), strict=True)):
        expected[f"T{index + 1}"] = pair
    assert letters(diff) == expected and not diff.layers and diff.same > 60


def test_samples_that_only_early_convolutions_read_are_said_so(model):
    diff = traced(model, 16_000).diff(traced(model, 16_010))
    assert set(letters(diff)) == {"L", "T1", "T2"} and "no frame does" in str(diff)


def test_base_and_large_differ_in_widths_heads_and_depth_only():
    with torch.device("meta"):
        base, large = (Wav2Vec2ForCTC(c).eval() for c in (Wav2Vec2Config.base(), Wav2Vec2Config.large()))
        waves = torch.empty(1, 16_000)
    diff = trace(base, waves).diff(trace(large, waves))
    assert letters(diff) == {"D": (768, 1024), "H": (12, 16), "depth of encoder.layers": (12, 24)}
    shapes = {(change.before, change.after) for change in diff.layers}
    assert shapes == {(("B", "T", "3072"), ("B", "T", "4096")), (("768", "48", "128"), ("1024", "64", "128"))}


def test_ours_and_transformers_are_matched_by_role(model):
    values = {key: value for key, value in TINY.to_dict().items() if key != "model_type"}
    hubert = transformers.HubertModel(transformers.HubertConfig(**values)).eval()
    wav2vec2 = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**values)).eval()
    ours = traced(model, 5000, 900)
    assert not ours.diff(traced(wav2vec2, 5000, 900))
    diff = ours.diff(traced(hubert, 5000, 900))
    only = [change for change in diff.layers if change.field == "only in the first"]
    assert {name for change in only for name in change.names} == {"dropout", "lm_head", ""}


def test_a_mask_that_is_given_or_not_is_a_difference(model):
    waves = torch.zeros(2, 4000)
    diff = trace(model, waves, torch.ones(2, 4000, dtype=torch.bool)).diff(trace(model, waves))
    changed = {name: change for change in diff.layers for name in change.names}
    assert changed["wav2vec2.encoder.layers.0.attention"].after is None
    assert changed["sample mask -> frame mask"].field == "only in the first"


def test_eager_and_fused_attention_differ_nowhere_in_shape(model):
    eager = Wav2Vec2ForCTC(dataclasses.replace(TINY, attn_implementation="eager")).eval()
    assert not traced(model, 900).diff(traced(eager, 900))


def test_traces_that_cannot_be_compared_say_why(model):
    good = traced(model, 900)
    with pytest.raises(TypeError, match="compares two traces, found a int"):
        good.diff(3)
    with pytest.raises(ValueError, match="no layer of Wav2Vec2ForCTC has the role of a layer of Linear"):
        good.diff(trace(torch.nn.Linear(3, 4).eval(), torch.zeros(2, 3)))
    with pytest.raises(TraceError) as broken:
        trace(model, torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match="a partial trace cannot be compared"):
        good.diff(broken.value.trace)


def test_a_masked_run_on_the_meta_device_is_traced_too():
    """No values there, so masks are read by form and name alone."""
    with torch.device("meta"):
        model = Wav2Vec2ForCTC(TINY).eval()
        observed = trace(model, torch.empty(2, 4000), torch.ones(2, 4000, dtype=torch.bool))
    mask = observed["wav2vec2.encoder.layers.0"].mask
    assert (mask.kind, mask.form, mask.true_means, mask.valid) == ("attention", "bool", "valid", None)
