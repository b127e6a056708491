"""The two small digit models in the package: what they are, what they hear, and that their cards say so."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors import safe_open

from training.card import card
from training.examples import EXAMPLES, MODELS, heard_in
from training.measure import CONDITIONS, PADDED_TO, score
from training.train_digits import RECIPES
from training.voices import DIGITS, HELD_OUT_ACCENTS, HELD_OUT_VARIANTS, TRAINING_VARIANTS
from w2vlearn.audio import read_audio
from w2vlearn.batch import pad
from w2vlearn.checkpoints import load
from w2vlearn.geometry import FrameGeometry

DATA = Path(__file__).resolve().parents[1] / "w2vlearn" / "data"
CLIPS = json.loads((DATA / "digits_clips" / "digits.json").read_text(encoding="utf-8"))
VARIANTS = ("group", "layer")


def metrics_of(variant: str) -> dict:
    return json.loads((DATA / f"digits_{variant}" / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clips() -> dict[str, torch.Tensor]:
    return {name: read_audio(DATA / "digits_clips" / f"{name}.flac") for name in CLIPS}


@pytest.mark.parametrize("variant", VARIANTS)
def test_bases_geometry_in_a_million_parameters_stored_as_float16_in_two_megabytes(variant):
    file = DATA / f"digits_{variant}" / "model.safetensors"
    model, layer = load(file.parent), variant == "layer"
    config, vocabulary = model.config, model.vocabulary
    geometry = FrameGeometry.from_config(config)
    assert (geometry.receptive_field, geometry.hop) == (400, 320)
    assert config.feat_extract_norm == variant and config.conv_bias == config.do_stable_layer_norm == layer
    assert (model.processing.do_normalize, model.processing.return_attention_mask) == (True, layer)
    assert (vocabulary.blank_id, vocabulary.tokens.index("|")) == (0, 4)
    assert {*vocabulary.tokens} == {"<pad>", "<s>", "</s>", "<unk>", "|", *"".join(DIGITS).upper()}
    with safe_open(file, "pt") as weights:
        tensors = [weights.get_tensor(name) for name in weights.keys()]  # noqa: SIM118 - no dict
    count = sum(tensor.numel() for tensor in tensors)
    assert {tensor.dtype for tensor in tensors} == {torch.float16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert all(torch.isfinite(tensor).all() for tensor in tensors)
    assert count == metrics_of(variant)["training"]["parameters"]
    assert 800_000 < count < 1_200_000
    assert file.stat().st_size < 2e6


def test_both_models_write_what_was_observed_in_the_held_out_clips_and_most_of_it_is_right(clips):
    for name, clip in clips.items():
        assert len(clip) == CLIPS[name]["samples"], name
        assert heard_in(clip) == CLIPS[name]["heard"], name
    for model in MODELS:
        scores = score([(row["says"], row["heard"][model]["alone"]) for row in CLIPS.values()])
        assert scores["word_accuracy"] >= 0.5 and scores["word_accuracy_nearest_digit"] >= 0.8, model


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
def test_the_metrics_are_complete_of_this_recipe_and_what_the_card_says(variant):
    metrics, recipe, folder = metrics_of(variant), RECIPES[variant], DATA / f"digits_{variant}"
    assert card(metrics) == (folder / "README.md").read_text(encoding="utf-8")
    assert load(folder).processing.unsure_below == metrics["doubt"]["unsure_below"]
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
    for row in metrics[
        "padding"
    ]:  # with layer norm and a mask, padding changes no transcript: the measurement shows it
        if variant == "layer" and row["mask"] and row["frames"] == "valid":
            assert row["same_as_alone"] == 1.0, row


@pytest.mark.parametrize("variant", VARIANTS)
def test_transformers_loads_the_folder_and_computes_the_same(variant, clips):
    folder = DATA / f"digits_{variant}"
    theirs = transformers.Wav2Vec2ForCTC.from_pretrained(folder).eval()
    processor = transformers.Wav2Vec2Processor.from_pretrained(folder)
    ours = load(folder)
    for name, clip in clips.items():
        values = processor(clip.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
        torch.testing.assert_close(values, pad([clip], normalize=True).waveforms, rtol=0, atol=1e-5)
        with torch.no_grad():
            expected = theirs(values).logits
            torch.testing.assert_close(ours(values).logits, expected, rtol=1e-4, atol=2e-4)
        text = processor.batch_decode(expected.argmax(-1))[0]
        assert text == CLIPS[name]["heard"][f"digits_{variant}"]["alone"]
