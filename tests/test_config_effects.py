"""Every field of the config does what it is for, and nothing else: one field changed at a time, everything compared.

`probe` measures the three models of a config, same weights wherever a parameter keeps its shape: which parameters there
are, what comes out in eval and in train mode, the losses. `EFFECTS` names for each field what moves.
"""

import dataclasses
import functools
import zlib

import pytest
import torch

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2ForPreTraining, pad
from w2vlearn.model import Wav2Vec2ForSequenceClassification, sample_task

DROPOUTS = ("feat_proj_dropout", "hidden_dropout", "activation_dropout", "attention_dropout", "final_dropout")
BASE = Wav2Vec2Config(
    conv_dim=(6, 6),
    conv_kernel=(6, 4),
    conv_stride=(5, 2),
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    num_conv_pos_embeddings=6,
    num_conv_pos_embedding_groups=2,
    **dict.fromkeys((*DROPOUTS, "layerdrop"), 0.0),
    apply_spec_augment=False,
    mask_time_prob=0.3,
    mask_time_length=3,
    mask_feature_prob=0.3,
    mask_feature_length=3,
    mask_feature_min_masks=1,
    num_codevectors_per_group=5,
    codevector_dim=8,
    proj_codevector_dim=7,
    num_negatives=4,
    vocab_size=11,
    classifier_proj_size=9,
)
BATCH = pad([torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (400, 260)], minimum_samples=1)
LABELS = torch.tensor([[3, 3, 5], [4, -100, -100]])
EVERY_OUTPUT = {
    *("eval", "train", "logits eval", "logits train", "CTC loss", "classes"),
    *("contrastive loss", "pre-training loss", "pre-training train"),
}
IN_TRAIN_MODE = {"train", "logits train", "pre-training train"}

