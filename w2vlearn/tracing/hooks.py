"""The hooks: they write down what really passes, and nothing else.

    with observing(model) as calls:      # hooks on every module, for this thread only, gone afterwards
        model(...)                       # or torch.export.export(model, ...): fake tensors, symbolic sizes
    calls                                # list of RawCall, in the order in which the calls began

A `Recorder` with ``axes`` also notes the axes of every tensor and the values of every mask as they were at that moment,
and which modules took part without being called.

Sizes in ``shape`` are whatever the tensor had, symbolic ones included: without ``axes`` the hooks never compare, hash,
or convert them. Nothing is copied but a few numbers per mask, and nothing waits for a GPU.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from w2vlearn.tracing.axes import Axes
from w2vlearn.tracing.inputs import PLAIN, argument_names, tensors_in
from w2vlearn.tracing.letters import Marks
from w2vlearn.tracing.masks import MASK_NAME, MaskReader, MaskValues
from w2vlearn.tracing.operations import class_name, operation_of
from w2vlearn.tracing.records import FORWARD_CALLED, OTHER_THREAD, WEIGHTS_USED, Operation


def named_modules(model: nn.Module) -> tuple[dict[nn.Module, str], dict[str, str]]:
    """The first name of every module, in the order of ``model.named_modules()``, and second names -> the first.

    What lies inside TorchScript is left out: it runs in its own interpreter, where no hook reaches it.
    """
    names: dict[nn.Module, str] = {}
    aliases: dict[str, str] = {}
    around: set[nn.Module] = set()  # a module may hold itself

    def visit(module: nn.Module, name: str) -> None:
        if module in names:
            aliases[name] = names[module]
        else:
            names[module] = name
        if isinstance(module, torch.jit.ScriptModule):
            return
        around.add(module)
        for part, child in module._modules.items():
            if child is not None and child not in around:
                visit(child, f"{name}.{part}" if name else part)
        around.discard(module)

    visit(model, "")
    return names, aliases


class RawTensor(NamedTuple):
    """One tensor as the hook saw it: where it travelled, its sizes, type, place; its axes; its values if a mask."""

    path: str
    shape: Any
    dtype: torch.dtype
    device: torch.device
    marks: Marks | None = None
    may_be_mask: bool = False
    identity: int = 0  # the same number, the same object (of those that may be masks)
    values: MaskValues | None = None

    @property
    def axes(self) -> tuple | None:
        """What each axis is (`w2vlearn.tracing.axes`), as far as it is known by now; None where nobody followed."""
        return None if self.marks is None else self.marks.axes


@dataclass(slots=True, eq=False, repr=False)
class RawCall:
    """One call of one module, as the hooks saw it."""

    name: str
    call: int
    module: nn.Module
    depth: int
    operation: Operation
    type: str
    began: int  # position in the order of events, calls' beginnings and ends counted together
    raised_on_entry: BaseException | None  # what was being handled when the call began
    ended: int | None = None  # None: it never came to an end
    inputs: list[RawTensor] = field(default_factory=list)
    outputs: list[RawTensor] = field(default_factory=list)
    nones: list[str] = field(default_factory=list)  # arguments with a mask's name that were None
    objects: list[tuple[str, str, tuple]] = field(default_factory=list)  # and that were no tensor: name, class, shape
    values: dict[str, Tensor] = field(default_factory=dict)
    source: Tensor | None = None  # the main input, until the call ends
    error: BaseException | None = None


class _Thread(threading.local):
    recorder: Recorder | None = None  # the one that listens in this thread


_thread = _Thread()
_listening = threading.Lock()  # held while a model is changed to listen, and back: several threads may trace it


class Recorder:
    """Writes down every call of a model's modules in one thread; a recorder that starts inside another silences it.

    Parameters
    ----------
    names : dict
        `named_modules` of the model.
    values : bool
        Also keep a detached clone of every output.
    axes : Axes, optional
        Follows the axes of every tensor, and has the masks read; not during an export, where tensors have no values.

    Attributes
    ----------
    calls : list of RawCall
        In the order in which they began.
    took_part : dict of str to str
        Modules that were not called in this thread, but whose weights were read, or that another thread called: how.
    """

    def __init__(self, names: Mapping[nn.Module, str], values: bool = False, axes: Axes | None = None) -> None:
        self.calls: list[RawCall] = []
        self.took_part: dict[str, str] = {}
        self.values = values
        self.axes = axes
        self.masks = MaskReader()
        self.names = names
        self.modules: dict[nn.Module, tuple[str, Operation, str, tuple[str, ...]]] = {}  # what does not change
        self.counts: dict[nn.Module, int] = {}
        self.open: list[RawCall] = []
        self.clock = 0

    def enter(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        """Pre-hook: a call begins; one in a thread without a recorder is noted by name."""
        if _thread.recorder is None:
            self.took_part.setdefault(self.names.get(module, type(module).__name__), OTHER_THREAD)
        if _thread.recorder is not self or module not in self.names:
            return
        count = self.counts.get(module, 0)
        self.counts[module] = count + 1
        if not count:
            names = argument_names(module)
            self.modules[module] = (self.names[module], operation_of(module), class_name(module), names)
        name, operation, kind, names = self.modules[module]
        call = RawCall(name, count, module, len(self.open), operation, kind, self.clock, sys.exception())
        self.clock += 1
        self.calls.append(call)
        self.open.append(call)
        for index, value in enumerate(args):
            self.take(call, names[index] if index < len(names) else f"args[{index}]", value)
        for name, value in kwargs.items():
            self.take(call, name, value)

    def take(self, call: RawCall, name: str, value: Any) -> None:
        """One argument: note its tensors, or that a mask was None or no tensor."""
        if isinstance(value, Tensor):
            call.inputs.append(self.input(call, name, value))
        elif value is None:
            if _is_mask_name(name):
                call.nones.append(name)
        elif not isinstance(value, PLAIN):
            before = len(call.inputs)
            for path, tensor in tensors_in(value, name):
                call.inputs.append(self.input(call, path, tensor))
            if len(call.inputs) == before and _is_mask_name(name) and hasattr(value, "shape"):
                call.objects.append((name, type(value).__name__, tuple(value.shape)))

    def input(self, call: RawCall, path: str, tensor: Tensor) -> RawTensor:
        """What is written down of a tensor that goes in."""
        shape, dtype = _shape(tensor), tensor.dtype
        first = not call.inputs
        is_mask = dtype is torch.bool or _is_mask_name(path)
        if not is_mask and not first and len(shape) == 4 and dtype.is_floating_point:
            is_mask = type(shape[1]) is int and shape[1] == 1  # an additive mask (B, 1, T, T) under a name of its own
        marks = values = None
        if self.axes is not None:
            if is_mask and not first:
                marks = self.axes.of(tensor, self.axes.mask_roles(path, shape))
            elif first:
                marks = self.axes.entering(tensor, call.operation, call.module)
                call.source = tensor
            else:
                marks = self.axes.beside(tensor)
            values = self.masks.read(tensor) if is_mask else None
        return RawTensor(path, shape, dtype, tensor.device, marks, is_mask, id(tensor) if is_mask else 0, values)

    def leave(self, module: nn.Module, args: tuple, kwargs: dict, result: Any) -> None:
        """Forward hook, also called when the forward raised: a call ends."""
        if _thread.recorder is not self or module not in self.names:
            return
        if not self.open or self.open[-1].module is not module:
            # Another pre-hook raised before ours could run: the call is written down here, to give the error a layer.
            if sys.exception() is None:
                return
            self.enter(module, args, kwargs)
            self.open[-1].raised_on_entry = None
        call = self.open.pop()
        call.ended = self.clock
        self.clock += 1
        source, call.source = call.source, None
        error = sys.exception()
        if result is None and error is not None and error is not call.raised_on_entry:
            call.error = error
            return
        if isinstance(result, Tensor):
            self.output(call, "output", result, source)
        elif result is not None:
            for path, tensor in tensors_in(result, "output"):
                self.output(call, path, tensor, source)

    def output(self, call: RawCall, path: str, tensor: Tensor, source: Tensor | None) -> None:
        """Write down a tensor that came out."""
        marks = None
        if self.axes is not None:
            marks = self.axes.leaving(tensor, source, call.operation, call.module, main=not call.outputs)
        call.outputs.append(RawTensor(path, _shape(tensor), tensor.dtype, tensor.device, marks))
        if self.values:
            call.values[path] = tensor.detach().clone()


@contextmanager
def observing(
    model: nn.Module, keep_fast_path: bool = True, recorder: Recorder | None = None
) -> Iterator[list[RawCall]]:
    """Write down every call of every module of ``model``, in this thread, until the block ends.

    Parameters
    ----------
    model : nn.Module
        Any module. Hooks go on it and on all modules below it, and go away with the block, however it ends.
    keep_fast_path : bool
        ``nn.TransformerEncoderLayer`` computes by another kernel, with other rounding, when anything below it is
        hooked. True: listen there without hooks, so that the output stays the same to the last bit (its inner layers
        are then not called, as in the untraced run). False: hook it, so that its inner layers show.
    recorder : Recorder, optional
        Who writes; by default one that keeps no axes, masks or values.

    Yields
    ------
    list of RawCall
        Grows while the block runs. Calls inside another such block that was begun inside this one are not in it.
    """
    recorder = recorder or Recorder(named_modules(model)[0])
    fast = _fast_path_modules(recorder.names) if keep_fast_path else set()
    hooked = []
    with ExitStack() as stack:
        for module in recorder.names:
            if module in fast or isinstance(module, torch.jit.ScriptModule):  # TorchScript takes no hooks
                stack.enter_context(_wrapped(module, recorder))
            else:
                hooked.append(module)
        stack.enter_context(_hooked(hooked, recorder))
        if recorder.axes is not None:
            stack.enter_context(_weights_watched(recorder))
        stack.callback(setattr, _thread, "recorder", _thread.recorder)
        _thread.recorder = recorder
        yield recorder.calls


@contextmanager
def _hooked(modules: Sequence[nn.Module], recorder: Recorder) -> Iterator[None]:
    """Both hooks on every module.

    As ``register_forward_pre_hook(with_kwargs=True)`` and ``register_forward_hook(with_kwargs=True,
    always_call=True)`` do, under one number for all: two handles for each of some hundred modules would cost as much as
    all that the hooks do.
    """
    number = RemovableHandle(OrderedDict()).id
    entries = {
        "_forward_pre_hooks": recorder.enter,
        "_forward_pre_hooks_with_kwargs": True,
        "_forward_hooks": recorder.leave,
        "_forward_hooks_with_kwargs": True,
        "_forward_hooks_always_called": True,
    }
    places = [vars(module) for module in modules]
    try:
        for place in places:
            for name, entry in entries.items():
                place[name][number] = entry
        yield
    finally:
        for place in places:
            for name in entries:
                place[name].pop(number, None)


@contextmanager
def _wrapped(module: nn.Module, recorder: Recorder) -> Iterator[None]:
    """Listen through the instance's ``forward`` instead of hooks."""
    own = vars(module).get("forward")  # asked first: TorchScript puts it there when it is read
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

    forward.own, forward.over = own, False
    vars(module)["forward"] = forward
    try:
        yield
    finally:
        with _listening:
            forward.over = True
            while getattr(current := vars(module).get("forward"), "over", False):  # another thread's may lie above it
                del vars(module)["forward"]
                if current.own is not None:
                    vars(module)["forward"] = current.own


