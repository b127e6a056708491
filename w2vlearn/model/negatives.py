"""Pre-training 2: the negatives, K = 100 wrong answers for every hidden frame.

Paper, section 3.2 ("distractors"); Hugging Face ``modeling_wav2vec2.py`` (``_sample_negative_indices``); fairseq
``wav2vec2.py`` (``sample_negatives``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from w2vlearn.model.mask_checks import check_enough_hidden

__all__ = ["sample_negatives"]


def sample_negatives(time_mask: Tensor, num_negatives: int = 100, generator: torch.Generator | None = None) -> Tensor:
    """Draw K other hidden frames of the same clip for each hidden frame, uniformly, with replacement.

    From the same clip, so that the speaker's voice or the room's noise does not give the answer away. Padded frames are
    never drawn, because a time mask never marks them.

    Parameters
    ----------
    time_mask : Tensor
        Shape: (B, T), bool, True = hidden; at least two per clip.
    num_negatives : int
        K, at least 1.
    generator : torch.Generator, optional
        Source of randomness; default: torch's own.

    Returns
    -------
    Tensor
        Shape: (B, T, K), int64. Hugging Face's numbering: frame t of clip b is ``b * T + t``, its row in the
        quantized features (B, T, P) once flattened to (B T, P). Rows of frames that are not hidden hold the
        clip's first frame; nothing reads them.

    Raises
    ------
    TypeError, ValueError
        If ``time_mask`` is no (B, T) of booleans, a clip has fewer than two hidden frames, or ``num_negatives`` < 1.
    """
    check_enough_hidden(time_mask, num_negatives)
    clips, frames = time_mask.shape
    device = time_mask.device if generator is None else generator.device
    mask = time_mask.to(device)

    others = mask.sum(dim=1) - 1  # (B,): hidden frames without the one in question
    draw = torch.rand(
        clips, frames, num_negatives, generator=generator, device=device, dtype=torch.float64
    )  # (B, T, K)
    number = (draw * others[:, None, None]).long()  # (B, T, K): 0 … others - 1
    own = mask.cumsum(dim=1) - 1  # (B, T): a hidden frame's own number among the hidden ones
    number = number + (number >= own[:, :, None])  # step over it: still uniform, never the positive

    hidden_first = (~mask).int().argsort(dim=1, stable=True)  # (B, T): number -> frame
    negatives = hidden_first.gather(1, number.flatten(1)).view_as(number)  # (B, T, K) -> (B, T K) -> (B, T, K)
    negatives = negatives.masked_fill(~mask[:, :, None], 0)
    negatives = negatives + frames * torch.arange(clips, device=device)[:, None, None]  # frame -> row of (B T, P)
    return negatives.to(time_mask.device)
