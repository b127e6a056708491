"""`padding_leak` and `diff` on other models: transformers' families, torchaudio's and fairseq's conventions."""

from __future__ import annotations

import pytest
import torch
from test_trace_families import FAMILIES, KERNELS, SMALL, STRIDES
from torch import nn
from trace_helpers import untouched

from w2vlearn.batch import pad
from w2vlearn.geometry import FrameGeometry
from w2vlearn.padding_masks import frame_mask
from w2vlearn.tracing import padding_leak, trace

transformers = pytest.importorskip("transformers")


def clips(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, generator=generator) for length in lengths]


def build(family):
    model, config, more = FAMILIES[family]
    torch.manual_seed(0)
    return getattr(transformers, model)(getattr(transformers, config)(**{**SMALL, **more})).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_leak_finds_the_way_in(family):
    model = build(family)
    model(torch.zeros(1, 5000))  # transformers puts hooks of its own on some models when they first run
    with untouched(model):
        report = padding_leak(model, clips(8000, 5000))
    norms = [module for module in model.modules() if isinstance(module, nn.GroupNorm)]
    assert report.with_mask is not None and report.without_mask.worst.relative > report.without_mask.tolerance
    if norms:
        assert "group" in report.with_mask.reason.lower() or "GroupNorm" in report.with_mask.reason
    elif family == "data2vec":  # five positional convolutions in a row: padding is zero for the first one only
        assert report.with_mask.entry == "encoder.pos_conv_embed.layers.1.conv"
    else:
        assert report.with_mask.entry is None and report.with_mask.worst.relative < report.with_mask.tolerance
    assert family.split()[0][:3].lower() in report.model_name.lower()


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "sew"])
def test_diff_by_length_is_letters_alone(family):
    model = build(family)
    with torch.no_grad():
        short, long = (trace(model, pad(clips(length))) for length in (5000, 5320))
    changed = short.diff(long)
    assert not changed.layers
    assert {"L", "T", "T7"} <= {change.letter for change in changed.letters}
    assert {change.letter[0] for change in changed.letters} <= {"L", "T", "A"}


@pytest.mark.parametrize("family", ["hubert", "wavlm", "data2vec", "unispeech", "conformer rotary"])
def test_diff_matches_cousins_by_role(family):
    with torch.no_grad():
        ours = trace(build("wav2vec2 group norm"), pad(clips(5000, 3000)))
        theirs = trace(build(family), pad(clips(5000, 3000)))
    changed = ours.diff(theirs)
    assert changed.same > 10 and not changed.letters
    assert ours.diff(ours).same == len({(record.name, record.call) for record in ours.records})


class Lengths(nn.Module):
    """torchaudio's convention: ``lengths`` (B,), padded frames set to zero before anything looks along time."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 6, 10, stride=5)
        self.mix = nn.Conv1d(6, 6, 3, padding=1)

    def forward(self, waveforms, lengths=None):
        x = self.conv(waveforms[:, None])
        if lengths is not None:
            x = x * frame_mask(FrameGeometry((10,), (5,)).frame_counts(lengths), x.shape[2])[:, None]
        return self.mix(x)


class PaddingMask(nn.Module):
    """fairseq's convention: ``padding_mask`` (B, L), True = padding."""

    def __init__(self):
        super().__init__()
        self.inner = Lengths()

    def forward(self, source, padding_mask=None):
        return self.inner(source, None if padding_mask is None else (~padding_mask).sum(1))


@pytest.mark.parametrize("model", [Lengths, PaddingMask], ids=["torchaudio", "fairseq"])
def test_other_conventions(model):
    torch.manual_seed(0)
    report = padding_leak(model().eval(), clips(800, 500))
    assert report.with_mask.entry is None and report.with_mask.worst.relative < report.with_mask.tolerance
    assert report.without_mask.entry.endswith("mix")
    assert len(KERNELS) == len(STRIDES)
