"""Pre-training 1: the quantizer. It turns each *unhidden* frame into one of E * E tokens, the target of the prediction.

Paper, section 2 ("Quantization module") and equation 1; Jang et al. 2016 (Gumbel softmax); Hugging Face
``modeling_wav2vec2.py`` (``Wav2Vec2GumbelVectorQuantizer``); fairseq ``gumbel_vector_quantizer.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from w2vlearn.config import Wav2Vec2Config

__all__ = ["Wav2Vec2GumbelVectorQuantizer", "perplexity", "sample_gumbel"]


class Wav2Vec2GumbelVectorQuantizer(nn.Module):
    """Product quantizer: G = 2 codebooks of E = 320 entries each; a frame takes one entry of each, side by side.

    Shape: (B, T, C) -> codevectors (B, T, Q), codes (B, T, G) int64, perplexity (). Q = G * q is ``codevector_dim``.

    Attributes
    ----------
    temperature : float
        Of the Gumbel softmax, in train mode: high = choices blurred in the gradient, low = sharp. At update n the paper
        (section 4.2) has 2 * 0.999995 ** n, but never less than 0.5 (BASE) or 0.1 (LARGE).
    """

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        self.num_groups = config.num_codevector_groups
        self.num_vars = config.num_codevectors_per_group
        entries = self.num_groups * self.num_vars
        self.codevectors = nn.Parameter(torch.empty(1, entries, config.codevector_dim // self.num_groups).uniform_())
        self.weight_proj = nn.Linear(config.conv_dim[-1], entries)
        self.temperature = 2.0

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        gumbel_noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize every frame; count the codebook's use over valid, hidden frames.

        Parameters
        ----------
        hidden_states : Tensor
            Normalised output of the feature encoder, *not* time-masked. Shape: (B, T, C).
        attention_mask, mask_time_indices : Tensor, optional
            Frame mask and time mask: the perplexity counts what the time mask hides, without one all valid frames.
            Shapes: (B, T), bool.
        gumbel_noise : Tensor, optional
            Shape: (B, T, G, E). Used in train mode; drawn from torch's generator if not given.
        """
        scores = self.weight_proj(hidden_states)  # (B, T, C) -> (B, T, G E)
        scores = scores.unflatten(-1, (self.num_groups, self.num_vars))  # (B, T, G E) -> (B, T, G, E)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))  # half precision is too coarse here

        if self.training:
            noise = sample_gumbel(scores) if gumbel_noise is None else gumbel_noise
            soft = ((scores + noise) / self.temperature).softmax(dim=-1)
            choice = one_hot(soft)
            # straight-through: forwards the one-hot choice (1 - s + s is exactly 1), backwards the gradient of `soft`
            choice = choice - soft.detach() + soft
            usage = scores.softmax(dim=-1)  # what the codebook's use is measured on: neither noise nor temperature
        else:
            choice = usage = one_hot(scores)

        codebooks = self.codevectors.view(self.num_groups, self.num_vars, -1)  # (1, G E, q) -> (G, E, q)
        codevectors = torch.einsum("btge,geq->btgq", choice.to(codebooks.dtype), codebooks)  # (B, T, G, q)
        codes = choice.argmax(dim=-1)  # (B, T, G, E) -> (B, T, G)
        counted = attention_mask if mask_time_indices is None else mask_time_indices  # (B, T) or None
        return codevectors.flatten(2), codes, perplexity(usage, counted)  # (B, T, G, q) -> (B, T, Q)


def one_hot(scores: Tensor) -> Tensor:
    """1 at the largest of the last axis, 0 elsewhere; no gradient. Shape as given."""
    return torch.zeros_like(scores).scatter(-1, scores.argmax(dim=-1, keepdim=True), 1.0).detach()


def sample_gumbel(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Gumbel noise, -log(exponential): the entry with the largest score + noise is a draw from softmax(scores).

    Shape, dtype and device as ``like``; its values are not read.
    """
    return -torch.empty_like(like).exponential_(generator=generator).log()


def perplexity(usage: Tensor, counted: Tensor | None = None) -> Tensor:
    """How many entries are in use: exp(entropy) of each codebook's mean usage, summed over the G codebooks.

    G (all frames take the same entries) … G * E (all entries equally often): 2 … 640 for BASE.

    Parameters
    ----------
    usage : Tensor
        Probabilities of the entries. Shape: (B, T, G, E).
    counted : Tensor, optional
        Which frames count. Shape: (B, T), bool; default all. At least one must be True, or the result is NaN.
    """
    if counted is None:
        mean = usage.mean(dim=(0, 1))  # (B, T, G, E) -> (G, E)
    else:
        mean = usage.masked_fill(~counted[:, :, None, None], 0.0).sum(dim=(0, 1)) / counted.sum()  # (G, E)
    entropy = -torch.xlogy(mean, mean).sum(dim=-1)  # (G, E) -> (G,)
    return entropy.exp().sum()
