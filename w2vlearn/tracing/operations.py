"""What a module does, as an `Operation`, and whether it looks along the time axis; by its class, not its name."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from w2vlearn.tracing.letters import is_time
from w2vlearn.tracing.records import Operation

_CONVOLUTIONS = nn.modules.conv._ConvNd
_POOLS = (nn.modules.pooling._AvgPoolNd, nn.modules.pooling._MaxPoolNd, nn.modules.pooling._LPPoolNd)
_LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
_ADAPTIVE_POOLS = (nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd)
HEAD_NAMES = ("num_heads", "num_attention_heads", "n_heads", "nhead")
_ACTIVATIONS = {"gelu": "GELU", "relu": "ReLU", "silu": "SiLU", "swish": "SiLU", "tanh": "tanh", "sigmoid": "sigmoid"}


_operation = functools.lru_cache(maxsize=4096)(Operation)  # equal layers share theirs


def operation_of(module: nn.Module) -> Operation:
    """What ``module`` does, from its class and its own attributes."""
    return _describer(type(module))(module, class_name(module))


@functools.lru_cache(maxsize=4096)
def _describer(kind: type) -> Callable[[Any, str], Operation]:
    """Which function describes modules of a class."""
    for classes, describe in _DESCRIBERS:
        if issubclass(kind, classes):
            return describe
    return _other


def _convolution(module: Any, name: str) -> Operation:
    word = module.padding if isinstance(module.padding, str) else ""
    if word == "same":
        total = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        padding = tuple((n // 2, n - n // 2) for n in total)
    else:
        padding = tuple((n, n) for n in ((0,) * len(module.kernel_size) if word else module.padding))
    return _operation(
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
        weight_norm="parametrizations" in module._modules or "weight_g" in module._parameters,
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
    return _operation("pooling", name, kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil=ceil)


def _linear(module: Any, name: str) -> Operation:
    return _operation("linear", name, module.in_features, module.out_features)


def _group_norm(module: Any, name: str) -> Operation:
    return _operation("group norm", name, module.num_channels, module.num_channels, groups=module.num_groups)


def _layer_norm(module: Any, name: str) -> Operation:
    size = math.prod(module.normalized_shape)
    return _operation("layer norm", name, size, size)


def _instance_norm(module: Any, name: str) -> Operation:
    return _operation("instance norm", name, module.num_features, module.num_features)


def _batch_norm(module: Any, name: str) -> Operation:
    stored = not module.training and module.track_running_stats
    size = module.num_features
    return _operation("batch norm", name, size, size, training=module.training, stored_statistics=stored)


def _dropout(module: Any, name: str) -> Operation:
    return _operation("dropout", name, probability=float(module.p), training=module.training)


def _recurrent(module: Any, name: str) -> Operation:
    sizes = (module.input_size, module.hidden_size)
    return _operation("recurrent", name, *sizes, layers=module.num_layers, both_directions=module.bidirectional)


def _embedding(module: Any, name: str) -> Operation:
    return _operation("embedding", name, module.num_embeddings, module.embedding_dim)


def _identity(module: Any, name: str) -> Operation:
    return _operation("identity", name)


def _other(module: Any, name: str) -> Operation:
    """Modules that torch has no class for: by the names of their class and their numbers."""
    if is_linear(module):
        return _linear(module, name)
    lower = original_class(module).__name__.lower()
    parts = sum(part is not None for part in module._modules.values())
    if "activation" in lower or not parts:
        for key, text in _ACTIVATIONS.items():
            if key in lower:
                return _operation("activation", text)
    if is_attention(module) and (heads := heads_of(module)) is not None:
        width = next((vars(module)[key] for key in ("embed_dim", "hidden_size") if _is_int(module, key)), None)
        size = module.head_dim if _is_int(module, "head_dim") else width // heads if width else None
        return _operation("attention", name, heads=heads, head_size=size)
    if "weightnorm" in lower.replace("_", ""):
        return _operation("weight norm", name, parts=parts)
    if lower == "parametrizationlist":
        return _operation("parametrization", name, parts=parts)
    return _operation("module", name, parts=parts)


_DESCRIBERS: tuple[tuple[Any, Callable[[Any, str], Operation]], ...] = (
    (_CONVOLUTIONS, _convolution),
    (_POOLS, _pooling),
    (nn.Linear, _linear),
    (nn.GroupNorm, _group_norm),
    (nn.LayerNorm, _layer_norm),
    (nn.modules.instancenorm._InstanceNorm, _instance_norm),
    (nn.modules.batchnorm._BatchNorm, _batch_norm),
    (nn.modules.dropout._DropoutNd, _dropout),
    (nn.RNNBase, _recurrent),
    (nn.Embedding, _embedding),
    (nn.Identity, _identity),
)


def is_linear(module: nn.Module) -> bool:
    """A Linear, also a quantised one or an adapter's, which have no `nn.Linear` among their ancestors."""
    if isinstance(module, nn.Linear):
        return True
    has_sizes = _is_int(module, "in_features") and _is_int(module, "out_features")
    return has_sizes and "linear" in type(module).__name__.lower()


