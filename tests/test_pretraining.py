"""The pre-training model: losses by hand, what may go in, and what the loss does not depend on."""

import dataclasses
import math

import pytest
import torch

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForPreTraining, pad
from w2vlearn.model import sample_negatives, sample_task
from w2vlearn.model.pretraining import contrastive_accuracy, contrastive_logits, contrastive_loss, diversity_loss

PLAIN = dict.fromkeys(("hidden_dropout", "activation_dropout", "attention_dropout", "layerdrop"), 0.0)
TINY = dataclasses.replace(Wav2Vec2Config.tiny(), **PLAIN)
LAYER_NORM = dataclasses.replace(TINY, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Wav2Vec2ForPreTraining(TINY).eval()


BATCH = pad([torch.randn(16_000, generator=seeded(1)), torch.randn(9_999, generator=seeded(2))])  # 49 and 30 frames
TIME_MASK, NEGATIVES = sample_task(TINY, BATCH.lengths, generator=seeded(3))


def test_sample_task():
    assert TIME_MASK.shape == (2, 49) and not TIME_MASK[1, 30:].any()
    assert NEGATIVES.shape == (2, 49, TINY.num_negatives)
    again = sample_task(TINY, BATCH.lengths, generator=seeded(3))
    assert torch.equal(again[0], TIME_MASK) and torch.equal(again[1], NEGATIVES)
    with pytest.raises(ValueError, match="clip 1 has 9 valid frames, one span needs 10"):
        sample_task(TINY, torch.tensor([16_000, 3279]))


def test_contrastive_loss_by_hand():
    """Equations 3 and 4 of the paper with loops."""
    generator = seeded()
    predicted, targets = torch.randn(2, 6, 4, generator=generator), torch.randn(2, 6, 4, generator=generator)
    mask = torch.tensor([[0, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 1]]).bool()
    negatives = sample_negatives(mask, 3, generator)
    codes = torch.arange(12).view(2, 6, 1)
    codes[0, 1] = codes[0, 2]  # two frames with the same word
    logits = contrastive_logits(predicted, targets, negatives, codes, 0.1)
    rows, words, total, right, duplicates = targets.flatten(0, 1), codes.flatten(), 0.0, 0, 0
    for clip, frame in mask.nonzero().tolist():
        own = clip * 6 + frame
        wrong = [index for index in negatives[clip, frame].tolist() if words[index] != words[own]]
        duplicates += 3 - len(wrong)
        scores = [
            torch.cosine_similarity(predicted[clip, frame], rows[index], dim=0).item() / 0.1 for index in [own, *wrong]
        ]
        total -= scores[0] - math.log(sum(math.exp(score) for score in scores))
        right += len(wrong) > 0 and scores[0] > max(scores[1:])
    assert duplicates > 0
    assert contrastive_loss(logits, mask).item() == pytest.approx(total, rel=1e-5)
    assert contrastive_accuracy(logits, mask).item() == pytest.approx(right / 6)


def test_guessing_costs_log_of_the_choices():
    logits = torch.zeros(1, 5, 101)
    mask = torch.tensor([[1, 0, 1, 1, 0]]).bool()
    assert contrastive_loss(logits, mask).item() == pytest.approx(3 * math.log(101), rel=1e-5)
    assert contrastive_accuracy(logits, mask) == 0  # a tie is not right


def test_a_collapsed_codebook_is_no_success():
    """All words alike: the loss is 0, because nothing is wrong; the accuracy must not say 100 %."""
    vectors = torch.ones(1, 4, 3)
    mask = torch.ones(1, 4, dtype=torch.bool)
    logits = contrastive_logits(vectors, vectors, sample_negatives(mask, 5), torch.zeros(1, 4, 2, dtype=torch.long))
    assert contrastive_loss(logits, mask) == 0
    assert contrastive_accuracy(logits, mask) == 0


def test_diversity_loss_and_the_sum(model):
    mask = torch.tensor([[1, 1, 0]]).bool()
    assert diversity_loss(torch.tensor(160.0), 640, mask).item() == pytest.approx(0.75 * 2)
    result = model(BATCH.waveforms, BATCH.mask, TIME_MASK, NEGATIVES)
    share = (40 - result.codevector_perplexity) / 40
    torch.testing.assert_close(result.diversity_loss, share * TIME_MASK.sum())
    torch.testing.assert_close(result.loss, result.contrastive_loss + 0.1 * result.diversity_loss)


def test_the_quantizer_sees_what_the_transformer_does_not(model):
    hidden = model(BATCH.waveforms, BATCH.mask, TIME_MASK, NEGATIVES)
    visible = model(BATCH.waveforms, BATCH.mask)
    assert torch.equal(hidden.projected_quantized_states, visible.projected_quantized_states)
    assert torch.equal(hidden.codes, visible.codes)
    assert not torch.allclose(hidden.projected_states, visible.projected_states)
    assert visible.loss is None and visible.contrastive_loss is None and visible.time_mask is None


def test_padding_changes_no_loss():
    """Layer norm, with a sample mask: more padding, and noise instead of zeros in it, leave every number as it was."""
    torch.manual_seed(0)
    model = Wav2Vec2ForPreTraining(LAYER_NORM).eval().double()
    wave, mask = BATCH.waveforms.double(), BATCH.mask
    first = model(wave, mask, TIME_MASK, NEGATIVES)
    wide, wide_mask = (torch.nn.functional.pad(tensor, (0, 320 * 20)) for tensor in (wave, mask))
    noise = torch.randn(wide.shape, dtype=torch.float64)
    wide = torch.where(wide_mask, wide, noise)
    time_mask = torch.nn.functional.pad(TIME_MASK, (0, 20))
    # the same frames under new numbers: b * 49 + t becomes b * 69 + t
    negatives = NEGATIVES // 49 * 69 + NEGATIVES % 49
    negatives = torch.nn.functional.pad(negatives, (0, 0, 0, 20))
    second = model(wide, wide_mask, time_mask, negatives)
    for name in ("loss", "contrastive_loss", "diversity_loss", "codevector_perplexity", "accuracy"):
        torch.testing.assert_close(getattr(first, name).double(), getattr(second, name).double(), rtol=1e-9, atol=1e-9)


def test_without_a_time_mask_the_perplexity_counts_real_frames_only(model):
    """transformers counts padding there, too."""
    result = model(BATCH.waveforms, BATCH.mask)
    in_use = [len(set(result.codes[result.frame_mask][:, group].tolist())) for group in range(2)]
    one_hot = torch.nn.functional.one_hot(result.codes, 20).double()
    mean = one_hot[result.frame_mask].mean(0)  # (B, T, G, E) -> (real frames, G, E) -> (G, E)
    expected = (-torch.xlogy(mean, mean).sum(-1)).exp().sum()
    torch.testing.assert_close(result.codevector_perplexity.double(), expected, rtol=1e-5, atol=1e-5)
    assert result.codevector_perplexity <= sum(in_use) + 1e-4
    everywhere = one_hot.mean((0, 1))
    assert abs((-torch.xlogy(everywhere, everywhere).sum(-1)).exp().sum() - expected) > 1e-3


def test_one_clip_with_nothing_hidden_adds_nothing(model):
    mask = TIME_MASK.clone()
    mask[1] = False
    both = model(BATCH.waveforms, None, mask, NEGATIVES)
    one = model(BATCH.waveforms[:1], None, mask[:1], NEGATIVES[:1])
    torch.testing.assert_close(both.loss, one.loss)


def negatives_with(value, dtype=torch.int64):
    """Right negatives but for one: clip 0, its first hidden frame."""
    wrong = NEGATIVES.clone()
    wrong[0, FIRST, 4] = value
    return wrong.to(dtype)


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
        (
            torch.nn.functional.pad(TIME_MASK, (0, 1)),
            sample_negatives(torch.nn.functional.pad(TIME_MASK, (0, 1)), 3),
            ValueError,
            r"\(B, T\) = \(2, 49\), because the longest clip gives 49 frames; found \(2, 50\)",
        ),
    ],
    ids=[
        *(
            "no mask",
            "positive",
            "other clip",
            "visible",
            "out of range",
            "negative number",
            "floats",
            "list",
            "2 axes",
        ),
        *("48 columns", "no negatives", "nothing hidden", "integer mask", "50 columns"),
    ],
)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_bad_input_is_refused_before_anything_is_computed(model, time_mask, negatives, error, message, training):
    calls = []
    model.wav2vec2.feature_extractor.register_forward_pre_hook(lambda *args: calls.append(1))
    model.train(training)
    with pytest.raises(error, match=message):
        model(BATCH.waveforms, BATCH.mask, time_mask, negatives)
    assert not calls


