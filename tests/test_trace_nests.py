"""Letters and valid positions on random models, held against each clip really run alone."""

from __future__ import annotations

import pytest
import torch
from alone import compared
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nests import nests
from torch import nn
from trace_helpers import Takes, module, untouched

from w2vlearn.tracing import trace


def wrong_and_unknown(nest: tuple[nn.Module, int], lengths: list[int]) -> tuple[list[str], set[str]]:
    """See `alone.compared`; models that these lengths are too short for are left out."""
    model, channels = nest
    x = torch.randn(len(lengths), channels, max(lengths))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    model = Takes(model).eval()
    with torch.no_grad():
        try:
            for length in lengths:
                model(x[:1, :, :length])
        except (RuntimeError, ValueError):
            assume(False)
        with untouched(model):
            return compared(model, x, lengths, attention_mask=mask)


@settings(max_examples=120)
@given(nests(), st.lists(st.integers(8, 60), min_size=1, max_size=4))
def test_not_one_wrong_name(nest, lengths):
    """Sizes small enough to collide: lengths, clips, channels, heads, kernels."""
    wrong, _ = wrong_and_unknown(nest, lengths)
    assert not wrong, wrong


@settings(max_examples=25)
@given(nests(own=False), st.lists(st.integers(401, 900), min_size=2, max_size=4))
def test_nothing_is_unknown_where_modules_do_it_all(nest, lengths):
    assert wrong_and_unknown(nest, lengths) == ([], set())


def test_a_length_that_own_code_makes_is_no_older_one_of_the_same_size():
    """Ten samples, five positions, ten again: those of 9 samples alone would be ten, not nine."""
    own = module(
        lambda self, x: self.conv(torch.cat([self.pool(x)] * 2, 2)), pool=nn.MaxPool1d(1, 2), conv=nn.Conv1d(2, 2, 1)
    )
    assert wrong_and_unknown((own, 2), [9, 10]) == ([], {"", "inner", "inner.conv"})


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_torch_s_own_encoder_hands_its_layers_nested_tensors():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    x, padding = torch.randn(2, 9, 8), torch.arange(9) >= torch.tensor([[5], [9]])
    with torch.no_grad(), untouched(encoder):
        traced = trace(encoder, x, src_key_padding_mask=padding)
    assert traced[""].output.letters == ("B", "L", "D") and traced[""].valid == (5, 9)
    assert traced["layers.1"].input.shape == (2,) and any("unknown" in n and "layers.1" in n for n in traced.notes)