class _Weights(dict):
    """A module's own parameters, which remember for each recorder the code that first read one of them."""

    __slots__ = ("original", "readers", "watching")

    def __init__(self, original: dict) -> None:
        super().__init__(original)
        self.original, self.watching = original, 0
        self.readers: dict[Recorder | None, CodeType] = {}

    def __getitem__(self, name: str) -> Any:
        if _thread.recorder not in self.readers:
            self.readers[_thread.recorder] = sys._getframe(2).f_code  # whoever asked nn.Module.__getattr__
        return dict.__getitem__(self, name)

    def __reduce__(self) -> tuple:
        return dict, (dict(self),)


@contextmanager
def _weights_watched(recorder: Recorder) -> Iterator[None]:
    """Notice when a module's weights are used although the module is not called."""
    owners = [m for m in recorder.names if m._parameters and not isinstance(m, torch.jit.ScriptModule)]
    with _listening:
        for module in owners:
            if not isinstance(module._parameters, _Weights):
                vars(module)["_parameters"] = _Weights(module._parameters)
            module._parameters.watching += 1
        watched = [(module, module._parameters) for module in owners]
    try:
        yield
    finally:
        with _listening:
            for module, weights in watched:
                weights.watching -= 1
                if not weights.watching:
                    _restore(module, weights)
                reader = weights.readers.get(recorder) or weights.readers.get(None)  # None: in a thread of the model's
                if reader is not None and module not in recorder.counts:
                    own = reader is getattr(type(module).forward, "__code__", None)
                    recorder.took_part.setdefault(recorder.names[module], FORWARD_CALLED if own else WEIGHTS_USED)


def _restore(module: nn.Module, weights: _Weights) -> None:
    """Put a module's own dict of parameters back, with what the forward registered or exchanged."""
    original = weights.original
    if module._parameters is weights:
        vars(module)["_parameters"] = original
    if len(original) != len(weights) or any(original.get(name) is not weight for name, weight in weights.items()):
        original.clear()
        original.update(weights)


def _fast_path_modules(names: Mapping[nn.Module, str]) -> set[nn.Module]:
    """Modules whose being hooked would change how `nn.TransformerEncoderLayer` computes."""
    modules: set[nn.Module] = set()
    for module in names:
        if isinstance(module, nn.TransformerEncoderLayer) and not module.training:
            below = set(module.modules())
            if not any(part._forward_hooks or part._forward_pre_hooks for part in below):
                modules |= below
    return modules


@functools.lru_cache(maxsize=4096)
def _is_mask_name(name: str) -> bool:
    return MASK_NAME.search(name) is not None


def _shape(tensor: Tensor) -> Any:
    return (len(tensor.unbind()),) if tensor.is_nested else tensor.shape  # a nested tensor has no single shape
