"""Stage 3: positions by convolution, relative and without a maximum length.

Paper, section 2 ("Contextualized representations"); fairseq ``wav2vec2.py`` (``pos_conv``, ``SamePad``).
"""

from __future__ import annotations

from torch import Tensor, nn

from w2vlearn.config import Wav2Vec2Config

__all__ = ["Wav2Vec2PositionalConvEmbedding"]


class Wav2Vec2SamePadLayer(nn.Module):
    """Cut the last frame if the kernel is even: padding 64 + 64 around a kernel of 128 gives T + 1 outputs.

    Shape: (B, D, T + 1) -> (B, D, T), or unchanged for an odd kernel.
    """

    def __init__(self, kernel: int):
        super().__init__()
        self.surplus = 1 if kernel % 2 == 0 else 0

    def forward(self, hidden_states: Tensor) -> Tensor:
        return hidden_states[:, :, : hidden_states.shape[2] - self.surplus]  # (B, D, T + 1) -> (B, D, T)


class Wav2Vec2PositionalConvEmbedding(nn.Module):
    """A grouped convolution over 128 frames (2.56 s), added to the frames as their position. Shape: (B, T, D) -> same.

    The weight is stored as direction and length (weight norm): ``original0`` (1, 1, kernel) is the length ("g"),
    ``original1`` (D, D / groups, kernel) the direction ("v").
    """

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        kernel = config.num_conv_pos_embeddings
        conv = nn.Conv1d(
            config.hidden_size,
            config.hidden_size,
            kernel_size=kernel,
            padding=kernel // 2,
            groups=config.num_conv_pos_embedding_groups,
        )
        self.conv = nn.utils.parametrizations.weight_norm(conv, name="weight", dim=2)
        self.padding = Wav2Vec2SamePadLayer(kernel)
        self.activation = nn.GELU()

    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = hidden_states.transpose(1, 2)  # (B, T, D) -> (B, D, T)
        hidden_states = self.conv(hidden_states)  # (B, D, T) -> (B, D, T + 1) for an even kernel
        hidden_states = self.padding(hidden_states)  # (B, D, T + 1) -> (B, D, T)
        hidden_states = self.activation(hidden_states)
        return hidden_states.transpose(1, 2)  # (B, D, T) -> (B, T, D)
