"""Letters and valid positions on random models, held against each clip really run alone."""

from __future__ import annotations

import torch
from alone import compared
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nests import nests
from torch import nn
from trace_helpers import untouched


class Takes(nn.Module):
    """A model around a part, with a mask that says how long the clips are."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x, attention_mask=None):
        return self.inner(x)


@settings(max_examples=120)
@given(nests(), st.lists(st.integers(8, 60), min_size=1, max_size=4))
def test_not_one_wrong_name(nest, lengths):
    """Sizes small enough to collide: lengths, clips, channels, heads, kernels."""
    model, channels = nest
    x = torch.randn(len(lengths), channels, max(lengths))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    model = Takes(model).eval()
    try:
        for length in (*lengths, max(lengths)):
            model(x[:1, :, :length])
    except RuntimeError:
        assume(False)  # too short for these convolutions
    with torch.no_grad(), untouched(model):
        _, wrong, _ = compared(model, x, lengths, attention_mask=mask)
    assert not wrong, wrong


@settings(max_examples=25)
@given(nests(own=False), st.lists(st.integers(401, 900), min_size=2, max_size=4))
def test_nothing_is_unknown_where_modules_do_it_all(nest, lengths):
    model, channels = nest
    x = torch.randn(len(lengths), channels, max(lengths))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        _, wrong, unknown = compared(Takes(model).eval(), x, lengths, attention_mask=mask)
    assert not wrong, wrong
    assert not unknown
