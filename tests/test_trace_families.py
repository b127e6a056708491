"""Tracing, proving, leaks and diffs on speech models of transformers: nothing wrong, nothing left behind."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
import torch
from alone import compared
from families import FAMILIES, KERNELS, SMALL, STRIDES, family
from torch import nn
from torch.testing import assert_close
from trace_helpers import untouched

from w2vlearn.batch import pad
from w2vlearn.geometry import FrameGeometry
from w2vlearn.show.sentences import convention, leak_reason
from w2vlearn.symbolic import SymbolicTrace, symbolic_trace
from w2vlearn.tracing import padding_leak, trace

transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched")
LENGTHS = (3_000, 4_567, 8_700)
FRAMES = tuple(FrameGeometry(KERNELS, STRIDES).frame_count(n) for n in LENGTHS)
COLLIDING = {
    "24 frames, 24 features": (3_000, 4_567, 8_000),
    "3 frames, 3 clips": (1_040, 720, 1_040),
    "one clip": (5_200,),
}
UNKNOWN = {  # ends of the names of layers that no rule explains, and why
    "wavlm": ("rel_attn_embed",),  # positions by positions, made by own code
    "conformer relative": ("embed_positions", "linear_pos"),  # 2 T - 1 positions, made by own code
    "conformer rotary": ("embed_positions",),  # sine and cosine: two, not B
    "sew": ("pos_conv_embed", "padding", "activation", "upsample", "encoder", ""),  # squeezed, stretched by own code
}


def clips(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(length, generator=generator) for length in lengths]


@functools.cache
def proofs(name: str) -> dict[bool, SymbolicTrace]:
    """With a mask and without, before the model runs: some keep positions of the last length, and export sees them."""
    if name == "sew":  # whose T is halved and doubled: see test_symbolic_families.py
        return {}
    with untouched(family(name)), warnings.catch_warnings():
        warnings.simplefilter("error")
        return {masked: symbolic_trace(family(name), mask=masked, edges=False) for masked in (True, False)}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
def test_a_family(name, masked):
    proofs(name)
    model, batch = family(name), pad(clips(*LENGTHS))
    arguments = {"attention_mask": batch.mask} if masked else {}
    with torch.no_grad():
        plain = model(batch.waveforms, **arguments)
        with untouched(model):
            traced = trace(model, batch) if masked else trace(model, batch, attention_mask=None)
    assert_close(dict(traced.output), dict(plain), rtol=0, atol=0)
    if proved := proofs(name).get(masked):
        assert str(proved.formula("T").closed) == "floor((L - 400) / 320) + 1"
        assert proved.range.minimum == 400 and proved.range.clips == (2, None)
        assert proved.check(traced).ok, str(proved.check(traced))
    prefix = "" if hasattr(model, "feature_extractor") else next(n for n, _ in model.named_children()) + "."
    last = traced[f"{prefix}feature_extractor.conv_layers.{len(model.config.conv_dim) - 1}"]
    assert last.output.shape[2] == FRAMES[-1] and last.valid == FRAMES and last.output.letters[:2] == ("B", "C")
    assert {"C": 12, "D": 24, "H": 2, "L": LENGTHS[-1]}.items() <= traced.letters.items()
    modules = dict(model.named_modules())
    for record in traced:
        if not record.is_mask_step:
            assert record.parameters == sum(p.numel() for p in modules[record.name].parameters())
    steps = [record for record in traced if record.is_mask_step]
    if not masked:
        assert steps == [] and all(record.mask is None for record in traced)
    else:
        assert steps[0].name == "sample mask -> frame mask" and steps[0].mask.valid == FRAMES
        assert traced[""].mask.valid == LENGTHS
        if name not in ("wavlm", "sew"):  # WavLM's layers take the frame mask; SEW's own arithmetic is off, see below
            assert steps[1].name == "frame mask -> attention mask" and steps[1].mask.valid == FRAMES
            assert not [note for note in traced.notes if "expected" in note]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("lengths", [LENGTHS, *COLLIDING.values()], ids=["all sizes differ", *COLLIDING])
def test_no_axis_has_a_wrong_name_against_each_clip_alone(name, lengths):
    batch = pad(clips(*lengths), minimum_samples=1)
    for arguments in ({"attention_mask": batch.mask}, {})[: 2 if lengths == LENGTHS else 1]:
        wrong, unknown = compared(family(name), batch.waveforms, lengths, **arguments)
        assert not wrong, wrong
        if lengths == LENGTHS:
            assert all(one.endswith(UNKNOWN.get(name, ())) for one in unknown), unknown


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "wavlm"])
def test_an_all_true_mask_is_dropped_by_the_library(name):
    with torch.no_grad():
        traced = trace(family(name), pad([torch.zeros(3_000)] * 2))
    step = traced["frame mask -> attention mask"]
    assert step.mask.form == "none" and convention(step.mask) == "None: the library dropped an all-true mask"
    assert [r.mask.form for r in traced if r.name.endswith("encoder.layers.0")] == ["none"]


def test_sew_s_own_mask_is_one_frame_off():
    """transformers halves the number of valid frames upwards, the squeezing convolution rounds down."""
    with torch.no_grad():
        traced = trace(family("sew"), pad([torch.zeros(n) for n in (9_000, 16_000)]))  # 27 and 49 frames -> 13 and 24
    layer = traced["encoder.layers.0"]
    assert layer.valid == (13, 24) and layer.mask.valid == (14, 24)
    assert any("clip 0: expected 13, the model marks 14" in note for note in traced.notes)


def test_adapter_hidden_states_and_attentions_have_letters():
    batch = pad(clips(*LENGTHS))
    with torch.no_grad():
        adapter = trace(family("wav2vec2 adapter"), batch)
        eager = trace(family("wav2vec2 eager attention"), batch, output_hidden_states=True, output_attentions=True)
    assert adapter[""].output.letters == ("B", "A3", "D")
    assert [adapter.letters[name] for name in ("T", "A1", "A2", "A3")] == [26, 13, 7, 4]
    proved = proofs("wav2vec2 adapter")[True]
    assert [letter for letter in proved.letters if letter.startswith("A")] == ["A1", "A2", "A3"]
    assert proved.formula("A1").chain == "(T - 1) // 2 + 1" and proved[""].output.shape == ("B", "A3", 24)
    outputs = {info.path: info.letters for info in eager[""].outputs}
    assert [outputs[f"output.hidden_states[{i}]"] for i in range(3)] == [("B", "T", "D")] * 3
    assert outputs["output.attentions[1]"] == ("B", "H", "T", "T")
    assert eager[""].output.path == "output.last_hidden_state"


@pytest.mark.filterwarnings("ignore:.*train mode")
def test_layerdrop_skips_layers_as_it_does_without_a_trace():
    config = transformers.Wav2Vec2Config(**{**SMALL, "layerdrop": 0.5, "num_hidden_layers": 6})
    model, batch = transformers.Wav2Vec2Model(config).train(), pad(clips(*LENGTHS))
    torch.manual_seed(1), np.random.seed(1)
    with untouched(model):
        traced = trace(model, batch)
    plain = model(batch.waveforms, attention_mask=batch.mask)
    assert torch.equal(plain.last_hidden_state, traced.output.last_hidden_state)
    skipped = [r.name for r in traced if r.status == "skipped" and r.name.count(".") == 2]
    assert skipped and all(name.startswith("encoder.layers.") for name in skipped)


@pytest.mark.parametrize("name", FAMILIES)
def test_leak_finds_the_way_in(name):
    model = family(name)
    model(torch.zeros(1, 5000))  # transformers puts hooks of its own on some models when they first run
    with untouched(model):
        report = padding_leak(model, clips(8000, 5000))
    assert report.with_mask is not None and report.without_mask.worst.relative > report.without_mask.tolerance
    if any(isinstance(module, nn.GroupNorm) for module in model.modules()):
        assert "GroupNorm" in leak_reason(report.with_mask)
    elif name == "data2vec":  # five positional convolutions in a row: padding is zero for the first one only
        assert report.with_mask.entry == "encoder.pos_conv_embed.layers.1.conv"
    else:
        assert report.with_mask.entry is None and report.with_mask.worst.relative < report.with_mask.tolerance


@pytest.mark.parametrize("name", FAMILIES)
def test_diff_by_length_is_letters_alone_and_cousins_match_by_role(name):
    with torch.no_grad():
        short, long = (trace(family(name), pad(clips(length))) for length in (5000, 5320))
        ours = trace(family("wav2vec2 group norm"), pad(clips(5000)))
    changed = short.diff(long)
    assert all(one.endswith(UNKNOWN.get(name, ())) for change in changed.layers for one in change.names)
    assert {"L", "T7"} <= {change.letter for change in changed.letters}
    assert {change.letter[0] for change in changed.letters} <= {"L", "T", "A"}
    assert ours.diff(short).same >= 10
