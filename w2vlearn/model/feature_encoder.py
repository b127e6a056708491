"""Stage 1: the feature encoder. Seven convolutions turn samples into frames of C = 512 channels.

Paper, section 2 ("Feature encoder") and 4.2. Names follow Hugging Face ``modeling_wav2vec2.py``; in fairseq
``wav2vec2.py`` this is ``ConvFeatureExtractionModel``.
"""

from __future__ import annotations

from torch import Tensor, nn

from w2vlearn.config import Wav2Vec2Config

__all__ = ["Wav2Vec2FeatureEncoder"]


def _convolution(config: Wav2Vec2Config, index: int) -> nn.Conv1d:
    """Convolution ``index`` of the stack, without padding: a frame exists only if all its samples exist."""
    return nn.Conv1d(
        config.conv_dim[index - 1] if index > 0 else 1,
        config.conv_dim[index],
        kernel_size=config.conv_kernel[index],
        stride=config.conv_stride[index],
        bias=config.conv_bias,
    )


class Wav2Vec2NoLayerNormConvLayer(nn.Module):
    """Convolution and GELU. Shape: (B, C_in, T_in) -> (B, C_out, T_out), T_out = (T_in - kernel) // stride + 1."""

    def __init__(self, config: Wav2Vec2Config, index: int):
        super().__init__()
        self.conv = _convolution(config, index)
        self.activation = nn.GELU()

    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = self.conv(hidden_states)  # (B, C_in, T_in) -> (B, C_out, T_out)
        return self.activation(hidden_states)


class Wav2Vec2LayerNormConvLayer(nn.Module):
    """Convolution, LayerNorm over the channels of each position, GELU: no position hears of another one."""

    def __init__(self, config: Wav2Vec2Config, index: int):
        super().__init__()
        self.conv = _convolution(config, index)
        self.layer_norm = nn.LayerNorm(config.conv_dim[index])
        self.activation = nn.GELU()

    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = self.conv(hidden_states)  # (B, C_in, T_in) -> (B, C_out, T_out)
        hidden_states = hidden_states.transpose(1, 2)  # (B, T_out, C_out): LayerNorm works on the last axis
        hidden_states = self.layer_norm(hidden_states)
        hidden_states = hidden_states.transpose(1, 2)  # (B, C_out, T_out)
        return self.activation(hidden_states)


class Wav2Vec2GroupNormConvLayer(nn.Module):
    """Convolution, GroupNorm with one group per channel, GELU.

    The GroupNorm takes each channel's mean and variance over the *whole time axis, padding included*: from here on the
    value of every frame depends on every sample, and on how far the clip was padded. No later mask can undo that.
    """

    def __init__(self, config: Wav2Vec2Config, index: int):
        super().__init__()
        self.conv = _convolution(config, index)
        self.activation = nn.GELU()
        self.layer_norm = nn.GroupNorm(num_groups=config.conv_dim[index], num_channels=config.conv_dim[index])

    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = self.conv(hidden_states)  # (B, C_in, T_in) -> (B, C_out, T_out)
        hidden_states = self.layer_norm(hidden_states)
        return self.activation(hidden_states)


class Wav2Vec2FeatureEncoder(nn.Module):
    """The stack of convolutions. Shape: (B, L) -> (B, C, T), T = (L - 400) // 320 + 1 for BASE."""

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        first, other = {
            "group": (Wav2Vec2GroupNormConvLayer, Wav2Vec2NoLayerNormConvLayer),
            "layer": (Wav2Vec2LayerNormConvLayer, Wav2Vec2LayerNormConvLayer),
        }[config.feat_extract_norm]
        self.conv_layers = nn.ModuleList(
            (other if index else first)(config, index) for index in range(len(config.conv_dim))
        )

    def forward(self, input_values: Tensor) -> Tensor:
        hidden_states = input_values[:, None]  # (B, L) -> (B, 1, L): one input channel
        for conv_layer in self.conv_layers:
            hidden_states = conv_layer(hidden_states)  # (B, C, T1), (B, C, T2), … (B, C, T7 = T)
        return hidden_states
