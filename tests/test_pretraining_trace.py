"""Our heads and the adapter traced and proved: time masks and padding masks are different kinds."""

import dataclasses

import pytest
import torch

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForPreTraining, Wav2Vec2Model, pad
from w2vlearn.model import Wav2Vec2ForSequenceClassification, sample_task
from w2vlearn.symbolic import symbolic_trace
from w2vlearn.tracing import trace

TINY = Wav2Vec2Config.tiny()
BATCH = pad([torch.randn(16_000), torch.randn(9999)])  # 49 and 30 frames


def test_time_mask_and_padding_mask_are_different_kinds():
    time_mask, negatives = sample_task(TINY, BATCH.lengths, generator=torch.Generator().manual_seed(0))
    task = {"mask_time_indices": time_mask, "sampled_negative_indices": negatives}
    traced = trace(Wav2Vec2ForPreTraining(TINY).eval(), BATCH.waveforms, attention_mask=BATCH.mask, **task)
    masks = [record.mask for record in traced.masks if record.mask]
    assert {mask.kind for mask in masks} == {"sample", "frame", "attention", "time"}
    times = [mask for mask in masks if mask.kind == "time"]
    assert all((mask.shape, mask.valid) == ((2, 49), tuple(time_mask.sum(1).tolist())) for mask in times)
    for name in ("quantizer", "project_q", "project_hid", "wav2vec2.encoder"):
        assert traced[name].valid == (49, 30) and traced[name].output.letters[:2] == ("B", "T"), name
    assert traced["wav2vec2.encoder"].mask.kind == "frame"


@pytest.mark.parametrize(
    ("model", "layer", "shape", "valid"),
    [
        (Wav2Vec2ForPreTraining(TINY), "quantizer", (2, 49, 16), (49, 30)),
        (Wav2Vec2ForSequenceClassification(TINY), "classifier", (2, 2), None),
        (Wav2Vec2Model(dataclasses.replace(TINY, add_adapter=True)), "adapter", (2, 7, 48), (7, 4)),
    ],
    ids=["pre-training", "classification", "adapter"],
)
def test_a_run_agrees_with_the_formulas(model, layer, shape, valid):
    traced, proved = trace(model.eval(), BATCH), symbolic_trace(model, edges=False)
    assert proved.check(traced).ok
    assert proved.at(B=2, L=16_000)[layer].output.shape == traced[layer].output.shape == shape
    assert traced[layer].valid == valid
