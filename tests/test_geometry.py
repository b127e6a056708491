"""The arithmetic of frames, against real convolutions at every length and against its closed form far beyond."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from w2vlearn import FrameGeometry, Wav2Vec2Config

BASE = FrameGeometry.from_config(Wav2Vec2Config.base())
stacks = st.integers(1, 5).flatmap(
    lambda depth: st.tuples(
        st.lists(st.integers(1, 9), min_size=depth, max_size=depth),
        st.lists(st.integers(1, 6), min_size=depth, max_size=depth),
    )
)


def convolution_lengths(geometry, samples):
    """Lengths after each convolution, as torch computes them on the meta device; 0 once torch refuses."""
    x = torch.empty(1, 1, samples, device="meta")
    lengths = []
    for kernel, stride in zip(geometry.kernels, geometry.strides, strict=True):
        if x.shape[2] < kernel:
            return lengths + [0] * (len(geometry.kernels) - len(lengths))
        x = nn.functional.conv1d(x, torch.empty(1, 1, kernel, device="meta"), stride=stride)
        lengths.append(x.shape[2])
    return lengths


def test_facts_of_base():
    assert (BASE.receptive_field, BASE.hop) == (400, 320)
    counts = {0: 0, 399: 0, 400: 1, 719: 1, 720: 2, 16_000: 49, 31_439: 97, 31_440: 98, 320_000: 999}
    assert {samples: BASE.frame_count(samples) for samples in counts} == counts
    assert BASE.lengths(16_000) == [3199, 1599, 799, 399, 199, 99, 49]
    assert (BASE.start_ms(3), BASE.centre_ms(3)) == (60.0, 72.5)


@given(stacks, st.integers(1, 3000))
def test_any_stack_matches_torch_convolutions(stack, samples):
    geometry = FrameGeometry(*stack)
    assert geometry.lengths(samples) == convolution_lengths(geometry, samples)


@given(stacks, st.lists(st.integers(0, 10**12), min_size=1, max_size=5))
def test_many_clips_at_once_by_one_formula_as_one_by_one_from_layer_to_layer(stack, samples):
    geometry = FrameGeometry(*stack)
    counts = [geometry.frame_count(length) for length in samples]
    assert geometry.frame_counts(torch.tensor(samples)).tolist() == counts
    assert geometry.frame_counts(np.array(samples)).tolist() == counts


@given(stacks, st.integers(0, 200))
def test_samples_for_holds_exactly_the_lengths_with_that_count(stack, frames):
    geometry = FrameGeometry(*stack)
    lengths = geometry.samples_for(frames)
    assert {geometry.frame_count(lengths[0]), geometry.frame_count(lengths[-1])} == {frames}
    assert geometry.frame_count(lengths.stop) == frames + 1
    assert lengths.start == 0 or geometry.frame_count(lengths.start - 1) == frames - 1


@given(stacks, st.integers(1, 400))
def test_frames_at_and_span_are_each_others_inverse_and_the_unread_tail_is_what_they_leave(stack, samples):
    geometry = FrameGeometry(*stack)
    frames = geometry.frame_count(samples)
    readers = {sample: [] for sample in range(samples)}
    for t in range(frames):
        for sample in geometry.span(t):
            readers[sample].append(t)
    assert {sample: [*geometry.frames_at(sample, samples)] for sample in range(samples)} == readers
    endless = [t for t in range(samples + 1) if samples in geometry.span(t)]
    assert list(geometry.frames_at(samples)) == endless
    last = max((sample for sample in readers if readers[sample]), default=-1)
    assert geometry.unread(samples) == range(last + 1, samples)


@given(stacks, st.integers(0, 2000), st.integers(0, 50))
def test_spans_and_left_over_positions_layer_by_layer(stack, samples, frame):
    """Each layer by itself is a geometry of one convolution."""
    geometry = FrameGeometry(*stack)
    layers = [FrameGeometry((kernel,), (stride,)) for kernel, stride in zip(*stack, strict=True)]
    inputs = [samples, *geometry.lengths(samples)[:-1]]
    assert geometry.left_over(samples) == [
        len(layer.unread(length)) for layer, length in zip(layers, inputs, strict=True)
    ]
    spans = [*geometry.spans(frame), range(frame, frame + 1)]
    for layer, below, above in zip(layers, spans[:-1], spans[1:], strict=True):
        assert (below.start, below.stop) == (layer.span(above.start).start, layer.span(above.stop - 1).stop)
    assert spans[0] == geometry.span(frame)


def test_span_is_the_support_of_the_gradient():
    geometry = FrameGeometry((5, 3, 4), (2, 3, 2))
    x = torch.rand(1, 1, 90, dtype=torch.float64, requires_grad=True)
    out = x
    for kernel, stride in zip(geometry.kernels, geometry.strides, strict=True):
        out = nn.functional.conv1d(out, torch.ones(1, 1, kernel, dtype=torch.float64), stride=stride)
    for t in range(out.shape[2]):
        (gradient,) = torch.autograd.grad(out[0, 0, t], x, retain_graph=True)
        assert gradient[0, 0].nonzero().flatten().tolist() == list(geometry.span(t))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: BASE.span(-1), IndexError, "frame -1 does not exist: frames start at 0"),
        (lambda: BASE.frame_count(-5), ValueError, "0 or more, found -5"),
        (lambda: BASE.frame_count(400.0), TypeError, "must be an integer, found 400.0"),
        (lambda: BASE.frame_count(True), TypeError, "must be an integer, found True"),
        (lambda: BASE.frames_at(500, 500), IndexError, "the clip has 500 samples, 0 to 499"),
        (lambda: BASE.samples_for(-1), ValueError, "a number of frames"),
        (lambda: FrameGeometry((3, 2), (2,)), ValueError, "2 kernels and 1 strides"),
        (lambda: FrameGeometry((), ()), ValueError, "0 kernels"),
        (lambda: FrameGeometry((3,), (0,)), ValueError, "at least 1"),
        (lambda: FrameGeometry((3.5,), (1,)), TypeError, "must be an integer, found 3.5"),
        (lambda: FrameGeometry(3, 1), TypeError, "sequence of integers"),
        (lambda: FrameGeometry((3,), (1,), sample_rate=0), ValueError, "at least 1 Hz"),
    ],
)
def test_bad_input_is_answered_in_words(call, error, message):
    with pytest.raises(error, match=message):
        call()
