"""What tests of models share: small ones of other conventions, and proof that nothing stays behind or is computed."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def state_of(model: nn.Module) -> dict:
    """Everything that a trace may not change, in a form that compares."""
    places = {
        (name, attribute): (type(value), dict(value)) if attribute[0] == "_" and isinstance(value, dict) else None
        for name, part in model.named_modules()
        for attribute, value in vars(part).items()
    }
    functions = {name: value for name, value in vars(F).items() if callable(value)}
    hooks = {name: len(value) for name, value in vars(nn.modules.module).items() if "_global_f" in name}
    return {
        "hooks, parameters, buffers, parts and names of attributes": places,
        "training": {name: part.training for name, part in model.named_modules()},
        "weights": {name: value.clone() for name, value in [*model.named_parameters(), *model.named_buffers()]},
        "gradients": {name: value.grad is None for name, value in model.named_parameters()},
        "random states": {"torch": torch.get_rng_state(), "numpy": np.random.get_state()[1:3], "": random.getstate()},
        "torch itself": [functions, dict(vars(nn.Module)), hooks, str(torch._tensor_str.PRINT_OPTS)],
        "gradients asked for": torch.is_grad_enabled(),
    }


def same(one, other) -> bool:
    """Deep equality, tensors and arrays by value."""
    if isinstance(one, tuple | list):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other


@contextmanager
def untouched(model: nn.Module):
    """Assert that the block leaves model, torch, numpy and Python as they were."""
    before = state_of(model)
    try:
        yield
    finally:
        after = state_of(model)
        changed = [key for key in before if not same(before[key], after[key])]
        assert not changed, f"the trace changed {changed}"


def refuses(model: nn.Module, error: type[Exception], message: str, *args, **kwargs) -> None:
    """Assert that the model raises this, before its first convolution runs."""
    ran = []
    first = next(module for module in model.modules() if isinstance(module, nn.Conv1d))
    handle = first.register_forward_pre_hook(lambda *_: ran.append(1))
    with pytest.raises(error, match=message):
        model(*args, **kwargs)
    handle.remove()
    assert not ran


def module(forward: Callable, **parts: Any) -> nn.Module:
    """A module in eval mode that holds these parts and whose forward is ``forward(self, …)``."""
    new = type(forward.__name__, (nn.Module,), {"forward": forward})()
    for name, part in parts.items():
        setattr(new, name, part)
    return new.eval()


class Takes(nn.Module):
    """A model around a part, with a mask or lengths that say how long the clips are."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x, attention_mask=None, lengths=None):
        return self.inner(x)


class Layer(nn.Module):
    """An attention stand-in: takes a mask under the name that a test wants."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, x, attention_mask=None, key_padding_mask=None):
        return self.dense(x)


class Convolutions(nn.Module):
    """Two convolutions, kernels 10 and 3, strides 5 and 2, and their length arithmetic, off by ``wrong`` frames."""

    def __init__(self, wrong: int = 0) -> None:
        super().__init__()
        self.first, self.second, self.wrong = nn.Conv1d(1, 6, 10, 5), nn.Conv1d(6, 6, 3, 2), wrong

    def forward(self, x):
        return self.second(self.first(x[:, None])).transpose(1, 2)

    def frames(self, lengths):
        return ((lengths - 10) // 5 + 1 - 3) // 2 + 1 - self.wrong


class Speech(nn.Module):
    """What the models below share: convolutions, a projection, two layers."""

    def __init__(self, wrong: int = 0) -> None:
        super().__init__()
        self.feature_extractor, self.projection = Convolutions(wrong), nn.Linear(6, 8)
        self.layers = nn.ModuleList(Layer() for _ in range(2))


class TorchaudioLike(Speech):
    """``forward(waveforms, lengths)``; additive mask -10000, handed on by position; zeroes padding in place."""

    def forward(self, waveforms, lengths=None):
        x = self.projection(self.feature_extractor(waveforms))
        mask = None
        if lengths is not None:
            lengths = self.feature_extractor.frames(lengths)
            padding = torch.arange(x.shape[1]).expand(x.shape[0], -1) >= lengths[:, None]
            x[padding] = 0.0
            mask = (-10000.0 * padding[:, None, None, :].to(x.dtype)).expand(-1, 1, x.shape[1], -1)
        for layer in self.layers:
            x = layer(x, mask)
        return x, lengths


class FairseqLike(Speech):
    """``forward(source, padding_mask, mask, features_only)``; True = padding; looks at the mask's values."""

    def forward(self, source, padding_mask=None, mask=True, features_only=False, layer=None):
        assert not mask, "time masks were asked for"
        x = self.projection(self.feature_extractor(source))
        if padding_mask is not None and padding_mask.any():
            valid = self.feature_extractor.frames((~padding_mask).sum(-1))
            padding_mask = torch.arange(x.shape[1]) >= valid[:, None]
        else:
            padding_mask = None
        for part in self.layers:
            x = part(x, key_padding_mask=padding_mask)
        return {"x": x, "padding_mask": padding_mask}
