"""What the models return: the tensors, and beside them the masks that other libraries keep to themselves."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.export import register_dataclass

__all__ = ["CTCOutput", "ClassificationOutput", "PreTrainingOutput", "Wav2Vec2Output"]


@dataclass(kw_only=True)
class Wav2Vec2Output:
    """Output of :class:`~w2vlearn.model.Wav2Vec2Model`; the other outputs have these fields after their own.

    Attributes
    ----------
    last_hidden_state : Tensor
        Contextual features. Shape: (B, T, D), or (B, T', A) with an adapter.
    extract_features : Tensor
        Feature encoder output after its LayerNorm, before the projection. Shape: (B, T, C).
    frame_mask : Tensor
        True for valid frames *of last_hidden_state*. Shape: (B, T), bool; (B, T') with an adapter. All true if no
        sample mask was given.
    frame_lengths : Tensor
        Valid frames per clip, of last_hidden_state too. Shape: (B,), int64.
    time_mask : Tensor, optional
        The time mask that was applied, given or drawn: True = hidden. Shape: (B, T), bool. None if there was none.
    hidden_states : tuple of Tensor, optional
        depth + 1 tensors (B, T, D): entry 0 is the input of the first Transformer layer, entry i the output of layer i.
        An adapter comes after them: they keep T.
    """

    last_hidden_state: Tensor
    extract_features: Tensor
    frame_mask: Tensor
    frame_lengths: Tensor
    time_mask: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass(kw_only=True)
class _Logits:
    logits: Tensor
    loss: Tensor | None = None


@dataclass(kw_only=True)
class CTCOutput(Wav2Vec2Output, _Logits):  # a dataclass takes its fields from the last base first: logits lead
    """Output of :class:`~w2vlearn.model.Wav2Vec2ForCTC`.

    ``logits`` (B, T, V), ``loss`` () if labels were given, all others as in :class:`Wav2Vec2Output`.
    """


@dataclass(kw_only=True)
class ClassificationOutput(Wav2Vec2Output, _Logits):
    """Output of :class:`~w2vlearn.model.Wav2Vec2ForSequenceClassification`.

    ``logits`` (B, N), ``loss`` () if labels were given, all others as in :class:`Wav2Vec2Output`.
    """


@dataclass(kw_only=True)
class _Prediction:
    projected_states: Tensor
    projected_quantized_states: Tensor
    codevector_perplexity: Tensor
    codes: Tensor
    loss: Tensor | None = None
    contrastive_loss: Tensor | None = None
    diversity_loss: Tensor | None = None
    accuracy: Tensor | None = None


@dataclass(kw_only=True)
class PreTrainingOutput(Wav2Vec2Output, _Prediction):
    """Output of :class:`~w2vlearn.model.Wav2Vec2ForPreTraining`; what is not listed is as in :class:`Wav2Vec2Output`.

    Attributes
    ----------
    projected_states, projected_quantized_states : Tensor
        Prediction and target of every frame. Shapes: (B, T, P).
    codevector_perplexity : Tensor
        Codebook entries in use, over hidden valid frames; over all valid frames if nothing is hidden. Shape: ().
    codes : Tensor
        The entry that each frame takes from each codebook. Shape: (B, T, G), int64.
    contrastive_loss, diversity_loss, loss : Tensor, optional
        Sums over hidden frames; loss = contrastive + ``diversity_loss_weight`` * diversity. Shapes: ().
    accuracy : Tensor, optional
        Share of hidden frames whose own target is the most similar. Shape: ().
    """


# torch.export knows tuples and dictionaries by itself; a dataclass has to be introduced
for _output in (CTCOutput, ClassificationOutput, PreTrainingOutput, Wav2Vec2Output):
    register_dataclass(_output)
