"""Random models: modules of every kind and own code between them, on (B, C, T) or (B, T, C), whatever T is."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn
from trace_helpers import module

WIDTHS = (2, 3, 4, 6, 8, 12)


def residual(part: nn.Module) -> nn.Module:
    return module(lambda self, x: x + self.part(x), part=part)


def per_position(self: nn.Module, x: Tensor) -> Tensor:
    """Clips and positions as one axis, and back."""
    return self.dense(x.reshape(-1, x.shape[-1])).reshape(x.shape)


def heads(self: nn.Module, x: Tensor) -> Tensor:
    """Features split into heads, attention weights by hand, and back."""
    split = self.dense(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2)
    weights = self.drop((split @ split.transpose(2, 3)).softmax(-1))
    return (weights @ split).transpose(1, 2).reshape(x.shape)


def either_layout(self: nn.Module, x: Tensor) -> Tensor:
    """A recurrent layer or an attention, clips or time first."""
    x = x if self.part.batch_first else x.transpose(0, 1)
    x = self.part(x, x, x)[0] if isinstance(self.part, nn.MultiheadAttention) else self.part(x)[0]
    return x if self.part.batch_first else x.transpose(0, 1)


def in_a_row(self: nn.Module, x: Tensor) -> Tensor:
    for step in self.steps:
        x = step(x)
    return x


def channels_first(width: int, pick: Callable, number: Callable) -> nn.Module:
    """A module on (B, C, T)."""
    kind = pick("convolution", "convolution", "transposed", "pooling", "upsample", "GLU", "norm", "residual", "pad")
    if kind == "convolution":
        padding = pick(0, 0, 1, 2, "same")
        stride = 1 if padding == "same" else number(1, 3)
        return nn.Conv1d(width, pick(*WIDTHS), number(1, 5), stride, padding=padding, dilation=number(1, 2))
    if kind == "transposed":
        stride = number(1, 3)
        return nn.ConvTranspose1d(width, width, number(2, 4), stride, number(0, 1), number(0, stride - 1))
    if kind == "pooling":
        kernel = number(1, 4)
        pool = pick(nn.MaxPool1d, nn.AvgPool1d)
        return pool(kernel, number(1, 3), number(0, kernel // 2), ceil_mode=pick(False, True))
    if kind == "upsample":
        return nn.Upsample(scale_factor=pick(2, 1.5, 3))
    if kind == "GLU" and width % 2 == 0:
        return nn.GLU(1)
    if kind == "residual":
        return residual(nn.Conv1d(width, width, 3, padding=1))
    if kind == "pad":
        return nn.ConstantPad1d((number(0, 2), number(0, 2)), 0.0)
    return pick(nn.BatchNorm1d(width), nn.GroupNorm(1, width), nn.InstanceNorm1d(width))


def features_last(width: int, pick: Callable, number: Callable, own: bool) -> nn.Module:
    """A module on (B, T, C)."""
    kinds = ("linear", "layer norm", "residual", "recurrent", "attention", "GLU")
    kind = pick(*kinds, *(("heads", "per position") if own else ()))
    divisors = [n for n in (1, 2, 3, 4) if width % n == 0]
    if kind == "linear":
        return nn.Linear(width, pick(*WIDTHS))
    if kind == "residual":
        return residual(nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)))
    if kind == "recurrent":
        cell, hidden = pick(nn.LSTM, nn.GRU), pick(*WIDTHS)
        return module(
            either_layout, part=cell(width, hidden, batch_first=pick(False, True), bidirectional=pick(False, True))
        )
    if kind == "attention":
        return module(either_layout, part=nn.MultiheadAttention(width, pick(*divisors), batch_first=pick(False, True)))
    if kind == "GLU" and width % 2 == 0:
        return nn.GLU(-1)
    if kind == "heads":
        return module(heads, dense=nn.Linear(width, width), drop=nn.Dropout(0.0), heads=pick(*divisors))
    if kind == "per position":
        return module(per_position, dense=nn.Linear(width, width))
    return nn.LayerNorm(width)


def _time(last: int, part: slice) -> tuple:
    return (slice(None), slice(None), part) if last == 2 else (slice(None), part)


OWN = {  # own code between modules; "last" is the axis of time
    "drop the first": lambda last: lambda x: x[_time(last, slice(1, None))],
    "drop the last": lambda last: lambda x: x[_time(last, slice(None, -1))],
    "the first five": lambda last: lambda x: x[_time(last, slice(None, 5))].contiguous(),
    "every second": lambda last: lambda x: x[_time(last, slice(None, None, 2))],
    "every second, odd": lambda last: lambda x: x[_time(last, slice(1, None, 2))].contiguous(),
    "pad": lambda last: lambda x: F.pad(x, (0, 1) if last == 2 else (0, 0, 0, 1)),
    "flip": lambda last: lambda x: x.flip(last),
    "twice": lambda last: lambda x: torch.cat([x, x], last),
    "plus": lambda last: lambda x: x + 1,
}


@st.composite
def nests(draw, most: int = 7, own: bool = True) -> tuple[nn.Module, int]:
    """A model, and the channels that it takes on axis 1; ``own``: with own code between its modules."""

    def pick(*options):
        return draw(st.sampled_from(options))

    def number(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    width = first = pick(*WIDTHS)
    last = 2  # the axis of time
    steps: list[Callable] = []
    for _ in range(number(1, most)):
        if last == 2:
            steps.append(channels_first(width, pick, number).eval())
            width = steps[-1](torch.zeros(1, width, 30)).shape[1]
        else:
            steps.append(features_last(width, pick, number, own).eval())
            width = steps[-1](torch.zeros(1, 30, width)).shape[2]
        between = pick("", "", "", "", "transpose", *OWN) if own else pick("", "transpose")
        if between == "transpose":
            steps.append(lambda x: x.transpose(1, 2))
            last = 3 - last
        elif between:
            step = OWN[between](last)
            steps.append(module(lambda self, x: self.step(x), step=step) if pick(False, True) else step)
    parts = nn.ModuleList(step for step in steps if isinstance(step, nn.Module))
    return module(in_a_row, steps=steps, parts=parts), first
