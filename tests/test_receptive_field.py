"""Measured receptive fields against derived spans, with no tolerance."""

import dataclasses

import pytest
import torch
from torch import nn

from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2ForCTC
from w2vlearn.tracing.receptive_field import receptive_field

TINY = Wav2Vec2Config.tiny()
TINY_LAYER = dataclasses.replace(TINY, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)


def model_of(config):
    torch.manual_seed(0)
    return Wav2Vec2ForCTC(config)


@pytest.mark.parametrize(
    ("kernels", "strides", "samples"),
    [
        (TINY.conv_kernel, TINY.conv_stride, 4000),
        ((5, 3), (2, 3), 60),
        ((4, 2, 6), (3, 1, 2), 60),
        ((3,), (7,), 60),
    ],
)
def test_layer_norm_frames_depend_on_their_span_and_nothing_else(kernels, strides, samples):
    stack = {"conv_dim": (8,) * len(kernels), "conv_kernel": kernels, "conv_stride": strides, "num_hidden_layers": 1}
    config = dataclasses.replace(TINY_LAYER, **stack)
    model, geometry = model_of(config), FrameGeometry.from_config(config)
    for frame in range(geometry.frame_count(samples)):
        field = receptive_field(model, frame, samples=samples)
        assert (field.span, field.gaps, field.status) == (geometry.span(frame), 0, "exact")
        assert field.share_inside(geometry.span(frame)) == 1.0


def test_group_norm_and_attention_make_frames_depend_on_the_whole_clip():
    model = model_of(TINY)
    field = receptive_field(model, 3)
    assert (field.span, field.status) == (range(4000), "whole input")
    assert 0.5 < field.share_inside(FrameGeometry.from_config(TINY).span(3)) < 0.99
    assert str(field) == (
        "frame 3 of output of wav2vec2.feature_extractor depends on samples 0 … 3999 (4000 of 4000); "
        "whole input: the span grows with the clip"
    )
    assert field == receptive_field(model, 3) and field != receptive_field(model, 4)
    assert receptive_field(model_of(TINY_LAYER), 3, at="").status == "whole input"


def test_a_hop_longer_than_the_kernel_leaves_gaps():
    conv = nn.Sequential(nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 1, 2, stride=5), nn.Conv1d(1, 1, 2))
    field = receptive_field(conv, 1, samples=60)
    assert (field.span, field.gaps) == (range(5, 12), 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"frame": -1}, IndexError, "frame -1 does not exist"),
        ({"frame": 12}, IndexError, "4000 samples give 12 frames here, 0 to 11"),
        ({"at": "wav2vec2.nothing"}, ValueError, "no module 'wav2vec2.nothing'; its parts are wav2vec2"),
        ({"samples": 399}, ValueError, "1 too few"),
    ],
)
def test_bad_input_is_answered_in_words(arguments, error, message):
    with pytest.raises(error, match=message):
        receptive_field(model_of(TINY_LAYER), **arguments)
