"""The whole model, stage after stage in the paper's order, with its masks as visible steps.

Paper, section 2, figure 1; Hugging Face ``modeling_wav2vec2.py`` (``Wav2Vec2Model``); fairseq ``wav2vec2.py``
(``Wav2Vec2Model.forward``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from w2vlearn import padding_masks
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.model.adapter import Wav2Vec2Adapter
from w2vlearn.model.encoder import Wav2Vec2Encoder, Wav2Vec2EncoderStableLayerNorm
from w2vlearn.model.feature_encoder import Wav2Vec2FeatureEncoder
from w2vlearn.model.feature_projection import Wav2Vec2FeatureProjection
from w2vlearn.model.initialise import initialise
from w2vlearn.model.input_checks import check_input_values, check_sample_mask, check_time_mask
from w2vlearn.model.outputs import Wav2Vec2Output
from w2vlearn.model.time_masks import apply_feature_mask, apply_time_mask, sample_feature_mask, sample_time_mask

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
        self.adapter = Wav2Vec2Adapter(config) if config.add_adapter else None
        initialise(self)

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> Wav2Vec2Output:
        """Run the model.

        Parameters
        ----------
        input_values : Tensor
            Waveforms, right-padded. Shape: (B, L), floating point as the weights.
        attention_mask : Tensor, optional
            Sample mask. Shape: (B, L), bool or integer, True = valid. Without it every sample counts as valid.
        mask_time_indices : Tensor, optional
            Time mask: frames to hide. Shape: (B, T), bool, True = hidden, never on padded frames. One that is given is
            always applied, in eval mode and without ``apply_spec_augment`` too. If none is given, train mode draws one
            from torch's own generator (SpecAugment), if the config has ``apply_spec_augment`` and a ``mask_time_prob``.
        output_hidden_states : bool
            Return the input of the first Transformer layer and the output of each: depth + 1 tensors (B, T, D).

        Returns
        -------
        Wav2Vec2Output

        Raises
        ------
        TypeError, ValueError
            See :mod:`w2vlearn.model.input_checks`; raised before anything is computed, or when SpecAugment draws a mask
            and a clip is too short for it.
        """
        check_input_values(input_values, self.geometry, self.feature_projection.projection.weight.dtype)
        sample_mask = torch.ones_like(input_values, dtype=torch.bool)  # (B, L): without a mask every sample is valid
        if attention_mask is not None:
            sample_mask = check_sample_mask(attention_mask, input_values, self.geometry)  # (B, L) bool
        frame_lengths = self.geometry.frame_counts(sample_mask.sum(dim=1))  # (B, L) -> (B,) samples -> (B,) frames
        if mask_time_indices is not None:
            self._check_time_mask(mask_time_indices, frame_lengths, input_values)

        extract_features = self.feature_extractor(input_values)  # (B, L) -> (B, C, T)
        extract_features = extract_features.transpose(1, 2)  # (B, C, T) -> (B, T, C): one row per frame
        frame_mask = padding_masks.frame_mask(frame_lengths, extract_features.shape[1])  # (B,) -> (B, T)

        hidden_states, extract_features = self.feature_projection(extract_features)  # (B, T, C) -> (B, T, D), (B, T, C)
        # hidden frames become the mask vector: (B, T, D) stays, the time mask (B, T) says where
        hidden_states, time_mask = self._hide(hidden_states, mask_time_indices, frame_lengths)
        hidden_states, collected = self.encoder(
            hidden_states, attention_mask=None if attention_mask is None else frame_mask
        )  # (B, T, D) -> (B, T, D), depth + 1 times (B, T, D)
        if self.adapter is not None:
            hidden_states = self.adapter(hidden_states)  # (B, T, D) -> (B, T', A)
            frame_lengths = self.adapter.frame_lengths(frame_lengths)  # (B,) -> (B,)
            frame_mask = padding_masks.frame_mask(frame_lengths, hidden_states.shape[1])  # (B,) -> (B, T')
        return Wav2Vec2Output(
            last_hidden_state=hidden_states,
            extract_features=extract_features,
            frame_mask=frame_mask,
            frame_lengths=frame_lengths,
            time_mask=time_mask,
            hidden_states=collected if output_hidden_states else None,
        )

    def _check_time_mask(self, time_mask: Tensor, frame_lengths: Tensor, input_values: Tensor) -> None:
        check_time_mask(time_mask, frame_lengths, self.geometry, input_values.shape[1])
        if not hasattr(self, "masked_spec_embed"):
            raise ValueError(
                "this model has no mask vector (masked_spec_embed) to put in place of hidden frames, because it "
                "was built with mask_time_prob = 0 and mask_feature_prob = 0; build it with mask_time_prob > 0"
            )

    def _hide(
        self, hidden_states: Tensor, time_mask: Tensor | None, frame_lengths: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Apply the time mask, given or drawn, and SpecAugment's feature mask. Shapes: (B, T, D) -> same, (B, T)."""
        config, (clips, frames, features) = self.config, hidden_states.shape
        augments = self.training and config.apply_spec_augment
        if time_mask is None and augments and config.mask_time_prob > 0:
            time_mask = sample_time_mask(
                frame_lengths, frames, config.mask_time_prob, config.mask_time_length, config.mask_time_min_masks
            )  # (B,) -> (B, T)
        if time_mask is not None:
            hidden_states = apply_time_mask(hidden_states, time_mask, self.masked_spec_embed)
        if augments and config.mask_feature_prob > 0:
            feature_mask = sample_feature_mask(
                clips,
                features,
                config.mask_feature_prob,
                config.mask_feature_length,
                config.mask_feature_min_masks,
                device=hidden_states.device,
            )  # (B, D)
            hidden_states = apply_feature_mask(hidden_states, feature_mask)
        return hidden_states, time_mask
