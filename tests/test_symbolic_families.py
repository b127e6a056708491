"""`symbolic_trace` on other people's models: transformers' wav2vec 2.0 and its relatives."""

from __future__ import annotations

import pytest
import torch
from families import family
from torch import nn

from w2vlearn import trace
from w2vlearn.symbolic import symbolic_trace


def test_a_model_that_export_specialises_says_so():
    """SEW halves T and pads it again: the proof covers even T only, and nothing else is claimed."""
    s = symbolic_trace(family("sew"), mask=False)
    assert s.range.conditions
    report = s.check(trace(family("sew"), torch.randn(2, 16_320)))  # 50 frames: here 2 * T and T7 are one number,
    assert report.ok, str(report)  # and a trace, which cannot tell which of the two it is, names neither
    with pytest.raises(ValueError, match="only where"):
        s.at(B=2, L=16_000)  # 49 frames


class Fixes(nn.Module):
    """Turns the length into a constant, which export does in silence."""

    def forward(self, input_values):
        return input_values[:, : int(input_values.shape[1]) // 2]


class Even(nn.Module):
    """Works for even lengths only."""

    def forward(self, input_values):
        return input_values.view(input_values.shape[0], -1, 2) if input_values.shape[1] % 2 == 0 else input_values


def test_constants_and_conditions_are_said():
    fixed = symbolic_trace(Fixes())
    assert any("turned the length into a constant" in note for note in fixed.notes), fixed.notes
    assert fixed.range.samples[0] == fixed.range.samples[1]
    with pytest.raises(ValueError, match="the formulas hold for"):
        fixed.at(B=2, L=16_000)
    even = symbolic_trace(Even())
    assert even.at(B=2, L=16_000)[""].output.shape == (2, 8_000, 2)
    with pytest.raises(ValueError, match="relies on L % 2 == 0, which fails"):
        even.at(B=2, L=16_001)


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


def test_other_conventions_and_arguments_by_hand():
    s = symbolic_trace(TakesLengths())
    assert s.masked and s[""].mask.form == "lengths" and s[""].output.shape == ("B", "T", 4)
    s = symbolic_trace(TakesPadding())
    assert s[""].mask.true_means == "padding" and s[""].mask.shape == ("B", "L")
    x = torch.zeros(3, 5_000)
    s = symbolic_trace(TakesPadding(), x, padding_mask=torch.zeros(3, 5_000, dtype=torch.bool))
    assert s.masked and s.formula("T")(L=5_000) == 999
    with pytest.raises(TypeError, match=r"takes a torch\.nn\.Module or the name of a preset, found a list"):
        symbolic_trace([])
