"""Our models against transformers' on the same weights: full tensors, forward and backward, float error only.

Every head, eval and train mode, with configs that leave no field at its default: dropout draws the same numbers on both
sides, so a dropout that is missing, in another place or of another field shows.
"""

import dataclasses
import functools
import itertools
import random

import pytest
import torch
import transformers
from transformers.models.wav2vec2 import modeling_wav2vec2

from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2ForPreTraining, pad
from w2vlearn.model import Wav2Vec2ForSequenceClassification, sample_task, wav2vec2
from w2vlearn.model.quantizer import sample_gumbel

TINY = Wav2Vec2Config.tiny()
QUIET = dict.fromkeys(("hidden_dropout", "activation_dropout", "attention_dropout", "final_dropout", "layerdrop"), 0.0)
EXACT = {torch.float32: 1e-5, torch.float64: 1e-10}

# Sizes that no other field has; a choice where one value could hide another's
UNUSUAL = {
    "conv_dim": [(6, 10, 14), (9, 7, 13), (5, 14, 11)],
    "conv_kernel": [(7, 4, 2), (5, 3, 6), (8, 1, 3)],
    "conv_stride": [(3, 2, 1), (4, 1, 3), (5, 2, 2)],
    "feat_extract_norm": ["layer"],
    "hidden_size": [24, 36],
    "num_hidden_layers": [3, 4],
    "num_attention_heads": [2, 6],
    "intermediate_size": [20, 31],
    "num_conv_pos_embeddings": [9, 16],
    "num_conv_pos_embedding_groups": [3, 4],
    "attn_implementation": ["eager"],
    "mask_time_length": [3],
    "mask_time_min_masks": [1],
    "mask_feature_length": [5],
    "mask_feature_min_masks": [4],
    "num_codevectors_per_group": [8, 15],
    "num_codevector_groups": [3, 4],
    "codevector_dim": [12],
    "proj_codevector_dim": [17],
    "num_negatives": [19],
    "vocab_size": [23, 29],
    "pad_token_id": [4, 18],
    "ctc_loss_reduction": ["mean"],
    "classifier_proj_size": [25],
    "num_labels": [22],
    "adapter_kernel_size": [2],
    "adapter_stride": [1, 3],
    "num_adapter_layers": [2, 4],
    "output_hidden_size": [26, 48],
}


def unusual_config(seed: int, **fixed) -> Wav2Vec2Config:
    """A config whose every field differs from BASE's, but for those that are fixed; no two shares are equal."""
    draw = random.Random(seed)
    values = {name: draw.choice(choices) for name, choices in UNUSUAL.items()}
    for field in dataclasses.fields(Wav2Vec2Config):
        if isinstance(field.default, bool):
            values[field.name] = not field.default
        elif isinstance(field.default, float):
            values[field.name] = draw.uniform(0.2, 0.5)
    config = Wav2Vec2Config(**values | fixed)
    for field in dataclasses.fields(config):
        assert field.name in fixed or getattr(config, field.name) != field.default, f"{field.name} is at its default"
    return config


GROUP = {"feat_extract_norm": "group", "conv_bias": False}
POST = {"do_stable_layer_norm": False}
ALONE = {"add_adapter": False}  # heads that refuse an adapter
PLAIN = {"pre-norm": {}, "group norm, post-norm": GROUP | POST, "fused": {"attn_implementation": "sdpa"}}
LAYER_NORM = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}


def their_config(config):
    values = {key: value for key, value in config.to_dict().items() if key != "model_type"}
    return transformers.Wav2Vec2Config(**values, attn_implementation=config.attn_implementation)


def both(head, config, training=False):
    """Our model and transformers' in float64, with the same weights, none of them symmetric or zero at first."""
    torch.manual_seed(0)
    ours = head(config)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    theirs = getattr(transformers, head.__name__)(their_config(config))
    theirs.load_state_dict(ours.state_dict())
    return ours.double().train(training), theirs.double().train(training)


def batch_of(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return pad([torch.randn(length, generator=generator) for length in lengths], minimum_samples=1)


def run(model, batch, masked=True, **arguments):
    torch.manual_seed(7)  # the same dropout and LayerDrop in both libraries
    waveforms, mask = batch.waveforms.to(next(model.parameters()).dtype), batch.mask if masked else None
    return model(waveforms, attention_mask=mask, output_hidden_states=True, **arguments)


def close(mine, other, name):
    """Equal to float error, of transformers' number: it computes the CTC loss in float32 whatever the dtype."""
    scale, error = other.detach().abs().max().clamp(min=1.0), EXACT[other.dtype]
    torch.testing.assert_close(
        mine.to(other.dtype) / scale, other / scale, atol=error, rtol=0, msg=lambda text: f"{name}: {text}"
    )


def same_gradients(ours, theirs, mine, other):
    mine.backward()
    other.backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    compared = 0
    for name, parameter in ours.named_parameters():
        if gradients[name] is None:
            assert parameter.grad is None or not parameter.grad.any(), name
        else:
            compared += bool(gradients[name].any())
            own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            close(own, gradients[name], f"gradient of {name}")
    assert compared > 20  # not a comparison of zeros


def same_outputs(mine, other, names=("logits", "loss")):
    for name in names:
        close(getattr(mine, name), getattr(other, name), name)
    states = mine.hidden_states
    # transformers leaves a dropped layer out; ours repeats the state before it, so that entry i is layer i's
    states = [state for index, state in enumerate(states) if index == 0 or state is not states[index - 1]]
    assert len(states) == len(other.hidden_states), "one of the two has more hidden states"
    for own, hidden in zip(states, other.hidden_states, strict=True):
        close(own, hidden, "hidden_states")


MASKED = pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])

