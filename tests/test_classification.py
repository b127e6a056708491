"""One label per clip: the mean of real frames; parity with transformers."""

import dataclasses

import pytest
import torch
import transformers

from w2vlearn import Wav2Vec2Config, pad
from w2vlearn.model import Wav2Vec2ForSequenceClassification
from w2vlearn.model.classification import mean_pool

TINY = dataclasses.replace(Wav2Vec2Config.tiny(), num_labels=5)
LAYER_NORM = dataclasses.replace(TINY, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)
CONFIGS = {
    "group norm": TINY,
    "layer norm": LAYER_NORM,
    "weighted layers": dataclasses.replace(TINY, use_weighted_layer_sum=True),
    "weighted layers, layer norm": dataclasses.replace(LAYER_NORM, use_weighted_layer_sum=True),
}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
BATCH = pad([torch.randn(length, generator=torch.Generator().manual_seed(length)) for length in (16_000, 9999, 400)])
LABELS = torch.tensor([4, 0, 2])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_parity(config, masked, dtype):
    torch.manual_seed(0)
    ours = Wav2Vec2ForSequenceClassification(config).eval()
    if config.use_weighted_layer_sum:
        torch.nn.init.normal_(ours.layer_weights)  # else all layers count the same
    values = {key: value for key, value in config.to_dict().items() if key != "model_type"}
    theirs = transformers.Wav2Vec2ForSequenceClassification(transformers.Wav2Vec2Config(**values)).eval()
    theirs.load_state_dict(ours.state_dict())
    ours.to(dtype), theirs.to(dtype)
    wave, mask = BATCH.waveforms.to(dtype), BATCH.mask if masked else None
    mine = ours(wave, mask, labels=LABELS, output_hidden_states=True)
    other = theirs(wave, attention_mask=mask, labels=LABELS, output_hidden_states=True)
    exact = {"atol": TOLERANCE[dtype], "rtol": 0}
    assert mine.logits.shape == (3, 5)
    torch.testing.assert_close(mine.logits, other.logits, **exact)
    torch.testing.assert_close(mine.loss, other.loss, **exact)
    for own, hidden in zip(mine.hidden_states, other.hidden_states, strict=True):
        torch.testing.assert_close(own, hidden, **exact)
    mine.loss.backward()
    other.loss.backward()
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        if parameter.grad is None:
            assert expected[name] is None or not expected[name].any(), name
        else:
            torch.testing.assert_close(parameter.grad, expected[name], **exact)


def test_mean_over_real_frames():
    hidden_states = torch.tensor([[[1.0], [2.0], [9.0]], [[4.0], [9.0], [9.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert mean_pool(hidden_states, mask).tolist() == [[1.5], [4.0]]


def test_padding_does_not_change_the_label_with_layer_norm_and_mask():
    torch.manual_seed(0)
    model = Wav2Vec2ForSequenceClassification(LAYER_NORM).eval().double()
    together = model(BATCH.waveforms.double(), BATCH.mask).logits
    for clip, wave in enumerate(BATCH.clips()):
        torch.testing.assert_close(together[clip], model(wave[None].double()).logits[0], atol=1e-10, rtol=0)
    without = model(BATCH.waveforms.double()).logits
    assert (without[2] - together[2]).abs().max() > 1e-3  # without the mask the padding is averaged too


def test_hidden_states_only_when_asked_for():
    model = Wav2Vec2ForSequenceClassification(CONFIGS["weighted layers"]).eval()
    assert model(BATCH.waveforms).hidden_states is None
    assert len(model(BATCH.waveforms, output_hidden_states=True).hidden_states) == 3


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.tensor([0, 1]), ValueError, r"shape \(B,\) with B = 3.*found \(2,\)"),
        (torch.tensor([[0], [1], [2]]), ValueError, r"found \(3, 1\)"),
        (torch.tensor([0.0, 1.0, 2.0]), TypeError, r"must be int64, found torch.float32; use labels.long\(\)"),
        (torch.tensor([0, 1, 5]), ValueError, r"0 … 4 \(num_labels = 5\), found \[0, 1, 5\]"),
        (torch.tensor([0, 1, -1]), ValueError, "0 … 4"),
        ([0, 1, 2], TypeError, "found a list"),
    ],
)
def test_bad_labels_are_refused_before_anything_is_computed(labels, error, message):
    model = Wav2Vec2ForSequenceClassification(TINY).eval()
    calls = []
    model.wav2vec2.feature_extractor.register_forward_pre_hook(lambda *args: calls.append(1))
    with pytest.raises(error, match=message):
        model(BATCH.waveforms, labels=labels)
    assert not calls


def test_an_adapter_is_refused():
    with pytest.raises(ValueError, match="add_adapter=False"):
        Wav2Vec2ForSequenceClassification(dataclasses.replace(TINY, add_adapter=True))
