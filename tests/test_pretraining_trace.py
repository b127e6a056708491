"""Pre-training, adapter and classification traced: time masks and padding masks are different kinds."""

import dataclasses

import pytest
import torch

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForPreTraining, Wav2Vec2Model, pad
from w2vlearn.model import Wav2Vec2ForSequenceClassification, sample_task
from w2vlearn.symbolic import symbolic_trace
from w2vlearn.tracing import trace

TINY = Wav2Vec2Config.tiny()
BATCH = pad([torch.randn(16_000), torch.randn(9999)])  # 49 and 30 frames


@pytest.fixture(scope="module")
def traced():
    time_mask, negatives = sample_task(TINY, BATCH.lengths, generator=torch.Generator().manual_seed(0))
    model = Wav2Vec2ForPreTraining(TINY).eval()
    task = {"mask_time_indices": time_mask, "sampled_negative_indices": negatives}
    return trace(model, BATCH.waveforms, attention_mask=BATCH.mask, **task), time_mask


def test_time_mask_and_padding_mask_are_different_kinds(traced):
    trace, time_mask = traced
    kinds = {record.mask.kind for record in trace.masks if record.mask}
    assert {"sample", "frame", "attention"} <= kinds
    times = [record for record in trace.masks if record.mask and record.mask.kind == "time"]
    assert times, "the time mask is nowhere in the trace"
    assert all(record.mask.shape == (2, 49) for record in times)
    assert times[0].mask.valid == tuple(time_mask.sum(1).tolist())


def test_shapes_and_valid_frames(traced):
    trace, _ = traced
    assert trace["quantizer"].output.shape == (2, 49, 16)
    for name in ("quantizer", "project_q", "project_hid", "wav2vec2.encoder"):
        assert trace[name].valid == (49, 30), name
        assert trace[name].output.letters[:2] == ("B", "T"), name
    assert trace["wav2vec2.encoder"].mask.kind == "frame"


def test_adapter():
    trace_ = trace(Wav2Vec2Model(dataclasses.replace(TINY, add_adapter=True)).eval(), BATCH)
    assert trace_["adapter"].output.shape == (2, 7, 48)
    assert trace_["adapter"].valid == (7, 4) == tuple(trace_.output.frame_lengths.tolist())


@pytest.mark.parametrize(
    ("model", "layer", "shape"),
    [
        (Wav2Vec2ForPreTraining(TINY), "quantizer", ("B", "T", 16)),
        (Wav2Vec2ForSequenceClassification(TINY), "classifier", ("B", 2)),
    ],
    ids=["pre-training", "classification"],
)
def test_symbolic(model, layer, shape):
    proved = symbolic_trace(model.eval())
    assert proved[layer].output.shape == shape
    assert proved.check(trace(model, BATCH)).ok


def test_symbolic_adapter():
    model = Wav2Vec2Model(dataclasses.replace(TINY, add_adapter=True)).eval()
    proved = symbolic_trace(model)
    assert proved.at(B=2, L=16_000)["adapter"].output.shape == (2, 7, 48)
    assert proved.at(B=2, L=9999)["adapter"].output.shape == (2, 4, 48)