# ---------------------------------------------------------------- CTC, with and without adapter

CTC_CONFIGS = {
    "tiny": TINY,
    "tiny, layer norm, pre-norm": dataclasses.replace(TINY, **LAYER_NORM),
    "tiny, odd kernel": dataclasses.replace(TINY, num_conv_pos_embeddings=15, num_conv_pos_embedding_groups=4),
    "tiny, adapter": dataclasses.replace(TINY, add_adapter=True),
    "tiny, adapter, projected": dataclasses.replace(TINY, add_adapter=True, output_hidden_size=20),
}
# Clips of one frame, of two, around a frame's edge, and of several seconds
LENGTHS = [(400, 719, 720), (16_080, 15_999, 400, 30_000)]


@functools.cache
def tiny_pair(name):
    return both(Wav2Vec2ForCTC, CTC_CONFIGS[name])


@MASKED
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("name", CTC_CONFIGS)
def test_ctc_around_the_edges_of_frames(name, lengths, masked):
    (ours, theirs), batch = tiny_pair(name), batch_of(lengths)
    labels = torch.full((len(lengths), 1), 5)
    with torch.no_grad():
        mine, other = (run(model, batch, masked, labels=labels) for model in (ours, theirs))
        inner = run(theirs.wav2vec2, batch, masked)
    same_outputs(mine, other)
    close(mine.last_hidden_state, inner.last_hidden_state, "last_hidden_state")
    close(mine.extract_features, inner.extract_features, "extract_features")
    counted = batch.lengths if masked else torch.full_like(batch.lengths, max(lengths))
    assert torch.equal(mine.frame_lengths, theirs._get_feat_extract_output_lengths(counted))


def test_base_itself_once_in_single_precision():
    """The real size, once: 12 layers deep, errors have room to grow."""
    ours = Wav2Vec2ForCTC(Wav2Vec2Config.base()).eval()
    with torch.device("meta"):
        theirs = transformers.Wav2Vec2ForCTC(their_config(ours.config)).eval()
    theirs.load_state_dict(ours.state_dict(), assign=True)
    batch = batch_of((8000, 5000))
    with torch.no_grad():
        mine, other = (run(model, batch) for model in (ours, theirs))
    close(mine.logits, other.logits, "logits")


# ---------------------------------------------------------------- CTC and classification, every field of the config

LABELS = {
    Wav2Vec2ForCTC: torch.tensor([[5, 6, 6], [7, -100, -100], [8, 9, -100]]),
    Wav2Vec2ForSequenceClassification: torch.tensor([4, 0, 2]),
}


@pytest.mark.parametrize("head", LABELS)
@pytest.mark.parametrize(
    "name, masked, training, seed",
    [(*case, number % 3) for number, case in enumerate(itertools.product(PLAIN, (True, False), (True, False)))],
)
def test_with_no_field_at_its_default(head, name, masked, training, seed):
    # in train mode transformers' adapter drops strides at random, and its length formula fits a kernel of 3 only
    fixed = ALONE if training or seed == 2 else {"adapter_kernel_size": 3, "adapter_stride": 2}
    if head is Wav2Vec2ForSequenceClassification:  # transformers' weighted sum fails where LayerDrop left out a layer
        fixed = ALONE | (
            {"use_weighted_layer_sum": True, "layerdrop": 0.0} if seed else {"use_weighted_layer_sum": False}
        )
    ours, theirs = both(head, unusual_config(seed, **PLAIN[name], **fixed), training=training)
    batch = batch_of((400, 291, 200), seed)
    mine, other = (run(model, batch, masked, labels=LABELS[head]) for model in (ours, theirs))
    same_outputs(mine, other)
    target = torch.randn_like(mine.logits)
    same_gradients(ours, theirs, (mine.logits * target).sum(), (other.logits * target).sum())


# ---------------------------------------------------------------- pre-training


def hand_their_quantizer(noise, monkeypatch):
    """Our Gumbel noise to transformers' quantizer, which may not round float64 to float32 on the way."""

    def gumbel_softmax(logits, tau, hard):
        soft = ((logits + noise.reshape(logits.shape)) / tau).softmax(-1)
        one_hot = torch.zeros_like(logits).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
        return one_hot - soft.detach() + soft

    monkeypatch.setattr(torch.nn.functional, "gumbel_softmax", gumbel_softmax)
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)


