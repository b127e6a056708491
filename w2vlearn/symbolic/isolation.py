"""Running a user's code on tensors without values, so that nothing of the user's keeps one.

The export runs on a copy of the model (`isolated_copy`): the same parameters and buffers, at no cost in memory, and
every other object that the model holds copied, closures and bound methods included. What a forward reaches by a global
name or through its class cannot be copied; it is put back afterwards (`globals_kept`).
"""

from __future__ import annotations

import contextlib
import copy
import gc
import logging
import sys
import types
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.tracing.hooks import RawCall, observing
from w2vlearn.tracing.observe import eager, random_state_kept

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_NO_HOOKS = ("_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks", "_load_state_dict_pre_hooks")
_CONTAINERS = (dict, list, set, deque)
_STANDARD_LIBRARY = Path(contextlib.__file__).parent
_LIBRARIES = (Path(torch.__file__).parent, Path(__file__).parents[1] / "tracing", Path(__file__).parent)
_MOST_OBJECTS = 100_000  # that globals of a model's code are followed through


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


class OptimizedModule(nn.Module):
    """Stands in a copy where `torch.compile` put its wrapper: the same names below it, and no compiler."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._orig_mod(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._modules["_orig_mod"], name)


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
    functions, compiled, modules, wrappers = [], [], [], []
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
            is_wrapper = hasattr(value, "_orig_mod")
            (wrappers if is_wrapper else modules).append(value)
            memo[id(value)] = OptimizedModule() if is_wrapper else type(value).__new__(type(value))
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

    for value in wrappers:
        memo[id(value)]._orig_mod = memo[id(value._orig_mod)]
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
            elif key == "_compiled_call_impl":
                value = None
            name = names.get(id(module), "?")
            state[key] = copied(value, f"{name}.{key}" if name else key)
        state["training"] = False
    return memo[id(model)], notes


def _with_new_cells(function: types.FunctionType) -> types.FunctionType:
    cells = tuple(types.CellType() for _ in function.__closure__)
    new = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)
    new.__kwdefaults__ = function.__kwdefaults__
    vars(new).update(vars(function))
    new.__qualname__, new.__module__ = function.__qualname__, function.__module__
    return new


def _package(hook: Any) -> str:
    """The package that a hook comes from."""
    return (getattr(hook, "__module__", None) or type(hook).__module__).split(".")[0]


def reachable(start: Any) -> Iterator[Any]:
    """Every object that ``start`` holds, itself first; not what classes, modules and a function's globals hold."""
    seen: dict[int, Any] = {}
    waiting = deque([start])
    while waiting:
        value = waiting.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        yield value
        if isinstance(value, types.FunctionType):
            waiting += [*(value.__closure__ or ()), value.__defaults__, value.__kwdefaults__, vars(value)]
        elif not isinstance(value, type | types.ModuleType | types.CodeType | types.FrameType | Tensor):
            waiting.extend(gc.get_referents(value))


@contextlib.contextmanager
def globals_kept(model: nn.Module) -> Iterator[None]:
    """Put back afterwards what the model's code changed in globals that it names and in attributes of its classes.

    Code of torch and of the standard library is left out.
    """
    names = list(_named_globally(model))
    containers = {id(part): part for _, _, value in names for part in _containers(value)}.values()
    before = [(container, _entries(container)) for container in containers]
    try:
        yield
    finally:
        for container, entries in before:
            now = _entries(container)
            if len(now) != len(entries) or any(a is not b for a, b in zip(now, entries, strict=True)):
                container.clear()
                if isinstance(container, dict):
                    dict.update(container, zip(entries[::2], entries[1::2], strict=True))  # not Counter's, which adds
                else:
                    container.extend(entries) if isinstance(container, list | deque) else container.update(entries)
        for owner, name, value in names:
            if isinstance(owner, type) and vars(owner).get(name) is not value:
                setattr(owner, name, value)
            elif isinstance(owner, dict) and owner.get(name) is not value:
                owner[name] = value


def _entries(container: Any) -> list[Any]:
    """Elements; of a dict keys and values in turn."""
    return [part for item in container.items() for part in item] if isinstance(container, dict) else list(container)


