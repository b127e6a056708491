"""What a module does, as an `Operation`, and whether it looks along the time axis. Decided by its class, not its name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from w2vlearn.tracing.letters import is_time
from w2vlearn.tracing.records import Operation

_CONVOLUTIONS = nn.modules.conv._ConvNd
_POOLS = (nn.modules.pooling._AvgPoolNd, nn.modules.pooling._MaxPoolNd, nn.modules.pooling._LPPoolNd)
_ADAPTIVE_POOLS = (nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd)
_ACTIVATIONS = {"gelu": "GELU", "relu": "ReLU", "silu": "SiLU", "swish": "SiLU", "tanh": "tanh", "sigmoid": "sigmoid"}


def operation_of(module: nn.Module) -> Operation:
    """What ``module`` does, from its class and its own attributes."""
    kind = original_class(module)
    name = class_name(module)
    if isinstance(module, _CONVOLUTIONS):
        return _convolution(module, name)
    if isinstance(module, _POOLS):
        return _pooling(module, name)
    if isinstance(module, nn.GroupNorm):
        return Operation("group norm", name, module.num_channels, module.num_channels, groups=module.num_groups)
    if isinstance(module, nn.LayerNorm):
        size = math.prod(module.normalized_shape)
        return Operation("layer norm", name, size, size)
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return Operation("instance norm", name, module.num_features, module.num_features)
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        stored = not module.training and module.track_running_stats
        size = module.num_features
        return Operation("batch norm", name, size, size, training=module.training, stored_statistics=stored)
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return Operation("dropout", name, probability=float(module.p), training=module.training)
    if isinstance(module, nn.RNNBase):
        return Operation(
            "recurrent",
            name,
            module.input_size,
            module.hidden_size,
            layers=module.num_layers,
            both_directions=module.bidirectional,
        )
    if isinstance(module, nn.Embedding):
        return Operation("embedding", name, module.num_embeddings, module.embedding_dim)
    if is_linear(module):
        return Operation("linear", name, module.in_features, module.out_features)
    if isinstance(module, nn.Identity):
        return Operation("identity", name)
    lower = kind.__name__.lower()
    if "activation" in lower or not module._modules:
        for key, text in _ACTIVATIONS.items():
            if key in lower:
                return Operation("activation", text)
    if is_attention(module) and (heads := heads_of(module)) is not None:
        width = next((getattr(module, key) for key in ("embed_dim", "hidden_size") if _is_int(module, key)), None)
        size = module.head_dim if _is_int(module, "head_dim") else width // heads if width else None
        return Operation("attention", name, heads=heads, head_size=size)
    parts = sum(part is not None for part in module._modules.values())
    if "weightnorm" in lower.replace("_", ""):
        return Operation("weight norm", name, parts=parts)
    if lower == "parametrizationlist":
        return Operation("parametrization", name, parts=parts)
    return Operation("module", name, parts=parts)


def _convolution(module: Any, name: str) -> Operation:
    word = module.padding if isinstance(module.padding, str) else ""
    if word == "same":
        total = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        padding = tuple((n // 2, n - n // 2) for n in total)
    else:
        padding = tuple((n, n) for n in ((0,) * len(module.kernel_size) if word else module.padding))
    return Operation(
        "transposed convolution" if module.transposed else "convolution",
        name,
        module.in_channels,
        module.out_channels,
        kernel=tuple(module.kernel_size),
        stride=tuple(module.stride),
        padding=padding,
        padding_name=word,
        dilation=tuple(module.dilation),
        output_padding=tuple(module.output_padding) if module.transposed else (),
        groups=module.groups,
        weight_norm="parametrizations" in module._modules or hasattr(module, "weight_g"),
    )


def _pooling(module: Any, name: str) -> Operation:
    axes = int(type(module).__name__[-2]) if type(module).__name__[-2:-1].isdigit() else 1

    def numbers(value: Any) -> tuple[int, ...]:
        return tuple(value) if isinstance(value, tuple | list) else (int(value),) * axes

    kernel = numbers(module.kernel_size)
    stride = numbers(module.stride if module.stride is not None else module.kernel_size)
    padding = tuple((n, n) for n in numbers(getattr(module, "padding", 0)))
    dilation = numbers(getattr(module, "dilation", 1))
    ceil = bool(module.ceil_mode)
    return Operation("pooling", name, kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil=ceil)


def is_linear(module: nn.Module) -> bool:
    """A Linear, also a quantised one or an adapter's, which have no `nn.Linear` among their ancestors."""
    has_sizes = _is_int(module, "in_features") and _is_int(module, "out_features")
    return isinstance(module, nn.Linear) or (has_sizes and "linear" in type(module).__name__.lower())


def is_attention(module: nn.Module) -> bool:
    """An attention, by its class or the name of its class."""
    return isinstance(module, nn.MultiheadAttention) or "attention" in type(module).__name__.lower()


def heads_of(module: nn.Module) -> int | None:
    """Number of attention heads, for a module that is one attention; None for others."""
    for name in ("num_heads", "num_attention_heads", "n_heads", "nhead"):
        heads = getattr(module, name, None)
        if isinstance(heads, int) and not isinstance(heads, bool):
            return heads
    return None


def original_class(module: nn.Module) -> type:
    """The class as written; a parametrized module carries one made up by torch (``ParametrizedConv1d``)."""
    kind = type(module)
    return kind.__mro__[1] if kind.__name__.startswith("Parametrized") and len(kind.__mro__) > 1 else kind


def class_name(module: nn.Module) -> str:
    """Name of the class as written; for TorchScript that of the original."""
    return getattr(module, "original_name", None) or original_class(module).__name__


def _is_int(module: nn.Module, name: str) -> bool:
    return isinstance(getattr(module, name, None), int)


def mixes_time(module: nn.Module, letters: Sequence[str]) -> bool:
    """Whether this module itself looks along the time axis (what it calls is not counted).

    Parameters
    ----------
    module : nn.Module
        The module.
    letters : sequence of str
        Letters of its main input's axes; empty if not known, then the usual layout is assumed.
    """
    timed = [axis for axis, letter in enumerate(letters) if is_time(letter)]
    if isinstance(module, _CONVOLUTIONS):
        kernel = module.kernel_size
        if not timed:
            return not letters and kernel[-1] > 1
        spatial = {axis - (len(letters) - len(kernel)) for axis in timed}
        return any(0 <= axis < len(kernel) and (kernel[axis] > 1 or module.stride[axis] > 1) for axis in spatial)
    if isinstance(module, (nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)):
        return any(axis >= 2 for axis in timed) if letters else True
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return (module.training or not module.track_running_stats) and (bool(timed) or not letters)
    if isinstance(module, nn.LayerNorm):
        return any(axis >= len(letters) - len(module.normalized_shape) for axis in timed)
    if isinstance(module, nn.Linear):
        return bool(timed) and timed[-1] == len(letters) - 1
    layers = (nn.RNNBase, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
    if isinstance(module, layers) or is_attention(module):
        return True
    if isinstance(module, _POOLS):
        kernel = module.kernel_size
        wide = any(size > 1 for size in ((kernel,) if isinstance(kernel, int) else kernel))
        return wide and (bool(timed) or not letters)
    if isinstance(module, _ADAPTIVE_POOLS):
        return bool(timed) or not letters
    if isinstance(module, (nn.Softmax, nn.LogSoftmax)) and letters and module.dim is not None:
        return module.dim % len(letters) in timed
    return False