# field: (another value, what moves, parameters that appear, vanish or change shape)
EFFECTS = {
    "conv_dim": ((6, 8), EVERY_OUTPUT, {"feature_extractor", "feature_projection", "quantizer"}),
    "conv_kernel": ((6, 3), EVERY_OUTPUT | {"frames", "task"}, {"feature_extractor"}),
    "conv_stride": ((5, 3), EVERY_OUTPUT | {"frames", "task"}, set()),
    "conv_bias": (True, EVERY_OUTPUT, {"feature_extractor"}),
    "feat_extract_norm": ("layer", EVERY_OUTPUT, {"feature_extractor"}),
    "hidden_size": (
        20,
        EVERY_OUTPUT,
        {"feature_projection", "masked_spec_embed", "encoder", "lm_head", "projector", "project_hid"},
    ),
    "num_hidden_layers": (3, EVERY_OUTPUT, {"encoder"}),
    "num_attention_heads": (4, EVERY_OUTPUT, set()),
    "intermediate_size": (14, EVERY_OUTPUT, {"encoder"}),
    "do_stable_layer_norm": (True, EVERY_OUTPUT, set()),
    "num_conv_pos_embeddings": (5, EVERY_OUTPUT, {"encoder"}),
    "num_conv_pos_embedding_groups": (4, EVERY_OUTPUT, {"encoder"}),
    "layer_norm_eps": (0.1, EVERY_OUTPUT, set()),
    "attn_implementation": ("sdpa", set(), set()),  # another way to the same numbers; BASE is made eager below
    "feat_proj_dropout": (0.5, IN_TRAIN_MODE, set()),
    "hidden_dropout": (0.5, IN_TRAIN_MODE, set()),
    "activation_dropout": (0.5, IN_TRAIN_MODE, set()),
    "attention_dropout": (0.5, IN_TRAIN_MODE, set()),
    "final_dropout": (0.5, {"logits train"}, set()),
    "layerdrop": (0.9, IN_TRAIN_MODE, set()),
    "apply_spec_augment": (True, IN_TRAIN_MODE, set()),  # pre-training, given a time mask: the feature mask
    "mask_time_prob": (0.8, set(), set()),  # nothing without apply_spec_augment: see EFFECTS_OF_AUGMENTING
    "mask_time_length": (4, {"task"}, set()),
    "mask_time_min_masks": (8, {"task"}, set()),
    "mask_feature_prob": (0.8, set(), set()),
    "mask_feature_length": (4, set(), set()),
    "mask_feature_min_masks": (3, set(), set()),
    "num_codevectors_per_group": (6, {"contrastive loss", "pre-training loss", "pre-training train"}, {"quantizer"}),
    "num_codevector_groups": (4, {"contrastive loss", "pre-training loss", "pre-training train"}, {"quantizer"}),
    "codevector_dim": (
        10,
        {"contrastive loss", "pre-training loss", "pre-training train"},
        {"quantizer", "project_q"},
    ),
    "proj_codevector_dim": (
        8,
        {"contrastive loss", "pre-training loss", "pre-training train"},
        {"project_hid", "project_q"},
    ),
    "feat_quantizer_dropout": (0.5, {"pre-training train"}, set()),
    "num_negatives": (5, {"task"}, set()),
    "contrastive_logits_temperature": (0.5, {"contrastive loss", "pre-training loss", "pre-training train"}, set()),
    "diversity_loss_weight": (5.0, {"pre-training loss", "pre-training train"}, set()),
    "vocab_size": (12, {"logits eval", "logits train", "CTC loss"}, {"lm_head"}),
    "pad_token_id": (3, {"CTC loss"}, set()),
    "ctc_loss_reduction": ("mean", {"CTC loss"}, set()),
    "ctc_zero_infinity": (True, {"impossible CTC loss"}, set()),
    "use_weighted_layer_sum": (True, {"classes"}, {"layer_weights"}),
    "classifier_proj_size": (10, {"classes"}, {"projector", "classifier"}),
    "num_labels": (3, {"classes"}, {"classifier"}),
    "add_adapter": (True, {"eval", "train", "logits eval", "logits train", "CTC loss", "frames"}, {"adapter"}),
    "adapter_kernel_size": (2, set(), set()),  # nothing without an adapter: see EFFECTS_WITH_ADAPTER
    "adapter_stride": (3, set(), set()),
    "num_adapter_layers": (2, set(), set()),
    "output_hidden_size": (18, set(), set()),
}
EFFECTS_OF_AUGMENTING = {
    "mask_time_prob": (0.8, {"train", "logits train"}, set()),
    "mask_time_length": (4, {"train", "logits train", "task"}, set()),
    "mask_time_min_masks": (8, {"train", "logits train", "task"}, set()),
    "mask_feature_prob": (0.8, IN_TRAIN_MODE, set()),
    "mask_feature_length": (4, IN_TRAIN_MODE, set()),
    "mask_feature_min_masks": (4, IN_TRAIN_MODE, set()),
}
AFTER_THE_ADAPTER = {"eval", "train", "logits eval", "logits train", "CTC loss"}
EFFECTS_WITH_ADAPTER = {
    "adapter_kernel_size": (2, AFTER_THE_ADAPTER | {"frames"}, {"adapter"}),
    "adapter_stride": (3, AFTER_THE_ADAPTER | {"frames"}, set()),
    "num_adapter_layers": (2, AFTER_THE_ADAPTER | {"frames"}, {"adapter"}),
    "output_hidden_size": (18, AFTER_THE_ADAPTER, {"adapter", "lm_head"}),
}


def model_of(head, config):
    """Weights that depend on a parameter's name and shape alone."""
    model = head(config).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            generator = torch.Generator().manual_seed(zlib.crc32(f"{name}{tuple(parameter.shape)}".encode()))
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def run(model, training, **arguments):
    torch.manual_seed(0)
    return model.train(training)(BATCH.waveforms.double(), BATCH.mask, **arguments)


