"""What a module does, by its class and torch's documentation, not by its name.

As an `Operation` (`operation_of`); whether it looks along time (`mixes_time`); what it makes of the axes of its input
(`roles`, `made_by`, `made_beside`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from w2vlearn.tracing.letters import CLIPS, CONSTANT, UNKNOWN, Length, is_time
from w2vlearn.tracing.records import Operation

Formula = Callable[[int], int]  # how many positions are made of n
Derived = Callable[[Length, int, Formula], Any]

_POOLS = (nn.modules.pooling._AvgPoolNd, nn.modules.pooling._MaxPoolNd, nn.modules.pooling._LPPoolNd)
_ADAPTIVE_POOLS = (nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd)
_PADS = (
    nn.modules.padding._ConstantPadNd,
    nn.modules.padding._ReflectionPadNd,
    nn.modules.padding._ReplicationPadNd,
    nn.modules.padding._CircularPadNd,
)
_LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
_KEEPERS = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.Softmax, nn.LogSoftmax)
_KEEPS = ("group norm", "batch norm", "instance norm", "layer norm", "dropout", "activation", "identity", "attention")
_ACTIVATIONS = {"gelu": "GELU", "relu": "ReLU", "silu": "SiLU", "swish": "SiLU", "tanh": "tanh", "sigmoid": "sigmoid"}
_HEADS = ("num_heads", "num_attention_heads", "n_heads", "nhead")
_SIZE_NAMES = frozenset(("in_features", "out_features", "embed_dim", "hidden_size", "head_dim", *_HEADS))

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
    if "linear" in lower:  # quantised, or an adapter's: no `nn.Linear` by descent
        features = _number(module, "in_features"), _number(module, "out_features")
        if None not in features:
            return _operation("linear", name, *features)
    parts = sum(part is not None for part in module._modules.values())
    if "activation" in lower or not parts:
        for key, function in _ACTIVATIONS.items():
            if key in lower:
                return _operation("activation", function)
    heads = _number(module, *_HEADS)
    if "attention" in lower and heads is not None:
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
    module, op : nn.Module, Operation
        The module, and what it does.
    letters : sequence of str
        Letters of its main input's axes, an unknown one with a "?" (it may be time).
    """
    kind, last = op.kind, len(letters)
    if kind in ("dropout", "activation", "identity", "embedding"):
        return False
    if kind in ("recurrent", "attention"):
        return True
    if kind == "module" and (isinstance(module, _LAYERS) or "attention" in op.name.lower()):
        return True
    mixed: Iterable[int] = ()
    if "convolution" in kind:
        first = last - len(op.kernel)
        mixed = [first + axis for axis, sizes in enumerate(zip(op.kernel, op.stride, strict=True)) if max(sizes) > 1]
    elif kind in ("group norm", "instance norm"):
        mixed = range(2, last)
    elif kind == "layer norm":
        mixed = range(last - len(module.normalized_shape), last)
    elif kind == "linear":
        by_range = "quantized.dynamic" in type(module).__module__  # its scale is the range of the whole tensor
        mixed = range(0 if by_range else last - 1, last)
    elif (
        isinstance(module, _ADAPTIVE_POOLS)
        or (kind == "pooling" and max(op.kernel) > 1)
        or (kind == "batch norm" and not op.stored_statistics)
    ):
        mixed = range(last)
    elif isinstance(module, (nn.Softmax, nn.LogSoftmax)) and module.dim is not None:
        mixed = (module.dim % max(last, 1),)
    return any(is_time(letters[axis]) or letters[axis].startswith("?") for axis in mixed if 0 <= axis < last)


def made_by(
    module: nn.Module, op: Operation, before: tuple, sizes: tuple, shape: tuple, derived: Derived
) -> tuple | None:
    """Axes of an output by what its module does; None where that is not documented.

    Parameters
    ----------
    module, op : nn.Module, Operation
    before, sizes : tuple
        Axes and sizes of its main input.
    shape : tuple of int
        Of the output.
    derived : callable
        ``derived(length, size, formula)``: the length that a formula makes of another, if ``size`` is what it gives.
    """
    kind, axes = op.kind, list(before)
    if kind == "embedding" and len(shape) == len(axes) + 1:
        return (*before, CONSTANT)
    if len(shape) != len(axes):
        return None
    if kind in ("linear", "recurrent"):
        return (*before[:-1], CONSTANT)
    if isinstance(module, nn.GLU):
        halved = module.dim % len(shape)
        axes[halved] = CONSTANT if axes[halved] is CONSTANT else UNKNOWN
        return tuple(axes)
    formulas = _formulas(module, op, len(shape))
    for axis, formula in formulas.items():
        if isinstance(axes[axis], Length):
            axes[axis] = derived(axes[axis], shape[axis], formula)
        elif axes[axis] is CONSTANT and formula(sizes[axis]) != shape[axis]:
            axes[axis] = UNKNOWN
    if "convolution" in kind and min(formulas) > 0:
        axes[min(formulas) - 1] = CONSTANT
    if formulas:
        return tuple(axes)
    if sizes != shape:
        return None
    if kind in _KEEPS or isinstance(module, _KEEPERS):
        return before
    # A part of somebody's own that keeps the shape keeps the axes, where each size says which axis it is.
    distinct = len(set(shape) - {1}) == sum(size != 1 for size in shape)
    return before if distinct and not module._modules else None


