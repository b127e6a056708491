"""Letters and valid positions on random models, held against each clip really run alone."""

from __future__ import annotations

import pytest
import torch
from alone import compared
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nests import nests
from torch import nn
from trace_helpers import untouched

from w2vlearn.tracing import trace


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
        wrong, _ = compared(model, x, lengths, attention_mask=mask)
    assert not wrong, wrong


@settings(max_examples=25)
@given(nests(own=False), st.lists(st.integers(401, 900), min_size=2, max_size=4))
def test_nothing_is_unknown_where_modules_do_it_all(nest, lengths):
    model, channels = nest
    x = torch.randn(len(lengths), channels, max(lengths))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        wrong, unknown = compared(Takes(model).eval(), x, lengths, attention_mask=mask)
    assert not wrong, wrong
    assert not unknown


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_torch_s_own_encoder_hands_its_layers_nested_tensors():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    x, padding = torch.randn(2, 9, 8), torch.arange(9) >= torch.tensor([[5], [9]])
    with torch.no_grad(), untouched(encoder):
        traced = trace(encoder, x, src_key_padding_mask=padding)
    assert traced[""].output.letters == ("B", "L", "D") and traced[""].valid == (5, 9)
    assert traced["layers.1"].input.shape == (2,) and any("unknown" in n and "layers.1" in n for n in traced.notes)
