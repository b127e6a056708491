"""The silent traps of lesson 11, measured: how far each one moves the frames of a clip without a complaint."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from w2vlearn import padding_masks
from w2vlearn.batch import pad
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.model import Wav2Vec2Model

__all__ = ["moved_by_traps", "trap_model"]


def trap_model() -> Wav2Vec2Model:
    """TINY with layer norm: alone and in a batch are equal there, so whatever moves is the trap's work."""
    torch.manual_seed(0)
    tiny = Wav2Vec2Config.tiny()
    return Wav2Vec2Model(
        dataclasses.replace(tiny, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)
    ).eval()


def frames_of(model: Wav2Vec2Model, waveforms: Tensor, frame_mask: Tensor | None) -> Tensor:
    """Hidden states under any frame mask, right or wrong, past the checks. (B, L), (B, T) -> (B, T, D)."""
    features = model.feature_extractor(waveforms).transpose(1, 2)  # (B, L) -> (B, C, T) -> (B, T, C)
    hidden_states, _ = model.feature_projection(features)  # (B, T, C) -> (B, T, D)
    return model.encoder(hidden_states, attention_mask=frame_mask)[0]


@torch.no_grad()
def moved_by_traps() -> dict[str, float]:
    """Relative distance of the short clip's valid frames from the same clip alone, for each trap.

    Returns
    -------
    dict
        "none" (everything right), "no mask", "inverted", "left padding", "normalised over padding".
    """
    model = trap_model()
    clips = [torch.randn(16_000) * 0.1 + 0.05, torch.randn(6_000) * 0.1 + 0.05]
    alone = model(clips[1][None]).last_hidden_state[0]  # (T, D)
    valid, batch = len(alone), pad(clips)
    right = model(batch.waveforms, batch.mask).frame_mask  # (B, T)
    left = torch.stack([torch.nn.functional.pad(clip, (16_000 - len(clip), 0)) for clip in clips])
    left_mask = right.flip(1)
    mean, spread = batch.waveforms.mean(1, keepdim=True), batch.waveforms.std(1, keepdim=True)
    whole = (batch.waveforms - mean) / spread
    normal = model(pad(clips, normalize=True).waveforms[1:, :6_000]).last_hidden_state[0]
    states = {
        "none": (frames_of(model, batch.waveforms, right)[1, :valid], alone),
        "no mask": (frames_of(model, batch.waveforms, None)[1, :valid], alone),
        "inverted": (frames_of(model, batch.waveforms, padding_masks.padding_mask(right))[1, :valid], alone),
        "left padding": (frames_of(model, left, left_mask)[1, -valid:], alone),
        "normalised over padding": (frames_of(model, whole, right)[1, :valid], normal),
    }
    return {name: float((state - wanted).norm() / wanted.norm()) for name, (state, wanted) in states.items()}
