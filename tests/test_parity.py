"""Our model against transformers' on the same weights: full tensors, forward and backward, float error only."""

import dataclasses

import pytest
import torch
import transformers

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC, pad

TINY = Wav2Vec2Config.tiny()
CONFIGS = {
    "group norm, post-norm": TINY,
    "layer norm, pre-norm": dataclasses.replace(
        TINY, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True
    ),
    "layer norm, post-norm, odd kernel": dataclasses.replace(
        TINY, feat_extract_norm="layer", num_conv_pos_embeddings=15, num_conv_pos_embedding_groups=4
    ),
}
# Clips of one frame, of two, around a frame's edge, and of several seconds
LENGTHS = [(400,), (400, 719, 720), (16_000, 16_080, 15_999), (400, 50_000)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def theirs_like(ours):
    values = {key: value for key, value in ours.config.to_dict().items() if key != "model_type"}
    theirs = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**values))
    theirs.load_state_dict(ours.state_dict())
    return theirs.eval()


@pytest.fixture(scope="module", params=list(CONFIGS))
def models(request):
    torch.manual_seed(0)
    ours = Wav2Vec2ForCTC(CONFIGS[request.param]).eval()
    return ours, theirs_like(ours)


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_every_hidden_state_logit_and_loss(models, lengths, masked, dtype):
    ours, theirs = (model.to(dtype) for model in models)
    generator = torch.Generator().manual_seed(len(lengths))
    batch = pad([torch.randn(length, generator=generator) for length in lengths])
    mask = batch.mask if masked else None
    labels = torch.full((len(lengths), 1), 5)
    with torch.no_grad():
        mine = ours(batch.waveforms.to(dtype), mask, labels=labels, output_hidden_states=True)
        other = theirs(batch.waveforms.to(dtype), attention_mask=mask, labels=labels, output_hidden_states=True)
        encoder = theirs.wav2vec2(batch.waveforms.to(dtype), attention_mask=mask)
    exact = {"atol": TOLERANCE[dtype], "rtol": 0}
    torch.testing.assert_close(mine.logits, other.logits, **exact)
    torch.testing.assert_close(mine.last_hidden_state, encoder.last_hidden_state, **exact)
    torch.testing.assert_close(mine.extract_features, encoder.extract_features, **exact)
    assert len(mine.hidden_states) == len(other.hidden_states) == 3
    for own, hidden in zip(mine.hidden_states, other.hidden_states, strict=True):
        torch.testing.assert_close(own, hidden, **exact)
    counted = batch.lengths if masked else torch.full_like(batch.lengths, max(lengths))
    assert torch.equal(mine.frame_lengths, theirs._get_feat_extract_output_lengths(counted))
    # transformers computes the loss in float32 whatever the dtype, so float32's error is the best there is
    torch.testing.assert_close(mine.loss.float(), other.loss.float(), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
def test_gradients_of_every_parameter(models, masked):
    ours, theirs = (model.to(torch.float64) for model in models)
    batch = pad([torch.randn(length, generator=torch.Generator().manual_seed(3)) for length in (4000, 9999)])
    mask = batch.mask if masked else None
    target = torch.randn(2, 30, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    for model in (ours, theirs):
        model.zero_grad()
        logits = model(batch.waveforms.double(), attention_mask=mask).logits
        (logits * target[:, : logits.shape[1]]).sum().backward()
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        if expected[name] is None or name.endswith("masked_spec_embed"):
            assert parameter.grad is None or not parameter.grad.any(), name
            continue
        scale = expected[name].abs().max().clamp(min=1.0)
        torch.testing.assert_close(parameter.grad / scale, expected[name] / scale, atol=1e-10, rtol=0, msg=name)


@pytest.mark.parametrize("preset", ["base", "large", "large_lv60"])
def test_parameter_names_and_shapes_of_the_presets(preset):
    config = Wav2Vec2Config.from_preset(preset)
    values = {key: value for key, value in config.to_dict().items() if key != "model_type"}
    with torch.device("meta"):
        ours = Wav2Vec2ForCTC(config).state_dict()
        theirs = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**values)).state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {name: t.shape for name, t in theirs.items()}


def test_base_itself_once():
    """The real size, once: 12 layers deep, errors have room to grow."""
    torch.manual_seed(0)
    ours = Wav2Vec2ForCTC(Wav2Vec2Config.base()).eval()
    theirs = theirs_like(ours)
    batch = pad([torch.randn(8000), torch.randn(5000)])
    with torch.no_grad():
        mine = ours(batch.waveforms, batch.mask).logits
        other = theirs(batch.waveforms, attention_mask=batch.mask).logits
    torch.testing.assert_close(mine, other, atol=1e-5, rtol=0)


def test_a_short_clip_in_a_long_batch_is_where_we_differ_on_purpose(models):
    """transformers marks the whole row as real when a clip is too short for one frame; ours says so."""
    ours, theirs = (model.to(torch.float32) for model in models)
    waves = torch.randn(2, 4000)
    mask = torch.arange(4000) < torch.tensor([[4000], [300]])
    marked = theirs._get_feature_vector_attention_mask(12, mask.long())
    assert marked.sum(1).tolist() == [12, 12]
    with pytest.raises(ValueError, match="clip 1 has 300 valid samples, one frame needs 400: 100 are missing"):
        ours(waves, mask)
