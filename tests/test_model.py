"""The models' own promises: shapes, masks, heads, what they refuse. Parity with transformers is in test_parity.py."""

import dataclasses

import pytest
import torch
from trace_helpers import refuses

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2Model, pad, padding_masks
from w2vlearn.model import Wav2Vec2ForSequenceClassification
from w2vlearn.model.adapter import Wav2Vec2Adapter
from w2vlearn.model.ctc import ctc_loss

TINY = Wav2Vec2Config.tiny()
LAYER_NORM = dataclasses.replace(TINY, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)
ADAPTER = dataclasses.replace(TINY, add_adapter=True)
BATCH = pad([torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (4000, 400, 7777)])  # 12, 1, 24 frames


def ctc(config):
    torch.manual_seed(0)
    return Wav2Vec2ForCTC(config).eval()


@pytest.fixture(scope="module", params=["group", "layer"])
def model(request):
    return ctc(TINY if request.param == "group" else LAYER_NORM)


# ---------------------------------------------------------------- masks


def test_frame_mask_and_lengths_come_with_the_output(model):
    outputs = model(BATCH.waveforms, BATCH.mask)
    assert outputs.frame_lengths.tolist() == [12, 1, 24]
    assert torch.equal(outputs.frame_mask, padding_masks.frame_mask(outputs.frame_lengths, 24))
    without = model(BATCH.waveforms)
    assert without.frame_lengths.tolist() == [24, 24, 24] and without.frame_mask.all()
    integers = model(BATCH.waveforms, BATCH.mask.int())
    assert torch.equal(integers.logits, outputs.logits)


def test_each_clip_alone_is_each_clip_in_the_batch_with_layer_norm_and_a_mask():
    """Whatever stands in the padding. With BASE's group norm, or without the mask, it is not."""
    noisy = BATCH.waveforms.masked_fill(~BATCH.mask, 0.7)
    for config, masked, equal in ((LAYER_NORM, True, True), (LAYER_NORM, False, False), (TINY, True, False)):
        model = ctc(config).double()
        alone = model(BATCH.clips()[0][None].double()).logits
        for waveforms in (BATCH.waveforms, noisy):
            together = model(waveforms.double(), BATCH.mask if masked else None).logits
            assert torch.allclose(together[:1, :12], alone, atol=1e-12, rtol=0) == equal


# ---------------------------------------------------------------- what is refused

WAVES = torch.zeros(2, 4000)
VALID = torch.ones(2, 4000, dtype=torch.bool)


def rows(*lengths):
    return torch.arange(4000) < torch.tensor(lengths)[:, None]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0.0] * 400,), TypeError, "found a list"),
        ((torch.zeros(4000),), ValueError, r"shape \(B, L\), found \(4000,\); add the batch axis"),
        ((torch.zeros(2, 1, 4000),), ValueError, r"found \(2, 1, 4000\); the model adds the channel axis"),
        ((torch.zeros(0, 4000),), ValueError, "no clip"),
        ((torch.zeros(2, 0),), ValueError, "0 samples, one frame needs 400: 400 too few"),
        ((torch.zeros(2, 399),), ValueError, "399 samples, one frame needs 400: 1 too few"),
        ((torch.zeros(2, 4000, dtype=torch.float64),), TypeError, "found torch.float64"),
        ((torch.zeros(2, 4000, dtype=torch.int16),), TypeError, r"found torch.int16; use x / 32768"),
        ((torch.stack([WAVES[0], WAVES[0] + float("nan")]),), ValueError, "clip 1 holds NaN or infinity"),
        ((WAVES, [[1] * 4000] * 2), TypeError, "found a list"),
        ((WAVES, VALID.float()), TypeError, "boolean or integer, True = valid, found torch.float32"),
        ((WAVES, VALID[:1]), ValueError, r"waveforms' shape \(2, 4000\), found \(1, 4000\)"),
        ((WAVES, VALID[:, :12]), ValueError, r"one entry per frame \(T = 12\)"),
        ((WAVES, ~rows(4000, 3000)), ValueError, "clip 0: the first sample is marked as padding"),
        ((WAVES, rows(4000, 3000).flip(1)), ValueError, "clip 1: the first sample .* never to the left"),
        ((WAVES, rows(4000, 3000) & (torch.arange(4000) != 7)), ValueError, "clip 0: the mask has a hole at sample 7"),
        ((WAVES, rows(4000, 399)), ValueError, "clip 1 has 399 valid samples, one frame needs 400: 1 too few"),
        ((WAVES, 2 * VALID.int()), ValueError, r"0 \(padding\) and 1 \(valid\) only, found 2"),
        ((WAVES, None, [[1], [2]]), TypeError, r"shape \(B, U\), found a list"),
        ((WAVES, None, torch.tensor([1, 2])), ValueError, r"shape \(B, U\) with B = 2"),
        ((WAVES, None, torch.tensor([[1.0], [2.0]])), TypeError, "must be integers"),
        ((WAVES, None, torch.tensor([[1], [32]])), ValueError, r"0 … 31 \(V = 32\), or -100 .* found 32"),
    ],
)
def test_bad_input_is_refused_before_anything_is_computed(tiny, arguments, error, message):
    refuses(tiny, error, message, *arguments)


