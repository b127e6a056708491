"""The observing road: hooks that write down what really passed, and nothing else.

Interface for other parts of this package (the prover uses the same observer):

    with observing(model) as calls:      # hooks on every module, for this thread only, gone afterwards
        model(...)                       # or torch.export.export(model, ...): fake tensors, symbolic sizes
    calls                                # list of RawCall, in the order in which the calls began

    records = build_records(calls, label)   # w2vlearn.tracing.assemble; label(RawTensor) -> (shape, letters)

A `RawCall` has ``name, call, module, depth, inputs, outputs, nones, began, ended, error, values``; its tensors are
`RawTensor` ``(path, shape, dtype, device, ref)``. Sizes in ``shape`` are whatever the tensor had, symbolic ones
included: the hooks never compare, hash, or convert them. ``ref`` is the tensor itself for those that may be masks,
None for others: recording copies nothing and never waits for a GPU. What a call's masks mean and what is real is
worked out later.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

MASK_NAME = re.compile(r"mask|padding|(^|_)len(gth)?s?$", re.IGNORECASE)
_DEEPEST = 8  # how deep tensors are looked for in nested outputs; stops on structures that contain themselves
_PLAIN = (str, int, float, bool, bytes, torch.dtype, torch.device)
_here = threading.local()  # .recorder: the one that listens in this thread


class RawTensor(NamedTuple):
    """One tensor as the hook saw it: where it travelled, its sizes, type, place, and itself if it may be a mask."""

    path: str
    shape: Any
    dtype: torch.dtype
    device: torch.device
    ref: Tensor | None = None


class RawCall:
    """One call of one module, as the hooks saw it."""

    __slots__ = (
        "began", "call", "depth", "ended", "error", "inputs",
        "module", "name", "nones", "outputs", "raised_on_entry", "values",
    )  # fmt: skip

    def __init__(self, name: str, call: int, module: nn.Module, depth: int, began: int) -> None:
        self.name = name
        self.call = call
        self.module = module
        self.depth = depth
        self.began = began  # position in the order of events, calls' beginnings and ends counted together
        self.ended: int | None = None  # None: it never came to an end
        self.inputs: list[RawTensor] = []
        self.outputs: list[RawTensor] = []
        self.nones: list[str] = []  # arguments with a mask's name that were None
        self.values: dict[str, Tensor] = {}
        self.error: BaseException | None = None
        self.raised_on_entry: BaseException | None = None

    def __repr__(self) -> str:
        return f"<RawCall {self.name!r} #{self.call}>"


class Recorder:
    """Writes down every call of a model's modules in one thread; a recorder that starts inside another silences it."""

    def __init__(self, model: nn.Module, values: bool = False) -> None:
        self.calls: list[RawCall] = []
        self.values = values
        self.names = {module: name for name, module in model.named_modules()}
        self.arguments = {module: argument_names(module) for module in self.names}
        self.counts: dict[nn.Module, int] = {}
        self.open: list[RawCall] = []
        self.clock = 0

    def enter(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        """Pre-hook: a call begins."""
        if getattr(_here, "recorder", None) is not self:
            return
        count = self.counts.get(module, 0)
        self.counts[module] = count + 1
        record = RawCall(self.names[module], count, module, len(self.open), self.clock)
        self.clock += 1
        record.raised_on_entry = sys.exception()
        self.calls.append(record)
        self.open.append(record)
        names = self.arguments[module]
        for index, value in enumerate(args):
            self.take(record, names[index] if index < len(names) else f"args[{index}]", value)
        for name, value in kwargs.items():
            self.take(record, name, value)

    @staticmethod
    def take(record: RawCall, name: str, value: Any) -> None:
        """One argument: note its tensors, or that a mask was None."""
        if isinstance(value, Tensor):
            record.inputs.append(_note(name, value, may_be_mask=True, first=not record.inputs))
        elif value is None:
            if _is_mask_name(name):
                record.nones.append(name)
        elif not isinstance(value, _PLAIN):
            for path, tensor in tensors_in(value, name):
                record.inputs.append(_note(path, tensor, may_be_mask=True, first=not record.inputs))

    def leave(self, module: nn.Module, args: tuple, kwargs: dict, result: Any) -> None:
        """Forward hook, also called when the forward raised: a call ends."""
        if getattr(_here, "recorder", None) is not self:
            return
        if not self.open or self.open[-1].module is not module:
            # Another pre-hook raised before ours could run: the call is written down here, to give the error a layer.
            if sys.exception() is None:
                return
            self.enter(module, args, kwargs)
            self.open[-1].raised_on_entry = None
        record = self.open.pop()
        record.ended = self.clock
        self.clock += 1
        error = sys.exception()
        if result is None and error is not None and error is not record.raised_on_entry:
            record.error = error
            return
        if isinstance(result, Tensor):
            record.outputs.append(RawTensor("output", _shape(result), result.dtype, result.device))
            if self.values:
                record.values["output"] = result.detach().clone()
        elif result is not None:
            for path, tensor in tensors_in(result, "output"):
                record.outputs.append(RawTensor(path, _shape(tensor), tensor.dtype, tensor.device))
                if self.values:
                    record.values[path] = tensor.detach().clone()


@contextmanager
def observing(model: nn.Module, values: bool = False, keep_fast_path: bool = True) -> Iterator[list[RawCall]]:
    """Write down every call of every module of ``model``, in this thread, until the block ends.

    Parameters
    ----------
    model : nn.Module
        Any module. Hooks go on it and on all modules below it, and go away with the block, however it ends.
    values : bool
        Also keep a detached clone of every output.
    keep_fast_path : bool
        ``nn.TransformerEncoderLayer`` computes by another kernel, with other rounding, when anything below it is
        hooked. True: listen there without hooks, so that the output stays the same to the last bit (its inner layers
        are then not called, as in the untraced run). False: hook it, so that its inner layers show.

    Yields
    ------
    list of RawCall
        Grows while the block runs. Calls from other threads, and calls inside another `observing` that was begun inside
        this one, are not in it.
    """
    recorder = Recorder(model, values)
    before = getattr(_here, "recorder", None)
    undo = []
    try:
        unhooked = _fast_path_modules(model) if keep_fast_path else set()
        for module in recorder.names:
            if isinstance(module, torch.jit.ScriptModule):  # takes no hooks; what it calls stays inside its interpreter
                if not _inside_script(recorder.names, recorder.names[module]):
                    undo += _wrap_forward(recorder, module)
            elif module in unhooked:
                undo += _wrap_forward(recorder, module)
            else:
                undo += _hook(recorder, module)
        _here.recorder = recorder
        yield recorder.calls
    finally:
        _here.recorder = before
        for action in reversed(undo):
            action()


def _hook(recorder: Recorder, module: nn.Module) -> list:
    """Register both hooks; what removes them."""
    enter = module.register_forward_pre_hook(recorder.enter, with_kwargs=True)
    leave = module.register_forward_hook(recorder.leave, with_kwargs=True, always_call=True)
    return [enter.remove, leave.remove]


def _wrap_forward(recorder: Recorder, module: nn.Module) -> list:
    """Listen through the instance's ``forward`` instead of hooks; what undoes it."""
    had = "forward" in vars(module)  # asked first: TorchScript puts it there when it is read
    original = module.forward

    @functools.wraps(original)
    def forward(*args: Any, **kwargs: Any) -> Any:
        recorder.enter(module, args, kwargs)
        try:
            result = original(*args, **kwargs)
        except Exception:
            recorder.leave(module, args, kwargs, None)
            raise
        recorder.leave(module, args, kwargs, result)
        return result

    vars(module)["forward"] = forward
    return [(lambda: vars(module).__setitem__("forward", original)) if had else (lambda: vars(module).pop("forward"))]


def _fast_path_modules(model: nn.Module) -> set[nn.Module]:
    """Modules whose being hooked would change how `nn.TransformerEncoderLayer` computes."""
    found: set[nn.Module] = set()
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer) and not module.training:
            below = set(module.modules())
            if not any(part._forward_hooks or part._forward_pre_hooks for part in below):
                found |= below
    return found


