"""What each axis of a tensor is, followed through one run: clips, a length, or a constant.

Four rules, the surest first; none of them runs anything:

1. *The same tensor object* that left one module and enters another keeps its axes; so does a view of it, whose strides
   say which axis went where.
2. *What a module does is documented* (`operations`): a convolution or pooling turns one length into the next by its
   own kernel, stride, padding and dilation, for every clip's own length; a Linear keeps all axes but the last.
3. *The same shape as before*, where only one meaning of it was seen, is the same axes again (``x + residual``).
4. *A size alone* names a length only where just one length has it, and no weight of the model does.

Rules 3 and 4 name only lengths that the last module gave, or took if it gave none: own code between modules may have
made a length that nobody knows, and its size may be that of an older one by chance. A slice is another length only
where that length is known to be so many positions shorter for every clip; ``x[:5]`` and ``x[:-1]`` look the same
otherwise.

What no rule covers stays unknown, and the trace says so.
"""

from __future__ import annotations

import math
import re
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from w2vlearn.tracing.letters import CLIPS, CONSTANT, UNKNOWN, Length, Marks, Merged
from w2vlearn.tracing.operations import made_beside, made_by, roles, sizes_of_weights
from w2vlearn.tracing.records import Operation


class _Layout(NamedTuple):
    """Where a tensor lies in memory, and its axes."""

    shape: tuple
    strides: tuple[int, ...]
    offset: int
    dtype: torch.dtype
    marks: Marks


def _layout(tensor: Tensor, marks: Marks) -> _Layout:
    return _Layout(tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype, marks)


