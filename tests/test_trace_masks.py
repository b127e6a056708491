"""Masks wherever they travel: kinds, conventions, steps, what the model's own arithmetic gets wrong."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from trace_helpers import Convolutions, FairseqLike, Layer, Takes, TorchaudioLike, module, untouched

from w2vlearn.batch import pad
from w2vlearn.show.sentences import convention, describe
from w2vlearn.tracing import TraceError, trace

LENGTHS = (500, 700, 1000)
FRAMES = (49, 69, 99)


@pytest.fixture(scope="module")
def short():
    return pad([torch.full((n,), 0.1) for n in LENGTHS])


def steps(traced):
    return [(r.name, r.mask.form, r.mask.valid) for r in traced if r.is_mask_step]


# ---------------------------------------------------------------- conventions of libraries


def test_torchaudio_s_lengths_become_an_additive_mask_by_position(short):
    model = TorchaudioLike().eval()
    with torch.no_grad(), untouched(model):
        traced = trace(model, short)
    assert steps(traced) == [("sample lengths -> attention mask", "additive", FRAMES)]
    assert (traced[""].mask.form, traced[""].mask.valid) == ("lengths", LENGTHS)
    seen = traced["layers.0"].mask
    assert (seen.argument, seen.lowest) == ("attention_mask", -10_000.0)
    assert convention(seen) == "0 = attend, -1.0e+4 = padding" and "⚠ marks" not in str(traced)
    assert any("'lengths' as (B,) counts" in note for note in traced.notes)
    assert traced["layers.1"].valid == FRAMES and traced["layers.0"].input.letters == ("B", "T", "D")


def test_speechbrain_s_relative_lengths(short):
    class SpeechBrainLike(TorchaudioLike):
        def forward(self, wav, wav_lens=None):
            return super().forward(wav, (wav_lens * wav.shape[1]).round().long())

    with torch.no_grad():
        traced = trace(SpeechBrainLike().eval(), short)
    assert (traced[""].mask.form, traced[""].mask.valid) == ("shares", LENGTHS)
    assert traced["layers.0"].mask.valid == FRAMES


def test_lengths_of_frames_handed_over_with_the_waveforms(short):
    def forward(self, x, attention_mask=None):
        return self.encoder(x, lengths=torch.tensor(FRAMES))

    traced = trace(module(forward, encoder=module(lambda self, x, lengths: x)), short)
    assert (traced["encoder"].mask.kind, traced["encoder"].mask.valid) == ("frame", FRAMES)


def test_fairseq_s_padding_mask_is_turned_round_and_dropped_where_nothing_is_padding(short):
    model = FairseqLike().eval()
    with torch.no_grad(), untouched(model):
        traced, whole = trace(model, short), trace(model, pad([torch.full((700,), 0.1)] * 2))
        unmasked = trace(model, short.waveforms, mask=False)
    assert (traced[""].mask.true_means, traced[""].mask.valid) == ("padding", LENGTHS)
    assert steps(traced) == [("sample mask -> frame mask", "bool", FRAMES)]
    seen = traced["layers.0"].mask
    assert (seen.argument, seen.kind, seen.true_means) == ("key_padding_mask", "frame", "padding")
    assert torch.equal(traced.output["padding_mask"].sum(1), torch.tensor([50, 30, 0]))
    notes = " ".join(traced.notes)
    for decided in ("'padding_mask' as (B, L) bool, True = padding", "mask=False", "features_only=True"):
        assert decided in notes
    seen = whole["layers.0"].mask
    assert seen.form == "none" and convention(seen).startswith("None: the library dropped") and seen.valid is None
    assert steps(whole) == [("sample mask -> frame mask", "none", None)]
    assert unmasked["layers.0"].mask is None and steps(unmasked) == []
    assert any("every clip counts as valid over its whole length" in note for note in unmasked.notes)


def test_what_the_caller_passes_beside_a_batch_wins(tiny, batch):
    with torch.no_grad():
        traced = trace(tiny, batch, attention_mask=None)
    assert traced[""].mask is None and any("passed by the caller" in note for note in traced.notes)
    assert traced["lm_head"].valid == (49, 73, 124), "the batch still says what is valid"
    with pytest.raises(TypeError, match="by name"):
        trace(tiny, batch, batch.mask)
    with pytest.raises(TraceError) as caught:
        trace(tiny, batch.waveforms, attention_mask=batch.mask[:, :100])
    assert isinstance(caught.value.__cause__, ValueError), "what the model itself refuses"


def test_models_of_one_argument(short):
    traced = trace(nn.Sequential(nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 4, 5, 2)).eval(), short)
    assert traced["1"].valid == (248, 348, 498) and any("takes no mask" in note for note in traced.notes)


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        (lambda self: None, "names no parameter"),
        (lambda self, **kwargs: None, "names no parameter"),
        (lambda self, input_features, attention_mask=None: None, "is no waveform"),
        (lambda self, input_values, labels: None, "also needs 'labels'"),
    ],
)
def test_unknown_signatures_say_how_to_pass_arguments_oneself(short, forward, why):
    with pytest.raises(TypeError, match=rf"(?s)batch to <lambda>: .*{why}.*trace\(model, batch.waveforms"):
        trace(module(forward), short)


# ---------------------------------------------------------------- every form of mask

FORMS = {  # made of the valid frames (B, T); the argument's name, the mask's kind and form, what it means
    "frame bool": (lambda valid: valid, None, "frame", "bool", "True = valid"),
    "frame integer": (lambda valid: valid.long(), None, "frame", "integer", "1 = valid"),
    "frame float": (lambda valid: valid.float(), None, "frame", "multiplicative", "1 = valid"),
    "frame float, column": (lambda valid: valid.float()[..., None], None, "frame", "multiplicative", "1 = valid"),
    "frame padding": (lambda valid: ~valid, "key_padding_mask", "frame", "bool", "True = padding"),
    "frame padding under another name": (lambda valid: ~valid, "attention_mask", "frame", "bool", "True = padding"),
    "one row of keys": (lambda valid: valid[:, None, None], None, "attention", "bool", "True = valid"),
    "a matrix": (lambda ok: ok[:, None, None] & ok[:, None, :, None], None, "attention", "bool", "True = valid"),
    "one for each head, the heads of a clip together, as nn.MultiheadAttention wants them": (
        lambda ok: (ok[:, None] & ok[:, :, None]).repeat_interleave(4, dim=0), "attention_mask", "attention", "bool",
        "True = valid",
    ),
    "3-D": (lambda valid: valid[:, None].expand(-1, valid.shape[1], -1), None, "attention", "bool", "True = valid"),
    "additive, least float": (
        lambda valid: torch.where(valid, 0.0, torch.finfo(torch.float32).min)[:, None, None],
        None, "attention", "additive", "0 = attend, -3.4e+38 = padding",
    ),
    "additive, -inf": (
        lambda valid: torch.where(valid, 0.0, float("-inf"))[:, None, None].expand(-1, 1, valid.shape[1], -1),
        None, "attention", "additive", "0 = attend, -inf = padding",
    ),
    "additive, -10000, half precision": (
        lambda valid: torch.where(valid, 0.0, -10000.0)[:, None, None].half(),
        None, "attention", "additive", "0 = attend, -1.0e+4 = padding",
    ),
}  # fmt: skip


def hands(make, name=None):
    """A model that hands one layer a mask, made of its valid frames."""

    def forward(self, x, attention_mask=None):
        x = self.feature_extractor(x)
        mask = make(torch.arange(x.shape[1]) < self.feature_extractor.frames(attention_mask.sum(1))[:, None])
        return self.layer(x, **{name: mask}) if name else self.layer(x, mask)

    return module(forward, feature_extractor=Convolutions(), layer=Layer(6))


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=8)
@given(lengths=st.lists(st.integers(500, 1000), min_size=2, max_size=4))
def test_every_form_of_mask_is_read(form, lengths):
    make, name, kind, written, meaning = FORMS[form]
    traced = trace(hands(make, name), pad([torch.zeros(n) for n in lengths]))
    seen, frames = traced["layer"].mask, tuple(((n - 10) // 5 - 2) // 2 + 1 for n in lengths)
    assert (seen.kind, seen.form, seen.valid) == (kind, written, frames)
    assert steps(traced) == [(f"sample mask -> {kind} mask", written, frames)]
    assert convention(seen) == meaning or (written == "additive" and len(set(frames)) == 1)


def test_a_bias_or_features_are_no_masks(short):
    assert trace(hands(lambda valid: torch.randn(1, 1, *[valid.shape[1]] * 2)), short)["layer"].mask is None
    assert trace(hands(lambda valid: torch.randn(*valid.shape, 8)), short)["layer"].mask is None


def test_a_time_mask_is_another_kind(short):
    def masker(self, x, mask_time_indices, attention_mask=None):
        return x * ~mask_time_indices

    def spec_augment(self, x, attention_mask=None):
        hit = torch.zeros(x.shape, dtype=torch.bool)
        hit[:, 100:130] = hit[:, 300:310] = True
        return self.masker(x, mask_time_indices=hit, attention_mask=attention_mask)

    traced = trace(module(spec_augment, masker=module(masker)), short)
    seen = {mask.kind: mask for mask in traced["masker"].masks}
    assert set(seen) == {"time", "sample"} and traced["masker"].mask.kind == "sample" and steps(traced) == []
    assert seen["time"].valid == (40, 40, 40) and seen["time"].true_means == "masked"


# ---------------------------------------------------------------- masks that are wrong or lost


def test_a_mask_with_padding_that_never_arrives_is_not_called_dropped(short):
    traced = trace(hands(lambda valid: None), short)
    assert traced[""].mask.valid == LENGTHS and traced["layer"].mask is None and traced["layer"].valid == FRAMES


@pytest.mark.parametrize("wrong", [1, -1])
def test_a_model_whose_mask_arithmetic_is_off_is_told(short, wrong):
    with torch.no_grad():
        traced = trace(TorchaudioLike(wrong).eval(), short)
    marked = tuple(min(n - wrong, 99) for n in FRAMES)
    step = traced["sample lengths -> attention mask"]
    assert traced["layers.0"].valid == step.valid == FRAMES and traced["layers.0"].mask.valid == marked
    (warned,) = [note for note in traced.notes if "expected" in note]
    assert f"clip 0: expected 49, the model marks {49 - wrong}" in warned
    assert f"the model marks {marked[0]}, " in describe(step)
    assert f"⚠ marks {', '.join(map(str, marked))}" in " ".join(str(traced).split())


def test_an_inverted_mask_given_by_the_user_is_pointed_out(tiny):
    mask = torch.arange(9) >= torch.tensor([[4], [6]])
    with torch.no_grad():
        traced = trace(tiny.wav2vec2.encoder, torch.randn(2, 9, 48), attention_mask=mask)
    assert (traced[""].mask.true_means, traced[""].mask.valid) == ("valid", (5, 3))
    assert any("turned round" in note for note in traced.notes)


def test_a_clip_too_short_to_pass_alone_has_nothing_valid():
    mask = torch.arange(400) < torch.tensor([[18], [400]])
    traced = trace(Takes(Convolutions()).eval(), torch.zeros(2, 400), attention_mask=mask)
    assert traced["inner.first"].valid == (2, 79) and traced["inner"].valid == (0, 39)
