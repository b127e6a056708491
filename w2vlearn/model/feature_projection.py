"""Stage 2: the feature projection, from C = 512 channels to D = 768 features, one frame at a time.

Hugging Face ``modeling_wav2vec2.py`` (``Wav2Vec2FeatureProjection``); fairseq ``wav2vec2.py`` (``post_extract_proj``).
"""

from __future__ import annotations

from torch import Tensor, nn

from w2vlearn.config import Wav2Vec2Config

__all__ = ["Wav2Vec2FeatureProjection"]


class Wav2Vec2FeatureProjection(nn.Module):
    """LayerNorm and Linear(C -> D), both on the last axis: length never enters.

    Shape: (B, T, C) -> (B, T, D), and the normalised features (B, T, C), which the quantizer of pre-training reads.
    """

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.conv_dim[-1], eps=config.layer_norm_eps)
        self.projection = nn.Linear(config.conv_dim[-1], config.hidden_size)
        self.dropout = nn.Dropout(config.feat_proj_dropout)

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        extract_features = self.layer_norm(hidden_states)
        hidden_states = self.projection(extract_features)  # (B, T, C) -> (B, T, D)
        return self.dropout(hidden_states), extract_features