def is_attention(module: nn.Module) -> bool:
    """An attention, by its class or the name of its class."""
    return isinstance(module, nn.MultiheadAttention) or "attention" in type(module).__name__.lower()


def heads_of(module: nn.Module) -> int | None:
    """Number of attention heads, for a module that is one attention; None for others."""
    own = vars(module)
    for name in HEAD_NAMES:
        heads = own.get(name)
        if isinstance(heads, int) and not isinstance(heads, bool):
            return heads
    return None


def original_class(module: nn.Module) -> type:
    """The class as written; a parametrized module carries one made up by torch (``ParametrizedConv1d``)."""
    return _original(type(module))


@functools.lru_cache(maxsize=4096)
def _original(kind: type) -> type:
    return kind.__mro__[1] if kind.__name__.startswith("Parametrized") and len(kind.__mro__) > 1 else kind


def class_name(module: nn.Module) -> str:
    """Name of the class as written; for TorchScript that of the original."""
    if isinstance(module, torch.jit.ScriptModule):
        return module.original_name
    return _original(type(module)).__name__


def _is_int(module: nn.Module, name: str) -> bool:
    return isinstance(vars(module).get(name), int)  # asked this way since nn.Module is slow to say no


def mixes_time(module: nn.Module, op: Operation, letters: Sequence[str]) -> bool:
    """Whether this module itself looks along the time axis (what it calls is not counted).

    Parameters
    ----------
    module : nn.Module
        The module.
    op : Operation
        What it does.
    letters : sequence of str
        Letters of its main input's axes, an unknown one with a "?" (it may be time); empty if none is known, then the
        usual layout is assumed.
    """
    kind = op.kind
    if kind in ("dropout", "activation", "identity", "embedding"):
        return False
    timed = [axis for axis, letter in enumerate(letters) if is_time(letter) or letter.startswith("?")]
    if kind in ("convolution", "transposed convolution"):
        if not timed:
            return not letters and op.kernel[-1] > 1
        spatial = {axis - (len(letters) - len(op.kernel)) for axis in timed}
        return any(0 <= axis < len(op.kernel) and (op.kernel[axis] > 1 or op.stride[axis] > 1) for axis in spatial)
    if kind in ("group norm", "instance norm"):
        return any(axis >= 2 for axis in timed) if letters else True
    if kind == "batch norm":
        return not op.stored_statistics and (bool(timed) or not letters)
    if kind == "layer norm":
        return any(axis >= len(letters) - len(getattr(module, "normalized_shape", (0,))) for axis in timed)
    if kind == "linear":
        by_range = "quantized.dynamic" in type(module).__module__  # its scale is the range of the whole tensor
        return by_range or (bool(timed) and timed[-1] == len(letters) - 1)
    if kind == "pooling":
        return any(size > 1 for size in op.kernel) and (bool(timed) or not letters)
    if kind in ("recurrent", "attention") or isinstance(module, _LAYERS) or is_attention(module):
        return True
    if isinstance(module, _ADAPTIVE_POOLS):
        return bool(timed) or not letters
    if isinstance(module, (nn.Softmax, nn.LogSoftmax)) and letters and module.dim is not None:
        return module.dim % len(letters) in timed
    return False
