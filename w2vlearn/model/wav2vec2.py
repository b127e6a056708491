"""The whole model, stage after stage in the paper's order, with its masks as visible steps.

Paper, section 2, figure 1; Hugging Face ``modeling_wav2vec2.py`` (``Wav2Vec2Model``); fairseq ``wav2vec2.py``
(``Wav2Vec2Model.forward``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from w2vlearn import masks
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.model.checks import check_input, check_sample_mask
from w2vlearn.model.encoder import Wav2Vec2Encoder, Wav2Vec2EncoderStableLayerNorm
from w2vlearn.model.feature_encoder import Wav2Vec2FeatureEncoder
from w2vlearn.model.feature_projection import Wav2Vec2FeatureProjection
from w2vlearn.model.initialise import initialise
from w2vlearn.model.outputs import Wav2Vec2Output

__all__ = ["Wav2Vec2Model"]


class Wav2Vec2Model(nn.Module):
    """wav2vec 2.0 without a head: waveforms (B, L) -> contextual features (B, T, D).

    Parameters
    ----------
    config : Wav2Vec2Config
        Sizes and switches; weights are random. A new model is in train mode, as in torch: call ``eval()`` for
        results that repeat.
    """

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        self.config = config
        self.geometry = FrameGeometry.from_config(config)
        self.feature_extractor = Wav2Vec2FeatureEncoder(config)
        self.feature_projection = Wav2Vec2FeatureProjection(config)
        if config.mask_time_prob > 0 or config.mask_feature_prob > 0:
            self.masked_spec_embed = nn.Parameter(torch.empty(config.hidden_size).uniform_())
        encoder = Wav2Vec2EncoderStableLayerNorm if config.do_stable_layer_norm else Wav2Vec2Encoder
        self.encoder = encoder(config)
        initialise(self)

    def forward(
        self, input_values: Tensor, attention_mask: Tensor | None = None, output_hidden_states: bool = False
    ) -> Wav2Vec2Output:
        """Run the model.

        Parameters
        ----------
        input_values : Tensor
            Waveforms, right-padded. Shape: (B, L), floating point as the weights.
        attention_mask : Tensor, optional
            Sample mask. Shape: (B, L), bool or integer, True = real. Without it every sample counts as real.
        output_hidden_states : bool
            Return the input of the first Transformer layer and the output of each: depth + 1 tensors (B, T, D).

        Returns
        -------
        Wav2Vec2Output

        Raises
        ------
        TypeError, ValueError
            See :mod:`w2vlearn.model.checks`; raised before anything is computed.
        """
        check_input(input_values, self.geometry, self.feature_projection.projection.weight.dtype)
        if attention_mask is not None:
            attention_mask = check_sample_mask(attention_mask, input_values, self.geometry)  # (B, L) bool

        extract_features = self.feature_extractor(input_values)  # (B, L) -> (B, C, T)
        extract_features = extract_features.transpose(1, 2)  # (B, C, T) -> (B, T, C): one row per frame
        frame_lengths = self._frame_lengths(input_values, attention_mask)  # (B, L) -> (B,)
        frame_mask = masks.frame_mask(frame_lengths, extract_features.shape[1])  # (B,) -> (B, T)

        hidden_states, extract_features = self.feature_projection(extract_features)  # (B, T, C) -> (B, T, D), (B, T, C)
        hidden_states, collected = self.encoder(
            hidden_states, attention_mask=None if attention_mask is None else frame_mask
        )
        return Wav2Vec2Output(
            last_hidden_state=hidden_states,
            extract_features=extract_features,
            frame_mask=frame_mask,
            frame_lengths=frame_lengths,
            hidden_states=collected if output_hidden_states else None,
        )

    def _frame_lengths(self, input_values: Tensor, sample_mask: Tensor | None) -> Tensor:
        """Real frames per clip. Shapes: (B, L), (B, L) or None -> (B,), int64."""
        if sample_mask is None:
            sample_mask = torch.ones_like(input_values, dtype=torch.bool)
        return masks.frame_lengths(sample_mask.sum(dim=1), self.geometry.kernels, self.geometry.strides)
