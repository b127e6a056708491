"""Chunks on the frame grid: each frame once, memory bounded, and how far the logits are from those of one pass."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tqdm.auto import tqdm

from w2vlearn import FrameGeometry, Wav2Vec2Config
from w2vlearn.model import Wav2Vec2ForCTC, Wav2Vec2Model
from w2vlearn.transcription.chunks import chunk_outputs, chunk_waveforms, on_grid, plan

GROUP = Wav2Vec2Config.tiny()
LAYER = dataclasses.replace(GROUP, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)
GEOMETRY = FrameGeometry.from_config(GROUP)
SMALL = FrameGeometry((4, 3), (2, 2), sample_rate=100)  # receptive field 8, hop 4: edges come often


def model(config, kind=Wav2Vec2ForCTC):
    torch.manual_seed(0)
    return kind(config).eval()


def speech_like(seconds):
    """Noise that swells and fades, so that chunks have other statistics than the whole."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(round(seconds * 16_000)) / 16_000
    return 0.1 * torch.randn(len(time), generator=generator) * (1.2 + torch.sin(1.7 * time))


def one_pass(net, waveform):
    with torch.no_grad():
        return net(waveform[None]).logits[0]


def in_chunks(net, blocks, *sizes):
    return torch.cat([outputs for *_, outputs in chunk_outputs(net, blocks, GEOMETRY, *sizes, progress=False)])


# ---------------------------------------------------------------------------------------------------- the plan


@settings(max_examples=200)
@example(samples=11, frames=1, context=0, block=8)  # the tail comes after the only frame
@given(samples=st.integers(0, 900), frames=st.integers(1, 60), context=st.integers(0, 80), block=st.integers(1, 300))
def test_each_frame_is_kept_once_and_read_with_its_context_whatever_the_blocks(samples, frames, context, block):
    chunks, known = plan(samples, SMALL, frames * 0.04, context * 0.04), SMALL.frame_count(samples)
    assert [frame for chunk in chunks for frame in chunk.keep] == list(range(known))
    for chunk in chunks:
        assert len(chunk.keep) <= frames
        assert chunk.read.start == max(0, chunk.keep.start - context)
        assert chunk.read.stop == min(known, chunk.keep.stop + context)
        assert chunk.samples.start == chunk.read.start * SMALL.hop  # on the grid
        assert SMALL.frame_count(len(chunk.samples)) == len(chunk.read)  # not a frame more, not one less
        assert list(chunk.read)[chunk.inside] == list(chunk.keep)
    blocks = torch.arange(samples, dtype=torch.float32).split(block) if samples else []
    cut = list(chunk_waveforms(blocks, SMALL, frames * 0.04, context * 0.04))
    assert [chunk for chunk, _ in cut] == chunks
    assert all(piece.tolist() == list(chunk.samples) for chunk, piece in cut)


def test_sizes_lie_on_the_grid_and_one_chunk_is_the_whole_clip_with_its_tail():
    (chunk,) = plan(16_000, GEOMETRY, 20.0, 2.0)
    assert (chunk.keep, chunk.samples) == (range(49), range(16_000))
    assert plan(16_000, GEOMETRY, math.inf, 0.0) == [chunk]
    assert [on_grid(seconds, GEOMETRY) for seconds in (0, 0.02, 0.06, 1.28, 20, 20.02)] == [0, 1, 3, 64, 1000, 1001]
    for seconds, nearest in ((0.03, "take 0.02 or 0.04"), (0.005, "take 0 or 0.02"), (1.001, "1 or 1.02")):
        with pytest.raises(ValueError, match=nearest):
            on_grid(seconds, GEOMETRY)
        with pytest.raises(ValueError, match="context_s"):
            plan(16_000, GEOMETRY, 1.0, seconds)
    for seconds in (-1.0, math.nan, "20", None, True):
        with pytest.raises(ValueError, match="number of seconds"):
            on_grid(seconds, GEOMETRY)
    with pytest.raises(ValueError, match=r"at least one frame, 0.02 s"):
        plan(16_000, GEOMETRY, 0.0, 1.0)
    with pytest.raises(ValueError, match="0 or more, found -1"):
        plan(-1, GEOMETRY)