@functools.cache
def probe(config):
    """What can move, name -> tensors; and for each model the shapes of its parameters, name -> shape."""
    ctc = model_of(Wav2Vec2ForCTC, config)
    models, measured = [ctc], {}
    for mode in ("eval", "train"):
        out = run(ctc, mode == "train", labels=LABELS, output_hidden_states=True)
        measured |= {mode: (*out.hidden_states, out.last_hidden_state), f"logits {mode}": (out.logits,)}
        measured |= {"frames": (out.frame_lengths,)} | ({"CTC loss": (out.loss,)} if mode == "eval" else {})
    too_long = torch.full((2, 80), 5)
    measured["impossible CTC loss"] = (run(ctc, False, labels=too_long).loss.isfinite(),)
    time_mask, negatives = sample_task(config, BATCH.lengths, generator=torch.Generator().manual_seed(0))
    measured["task"] = (time_mask, negatives)
    if not config.add_adapter:
        pretraining = model_of(Wav2Vec2ForPreTraining, config)
        classification = model_of(Wav2Vec2ForSequenceClassification, config)
        models += [pretraining, classification]
        # a task of its own, so that a change of the task does not move everything else
        own = sample_task(dataclasses.replace(BASE, **geometry(config)), BATCH.lengths, generator=torch.Generator())
        task = dict(zip(("mask_time_indices", "sampled_negative_indices"), own, strict=True))
        out = run(pretraining, False, **task)
        measured |= {"contrastive loss": (out.contrastive_loss,), "pre-training loss": (out.loss,)}
        out = run(pretraining, True, **task)
        measured |= {"pre-training train": (out.loss, out.projected_states, out.projected_quantized_states)}
        measured |= {"classes": (run(classification, False).logits,)}
    return measured, [{name: parameter.shape for name, parameter in model.named_parameters()} for model in models]


def geometry(config):
    return {name: getattr(config, name) for name in ("conv_dim", "conv_kernel", "conv_stride")}


def moved(before, after):
    both = before[0].keys() & after[0].keys()
    return {name for name in both if not same_values(before[0][name], after[0][name])}


def same_values(before, after):
    if [tensor.shape for tensor in before] != [tensor.shape for tensor in after]:
        return False
    pairs = zip(before, after, strict=True)
    return all(torch.allclose(one.double(), other.double(), rtol=1e-9, atol=1e-12) for one, other in pairs)


def changed_parameters(before, after):
    """The parts of the model whose parameters are not the same; heads that both configs have."""
    parts = set()
    for old, new in zip(before[1], after[1], strict=False):
        names = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        parts |= {name.removeprefix("wav2vec2.").split(".")[0] for name in names}
    return parts


START = {
    "plain": (dataclasses.replace(BASE, attn_implementation="eager"), EFFECTS),
    "augmenting": (dataclasses.replace(BASE, apply_spec_augment=True), EFFECTS_OF_AUGMENTING),
    "adapter": (dataclasses.replace(BASE, add_adapter=True), EFFECTS_WITH_ADAPTER),
}


def test_every_field_has_its_effect_named():
    assert EFFECTS.keys() == {field.name for field in dataclasses.fields(Wav2Vec2Config)}


@pytest.mark.parametrize(("start", "field"), [(name, field) for name in START for field in START[name][1]])
def test_one_field_changed(start, field):
    config, effects = START[start]
    value, expected, parameters = effects[field]
    assert getattr(config, field) != value
    changes = {field: value}
    if field == "hidden_size":
        changes["output_hidden_size"] = value  # without an adapter the same number under another name
    before, after = probe(config), probe(dataclasses.replace(config, **changes))
    assert moved(before, after) == expected
    assert changed_parameters(before, after) == parameters


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_each_dropout_acts_in_both_kinds_of_attention(attention):
    start = dataclasses.replace(BASE, attn_implementation=attention)
    for field in (*DROPOUTS, "layerdrop"):
        assert moved(probe(start), probe(dataclasses.replace(start, **{field: 0.5}))) == EFFECTS[field][1], field
