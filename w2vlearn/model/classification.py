"""Stage 5, another head: one label per clip, from the mean of its valid frames.

Hugging Face ``modeling_wav2vec2.py`` (``Wav2Vec2ForSequenceClassification``); Yang et al. 2021 (SUPERB) for the
weighted sum of layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from w2vlearn import padding_masks
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.model.initialise import initialise
from w2vlearn.model.input_checks import check_class_labels
from w2vlearn.model.outputs import ClassificationOutput
from w2vlearn.model.wav2vec2 import Wav2Vec2Model

__all__ = ["Wav2Vec2ForSequenceClassification", "mean_pool"]


def mean_pool(hidden_states: Tensor, frame_mask: Tensor) -> Tensor:
    """Mean over valid frames: here T disappears. Shapes: (B, T, F), (B, T) -> (B, F)."""
    total = padding_masks.zero_padding(hidden_states, frame_mask).sum(dim=1)  # (B, T, F) -> (B, F)
    return total / frame_mask.sum(dim=1)[:, None]  # (B, F) / (B, 1)


class Wav2Vec2ForSequenceClassification(nn.Module):
    """wav2vec 2.0 with a label per clip: waveforms (B, L) -> logits (B, N), N = ``num_labels``.

    Without a sample mask every frame counts as valid, so a padded batch is averaged over its padding: give the mask.
    """

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        if config.add_adapter:
            raise ValueError("sequence classification reads D features of every frame; build it with add_adapter=False")
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        if config.use_weighted_layer_sum:
            entries = config.num_hidden_layers + 1
            self.layer_weights = nn.Parameter(torch.full((entries,), 1 / entries))
        self.projector = nn.Linear(config.hidden_size, config.classifier_proj_size)
        self.classifier = nn.Linear(config.classifier_proj_size, config.num_labels)
        initialise(self.projector)
        initialise(self.classifier)

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> ClassificationOutput:
        """Run the model; arguments as in :meth:`Wav2Vec2Model.forward`, ``labels`` (B,) int64, 0 … N - 1.

        Returns
        -------
        ClassificationOutput
            With ``loss``, the mean cross-entropy, if labels were given.
        """
        if labels is not None:
            check_class_labels(labels, len(input_values), self.config.num_labels)
        weighted = self.config.use_weighted_layer_sum
        outputs = self.wav2vec2(
            input_values, attention_mask=attention_mask, output_hidden_states=output_hidden_states or weighted
        )
        hidden_states = self._weighted_sum(outputs.hidden_states) if weighted else outputs.last_hidden_state
        hidden_states = self.projector(hidden_states)  # (B, T, D) -> (B, T, F)
        pooled = mean_pool(hidden_states, outputs.frame_mask)  # (B, T, F) -> (B, F)
        logits = self.classifier(pooled)  # (B, F) -> (B, N)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        if not output_hidden_states:
            outputs.hidden_states = None
        return ClassificationOutput(logits=logits, loss=loss, **vars(outputs))

    def _weighted_sum(self, hidden_states: tuple[Tensor, ...]) -> Tensor:
        """All layers' hidden states, mixed with learned weights. Shape: depth + 1 times (B, T, D) -> (B, T, D)."""
        weights = self.layer_weights.softmax(dim=0)  # (depth + 1,)
        return torch.einsum("nbtd,n->btd", torch.stack(hidden_states), weights)  # (depth + 1, B, T, D) -> (B, T, D)
