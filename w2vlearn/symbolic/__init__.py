"""Prove every layer's shape for every batch and length, by `torch.export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from w2vlearn.symbolic.agreement import CheckReport, Difference
from w2vlearn.symbolic.closed_form import ClosedForm, Formula
from w2vlearn.symbolic.evaluation import Range, Shapes
from w2vlearn.symbolic.formulas import SymbolicTrace
from w2vlearn.symbolic.isolation import ExportError

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "CheckReport",
    "ClosedForm",
    "Difference",
    "ExportError",
    "Formula",
    "Range",
    "Shapes",
    "SymbolicTrace",
    "symbolic_trace",
]


def symbolic_trace(
    model: nn.Module | str, *args: Any, mask: bool = True, edges: bool = True, **kwargs: Any
) -> SymbolicTrace:
    """Every layer's shape and mask as a function of the batch B and the length L, derived by `torch.export`.

    Parameters
    ----------
    model : nn.Module or str
        Any module on waveforms; it is not touched, its weights may be anywhere. The name of a preset (``"base"``)
        gives its stored formulas instead of a new derivation.
    *args, **kwargs
        Example arguments of the forward, only for a model whose own are not found out by themselves: tensors of B = 3
        clips and one L (any, but no size that the model has as a constant).
    mask : bool
        Hand the model a mask of valid samples, if it takes one.
    edges : bool
        Also run the model without values at B = 1 and T = 1, which export cannot cover (seven or eight quick runs).

    Returns
    -------
    SymbolicTrace

    Raises
    ------
    ExportError
        If torch cannot follow the model's code; names layer and operation.

    Notes
    -----
    The model's code runs about ten times on tensors without values: for the export, and once per edge. It runs on a
    copy that shares parameters and buffers, in eval mode, without compiler and without the user's hooks, so that
    nothing that the model holds keeps such a tensor. What its code reaches by a global name or through its class is
    put back afterwards. Not covered: what it prints or writes to files, and objects that cannot be copied (a note
    names them).
    """
    if isinstance(model, str):
        return SymbolicTrace.preset(model, mask)
    from w2vlearn.symbolic.derive import derive  # with sympy, which stored formulas do without

    return derive(model, args, kwargs, mask=mask, edges=edges)
