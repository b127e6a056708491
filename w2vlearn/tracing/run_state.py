"""What a run changes beside its output, put back: random states, modes, buffers."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn


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
def buffers_kept(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Undo what a run writes into these modules' buffers (running statistics), and which tensor stands where."""
    kept = [
        (module, dict(module._buffers), {n: b.detach().clone() for n, b in module._buffers.items() if b is not None})
        for module in modules
        if module._buffers and not isinstance(module, torch.jit.ScriptModule)
    ]
    try:
        yield
    finally:
        for module, buffers, contents in kept:
            now = module._buffers
            if list(now) != list(buffers) or any(now[name] is not buffer for name, buffer in buffers.items()):
                module._buffers.clear()
                module._buffers.update(buffers)
            for name, content in contents.items():
                buffer = buffers[name]
                with torch.inference_mode() if buffer.is_inference() else torch.no_grad():
                    if buffer.shape != content.shape:
                        buffer.resize_(content.shape)
                    if not buffer.is_meta and not torch.equal(buffer, content):
                        buffer.copy_(content)


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


def eager() -> Any:
    """A context in which compiled code runs as it is written, so that every call in it can be seen.

    Asked without importing the compiler: where it was never loaded, nothing is compiled.
    """
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def is_compiled(modules: Iterable[nn.Module]) -> bool:
    """Whether torch.compile is at work on one of these modules."""
    if "torch._dynamo" not in sys.modules:
        return False
    return any(hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) is not None for m in modules)
