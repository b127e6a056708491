"""Two traces side by side: only what differs, by letter."""

import pytest
import torch
import transformers

from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2ForCTC, pad
from w2vlearn.tracing.observe import TraceError, trace

TINY = Wav2Vec2Config.tiny()


def traced(model, *lengths):
    return trace(model, pad([torch.zeros(length) for length in lengths]))


def letters(diff):
    return {change.letter: (change.before, change.after) for change in diff.letters}


@pytest.mark.parametrize(
    ("samples", "changed", "note"),
    [
        (16_001, {"L"}, "never read"),
        (16_010, {"L", "T1", "T2"}, "no frame does"),
        (16_080, {"L", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T"}, ""),
    ],
)
def test_more_samples_change_the_lengths_that_they_change_and_nothing_else(tiny, samples, changed, note):
    diff = traced(tiny, 16_000).diff(traced(tiny, samples))
    geometry = FrameGeometry.from_config(TINY)
    pairs = zip(*([n, *geometry.lengths(n), geometry.frame_count(n)] for n in (16_000, samples)), strict=True)
    names = ["L", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T"]
    expected = {name: pair for name, pair in zip(names, pairs, strict=True) if pair[0] != pair[1]}
    assert letters(diff) == expected and set(expected) == changed
    assert not diff.layers and diff.same > 60 and note in str(diff)


def test_base_and_large_differ_in_widths_heads_and_depth_only():
    with torch.device("meta"):
        base, large = (Wav2Vec2ForCTC(c).eval() for c in (Wav2Vec2Config.base(), Wav2Vec2Config.large()))
        waves = torch.empty(1, 16_000)
    diff = trace(base, waves).diff(trace(large, waves))
    assert letters(diff) == {"D": (768, 1024), "H": (12, 16), "depth of encoder.layers": (12, 24)}
    shapes = {(change.before, change.after) for change in diff.layers}
    assert shapes == {(("B", "T", "3072"), ("B", "T", "4096")), (("768", "48", "128"), ("1024", "64", "128"))}


def test_ours_and_transformers_are_matched_by_role(tiny):
    values = {key: value for key, value in TINY.to_dict().items() if key != "model_type"}
    hubert = transformers.HubertModel(transformers.HubertConfig(**values)).eval()
    wav2vec2 = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**values)).eval()
    ours, theirs = traced(tiny, 5000, 900), traced(hubert, 5000, 900)
    assert not ours.diff(traced(wav2vec2, 5000, 900))
    for diff, field in ((ours.diff(theirs), "only in the first"), (theirs.diff(ours), "only in the second")):
        only = [change for change in diff.layers if change.field == field]
        assert {name for change in only for name in change.names} == {"dropout", "lm_head", ""}


def test_a_mask_that_is_given_or_not_is_a_difference_and_without_values_is_read_by_form_and_name():
    with torch.device("meta"):
        model, waves = Wav2Vec2ForCTC(TINY).eval(), torch.empty(2, 4000)
        masked = trace(model, waves, torch.ones(2, 4000, dtype=torch.bool))
        diff = masked.diff(trace(model, waves))
    changed = {name: change for change in diff.layers for name in change.names}
    assert changed["wav2vec2.encoder.layers.0.attention"].after is None
    assert changed["sample mask -> frame mask"].field == "only in the first"
    mask = masked["wav2vec2.encoder.layers.0"].mask
    assert (mask.kind, mask.form, mask.true_means, mask.valid) == ("attention", "bool", "valid", None)


def test_traces_that_cannot_be_compared_say_why(tiny):
    good = traced(tiny, 900)
    with pytest.raises(TypeError, match="compares two traces, found a int"):
        good.diff(3)
    with pytest.raises(ValueError, match="no layer of Wav2Vec2ForCTC has the role of a layer of Linear"):
        good.diff(trace(torch.nn.Linear(3, 4).eval(), torch.zeros(2, 3)))
    with pytest.raises(TraceError) as broken:
        trace(tiny, torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match="a partial trace cannot be compared"):
        good.diff(broken.value.trace)
