"""What the models return: the tensors, and beside them the masks that other libraries keep to themselves."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.export import register_dataclass

__all__ = ["CTCOutput", "Wav2Vec2Output"]


@dataclass
class Wav2Vec2Output:
    """Output of :class:`~w2vlearn.model.Wav2Vec2Model`.

    Attributes
    ----------
    last_hidden_state : Tensor
        Contextual features. Shape: (B, T, D).
    extract_features : Tensor
        Feature encoder output after its LayerNorm, before the projection. Shape: (B, T, C).
    frame_mask : Tensor
        True for real frames. Shape: (B, T), bool. All true if no sample mask was given.
    frame_lengths : Tensor
        Real frames per clip. Shape: (B,), int64.
    hidden_states : tuple of Tensor, optional
        depth + 1 tensors (B, T, D): entry 0 is the input of the first Transformer layer, entry i the output of layer i.
    """

    last_hidden_state: Tensor
    extract_features: Tensor
    frame_mask: Tensor
    frame_lengths: Tensor
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class CTCOutput:
    """Output of :class:`~w2vlearn.model.Wav2Vec2ForCTC`.

    ``logits`` (B, T, V), ``loss`` () if labels were given, the rest as in :class:`Wav2Vec2Output`.
    """

    logits: Tensor
    last_hidden_state: Tensor
    extract_features: Tensor
    frame_mask: Tensor
    frame_lengths: Tensor
    loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


# torch.export knows tuples and dictionaries by itself; a dataclass has to be introduced
for _output in (CTCOutput, Wav2Vec2Output):
    register_dataclass(_output)
