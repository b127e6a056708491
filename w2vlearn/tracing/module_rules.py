"""What each kind of module makes of the axes of its input, by torch's documentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from w2vlearn.tracing.letters import CLIPS, CONSTANT, UNKNOWN, Length
from w2vlearn.tracing.operations import HEAD_NAMES
from w2vlearn.tracing.records import Operation

Formula = Callable[[int], int]  # how many positions are made of n
Derived = Callable[[Length, int, Formula], Any]
_SLIDING = ("convolution", "transposed convolution", "pooling")
_KEEPS = ("group norm", "batch norm", "instance norm", "layer norm", "dropout", "activation", "identity", "attention")
_KEEPERS = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.Softmax, nn.LogSoftmax, nn.MultiheadAttention)
_PADS = (
    nn.modules.padding._ConstantPadNd,
    nn.modules.padding._ReflectionPadNd,
    nn.modules.padding._ReplicationPadNd,
    nn.modules.padding._CircularPadNd,
)


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
    # A part of somebody's own that keeps the shape keeps the axes, where each size says which axis it is.
    distinct = not module._modules and len(set(shape) - {1}) == sum(size != 1 for size in shape)
    keeps = distinct or kind in _KEEPS or isinstance(module, _KEEPERS)
    return before if keeps and sizes == shape else None


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
    if op.kind in _SLIDING:
        spatial = len(op.kernel)
        return {ndim - spatial + axis: _sliding_length(op, axis) for axis in range(spatial)}
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


_SIZE_NAMES = frozenset(("in_features", "out_features", "embed_dim", "hidden_size", "head_dim", *HEAD_NAMES))


def sizes_of_weights(module: nn.Module, kernel: int) -> Iterator[int]:
    """Sizes that a module's own weights have, the last ``kernel`` axes left out, and its numbers of features."""
    for parameter in module._parameters.values():
        if parameter is not None and not isinstance(parameter, nn.parameter.UninitializedTensorMixin):
            shape = parameter.shape
            yield from shape[: len(shape) - kernel] if len(shape) > kernel else shape
    own = vars(module)
    yield from (own[name] for name in _SIZE_NAMES.intersection(own) if isinstance(own[name], int))
