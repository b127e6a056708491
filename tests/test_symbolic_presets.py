"""The stored formulas of the presets equal a fresh derivation, and load at once."""

from __future__ import annotations

import time

import pytest

from w2vlearn.config import PRESETS
from w2vlearn.tracing import SymbolicTrace, symbolic_trace
from w2vlearn.tracing.formulas import _preset_model, _stored, preset_of


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("name", PRESETS)
def test_stored_formulas_equal_a_fresh_derivation(name, mask):
    fresh = symbolic_trace(_preset_model(name), mask=mask)
    stored = SymbolicTrace.preset(name, mask)
    assert stored.to_dict() == fresh.to_dict()


def test_loading_takes_no_time():
    best = 1.0
    for _ in range(3):
        _stored.cache_clear()
        start = time.perf_counter()
        s = symbolic_trace("large")
        best = min(best, time.perf_counter() - start)
    assert best < 0.2
    assert s["wav2vec2.encoder.layers.23"].output.shape == ("B", "T", 1024)


def test_unknown_presets_are_named():
    with pytest.raises(ValueError, match="there are base, large, large_lv60, tiny"):
        SymbolicTrace.preset("huge")


def test_stored_formulas_only_for_the_very_model():
    import dataclasses

    from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC

    assert preset_of(_preset_model("tiny")) == "tiny"
    assert symbolic_trace(_preset_model("tiny"), stored=True) is SymbolicTrace.preset("tiny")
    other = Wav2Vec2ForCTC(dataclasses.replace(Wav2Vec2Config.tiny(), conv_stride=(5, 2, 2, 2, 2, 2, 1)))
    assert preset_of(other) is None
