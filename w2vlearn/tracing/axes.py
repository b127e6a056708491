"""What each axis of a tensor is, followed through one run: clips, a length, or a constant.

Four rules, the surest first; none of them runs anything:

1. *The same tensor object* that left one module and enters another keeps its axes; so does a view of it, whose strides
   say which axis went where.
2. *What a module does is documented*: a convolution or pooling turns one length into the next by its own kernel, stride,
   padding and dilation, for every clip's own length; a Linear keeps all axes but the last; a norm keeps all.
3. *The same shape as before*, where only one meaning of it was seen, is the same axes again (``x + residual``).
4. *A size alone* names a length only where just one length has it and no weight of the model does.

What no rule covers stays unknown; `Axes.unknown` lists where, and the trace says so.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from w2vlearn.tracing.letters import PROBES
from w2vlearn.tracing.records import Operation


class Length:
    """One length: the samples of the clips, or what a convolution made of another length.

    Attributes
    ----------
    size : int
        Positions of the whole axis in this run.
    valid : tuple of int, optional
        Positions that each clip would have if it were alone; None where the lengths of the clips are not known.
    key : tuple of int
        Positions for clips of `letters.PROBES` samples: equal keys, equal lengths for every clip.
    """

    __slots__ = ("key", "size", "valid")

    def __init__(self, size: int, valid: tuple[int, ...] | None, key: tuple[int, ...] = PROBES) -> None:
        self.size, self.valid, self.key = size, valid, key

    def __repr__(self) -> str:
        return f"<Length {self.size}, valid {self.valid}>"


@dataclass(frozen=True)
class Merged:
    """Neighbouring axes that a view made one: clips times frames."""

    parts: tuple[Any, ...]


class _Mark:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


CLIPS = _Mark("clips")
CONSTANT = _Mark("constant")  # no length and no number of clips moves it
UNKNOWN = _Mark("unknown")

_POSITIONWISE = {"linear", "layer norm", "embedding"}
_SLIDING = {"convolution", "transposed convolution", "pooling"}
_KEEPS_ALL = {"group norm", "batch norm", "instance norm", "dropout", "activation", "identity"}


class Axes:
    """Follows the axes of tensors through one run.

    Parameters
    ----------
    model : nn.Module
        Its weights' sizes are those that a size alone may not be taken for a length.
    clips : int
        B.
    samples : int
        L.
    lengths : tuple of int, optional
        Valid samples per clip; None: not known.
    """

    def __init__(self, model: nn.Module, clips: int, samples: int, lengths: tuple[int, ...] | None) -> None:
        self.clips = clips
        self.samples = Length(samples, lengths)
        self.lengths: list[Length] = [self.samples]  # in the order in which they came about
        self._tensors: dict[int, tuple[weakref.ref, tuple, tuple]] = {}
        self._bases: dict[int, tuple[weakref.ref, weakref.ref]] = {}  # a base -> the last known tensor that views it
        self._shapes: dict[tuple, set[tuple]] = {}
        self._weights = {id(t) for t in (*model.parameters(), *model.buffers())}
        self._constants = _sizes_of_weights(model)

    # -- what a tensor's axes are --------------------------------------------------------------------------------------

    def tag(self, tensor: Tensor, axes: Sequence[Any]) -> tuple:
        """Write down a tensor's axes, for as long as it lives."""
        axes, shape, key = tuple(axes), tuple(tensor.shape), id(tensor)
        reference = weakref.ref(tensor, lambda _, key=key: self._tensors.pop(key, None))
        self._tensors[key] = (reference, shape, axes)
        base = tensor._base if tensor._is_view() else tensor
        if base is not None:
            self._bases[id(base)] = (weakref.ref(base), reference)
        if UNKNOWN not in axes:
            self._shapes.setdefault(shape, set()).add(axes)
        return axes

    def of(self, tensor: Tensor, roles: Sequence[str] = ()) -> tuple:
        """A tensor's axes by the four rules.

        Parameters
        ----------
        tensor : Tensor
        roles : sequence of str
            What the module that takes it makes of each axis, "clips", "position", "feature" (or "mask": no features); empty if not known.
        """
        shape = tuple(tensor.shape)
        known = self._known(tensor, shape)
        if known is None:
            if id(tensor) in self._weights or isinstance(tensor, nn.Parameter):
                known = (CONSTANT,) * len(shape)
            else:
                known = self._by_view(tensor, shape) or (UNKNOWN,) * len(shape)
                if UNKNOWN in known:
                    known = self._by_shape(shape, roles) or known
        if UNKNOWN in known:
            known = self._by_size(shape, known, roles)
        return self.tag(tensor, known)

    def _known(self, tensor: Tensor, shape: tuple) -> tuple | None:
        entry = self._tensors.get(id(tensor))
        return entry[2] if entry is not None and entry[0]() is tensor and entry[1] == shape else None

    def _by_view(self, tensor: Tensor, shape: tuple) -> tuple | None:
        """Axes of a view, from the strides of a tensor that looks into the same memory; None if none is known."""
        if not tensor._is_view():
            return None
        base = tensor._base
        entry = self._bases.get(id(base))
        sources = [entry[1]() if entry is not None and entry[0]() is base else None, base]
        best = None
        for source in sources:
            marks = self._known(source, tuple(source.shape)) if source is not None else None
            if marks is None or source.dtype != tensor.dtype:
                continue
            axes = self._through(source, marks, tensor, shape)
            if UNKNOWN not in axes:
                return axes
            best = best or axes
        return best

    def _through(self, source: Tensor, marks: tuple, tensor: Tensor, shape: tuple) -> tuple:
        """Axes of ``tensor`` that lie where those of ``source`` lie: equal size, equal stride."""
        strides, sizes, free = source.stride(), source.shape, set(range(source.ndim))
        axes: list[Any] = []
        for size, stride in zip(shape, tensor.stride(), strict=True):
            same = [i for i in sorted(free) if strides[i] == stride and sizes[i] == size]
            if same:
                free.discard(same[0])
                axes.append(marks[same[0]])
            elif size == 1:
                axes.append(CONSTANT)
            else:
                axes.append(self._merged(size, stride, sizes, strides, marks))
        return tuple(axes)

    @staticmethod
    def _merged(size: int, stride: int, sizes: Sequence[int], strides: Sequence[int], marks: tuple) -> Any:
        """The mark of an axis that is two neighbours of the source in one."""
        for i in range(len(sizes) - 1):
            inner = i + 1
            joined = strides[i] == sizes[inner] * strides[inner]
            if joined and strides[inner] == stride and sizes[i] * sizes[inner] == size:
                parts = (marks[i], marks[inner])
                if all(part is CONSTANT for part in parts):
                    return CONSTANT
                return UNKNOWN if UNKNOWN in parts else Merged(parts)
        return UNKNOWN

    def _by_shape(self, shape: tuple, roles: Sequence[str]) -> tuple | None:
        """Axes that this very shape had before, if it had but one meaning."""
        meanings = self._shapes.get(shape)
        if meanings is None or len(meanings) != 1:
            return None
        (axes,) = meanings
        for i, mark in enumerate(axes):
            if not isinstance(mark, Length):
                continue
            twins = [j for j, size in enumerate(shape) if size == shape[i] and j != i and axes[j] is not mark]
            settled = len(roles) == len(shape) and roles[i] == "position"
            if twins and not (settled and all(roles[j] == "feature" for j in twins)):
                return None  # two axes of one size: they may have changed places
        return axes

    def _by_size(self, shape: tuple, known: tuple, roles: Sequence[str]) -> tuple:
        """Fill in what is unknown: features and clips by their role, a length by its size."""
        roles = roles if len(roles) == len(shape) else ("",) * len(shape)
        axes = list(known)
        for i, (size, role) in enumerate(zip(shape, roles, strict=True)):
            if axes[i] is not UNKNOWN:
                continue
            if role == "feature":
                axes[i] = CONSTANT
            elif role != "clips" and (length := self.length_of(size)) is not None:
                clear = size not in self._constants or role == "mask"  # a mask has no features
                axes[i] = length if clear and (size != self.clips or (role == "position" and i > 0)) else UNKNOWN
            elif size == 1 and (self.clips > 1 or i):
                axes[i] = CONSTANT
        if axes and axes[0] is UNKNOWN and shape[0] == self.clips and (self.clips > 1 or roles[0] == "clips"):
            others = [length for length in self.lengths if length.size == shape[0]]
            if not others or roles[0] == "clips":
                axes[0] = CLIPS
        if len(shape) < 3:
            axes = [
                CONSTANT if mark is UNKNOWN and shape[i] in self._constants and i == len(shape) - 1 and i else mark
                for i, mark in enumerate(axes)
            ]
        return tuple(axes)

    def length_of(self, size: int) -> Length | None:
        """The length with that many positions, if there is exactly one."""
        lengths = [length for length in self.lengths if length.size == size]
        return lengths[0] if len(lengths) == 1 else None

    def derived(self, source: Length, size: int, formula: Callable[[int], int]) -> Any:
        """The length that ``formula`` makes of another, UNKNOWN if that is not the size that came out.

        A clip that has no position before has none afterwards, whatever padding would add.
        """
        if formula(source.size) != size:
            return UNKNOWN

        def alone(n: int) -> int:
            return max(formula(n), 0) if n > 0 else 0

        key = tuple(alone(n) for n in source.key)
        for length in self.lengths:
            if length.size == size and length.key == key:
                return length
        valid = None if source.valid is None else tuple(alone(n) for n in source.valid)
        self.lengths.append(Length(size, valid, key))
        return self.lengths[-1]

    # -- what a module makes of them -----------------------------------------------------------------------------------

    def entering(self, tensor: Tensor, op: Operation, module: nn.Module) -> tuple:
        """Axes of a module's main input."""
        return self.of(tensor, _roles(tensor.ndim, op, module))

    def leaving(self, result: Tensor, source: Tensor | None, op: Operation, module: nn.Module) -> tuple:
        """Axes of a module's main output, given its main input."""
        shape = tuple(result.shape)
        known = self._known(result, shape)
        if known is not None and UNKNOWN not in known:
            return known
        axes = self._made_by(module, op, source, shape) if isinstance(source, Tensor) else None
        return self.tag(result, axes) if axes is not None else self.of(result)

    def _made_by(self, module: nn.Module, op: Operation, source: Tensor, shape: tuple) -> tuple | None:
        """Axes of an output by what its module does; None where that is not documented."""
        before = self._known(source, tuple(source.shape))
        if before is None:
            return None
        kind, same = op.kind, tuple(source.shape) == shape
        if kind in _SLIDING and len(before) == len(shape):
            return self._slid(op, before, tuple(source.shape), shape)
        if kind == "linear" and len(before) == len(shape):
            return (*before[:-1], CONSTANT)
        if kind == "embedding" and len(shape) == len(before) + 1:
            return (*before, CONSTANT)
        if kind == "recurrent" and len(before) == len(shape):
            return (*before[:-1], CONSTANT)
        if same and (kind in _KEEPS_ALL or kind == "layer norm" or isinstance(module, _KEEPERS)):
            return before
        if isinstance(module, nn.Upsample) and module.scale_factor is not None and len(before) == len(shape):
            return self._stretched(module, before, tuple(source.shape), shape)
        if isinstance(module, _PADS) and len(before) == len(shape):
            return self._padded(module, before, tuple(source.shape), shape)
        if isinstance(module, nn.GLU) and len(before) == len(shape):
            halved = module.dim % len(shape)
            return tuple(
                mark if i != halved else (CONSTANT if mark is CONSTANT else UNKNOWN) for i, mark in enumerate(before)
            )
        distinct = len({size for size in shape if size != 1}) == sum(size != 1 for size in shape)
        if same and distinct and not module._modules:  # a part of its own that keeps the shape keeps the axes
            return before
        return None

    def _slid(self, op: Operation, before: tuple, sizes: tuple, shape: tuple) -> tuple:
        spatial = len(op.kernel)
        axes = list(before)
        first = len(shape) - spatial
        if op.kind != "pooling" and first >= 1:
            axes[first - 1] = CONSTANT
        for axis in range(spatial):
            mark, i = before[first + axis], first + axis
            formula = sliding_length(op, axis)
            if isinstance(mark, Length):
                axes[i] = self.derived(mark, shape[i], formula)
            elif mark is CONSTANT and formula(sizes[i]) != shape[i]:
                axes[i] = UNKNOWN
        return tuple(axes)

    def _stretched(self, module: Any, before: tuple, sizes: tuple, shape: tuple) -> tuple:
        factors = module.scale_factor if isinstance(module.scale_factor, tuple) else (module.scale_factor,) * 3
        first = len(shape) - (len(shape) - 2)
        return tuple(
            self.derived(mark, shape[i], lambda n, f=factors[i - first]: math.floor(n * f))
            if isinstance(mark, Length) and i >= first
            else mark
            for i, mark in enumerate(before)
        )

    def _padded(self, module: Any, before: tuple, sizes: tuple, shape: tuple) -> tuple:
        pads = module.padding if isinstance(module.padding, tuple) else (module.padding,) * 2
        axes = list(before)
        for step in range(len(pads) // 2):
            i = len(shape) - 1 - step
            added = pads[2 * step] + pads[2 * step + 1]
            if isinstance(axes[i], Length) and added:
                axes[i] = self.derived(axes[i], shape[i], lambda n, added=added: n + added)
        return tuple(axes)


_KEEPERS = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.Softmax, nn.LogSoftmax, nn.MultiheadAttention)
_PADS = (
    nn.modules.padding._ConstantPadNd,
    nn.modules.padding._ReflectionPadNd,
    nn.modules.padding._ReplicationPadNd,
    nn.modules.padding._CircularPadNd,
)


