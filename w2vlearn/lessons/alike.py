"""Compare what a learner found with what was wanted, and put the difference in words."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

__all__ = ["alike", "difference", "show"]


def show(value: Any) -> str:
    """A value as a message shows it: short, without addresses."""
    if _is_tensor(value):
        shape, dtype = tuple(value.shape), str(value.dtype).replace("torch.", "")
        if value.ndim <= 1 and value.numel() <= 12:
            return f"tensor({value.tolist()}, {dtype})"
        return f"a {dtype} tensor of shape {shape}"
    if _is_array(value):
        return f"an array of shape {value.shape}"
    if callable(value):
        return f"the function {getattr(value, '__name__', '')}".rstrip()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        inner = ", ".join(show(item) for item in value)
        text = f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    elif type(value).__repr__ is object.__repr__:
        text = f"a value of type {type(value).__name__}"
    else:
        text = repr(value)
    return text if len(text) <= 120 else text[:119] + "…"


def alike(found: Any, wanted: Any, tolerance: float = 1e-5) -> bool:
    """Whether the two are the same answer."""
    return difference(found, wanted, tolerance) is None


def difference(found: Any, wanted: Any, tolerance: float = 1e-5) -> str | None:
    """What differs, as the end of a sentence that begins with "you return"; None if nothing does.

    A one-element tensor or array counts as its number, a list as the tuple of its items, a ``torch.Size`` as a tuple.
    """
    if _is_tensor(wanted) and wanted.ndim:
        return _tensor_difference(found, wanted, tolerance)
    found, wanted = _plain(found), _plain(wanted)
    if found is None and wanted is not None:
        return f"nothing (None), expected {show(wanted)}"
    if _is_tensor(found) or _is_array(found):
        return f"{show(found)}, expected {show(wanted)}"
    if isinstance(wanted, (bool, str)) or wanted is None:
        return None if _equal(found, wanted) else f"{show(found)}, expected {show(wanted)}"
    if isinstance(wanted, Integral):
        return _count_difference(found, wanted)
    if isinstance(wanted, Real):
        return _number_difference(found, wanted, tolerance)
    if isinstance(wanted, Mapping):
        return _mapping_difference(found, wanted, tolerance)
    if isinstance(wanted, (Sequence, range)):
        return _sequence_difference(found, wanted, tolerance)
    return None if _equal(found, wanted) else f"{show(found)}, expected {show(wanted)}"


def _tensor_difference(found: Any, wanted: Any, tolerance: float) -> str | None:
    torch = sys.modules["torch"]
    if _is_array(found):
        found = torch.as_tensor(found)
    if not _is_tensor(found):
        return f"{show(found)}, expected {show(wanted)}"
    if found.shape != wanted.shape:
        swapped = sorted(found.shape) == sorted(wanted.shape) and found.ndim > 1
        return (
            f"shape {tuple(found.shape)}, expected {tuple(wanted.shape)}"
            f"{': the right sizes in the wrong order, two axes are swapped' if swapped else ''}"
        )
    kinds = [_kind(tensor.dtype) for tensor in (found, wanted)]
    if kinds[0] != kinds[1]:
        return f"the right shape, but {show(found.dtype)[6:]} where {show(wanted.dtype)[6:]} is wanted"
    if wanted.dtype.is_floating_point:
        same = torch.isclose(found.double(), wanted.double(), tolerance, 0.1 * tolerance, equal_nan=True)
    else:
        same = found == wanted
    if bool(same.all()):
        return None
    place = tuple((~same).nonzero()[0].tolist())
    where = ", ".join(map(str, place))
    return (
        f"the right shape, but {int((~same).sum())} of {same.numel()} entries differ; "
        f"the first is [{where}]: {show(found[place].item())}, expected {show(wanted[place].item())}"
    )


def _kind(dtype: Any) -> str:
    if dtype.is_floating_point:
        return "float"
    return "bool" if str(dtype) == "torch.bool" else "integer"


def _count_difference(found: Any, wanted: int) -> str | None:
    if isinstance(found, bool) or not isinstance(found, Real):
        return f"{show(found)}, expected the whole number {wanted}"
    if not isinstance(found, Integral):
        if found == wanted:
            return f"{show(found)}, a float; a count is a whole number, so write // instead of /"
        return f"{show(found)}, expected the whole number {wanted}"
    return None if found == wanted else f"{found}, expected {wanted}"


def _number_difference(found: Any, wanted: float, tolerance: float) -> str | None:
    if isinstance(found, bool) or not isinstance(found, Real):
        return f"{show(found)}, expected the number {show(float(wanted))}"
    if math.isnan(wanted) and math.isnan(found):
        return None
    close = math.isclose(found, wanted, rel_tol=tolerance, abs_tol=0.1 * tolerance)
    return None if close else f"{show(float(found))}, expected {show(float(wanted))}"


def _mapping_difference(found: Any, wanted: Mapping, tolerance: float) -> str | None:
    if not isinstance(found, Mapping):
        return f"{show(found)}, expected a dictionary with {', '.join(map(str, wanted))}"
    for key, value in wanted.items():
        if key not in found:
            return f"a dictionary without {key!r}"
        inner = difference(found[key], value, tolerance)
        if inner:
            return f"for {key!r} {inner}"
    extra = [key for key in found if key not in wanted]
    return f"a dictionary with {extra[0]!r}, which does not belong there" if extra else None


def _sequence_difference(found: Any, wanted: Sequence, tolerance: float) -> str | None:
    if isinstance(found, (str, bytes)) or not isinstance(found, (Sequence, range)):
        return f"{show(found)}, expected {show(wanted)}"
    if isinstance(wanted, range) or isinstance(found, range):
        return None if list(found) == list(wanted) else f"{show(found)}, expected {show(wanted)}"
    if len(found) != len(wanted):
        return f"{show(found)}, expected {show(wanted)}: {len(wanted)} entries, not {len(found)}"
    for position, (one, other) in enumerate(zip(found, wanted, strict=True)):
        inner = difference(one, other, tolerance)
        if inner:
            if all(isinstance(_plain(item), Real) for item in wanted):
                return f"{show(found)}, expected {show(wanted)}"
            return f"{show(found)}; entry {position} is {inner}"
    return None


def _plain(value: Any) -> Any:
    """A one-element tensor or numpy number as a Python number, a 1-D tensor as a list; everything else as it is."""
    if _is_tensor(value) and value.ndim == 0:
        return value.item()
    if _is_tensor(value) and value.ndim == 1:
        return value.tolist()
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) in (0, 1):
        return value.tolist()
    return value


def _equal(found: Any, wanted: Any) -> bool:
    try:
        return bool(found == wanted)
    except Exception:
        return False


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_array(value: Any) -> bool:
    return type(value).__module__ == "numpy" and hasattr(value, "ndim")
