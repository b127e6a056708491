"""`trace`: run a model once and write down what passed every layer.

The run itself records only shapes and references (`hooks`); letters, masks and real positions are worked out when the
trace is first looked at (`resolve`). Until then the trace keeps the model alive; afterwards it holds no module.

For other parts of this package: ``observing``, ``RawCall`` and ``RawTensor`` (see `w2vlearn.tracing.hooks`).
"""

from __future__ import annotations

import contextlib
import sys
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from w2vlearn.tracing.adapters import from_batch, is_batch
from w2vlearn.tracing.hooks import MASK_NAME, RawCall, RawTensor, observing
from w2vlearn.tracing.record import Trace, TraceData
from w2vlearn.tracing.twin import random_state_kept
from w2vlearn.tracing.valid import recipes

__all__ = ["RawCall", "RawTensor", "TraceError", "observing", "trace"]

_warned: weakref.WeakSet[nn.Module] = weakref.WeakSet()  # models in train mode that were warned about


class TraceError(RuntimeError):
    """The model raised during a trace. ``.trace`` is the partial trace; its last record is the layer that broke."""

    def __init__(self, message: str, trace: Trace) -> None:
        super().__init__(message)
        self.trace = trace


def trace(model: nn.Module, /, *args: Any, values: bool = False, **kwargs: Any) -> Trace:
    """Run a model once and record every module call, every mask step, and what is real in each.

    Parameters
    ----------
    model : nn.Module
        Any module.
    *args, **kwargs
        A `Batch` (anything with ``waveforms`` (B, L), ``lengths`` (B,), ``mask`` (B, L)), which is fitted to the
        forward's signature; or the arguments themselves, as in ``model(*args, **kwargs)``. Keywords may be added to a
        batch.
    values : bool
        Also keep a detached clone of every output (``record.value``, ``record.values``). Costs memory and time.

    Returns
    -------
    Trace
        Its ``output`` is what the model returned, equal to the last bit to an untraced run.

    Raises
    ------
    TraceError
        If the model raises: names the layer, carries the partial trace, and the original error as its cause.
    TypeError
        If ``model`` is no module, or its signature does not say where a batch goes.

    Notes
    -----
    Gradients, autocast and mode are the caller's: wrap the call in ``torch.no_grad()`` to save memory. Mode, weights,
    buffers and the random states of torch, numpy and Python are afterwards as they were before.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"trace runs a torch.nn.Module, found a {type(model).__name__}; write trace(model, batch)")
    notes: list[str] = []
    compiled = _compiled(model)
    if hasattr(model, "_orig_mod"):
        model = model._orig_mod
    lengths = None
    if args and is_batch(args[0]):
        if len(args) > 1:
            raise TypeError("beside a batch, pass further arguments by name: trace(model, batch, name=value)")
        lengths = args[0].lengths
        args, kwargs, decided = from_batch(model, args[0], kwargs)
        notes += decided
    if compiled:
        notes.append("the model is compiled: traced without the compiler, whose kernels may round differently")
    if model.training:
        notes.append("train mode: dropout, LayerDrop and time masks make runs differ")
        if model not in _warned:
            _warned.add(model)
            warnings.warn(
                f"{type(model).__name__} is in train mode: dropout, LayerDrop and time masks (SpecAugment) make runs "
                "differ, and layers may be skipped; call model.eval() first for a trace that repeats",
                UserWarning,
                stacklevel=2,
            )
    inputs = recipes(args, kwargs, lambda name, t: t.dtype is torch.bool or t.ndim == 1 or bool(MASK_NAME.search(name)))
    context = torch.compiler.set_stance("force_eager") if compiled else contextlib.nullcontext()
    failure: Exception | None = None
    output = None
    with random_state_kept(), _buffers_kept(model), context, observing(model, values) as calls:
        try:
            output = model(*args, **kwargs)
        except Exception as error:
            failure = error
    broken = _where_it_broke(calls, failure) if failure is not None else None

    def resolve() -> TraceData:
        from w2vlearn.tracing.resolve import resolve

        return resolve(model, calls, inputs, lengths, tuple(notes), broken)

    if failure is None:
        return Trace(resolve, model_name=_name(model), output=output)
    layer = f"layer {broken.name!r}" if broken is not None and broken.name else "the model itself"
    kind = type(broken.module if broken is not None else model).__name__
    raised = f"{type(failure).__name__}: {failure}"
    partial = Trace(resolve, model_name=_name(model), error=f"{layer} ({kind}) raised {raised}")
    handed = ", ".join(f"{t.path} {tuple(t.shape)}" for t in broken.inputs) if broken is not None else ""
    raise TraceError(
        f"{layer} ({kind}) raised {raised}"
        + (f"\nIt was handed {handed}." if handed else "")
        + "\nWhat passed up to there is in this error's .trace: print(error.trace)",
        partial,
    ) from failure


def _name(model: nn.Module) -> str:
    return getattr(model, "original_name", None) or type(model).__name__


def _compiled(model: nn.Module) -> bool:
    """Whether torch.compile is at work anywhere in the model (asked without importing the compiler)."""
    if "torch._dynamo" not in sys.modules:
        return False
    return any(hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) is not None for m in model.modules())


@contextlib.contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    """Undo what a run in train mode writes into buffers (running statistics); in eval mode nothing is copied."""
    kept = [
        (buffer, buffer.detach().clone())
        for module in model.modules()
        if module.training
        for buffer in module._buffers.values()
        if buffer is not None
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in kept:
                if buffer.shape == before.shape:
                    buffer.copy_(before)


def _where_it_broke(calls: list[RawCall], failure: Exception) -> RawCall | None:
    """The innermost call that the exception (or one that it was made from) came out of."""
    chain: list[BaseException] = []
    error: BaseException | None = failure
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    raised = [call for call in calls if call.error is not None and any(call.error is e for e in chain)]
    if raised:
        return min(raised, key=lambda call: call.ended)
    unfinished = [call for call in calls if call.ended is None]
    return unfinished[-1] if unfinished else (calls[0] if calls else None)