# transformers ignores even a given time mask without apply_spec_augment, and draws feature masks of its own with it
GIVEN_MASK = {"add_adapter": False, "apply_spec_augment": True, "mask_feature_prob": 0.0}
PRETRAINING_CONFIGS = {
    "few tokens, so that negatives equal the positive": dataclasses.replace(
        TINY, **QUIET, num_codevector_groups=2, num_codevectors_per_group=3
    ),
    "no default, pre-norm": unusual_config(0, **GIVEN_MASK),
    "no default, group norm, post-norm": unusual_config(1, **GIVEN_MASK, **GROUP, **POST),
    "no default, fused attention": unusual_config(2, **GIVEN_MASK, attn_implementation="sdpa"),
}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@MASKED
@pytest.mark.parametrize("name", PRETRAINING_CONFIGS)
def test_pretraining_outputs_losses_and_gradients(name, masked, training, monkeypatch):
    config = PRETRAINING_CONFIGS[name]
    ours, theirs = both(Wav2Vec2ForPreTraining, config, training)
    geometry = FrameGeometry.from_config(config)
    batch = batch_of([geometry.samples_for(frames)[0] for frames in (40, 27, 20)])
    time_mask, negatives = sample_task(config, batch.lengths, generator=torch.Generator().manual_seed(0))
    task = {"mask_time_indices": time_mask, "sampled_negative_indices": negatives}
    shape = (*time_mask.shape, config.num_codevector_groups, config.num_codevectors_per_group)
    noise = sample_gumbel(torch.empty(shape, dtype=torch.float64), torch.Generator().manual_seed(0))
    hand_their_quantizer(noise, monkeypatch)
    mine = run(ours, batch, masked, **task, gumbel_noise=noise)
    other = run(theirs, batch, masked, **task)
    predictions = ("projected_states", "projected_quantized_states", "codevector_perplexity")
    same_outputs(mine, other, (*predictions, "contrastive_loss", "diversity_loss", "loss"))
    if name.startswith("few"):  # the comparison covers negatives that are the positive's own token
        assert (mine.codes.flatten(0, 1)[negatives] == mine.codes[:, :, None]).all(-1)[time_mask].any()
    same_gradients(ours, theirs, mine.loss, other.loss)


def test_spec_augment_in_train_mode(monkeypatch):
    """Time and feature masks of fine-tuning: the same indices give the same hidden states as in transformers."""
    config = dataclasses.replace(
        TINY, **QUIET, mask_time_prob=0.5, mask_time_length=3, mask_time_min_masks=7, mask_feature_prob=0.3,
        mask_feature_length=4, mask_feature_min_masks=1,
    )  # fmt: skip
    ours, theirs = both(Wav2Vec2ForCTC, config, training=True)
    batch = batch_of((16_000, 9_999, 12_345))
    time_mask, _ = sample_task(config, batch.lengths)
    feature_mask = torch.rand(3, config.hidden_size) < 0.3
    asked = []
    monkeypatch.setattr(wav2vec2, "sample_time_mask", lambda *args: asked.append(args[2:]) or time_mask)
    monkeypatch.setattr(wav2vec2, "sample_feature_mask", lambda *args, device: asked.append(args[2:]) or feature_mask)
    drawn = {time_mask.shape: time_mask.numpy(), feature_mask.shape: feature_mask.numpy()}
    monkeypatch.setattr(modeling_wav2vec2, "_compute_mask_indices", lambda shape, **kwargs: drawn[torch.Size(shape)])
    mine, other = (run(model, batch) for model in (ours, theirs))
    close(mine.logits, other.logits, "logits")
    assert torch.equal(mine.time_mask, time_mask) and asked == [(0.5, 3, 7), (0.3, 4, 1)]


# ---------------------------------------------------------------- names, shapes, initial weights


@pytest.mark.parametrize("preset", ["base", "large", "large_lv60"])
@pytest.mark.parametrize("head", [Wav2Vec2ForCTC, Wav2Vec2ForPreTraining, Wav2Vec2ForSequenceClassification])
def test_parameter_names_and_shapes_of_the_presets(head, preset):
    config = Wav2Vec2Config.from_preset(preset)
    with torch.device("meta"):
        ours, theirs = head(config), getattr(transformers, head.__name__)(their_config(config))
    assert {name: p.shape for name, p in ours.named_parameters()} == {
        name: p.shape for name, p in theirs.named_parameters()
    }
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]


def test_initial_weights_are_distributed_as_in_transformers():
    torch.manual_seed(0)
    config = dataclasses.replace(TINY, num_codevectors_per_group=320, codevector_dim=256, conv_bias=True)
    for head in (Wav2Vec2ForPreTraining, Wav2Vec2ForCTC):
        expected = getattr(transformers, head.__name__)(their_config(config)).state_dict()
        for name, mine in head(config).state_dict().items():
            other = expected[name]
            if mine.numel() < 500:
                assert bool(mine.std() < 1e-6) == bool(other.std() < 1e-6), name  # constant in one, constant in both
                continue
            for statistic in (torch.mean, torch.std):
                torch.testing.assert_close(
                    statistic(mine), statistic(other), atol=0.15 * float(other.std()), rtol=0.1, msg=name
                )