# ---------------------------------------------------------------- the CTC loss


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_ctc_loss_of_half_precision_is_computed_in_single_precision(dtype):
    """400 frames of uneven logits: a sum of log probabilities far beyond what float16 tells apart."""
    logits = (20 * torch.randn(2, 400, 32)).to(dtype)
    labels, lengths = torch.randint(1, 32, (2, 90)), torch.tensor([400, 333])
    loss = ctc_loss(logits, labels, lengths, TINY)
    assert loss.dtype == torch.float32 and loss.isfinite() and loss > 1000
    torch.testing.assert_close(loss, ctc_loss(logits.float(), labels, lengths, TINY), rtol=1e-6, atol=0)


def test_ctc_loss_counts_valid_frames_and_cuts_blanks_and_fillers_out():
    logits, lengths = torch.randn(2, 30, 32), torch.tensor([30, 12])
    filled, blanks = (torch.tensor([[3, 4, 4], [5, fill, fill]]) for fill in (-100, TINY.pad_token_id))
    alone = [
        ctc_loss(row[None, :length], labels[None, :count], torch.tensor([length]), TINY)
        for row, length, labels, count in zip(logits, (30, 12), filled, (3, 1), strict=True)
    ]
    for labels in (filled, blanks):
        torch.testing.assert_close(ctc_loss(logits, labels, lengths, TINY), sum(alone))
    lengths[1] = 0  # no frame for the second clip's label
    assert ctc_loss(logits, filled, lengths, TINY).isinf()
    torch.testing.assert_close(
        ctc_loss(logits, filled, lengths, dataclasses.replace(TINY, ctc_zero_infinity=True)), alone[0]
    )


# ---------------------------------------------------------------- classification


def test_a_label_per_clip_and_hidden_states_only_when_asked_for():
    model = Wav2Vec2ForSequenceClassification(dataclasses.replace(LAYER_NORM, use_weighted_layer_sum=True)).eval()
    together = model(BATCH.waveforms, BATCH.mask)
    assert together.hidden_states is None and together.loss is None
    assert len(model(BATCH.waveforms, output_hidden_states=True).hidden_states) == 3
    for clip, waveform in enumerate(BATCH.clips()):
        torch.testing.assert_close(together.logits[clip], model(waveform[None]).logits[0], atol=1e-5, rtol=0)
    without = model(BATCH.waveforms).logits
    assert (without[1] - together.logits[1]).abs().max() > 1e-4  # without the mask the padding is averaged too


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.tensor([0, 1]), ValueError, r"shape \(B,\) with B = 3.*found \(2,\)"),
        (torch.tensor([[0], [1], [1]]), ValueError, r"found \(3, 1\)"),
        (torch.tensor([0.0, 1.0, 1.0]), TypeError, r"must be int64, found torch.float32; use labels.long\(\)"),
        (torch.tensor([0, 1, 2]), ValueError, r"0 … 1 \(num_labels = 2\), found \[0, 1, 2\]"),
        (torch.tensor([0, 1, -1]), ValueError, "0 … 1"),
        ([0, 1, 1], TypeError, "found a list"),
    ],
)
def test_bad_class_labels_are_refused_before_anything_is_computed(labels, error, message):
    refuses(Wav2Vec2ForSequenceClassification(TINY).eval(), error, message, BATCH.waveforms, labels=labels)


# ---------------------------------------------------------------- the adapter


def test_lengths_and_masks_follow_the_adapter():
    """24 -> 12 -> 6 -> 3 frames; the clip of 12 frames -> 6 -> 3 -> 2; the clip of one frame keeps it."""
    time_mask = torch.zeros(3, 24, dtype=torch.bool)
    time_mask[0, 5] = True
    result = Wav2Vec2Model(ADAPTER).eval()(BATCH.waveforms, BATCH.mask, time_mask, output_hidden_states=True)
    assert result.last_hidden_state.shape == (3, 3, 48)
    assert result.frame_lengths.tolist() == [2, 1, 3] == result.frame_mask.sum(1).tolist()
    assert result.extract_features.shape == (3, 24, 24) and result.time_mask.shape == (3, 24)
    assert [hidden.shape for hidden in result.hidden_states] == [(3, 24, 48)] * 3  # the Transformer's, before it


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_adapter_lengths_are_those_of_its_convolutions(kernel, stride):
    """Also for other kernels than 3, where transformers' formula counts a frame too many or too few."""
    adapter = Wav2Vec2Adapter(dataclasses.replace(ADAPTER, adapter_kernel_size=kernel, adapter_stride=stride)).to(
        "meta"
    )
    lengths = torch.arange(1, 40)
    frames = [adapter(torch.empty(1, length, 48, device="meta")).shape[1] for length in lengths.tolist()]
    assert adapter.frame_lengths(lengths).tolist() == frames


def test_no_adapter_layer_is_dropped_in_train_mode():
    """transformers' LayerDrop skips strides: T' changes from call to call by chance. Ours never does."""
    with pytest.raises(ValueError, match="add_adapter=False"):
        Wav2Vec2ForSequenceClassification(ADAPTER)
    model = Wav2Vec2Model(dataclasses.replace(ADAPTER, layerdrop=0.9, apply_spec_augment=False)).train()
    assert {model(BATCH.waveforms[:1]).last_hidden_state.shape[1] for _ in range(10)} == {3}
