"""Pre-training 3: the contrastive loss, the diversity loss, and the accuracy.

Paper, section 3.2, equations 2 to 4; Hugging Face ``modeling_wav2vec2.py`` (``Wav2Vec2ForPreTraining.forward``);
fairseq ``wav2vec2.py`` (``compute_preds``) and ``wav2vec_criterion.py``.

All losses are *sums* over hidden frames, as in those two. Divide by the number of hidden frames before comparing
batches or choosing a learning rate.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["contrastive_accuracy", "contrastive_logits", "contrastive_loss", "diversity_loss"]


def contrastive_logits(
    predicted: Tensor, targets: Tensor, negatives: Tensor, codes: Tensor, temperature: float = 0.1
) -> Tensor:
    """Similarity of each frame's prediction with its own target and with K negatives.

    Parameters
    ----------
    predicted, targets : Tensor
        Projected context and projected codevectors. Shapes: (B, T, P).
    negatives : Tensor
        As :func:`~w2vlearn.model.negatives.sample_negatives` returns them. Shape: (B, T, K), integer.
    codes : Tensor
        The quantizer's choices. Shape: (B, T, G), integer.
    temperature : float
        The cosine, -1 … 1, is divided by it: -10 … 10 for 0.1.

    Returns
    -------
    Tensor
        Shape: (B, T, 1 + K), at least float32: the positive first. Minus infinity for a negative to which the quantizer
        gave the same word as to the positive: no wrong answer, so it takes no part.
    """
    frames = targets.shape[1]
    dtype = torch.promote_types(predicted.dtype, torch.float32)
    predicted = F.normalize(predicted.to(dtype), dim=-1, eps=1e-8)
    targets = F.normalize(targets.to(dtype), dim=-1, eps=1e-8)
    # every prediction against every target of its clip: less memory than (B, T, K, P) gathered targets
    similarity = predicted @ targets.transpose(1, 2)  # (B, T, P) x (B, P, T) -> (B, T, T)
    positive = similarity.diagonal(dim1=1, dim2=2)[:, :, None]  # (B, T, T) -> (B, T, 1)
    negative = similarity.gather(2, negatives.long() % frames)  # (B, T, T) -> (B, T, K); row b T + t -> frame t

    same_word = codes.flatten(0, 1)[negatives.long()] == codes[:, :, None]  # (B T, G) -> (B, T, K, G)
    negative = negative.masked_fill(same_word.all(dim=-1), -torch.inf)
    return torch.cat([positive, negative], dim=2) / temperature  # (B, T, 1 + K)


def contrastive_loss(logits: Tensor, time_mask: Tensor) -> Tensor:
    """Cross-entropy of choosing the positive, summed over hidden frames. Shapes: (B, T, 1 + K), (B, T) -> ().

    A guess costs log(1 + K) per frame: 4.62 for K = 100.
    """
    answer = torch.where(time_mask, 0, -100)  # (B, T): the positive is class 0; -100 = left out
    return F.cross_entropy(
        logits.transpose(1, 2), answer, reduction="sum"
    )  # (B, T, 1 + K) -> (B, 1 + K, T): torch's order


def diversity_loss(perplexity: Tensor, entries: int, time_mask: Tensor) -> Tensor:
    """Share of the G * E codebook entries that are *not* in use, times the hidden frames. Shapes: (), (B, T) -> ().

    Notes
    -----
    Equation 4 maximises the entropy; the authors' code, and this, the exponential of it, the perplexity. The factor
    gives it the same scale as the summed contrastive loss. fairseq adds a third term, the mean square of the
    features (weight 10), to the gradient; Hugging Face and this model leave it out.
    """
    return (entries - perplexity) / entries * time_mask.sum()


def contrastive_accuracy(logits: Tensor, time_mask: Tensor) -> Tensor:
    """Share of hidden frames whose positive is strictly the most similar. Shapes: (B, T, 1 + K), (B, T) -> ().

    A frame whose negatives are all the positive's own word counts as wrong: a collapsed codebook is no success.
    """
    best_negative = logits[:, :, 1:].amax(dim=2)  # (B, T, K) -> (B, T)
    right = (logits[:, :, 0] > best_negative) & (best_negative > -torch.inf)
    return (right & time_mask).sum() / time_mask.sum()
