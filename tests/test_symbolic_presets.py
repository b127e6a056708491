"""The stored formulas of the presets equal a fresh derivation and a run, and load at once, without sympy."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC, trace
from w2vlearn.config import PRESETS
from w2vlearn.symbolic import SymbolicTrace, symbolic_trace


def on_meta(name: str) -> Wav2Vec2ForCTC:
    with torch.device("meta"):
        return Wav2Vec2ForCTC(Wav2Vec2Config.from_preset(name)).eval()


@pytest.mark.parametrize(("name", "mask"), [("tiny", True), ("tiny", False), ("base", True)])
def test_stored_formulas_equal_a_fresh_derivation(name, mask):
    """The others come from the same run of tools/store_formulas.py, and are held to a run below."""
    assert SymbolicTrace.preset(name, mask).to_dict() == symbolic_trace(on_meta(name), mask=mask).to_dict()


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("name", PRESETS)
def test_stored_formulas_agree_with_a_run_without_values(name, mask):
    model, samples = on_meta(name), 57_600
    with torch.no_grad(), torch.device("meta"):
        arguments = {"attention_mask": torch.ones(3, samples, dtype=torch.bool)} if mask else {}
        t = trace(model, torch.zeros(3, samples), **arguments)
    report = symbolic_trace(name, mask=mask).check(t)
    assert report.ok, str(report)
    assert report.layers == len(SymbolicTrace.preset(name, mask))


def test_stored_formulas_need_no_sympy_and_no_compiler():
    code = (
        "import sys; from w2vlearn import symbolic_trace; s = symbolic_trace('large'); t = s.at(B=3, L=40_000); "
        "assert t['wav2vec2.encoder.layers.23'].output.shape == (3, 124, 1024); "
        "sys.exit(' '.join({'sympy', 'torch._dynamo', 'matplotlib', 'transformers'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr


def test_unknown_presets_are_named():
    with pytest.raises(ValueError, match="there are base, large, large_lv60, tiny"):
        SymbolicTrace.preset("huge")
