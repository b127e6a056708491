"""Time and feature masks: what is hidden, how much of it, never padding, the same for the same seed."""

import dataclasses
import math

import pytest
import torch
from trace_helpers import refuses

from w2vlearn import Wav2Vec2Config, pad
from w2vlearn.model import Wav2Vec2Model, sample_feature_mask, sample_negatives, sample_time_mask

TINY = Wav2Vec2Config.tiny()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def expected_coverage(length, count, span):
    """How often each frame is hidden by ``count`` spans: it stays if all start where they do not cover it."""
    places = length - span + 1
    covering = [min(t, places - 1) - max(t - span + 1, 0) + 1 for t in range(length)]
    return torch.tensor([1 - math.comb(places - c, count) / math.comb(places, count) for c in covering])


def check_coverage(mask, prob, span, min_spans):
    """Frame by frame against exact combinatorics: floor(x + epsilon) whole spans, drawn without replacement."""
    rows, length = mask.shape
    wanted = prob * length / span
    low, high = (min(max(int(wanted) + more, min_spans), length // span) for more in (0, 1))
    low, high = (expected_coverage(length, count, span) for count in (low, high))
    expected = torch.lerp(low, high, wanted % 1)
    deviation = (expected * (1 - expected) / rows).sqrt()
    assert ((mask.float().mean(0) - expected).abs() <= 4.5 * deviation + 1e-6).all()
    shares = mask.float().mean(1)  # of one clip, where neighbours' noise is averaged out
    assert abs(shares.mean() - expected.mean()) <= 4 * shares.std() / rows**0.5 + 1e-6
    starts = mask.unfold(1, span, 1).all(-1)  # (rows, places): where a whole span is hidden
    whole = torch.nn.functional.pad(starts, (span - 1, span - 1)).unfold(1, span, 1).any(-1)  # (rows, length)
    assert torch.equal(whole, mask)  # never cut, at no end of the clip


@pytest.mark.parametrize(
    ("prob", "span", "min_spans"), [(0.65, 10, 2), (0.65, 10, 0), (0.05, 10, 0), (0.05, 10, 2), (0.4, 3, 0)]
)
def test_what_is_hidden_of_each_clip_as_if_it_were_alone_and_never_of_the_padding(prob, span, min_spans):
    lengths = torch.tensor([10, 12, 37, 49, 200]).repeat_interleave(4000)
    mask = sample_time_mask(lengths, 200, prob, span, min_spans, seeded(1))
    for length in (10, 12, 37, 49, 200):
        assert not mask[lengths == length, length:].any()
        check_coverage(mask[lengths == length, :length], prob, span, min_spans)


def test_masks_and_negatives_repeat_with_a_generator_and_leave_torchs_own_alone():
    draws = [
        lambda generator: sample_time_mask(torch.tensor([49, 30]), 49, generator=generator),
        lambda generator: sample_feature_mask(5, 48, 0.3, 4, generator=generator),
        lambda generator: sample_negatives(torch.ones(2, 10, dtype=torch.bool), 5, generator),
    ]
    for draw in draws:
        state = torch.get_rng_state()
        assert torch.equal(draw(seeded(1)), draw(seeded(1))) and not torch.equal(draw(seeded(1)), draw(seeded(2)))
        assert torch.equal(state, torch.get_rng_state())
        by_default = draw(None)
        torch.set_rng_state(state)
        assert torch.equal(by_default, draw(None)) and not torch.equal(by_default, draw(None))


def test_feature_mask():
    mask = sample_feature_mask(2000, 48, 0.3, 4, generator=seeded())
    assert mask.shape == (2000, 48) and mask.dtype == torch.bool
    check_coverage(mask, 0.3, 4, 0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([49, 7], 49), ValueError, "clip 1 has 7 valid frames, one span needs 10: 3 too few"),
        (([49, 50], 49), ValueError, "clip 1 has 50 valid frames, but the mask is to have 49"),
        (([49], 49, 1.5), ValueError, "prob is a share"),
        (([49], 49, 0.65, 0), ValueError, "a span has at least 1 position"),
        (([49], 49, 0.65, 10, -1), ValueError, "min_spans is at least 0"),
        (([49.0], 49), TypeError, "lengths must be integers"),
        (([[49]], 49), TypeError, "lengths must be integers of shape"),
    ],
)
def test_bad_input_of_the_sampler(arguments, error, message):
    lengths, *others = arguments
    with pytest.raises(error, match=message):
        sample_time_mask(torch.tensor(lengths), *others)


