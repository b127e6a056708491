"""The model's own promises: shapes, masks, what it refuses. Parity with transformers is in test_parity.py."""

import dataclasses

import pytest
import torch

from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2Model, pad, padding_masks

TINY = Wav2Vec2Config.tiny()
TINY_LAYER = dataclasses.replace(TINY, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)


@pytest.fixture(scope="module", params=["group", "layer"])
def model(request):
    torch.manual_seed(0)
    return Wav2Vec2ForCTC(TINY if request.param == "group" else TINY_LAYER).eval()


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(1)
    return pad([torch.randn(length, generator=generator) for length in (4000, 400, 7777)])


@pytest.mark.parametrize("preset", ["base", "large", "large_lv60", "tiny"])
def test_shapes_of_every_output(preset):
    config = Wav2Vec2Config.from_preset(preset)
    with torch.device("meta"):
        model = Wav2Vec2ForCTC(config).eval()
        outputs = model(torch.empty(3, 40_000), torch.ones(3, 40_000, dtype=torch.bool), output_hidden_states=True)
    frames = FrameGeometry.from_config(config).frame_count(40_000)
    assert outputs.logits.shape == (3, frames, config.vocab_size)
    assert outputs.last_hidden_state.shape == (3, frames, config.hidden_size)
    assert outputs.extract_features.shape == (3, frames, config.conv_dim[-1])
    assert outputs.frame_mask.shape == (3, frames) and outputs.frame_lengths.shape == (3,)
    assert [h.shape for h in outputs.hidden_states] == [(3, frames, config.hidden_size)] * (
        config.num_hidden_layers + 1
    )


def test_no_parameter_knows_a_length():
    """Every axis of every parameter comes from the config, so no clip can change it."""
    with torch.device("meta"):
        model = Wav2Vec2ForCTC(Wav2Vec2Config.base())
    config = {512, 768, 3072, 32, 48, 128, 1, 10, 3, 2}
    assert {size for parameter in model.parameters() for size in parameter.shape} <= config
    assert sum(parameter.numel() for parameter in model.parameters()) == 94_396_320


def test_frame_mask_and_lengths_come_with_the_output(model, batch):
    outputs = model(batch.waveforms, batch.mask)
    assert outputs.frame_lengths.tolist() == [12, 1, 24]
    assert torch.equal(outputs.frame_mask, padding_masks.frame_mask(outputs.frame_lengths, 24))
    without = model(batch.waveforms)
    assert without.frame_lengths.tolist() == [24, 24, 24] and without.frame_mask.all()


def test_integer_masks_count_as_boolean_ones(model, batch):
    assert torch.equal(model(batch.waveforms, batch.mask.int()).logits, model(batch.waveforms, batch.mask).logits)


def test_layer_norm_model_gives_the_same_alone_and_in_a_batch():
    torch.manual_seed(0)
    model = Wav2Vec2ForCTC(TINY_LAYER).eval().double()
    clips = [torch.randn(length) for length in (4000, 7777)]
    together = model(pad(clips).waveforms.double(), pad(clips).mask).logits
    alone = model(clips[0][None].double()).logits
    torch.testing.assert_close(together[:1, :12], alone, atol=1e-12, rtol=0)


def test_group_norm_model_does_not():
    torch.manual_seed(0)
    model = Wav2Vec2ForCTC(TINY).eval().double()
    clips = [torch.randn(length) for length in (4000, 7777)]
    together = model(pad(clips).waveforms.double(), pad(clips).mask).logits
    alone = model(clips[0][None].double()).logits
    assert (together[:1, :12] - alone).abs().max() > 1e-3


def test_padding_content_cannot_reach_real_frames_through_attention():
    """With layer norm and a mask, whatever stands in the padding, real frames stay as they are."""
    torch.manual_seed(0)
    model = Wav2Vec2ForCTC(TINY_LAYER).eval().double()
    batch = pad([torch.randn(4000), torch.randn(7777)])
    noisy = batch.waveforms.masked_fill(~batch.mask, 0.7)
    clean, dirty = (model(waves.double(), batch.mask).logits for waves in (batch.waveforms, noisy))
    torch.testing.assert_close(clean[0, :12], dirty[0, :12], atol=1e-12, rtol=0)


def test_eager_attention_equals_the_fused_one(batch):
    torch.manual_seed(0)
    fused = Wav2Vec2ForCTC(TINY).eval().double()
    eager = Wav2Vec2ForCTC(dataclasses.replace(TINY, attn_implementation="eager")).eval().double()
    eager.load_state_dict(fused.state_dict())
    for mask in (None, batch.mask):
        torch.testing.assert_close(
            eager(batch.waveforms.double(), mask).logits,
            fused(batch.waveforms.double(), mask).logits,
            atol=1e-12,
            rtol=0,
        )


