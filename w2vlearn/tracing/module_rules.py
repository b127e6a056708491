"""What each kind of module makes of the axes of its input, by torch's documentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from w2vlearn.tracing.marks import CLIPS, CONSTANT, UNKNOWN, Length
from w2vlearn.tracing.operations import HEAD_NAMES
from w2vlearn.tracing.records import Operation

Derived = Callable[[Length, int, Callable[[int], int]], Any]
_SLIDING = {"convolution", "transposed convolution", "pooling"}
_KEEPS_ALL = {"group norm", "batch norm", "instance norm", "dropout", "activation", "identity"}
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
    kind, same = op.kind, sizes == shape
    if kind in _SLIDING and len(before) == len(shape):
        return _slid(op, before, sizes, shape, derived)
    if kind == "linear" and len(before) == len(shape):
        return (*before[:-1], CONSTANT)
    if kind == "embedding" and len(shape) == len(before) + 1:
        return (*before, CONSTANT)
    if kind == "recurrent" and len(before) == len(shape):
        return (*before[:-1], CONSTANT)
    if same and (kind in _KEEPS_ALL or kind == "layer norm" or isinstance(module, _KEEPERS)):
        return before
    if isinstance(module, nn.Upsample) and module.scale_factor is not None and len(before) == len(shape):
        return _stretched(module, before, shape, derived)
    if isinstance(module, _PADS) and len(before) == len(shape):
        return _padded(module, before, shape, derived)
    if isinstance(module, nn.GLU) and len(before) == len(shape):
        halved = module.dim % len(shape)
        return tuple(
            mark if i != halved else (CONSTANT if mark is CONSTANT else UNKNOWN) for i, mark in enumerate(before)
        )
    if kind == "attention" and same:
        return before
    distinct = len({size for size in shape if size != 1}) == sum(size != 1 for size in shape)
    if same and distinct and not module._modules:  # a part of its own that keeps the shape keeps the axes
        return before
    return None


def made_beside(module: nn.Module, op: Operation, before: tuple, shape: tuple) -> tuple | None:
    """Axes of a further output: attention weights, the last state of a recurrent layer; None if undocumented."""
    times = [mark for mark in before if isinstance(mark, Length)]
    if op.kind == "recurrent" and len(before) == 3 and len(shape) == 3:  # (layers, B, features) in both layouts
        return (CONSTANT, before[0 if module.batch_first else 1], CONSTANT)
    weighs = op.kind == "attention" and len(shape) == 4 and shape[1] == op.heads and len(times) == 1
    if weighs and shape[2] == shape[3] == times[0].size:  # (B, H, T, T) beside (B, T, D)
        return (CLIPS, CONSTANT, times[0], times[0])
    return None


def _slid(op: Operation, before: tuple, sizes: tuple, shape: tuple, derived: Derived) -> tuple:
    spatial = len(op.kernel)
    axes = list(before)
    first = len(shape) - spatial
    if op.kind != "pooling" and first >= 1:
        axes[first - 1] = CONSTANT
    for axis in range(spatial):
        mark, i = before[first + axis], first + axis
        formula = sliding_length(op, axis)
        if isinstance(mark, Length):
            axes[i] = derived(mark, shape[i], formula)
        elif mark is CONSTANT and formula(sizes[i]) != shape[i]:
            axes[i] = UNKNOWN
    return tuple(axes)


def _stretched(module: Any, before: tuple, shape: tuple, derived: Derived) -> tuple:
    factors = module.scale_factor if isinstance(module.scale_factor, tuple) else (module.scale_factor,) * 3
    return tuple(
        derived(mark, shape[i], lambda n, f=factors[i - 2]: math.floor(n * f))
        if isinstance(mark, Length) and i >= 2
        else mark
        for i, mark in enumerate(before)
    )


def _padded(module: Any, before: tuple, shape: tuple, derived: Derived) -> tuple:
    pads = module.padding if isinstance(module.padding, tuple) else (module.padding,) * 2
    axes = list(before)
    for step in range(len(pads) // 2):
        i = len(shape) - 1 - step
        added = pads[2 * step] + pads[2 * step + 1]
        if isinstance(axes[i], Length) and added:
            axes[i] = derived(axes[i], shape[i], lambda n, added=added: n + added)
    return tuple(axes)


def roles(ndim: int, op: Operation, module: nn.Module) -> tuple[str, ...]:
    """What a module makes of its input's axes, by its documentation; empty where that is open."""
    if op.kind == "linear" and ndim > 1:
        return (*(("position",) if ndim < 4 else ("",)) * (ndim - 1), "feature")
    if op.kind == "layer norm":
        normalized = len(getattr(module, "normalized_shape", (0,)))
        return (*(("position",) if ndim < 4 else ("",)) * (ndim - normalized), *("feature",) * normalized)
    if op.kind in _SLIDING and op.kind != "pooling":
        spatial = len(op.kernel)
        return ("clips", "feature", *("position",) * spatial)[-ndim:] if ndim in (spatial + 1, spatial + 2) else ()
    if op.kind in ("group norm", "batch norm", "instance norm") and ndim > 2:
        return ("clips", "feature", *("position",) * (ndim - 2))
    if op.kind == "recurrent" and ndim == 3:
        order = ("clips", "position") if module.batch_first else ("position", "clips")
        return (*order, "feature")
    if isinstance(module, nn.MultiheadAttention) and ndim == 3:
        order = ("clips", "position") if module.batch_first else ("position", "clips")
        return (*order, "feature")
    return ()


def sliding_length(op: Operation, axis: int) -> Callable[[int], int]:
    """How many positions a convolution or pooling makes of ``n``, along one of its own axes (torch's documentation of
    ``Conv1d``, ``ConvTranspose1d`` and ``AvgPool1d``; "Shape")."""
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
    own = vars(module)
    if module._parameters:
        for parameter in module._parameters.values():
            if parameter is not None and not isinstance(parameter, nn.parameter.UninitializedTensorMixin):
                shape = parameter.shape
                yield from shape[: len(shape) - kernel] if kernel and len(shape) > kernel else shape
    for name in _SIZE_NAMES.intersection(own):
        if isinstance(own[name], int):
            yield own[name]
