"""Lesson 13's folder and helpers, and what the lesson says of the libraries around it."""

from __future__ import annotations

import inspect
import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import Wav2Vec2Config as TheirConfig
from transformers import Wav2Vec2ForCTC as TheirModel
from transformers.loss.loss_ctc import ForCTCLoss
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

from course import finetuning_demo as demo
from course.lesson_13 import corpus
from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2Model, load

GEOMETRY = FrameGeometry.from_config(Wav2Vec2Config.base())


# ---------------------------------------------------------------- the folder


def test_every_text_of_the_built_in_folder_fits_and_every_digit_is_held_out_too():
    recordings = demo.read_folder(demo.BUILT_IN)
    train, test = demo.held_out(recordings)
    vocabulary = load("digits-layer").vocabulary
    for recording in recordings:
        labels = vocabulary.ids(recording.text)
        repeats = sum(a == b for a, b in itertools.pairwise(labels))
        assert len(labels) + repeats <= GEOMETRY.frame_count(len(recording.clip)), recording.file
    assert len(train) + len(test) == len(recordings)
    assert not {recording.text for recording in train} & {recording.text for recording in test}
    for part in (train, test):
        assert len({word for recording in part for word in recording.text.split()}) == 10


@pytest.mark.parametrize(
    ("table", "words"), [(None, "has no texts.tsv"), ("\n", "lists no recording"), ("a.wav ONE", "line 1: wanted file")]
)
def test_a_folder_that_cannot_be_read(tmp_path, table, words):
    if table is not None:
        (tmp_path / "texts.tsv").write_text(table)
    with pytest.raises(ValueError, match=words):
        demo.read_folder(tmp_path)


def test_own_recordings_are_kept_once_bit_for_bit_and_built_in_clips_are_not(tmp_path, capsys):
    vocabulary, folder = load("digits-layer").vocabulary, tmp_path / "voice"

    def kept(source, waveform, text):
        demo.keep(SimpleNamespace(source=source, waveform=waveform), text, vocabulary, folder)
        return capsys.readouterr().out

    first, second = torch.rand(5000, generator=torch.Generator().manual_seed(0)), torch.zeros(4000)
    assert "built-in" in kept("digits", first, "ONE") and not folder.exists()
    assert "no letter A, K" in kept("microphone", first, "KATE") and "not kept" in kept("microphone", first, " ")
    assert "1 in all" in kept("microphone", first, "one  two")
    assert "2 in all" in kept("me.wav", second, "NINE")
    assert "text corrected" in kept("microphone", first, "ONE THREE")
    stored = demo.read_folder(folder)
    assert [recording.text for recording in stored] == ["ONE THREE", "NINE"]
    assert all(torch.equal(one.clip, clip) for one, clip in zip(stored, (first, second), strict=True))


# ---------------------------------------------------------------- batches, counts, words


@given(st.lists(st.integers(1, 99), min_size=1, max_size=40), st.integers(1, 5), st.integers(1, 6), st.randoms())
def test_batches_hold_every_clip_once_and_pools_only_take_padding_away(lengths, size, pool, chance):
    order = list(range(len(lengths)))
    chance.shuffle(order)
    batches = demo.bucketed(order, lengths, size, pool)
    assert sorted(clip for batch in batches for clip in batch) == sorted(order)
    assert len(batches) == math.ceil(len(order) / size) and all(
        len(batch) == size for batch in batches[:-1] if pool > 0
    )
    for start in range(0, len(order), size * pool):  # nobody leaves the pool
        own = batches[start // size : (start + size * pool) // size]
        assert {clip for batch in own for clip in batch} == set(order[start : start + size * pool])
    everything_sorted = demo.bucketed(order, lengths, size, len(order))
    if len(order) % size == 0:
        assert demo.waste(lengths, everything_sorted) <= demo.waste(lengths, batches) + 1e-12


def test_transformers_sampler_sorts_in_the_same_pools(monkeypatch):
    from transformers.trainer_pt_utils import get_length_grouped_indices

    lengths, order = corpus()[:96], list(range(96))
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: torch.tensor(order))
    theirs = get_length_grouped_indices(lengths, 8, 3)
    ours = [clip for batch in demo.bucketed(order, lengths, 8, 3) for clip in batch]
    for start in range(24, 96, 24):  # the first clip of all changes places with the longest of all
        same = [a == b for a, b in zip(theirs[start : start + 24], ours[start : start + 24][::-1], strict=True)]
        assert sum(same) >= 23


@pytest.mark.parametrize("samples", [400, 16_000, 23_456])
def test_multiplications_are_those_that_torch_counts(samples):
    config = Wav2Vec2Config.tiny()
    with torch.device("meta"):
        model = Wav2Vec2Model(config).eval()
        waveform = torch.zeros(1, samples)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(waveform)
    counted = {name: sum(flops.values()) // 2 for name, flops in counter.get_flop_counts().items()}
    encoder, behind = demo.multiplications(config, samples)
    assert encoder == counted["Wav2Vec2Model.feature_extractor"]
    frames, positions = FrameGeometry.from_config(config).frame_count(samples), config.num_conv_pos_embeddings
    extra = config.hidden_size**2 // config.num_conv_pos_embedding_groups * positions  # the frame that is trimmed
    assert behind + extra == counted["Wav2Vec2Model"] - encoder and frames


@pytest.mark.parametrize(
    ("text", "heard", "right"),
    [("ONE TWO", "ONE TWO", 2), ("ONE TWO", "TWO ONE", 1), ("ONE TWO", "", 0), ("ONE ONE", "ONE", 1), ("ONE", "ON", 0)],
)
def test_words_right(text, heard, right):
    assert demo.words_right(text, heard) == right


def test_the_same_weights_under_other_settings():
    model = load("digits-layer")
    other = demo.with_settings(model, apply_spec_augment=True, mask_time_prob=0.05, mask_time_length=4)
    assert other.config.mask_time_prob == 0.05 and other.vocabulary == model.vocabulary and not other.training
    clip = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(clip).logits, other(clip).logits)


# ---------------------------------------------------------------- what the lesson says of transformers

SMALL = dict(
    hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=40, vocab_size=11,
    conv_dim=[12] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
)  # fmt: skip


def test_their_frame_count_goes_below_zero_up_to_79_samples_and_is_zero_up_to_399():
    model = TheirModel(TheirConfig(**SMALL))
    counts = model._get_feat_extract_output_lengths(torch.arange(401)).tolist()
    assert [counts.index(0), counts.index(1)] == [80, 400] and set(counts[:80]) == {-1}


def test_a_clip_with_one_hidden_frame_has_no_negative():
    mask = _compute_mask_indices((2, 60), 0.5, 10, (torch.arange(60) < torch.tensor([[60], [8]])).long(), min_masks=2)
    assert mask[1].nonzero()[0].tolist() == [59]  # of padding, for a clip that is too short for a span
    with pytest.raises(ValueError, match="high <= 0"):
        _sample_negative_indices((2, 60), 5, mask)


def test_nobody_divides_by_the_steps_of_accumulation():
    forward = inspect.signature(TheirModel.forward).parameters.values()
    assert any(parameter.kind == parameter.VAR_KEYWORD for parameter in forward)  # what Trainer looks at
    assert TheirConfig().ctc_loss_reduction == "sum"
    logits = torch.randn(2, 9, 11, generator=torch.Generator().manual_seed(0))
    given = (logits, torch.tensor([[5, 6], [7, -100]]), torch.tensor([9, 9]), 0, "mean")
    assert torch.equal(ForCTCLoss(*given), ForCTCLoss(*given, num_items_in_batch=1000))
