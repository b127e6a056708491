"""Running a user's code on tensors without values, so that nothing of the user's keeps one.

The export runs on a copy of the model (`isolated_copy`): the same parameters and buffers, at no cost in memory, and
every other object that the model holds copied, closures and bound methods included. What a forward reaches by a global
name or through its class cannot be copied; it is put back afterwards (`globals_kept`).
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import itertools
import logging
import re
import sys
import types
import warnings
from collections import OrderedDict, UserDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.tracing.hooks import RawCall, observing
from w2vlearn.tracing.observe import eager, random_state_kept

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_NO_HOOKS = ("_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks", "_load_state_dict_pre_hooks")
_COMPILER = ("_compiled_call_impl", "dynamo_ctx")
_CONTAINERS = (dict, list, set, deque)
_HOLDERS = (tuple, functools.partial, types.MethodType, types.CellType, types.SimpleNamespace, UserDict, nn.Module)
_MOST_OBJECTS = 100_000  # that globals of a model's code are followed through
_LIBRARIES = rf"(torch|w2vlearn\.(tracing|symbolic)|{'|'.join(sys.stdlib_module_names)})(\.|$)"
_LOGGERS = ("torch.export", "torch._export", "torch.fx", "torch._dynamo", "torch._subclasses.fake_tensor")


class ExportError(RuntimeError):
    """`torch.export` cannot follow this model.

    Attributes
    ----------
    layer : str
        Name of the module in whose forward it stopped (``""``: the model itself).
    operation : str
        The line of the model's code, with file and number, or torch's operator.
    """

    def __init__(self, message: str, layer: str = "", operation: str = "") -> None:
        super().__init__(message)
        self.layer = layer
        self.operation = operation


def isolated_copy(
    model: nn.Module, convert: Callable[[Tensor], Tensor] = lambda tensor: tensor
) -> tuple[nn.Module, list[str]]:
    """A model in eval mode with the same modules, without users' hooks and without `torch.compile`.

    Hooks that belong to the libraries of the model's own modules stay (``weight_norm``, transformers' collecting of
    hidden states); the user's are left out, for they may count or keep what they see.

    Parameters
    ----------
    model : nn.Module
        Not touched.
    convert : callable
        What to put in the place of each tensor; by default the tensor itself.

    Returns
    -------
    nn.Module, list of str
        The copy, and a note for each attribute that cannot be copied and is shared.

    Raises
    ------
    TypeError
        For TorchScript modules, which have no Python body to copy.
    """
    memo: dict[int, Any] = {}
    notes: list[str] = []
    functions, compiled, modules = [], [], []
    for value in list(reachable(model)):
        if isinstance(value, torch.jit.ScriptModule):
            raise TypeError(f"{type(value).__name__} is TorchScript: it cannot be run on other tensors")
        if isinstance(value, Tensor):
            new = convert(value)
            is_lost = isinstance(value, nn.Parameter) and not isinstance(new, nn.Parameter)
            memo[id(value)] = nn.Parameter(new, value.requires_grad) if is_lost else new
        elif isinstance(value, types.ModuleType):
            memo[id(value)] = value
        elif isinstance(value, nn.Module):
            modules.append(value)
            memo[id(value)] = type(value).__new__(type(value))
        elif isinstance(value, types.FunctionType):
            if hasattr(value, "_torchdynamo_orig_callable"):
                compiled.append(value)
            elif value.__closure__:
                functions.append(value)
                memo[id(value)] = _with_new_cells(value)

    def copied(value: Any, name: str) -> Any:
        try:
            return copy.deepcopy(value, memo)
        except Exception as error:  # a lock, a generator, an open file: whatever its class raises
            memo[id(value)] = value
            notes.append(f"{name} cannot be copied ({type(error).__name__}: {error}): the export used the model's own")
            return value

    for value in reversed(compiled):
        memo[id(value)] = copy.deepcopy(value._torchdynamo_orig_callable, memo)
    for function in functions:
        for old, new in zip(function.__closure__, memo[id(function)].__closure__, strict=True):
            with contextlib.suppress(ValueError):  # a cell that is still empty
                new.cell_contents = copied(old.cell_contents, f"a closure of {function.__qualname__}")
    packages = {cls.__module__.split(".")[0] for module in modules for cls in type(module).__mro__}
    packages -= {"__main__", "builtins"}
    names = {id(module): name for name, module in model.named_modules()}
    for module in modules:
        state = vars(memo[id(module)])
        for key, value in vars(module).items():
            if key in _HOOKS:
                value = OrderedDict((n, hook) for n, hook in value.items() if _package(hook) in packages)
            elif key in _NO_HOOKS:
                value = OrderedDict()
            elif key in _COMPILER:
                value = None
            name = names.get(id(module), "?")
            state[key] = copied(value, f"{name}.{key}" if name else key)
        state["training"] = False
    return memo[id(model)], notes


def _with_new_cells(function: types.FunctionType) -> types.FunctionType:
    cells = tuple(types.CellType() for _ in function.__closure__)
    new = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)
    new.__kwdefaults__ = function.__kwdefaults__
    return functools.update_wrapper(new, function)


def _package(hook: Any) -> str:
    """The package that a hook comes from."""
    return (getattr(hook, "__module__", None) or type(hook).__module__).split(".")[0]


def reachable(start: Any, follow: Callable[[Any], bool] = lambda value: True) -> Iterator[Any]:
    """Every object that ``start`` holds, itself first; not what classes, modules and a function's globals hold.

    ``follow`` says of an object whether what it holds is wanted, too.
    """
    seen: dict[int, Any] = {}
    waiting = deque([start])
    while waiting:
        value = waiting.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        yield value
        if isinstance(value, type | types.ModuleType | types.CodeType | types.FrameType | Tensor) or not follow(value):
            continue
        if isinstance(value, types.FunctionType):
            waiting += [*(value.__closure__ or ()), value.__defaults__, value.__kwdefaults__, vars(value)]
        else:
            waiting += gc.get_referents(value)
            with contextlib.suppress(AttributeError):
                waiting.append(object.__getattribute__(value, "__dict__"))  # no code of the object's own runs


@contextlib.contextmanager
def globals_kept(model: nn.Module) -> Iterator[None]:
    """Put back afterwards what the model's code changed in globals that it names and in attributes of its classes.

    Code of torch and of the standard library is left out.
    """
    names = list(_named_globally(model))
    held = (part for _, _, value in names for part in itertools.islice(reachable(value, _is_data), _MOST_OBJECTS))
    containers = {id(part): part for part in held if isinstance(part, (*_CONTAINERS, types.CellType))}.values()
    before = [(container, _entries(container)) for container in containers]
    try:
        yield
    finally:
        for container, entries in before:
            now = _entries(container)
            if len(now) != len(entries) or any(a is not b for a, b in zip(now, entries, strict=True)):
                _refill(container, entries)
        for owner, name, value in names:
            if isinstance(owner, type) and vars(owner).get(name) is not value:
                setattr(owner, name, value)
            elif isinstance(owner, dict) and owner.get(name) is not value:
                owner[name] = value


def _entries(container: Any) -> list[Any]:
    """Elements; of a dict keys and values in turn; of a closure's cell what is in it."""
    if isinstance(container, types.CellType):
        return gc.get_referents(container)
    return [part for item in container.items() for part in item] if isinstance(container, dict) else list(container)


