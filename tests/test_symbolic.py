"""`symbolic_trace` on our own model: what it says, for which batches, and that derive, observe and prove meet."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from torch import nn

from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2Model, pad
from w2vlearn.tracing import ExportError, SymbolicTrace, symbolic_trace, trace
from w2vlearn.tracing.expression import Expression


@pytest.fixture(scope="module")
def model() -> Wav2Vec2ForCTC:
    torch.manual_seed(0)
    return Wav2Vec2ForCTC(Wav2Vec2Config.tiny()).eval()


@pytest.fixture(scope="module")
def s(model) -> SymbolicTrace:
    return symbolic_trace(model)


def noise(*lengths: int):
    generator = torch.Generator().manual_seed(1)
    return pad([torch.randn(n, generator=generator) for n in lengths])


def test_every_layer_in_letters(s):
    assert s[""].input.shape == ("B", "L")
    assert s["wav2vec2.feature_extractor.conv_layers.0.conv"].output.shape == ("B", 24, "T1")
    assert s["wav2vec2.feature_extractor"].output.shape == ("B", 24, "T")
    assert s["wav2vec2.encoder.pos_conv_embed.conv"].output.shape == ("B", 48, "T+1")
    assert s["wav2vec2.encoder.layers.0"].output.shape == ("B", "T", 48)
    assert s["wav2vec2.encoder.layers.0"].output.letters == ("B", "T", "D")
    assert s["lm_head"].output.shape == ("B", "T", 32)
    assert list(s.letters) == ["B", "L", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T"]
    with pytest.raises(KeyError, match=r"encoder\.layers\.0"):
        s["encoder.layers.0"]


def test_masks_on_their_way(s):
    steps = [(r.name, r.mask.shape) for r in s.masks if r.is_mask_step]
    assert steps == [("sample mask -> frame mask", ("B", "T")), ("frame mask -> attention mask", ("B", 1, "T", "T"))]
    assert s["wav2vec2"].mask.kind == "sample" and s["wav2vec2"].mask.shape == ("B", "L")
    assert s["wav2vec2.encoder"].mask.kind == "frame" and s["wav2vec2.encoder"].mask.shape == ("B", "T")
    assert s["wav2vec2.encoder.layers.1.attention"].mask.shape == ("B", 1, "T", "T")
    assert s["wav2vec2.feature_extractor"].mask is None


def test_the_formula_of_t(s):
    formula = s.formula("T")
    assert str(formula.closed) == "floor((L - 400) / 320) + 1"
    assert formula.status == "exact" and formula.closed.checked == range(400, 720)
    assert str(formula.chain) == "(T6 - 2) // 2 + 1"
    assert formula.derived.letters == {"L"} and formula.derived(L=16_000) == 49
    assert "L >= 720 and B >= 2 (proved)" in formula.holds_for and "checked by running" in formula.holds_for
    for words in ("floor((L - 400) / 320) + 1", "derived", "all 320 lengths", "L >= 720"):
        assert words in str(formula)
    assert str(s.formula("T1").chain) == "(L - 10) // 5 + 1"
    assert s.formula("D").derived.value == 48
    with pytest.raises(KeyError, match="this model has B, L, T1"):
        s.formula("T9")


def test_the_range_is_found_and_not_assumed(s):
    held = s.range
    assert (held.clips, held.samples, held.minimum) == ((2, None), (720, None), 400)
    assert held.short == held.one_clip == "agrees" and (1, 400) in held.runs and (2, 399) in held.runs
    assert s.at(B=2, L=720).status == "proved"
    assert s.at(B=1, L=720).status == s.at(B=2, L=719).status == "checked by running"
    with pytest.raises(ValueError, match=r"at least 400 samples \(missing: 1\)"):
        s.at(B=2, L=399)
    with pytest.raises(ValueError, match="at least one clip"):
        s.at(B=0, L=400)
    with pytest.raises(TypeError, match="whole number"):
        s.at(B=1, L=16_000.5)
    with pytest.raises(ValueError, match="lengths must be"):
        s.at(B=2, L=400, lengths=[400, 500])
    unchecked = dataclasses.replace(s, range=dataclasses.replace(held, short="", short_one_clip="breaks"))
    with pytest.raises(ValueError, match="neither proved nor run"):
        unchecked.at(B=2, L=500)
    with pytest.raises(ValueError, match="B = 1, L = 500: breaks"):
        unchecked.at(B=1, L=500)
    assert unchecked.at(B=1, L=720).status == "checked by running"


def test_every_guard_holds_in_the_range_and_the_bound_is_tight(s):
    assert len(s.guards) > 10
    for length in (720, 721, 1_000, 40_000, 57_600_000):
        assert all(g(B=2, L=length) for g in s.guards)
    assert not all(g(B=2, L=719) for g in s.guards)


@pytest.mark.parametrize("lengths", [(16_000, 23_456, 9_000), (400,), (719, 400), (16_000, 16_000), (720, 500)])
def test_a_run_agrees_with_the_formulas(model, s, lengths):
    batch = noise(*lengths)
    t = trace(model, batch)
    report = s.check(t)
    assert report.ok and bool(report), str(report)
    assert report.layers == len(s.records) and report.tensors > 150 and report.masks > 5 and report.counts > 60
    at = s.at(*batch.waveforms.shape, lengths=lengths)
    assert at.letters == t.letters
    for ours, seen in zip(at.records, t.records, strict=True):
        assert (ours.name, ours.call, ours.valid) == (seen.name, seen.call, seen.valid)
        assert [(x.path, x.shape, x.letters) for x in ours.outputs] == [
            (x.path, x.shape, x.letters) for x in seen.outputs
        ]


def test_a_wrong_formula_is_found_and_named(model, s):
    t = trace(model, noise(16_000, 9_000))
    wrong = dataclasses.replace(s, letters={**s.letters, "T": s.letters["T"] + 1})
    report = wrong.check(t)
    assert not report.ok
    assert "wav2vec2.encoder.layers.0" in {d.name for d in report.differences}
    assert "formula (2, 50, 48) = (B, T, 48), observed (2, 49, 48)" in str(report)
    assert "real positions" in {d.what for d in report.differences}
    fewer = dataclasses.replace(s, records=s.records[:-1])
    assert [d.what for d in fewer.check(t).differences] == ["layer"]


def test_a_run_without_the_mask_differs_and_says_why(model, s):
    report = s.check(trace(model, noise(16_000, 9_000).waveforms))
    assert not report.ok and "symbolic_trace(model, mask=False)" in str(report)


def test_an_hour_needs_no_run(s):
    at = s.at(B=8, L=57_600_000)
    assert at["wav2vec2.encoder.layers.1.attention"].inputs[1].shape == (8, 1, 179_999, 179_999)
    assert at.letters["T"] == FrameGeometry.from_config(Wav2Vec2Config.tiny()).frame_count(57_600_000)


def test_nothing_stays_behind(model):
    def state():
        hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), m.training, set(vars(m))) for m in model.modules()]
        values = [p.detach().clone() for p in model.parameters()]
        levels = [logging.getLogger(n).level for n in ("torch.export", "torch.fx", "torch._dynamo")]
        return hooks, values, levels, torch.is_grad_enabled(), torch.get_rng_state(), [*warnings.filters]

    seen = []
    handle = model.wav2vec2.register_forward_hook(lambda *a: seen.append(1))
    model.train()
    try:
        before = state()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            symbolic_trace(model, mask=False, edges=False)
        after = state()
    finally:
        model.eval()
        handle.remove()
    assert seen == []  # a user's hook is not called
    for one, other in zip(before[1], after[1], strict=True):
        assert torch.equal(one, other)
    assert torch.equal(before[4], after[4])
    assert before[0] == after[0] and before[2:4] == after[2:4] and before[5] == after[5]


class LooksAtValues(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


class Stubborn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 10, 5)
        self.gate = LooksAtValues()

    def forward(self, input_values):
        return self.gate(self.conv(input_values[:, None]))


def test_a_model_that_cannot_be_exported():
    stubborn = Stubborn()
    with pytest.raises(ExportError, match=r"layer 'gate' \(LooksAtValues\)") as caught:
        symbolic_trace(stubborn)
    assert caught.value.layer == "gate" and "if x.sum() > 0" in caught.value.operation
    assert "What still works: w2vlearn.trace" in str(caught.value)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in stubborn.modules())


class Fixes(nn.Module):
    """Turns the length into a constant, which export does in silence."""

    def forward(self, input_values):
        return input_values[:, : int(input_values.shape[1]) // 2]


class Even(nn.Module):
    """Works for even lengths only."""

    def forward(self, input_values):
        return input_values.view(input_values.shape[0], -1, 2) if input_values.shape[1] % 2 == 0 else input_values


def test_constants_and_conditions_are_said():
    fixed = symbolic_trace(Fixes())
    assert any("turned the length into a constant" in n for n in fixed.notes), fixed.notes
    assert fixed.range.samples[0] == fixed.range.samples[1]
    with pytest.raises(ValueError, match="the formulas hold for"):
        fixed.at(B=2, L=16_000)
    even = symbolic_trace(Even())
    assert even.at(B=2, L=16_000)[""].output.shape == (2, 8_000, 2)
    with pytest.raises(ValueError, match="L % 2 == 0"):
        even.at(B=2, L=16_001)


def test_kept_and_read_again(s, tmp_path):
    file = tmp_path / "s.json"
    s.save(file)
    again = SymbolicTrace.load(file)
    assert again == s and str(again.formula("T")) == str(s.formula("T"))
    data = json.loads(json.dumps(s.to_dict()))
    assert Expression(data["letters"]["T1"])(L=400) == 79
    assert data["closed"]["T"] == {"letter": "L", "offset": 400, "hop": 320}
    assert Expression(data["chain"]["T2"])(T1=79) == 39
    for change, says in (
        ({"version": 99}, "version 99"),
        ({"format": "w2vlearn.trace"}, "not a saved symbolic trace"),
        ({"letters": {"T": ["/", 1]}}, "damaged"),
        ({"records": [{}]}, "damaged"),
    ):
        with pytest.raises(ValueError, match=says):
            SymbolicTrace.from_dict({**data, **change})
    file.write_text(file.read_text()[:500])
    with pytest.raises(ValueError, match="cut off"):
        SymbolicTrace.load(file)


@st.composite
def configs(draw) -> Wav2Vec2Config:
    depth = draw(st.integers(1, 4))
    kernels = tuple(draw(st.integers(2, 9)) for _ in range(depth))
    strides = tuple(draw(st.integers(1, 4)) for _ in range(depth))
    return dataclasses.replace(
        Wav2Vec2Config.tiny(),
        conv_dim=(8,) * depth,
        conv_kernel=kernels,
        conv_stride=strides,
        conv_bias=draw(st.booleans()),
        feat_extract_norm=draw(st.sampled_from(["group", "layer"])),
        do_stable_layer_norm=draw(st.booleans()),
        num_hidden_layers=draw(st.integers(1, 2)),
        num_conv_pos_embeddings=draw(st.sampled_from([3, 4, 16])),
    )


@seed(20260101)
@settings(
    max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
)
@given(configs(), st.booleans(), st.data())
def test_derive_observe_prove_meet(config, mask, data):
    torch.manual_seed(0)
    body = Wav2Vec2Model(config).eval()
    proved = symbolic_trace(body, mask=mask)
    geometry = FrameGeometry.from_config(config)
    assert proved.range.minimum == geometry.receptive_field
    for letter in proved.letters:
        formula = proved.formula(letter)
        assert formula.status == "exact"
    convolutions = [r for r in proved.records if r.name.startswith("feature_extractor") and r.type == "Conv1d"]
    assert len(convolutions) == len(config.conv_kernel)
    frames = proved.formula("T").closed if "T" in proved.letters else None
    assert frames is None or (frames.offset, frames.hop) == (geometry.receptive_field, geometry.hop)
    for _ in range(3):
        shortest = geometry.receptive_field + geometry.hop  # two frames: group norm refuses one position of one clip
        lengths = data.draw(st.lists(st.integers(shortest, 3_000), min_size=1, max_size=3))
        batch = pad([torch.randn(n) for n in lengths], minimum_samples=1)
        clips, samples = batch.waveforms.shape
        at = proved.at(B=clips, L=samples, lengths=lengths)
        assert [at[r.name].output.shape[-1] for r in convolutions] == list(geometry.lengths(samples))  # derive = prove
        assert at["encoder"].valid == tuple(geometry.frame_count(n) for n in lengths)
        observed = trace(body, batch) if mask else trace(body, batch.waveforms)
        report = proved.check(observed)  # observe = prove
        assert report.ok, str(report)
