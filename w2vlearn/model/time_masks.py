"""Stage 2b, in training only: the time mask hides spans of frames, the feature mask spans of features.

Not the padding mask: a padding mask says which frames are valid, a time mask says which *valid* frames the model must
do without. Pre-training predicts the hidden frames (paper, section 3.1); fine-tuning hides some to regularise, which is
SpecAugment (Park et al. 2019; paper, section 4.3). Hugging Face ``modeling_wav2vec2.py`` (``_compute_mask_indices``,
``_mask_hidden_states``); fairseq ``data_utils.py`` (``compute_mask_indices``).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from w2vlearn.model.input_checks import check_spans

__all__ = ["apply_feature_mask", "apply_time_mask", "sample_feature_mask", "sample_time_mask"]


def sample_time_mask(
    frame_lengths: Tensor,
    frames: int,
    prob: float = 0.65,
    span: int = 10,
    min_spans: int = 2,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Hide spans of valid frames: which frames of each clip the model will not see.

    Parameters
    ----------
    frame_lengths : Tensor
        Valid frames per clip. Shape: (B,), integer. No padded frame is ever hidden.
    frames : int
        T, the frames of the longest clip.
    prob : float
        Hidden frames over all frames *if spans never overlapped*; they do, so less is hidden. See Notes.
    span : int
        Frames per span (10 frames = 200 ms). Spans may overlap and are never cut.
    min_spans : int
        Spans per clip at least, as far as they fit side by side.
    generator : torch.Generator, optional
        Source of randomness; with the same seed the same mask. Default: torch's own.

    Returns
    -------
    Tensor
        Shape: (B, T), bool, True = hidden; on the device of ``frame_lengths``.

    Raises
    ------
    TypeError, ValueError
        If a number makes no sense, or a clip has fewer valid frames than one span.

    Notes
    -----
    A clip of n valid frames gets ``floor(prob * n / span + epsilon)`` spans, epsilon uniform in [0, 1), so that the
    expected number is exact, but at least ``min_spans`` and at most ``n // span``. Their first frames are drawn
    without replacement from the n - span + 1 places where a whole span fits.

    The paper's probability is another one: each frame *starts* a span with p = 0.065 (section 4.2). That is
    prob = p * span = 0.065 * 10 = 0.65 here and in Hugging Face and fairseq. A frame stays visible if none of the
    10 spans that would cover it starts: (1 - 0.065) ** 10 = 0.511. Hidden: 1 - 0.511 = 0.489, the paper's 49 %.

    Unlike Hugging Face's, epsilon is drawn per clip and the upper bound uses the clip's own length, so what a
    clip can get does not depend on the other clips; a clip shorter than one span is an error, where Hugging Face hides
    the batch's last frame, which is padding. Unlike fairseq's, no span is cut to make all clips' counts equal.
    """
    check_spans(frame_lengths, frames, prob, span, min_spans)
    device = frame_lengths.device if generator is None else generator.device
    lengths = frame_lengths.to(device)

    epsilon = torch.rand(lengths.shape, generator=generator, device=device, dtype=torch.float64)  # (B,)
    count = (prob * lengths / span + epsilon).floor().long()  # (B,): probabilistic rounding
    count = torch.minimum(count.clamp(min=min_spans), lengths // span)

    position = torch.arange(frames, device=device)  # (T,)
    score = torch.rand(len(lengths), frames, generator=generator, device=device)  # (B, T)
    score = score.masked_fill(position > (lengths - span)[:, None], 2.0)  # no whole span fits here: these come last
    rank = score.argsort(dim=1).argsort(dim=1)  # (B, T): place of each position in a random order
    starts = rank < count[:, None]  # (B, T): so no start is drawn twice

    begun = starts.cumsum(dim=1)  # (B, T): spans that begin here or earlier
    ended = F.pad(begun, (span, 0))[
        :, :frames
    ]  # (B, T + span) -> (B, T): those that began `span` or more positions ago
    return (begun > ended).to(frame_lengths.device)


def sample_feature_mask(
    clips: int,
    features: int,
    prob: float,
    span: int = 10,
    min_spans: int = 0,
    generator: torch.Generator | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """The same along the features: which of the D features are set to 0, in all frames of a clip.

    Returns
    -------
    Tensor
        Shape: (B, D), bool, True = set to 0. Parameters and errors as in :func:`sample_time_mask`.
    """
    widths = torch.full((clips,), features, device=device)  # (B,): all features of every clip
    check_spans(widths, features, prob, span, min_spans, kind="feature")
    return sample_time_mask(widths, features, prob, span, min_spans, generator)  # (B,) -> (B, D)


def apply_time_mask(hidden_states: Tensor, time_mask: Tensor, mask_vector: Tensor) -> Tensor:
    """Put the one learned mask vector in place of every hidden frame. Shapes: (B, T, D), (B, T), (D,) -> (B, T, D)."""
    return torch.where(time_mask[:, :, None], mask_vector.to(hidden_states.dtype), hidden_states)


def apply_feature_mask(hidden_states: Tensor, feature_mask: Tensor) -> Tensor:
    """Set the hidden features to 0 in every frame. Shapes: (B, T, D), (B, D) -> (B, T, D)."""
    return hidden_states.masked_fill(feature_mask[:, None, :], 0.0)
