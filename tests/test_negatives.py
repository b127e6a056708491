"""Negatives: other hidden frames of the same clip, uniformly, never the positive itself."""

import pytest
import torch

from w2vlearn.model import sample_negatives, sample_time_mask


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def a_mask(*rows):
    return torch.tensor(rows).bool()


def test_shape_and_layout():
    mask = a_mask([0, 1, 1, 0, 1], [1, 1, 0, 0, 0])
    negatives = sample_negatives(mask, 7, seeded())
    assert negatives.shape == (2, 5, 7) and negatives.dtype == torch.int64
    assert set(negatives[0, 1].tolist()) == {2, 4}  # the other hidden ones, as rows of (B T, P)
    assert set(negatives[0, 4].tolist()) == {1, 2}
    assert set(negatives[1, 0].tolist()) == {5 + 1}  # the only other one
    assert (negatives[0, 0] == 0).all() and (negatives[1, 4] == 5).all()  # not hidden: the clip's first frame


def test_always_another_hidden_real_frame_of_the_same_clip():
    lengths = torch.randint(12, 80, (50,), generator=seeded(1))
    mask = sample_time_mask(lengths, 80, generator=seeded(2))
    negatives = sample_negatives(mask, 100, seeded(3))
    row = torch.arange(50 * 80).view(50, 80, 1)
    chosen = negatives[mask]  # (hidden frames, K)
    own = row.expand_as(negatives)[mask]
    assert (chosen != own).all()
    assert (chosen // 80 == own // 80).all()
    assert mask.flatten()[chosen].all()
    assert (chosen % 80 < lengths[chosen // 80]).all()


@pytest.mark.parametrize("frame", [0, 3, 9], ids=["first", "middle", "last"])
def test_uniform_over_the_others(frame):
    """Chi-square over 90 000 draws: stepping over the positive must not favour its neighbours."""
    mask = a_mask([1, 0, 0, 1, 1, 1, 0, 1, 1, 1])
    others = [other for other in mask[0].nonzero().flatten().tolist() if other != frame]
    draws = sample_negatives(mask, 90_000, seeded(frame))[0, frame]
    counts = torch.bincount(draws, minlength=10).double()
    assert counts.sum() == counts[others].sum()
    expected = 90_000 / len(others)
    assert ((counts[others] - expected) ** 2 / expected).sum() < 20.5  # 99.9 % quantile, 5 degrees of freedom


def test_frames_draw_independently():
    negatives = sample_negatives(torch.ones(2, 40, dtype=torch.bool), 50, seeded())
    assert not torch.equal(negatives[0, 0], negatives[0, 1])
    assert not torch.equal(negatives[0] % 40, negatives[1] % 40)


def test_reproducible_with_a_generator():
    mask = torch.ones(2, 10, dtype=torch.bool)
    state = torch.get_rng_state()
    assert torch.equal(sample_negatives(mask, 5, seeded(1)), sample_negatives(mask, 5, seeded(1)))
    assert not torch.equal(sample_negatives(mask, 5, seeded(1)), sample_negatives(mask, 5, seeded(2)))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(3)
    default = sample_negatives(mask, 5)
    torch.manual_seed(3)
    assert torch.equal(default, sample_negatives(mask, 5))


@pytest.mark.parametrize(
    ("mask", "count", "error", "message"),
    [
        (a_mask([1, 1, 0], [0, 1, 0]), 5, ValueError, "clip 1 has 1 hidden frames; .* two are needed"),
        (a_mask([0, 0, 0]), 5, ValueError, "clip 0 has 0 hidden frames"),
        (a_mask([1, 1, 0]).long(), 5, TypeError, "must be bool, True = hidden, found torch.int64"),
        (a_mask([1, 1, 0])[0], 5, ValueError, r"shape \(B, T\), found \(3,\)"),
        (a_mask([1, 1, 0]), 0, ValueError, "num_negatives must be at least 1, found 0"),
        (None, 5, TypeError, "bool tensor .* found a NoneType"),
    ],
)
def test_bad_input(mask, count, error, message):
    with pytest.raises(error, match=message):
        sample_negatives(mask, count)
