"""Stage 5: the CTC head, one row of V logits per frame, and its loss.

Paper, section 3.3 ("Fine-tuning"); Graves et al. 2006; Hugging Face ``modeling_wav2vec2.py`` (``Wav2Vec2ForCTC``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from w2vlearn.config import Wav2Vec2Config
from w2vlearn.model.initialise import initialise
from w2vlearn.model.input_checks import check_token_labels
from w2vlearn.model.outputs import CTCOutput
from w2vlearn.model.wav2vec2 import Wav2Vec2Model

__all__ = ["Wav2Vec2ForCTC", "ctc_loss"]


def ctc_loss(logits: Tensor, labels: Tensor, frame_lengths: Tensor, config: Wav2Vec2Config) -> Tensor:
    """Connectionist temporal classification loss over valid frames and the tokens of each clip.

    Parameters
    ----------
    logits : Tensor
        Shape: (B, T, V).
    labels : Tensor
        Shape: (B, U), integer; -100 (or the blank) fills the rows up: it is cut out, it is not a class.
    frame_lengths : Tensor
        Valid frames per clip, from the *mask*. Shape: (B,).

    Returns
    -------
    Tensor
        Shape: (), or (B,) with ``ctc_loss_reduction = "none"``. Infinite where a clip has fewer frames than labels plus
        adjacent equal pairs, unless ``ctc_zero_infinity``. At least float32.

    Raises
    ------
    TypeError, ValueError
        If labels are no integers of shape (B, U) in 0 … V - 1, or -100.
    """
    check_token_labels(labels, logits.shape[0], logits.shape[2])
    is_token = (labels != -100) & (labels != config.pad_token_id)  # (B, U)
    # float16 has too little range for a sum of log probabilities; float32 is the least, float64 stays
    log_probs = logits.log_softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    return F.ctc_loss(
        log_probs.transpose(0, 1),  # (B, T, V) -> (T, B, V): torch's order
        labels[is_token],  # (B, U) -> (tokens of all clips,)
        frame_lengths,
        is_token.sum(dim=1),  # (B, U) -> (B,)
        blank=config.pad_token_id,
        reduction=config.ctc_loss_reduction,
        zero_infinity=config.ctc_zero_infinity,
    )


class Wav2Vec2ForCTC(nn.Module):
    """wav2vec 2.0 with a letter head: waveforms (B, L) -> logits (B, T, V)."""

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        self.dropout = nn.Dropout(config.final_dropout)
        features = config.output_hidden_size if config.add_adapter else config.hidden_size
        self.lm_head = nn.Linear(features, config.vocab_size)
        initialise(self.lm_head)

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> CTCOutput:
        """Run the model; arguments as in :meth:`Wav2Vec2Model.forward`, ``labels`` (B, U) as in :func:`ctc_loss`."""
        if labels is not None:
            check_token_labels(labels, len(input_values), self.config.vocab_size)
        outputs = self.wav2vec2(input_values, attention_mask=attention_mask, output_hidden_states=output_hidden_states)
        logits = self.lm_head(self.dropout(outputs.last_hidden_state))  # (B, T, D) -> (B, T, V)
        loss = None if labels is None else ctc_loss(logits, labels, outputs.frame_lengths, self.config)
        return CTCOutput(logits=logits, loss=loss, **vars(outputs))
