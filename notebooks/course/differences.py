"""Compare an answer with what was expected, by torch's own comparison, and put the difference in words."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from numbers import Integral, Number, Real
from types import GeneratorType
from typing import Any

import numpy
import torch
from torch import Tensor

__all__ = ["describe", "difference", "show"]

LONGEST = 120  # characters of a value in a message


def _shape_and_dtype(value: Tensor | numpy.ndarray) -> str:
    """``"a float32 tensor of shape (2, 3)"``."""
    kind = "tensor" if isinstance(value, Tensor) else "numpy array"
    return f"a {str(value.dtype).replace('torch.', '')} {kind} of shape {tuple(value.shape)}"


def show(value: Any) -> str:
    """A value as a message shows it: short, without addresses."""
    if isinstance(value, Tensor | numpy.ndarray):
        if isinstance(value, Tensor) and value.ndim <= 1 and value.numel() <= 12:
            return f"tensor({value.tolist()}, {str(value.dtype).replace('torch.', '')})"
        return _shape_and_dtype(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, GeneratorType):
        return "a generator (that is what a function with `yield` returns)"
    if callable(value):
        return f"the function {getattr(value, '__name__', '')}".rstrip()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        inner = ", ".join(show(item) for item in itertools.islice(value, 40))
        text = f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    else:
        text = f"a value of type {type(value).__name__}"
        if type(value).__repr__ is not object.__repr__:
            with contextlib.suppress(Exception):  # a learner's own class
                text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def describe(value: Any) -> str:
    """As `show`, with what kind of thing it is where the value alone does not tell: ``"the number 3 (int)"``."""
    if isinstance(value, bool) or value is None or value is ...:
        return f"{value!r}".replace("Ellipsis", "the placeholder `...`")
    if isinstance(value, Number):
        return f"the number {show(value)} ({type(value).__name__})"
    if isinstance(value, str):
        return f"the text {show(value)}"
    if isinstance(value, list | tuple | dict | set):
        return f"a {type(value).__name__} of {len(value)}: {show(value)}"
    return show(value)


def difference(answer: Any, expected: Any, tolerance: float = 1e-5) -> str | None:
    """What differs, as the end of a sentence that begins with "you return"; None if nothing does.

    A one-element tensor or array counts as its number, a list as the tuple of its items, a ``torch.Size`` as a tuple.
    An expected ``...`` is met by anything.
    """
    if expected is ...:
        return None
    if isinstance(expected, Tensor) and expected.ndim:
        return _tensor_difference(answer, expected, tolerance)
    answer, expected = _plain(answer), _plain(expected)
    if answer is None and expected is not None:
        return f"nothing (None), expected {show(expected)}"
    if isinstance(expected, bool | str) or expected is None:
        same = type(answer) is type(expected) and answer == expected
        return None if same else f"{describe(answer)}, expected {show(expected)}"
    if isinstance(expected, Real):
        return _number_difference(answer, expected, tolerance)
    if isinstance(expected, Mapping):
        return _mapping_difference(answer, expected, tolerance)
    return _sequence_difference(answer, expected, tolerance)


def _same(answer: Tensor, expected: Tensor, tolerance: float) -> Tensor:
    """Which entries are the same: floats up to the tolerance, NaN as NaN, all others exactly."""
    if not (expected.is_floating_point() or expected.is_complex()):
        tolerance = 0.0
    return torch.isclose(answer, expected, tolerance, 0.1 * tolerance, equal_nan=True)


def _tensor_difference(answer: Any, expected: Tensor, tolerance: float) -> str | None:
    if isinstance(answer, numpy.ndarray) and answer.dtype.kind in "biuf":
        answer = torch.as_tensor(answer)
    if not isinstance(answer, Tensor):
        return f"{describe(answer)}, expected {_shape_and_dtype(expected)}"
    if answer.shape != expected.shape:
        swapped = sorted(answer.shape) == sorted(expected.shape) and answer.ndim > 1
        return (
            f"shape {tuple(answer.shape)}, expected {tuple(expected.shape)}"
            f"{': the right sizes in the wrong order, two axes are swapped' if swapped else ''}"
        )
    dtypes = (answer.dtype, expected.dtype)
    if not (torch.can_cast(*dtypes) and torch.can_cast(*dtypes[::-1])):  # float for float, whole for whole numbers
        names = [str(dtype).replace("torch.", "") for dtype in dtypes]
        return f"the right shape, {tuple(answer.shape)}, but {names[0]} where {names[1]} is wanted"
    answer = answer.detach().to("cpu", expected.dtype)
    same = _same(answer, expected, tolerance)
    if same.all():
        return None
    first = tuple((~same).nonzero()[0].tolist())
    return (
        f"the right shape, but {int((~same).sum())} of {same.numel()} entries differ; "
        f"the first is [{', '.join(map(str, first))}]: {show(answer[first].item())}, "
        f"expected {show(expected[first].item())}"
    )


def _number_difference(answer: Any, expected: Real, tolerance: float) -> str | None:
    whole = isinstance(expected, Integral)
    wanted = f"the whole number {expected}" if whole else f"the number {show(float(expected))}"
    if isinstance(answer, bool) or not isinstance(answer, Real):
        return f"{describe(answer)}, expected {wanted}"
    if whole and not isinstance(answer, Integral):
        if answer == expected:
            return f"{float(answer)!r}, a float; a count is a whole number, so write // instead of /"
        return f"{show(float(answer))}, expected {wanted}"
    if whole:
        return None if answer == expected else f"{answer}, expected {expected}"
    numbers = torch.tensor([float(answer), float(expected)], dtype=torch.float64)
    return None if _same(*numbers, tolerance) else f"{show(float(answer))}, expected {show(float(expected))}"


def _mapping_difference(answer: Any, expected: Mapping, tolerance: float) -> str | None:
    if not isinstance(answer, Mapping):
        return f"{describe(answer)}, expected a dictionary with {', '.join(map(str, expected))}"
    for key, value in expected.items():
        if key not in answer:
            return f"a dictionary without {key!r}"
        inner = difference(answer[key], value, tolerance)
        if inner:
            return f"for {key!r} {inner}"
    extra = [key for key in answer if key not in expected]
    return f"a dictionary with {extra[0]!r}, which does not belong there" if extra else None


def _sequence_difference(answer: Any, expected: Sequence, tolerance: float) -> str | None:
    if isinstance(answer, str | bytes) or not isinstance(answer, Sequence):
        return f"{describe(answer)}, expected {show(expected)}"
    if len(answer) != len(expected):
        return f"{show(answer)}, expected {show(expected)}: {len(expected)} entries, not {len(answer)}"
    for position, (one, other) in enumerate(zip(answer, expected, strict=True)):
        inner = difference(one, other, tolerance)
        if inner:
            if all(isinstance(_plain(item), Real) for item in expected):
                return f"{show(answer)}, expected {show(expected)}"
            return f"{show(answer)}; entry {position} is {inner}"
    return None


def _plain(value: Any) -> Any:
    """A one-element tensor or array as its number, one axis of them as a list; everything else as it is."""
    if isinstance(value, Tensor | numpy.ndarray | numpy.generic) and value.ndim <= 1:
        return value.tolist()
    return value