def _refill(container: Any, entries: list[Any]) -> None:
    if isinstance(container, types.CellType):
        del container.cell_contents
        for content in entries:
            container.cell_contents = content
        return
    container.clear()
    if isinstance(container, dict):
        dict.update(container, zip(entries[::2], entries[1::2], strict=True))  # not Counter's, which adds
    else:
        container.extend(entries) if isinstance(container, list | deque) else container.update(entries)


def _is_data(value: Any) -> bool:
    """Whether an object is one of the user's own, or there to hold others."""
    own = value.__module__ if isinstance(value, types.FunctionType) else type(value).__module__
    return isinstance(value, _CONTAINERS + _HOLDERS) or is_users(own)


def _named_globally(model: nn.Module) -> Iterator[tuple[Any, str, Any]]:
    """Data that the code of a model's modules reaches by name: owner (globals or a class), name, value."""
    waiting: list[Any] = [cls for module in model.modules() for cls in type(module).__mro__]
    waiting += [value for value in reachable(model) if isinstance(value, types.FunctionType)]
    seen: set[Any] = set()
    while waiting:
        value = waiting.pop()
        value = getattr(value, "__func__", getattr(value, "fget", value))  # methods and properties
        value = getattr(value, "_torchdynamo_orig_callable", value)
        if not isinstance(value, type | types.FunctionType) or value in seen or not is_users(value.__module__):
            continue
        seen.add(value)
        if isinstance(value, type):
            owner, names = value, [name for name in vars(value) if not name.startswith("__")]
        else:
            owner, names = value.__globals__, [name for name in _names_in(value.__code__) if name in value.__globals__]
            waiting.append(getattr(value, "__wrapped__", None))
        for name in names:
            item = owner[name] if isinstance(owner, dict) else vars(owner)[name]
            waiting.append(item)
            if not isinstance(item, type | types.ModuleType | classmethod | staticmethod | property):
                yield owner, name, item


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


def is_users(module: str | None) -> bool:
    """Whether code of this module is neither torch's nor the standard library's nor the observer's own."""
    return re.match(_LIBRARIES, module or "builtins") is None


@contextlib.contextmanager
def isolated_run(model: nn.Module, warn: bool) -> Iterator[None]:
    """The code of ``model`` may run on tensors without values: no compiler, no gradients, globals kept.

    Torch's own remarks about exporting are not for our users; what the model's code warns of passes, if ``warn``.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with eager(), random_state_kept(), globals_kept(model), torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=_LIBRARIES if warn else "")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def example_sizes(arguments: Mapping[str, Any]) -> tuple[int, int]:
    """B and L of some arguments: different from each other and from every fixed size among them."""
    main = next(value for value in arguments.values() if isinstance(value, Tensor))
    return main.shape[0], main.shape[-1]


class FakeRuns:
    """Runs of a copy of a model on tensors that have sizes and no values: each call's shapes at plain numbers.

    Parameters
    ----------
    model : nn.Module
        Not touched.
    arguments : mapping
        By name; tensors stand for their shapes and types. Their B and L are ``example``.
    """

    def __init__(self, model: nn.Module, arguments: Mapping[str, Any]) -> None:
        from torch._subclasses.fake_tensor import FakeTensorMode  # no public name yet; only these runs need it

        self.example = example_sizes(arguments)
        self._model, self._arguments = model, arguments
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        with torch.no_grad():
            self._body, _ = isolated_copy(model, lambda tensor: self._fake(tensor.dtype, tensor.shape))

    def _fake(self, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
        with self._mode:
            return torch.empty(shape, dtype=dtype, device="cpu")

    def run(self, clips: int, samples: int) -> list[RawCall]:
        """Every call of a module, for so many clips and samples."""
        new = dict(zip(self.example, (clips, samples), strict=True))
        inputs = dict(self._arguments)
        for name, value in inputs.items():
            if isinstance(value, Tensor):
                inputs[name] = self._fake(value.dtype, [new.get(size, size) for size in value.shape])
        listening = observing(self._body, keep_fast_path=False)
        with isolated_run(self._model, warn=False), self._mode, listening as calls:
            self._body(**inputs)
        return calls
