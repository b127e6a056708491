"""Masks wherever they travel: kinds, conventions, steps, what the model's own arithmetic gets wrong."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from trace_helpers import Convolutions, FairseqLike, Layer, TorchaudioLike, untouched

from w2vlearn.batch import pad
from w2vlearn.show.sentences import convention, describe
from w2vlearn.tracing import TraceError, masks, trace

LENGTHS = (500, 700, 1000)
FRAMES = (49, 69, 99)


@pytest.fixture(scope="module")
def short():
    return pad([torch.full((n,), 0.1) for n in LENGTHS])


def steps(traced):
    return [(r.name, r.mask.form, r.mask.valid) for r in traced if r.is_mask_step]


def test_torchaudio_s_lengths_become_an_additive_mask_by_position(short):
    model = TorchaudioLike().eval()
    with torch.no_grad(), untouched(model):
        traced = trace(model, short)
        assert steps(traced) == [("sample lengths -> attention mask", "additive", FRAMES)]
    assert traced[""].mask.form == "lengths" and traced[""].mask.valid == LENGTHS
    layer = traced["layers.0"].mask
    assert (
        layer.argument == "attention_mask"
        and layer.lowest == -10_000.0
        and convention(layer) == "0 = attend, -1.0e+4 = padding"
    )
    assert any("'lengths' as (B,) counts" in note for note in traced.notes)
    assert traced["layers.1"].valid == FRAMES and traced["layers.0"].input.letters == ("B", "T", "D")


def test_fairseq_s_padding_mask_is_turned_round_and_time_masks_are_off(short):
    model = FairseqLike().eval()
    with torch.no_grad(), untouched(model):
        traced = trace(model, short)
        assert traced[""].mask.true_means == "padding" and traced[""].mask.valid == LENGTHS
        assert steps(traced) == [("sample mask -> frame mask", "bool", FRAMES)]
    seen = traced["layers.0"].mask
    assert (seen.argument, seen.kind, seen.true_means) == ("key_padding_mask", "frame", "padding")
    assert torch.equal(traced.output["padding_mask"].sum(1), torch.tensor([50, 30, 0]))
    notes = " ".join(traced.notes)
    assert (
        "'padding_mask' as (B, L) bool, True = padding" in notes
        and "mask=False" in notes
        and "features_only=True" in notes
    )


def test_an_all_true_mask_that_the_library_drops_is_named(short):
    model = FairseqLike().eval()
    traced = trace(model, pad([torch.full((700,), 0.1)] * 2))
    seen = traced["layers.0"].mask
    assert seen.form == "none" and convention(seen).startswith("None: the library dropped") and seen.valid is None
    assert steps(traced) == [("sample mask -> frame mask", "none", None)]
    unmasked = trace(model, short.waveforms, mask=False)
    assert unmasked["layers.0"].mask is None and steps(unmasked) == []
    assert any("every clip counts as valid over its whole length" in note for note in unmasked.notes)


class LosesIt(nn.Module):
    """Takes a mask and forgets to hand it on."""

    def __init__(self):
        super().__init__()
        self.feature_extractor, self.layer = Convolutions(), Layer(6)

    def forward(self, x, attention_mask=None):
        return self.layer(self.feature_extractor(x), attention_mask=None)


def test_a_mask_with_padding_that_never_arrives_is_not_called_dropped(short):
    traced = trace(LosesIt().eval(), short)
    assert traced[""].mask.valid == LENGTHS and traced["layer"].mask is None and traced["layer"].valid == FRAMES


@pytest.mark.parametrize("wrong", [1, -1])
def test_a_model_whose_mask_arithmetic_is_off_is_told(short, wrong):
    with torch.no_grad():
        traced = trace(TorchaudioLike(wrong).eval(), short)
    marked = tuple(min(n - wrong, 99) for n in FRAMES)
    assert traced["layers.0"].valid == FRAMES and traced["layers.0"].mask.valid == marked
    warned = [note for note in traced.notes if "expected" in note]
    assert len(warned) == 1 and f"clip 0: expected 49, the model marks {49 - wrong}" in warned[0]
    assert f"the model marks {marked[0]}, " in describe(traced["sample lengths -> attention mask"])
    assert traced["sample lengths -> attention mask"].valid == FRAMES
    assert f"⚠ marks {', '.join(map(str, marked))}" in " ".join(str(traced).split())
    assert "⚠ marks" not in str(trace(TorchaudioLike(0).eval(), short))


class Hands(nn.Module):
    """Hands one layer a mask of a given form."""

    def __init__(self, make, by_name=None):
        super().__init__()
        self.feature_extractor, self.layer, self.make, self.by_name = Convolutions(), Layer(6), make, by_name

    def forward(self, x, attention_mask=None):
        x = self.feature_extractor(x)
        valid = torch.arange(x.shape[1]) < self.feature_extractor.frames(attention_mask.sum(1))[:, None]
        mask = self.make(valid)
        return self.layer(x, **{self.by_name: mask}) if self.by_name else self.layer(x, mask)


FORMS = {
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


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_mask_is_read(short, form):
    make, name, kind, written, meaning = FORMS[form]
    traced = trace(Hands(make, name).eval(), short)
    seen = traced["layer"].mask
    assert (seen.kind, seen.form, convention(seen), seen.valid) == (kind, written, meaning, FRAMES)
    assert steps(traced) == [(f"sample mask -> {kind} mask", written, FRAMES)]


def test_a_bias_or_features_are_no_masks(short):
    bias = trace(Hands(lambda valid: torch.randn(1, 1, valid.shape[1], valid.shape[1])).eval(), short)
    assert bias["layer"].mask is None
    features = trace(Hands(lambda valid: torch.randn(3, valid.shape[1], 8)).eval(), short)
    assert features["layer"].mask is None


def test_an_inverted_mask_given_by_the_user_is_pointed_out(tiny, batch):
    with torch.no_grad():
        traced = trace(
            tiny.wav2vec2.encoder, torch.randn(2, 9, 48), attention_mask=torch.arange(9) >= torch.tensor([[4], [6]])
        )
    assert traced[""].mask.true_means == "valid" and traced[""].mask.valid == (5, 3)
    assert any("turned round" in note for note in traced.notes)


def test_a_time_mask_is_another_kind(short):
    class SpecAugment(nn.Module):
        def __init__(self):
            super().__init__()
            self.masker = Masker()

        def forward(self, x, attention_mask=None):
            hit = torch.zeros(x.shape, dtype=torch.bool)
            hit[:, 100:130] = hit[:, 300:310] = True
            return self.masker(x, mask_time_indices=hit, attention_mask=attention_mask)

    class Masker(nn.Module):
        def forward(self, x, mask_time_indices, attention_mask=None):
            return x * ~mask_time_indices

    traced = trace(SpecAugment().eval(), short)
    seen = {mask.kind: mask for mask in traced["masker"].masks}
    assert set(seen) == {"time", "sample"} and traced["masker"].mask.kind == "sample"
    assert seen["time"].valid == (40, 40, 40) and seen["time"].true_means == "masked"
    assert steps(traced) == []


def test_a_clip_too_short_to_pass_alone_has_nothing_valid():
    class Anything(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = Convolutions()

        def forward(self, x, attention_mask=None):
            return self.body(x)

    traced = trace(
        Anything().eval(), torch.zeros(2, 400), attention_mask=torch.arange(400) < torch.tensor([[18], [400]])
    )
    assert traced["body.first"].valid == (2, 79) and traced["body"].valid == (0, 39)


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=4), st.sampled_from(["bool", "padding", "integer", "additive"])
)
def test_reading_recovers_the_lengths(lengths, form):
    """Whatever the form, if lengths differ (or the name tells), the counts come back."""
    valid = torch.arange(12) < torch.tensor(lengths)[:, None]
    value, name, kind = {
        "bool": (valid, "attention_mask", "frame"),
        "padding": (~valid, "key_padding_mask", "frame"),
        "integer": (valid.long(), "attention_mask", "frame"),
        "additive": (torch.where(valid, 0.0, -1e9)[:, None, None], "mask", "attention"),
    }[form]
    reading = masks.read(name, masks.MaskReader().read(value), kind, len(lengths), None, True, 12)
    assert reading.valid == tuple(lengths) and not (reading.inverted and all(lengths))


class TestAdapters:
    def test_what_the_caller_passes_beside_a_batch_wins(self, tiny, batch):
        with torch.no_grad():
            traced = trace(tiny, batch, attention_mask=None)
        assert traced[""].mask is None and any("passed by the caller" in note for note in traced.notes)
        assert traced["lm_head"].valid == (49, 73, 124), "the batch still says what is valid"

    def test_models_of_one_argument(self, short):
        traced = trace(nn.Sequential(nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 4, 5, 2)).eval(), short)
        assert traced["1"].valid == (248, 348, 498) and any("takes no mask" in note for note in traced.notes)

    def test_speechbrain_s_relative_lengths(self, short):
        class SpeechBrainLike(TorchaudioLike):
            def forward(self, wav, wav_lens=None):
                return super().forward(wav, (wav_lens * wav.shape[1]).round().long())

        with torch.no_grad():
            traced = trace(SpeechBrainLike().eval(), short)
        assert traced[""].mask.valid == LENGTHS and traced[""].mask.form == "shares"
        assert traced["layers.0"].mask.valid == FRAMES

    @pytest.mark.parametrize(
        ("parameters", "why"),
        [
            ("self", "names no parameter"),
            ("self, input_features, attention_mask=None", "is no waveform"),
            ("self, input_values, labels", "also needs 'labels'"),
            ("self, **kwargs", "names no parameter"),
        ],
    )
    def test_unknown_signatures_say_how_to_pass_arguments_oneself(self, short, parameters, why):
        scope = {"nn": nn}
        exec(f"class Odd(nn.Module):\n    def forward({parameters}):\n        raise AssertionError('ran')", scope)
        model = scope["Odd"]().eval()
        with untouched(model), pytest.raises(TypeError, match=why) as caught:
            trace(model, short)
        assert "trace(model, batch.waveforms" in str(caught.value) and "Odd" in str(caught.value)

    def test_too_much_beside_a_batch(self, tiny, batch):
        with pytest.raises(TypeError, match="by name"):
            trace(tiny, batch, batch.mask)

    def test_what_the_model_itself_refuses_is_a_trace_error(self, tiny, batch):
        with pytest.raises(TraceError) as caught, torch.no_grad():
            trace(tiny, batch.waveforms, attention_mask=batch.mask[:, :100])
        assert isinstance(caught.value.__cause__, ValueError)