def _containers(start: Any) -> Iterator[Any]:
    """Every dict, list, set and deque in some data, attributes of the user's own objects included."""
    seen: set[int] = set()
    waiting = [start]
    while waiting and len(seen) < _MOST_OBJECTS:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, _CONTAINERS):
            yield value
            waiting += _entries(value)
        elif isinstance(value, tuple):
            waiting += value
        elif not isinstance(value, type | types.FunctionType | Tensor) and (
            _is_users(type(value).__module__) or isinstance(value, types.SimpleNamespace | nn.Module)
        ):
            waiting.append(getattr(value, "__dict__", None))


def _named_globally(model: nn.Module) -> Iterator[tuple[Any, str, Any]]:
    """Data that the code of a model's modules reaches by name: owner (globals or a class), name, value."""
    waiting: list[Any] = [cls for module in model.modules() for cls in type(module).__mro__]
    waiting += [value for value in reachable(model) if isinstance(value, types.FunctionType)]
    seen: set[Any] = set()
    while waiting:
        value = waiting.pop()
        value = getattr(value, "__func__", getattr(value, "fget", value))  # methods and properties
        value = getattr(value, "_torchdynamo_orig_callable", value)
        module = getattr(value, "__module__", None)
        if not isinstance(value, type | types.FunctionType) or value in seen or not _is_users(module):
            continue
        seen.add(value)
        if isinstance(value, type):
            owner, names = value, [name for name in vars(value) if not name.startswith("__")]
        else:
            owner, names = value.__globals__, [name for name in _names_in(value.__code__) if name in value.__globals__]
            waiting.append(getattr(value, "__wrapped__", None))
        for name in names:
            item = owner[name] if isinstance(owner, dict) else vars(owner)[name]
            if isinstance(item, type | types.FunctionType | classmethod | staticmethod | property):
                waiting.append(item)
            elif not isinstance(item, types.ModuleType):
                yield owner, name, item


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


def _is_users(module: str | None) -> bool:
    package = (module or "builtins").split(".")[0]
    return package == "__main__" or package not in sys.stdlib_module_names | {"torch"}


@contextlib.contextmanager
def isolated_run(model: nn.Module) -> Iterator[None]:
    """The code of ``model`` may run on tensors without values: no compiler, no gradients, globals kept."""
    with eager(), random_state_kept(), globals_kept(model), torch.no_grad():
        yield


@contextlib.contextmanager
def quiet(pass_on: bool = True) -> Iterator[None]:
    """Torch's own remarks about exporting are not for our users; what the model's code warns of passes, once."""
    names = ("torch.export", "torch._export", "torch.fx", "torch._dynamo", "torch._subclasses.fake_tensor")
    levels = [(logger, logger.level) for logger in map(logging.getLogger, names)]
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for logger, _ in levels:
                logger.setLevel(logging.CRITICAL)
            yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)
        for warning in caught:
            if pass_on and is_users(warning.filename):
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def is_users(file: str) -> bool:
    """Whether a file is neither torch's nor of the standard library nor one of the observer's, on any system."""
    path = Path(file)
    if path.is_relative_to(_STANDARD_LIBRARY) and "site-packages" not in path.parts:
        return False
    return not any(path.is_relative_to(folder) for folder in _LIBRARIES)


class FakeRuns:
    """Runs of a copy of a model on tensors that have sizes and no values: each call's shapes at plain numbers."""

    def __init__(self, model: nn.Module) -> None:
        from torch._subclasses.fake_tensor import FakeTensorMode  # no public name yet; only these runs need it

        self._model = model
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        with torch.no_grad():
            self._body, _ = isolated_copy(model, self._fake)

    def _fake(self, tensor: Tensor) -> Tensor:
        with self._mode:
            return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")

    def run(self, arguments: Mapping[str, Any]) -> list[RawCall]:
        """Every call of a module; tensors in ``arguments`` stand for their shapes and types."""
        inputs = {k: self._fake(v) if isinstance(v, Tensor) else v for k, v in arguments.items()}
        listening = observing(self._body, keep_fast_path=False)
        with quiet(pass_on=False), isolated_run(self._model), self._mode, listening as calls:
            self._body(**inputs)
        return calls