def test_features_that_are_too_few_are_repaired_by_the_settings_of_the_feature_mask():
    advice = r"one span needs 10: 2 too few; choose shorter spans \(mask_feature_length\), .* \(mask_feature_prob=0"
    with pytest.raises(ValueError, match=advice):
        sample_feature_mask(2, 8, prob=0.1, span=10)


BATCH = pad([torch.ones(16_000), torch.ones(8000)])  # 49 and 24 frames


def a_mask(frames=49, clips=2, where=(0, 3)):
    mask = torch.zeros(clips, frames, dtype=torch.bool)
    mask[where] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (a_mask().long(), TypeError, r"must be bool, True = hidden, found torch.int64: .* use .bool\(\)"),
        (a_mask().tolist(), TypeError, "bool tensor of shape .*found a list"),
        (a_mask(50), ValueError, r"\(B, T\) = \(2, 49\), because 16000 samples give 49 frames; found \(2, 50\)"),
        (a_mask(clips=1), ValueError, r"\(2, 49\).*found \(1, 49\)"),
        (a_mask()[0], ValueError, r"shape \(B, T\), found \(49,\)"),
        (a_mask(where=(1, 24)), ValueError, "hides frame 24 of clip 1, which has 24 valid frames"),
    ],
)
def test_bad_time_masks_are_refused_before_anything_is_computed(mask, error, message):
    refuses(Wav2Vec2Model(TINY).eval(), error, message, BATCH.waveforms, BATCH.mask, mask)


def test_whether_a_frame_may_be_hidden():
    model = Wav2Vec2Model(TINY).eval()  # the last valid frame may; without a sample mask all are valid
    assert model(BATCH.waveforms, BATCH.mask, a_mask(where=(1, 23))).time_mask[1, 23]
    assert model(BATCH.waveforms, None, a_mask(where=(1, 24))).time_mask[1, 24]
    model = Wav2Vec2Model(dataclasses.replace(TINY, mask_time_prob=0.0)).eval()
    assert not hasattr(model, "masked_spec_embed")
    refuses(model, ValueError, r"no mask vector .*mask_time_prob > 0", BATCH.waveforms, BATCH.mask, a_mask())


def test_spec_augment_needs_clips_as_long_as_a_span():
    model = Wav2Vec2Model(TINY).train()
    short = pad([torch.ones(16_000), torch.ones(3279)])  # 9 frames
    message = r"has 9 valid frames, one span needs 10.*mask_time_length"
    with pytest.raises(ValueError, match=f"clip 1 {message}"):
        model(short.waveforms, short.mask)
    model(torch.ones(1, 3280))  # 10 frames
    model.eval()(short.waveforms, short.mask)


def test_when_a_time_mask_is_applied():
    """Given: always, in eval mode and without SpecAugment too. Else: drawn in train mode if the config says so."""
    plain = dict.fromkeys(("hidden_dropout", "activation_dropout", "attention_dropout", "layerdrop"), 0.0)
    for augment in (True, False):
        model = Wav2Vec2Model(dataclasses.replace(TINY, apply_spec_augment=augment, **plain))
        for training in (True, False):
            model.train(training)
            given = model(BATCH.waveforms, BATCH.mask, a_mask())
            drawn = model(BATCH.waveforms, BATCH.mask)
            assert torch.equal(given.time_mask, a_mask())
            assert (drawn.time_mask is not None) == (training and augment)
            assert not torch.equal(given.last_hidden_state, drawn.last_hidden_state)
