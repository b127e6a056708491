"""Names of modules, of their forward's arguments, and of tensors inside nested values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

_DEEPEST = 8  # how deep tensors are looked for in nested outputs; stops on structures that contain themselves
PLAIN = (str, int, float, bool, bytes, torch.dtype, torch.device)  # what holds no tensor


def named_modules(model: nn.Module) -> tuple[dict[nn.Module, str], dict[str, str]]:
    """The first name of every module, in order, as ``model.named_modules()`` gives them.

    And its second names, of modules that are held twice -> the first.
    """
    names: dict[nn.Module, str] = {}
    aliases: dict[str, str] = {}
    around: set[nn.Module] = set()  # a module may hold itself

    def visit(module: nn.Module, name: str) -> None:
        if module in names:
            aliases[name] = names[module]
        else:
            names[module] = name
        around.add(module)
        for part, child in module._modules.items():
            if child is not None and child not in around:
                visit(child, f"{name}.{part}" if name else part)
        around.discard(module)

    visit(model, "")
    return names, aliases


def argument_names(module: nn.Module) -> tuple[str, ...]:
    """Names of the forward's positional parameters, in order; empty where there is no signature to read."""
    if isinstance(module, torch.jit.ScriptModule):
        if not hasattr(module, "forward"):
            return ()
        forward = module.forward
        forward = forward if hasattr(forward, "schema") else forward.__wrapped__  # `_wrap_forward` listens there
        return tuple(argument.name for argument in forward.schema.arguments[1:])
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


def tensors_in(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested tuples, lists, dicts and dataclasses, with its path: ``output.hidden_states[3]``."""
    if isinstance(value, Tensor):
        yield path, value
    elif value is None or depth > _DEEPEST or isinstance(value, PLAIN):
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