def made_beside(module: nn.Module, op: Operation, before: tuple, shape: tuple) -> tuple | None:
    """Axes of a further output: attention weights, the last state of a recurrent layer; None if undocumented."""
    times = [mark for mark in before if isinstance(mark, Length)]
    if op.kind == "recurrent" and len(before) == 3 and len(shape) == 3:  # (layers, B, features) in both layouts
        return (CONSTANT, before[0 if module.batch_first else 1], CONSTANT)
    weighs = op.kind == "attention" and len(shape) == 4 and shape[1] == op.heads and len(times) == 1
    if weighs and shape[2] == shape[3] == times[0].size:  # (B, H, T, T) beside (B, T, D)
        return (CLIPS, CONSTANT, times[0], times[0])
    return None


def roles(ndim: int, op: Operation, module: nn.Module) -> tuple[str, ...]:
    """What a module makes of its input's axes, by its documentation; empty where that is open."""
    spatial = len(op.kernel)
    if op.kind in ("linear", "layer norm"):
        features = len(module.normalized_shape) if op.kind == "layer norm" else 1
        return (*("position" if ndim < 4 else "",) * (ndim - features), *("feature",) * features)
    if "convolution" in op.kind and ndim in (spatial + 1, spatial + 2):
        return ("clips", "feature", *("position",) * spatial)[-ndim:]
    if op.kind in ("group norm", "batch norm", "instance norm") and ndim > 2:
        return ("clips", "feature", *("position",) * (ndim - 2))
    if (op.kind == "recurrent" or isinstance(module, nn.MultiheadAttention)) and ndim == 3:
        return (*(("clips", "position") if module.batch_first else ("position", "clips")), "feature")
    return ()


def _formulas(module: Any, op: Operation, ndim: int) -> dict[int, Formula]:
    """For each axis whose length a module changes: how."""
    if op.kernel:
        return {ndim - len(op.kernel) + axis: _sliding_length(op, axis) for axis in range(len(op.kernel))}
    if isinstance(module, nn.Upsample) and module.scale_factor is not None:
        scale = module.scale_factor
        factors = scale if isinstance(scale, tuple) else (scale,) * (ndim - 2)
        return {axis: lambda n, factor=factor: math.floor(n * factor) for axis, factor in enumerate(factors, 2)}
    if isinstance(module, _PADS):  # from the last axis on, two numbers for each
        added = [sum(module.padding[i : i + 2]) for i in range(0, len(module.padding), 2)]
        return {ndim - 1 - step: lambda n, more=more: n + more for step, more in enumerate(added)}
    return {}


def _sliding_length(op: Operation, axis: int) -> Formula:
    """What a convolution or pooling makes of ``n``, along one of its own axes (torch's documentation of ``Conv1d``,
    ``ConvTranspose1d`` and ``AvgPool1d``; "Shape")."""
    kernel, stride = op.kernel[axis], op.stride[axis]
    left, right = op.padding[axis]
    dilation = op.dilation[axis] if op.dilation else 1
    reach = dilation * (kernel - 1) + 1
    if op.kind == "transposed convolution":
        extra = op.output_padding[axis] - left - right
        return lambda n: (n - 1) * stride + reach + extra
    if op.ceil:

        def rounded_up(n: int) -> int:
            windows = -((n + left + right - reach) // -stride) + 1
            return windows - 1 if (windows - 1) * stride >= n + left else windows

        return rounded_up
    return lambda n: (n + left + right - reach) // stride + 1


def sizes_of_weights(module: nn.Module, kernel: int) -> Iterator[int]:
    """Sizes that a module's own weights have, the last ``kernel`` axes left out, and its numbers of features."""
    for parameter in module._parameters.values():
        if parameter is not None and not isinstance(parameter, nn.parameter.UninitializedTensorMixin):
            shape = parameter.shape
            yield from shape[: len(shape) - kernel] if kernel and len(shape) > kernel else shape
    own = vars(module)
    for name in _SIZE_NAMES.intersection(own):
        if isinstance(own[name], int):
            yield own[name]