def test_an_hour_in_memory_is_cut_without_copying_it():
    hour = torch.zeros(3600 * 16_000)
    pieces = [piece for _, piece in chunk_waveforms([hour], GEOMETRY, 20, 2)]
    assert len(pieces) == 180
    assert all(piece.untyped_storage().data_ptr() == hour.untyped_storage().data_ptr() for piece in pieces)


# -------------------------------------------------------------------------------------------------- the logits


@pytest.mark.parametrize("config", [GROUP, LAYER], ids=["group", "layer"])
def test_a_single_chunk_is_one_pass_to_the_last_bit(config):
    net, waveform = model(config), speech_like(2.013)
    whole = one_pass(net, waveform)
    assert torch.equal(in_chunks(net, [waveform]), whole)
    assert torch.equal(in_chunks(net, waveform.split(777), math.inf, 0.0), whole)
    chunked = in_chunks(net, [waveform], 0.4, 0.1)
    assert chunked.shape == whole.shape and not torch.equal(chunked, whole)
    assert torch.equal(in_chunks(net, waveform.split(12_345), 0.4, 0.1), chunked)


def difference(net, waveform, context_s):
    """Largest difference of a frame's logits from one pass, in standard deviations of the logits. Shape: (T,)."""
    whole = one_pass(net, waveform)
    return (in_chunks(net, [waveform], 6.0, context_s) - whole).abs().amax(dim=1) / whole.std()


def test_layer_norm_is_close_to_one_pass_and_why_not_equal():
    """Measured on 30 s with random weights, whose attention spreads evenly over all frames.

    Context 0 s: 0.68 at seams, 0.012 further than 64 frames away. 1.28 s: 0.006 everywhere. 2 s: 0.005. What falls by a
    factor of 100 is the positional convolution's edge; what stays is attention, which sees 10 s, not all.
    """
    net, waveform = model(LAYER), speech_like(18)
    without, enough = difference(net, waveform, 0.0), difference(net, waveform, 1.28)
    seams = torch.arange(300, len(without), 300)  # 6 s are 300 frames
    away = (torch.arange(len(without))[:, None] - seams[None]).abs().amin(dim=1) > 64
    assert without[~away].max() > 0.2  # seams show
    assert without[away].max() < 0.05  # equal away from them, but for attention
    assert 0 < enough.max() < 0.02  # with context they do not show at all
    assert enough.max() < without.max() / 20


def test_without_attention_layer_norm_is_exact_once_the_context_covers_the_positions():
    """The rest of the difference is attention: a model without Transformer layers has none left."""
    net, waveform = model(dataclasses.replace(LAYER, num_hidden_layers=0)), speech_like(20)
    assert difference(net, waveform, 1.28).max() < 1e-4  # rounding
    assert difference(net, waveform, 1.2).max() > 1e-3


def test_models_without_a_head_and_models_that_are_refused():
    assert in_chunks(model(LAYER, Wav2Vec2Model), [speech_like(1)], 0.4, 0.2).shape == (49, 48)  # its hidden states
    with pytest.raises(ValueError, match=r"call model.eval\(\)"):
        in_chunks(model(LAYER).train(), [torch.zeros(4000)])
    with pytest.raises(ValueError, match="adapter"):
        in_chunks(model(dataclasses.replace(LAYER, add_adapter=True), Wav2Vec2Model), [torch.zeros(4000)])


def test_the_bar_counts_frames_and_waits_two_seconds_before_it_shows(capsys, monkeypatch):
    def at_once(delay, **options):
        assert delay == 2
        return tqdm(**options)

    monkeypatch.setattr("tqdm.auto.tqdm", at_once)
    for progress in (True, False):
        list(chunk_outputs(model(LAYER), [speech_like(2)], GEOMETRY, 1.0, 0.0, 99, progress))
        assert ("99.0/99.0" in capsys.readouterr().err) == progress
