"""Many clips in, one rectangle out: pad to the longest and remember which samples are valid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from w2vlearn.padding_masks import sample_mask

__all__ = ["Batch", "pad"]

BASE_RECEPTIVE_FIELD = 400  # samples; the shortest clip that gives one frame with the kernels of every preset


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips of different length in one tensor.

    Attributes
    ----------
    waveforms : Tensor
        Shape: (B, L), float32; zeros after each clip's end.
    lengths : Tensor
        Valid samples per clip. Shape: (B,), int64.
    """

    waveforms: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """Sample mask. Shape: (B, L), bool, True = valid."""
        return sample_mask(self.lengths, self.waveforms.shape[1])

    def __eq__(self, other: object) -> bool:
        """The same clips, to the last bit."""
        if not isinstance(other, Batch):
            return NotImplemented
        return torch.equal(self.waveforms, other.waveforms) and torch.equal(self.lengths, other.lengths)

    __hash__ = None

    def clips(self) -> list[Tensor]:
        """The clips again, each of its own length. Shapes: (L_i,)."""
        return [wave[:length] for wave, length in zip(self.waveforms, self.lengths.tolist(), strict=True)]

    def to(self, device) -> Batch:
        """The same batch on another device."""
        return Batch(self.waveforms.to(device), self.lengths.to(device))

    def __len__(self) -> int:
        return self.waveforms.shape[0]


def pad(clips: Sequence[Tensor], *, normalize: bool = False, minimum_samples: int = BASE_RECEPTIVE_FIELD) -> Batch:
    """Put clips of different length into one batch, padded with zeros at the right.

    Parameters
    ----------
    clips : sequence of Tensor
        Waveforms. Shapes: (L_i,), float32 (numpy float32 arrays are taken too), mono, 16 kHz.
    normalize : bool
        Bring each clip to mean 0 and variance 1 over its valid samples, before padding, as
        LARGE_LV60 expects (BASE was trained without).
    minimum_samples : int
        The shortest clip allowed: the model's receptive field, 400 samples (25 ms).

    Returns
    -------
    Batch
        ``waveforms`` (B, L) float32, ``lengths`` (B,) int64, ``mask`` (B, L) bool; L is the longest clip's length.

    Raises
    ------
    TypeError
        If ``clips`` is not a sequence of floating-point waveforms in single precision.
    ValueError
        If there is no clip, or one is empty, too short, not one-dimensional, or holds NaN or infinity.

    Notes
    -----
    Source: Hugging Face ``feature_extraction_wav2vec2.py`` (``zero_mean_unit_var_norm``, eps 1e-7).
    """
    if isinstance(clips, Tensor) or hasattr(clips, "__array__"):
        raise TypeError("pad takes a list of clips, found one array; write pad([clip]) for a single clip")
    clips = [_checked(clip, index, minimum_samples) for index, clip in enumerate(clips)]
    if not clips:
        raise ValueError("pad needs at least one clip, found an empty list")
    if normalize:
        clips = [(clip - clip.mean()) / torch.sqrt(clip.var(correction=0) + 1e-7) for clip in clips]
    waveforms = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)  # [(L_i,)] -> (B, L)
    lengths = torch.tensor([len(clip) for clip in clips], device=waveforms.device)
    return Batch(waveforms, lengths)


def _checked(clip, index: int, minimum_samples: int) -> Tensor:
    """The clip as a tensor, or an error that says which clip and why."""
    try:
        clip = torch.as_tensor(clip)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"clip {index} must be a waveform of shape (L,), found a {type(clip).__name__} ({error})"
        ) from None
    if clip.ndim != 1:
        raise ValueError(
            f"clip {index} must be mono, shape (L,), found shape {tuple(clip.shape)}; "
            "average the channels (clip.mean(0) for (channels, L)), or give the rows of a batch one by one"
        )
    if clip.dtype != torch.float32:
        raise TypeError(
            f"clip {index} must be float32 in about -1 … 1, found {clip.dtype}; "
            + ("use clip.float()" if clip.is_floating_point() else "16-bit integers become floats by clip / 32768.0")
        )
    if len(clip) == 0:
        raise ValueError(f"clip {index} is empty: it has no samples")
    if len(clip) < minimum_samples:
        raise ValueError(
            f"clip {index} has {len(clip)} samples, one frame needs {minimum_samples}: "
            f"{minimum_samples - len(clip)} too few; leave the clip out, or add silence and count it as valid"
        )
    if not bool(torch.isfinite(clip).all()):
        raise ValueError(f"clip {index} holds NaN or infinity; every sample must be a finite number")
    return clip
