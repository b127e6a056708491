"""Running a user's code on tensors without values, so that nothing of the user's keeps one.

The export runs on a copy of the model (`isolated_copy`): the same parameters and buffers, at no cost in memory, and
every other object that the model holds copied, closures and bound methods included. What a forward reaches by a global
name or through its class cannot be copied; it is put back afterwards (`globals_kept`).
"""

from __future__ import annotations

import contextlib
import copy
import gc
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_NO_HOOKS = ("_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks", "_load_state_dict_pre_hooks")
_CONTAINERS = (dict, list, set, deque)
_MOST_OBJECTS = 100_000  # that globals of a model's code are followed through


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
    objects = list(reachable(model))
    memo: dict[int, Any] = {}
    functions, compiled, modules, wrappers = [], [], [], []
    for value in objects:
        if isinstance(value, torch.jit.ScriptModule):
            raise TypeError(f"{type(value).__name__} is TorchScript: it cannot be run on other tensors")
        if isinstance(value, Tensor):
            memo[id(value)] = _like(value, convert(value))
        elif isinstance(value, types.ModuleType):
            memo[id(value)] = value
        elif isinstance(value, nn.Module):
            if hasattr(value, "_orig_mod"):
                wrappers.append(value)
                memo[id(value)] = OptimizedModule()
            else:
                modules.append(value)
                memo[id(value)] = type(value).__new__(type(value))
        elif isinstance(value, types.FunctionType):
            if hasattr(value, "_torchdynamo_orig_callable"):
                compiled.append(value)
            elif value.__closure__:
                functions.append(value)
                memo[id(value)] = _with_new_cells(value)
    for value in wrappers:
        memo[id(value)]._orig_mod = memo[id(value._orig_mod)]
    for value in reversed(compiled):
        memo[id(value)] = copy.deepcopy(value._torchdynamo_orig_callable, memo)
    notes: list[str] = []
    for function in functions:
        for old, new in zip(function.__closure__, memo[id(function)].__closure__, strict=True):
            with contextlib.suppress(ValueError):  # a cell that is still empty
                new.cell_contents = _copied(old.cell_contents, memo, f"a closure of {function.__qualname__}", notes)
    packages = {cls.__module__.split(".")[0] for module in modules for cls in type(module).__mro__}
    names = {id(module): name for name, module in model.named_modules()}
    for module in modules:
        state = _state(module, memo, packages - {"__main__", "builtins"}, names.get(id(module), "?"), notes)
        vars(memo[id(module)]).update(state)
    return memo[id(model)], notes


def _state(module: nn.Module, memo: dict[int, Any], packages: set[str], name: str, notes: list[str]) -> dict[str, Any]:
    """The attributes of a module's copy."""
    state = {}
    for key, value in vars(module).items():
        if key in ("_parameters", "_buffers", "_modules"):
            value = type(value)((part, memo.get(id(item), item)) for part, item in value.items())
        elif key in _HOOKS:
            kept = {number: hook for number, hook in value.items() if _package(hook) in packages}
            value = OrderedDict(
                (number, _copied(hook, memo, f"a hook of {name}", notes)) for number, hook in kept.items()
            )
        elif key in _NO_HOOKS:
            value = OrderedDict()
        elif key == "_compiled_call_impl":
            value = None
        else:
            value = _copied(value, memo, f"{name}.{key}" if name else key, notes)
        state[key] = value
    return state | {"training": False}


def _copied(value: Any, memo: dict[int, Any], name: str, notes: list[str]) -> Any:
    try:
        return copy.deepcopy(value, memo)
    except Exception as error:  # a lock, a generator, an open file: whatever its class raises
        memo[id(value)] = value
        notes.append(f"{name} cannot be copied ({type(error).__name__}: {error}): the export used the model's own")
        return value


def _like(old: Tensor, new: Tensor) -> Tensor:
    if isinstance(old, nn.Parameter) and not isinstance(new, nn.Parameter):
        return nn.Parameter(new, old.requires_grad)
    return new


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
            parts = [cell for cell in value.__closure__ or () if not _is_empty(cell)]
            waiting.extend(cell.cell_contents for cell in parts)
            waiting += [value.__defaults__, value.__kwdefaults__, vars(value)]
        elif not isinstance(value, type | types.ModuleType | types.CodeType | types.FrameType | Tensor):
            waiting.extend(gc.get_referents(value))


def _is_empty(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is cell
    except ValueError:
        return True


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
