"""Pre-training against transformers: from the same weights, time mask, negatives and Gumbel noise follows the same."""

import dataclasses

import numpy as np
import pytest
import torch
import transformers

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForPreTraining, pad
from w2vlearn.model import sample_task
from w2vlearn.model.quantizer import sample_gumbel

# Without dropout and LayerDrop train mode is deterministic, once the noise is given.
TINY = dataclasses.replace(
    Wav2Vec2Config.tiny(),
    **dict.fromkeys(("hidden_dropout", "activation_dropout", "attention_dropout", "layerdrop"), 0.0),
    conv_bias=True,
)
CONFIGS = {
    "group norm, post-norm": TINY,
    "layer norm, pre-norm": dataclasses.replace(TINY, feat_extract_norm="layer", do_stable_layer_norm=True),
    "three codebooks of five": dataclasses.replace(
        TINY, num_codevector_groups=3, num_codevectors_per_group=5, codevector_dim=12, proj_codevector_dim=7
    ),
}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
SEEDS = range(3)


def theirs_like(ours, kind=transformers.Wav2Vec2ForPreTraining):
    values = {key: value for key, value in ours.config.to_dict().items() if key != "model_type"}
    theirs = kind(transformers.Wav2Vec2Config(**values))
    theirs.load_state_dict(ours.state_dict())
    return theirs


@pytest.fixture
def same_noise(monkeypatch):
    """Hand transformers' quantizer our Gumbel noise, and keep its float64 from being rounded to float32 on the way."""

    def install(noise):
        def gumbel_softmax(logits, tau, hard):
            soft = ((logits + noise.reshape(logits.shape)) / tau).softmax(-1)
            one_hot = torch.zeros_like(logits).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
            return one_hot - soft.detach() + soft

        monkeypatch.setattr(torch.nn.functional, "gumbel_softmax", gumbel_softmax)
        if noise.dtype == torch.float64:
            monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)

    return install


def a_step(config, dtype, seed, lengths=(16_000, 9_999, 12_345)):
    generator = torch.Generator().manual_seed(seed)
    batch = pad([torch.randn(length, generator=generator) for length in lengths])
    time_mask, negatives = sample_task(config, batch.lengths, generator=generator)
    groups, entries = config.num_codevector_groups, config.num_codevectors_per_group
    noise = sample_gumbel((*time_mask.shape, groups, entries), generator).to(dtype)
    return batch, time_mask, negatives, noise


def close(mine, other, dtype, name=""):
    scale = other.detach().abs().max().clamp(min=1.0)
    torch.testing.assert_close(
        mine.to(other.dtype) / scale, other / scale, atol=TOLERANCE[dtype], rtol=0, msg=lambda text: f"{name}: {text}"
    )


def both(ours, batch, time_mask, negatives, noise, masked, dtype):
    theirs = theirs_like(ours).to(dtype).train(ours.training)
    wave, mask = batch.waveforms.to(dtype), batch.mask if masked else None
    mine = ours(wave, mask, time_mask, negatives, noise, output_hidden_states=True)
    other = theirs(
        wave,
        attention_mask=mask,
        mask_time_indices=time_mask,
        sampled_negative_indices=negatives,
        output_hidden_states=True,
    )
    return mine, other, theirs


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_outputs_losses_and_gradients(config, dtype, masked, training, seed, same_noise):
    torch.manual_seed(seed)
    ours = Wav2Vec2ForPreTraining(config).to(dtype).train(training)
    batch, time_mask, negatives, noise = a_step(config, dtype, seed)
    same_noise(noise)
    mine, other, theirs = both(ours, batch, time_mask, negatives, noise, masked, dtype)
    for name in ("projected_states", "projected_quantized_states", "codevector_perplexity"):
        close(getattr(mine, name), getattr(other, name), dtype, name)
    for name in ("contrastive_loss", "diversity_loss", "loss"):
        close(getattr(mine, name), getattr(other, name), dtype, name)
    assert len(mine.hidden_states) == len(other.hidden_states) == config.num_hidden_layers + 1
    for own, hidden in zip(mine.hidden_states, other.hidden_states, strict=True):
        close(own, hidden, dtype, "hidden_states")

    mine.loss.backward()
    other.loss.backward()
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    moved = 0
    for name, parameter in ours.named_parameters():
        if expected[name] is None:
            assert parameter.grad is None or not parameter.grad.any(), name
            continue
        moved += bool(expected[name].any())
        close(parameter.grad, expected[name], dtype, f"gradient of {name}")
    assert moved > 40  # all but the last layers' dead ends; the comparison is not one of zeros


def test_duplicates_are_common_enough_to_be_compared():
    """The parity above covers negatives that are the positive's own word: here are some of them."""
    config = CONFIGS["three codebooks of five"]
    torch.manual_seed(0)
    ours = Wav2Vec2ForPreTraining(config)
    batch, time_mask, negatives, noise = a_step(config, torch.float32, 0)
    codes = ours(batch.waveforms, batch.mask, time_mask, negatives, noise).codes
    same = (codes.flatten(0, 1)[negatives] == codes[:, :, None]).all(-1)[time_mask]
    assert same.any()


