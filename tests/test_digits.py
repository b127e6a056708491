"""The two small digit models in the package: what they are, what they hear, and that their cards say so."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from training.card import card
from training.examples import EXAMPLES, MODELS, heard_in
from training.measure import CONDITIONS, PADDED_TO, score
from training.train_digits import RECIPES
from training.voices import HELD_OUT_ACCENTS, HELD_OUT_VARIANTS, TRAINING_VARIANTS
from w2vlearn.audio import read_audio
from w2vlearn.batch import pad
from w2vlearn.checkpoints import load
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry

DATA = Path(__file__).resolve().parents[1] / "w2vlearn" / "data"
CLIPS = json.loads((DATA / "digits_clips" / "digits.json").read_text(encoding="utf-8"))
VARIANTS = ("group", "layer")
TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETONIHSRUWFGVXZ")


def digit_config(variant: str) -> Wav2Vec2Config:
    """About a million parameters with BASE's geometry (400 samples, hop 320)."""
    return Wav2Vec2Config(
        conv_dim=(64,) * 7,
        feat_extract_norm=variant,
        conv_bias=variant == "layer",
        do_stable_layer_norm=variant == "layer",
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        num_conv_pos_embeddings=64,
        num_conv_pos_embedding_groups=16,
        vocab_size=len(TOKENS),
        pad_token_id=0,
        hidden_dropout=0.0,
        activation_dropout=0.0,
        attention_dropout=0.0,
        final_dropout=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
        mask_time_prob=0.0,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
    )


def metrics_of(variant: str) -> dict:
    return json.loads((DATA / f"digits_{variant}" / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clips() -> dict[str, torch.Tensor]:
    return {name: read_audio(DATA / "digits_clips" / f"{name}.flac") for name in CLIPS}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_stored_config_is_the_one_that_was_trained(variant):
    config = Wav2Vec2Config.from_json(DATA / f"digits_{variant}")
    assert config == digit_config(variant)
    geometry = FrameGeometry.from_config(config)
    assert (geometry.receptive_field, geometry.hop) == (400, 320)
    assert config.feat_extract_norm == variant
    assert config.conv_bias == config.do_stable_layer_norm == (variant == "layer")


@pytest.mark.parametrize("variant", VARIANTS)
def test_about_a_million_parameters_stored_as_float16_in_two_megabytes(variant):
    file = DATA / f"digits_{variant}" / "model.safetensors"
    with safe_open(file, "pt") as weights:
        tensors = [weights.get_tensor(name) for name in weights.keys()]  # noqa: SIM118 - no dict
    count = sum(tensor.numel() for tensor in tensors)
    assert {tensor.dtype for tensor in tensors} == {torch.float16}
    assert {weight.dtype for weight in load(file.parent).parameters()} == {torch.float32}
    assert all(torch.isfinite(tensor).all() for tensor in tensors)
    assert count == metrics_of(variant)["training"]["parameters"]
    assert 800_000 < count < 1_200_000
    assert file.stat().st_size < 2e6


def test_both_models_write_what_was_observed_in_the_held_out_clips(clips):
    for name, clip in clips.items():
        assert len(clip) == CLIPS[name]["samples"], name
        assert heard_in(clip) == CLIPS[name]["heard"], name


def test_most_words_of_the_held_out_clips_are_right():
    for model in MODELS:
        found = score([(row["says"], row["heard"][model]["alone"]) for row in CLIPS.values()])
        assert found["word_accuracy"] >= 0.5, model
        assert found["word_accuracy_nearest_digit"] >= 0.8, model


def test_the_example_clips_are_of_voices_that_training_never_hears():
    assert set(EXAMPLES) == set(CLIPS)
    assert not set(HELD_OUT_VARIANTS) & set(TRAINING_VARIANTS)
    for name, example in EXAMPLES.items():
        if example.voice is None:
            assert "flite" in CLIPS[name]["speaker"]
        else:
            assert example.voice.variant in HELD_OUT_VARIANTS, name
    assert sum(e.voice is not None and e.voice.accent in HELD_OUT_ACCENTS for e in EXAMPLES.values()) == 3
    assert len({row["samples"] for row in CLIPS.values()}) == len(CLIPS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_card_and_the_metrics_are_one(variant):
    metrics, folder = metrics_of(variant), DATA / f"digits_{variant}"
    assert card(metrics) == (folder / "README.md").read_text(encoding="utf-8")
    assert load(folder).processing.unsure_below == metrics["doubt"]["unsure_below"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_metrics_are_complete_and_of_this_recipe(variant):
    metrics, recipe = metrics_of(variant), RECIPES[variant]
    training = metrics["training"]
    runs, people = training["runs"], training["people"]
    assert training["recipe"] == dataclasses.asdict(recipe)
    steps = {"synthetic voices": recipe.synthetic_steps, "everybody": recipe.steps}
    assert {name: run["steps"] for name, run in runs.items()} == steps | {
        f"without {person}": recipe.judged_steps for person in people
    }
    final = runs["synthetic voices"]["cpu_seconds"] + runs["everybody"]["cpu_seconds"]
    assert final < 60 * 60 and sum(run["cpu_seconds"] for run in runs.values()) < 2 * 60 * 60  # on 2 cores
    assert training["command"] == f"python -m training.train_digits --variant {variant}"
    assert set(metrics["people"]) == {*people, "Allison"} and len(people) == 3
    for rows in metrics["conditions"].values():
        assert set(rows) == set(CONDITIONS)
    combinations = {(row["padded_to"], row["mask"], row["frames"]) for row in metrics["padding"]}
    padded = {(size, mask, frames) for size in PADDED_TO for mask in (False, True) for frames in ("valid", "all")}
    assert combinations == padded | {(1.0, False, "valid"), (1.0, False, "all")}


def test_with_layer_norm_and_a_mask_padding_changes_no_transcript():
    """The architecture promises it, so it must show in the measured numbers and not only in unit tests of the model."""
    for row in metrics_of("layer")["padding"]:
        if row["mask"] and row["frames"] == "valid":
            assert row["same_as_alone"] == 1.0, row


@pytest.mark.parametrize("variant", VARIANTS)
def test_transformers_loads_the_folder_and_computes_the_same(variant, clips):
    transformers = pytest.importorskip("transformers")
    folder = DATA / f"digits_{variant}"
    theirs = transformers.Wav2Vec2ForCTC.from_pretrained(folder).eval()
    processor = transformers.Wav2Vec2Processor.from_pretrained(folder)
    ours = load(folder)
    for name, clip in clips.items():
        values = processor(clip.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
        torch.testing.assert_close(values, pad([clip], normalize=True).waveforms, rtol=0, atol=1e-5)
        with torch.no_grad():
            found, wanted = ours(values).logits, theirs(values).logits
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-4)
        text = processor.batch_decode(wanted.argmax(-1))[0]
        assert text == CLIPS[name]["heard"][f"digits_{variant}"]["alone"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_vocabulary_and_processor_settings(variant):
    folder = DATA / f"digits_{variant}"
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    assert vocabulary == {token: index for index, token in enumerate(TOKENS)}
    assert (vocabulary["<pad>"], vocabulary["|"]) == (0, 4)
    settings = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    assert settings["do_normalize"] and settings["return_attention_mask"] == (variant == "layer")
    assert load(folder).vocabulary.tokens == TOKENS
