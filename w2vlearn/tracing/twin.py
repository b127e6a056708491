"""A second body for a model: same modules, other tensors, so that it can be run without touching the first."""

from __future__ import annotations

import functools
import logging
import random
import sys
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_BACKWARD_HOOKS = ("_backward_hooks", "_backward_pre_hooks")
_DEEPEST = 4


def twin(model: nn.Module, convert: Callable[[Tensor], Tensor], scripts: bool = False) -> nn.Module:
    """A model in eval mode with the same modules, whose tensors are ``convert``\\ ed; the original is left alone.

    Caches that a forward writes (positions, masks, ``weight_norm``'s product) then land in the twin. Hooks that belong
    to the libraries of the model's own modules stay (``weight_norm``, transformers' collecting of hidden states); the
    user's are left out, for they may count or keep what they see. Costs milliseconds.

    Raises
    ------
    TypeError
        For TorchScript modules, which have no Python body to copy; with ``scripts``, those in eval mode are shared.
    """
    return _Twins(convert, model, scripts).module(model)


class _Twins:
    def __init__(self, convert: Callable[[Tensor], Tensor], model: nn.Module, scripts: bool) -> None:
        self.convert = convert
        self.scripts = scripts
        packages = {cls.__module__.split(".")[0] for module in model.modules() for cls in type(module).__mro__}
        self.homes = packages - {"__main__", "builtins"}
        self.modules: dict[int, nn.Module] = {}
        self.tensors: dict[int, Tensor] = {}
        self.kept: list[Any] = []  # originals stay alive while their ids are keys

    def module(self, original: nn.Module) -> nn.Module:
        if id(original) in self.modules:
            return self.modules[id(original)]
        if isinstance(original, torch.jit.ScriptModule) and self.scripts and not original.training:
            return original  # it has no state that can be exchanged; in eval mode running it leaves nothing behind
        if isinstance(original, torch.jit.ScriptModule):
            raise TypeError(f"{type(original).__name__} is TorchScript: it cannot be run on other tensors")
        copy = type(original).__new__(type(original))
        self.modules[id(original)] = copy
        self.kept.append(original)
        state = {}
        for name, value in vars(original).items():
            if name in ("_parameters", "_buffers", "_modules"):
                value = type(value)((key, self.any(item)) for key, item in value.items())
            elif name in _HOOKS:
                value = OrderedDict((key, hook) for key, hook in value.items() if _home(hook) in self.homes)
            elif name in _BACKWARD_HOOKS:
                value = OrderedDict()
            elif name == "_compiled_call_impl":
                value = None
            elif name != "training" and not name.endswith("_hooks_with_kwargs") and not name.endswith("_always_called"):
                value = self.any(value)
            state[name] = value
        state["training"] = False
        vars(copy).update(state)
        return copy

    def any(self, value: Any, depth: int = 0) -> Any:
        """A value with the tensors and modules in it exchanged; everything else as it is."""
        if isinstance(value, Tensor):
            if id(value) not in self.tensors:
                self.tensors[id(value)] = self.convert(value)
                self.kept.append(value)
            return self.tensors[id(value)]
        if isinstance(value, nn.Module):
            return self.module(value)
        if depth > _DEEPEST:
            return value
        if type(value) in (list, set):
            return type(value)(self.any(item, depth + 1) for item in value)
        if type(value) is tuple:
            return tuple(self.any(item, depth + 1) for item in value)
        if type(value) in (dict, OrderedDict):
            return type(value)((key, self.any(item, depth + 1)) for key, item in value.items())
        if isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module):
            return types.MethodType(value.__func__, self.module(value.__self__))
        if isinstance(value, functools.partial):
            keywords = {key: self.any(item, depth + 1) for key, item in value.keywords.items()}
            return functools.partial(self.any(value.func, depth + 1), *self.any(value.args, depth + 1), **keywords)
        return value


def _home(hook: Any) -> str:
    """The package that a hook comes from."""
    return (getattr(hook, "__module__", None) or type(hook).__module__).split(".")[0]


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Leave the random states of torch (CPU and each GPU in use), numpy and Python as they were."""
    numpy = sys.modules.get("numpy")
    kept_torch = torch.get_rng_state()
    gpus = torch.cuda.is_available() and torch.cuda.is_initialized()
    kept_gpus = torch.cuda.get_rng_state_all() if gpus else []
    kept_numpy = numpy.random.get_state() if numpy is not None else None
    kept_python = random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(kept_torch)
        if gpus:
            torch.cuda.set_rng_state_all(kept_gpus)
        if numpy is not None:
            numpy.random.set_state(kept_numpy)
        random.setstate(kept_python)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; every module's own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def quietly() -> Iterator[None]:
    """No gradients, no warnings, nothing in torch's log, no trace in the random states."""
    log = logging.getLogger("torch._subclasses.fake_tensor")  # logs every operation that does not fit its shapes
    was_disabled = log.disabled
    with random_state_kept(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.disabled = True
        try:
            yield
        finally:
            log.disabled = was_disabled
