"""Stage 4b, optional: the adapter shortens T after the Transformer, 49 -> 25 -> 13 -> 7 frames.

For a decoder that wants fewer frames than one per 20 ms (speech translation; Li et al. 2021). Hugging Face
``modeling_wav2vec2.py`` (``Wav2Vec2Adapter``).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry

__all__ = ["Wav2Vec2Adapter"]

PADDING = 1  # frames of zeros on both sides of each convolution, whatever its kernel


class Wav2Vec2AdapterLayer(nn.Module):
    """Convolution with stride 2, then a gate: half of the channels decides how much of the other half passes.

    Shape: (B, A, T_in) -> (B, A, T_out), T_out = (T_in + 2 - kernel) // stride + 1, A = ``output_hidden_size``.
    """

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        self.conv = nn.Conv1d(
            config.output_hidden_size,
            2 * config.output_hidden_size,
            kernel_size=config.adapter_kernel_size,
            stride=config.adapter_stride,
            padding=PADDING,
        )

    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = self.conv(hidden_states)  # (B, A, T_in) -> (B, 2 A, T_out)
        return F.glu(hidden_states, dim=1)  # (B, 2 A, T_out) -> (B, A, T_out)


class Wav2Vec2Adapter(nn.Module):
    """Optional projection D -> A, then the strided layers. Shape: (B, T, D) -> (B, T', A).

    It is handed no mask, as in Hugging Face: the last valid frame of a clip also reads padded ones.

    Notes
    -----
    Hugging Face applies LayerDrop here too, so in train mode a stride is sometimes skipped and T' changes from call to
    call (49, 25, 13 or 7). Here every layer always runs: T' depends on the clips alone. In eval mode both are equal.
    """

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        self.geometry = FrameGeometry((config.adapter_kernel_size,), (config.adapter_stride,))  # of one layer
        self.proj = self.proj_layer_norm = None
        if config.output_hidden_size != config.hidden_size:
            self.proj = nn.Linear(config.hidden_size, config.output_hidden_size)
            self.proj_layer_norm = nn.LayerNorm(config.output_hidden_size)
        self.layers = nn.ModuleList(Wav2Vec2AdapterLayer(config) for _ in range(config.num_adapter_layers))

    def forward(self, hidden_states: Tensor) -> Tensor:
        if self.proj is not None:
            hidden_states = self.proj_layer_norm(self.proj(hidden_states))  # (B, T, D) -> (B, T, A)
        hidden_states = hidden_states.transpose(1, 2)  # (B, T, A) -> (B, A, T)
        for layer in self.layers:
            hidden_states = layer(hidden_states)  # (B, A, T) -> (B, A, T'), about half as long
        return hidden_states.transpose(1, 2)  # (B, A, T') -> (B, T', A)

    def frame_lengths(self, frame_lengths: Tensor) -> Tensor:
        """Valid frames per clip after the adapter, as if each clip were alone. Shapes: (B,) -> (B,), int64."""
        for _ in self.layers:
            frame_lengths = self.geometry.frame_counts(frame_lengths + 2 * PADDING)
        return frame_lengths