class Axes:
    """Follows the axes of tensors through one run.

    Parameters
    ----------
    modules : iterable of nn.Module
        All modules of the model: a size that one of their weights has is not taken for a length by itself.
    clips : int
        B.
    samples : int
        L.
    lengths : tuple of int, optional
        Valid samples per clip; None: not known.
    """

    def __init__(self, modules: Iterable[nn.Module], clips: int, samples: int, lengths: tuple[int, ...] | None) -> None:
        self.clips = clips
        self.samples = Length(samples, lengths)
        self.lengths: list[Length] = [self.samples]  # in the order in which they came about
        self._tensors: dict[int, tuple[weakref.ref, tuple, Marks]] = {}
        self._views: dict[int, tuple[weakref.ref, _Layout]] = {}  # a base -> the last known view of it
        self._shapes: dict[tuple, set[tuple]] = {}
        # The main input and output that were seen last, and their shapes.
        self._entered = self._left = (Marks((self.samples,)), (samples,))
        self._weights: set[int] = set()
        self._constants: set[int] = set()
        kernels: dict[nn.Module, int] = {}  # what holds the weights of convolutions, and on how many axes they slide
        for module in modules:
            self._weights.update(map(id, module._parameters.values()), map(id, module._buffers.values()))
            if isinstance(module, nn.modules.conv._ConvNd):
                holders = module._modules.get("parametrizations") or {}
                kernels.update(dict.fromkeys((module, *holders.values()), len(module.kernel_size)))
            self._constants.update(sizes_of_weights(module, kernels.get(module, 0)))
        self._constants.discard(1)

    # -- what a tensor's axes are --------------------------------------------------------------------------------------

    def tag(self, tensor: Tensor, axes: Sequence[Any]) -> Marks:
        """Write down a tensor's axes, for as long as it lives; what was unknown of it becomes known everywhere."""
        axes, shape = tuple(axes), tensor.shape
        marks = self._met(tensor)
        if marks is None:
            marks = Marks(axes)
            self._tensors[id(tensor)] = (weakref.ref(tensor), shape, marks)
        marks.axes = axes
        if tensor._is_view() and (base := tensor._base) is not None:
            self._views[id(base)] = (weakref.ref(base), _layout(tensor, marks))
        if UNKNOWN not in axes:
            self._shapes.setdefault(shape, set()).add(axes)
        return marks

    def of(self, tensor: Tensor, roles: Sequence[str] = ()) -> Marks:
        """A tensor's axes by the four rules.

        Parameters
        ----------
        tensor : Tensor
        roles : sequence of str
            What the module that takes it makes of each axis, "clips", "position", "feature" (of a mask `mask_roles`);
            empty if not known.
        """
        if tensor.is_nested:
            return Marks((UNKNOWN,))
        marks = self._met(tensor)
        if marks is not None and UNKNOWN not in marks.axes:
            return marks
        shape = tensor.shape
        if id(tensor) in self._weights or isinstance(tensor, nn.Parameter):
            return self.tag(tensor, (CONSTANT,) * len(shape))
        axes = marks.axes if marks is not None else self._by_view(tensor) or (UNKNOWN,) * len(shape)
        if UNKNOWN in axes:
            roles = roles if len(roles) == len(shape) else ("",) * len(shape)
            axes = self._by_shape(shape, axes, roles) or self._by_size(shape, axes, roles)
        return self.tag(tensor, axes)

    def beside(self, tensor: Tensor) -> Marks:
        """Axes of a tensor that goes in beside the main one."""
        marks = self.of(tensor)
        if UNKNOWN in marks.axes and marks is not self._entered[0]:
            marks.aside = True
        return marks

    def _met(self, tensor: Tensor) -> Marks | None:
        """What is written down of this very tensor, if it still has the shape that it had."""
        entry = self._tensors.get(id(tensor))
        return entry[2] if entry is not None and entry[0]() is tensor and entry[1] == tensor.shape else None

    def _by_view(self, tensor: Tensor) -> tuple | None:
        """Axes of a view, from the strides of a tensor that looks into the same memory; None if none is known."""
        if not tensor._is_view():
            return None
        base = tensor._base
        view, marks = self._views.get(id(base)), self._met(base)
        layouts = [view[1]] if view is not None and view[0]() is base else []
        layouts += [_layout(base, marks)] if marks is not None else []
        candidates = [self._through(layout, tensor) for layout in layouts if layout.dtype == tensor.dtype]
        return next((axes for axes in candidates if UNKNOWN not in axes), candidates[0] if candidates else None)

    def _through(self, source: _Layout, tensor: Tensor) -> tuple:
        """Axes of ``tensor`` that lie where those of ``source`` lie: equal size, equal stride."""
        shape, (sizes, strides, offset, _, marks) = tensor.shape, source
        marks = marks.axes
        free = list(range(len(sizes)))
        axes: list[Any] = []
        ones = Counter(stride for size, stride in zip(shape, tensor.stride(), strict=True) if size == 1)
        inside: dict[int, list[int]] = {}  # a constant axis of the source -> axes that lie in it
        for size, stride in zip(shape, tensor.stride(), strict=True):
            same = [i for i in free if strides[i] == stride and sizes[i] == size]
            if size == 1 and (len(same) > 1 or ones[stride] > 1):  # which of them is the length, no stride tells
                same = [i for i in same if not isinstance(marks[i], Length)]
            part = [i for i in free if sizes[i] > size > 1 and strides[i] and stride and not stride % strides[i]]
            within = [i for i in part if marks[i] is CONSTANT and stride * size <= strides[i] * sizes[i]]
            part = [i for i in part if isinstance(marks[i], Length) and stride * (size - 1) < strides[i] * sizes[i]]
            if same:
                free.remove(same[0])
                axes.append(marks[same[0]])
            elif within:
                inside.setdefault(within[0], []).append(len(axes))
                axes.append(UNKNOWN)
            elif part:
                free.remove(part[0])
                start = (tensor.storage_offset() - offset) // strides[part[0]]
                axes.append(self._sliced(marks[part[0]], size, stride // strides[part[0]], start))
            else:
                axes.append(None if size == 1 else self._merged(size, stride, sizes, strides, marks))
        for i, split in inside.items():
            if math.prod(shape[axis] for axis in split) == sizes[i]:  # split whole: heads and their features
                free.remove(i)
                for axis in split:
                    axes[axis] = CONSTANT
        new = CONSTANT if all(sizes[i] == 1 or marks[i] is CONSTANT or marks[i] is CLIPS for i in free) else UNKNOWN
        return tuple(new if mark is None else mark for mark in axes)

    def _sliced(self, length: Length, size: int, step: int, start: int) -> Any:
        """The mark of every ``step``-th position of a length; UNKNOWN where it could also be a number in the code."""
        if step > 1:
            return self.derived(length, size, lambda n: -((n - start) // -step)) if 0 <= start < step else UNKNOWN
        cut = tuple(n - length.size + size for n in length.key)
        return next((other for other in self.lengths if other.size == size and other.key == cut), UNKNOWN)

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

    def _by_shape(self, shape: tuple, seen: tuple, roles: Sequence[str]) -> tuple | None:
        """Axes that this very shape had before, if only one meaning of it fits what is known and the roles."""
        fitting = [
            axes
            for axes in self._shapes.get(shape, ())
            if all(
                (a is b or b is UNKNOWN) and (role != "feature" or a is CONSTANT)
                for a, b, role in zip(axes, seen, roles, strict=True)
            )
        ]
        settled = len(fitting) == 1 and all(
            before is not UNKNOWN or role == "feature" or self._is_clear(mark, size, role)
            for before, mark, size, role in zip(seen, fitting[0], shape, roles, strict=True)
        )
        return fitting[0] if settled else None

    def _is_clear(self, mark: Any, size: int, role: str) -> bool:
        """Whether a size can mean nothing else than ``mark``."""
        lengths = [length for length in self.lengths if length.size == size]
        if isinstance(mark, Length):
            left = self._left[0].axes
            timeless = not any(other is UNKNOWN or isinstance(other, Length) for other in left)
            if lengths != [mark] or mark not in (self._entered[0].axes if timeless else left):
                return False
            heads, remainder = divmod(size, self.clips) if self.clips else (0, 1)
            repeated = self.clips > 1 and not remainder and (heads == 1 or heads in self._constants)
            return role in ("position", "mask") or (size not in self._constants and not repeated)
        return not lengths or (mark is CLIPS and role == "clips")

    def mask_roles(self, path: str, shape: Sequence[int]) -> tuple[str, ...]:
        """Roles of a mask's axes, whose order is a convention: (B, n), (B, n, n), (B, heads or 1, n, n).

        A matrix (n, n) that all clips share may begin with as many rows as there are clips: then only its name tells.
        """
        if len(shape) == 4:
            return ("clips", "heads", "mask", "mask")
        shared = len(shape) == 2 and shape[0] == shape[1] and re.search(r"attn|src|^mask$", path)
        is_per_clip = shape and shape[0] == self.clips and not shared
        return ("clips" if is_per_clip else "mask", *("mask",) * (len(shape) - 1))

    def _by_size(self, shape: tuple, seen: tuple, roles: Sequence[str]) -> tuple:
        """Fill in what is unknown: features and clips by their role, a length by its size."""
        axes = list(seen)
        lengths = [next((length for length in self.lengths if length.size == size), None) for size in shape]
        for i, (size, role, length) in enumerate(zip(shape, roles, lengths, strict=True)):
            if axes[i] is not UNKNOWN:
                continue
            feature = length is None and i and len(shape) == 2 and size in self._constants
            may_be_clips = size == self.clips and not (i and role in ("position", "mask"))
            if role == "feature" or (role == "heads" and size == 1) or feature:
                axes[i] = CONSTANT
            elif not may_be_clips and length is not None and role not in ("clips", "heads"):
                axes[i] = length if self._is_clear(length, size, role) else UNKNOWN
        timed = any(isinstance(mark, Length) for mark in axes)
        if axes and axes[0] is UNKNOWN and shape[0] == self.clips:
            pooled = len(shape) == 2 and axes[1] is CONSTANT
            free = lengths[0] is None and self.clips > 1 and len(shape) <= 4
            if roles[0] == "clips" or (free and (timed or pooled)):
                axes[0] = CLIPS
        features = len(shape) == 3 and axes[0] is CLIPS
        for i, size in enumerate(shape if timed else ()):
            one, feature = size == 1 and (i or self.clips > 1), features and size in self._constants
            if axes[i] is UNKNOWN and lengths[i] is None and (one or feature):
                axes[i] = CONSTANT
        return tuple(axes)

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

    def entering(self, tensor: Tensor, op: Operation, module: nn.Module) -> Marks:
        """Axes of a module's main input."""
        marks = self._met(tensor)
        if marks is None or UNKNOWN in marks.axes:
            marks = self.of(tensor, roles(tensor.ndim, op, module))
        if not marks.aside:
            self._entered = _last(self._entered, marks, tensor)
        return marks

    def leaving(
        self, result: Tensor, source: Tensor | None, op: Operation, module: nn.Module, main: bool = True
    ) -> Marks:
        """Axes of a module's output, the main one or a further one, given its main input ``source``."""
        if result.is_nested:
            return Marks((UNKNOWN,))
        marks, origin = self._met(result), None if source is None else self._met(source)
        if marks is None or UNKNOWN in marks.axes:
            axes = None
            if op.kind in ("weight norm", "parametrization"):  # a weight, computed from others
                axes = (CONSTANT,) * result.ndim
            elif origin is not None and main:
                axes = made_by(module, op, origin.axes, source.shape, result.shape, self.derived)
            elif origin is not None:
                axes = made_beside(module, op, origin.axes, result.shape)
            marks = self.of(result) if axes is None else self.tag(result, axes)
        if main and source is not None and not (origin is not None and origin.aside):
            self._left = _last(self._left, marks, result)
        return marks


def _last(before: tuple[Marks, Sequence[int]], marks: Marks, tensor: Tensor) -> tuple[Marks, Sequence[int]]:
    """What was seen last: these axes, or those before where these are unknown and the shape has not changed."""
    if UNKNOWN in marks.axes and (tensor.is_nested or tensor.shape == before[1]):
        return before
    return marks, tensor.shape
