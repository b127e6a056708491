"""Stage 4: the Transformer, in two orders of LayerNorm: post-norm (BASE, LARGE) and pre-norm (LARGE_LV60).

Paper, section 2 ("Contextualized representations"); Vaswani et al. 2017, section 3.2; Hugging Face
``modeling_wav2vec2.py`` (``Wav2Vec2Attention``, ``Wav2Vec2Encoder``, ``Wav2Vec2EncoderStableLayerNorm``); fairseq
``wav2vec2.py`` (``TransformerEncoder``, ``layer_norm_first``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from w2vlearn import padding_masks
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.model.positional_embedding import Wav2Vec2PositionalConvEmbedding

__all__ = ["Wav2Vec2Attention", "Wav2Vec2Encoder", "Wav2Vec2EncoderStableLayerNorm", "eager_attention"]


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
    """Multi-head self-attention, the only place where the attention mask acts.

    Shape: (B, T, D) -> (B, T, D), with D = H heads of d features each.
    """

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


class Wav2Vec2FeedForward(nn.Module):
    """Two Linear layers on each frame alone. Shape: (B, T, D) -> (B, T, D)."""

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        self.intermediate_dropout = nn.Dropout(config.activation_dropout)
        self.intermediate_dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.intermediate_act_fn = nn.GELU()
        self.output_dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.output_dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = self.intermediate_dense(hidden_states)  # (B, T, D) -> (B, T, 4 D)
        hidden_states = self.intermediate_act_fn(hidden_states)
        hidden_states = self.intermediate_dropout(hidden_states)
        hidden_states = self.output_dense(hidden_states)  # (B, T, 4 D) -> (B, T, D)
        return self.output_dropout(hidden_states)


class Wav2Vec2EncoderLayer(nn.Module):
    """Post-norm Transformer layer: LayerNorm after each residual sum. Shape: (B, T, D) -> (B, T, D)."""

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        self.attention = Wav2Vec2Attention(config)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = Wav2Vec2FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        attended = self.attention(hidden_states, attention_mask=attention_mask)
        hidden_states = self.layer_norm(hidden_states + self.dropout(attended))
        return self.final_layer_norm(hidden_states + self.feed_forward(hidden_states))


class Wav2Vec2EncoderLayerStableLayerNorm(Wav2Vec2EncoderLayer):
    """Pre-norm Transformer layer: the same parts, LayerNorm before each of them. Shape: (B, T, D) -> (B, T, D)."""

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        attended = self.attention(self.layer_norm(hidden_states), attention_mask=attention_mask)
        hidden_states = hidden_states + self.dropout(attended)
        return hidden_states + self.feed_forward(self.final_layer_norm(hidden_states))


class Wav2Vec2Encoder(nn.Module):
    """Positions, then the post-norm layers.

    Shape: (B, T, D), frame mask (B, T) bool or None -> (B, T, D) and the hidden states: depth + 1 tensors (B, T, D),
    entry 0 the input of the first layer, entry i the output of layer i.
    """

    layer_class = Wav2Vec2EncoderLayer

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        self.layerdrop = config.layerdrop
        self.pos_conv_embed = Wav2Vec2PositionalConvEmbedding(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(self.layer_class(config) for _ in range(config.num_hidden_layers))

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        hidden_states, attention_mask = self._mask_padding(hidden_states, attention_mask)
        hidden_states = hidden_states + self.pos_conv_embed(hidden_states)
        hidden_states = self.dropout(self.layer_norm(hidden_states))
        hidden_states = self._run_layers(hidden_states, attention_mask)
        return hidden_states[-1], hidden_states

    def _mask_padding(self, hidden_states: Tensor, frame_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Zero the padded frames; turn the frame mask (B, T) into the attention mask (B, 1, T, T)."""
        if frame_mask is None:
            return hidden_states, None
        return padding_masks.zero_padding(hidden_states, frame_mask), padding_masks.attention_mask(frame_mask)

    def _run_layers(self, hidden_states: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, ...]:
        """All layers in turn; in train mode LayerDrop skips each with probability ``layerdrop``."""
        collected = (hidden_states,)
        for layer in self.layers:
            skipped = self.training and self.layerdrop > 0 and torch.rand([]) < self.layerdrop
            if not skipped:
                hidden_states = layer(hidden_states, attention_mask=attention_mask)
            collected += (hidden_states,)
        return collected


class Wav2Vec2EncoderStableLayerNorm(Wav2Vec2Encoder):
    """Positions, then the pre-norm layers, and one LayerNorm at the very end. Shapes as in :class:`Wav2Vec2Encoder`.

    The last hidden state is normalised once more than the last entry of the hidden states.
    """

    layer_class = Wav2Vec2EncoderLayerStableLayerNorm

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        hidden_states, attention_mask = self._mask_padding(hidden_states, attention_mask)
        hidden_states = hidden_states + self.pos_conv_embed(hidden_states)
        hidden_states = self._run_layers(self.dropout(hidden_states), attention_mask)
        return self.layer_norm(hidden_states[-1]), hidden_states