def test_a_time_mask_without_negatives_trains_nothing(model):
    assert model(BATCH.waveforms, BATCH.mask, TIME_MASK).loss is None
    with pytest.raises(ValueError, match="in train mode a time mask needs negatives"):
        model.train()(BATCH.waveforms, BATCH.mask, TIME_MASK)


def test_int32_negatives_are_fine(model):
    first = model(BATCH.waveforms, BATCH.mask, TIME_MASK, NEGATIVES).loss
    assert torch.equal(first, model(BATCH.waveforms, BATCH.mask, TIME_MASK, NEGATIVES.int()).loss)


def test_an_adapter_is_refused():
    with pytest.raises(ValueError, match="add_adapter=False"):
        Wav2Vec2ForPreTraining(dataclasses.replace(TINY, add_adapter=True))


def test_all_parameters_learn(model):
    """The loss reaches every parameter: the quantizer through the straight-through estimator, the mask vector too."""
    model.train()
    model(BATCH.waveforms, BATCH.mask, TIME_MASK, NEGATIVES).loss.backward()
    dead = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert dead == []


def test_export_in_eval_mode_holds_for_other_lengths(model):
    """No control flow depends on values: one graph for every batch and length."""
    arguments = (BATCH.waveforms, BATCH.mask, TIME_MASK, NEGATIVES)
    auto = torch.export.Dim.AUTO
    shapes = ({0: auto, 1: auto}, {0: auto, 1: auto}, {0: auto, 1: auto}, {0: auto, 1: auto}, None, None)
    program = torch.export.export(model, (*arguments, None, False), dynamic_shapes=shapes)
    other = pad([torch.randn(12_345), torch.randn(20_000), torch.randn(8000)])
    time_mask, negatives = sample_task(TINY, other.lengths)
    expected = model(other.waveforms, other.mask, time_mask, negatives)
    found = program.module()(other.waveforms, other.mask, time_mask, negatives, None, False)
    torch.testing.assert_close(found.loss, expected.loss)
    torch.testing.assert_close(found.projected_states, expected.projected_states)


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