@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
def test_transformers_own_mask_and_negatives_are_taken_as_they_are(masked, same_noise):
    """What a transformers script samples can be handed to our model unchanged: same layout, same loss."""
    from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

    torch.manual_seed(1)
    ours = Wav2Vec2ForPreTraining(TINY).eval()
    batch, *_ = a_step(TINY, torch.float32, 1)
    frames = (torch.div(batch.lengths - 400, 320, rounding_mode="floor") + 1).tolist()
    frame_mask = torch.arange(max(frames)) < torch.tensor(frames)[:, None]

    np.random.seed(0)
    time_mask = _compute_mask_indices((3, max(frames)), 0.65, 10, attention_mask=frame_mask.long(), min_masks=2)
    negatives = _sample_negative_indices((3, max(frames)), 10, mask_time_indices=time_mask)
    time_mask, negatives = torch.from_numpy(time_mask), torch.from_numpy(negatives)
    mine, other, _ = both(ours, batch, time_mask, negatives, None, masked, torch.float32)
    close(mine.loss, other.loss, torch.float32, "loss")


def test_time_mask_in_the_plain_model_in_eval_mode():
    torch.manual_seed(0)
    ours = Wav2Vec2ForPreTraining(TINY).eval()
    batch, time_mask, *_ = a_step(TINY, torch.float32, 0)
    theirs = theirs_like(ours).eval()
    with torch.no_grad():
        mine = ours.wav2vec2(batch.waveforms, batch.mask, time_mask)
        other = theirs.wav2vec2(batch.waveforms, attention_mask=batch.mask, mask_time_indices=time_mask)
    close(mine.last_hidden_state, other.last_hidden_state, torch.float32)
    close(mine.extract_features, other.extract_features, torch.float32)
    assert torch.equal(mine.time_mask, time_mask)


def test_spec_augment_in_train_mode(monkeypatch):
    """Time and feature masks of fine-tuning: the same indices give the same hidden states as in transformers."""
    from transformers.models.wav2vec2 import modeling_wav2vec2

    from w2vlearn.model import wav2vec2

    config = dataclasses.replace(TINY, mask_feature_prob=0.3, mask_feature_length=4)
    torch.manual_seed(0)
    ours = Wav2Vec2ForPreTraining(config).train()
    batch, time_mask, *_ = a_step(config, torch.float32, 0)
    feature_mask = torch.rand(3, config.hidden_size) < 0.3
    monkeypatch.setattr(wav2vec2, "sample_time_mask", lambda *args, **kwargs: time_mask)
    monkeypatch.setattr(wav2vec2, "sample_feature_mask", lambda *args, **kwargs: feature_mask)
    drawn = {time_mask.shape: time_mask.numpy(), feature_mask.shape: feature_mask.numpy()}
    monkeypatch.setattr(modeling_wav2vec2, "_compute_mask_indices", lambda shape, **kwargs: drawn[torch.Size(shape)])
    theirs = theirs_like(ours).train()
    mine = ours.wav2vec2(batch.waveforms, batch.mask)
    other = theirs.wav2vec2(batch.waveforms, attention_mask=batch.mask)
    close(mine.last_hidden_state, other.last_hidden_state, torch.float32)
    assert torch.equal(mine.time_mask, time_mask)


@pytest.mark.parametrize("preset", ["base", "large", "large_lv60"])
def test_parameter_names_and_shapes_of_the_presets(preset):
    config = Wav2Vec2Config.from_preset(preset)
    values = {key: value for key, value in config.to_dict().items() if key != "model_type"}
    with torch.device("meta"):
        ours = Wav2Vec2ForPreTraining(config).state_dict()
        theirs = transformers.Wav2Vec2ForPreTraining(transformers.Wav2Vec2Config(**values)).state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {name: t.shape for name, t in theirs.items()}
    width = 256 if preset == "base" else 768
    assert ours["project_hid.weight"].shape[0] == ours["project_q.weight"].shape[0] == width
    assert ours["quantizer.codevectors"].shape == (1, 640, width // 2)


def test_initial_weights_are_distributed_as_in_transformers():
    torch.manual_seed(0)
    config = dataclasses.replace(TINY, num_codevectors_per_group=320, codevector_dim=256, proj_codevector_dim=256)
    ours = Wav2Vec2ForPreTraining(config)
    theirs = transformers.Wav2Vec2ForPreTraining(
        transformers.Wav2Vec2Config(**{k: v for k, v in config.to_dict().items() if k != "model_type"})
    )
    expected = theirs.state_dict()
    names = ("quantizer.codevectors", "quantizer.weight_proj.weight", "quantizer.weight_proj.bias")
    for name in (*names, "project_hid.weight", "project_q.weight"):
        mine, other = ours.state_dict()[name], expected[name]
        for statistic in (torch.mean, torch.std):
            torch.testing.assert_close(statistic(mine), statistic(other), atol=0.03 * float(other.std()), rtol=0.03)
        torch.testing.assert_close(mine.max(), other.max(), rtol=0.3, atol=1e-6)