def _roles(ndim: int, op: Operation, module: nn.Module) -> tuple[str, ...]:
    """What a module makes of its input's axes, by its documentation; empty where that is open."""
    if op.kind == "linear" and ndim > 1:
        return (*("position",) * (ndim - 1), "feature")
    if op.kind == "layer norm":
        normalized = len(getattr(module, "normalized_shape", (0,)))
        return (*("position",) * (ndim - normalized), *("feature",) * normalized)
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


def _sizes_of_weights(model: nn.Module) -> set[int]:
    """Every size that an axis of a weight has, lengths of kernels left out: a size alone may mean one of these."""
    sizes: set[int] = set()
    for module in model.modules():
        kernel = len(getattr(module, "kernel_size", ())) if isinstance(module, nn.modules.conv._ConvNd) else 0
        for parameter in module._parameters.values():
            if parameter is not None and not isinstance(parameter, nn.parameter.UninitializedTensorMixin):
                shape = tuple(parameter.shape)
                sizes.update(shape[: len(shape) - kernel] if kernel and len(shape) > kernel else shape)
        for name in ("in_features", "out_features", "embed_dim", "hidden_size"):
            if isinstance(size := getattr(module, name, None), int):
                sizes.add(size)
    sizes.discard(1)
    return sizes


def valid_along(axes: Iterable[Any]) -> tuple[int, ...] | None:
    """Valid positions per clip on a tensor's time axis (its last, where it has two); None if it has none."""
    lengths = [mark for mark in axes if isinstance(mark, Length)]
    return lengths[-1].valid if lengths else None
