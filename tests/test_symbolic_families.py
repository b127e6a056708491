"""`symbolic_trace` on other people's models: transformers' wav2vec 2.0 and its relatives, and other conventions."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from w2vlearn import pad
from w2vlearn.tracing import symbolic_trace, trace

transformers = pytest.importorskip("transformers")

SMALL = {
    "vocab_size": 32, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
FAMILIES = {
    "Wav2Vec2ForCTC": {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
    "Wav2Vec2ForPreTraining": {"codevector_dim": 16, "proj_codevector_dim": 16},
    "Wav2Vec2ForSequenceClassification": {},
    "Wav2Vec2Model": {"add_adapter": True},
    "HubertForCTC": {},
    "WavLMForCTC": {},
    "Data2VecAudioForCTC": {},
    "UniSpeechForCTC": {},
    "Wav2Vec2ConformerForCTC": {"position_embeddings_type": "rotary"},
}


def small(name: str, **more):
    cls = getattr(transformers, name)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cls(cls.config_class(**SMALL, **more)).eval()


def hooks(model):
    return [(list(m._forward_hooks), list(m._forward_pre_hooks), set(vars(m))) for m in model.modules()]


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_run_agrees_with_the_formulas(name, mask):
    model = small(name, **FAMILIES[name])
    before = hooks(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        s = symbolic_trace(model, mask=mask)
    assert hooks(model) == before
    assert str(s.formula("T").closed) == "floor((L - 400) / 320) + 1"
    assert s.range.minimum == 400 and s.range.clips == (2, None)
    for lengths in ((16_000, 23_456, 9_000), (8_000,), (700, 500)):
        batch = pad([torch.randn(n) for n in lengths])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = s.check(trace(model, batch) if mask else trace(model, batch.waveforms))
        assert report.ok, f"{lengths}: {report}"


def test_an_adapter_gets_letters_of_its_own():
    s = symbolic_trace(small("Wav2Vec2ForCTC", add_adapter=True), edges=False)
    assert [k for k in s.letters if k.startswith("A")] == ["A1", "A2", "A3"]
    assert str(s.formula("A1").chain) == "(T - 1) // 2 + 1"
    assert s["wav2vec2"].output.shape == ("B", "A3", 32)


def test_a_model_that_export_specialises_says_so():
    """SEW halves T and pads it again: the proof covers even T only, and nothing else is claimed."""
    config = transformers.SEWConfig(**{**SMALL, "conv_dim": [16] * 13})
    torch.manual_seed(0)
    model = transformers.SEWForCTC(config).eval()
    s = symbolic_trace(model, mask=False)
    assert s.range.conditions
    assert s.check(trace(model, torch.randn(2, 16_320))).ok  # 50 frames
    with pytest.raises(ValueError, match="only where"):
        s.at(B=2, L=16_000)  # 49 frames


class TakesLengths(nn.Module):
    """torchaudio's convention."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 10, 5)

    def forward(self, waveforms, lengths=None):
        out = self.conv(waveforms[:, None]).transpose(1, 2)
        return out, None if lengths is None else (lengths - 10) // 5 + 1


class TakesPadding(TakesLengths):
    """fairseq's convention."""

    def forward(self, source, padding_mask=None):
        return self.conv(source[:, None])


def test_other_conventions():
    s = symbolic_trace(TakesLengths())
    assert s.masked and s[""].mask.form == "lengths" and s[""].output.shape == ("B", "T", 4)
    s = symbolic_trace(TakesPadding())
    assert s[""].mask.convention == "True = padding" and s[""].mask.shape == ("B", "L")


def test_arguments_by_hand():
    x = torch.zeros(3, 5_000)
    s = symbolic_trace(TakesPadding(), x, padding_mask=torch.zeros(3, 5_000, dtype=torch.bool))
    assert s.masked and s.formula("T")(L=5_000) == 999
