"""The adapter shortens T; lengths and masks follow; parity with transformers."""

import dataclasses

import pytest
import torch
import transformers

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2Model, pad
from w2vlearn.model.adapter import Wav2Vec2Adapter

TINY = dataclasses.replace(Wav2Vec2Config.tiny(), add_adapter=True)
CONFIGS = {
    "three layers": TINY,
    "projected to 20": dataclasses.replace(TINY, output_hidden_size=20),
    "one layer, stride 3, pre-norm": dataclasses.replace(
        TINY,
        num_adapter_layers=1,
        adapter_stride=3,
        feat_extract_norm="layer",
        conv_bias=True,
        do_stable_layer_norm=True,
    ),
}
BATCH = pad([torch.randn(length, generator=torch.Generator().manual_seed(length)) for length in (16_000, 9999, 400)])
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def theirs_like(ours):
    values = {key: value for key, value in ours.config.to_dict().items() if key != "model_type"}
    theirs = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**values))
    theirs.load_state_dict(ours.state_dict())
    return theirs.eval()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_parity(config, masked, dtype):
    torch.manual_seed(0)
    ours = Wav2Vec2ForCTC(config).eval()
    theirs = theirs_like(ours).to(dtype)
    ours.to(dtype)
    wave, mask = BATCH.waveforms.to(dtype), BATCH.mask if masked else None
    labels = torch.tensor([[5, 6], [7, -100], [8, -100]])
    mine = ours(wave, mask, labels=labels, output_hidden_states=True)
    other = theirs(wave, attention_mask=mask, labels=labels, output_hidden_states=True)
    exact = {"atol": TOLERANCE[dtype], "rtol": 0}
    torch.testing.assert_close(mine.logits, other.logits, **exact)
    torch.testing.assert_close(
        mine.last_hidden_state, theirs.wav2vec2(wave, attention_mask=mask).last_hidden_state, **exact
    )
    torch.testing.assert_close(mine.loss.float(), other.loss.float(), rtol=1e-6, atol=1e-5)
    for own, hidden in zip(mine.hidden_states, other.hidden_states, strict=True):
        torch.testing.assert_close(own, hidden, **exact)
    counted = BATCH.lengths if masked else torch.full((3,), 16_000)
    assert torch.equal(mine.frame_lengths, theirs._get_feat_extract_output_lengths(counted))

    mine.logits.square().sum().backward()
    other.logits.square().sum().backward()
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    compared = [name for name, parameter in ours.named_parameters() if parameter.grad is not None]
    assert any("adapter" in name for name in compared)
    for name, parameter in ours.named_parameters():
        if name in compared:
            scale = expected[name].abs().max().clamp(min=1.0)
            torch.testing.assert_close(parameter.grad / scale, expected[name] / scale, **exact)


def test_lengths_and_masks_follow():
    """49 -> 25 -> 13 -> 7 frames; the clip of 30 frames -> 15 -> 8 -> 4; the clip of one frame keeps it."""
    model = Wav2Vec2Model(TINY).eval()
    result = model(BATCH.waveforms, BATCH.mask, output_hidden_states=True)
    assert result.last_hidden_state.shape == (3, 7, 48)
    assert result.frame_lengths.tolist() == [7, 4, 1]
    assert result.frame_mask.sum(1).tolist() == [7, 4, 1] and result.frame_mask.shape == (3, 7)
    assert result.extract_features.shape == (3, 49, 24)
    assert [hidden.shape for hidden in result.hidden_states] == [(3, 49, 48)] * 3  # the Transformer's, before it


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_lengths_are_those_of_the_convolutions(kernel, stride):
    """Also for other kernels than 3, where transformers' formula counts a frame too many or too few."""
    config = dataclasses.replace(TINY, adapter_kernel_size=kernel, adapter_stride=stride, num_adapter_layers=2)
    adapter = Wav2Vec2Adapter(config)
    for frames in range(1, 40):
        found = adapter(torch.zeros(1, frames, 48)).shape[1]
        assert adapter.frame_lengths(torch.tensor([frames])).tolist() == [found]


def test_no_layer_is_dropped_in_train_mode():
    """transformers' LayerDrop skips strides: T' is 49, 25, 13 or 7 by chance. Ours is 7, always."""
    config = dataclasses.replace(TINY, layerdrop=0.5)
    model = Wav2Vec2Model(config).train()
    assert {model(BATCH.waveforms[:1]).last_hidden_state.shape[1] for _ in range(30)} == {7}
    theirs = theirs_like(Wav2Vec2ForCTC(config)).train()
    assert len({theirs(BATCH.waveforms[:1]).logits.shape[1] for _ in range(60)}) > 1


def test_time_mask_keeps_the_length_before_the_adapter():
    model = Wav2Vec2Model(TINY).eval()
    time_mask = torch.zeros(3, 49, dtype=torch.bool)
    time_mask[0, 5] = True
    assert model(BATCH.waveforms, BATCH.mask, time_mask).time_mask.shape == (3, 49)


def test_a_wider_kernel_would_leave_nothing_of_a_short_clip():
    with pytest.raises(ValueError, match="adapter_kernel_size = 4: at most 3"):
        dataclasses.replace(TINY, adapter_kernel_size=4)
    dataclasses.replace(TINY, add_adapter=False, adapter_kernel_size=4)  # without an adapter it means nothing
