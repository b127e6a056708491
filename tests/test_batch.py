"""Padding and masks: shapes, meaning, conventions, and every clip that cannot be padded."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Wav2Vec2FeatureExtractor

from w2vlearn import FrameGeometry, Wav2Vec2Config, pad, padding_masks

BASE = FrameGeometry.from_config(Wav2Vec2Config.base())
lengths_of_clips = st.lists(st.integers(400, 5000), min_size=1, max_size=5)


def noise(samples, seed=0):
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed))


@given(lengths_of_clips)
def test_pad_keeps_every_sample_and_marks_it_valid(lengths):
    clips = [noise(length, seed) for seed, length in enumerate(lengths)]
    batch = pad(clips)
    assert batch.waveforms.shape == batch.mask.shape == (len(lengths), max(lengths))
    assert batch.lengths.tolist() == lengths == batch.mask.sum(1).tolist()
    for clip, again in zip(clips, batch.clips(), strict=True):
        assert torch.equal(clip, again)
    assert torch.equal(pad([clip.numpy() for clip in clips]).waveforms, batch.waveforms)
    assert (batch.waveforms[~batch.mask] == 0).all()
    assert (batch.mask.int().diff(dim=1) <= 0).all()  # valid first, then padding, never back


@given(lengths_of_clips)
def test_normalising_equals_the_reference_processor_and_no_clip_changes_another(lengths):
    clips = [3 * noise(length, seed) + 0.5 for seed, length in enumerate(lengths)]
    processor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    theirs = processor([clip.numpy() for clip in clips], sampling_rate=16_000, padding=True, return_tensors="pt")
    batch = pad(clips, normalize=True)
    torch.testing.assert_close(batch.waveforms, theirs.input_values, atol=2e-6, rtol=0)
    assert torch.equal(batch.mask, theirs.attention_mask.bool())
    for clip, again in zip(clips, batch.clips(), strict=True):
        assert torch.equal(again, pad([clip], normalize=True).waveforms[0])


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=6))
def test_frame_lengths_equal_the_geometry(lengths):
    frames = BASE.frame_counts(torch.tensor(lengths))
    assert frames.tolist() == [BASE.frame_count(length) for length in lengths]
    mask = padding_masks.frame_mask(frames, int(frames.max()))
    assert mask.sum(1).tolist() == frames.tolist()
    assert torch.equal(mask, mask.sort(dim=1, descending=True).values)


def test_attention_mask_hides_padded_keys_from_every_query():
    mask = padding_masks.attention_mask(torch.tensor([[True, True, True], [True, False, False]]))
    assert mask.shape == (2, 1, 3, 3) and mask.dtype == torch.bool
    assert mask[0, 0].all()
    assert mask[1, 0].tolist() == [[True, False, False]] * 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_additive_mask_never_makes_nan(dtype):
    mask = torch.tensor([[True, False], [False, False]])
    additive = padding_masks.additive_mask(mask, dtype)
    assert additive.dtype == dtype and additive[0].tolist() == [0.0, torch.finfo(dtype).min]
    assert torch.isfinite(additive.softmax(dim=-1)).all()


@pytest.mark.parametrize(
    ("clips", "error", "message"),
    [
        ([], ValueError, "at least one clip"),
        (torch.ones(2, 400), TypeError, "list of clips, found one array"),
        (np.ones(400, np.float32), TypeError, "list of clips, found one array"),
        ([torch.ones(400), torch.ones(0)], ValueError, "clip 1 is empty"),
        ([torch.ones(399)], ValueError, "clip 0 has 399 samples, one frame needs 400: 1 too few"),
        ([torch.ones(2, 400)], ValueError, r"mono, shape \(L,\), found shape \(2, 400\)"),
        ([torch.ones(1, 1, 400)], ValueError, "mono"),
        ([torch.ones(400, dtype=torch.int16)], TypeError, r"found torch.int16; 16-bit integers .* / 32768"),
        ([torch.ones(400, dtype=torch.float64)], TypeError, r"found torch.float64; use clip.float\(\)"),
        ([torch.full((400,), float("nan"))], ValueError, "NaN or infinity"),
        ([torch.full((400,), float("inf"))], ValueError, "NaN or infinity"),
        (["clip.wav"], TypeError, "found a str"),
    ],
)
def test_bad_clips_are_named(clips, error, message):
    with pytest.raises(error, match=message):
        pad(clips)


def test_batches_compare_by_their_clips():
    one, other = (pad([torch.ones(500), torch.ones(400)]) for _ in range(2))
    assert one == other and one != pad([torch.ones(500), torch.ones(401)]) and one != "a batch"
    other.waveforms[0, 3] = 2
    assert one != other
