"""Random models: modules of every kind and own code between them, on (B, C, T) or (B, T, C), whatever T is."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn


class Own(nn.Module):
    """Calls a function: own code, which no rule of the tracer knows."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Nest(nn.Module):
    """Steps in a row; a step is a module, or a function between modules."""

    def __init__(self, steps: list) -> None:
        super().__init__()
        self.steps = steps
        self.parts = nn.ModuleList(step for step in steps if isinstance(step, nn.Module))

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x


class Residual(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        return x + self.part(x)


class PerPosition(nn.Module):
    """Clips and positions as one axis, and back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x.reshape(-1, x.shape[-1])).reshape(x.shape)


class Heads(nn.Module):
    """Features split into heads, attention weights by hand, and back."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.dense, self.drop, self.heads = nn.Linear(width, width), nn.Dropout(0.0), heads

    def forward(self, x: Tensor) -> Tensor:
        split = self.dense(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2)
        weights = self.drop((split @ split.transpose(2, 3)).softmax(-1))
        return (weights @ split).transpose(1, 2).reshape(x.shape)


class Recurrent(nn.Module):
    def __init__(self, kind: type, width: int, hidden: int, batch_first: bool, both: bool) -> None:
        super().__init__()
        self.cell = kind(width, hidden, batch_first=batch_first, bidirectional=both)

    def forward(self, x: Tensor) -> Tensor:
        if self.cell.batch_first:
            return self.cell(x)[0]
        return self.cell(x.transpose(0, 1))[0].transpose(0, 1)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, batch_first: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=batch_first)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.attention.batch_first else x.transpose(0, 1)
        x, _ = self.attention(x, x, x)
        return x if self.attention.batch_first else x.transpose(0, 1)


WIDTHS = (2, 3, 4, 6, 8, 12)


@st.composite
def nests(draw, most: int = 7, own: bool = True) -> tuple[nn.Module, int]:
    """A model, and the channels that it takes on axis 1; ``own``: with own code between its modules."""
    width = first = draw(st.sampled_from(WIDTHS))
    last = 2  # the axis of time
    steps: list = []

    def number(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    for _ in range(draw(st.integers(1, most))):
        if last == 2:
            kind = draw(st.sampled_from(CHANNELS_FIRST))
            if kind == "convolution":
                new, kernel, dilation = draw(st.sampled_from(WIDTHS)), number(1, 5), number(1, 2)
                stride, padding = number(1, 3), draw(st.sampled_from((0, 0, 1, 2, "same")))
                stride = 1 if padding == "same" else stride
                steps.append(nn.Conv1d(width, new, kernel, stride, padding=padding, dilation=dilation))
                width = new
            elif kind == "transposed convolution":
                stride = number(1, 3)
                padding, extra = number(0, 1), number(0, stride - 1)
                steps.append(nn.ConvTranspose1d(width, width, number(2, 4), stride, padding, extra))
            elif kind == "pooling":
                pool = draw(st.sampled_from((nn.MaxPool1d, nn.AvgPool1d)))
                kernel = number(1, 4)
                steps.append(pool(kernel, number(1, 3), number(0, kernel // 2), ceil_mode=draw(st.booleans())))
            elif kind == "upsample":
                steps.append(nn.Upsample(scale_factor=draw(st.sampled_from((2, 1.5, 3)))))
            elif kind == "GLU" and width % 2 == 0:
                steps.append(nn.GLU(1))
                width //= 2
            elif kind == "norm":
                kinds = (nn.BatchNorm1d(width), nn.GroupNorm(1, width), nn.InstanceNorm1d(width))
                steps.append(draw(st.sampled_from(kinds)))
            elif kind == "residual":
                steps.append(Residual(nn.Conv1d(width, width, 3, padding=1)))
            elif kind == "pad":
                steps.append(nn.ConstantPad1d((number(0, 2), number(0, 2)), 0.0))
        else:
            kind = draw(st.sampled_from(FEATURES_LAST if own else FEATURES_LAST[:-2]))
            if kind == "linear":
                new = draw(st.sampled_from(WIDTHS))
                steps.append(nn.Linear(width, new))
                width = new
            elif kind == "layer norm":
                steps.append(nn.LayerNorm(width))
            elif kind == "residual":
                steps.append(
                    Residual(nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)))
                )
            elif kind == "recurrent":
                hidden, both = draw(st.sampled_from(WIDTHS)), draw(st.booleans())
                steps.append(
                    Recurrent(draw(st.sampled_from((nn.LSTM, nn.GRU))), width, hidden, draw(st.booleans()), both)
                )
                width = hidden * (2 if both else 1)
            elif kind == "attention":
                heads = draw(st.sampled_from([n for n in (1, 2, 3, 4) if width % n == 0]))
                steps.append(Attention(width, heads, draw(st.booleans())))
            elif kind == "heads":
                steps.append(Heads(width, draw(st.sampled_from([n for n in (1, 2, 3, 4) if width % n == 0]))))
            elif kind == "per position":
                steps.append(PerPosition(width))
            elif kind == "GLU" and width % 2 == 0:
                steps.append(nn.GLU(-1))
                width //= 2
        between = draw(st.sampled_from(("", "", "", "", *OWN) if own else ("", "transpose")))
        if between == "transpose":
            steps.append(lambda x: x.transpose(1, 2))
            last = 3 - last
        elif between:
            step = OWN[between](last)
            steps.append(Own(step) if draw(st.booleans()) else step)
    return Nest(steps).eval(), first


CHANNELS_FIRST = (
    "convolution", "convolution", "convolution", "transposed convolution", "pooling", "upsample", "GLU", "norm",
    "residual", "pad",
)  # fmt: skip
FEATURES_LAST = ("linear", "layer norm", "residual", "recurrent", "attention", "GLU", "heads", "per position")


def _time(last: int, part: slice) -> tuple:
    return (slice(None), slice(None), part) if last == 2 else (slice(None), part)


OWN = {  # own code between modules; "last" is the axis of time
    "transpose": None,
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
