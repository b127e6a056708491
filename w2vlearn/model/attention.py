"""Stage 4a: self-attention, the only place where the attention mask acts.

Hugging Face ``modeling_wav2vec2.py`` (``Wav2Vec2Attention``); Vaswani et al. 2017, section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from w2vlearn.config import Wav2Vec2Config

__all__ = ["Wav2Vec2Attention", "eager_attention"]


def eager_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float = 0.0) -> Tensor:
    """Attention step by step; ``scaled_dot_product_attention`` does the same without storing the (B, H, T, T) weights.

    Shapes: query, key, value (B, H, T, d); mask (B, 1, T, T) bool, True = attend -> (B, H, T, d).
    """
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5  # (B, H, T, d) x (B, H, d, T) -> (B, H, T, T)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # padded keys: weight 0 after the softmax
    weights = F.dropout(scores.softmax(dim=-1), dropout)
    return weights @ value  # (B, H, T, T) x (B, H, T, d) -> (B, H, T, d)


class Wav2Vec2Attention(nn.Module):
    """Multi-head self-attention. Shape: (B, T, D) -> (B, T, D), with D = H heads of d features each."""

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.dropout = config.attention_dropout
        self.implementation = config.attn_implementation
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        query = self._split_heads(self.q_proj(hidden_states))  # (B, T, D) -> (B, H, T, d)
        key = self._split_heads(self.k_proj(hidden_states))  # (B, T, D) -> (B, H, T, d)
        value = self._split_heads(self.v_proj(hidden_states))  # (B, T, D) -> (B, H, T, d)
        attend = F.scaled_dot_product_attention if self.implementation == "sdpa" else eager_attention
        context = attend(query, key, value, attention_mask, self.dropout if self.training else 0.0)  # (B, H, T, d)
        return self.out_proj(context.transpose(1, 2).flatten(2))  # (B, H, T, d) -> (B, T, H, d) -> (B, T, D)

    def _split_heads(self, features: Tensor) -> Tensor:
        return features.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, T, D) -> (B, T, H, d) -> (B, H, T, d)
