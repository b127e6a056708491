"""The silent traps of lesson 11, measured: how far each one moves the frames of a clip without a complaint."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

from w2vlearn import FrameGeometry, padding_masks
from w2vlearn.batch import pad
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.model import Wav2Vec2Model

__all__ = ["moved_by_traps", "trap_model"]

LONGEST = 16_000  # samples


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
def moved_by_traps(samples: int) -> dict[str, float]:
    """Relative distance of a short clip's valid frames from the same clip alone, for each trap.

    Parameters
    ----------
    samples : int
        Length of the short clip; the long one has 16 000. Their difference is a whole number of hops, so that padding
        at the left leaves the clip on the frame grid.

    Returns
    -------
    dict
        "everything right" first, then the traps, by name.
    """
    model, geometry = trap_model(), FrameGeometry.from_config(Wav2Vec2Config.tiny())
    if (LONGEST - samples) % geometry.hop:
        raise ValueError(f"wanted a whole number of hops less than {LONGEST} samples, found {samples}")
    clips = [torch.randn(length) * 0.1 + 0.05 for length in (LONGEST, samples)]
    alone = model(clips[1][None]).last_hidden_state[0]  # (T, D)
    valid, batch = len(alone), pad(clips)
    right = model(batch.waveforms, batch.mask).frame_mask  # (B, T)

    inverted = padding_masks.frame_mask(geometry.frame_counts((~batch.mask).sum(1)), right.shape[1])
    left = torch.stack([functional.pad(clip, (LONGEST - len(clip), 0)) for clip in clips])
    mean, spread = batch.waveforms.mean(1, keepdim=True), batch.waveforms.std(1, keepdim=True)
    normal = model(pad(clips, normalize=True).waveforms[1:, :samples]).last_hidden_state[0]
    runs = {
        "everything right": (batch.waveforms, right, alone),
        "no mask": (batch.waveforms, None, alone),
        "inverted sample mask": (batch.waveforms, inverted, alone),
        "inverted frame mask": (batch.waveforms, ~right, alone),
        "left padding": (left, right, alone),
        "left padding, mask turned": (left, right.flip(1), alone),
        "normalised over padding": ((batch.waveforms - mean) / spread, right, normal),
    }
    moved = {}
    for name, (waveforms, frame_mask, wanted) in runs.items():
        states = frames_of(model, waveforms, frame_mask)[1]  # (T, D)
        states = states[-valid:] if name.startswith("left") else states[:valid]
        moved[name] = float((states - wanted).norm() / wanted.norm())
    return moved
