"""Pre-training: the quantizer, the negatives, the losses by hand, what may go in, what the loss does not depend on."""

import dataclasses
import math

import pytest
import torch
from trace_helpers import refuses

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForPreTraining, pad
from w2vlearn.model import sample_negatives, sample_task, sample_time_mask
from w2vlearn.model.pretraining import contrastive_accuracy, contrastive_logits, contrastive_loss
from w2vlearn.model.quantizer import Wav2Vec2GumbelVectorQuantizer, sample_gumbel

TINY = Wav2Vec2Config.tiny()
LAYER_NORM = dataclasses.replace(TINY, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def a_mask(*rows):
    return torch.tensor(rows).bool()


@pytest.fixture
def model():
    return Wav2Vec2ForPreTraining(TINY).eval()


BATCH = pad([torch.randn(16_000, generator=seeded(1)), torch.randn(9_999, generator=seeded(2))])  # 49 and 30 frames
TIME_MASK, NEGATIVES = sample_task(TINY, BATCH.lengths, generator=seeded(3))


# ---------------------------------------------------------------- quantizer: 2 x 20 entries of 8 features


@pytest.fixture
def quantizer():
    return Wav2Vec2GumbelVectorQuantizer(TINY)


def test_train_draws_entries_from_the_softmax_of_their_scores(quantizer):
    """Gumbel noise + argmax is a draw from softmax(scores): chi-square over 20 000 frames of the same feature."""
    draws = 20_000
    with torch.no_grad():
        quantizer.weight_proj.weight.mul_(0.2)  # so that no entry is too rare for the test
    feature = torch.randn(1, 1, 24)
    probabilities = quantizer.weight_proj(feature).view(2, 20).softmax(-1).double()
    noise = sample_gumbel(torch.empty(1, draws, 2, 20), seeded())
    _, codes, _ = quantizer(feature.expand(1, draws, 24), gumbel_noise=noise)
    for group in range(2):
        counts = torch.bincount(codes[0, :, group], minlength=20).double()
        expected = probabilities[group] * draws
        assert ((counts - expected) ** 2 / expected).sum() < 43.8  # 99.9 % quantile with 19 degrees of freedom


def test_perplexity_of_hidden_frames_or_else_of_valid_ones(quantizer):
    """What padded or visible frames hold does not matter."""
    features = torch.randn(2, 6, 24)
    valid = a_mask([1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0])
    hidden = a_mask([0, 1, 1, 0, 1, 0], [0, 1, 1, 0, 0, 0])
    for training in (True, False):
        quantizer.train(training)
        *_, used = quantizer(features, attention_mask=valid, mask_time_indices=hidden)
        *_, all_valid = quantizer(features, attention_mask=valid)
        torch.testing.assert_close(used, quantizer(features[hidden][None])[2])
        torch.testing.assert_close(all_valid, quantizer(features[valid][None])[2])
        assert abs(used - all_valid) > 1e-3


def test_half_precision_chooses_in_single_precision(quantizer):
    quantizer.bfloat16()
    codevectors, codes, used = quantizer(torch.randn(2, 5, 24).bfloat16(), gumbel_noise=torch.zeros(2, 5, 2, 20))
    assert codevectors.dtype == torch.bfloat16 and used.dtype == torch.float32 and codes.shape == (2, 5, 2)


# ---------------------------------------------------------------- negatives


def test_negatives_are_always_another_hidden_valid_frame_of_the_same_clip():
    lengths = torch.randint(12, 80, (50,), generator=seeded(1))
    mask = sample_time_mask(lengths, 80, generator=seeded(2))
    negatives = sample_negatives(mask, 100, seeded(3))
    row = torch.arange(50 * 80).view(50, 80, 1)
    chosen = negatives[mask]  # (hidden frames, K)
    own = row.expand_as(negatives)[mask]
    assert (chosen != own).all()
    assert (chosen // 80 == own // 80).all()
    assert mask.flatten()[chosen].all()
    first = row[:, :1].expand_as(negatives)  # of a frame that is not hidden: the clip's first frame
    assert torch.equal(negatives[~mask], first[~mask]) and negatives.dtype == torch.int64


@pytest.mark.parametrize("frame", [0, 3, 9], ids=["first", "middle", "last"])
def test_negatives_are_uniform_over_the_others(frame):
    """Chi-square over 90 000 draws: stepping over the positive must not favour its neighbours."""
    mask = a_mask([1, 0, 0, 1, 1, 1, 0, 1, 1, 1])
    others = [other for other in mask[0].nonzero().flatten().tolist() if other != frame]
    draws = sample_negatives(mask, 90_000, seeded(frame))[0, frame]
    counts = torch.bincount(draws, minlength=10).double()
    assert counts.sum() == counts[others].sum()
    expected = 90_000 / len(others)
    assert ((counts[others] - expected) ** 2 / expected).sum() < 20.5  # 99.9 % quantile, 5 degrees of freedom


@pytest.mark.parametrize(
    ("mask", "count", "error", "message"),
    [
        (a_mask([1, 1, 0], [0, 1, 0]), 5, ValueError, "clip 1 has 1 hidden frames; .* two are needed"),
        (a_mask([1, 1, 0]).long(), 5, TypeError, "must be bool, True = hidden, found torch.int64"),
        (a_mask([1, 1, 0]), 0, ValueError, "num_negatives must be at least 1, found 0"),
    ],
)
def test_bad_input_of_the_negatives(mask, count, error, message):
    with pytest.raises(error, match=message):
        sample_negatives(mask, count)


# ---------------------------------------------------------------- task, losses, model


def test_sample_task():
    assert TIME_MASK.shape == (2, 49) and not TIME_MASK[1, 30:].any()
    assert NEGATIVES.shape == (2, 49, TINY.num_negatives)
    other = dataclasses.replace(TINY, mask_time_length=3, mask_time_min_masks=8, num_negatives=5)
    mask, negatives = sample_task(other, BATCH.lengths, prob=0.1, generator=seeded(3))
    assert torch.equal(mask, sample_time_mask(torch.tensor([49, 30]), 49, 0.1, 3, 8, seeded(3)))
    assert negatives.shape == (2, 49, 5)
    with pytest.raises(ValueError, match="clip 1 has 9 valid frames, one span needs 10"):
        sample_task(TINY, torch.tensor([16_000, 3279]))


@pytest.mark.parametrize("frames_with_one_token", [2, 12], ids=["two frames", "a collapsed codebook"])
def test_contrastive_loss_and_accuracy_by_hand(frames_with_one_token):
    """Equations 3 and 4 of the paper with loops. Where no answer is wrong, the loss is 0, but nobody was right."""
    generator = seeded()
    predicted, targets = torch.randn(2, 6, 4, generator=generator), torch.randn(2, 6, 4, generator=generator)
    mask = a_mask([1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 1])
    negatives = sample_negatives(mask, 3, generator)
    codes = torch.arange(12).clamp(min=frames_with_one_token - 1).view(2, 6, 1)
    logits = contrastive_logits(predicted, targets, negatives, codes, 0.1)
    rows, tokens, total, right, duplicates = targets.flatten(0, 1), codes.flatten(), 0.0, 0, 0
    for clip, frame in mask.nonzero().tolist():
        own = clip * 6 + frame
        wrong = [index for index in negatives[clip, frame].tolist() if tokens[index] != tokens[own]]
        duplicates += 3 - len(wrong)
        scores = [
            torch.cosine_similarity(predicted[clip, frame], rows[index], dim=0).item() / 0.1 for index in [own, *wrong]
        ]
        total -= scores[0] - math.log(sum(math.exp(score) for score in scores))
        right += len(wrong) > 0 and scores[0] > max(scores[1:])
    assert duplicates > 0
    assert contrastive_loss(logits, mask).item() == pytest.approx(total, rel=1e-5)
    assert contrastive_accuracy(logits, mask).item() == pytest.approx(right / 6)


def test_the_quantizer_sees_what_the_transformer_does_not(model):
    hidden = model(BATCH.waveforms, BATCH.mask, TIME_MASK, NEGATIVES)
    visible = model(BATCH.waveforms, BATCH.mask)
    assert torch.equal(hidden.projected_quantized_states, visible.projected_quantized_states)
    assert not torch.allclose(hidden.projected_states, visible.projected_states)
    assert visible.loss is None and visible.contrastive_loss is None and visible.time_mask is None


def test_padding_changes_no_loss():
    """Layer norm, with a sample mask: more padding, and noise instead of zeros in it, leave every number as it was."""
    model = Wav2Vec2ForPreTraining(LAYER_NORM).eval().double()
    wave, mask = BATCH.waveforms.double(), BATCH.mask
    first = model(wave, mask, TIME_MASK, NEGATIVES)
    wide, wide_mask = (torch.nn.functional.pad(tensor, (0, 320 * 20)) for tensor in (wave, mask))
    wide = torch.where(wide_mask, wide, torch.randn_like(wide))
    time_mask = torch.nn.functional.pad(TIME_MASK, (0, 20))
    # the same frames under new numbers: b * 49 + t becomes b * 69 + t
    negatives = NEGATIVES // 49 * 69 + NEGATIVES % 49
    negatives = torch.nn.functional.pad(negatives, (0, 0, 0, 20))
    second = model(wide, wide_mask, time_mask, negatives)
    for name in ("loss", "contrastive_loss", "diversity_loss", "codevector_perplexity", "accuracy"):
        torch.testing.assert_close(getattr(first, name).double(), getattr(second, name).double(), rtol=1e-9, atol=1e-9)


def negatives_with(value):
    """Right negatives but for one: clip 0, its first hidden frame."""
    wrong = NEGATIVES.clone()
    wrong[0, FIRST, 4] = value
    return wrong


FIRST = int(TIME_MASK[0].nonzero()[0])
VISIBLE = int((~TIME_MASK[0]).nonzero()[0])
OTHER_CLIP = 49 + int(TIME_MASK[1].nonzero()[0])


@pytest.mark.parametrize(
    ("time_mask", "negatives", "error", "message"),
    [
        (None, NEGATIVES, ValueError, "given without mask_time_indices.*sample_task"),
        (TIME_MASK, negatives_with(FIRST), ValueError, f"frame {FIRST} of clip 0 has the negative {FIRST}, .* itself"),
        (TIME_MASK, negatives_with(OTHER_CLIP), ValueError, f"negative {OTHER_CLIP}, which is a frame of another clip"),
        (TIME_MASK, negatives_with(VISIBLE), ValueError, f"negative {VISIBLE}, which is not hidden, or is padding"),
        (TIME_MASK, negatives_with(98), ValueError, "negative 98, which is not a row of the 2 x 49 frames"),
        (TIME_MASK, negatives_with(-1), ValueError, "negative -1, which is not a row"),
        (TIME_MASK, NEGATIVES.float(), TypeError, "int64 or int32 .* found torch.float32"),
        (TIME_MASK, NEGATIVES.tolist(), TypeError, "found a list"),
        (TIME_MASK, NEGATIVES[:, :, 0], ValueError, r"shape \(B, T, K\) .*found \(2, 49\)"),
        (TIME_MASK, NEGATIVES[:, :48], ValueError, r"\(2, 49\); found \(2, 48, 10\)"),
        (TIME_MASK, NEGATIVES[:, :, :0], ValueError, "each has 0 negatives"),
        (torch.zeros_like(TIME_MASK), NEGATIVES, ValueError, "hides 0 frames"),
        (TIME_MASK.long(), NEGATIVES, TypeError, "must be bool, True = hidden, found torch.int64"),
    ],
)
def test_bad_input_is_refused_before_anything_is_computed(model, time_mask, negatives, error, message):
    refuses(model, error, message, BATCH.waveforms, BATCH.mask, time_mask, negatives)


def test_a_time_mask_without_negatives_trains_nothing(model):
    assert model(BATCH.waveforms, BATCH.mask, TIME_MASK).loss is None
    with pytest.raises(ValueError, match="in train mode a time mask needs negatives"):
        model.train()(BATCH.waveforms, BATCH.mask, TIME_MASK)
    with pytest.raises(ValueError, match="add_adapter=False"):
        Wav2Vec2ForPreTraining(dataclasses.replace(TINY, add_adapter=True))


def test_export_in_eval_mode_holds_for_other_lengths(model):
    """No control flow depends on values: one graph for every batch and length."""
    arguments = (BATCH.waveforms, BATCH.mask, TIME_MASK, NEGATIVES)
    auto = torch.export.Dim.AUTO
    shapes = ({0: auto, 1: auto}, {0: auto, 1: auto}, {0: auto, 1: auto}, {0: auto, 1: auto}, None, None)
    program = torch.export.export(model, (*arguments, None, False), dynamic_shapes=shapes)
    other = pad([torch.randn(12_345), torch.randn(20_000), torch.randn(8000)])
    time_mask, negatives = sample_task(TINY, other.lengths)
    expected = model(other.waveforms, other.mask, time_mask, negatives)
    exported = program.module()(other.waveforms, other.mask, time_mask, negatives, None, False)
    torch.testing.assert_close(exported.loss, expected.loss)
    torch.testing.assert_close(exported.projected_states, expected.projected_states)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_on_the_meta_device(training):
    """Shapes of the real size without its weights: 20 s through LARGE in milliseconds."""
    with torch.device("meta"):
        model = Wav2Vec2ForPreTraining(Wav2Vec2Config.large()).train(training)
        batch = (torch.empty(2, 320_000), torch.ones(2, 320_000).bool(), torch.ones(2, 999).bool())
        negatives = torch.zeros(2, 999, 100).long()
    result = model(*batch, negatives)
    assert result.projected_states.shape == (2, 999, 768) and result.loss.shape == ()
    assert result.codes.shape == (2, 999, 2)
