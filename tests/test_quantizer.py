"""The quantizer: one word per frame, a gradient in spite of the choice, and how many words are in use."""

import dataclasses
import math

import pytest
import torch

from w2vlearn import Wav2Vec2Config
from w2vlearn.model.quantizer import Wav2Vec2GumbelVectorQuantizer, gumbel_temperature, perplexity, sample_gumbel

TINY = Wav2Vec2Config.tiny()  # 2 codebooks of 20 entries of 8 features, from 24 channels


@pytest.fixture
def quantizer():
    torch.manual_seed(0)
    return Wav2Vec2GumbelVectorQuantizer(TINY)


def test_shapes_and_words(quantizer):
    features = torch.randn(2, 5, 24)
    codevectors, codes, used = quantizer(features, gumbel_noise=torch.zeros(2, 5, 2, 20))
    assert codevectors.shape == (2, 5, 16) and codes.shape == (2, 5, 2) and used.shape == ()
    assert codes.dtype == torch.int64
    # entry e of codebook g is row g * 20 + e; a word is one entry of each, side by side
    for clip in range(2):
        for frame in range(5):
            first, second = codes[clip, frame].tolist()
            word = torch.cat([quantizer.codevectors[0, first], quantizer.codevectors[0, 20 + second]])
            assert torch.equal(codevectors[clip, frame], word)


def test_eval_takes_the_largest_score_and_ignores_noise(quantizer):
    quantizer.eval()
    features = torch.randn(2, 5, 24)
    codevectors, codes, _ = quantizer(features)
    scores = quantizer.weight_proj(features).view(2, 5, 2, 20)
    assert torch.equal(codes, scores.argmax(-1))
    again, *_ = quantizer(features, gumbel_noise=sample_gumbel((2, 5, 2, 20)) * 100)
    assert torch.equal(codevectors, again)


def test_train_draws_entries_from_the_softmax_of_their_scores(quantizer):
    """Gumbel noise + argmax is a draw from softmax(scores): chi-square over 20 000 frames of the same feature."""
    draws = 20_000
    with torch.no_grad():
        quantizer.weight_proj.weight.mul_(0.2)  # so that no entry is too rare for the test
    feature = torch.randn(1, 1, 24)
    probabilities = quantizer.weight_proj(feature).view(2, 20).softmax(-1).double()
    noise = sample_gumbel((1, draws, 2, 20), torch.Generator().manual_seed(0))
    _, codes, _ = quantizer(feature.expand(1, draws, 24), gumbel_noise=noise)
    for group in range(2):
        counts = torch.bincount(codes[0, :, group], minlength=20).double()
        expected = probabilities[group] * draws
        assert ((counts - expected) ** 2 / expected).sum() < 43.8  # 99.9 % quantile with 19 degrees of freedom


def test_gumbel_noise_has_its_moments_and_repeats():
    noise = sample_gumbel((200_000,), torch.Generator().manual_seed(0))
    assert noise.mean().item() == pytest.approx(0.57722, abs=0.01)  # Euler's constant
    assert noise.std().item() == pytest.approx(math.pi / 6**0.5, abs=0.01)
    assert torch.equal(noise, sample_gumbel((200_000,), torch.Generator().manual_seed(0)))
    assert sample_gumbel((2,), like=torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


def test_straight_through_forwards_the_choice_and_backwards_the_softmax(quantizer):
    features = torch.randn(1, 3, 24, requires_grad=True)
    noise = sample_gumbel((1, 3, 2, 20), torch.Generator().manual_seed(1))
    weights = torch.randn(1, 3, 16)
    codevectors, *_ = quantizer(features, gumbel_noise=noise)
    (codevectors * weights).sum().backward()
    hard = features.grad.clone()

    features.grad = None
    soft = ((quantizer.weight_proj(features).view(1, 3, 2, 20) + noise) / quantizer.temperature).softmax(-1)
    mixed = torch.einsum("btge,geq->btgq", soft, quantizer.codevectors.view(2, 20, 8)).flatten(2)
    (mixed * weights).sum().backward()
    torch.testing.assert_close(hard, features.grad)
    assert hard.abs().max() > 0
    assert not torch.allclose(codevectors, mixed)  # forward it is the choice, not the mixture


def test_temperature_sharpens_the_gradient_not_the_choice(quantizer):
    features, noise = torch.randn(1, 3, 24), sample_gumbel((1, 3, 2, 20), torch.Generator().manual_seed(1))
    _, warm, _ = quantizer(features, gumbel_noise=noise)
    quantizer.temperature = 0.1
    _, cold, _ = quantizer(features, gumbel_noise=noise)
    assert torch.equal(warm, cold)


def test_temperature_schedule():
    assert gumbel_temperature(0) == 2.0
    assert gumbel_temperature(100_000) == pytest.approx(2 * 0.999995**100_000)
    assert gumbel_temperature(10**6) == 0.5
    assert gumbel_temperature(10**7, end=0.1) == 0.1


def test_perplexity_counts_entries_in_use():
    """From G, all frames take the same word, to G * E, all entries equally often; 3 of 4 equally often are 3."""
    one = torch.zeros(1, 12, 2, 4)
    one[..., 0] = 1
    assert perplexity(one).item() == pytest.approx(2)
    assert perplexity(torch.full((1, 12, 2, 4), 0.25)).item() == pytest.approx(8)
    three = torch.eye(4)[torch.arange(12) % 3].view(1, 12, 1, 4).expand(1, 12, 2, 4)
    assert perplexity(three).item() == pytest.approx(6)


def test_perplexity_of_real_hidden_frames_only(quantizer):
    """What padded or visible frames hold does not matter."""
    features = torch.randn(2, 6, 24)
    real = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]]).bool()
    hidden = torch.tensor([[0, 1, 1, 0, 1, 0], [0, 1, 1, 1, 1, 0]]).bool()
    for training in (True, False):
        quantizer.train(training)
        *_, used = quantizer(features, attention_mask=real, mask_time_indices=hidden)
        other = torch.where((real & hidden)[:, :, None], features, torch.randn(2, 6, 24))
        torch.testing.assert_close(used, quantizer(other, attention_mask=real, mask_time_indices=hidden)[2])
        torch.testing.assert_close(used, quantizer(features[real & hidden][None])[2])
        *_, all_real = quantizer(features, attention_mask=real)
        torch.testing.assert_close(all_real, quantizer(features[real][None])[2])
        assert abs(used - all_real) > 1e-3


def test_half_precision_chooses_in_single_precision(quantizer):
    quantizer.bfloat16()
    codevectors, codes, used = quantizer(torch.randn(2, 5, 24).bfloat16(), gumbel_noise=torch.zeros(2, 5, 2, 20))
    assert codevectors.dtype == torch.bfloat16 and used.dtype == torch.float32 and codes.shape == (2, 5, 2)


def test_codebooks_share_the_codevector_equally():
    with pytest.raises(ValueError, match="num_codevector_groups = 3 must divide codevector_dim = 16"):
        dataclasses.replace(TINY, num_codevector_groups=3)
