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

HEAD_NAMES = ("num_heads", "num_attention_heads", "n_heads", "nhead")
_LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
_POOLS = (nn.modules.pooling._AvgPoolNd, nn.modules.pooling._MaxPoolNd, nn.modules.pooling._LPPoolNd)
_ADAPTIVE_POOLS = (nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd)
_ACTIVATIONS = {"gelu": "GELU", "relu": "ReLU", "silu": "SiLU", "swish": "SiLU", "tanh": "tanh", "sigmoid": "sigmoid"}

_operation = functools.lru_cache(maxsize=4096)(Operation)  # equal layers share theirs


def operation_of(module: nn.Module) -> Operation:
    """What ``module`` does, from its class and its own attributes."""
    return _describer(type(module))(module, class_name(module))


@functools.lru_cache(maxsize=4096)
def _describer(kind: type) -> Callable[[Any, str], Operation]:
    """Which function describes modules of a class."""
    return next((describe for classes, describe in _DESCRIBERS if issubclass(kind, classes)), _by_name)


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


def _layer_norm(module: Any, name: str) -> Operation:
    size = math.prod(module.normalized_shape)
    return _operation("layer norm", name, size, size)


def _batch_norm(module: Any, name: str) -> Operation:
    stored = not module.training and module.track_running_stats
    size = module.num_features
    return _operation("batch norm", name, size, size, training=module.training, stored_statistics=stored)


def _recurrent(module: Any, name: str) -> Operation:
    sizes = (module.input_size, module.hidden_size)
    return _operation("recurrent", name, *sizes, layers=module.num_layers, both_directions=module.bidirectional)


def _by_name(module: Any, name: str) -> Operation:
    """Modules that torch has no class for: by the names of their class and their numbers."""
    lower = name.lower()
    features = _number(module, "in_features"), _number(module, "out_features")
    if "linear" in lower and None not in features:  # quantised, or an adapter's: no `nn.Linear` by descent
        return _operation("linear", name, *features)
    parts = sum(part is not None for part in module._modules.values())
    function = next((function for key, function in _ACTIVATIONS.items() if key in lower), None)
    if function and ("activation" in lower or not parts):
        return _operation("activation", function)
    heads = _number(module, *HEAD_NAMES)
    if _is_attention(module) and heads is not None:
        width = _number(module, "embed_dim", "hidden_size")
        size = _number(module, "head_dim") or (width // heads if width else None)
        return _operation("attention", name, heads=heads, head_size=size)
    if "weightnorm" in lower.replace("_", ""):
        return _operation("weight norm", name, parts=parts)
    return _operation("parametrization" if lower == "parametrizationlist" else "module", name, parts=parts)


_DESCRIBERS: tuple[tuple[Any, Callable[[Any, str], Operation]], ...] = (
    (nn.modules.conv._ConvNd, _convolution),
    (_POOLS, _pooling),
    (nn.Linear, lambda m, name: _operation("linear", name, m.in_features, m.out_features)),
    (nn.GroupNorm, lambda m, name: _operation("group norm", name, m.num_channels, m.num_channels, groups=m.num_groups)),
    (nn.LayerNorm, _layer_norm),
    (
        nn.modules.instancenorm._InstanceNorm,
        lambda m, name: _operation("instance norm", name, m.num_features, m.num_features),
    ),
    (nn.modules.batchnorm._BatchNorm, _batch_norm),
    (
        nn.modules.dropout._DropoutNd,
        lambda m, name: _operation("dropout", name, probability=float(m.p), training=m.training),
    ),
    (nn.RNNBase, _recurrent),
    (nn.Embedding, lambda m, name: _operation("embedding", name, m.num_embeddings, m.embedding_dim)),
    (nn.Identity, lambda m, name: _operation("identity", name)),
)


def _is_attention(module: nn.Module) -> bool:
    return isinstance(module, nn.MultiheadAttention) or "attention" in type(module).__name__.lower()


def _number(module: nn.Module, *names: str) -> int | None:
    """The first of these attributes that is an int."""
    own = vars(module)  # asked this way since nn.Module is slow to say no
    return next((own[name] for name in names if type(own.get(name)) is int), None)


def class_name(module: nn.Module) -> str:
    """Name of the class as written: for TorchScript that of the original, and not ``ParametrizedConv1d``."""
    if isinstance(module, torch.jit.ScriptModule):
        return module.original_name
    kind = type(module)
    return kind.__mro__[1].__name__ if kind.__name__.startswith("Parametrized") else kind.__name__


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
    kind, axes = op.kind, len(letters)
    if kind in ("dropout", "activation", "identity", "embedding"):
        return False
    timed = [axis for axis, letter in enumerate(letters) if is_time(letter) or letter.startswith("?")]
    has_time = bool(timed) or not letters
    if kind in ("convolution", "transposed convolution"):
        first = axes - len(op.kernel)
        windows = [max(sizes) > 1 for sizes in zip(op.kernel, op.stride, strict=True)]
        return any(axis >= first and windows[axis - first] for axis in timed) if letters else op.kernel[-1] > 1
    if kind in ("group norm", "instance norm"):
        return not letters or any(axis >= 2 for axis in timed)
    if kind == "batch norm":
        return has_time and not op.stored_statistics
    if kind == "layer norm":
        return any(axis >= axes - len(module.normalized_shape) for axis in timed)
    if kind == "linear":
        by_range = "quantized.dynamic" in type(module).__module__  # its scale is the range of the whole tensor
        return by_range or axes - 1 in timed
    if kind == "pooling":
        return has_time and max(op.kernel) > 1
    if isinstance(module, (nn.Softmax, nn.LogSoftmax)) and letters and module.dim is not None:
        return module.dim % axes in timed
    if isinstance(module, _ADAPTIVE_POOLS):
        return has_time
    return kind in ("recurrent", "attention") or isinstance(module, _LAYERS) or _is_attention(module)
