"""Pre-training: hide frames, predict what the quantizer made of them, among negatives.

                     extract_features (B, T, C) --> quantizer --> project_q ---> targets    (B, T, P)
    waveforms (B, L) <
                     projection, time mask --> Transformer --> project_hid ----> prediction (B, T, P)

The time mask acts *after* the two roads part: the quantizer sees every frame, the Transformer does not.

Paper, sections 2 and 3; Hugging Face ``modeling_wav2vec2.py`` (``Wav2Vec2ForPreTraining``); fairseq ``wav2vec2.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from w2vlearn import masks
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.model.initialise import initialise
from w2vlearn.model.losses import contrastive_accuracy, contrastive_logits, contrastive_loss, diversity_loss
from w2vlearn.model.mask_checks import check_negatives
from w2vlearn.model.negatives import sample_negatives
from w2vlearn.model.outputs import PreTrainingOutput
from w2vlearn.model.quantizer import Wav2Vec2GumbelVectorQuantizer
from w2vlearn.model.time_masks import sample_time_mask
from w2vlearn.model.wav2vec2 import Wav2Vec2Model

__all__ = ["Wav2Vec2ForPreTraining", "sample_task"]


def sample_task(
    config: Wav2Vec2Config,
    lengths: Tensor,
    prob: float = 0.65,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """What one step of pre-training asks: which frames are hidden, and the negatives of each.

    Parameters
    ----------
    config : Wav2Vec2Config
        Gives ``mask_time_length``, ``mask_time_min_masks`` and ``num_negatives``.
    lengths : Tensor
        Real samples per clip, ``batch.lengths``. Shape: (B,), integer. The longest clip decides T.
    prob : float
        As in :func:`~w2vlearn.model.time_masks.sample_time_mask`; 0.65 hides 49 % (paper). A config's
        ``mask_time_prob`` is the much lower one of fine-tuning, so it is not used here.

    Returns
    -------
    tuple of Tensor
        ``mask_time_indices`` (B, T) bool and ``sampled_negative_indices`` (B, T, K) int64.
    """
    geometry = FrameGeometry.from_config(config)
    frame_lengths = masks.frame_lengths(lengths, geometry.kernels, geometry.strides)  # (B,) -> (B,)
    frames = int(frame_lengths.max())
    time_mask = sample_time_mask(
        frame_lengths, frames, prob, config.mask_time_length, config.mask_time_min_masks, generator
    )  # (B,) -> (B, T)
    return time_mask, sample_negatives(time_mask, config.num_negatives, generator)  # (B, T) -> (B, T, K)


class Wav2Vec2ForPreTraining(nn.Module):
    """wav2vec 2.0 with its quantizer: waveforms (B, L) -> predictions and targets (B, T, P), and the loss.

    P is ``proj_codevector_dim``: 256 for BASE, 768 for LARGE.
    """

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        if config.add_adapter:
            raise ValueError("pre-training predicts every frame, an adapter merges some; use add_adapter=False")
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        self.dropout_features = nn.Dropout(config.feat_quantizer_dropout)
        self.quantizer = Wav2Vec2GumbelVectorQuantizer(config)
        self.project_hid = nn.Linear(config.hidden_size, config.proj_codevector_dim)
        self.project_q = nn.Linear(config.codevector_dim, config.proj_codevector_dim)
        initialise(self.quantizer)  # project_hid and project_q keep torch's own initialisation

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        sampled_negative_indices: Tensor | None = None,
        gumbel_noise: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> PreTrainingOutput:
        """Run the model; the loss needs both ``mask_time_indices`` and ``sampled_negative_indices``.

        Parameters
        ----------
        input_values, attention_mask, mask_time_indices, output_hidden_states
            As in :meth:`Wav2Vec2Model.forward`.
        sampled_negative_indices : Tensor, optional
            As :func:`~w2vlearn.model.negatives.sample_negatives` returns them. Shape: (B, T, K), int32 or int64.
        gumbel_noise : Tensor, optional
            For the quantizer, in train mode. Shape: (B, T, G, E). Drawn if not given.

        Returns
        -------
        PreTrainingOutput
            Without negatives, ``loss`` and its parts are None.

        Raises
        ------
        TypeError, ValueError
            See :mod:`w2vlearn.model.checks`; raised before anything is computed. Among them: negatives without a time
            mask, and in train mode a time mask without negatives, which would train nothing.
        """
        check_negatives(sampled_negative_indices, mask_time_indices, self.training)
        outputs = self.wav2vec2(
            input_values,
            attention_mask=attention_mask,
            mask_time_indices=mask_time_indices,
            output_hidden_states=output_hidden_states,
        )
        projected_states = self.project_hid(outputs.last_hidden_state)  # (B, T, D) -> (B, T, P)

        extract_features = self.dropout_features(outputs.extract_features)  # (B, T, C), nothing hidden
        codevectors, codes, perplexity = self.quantizer(
            extract_features,
            attention_mask=outputs.frame_mask if outputs.time_mask is None else None,
            mask_time_indices=outputs.time_mask,  # hides real frames only, so one mask is enough
            gumbel_noise=gumbel_noise,
        )  # (B, T, C) -> (B, T, Q), (B, T, G), ()
        projected_quantized_states = self.project_q(codevectors)  # (B, T, Q) -> (B, T, P)

        result = PreTrainingOutput(
            projected_states=projected_states,
            projected_quantized_states=projected_quantized_states,
            codevector_perplexity=perplexity,
            codes=codes,
            last_hidden_state=outputs.last_hidden_state,
            extract_features=outputs.extract_features,
            frame_mask=outputs.frame_mask,
            frame_lengths=outputs.frame_lengths,
            time_mask=outputs.time_mask,
            hidden_states=outputs.hidden_states,
        )
        if sampled_negative_indices is not None:
            self._add_losses(result, sampled_negative_indices)
        return result

    def _add_losses(self, result: PreTrainingOutput, negatives: Tensor) -> None:
        config = self.config
        logits = contrastive_logits(
            result.projected_states,
            result.projected_quantized_states,
            negatives,
            result.codes,
            config.contrastive_logits_temperature,
        )  # (B, T, P), (B, T, P), (B, T, K), (B, T, G) -> (B, T, 1 + K)
        entries = config.num_codevector_groups * config.num_codevectors_per_group
        result.contrastive_loss = contrastive_loss(logits, result.time_mask)
        result.diversity_loss = diversity_loss(result.codevector_perplexity, entries, result.time_mask)
        result.loss = result.contrastive_loss + config.diversity_loss_weight * result.diversity_loss
        result.accuracy = contrastive_accuracy(logits, result.time_mask)