def test_layerdrop_skips_layers_in_train_mode_only(batch):
    torch.manual_seed(0)
    model = Wav2Vec2Model(dataclasses.replace(TINY, layerdrop=1.0, hidden_dropout=0.0, apply_spec_augment=False))
    hidden = model(batch.waveforms, batch.mask, output_hidden_states=True).hidden_states
    assert len(hidden) == 3 and all(torch.equal(hidden[0], state) for state in hidden)
    hidden = model.eval()(batch.waveforms, batch.mask, output_hidden_states=True).hidden_states
    assert not torch.equal(hidden[0], hidden[1])


def test_checks_do_not_stand_in_the_way_of_export(model):
    batch = {"input_values": torch.zeros(2, 1000), "attention_mask": torch.ones(2, 1000, dtype=torch.bool)}
    auto = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    program = torch.export.export(model, (), batch, dynamic_shapes=dict.fromkeys(batch, auto))
    other = pad([torch.randn(5000), torch.randn(3000), torch.randn(900)])
    theirs = program.module()(input_values=other.waveforms, attention_mask=other.mask).logits
    torch.testing.assert_close(theirs, model(other.waveforms, other.mask).logits)


WAVES = torch.zeros(2, 4000)
REAL = torch.ones(2, 4000, dtype=torch.bool)


def rows(*real):
    return torch.arange(4000) < torch.tensor(real)[:, None]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([0.0] * 400,), TypeError, "found a list"),
        ((torch.zeros(4000),), ValueError, r"shape \(B, L\), found \(4000,\); add the batch axis"),
        ((torch.zeros(2, 1, 4000),), ValueError, r"found \(2, 1, 4000\); the model adds the channel axis"),
        ((torch.zeros(0, 4000),), ValueError, "no clip"),
        ((torch.zeros(2, 0),), ValueError, "0 samples, one frame needs 400: 400 are missing"),
        ((torch.zeros(2, 399),), ValueError, "399 samples, one frame needs 400: 1 are missing"),
        ((torch.zeros(2, 4000, dtype=torch.float64),), TypeError, "found torch.float64"),
        ((torch.zeros(2, 4000, dtype=torch.int16),), TypeError, r"found torch.int16; use x / 32768"),
        ((torch.full((2, 4000), float("nan")),), ValueError, "clip 0 holds NaN or infinity"),
        ((torch.full((2, 4000), float("inf")),), ValueError, "NaN or infinity"),
        ((WAVES, [[1] * 4000] * 2), TypeError, "found a list"),
        ((WAVES, REAL.float()), TypeError, "boolean or integer, True = valid, found torch.float32"),
        ((WAVES, REAL[:1]), ValueError, r"waveforms' shape \(2, 4000\), found \(1, 4000\)"),
        ((WAVES, REAL[0]), ValueError, r"found \(4000,\)"),
        ((WAVES, REAL[:, :12]), ValueError, r"one entry per frame \(T = 12\)"),
        ((WAVES, ~rows(4000, 3000)), ValueError, "clip 0: the first sample is marked as padding"),
        ((WAVES, rows(4000, 3000).flip(1)), ValueError, "clip 1: the first sample .* never to the left"),
        ((WAVES, rows(4000, 3000) & (torch.arange(4000) != 7)), ValueError, "clip 0: the mask has a hole at sample 7"),
        ((WAVES, rows(4000, 399)), ValueError, "clip 1 has 399 valid samples, one frame needs 400: 1 are missing"),
        ((WAVES, 2 * REAL.int()), ValueError, r"0 \(padding\) and 1 \(valid\) only, found 2"),
    ],
)
def test_bad_input_is_refused_in_words(model, arguments, error, words):
    with pytest.raises(error, match=words):
        model(*arguments)


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (torch.tensor([1, 2]), ValueError, r"shape \(B, U\) with B = 2"),
        (torch.tensor([[1.0], [2.0]]), TypeError, "must be integers"),
        (torch.tensor([[1], [32]]), ValueError, r"0 … 31 \(V = 32\), or -100 .* found 32"),
        (torch.tensor([[1], [-1]]), ValueError, "found -1"),
    ],
)
def test_bad_labels_are_refused_in_words(model, labels, error, words):
    with pytest.raises(error, match=words):
        model(WAVES, labels=labels)