def _inside_script(names: dict[nn.Module, str], name: str) -> bool:
    """Whether a module lies below a TorchScript module."""
    scripts = [other for module, other in names.items() if isinstance(module, torch.jit.ScriptModule) and other != name]
    return any(not other or name.startswith(f"{other}.") for other in scripts)


def argument_names(module: nn.Module) -> tuple[str, ...]:
    """Names of the forward's positional parameters, in order; empty where there is no signature to read."""
    if isinstance(module, torch.jit.ScriptModule):
        return (
            tuple(argument.name for argument in module.forward.schema.arguments[1:])
            if hasattr(module, "forward")
            else ()
        )
    if "forward" in vars(module):
        return _positional(module.forward, bound=True)
    return _positional(type(module).forward, bound=False)


@functools.lru_cache(maxsize=1024)
def _positional(forward: Any, bound: bool) -> tuple[str, ...]:
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):
        return ()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(names if bound else names[1:])


@functools.lru_cache(maxsize=4096)
def _is_mask_name(name: str) -> bool:
    return MASK_NAME.search(name) is not None


def _note(path: str, tensor: Tensor, may_be_mask: bool, first: bool) -> RawTensor:
    """A tensor's description; the tensor itself only if it may be a mask (those are small or live anyway)."""
    shape, dtype = _shape(tensor), tensor.dtype
    is_mask = dtype is torch.bool or _is_mask_name(path)
    if not is_mask and not first and len(shape) == 4 and dtype.is_floating_point:
        is_mask = type(shape[1]) is int and shape[1] == 1  # an additive mask (B, 1, T, T) under a name of its own
    return RawTensor(path, shape, dtype, tensor.device, tensor if is_mask else None)


def _shape(tensor: Tensor) -> Any:
    try:
        return tensor.shape
    except RuntimeError:  # a nested tensor has no single shape
        return (len(tensor.unbind()),)


def tensors_in(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested tuples, lists, dicts and dataclasses, with its path: ``output.hidden_states[3]``."""
    if isinstance(value, Tensor):
        yield path, value
    elif value is None or depth > _DEEPEST or isinstance(value, _PLAIN):
        return
    elif isinstance(value, Mapping):
        for key, item in value.items():
            named = isinstance(key, str) and key.isidentifier()
            yield from tensors_in(item, f"{path}.{key}" if named else f"{path}[{key!r}]", depth + 1)
    elif isinstance(value, (tuple, list)):
        names = getattr(value, "_fields", None)  # a namedtuple
        for index, item in enumerate(value):
            yield from tensors_in(item, f"{path}.{names[index]}" if names else f"{path}[{index}]", depth + 1)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            yield from tensors_in(getattr(value, part.name, None), f"{path}.{part.name}", depth + 1)
