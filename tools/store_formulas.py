"""Derive anew what the package stores: python tools/store_formulas.py

The formulas of every preset with both norms, and which layers padding reaches.
"""

from __future__ import annotations

import dataclasses
import json
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC, padding_leak, symbolic_trace
from w2vlearn.config import PRESETS
from w2vlearn.show.sentences import leak_reason
from w2vlearn.symbolic.formulas import stored_name
from w2vlearn.widgets.explorer_data import role


def measure_leaks() -> dict[str, Any]:
    """Which layers padding reaches, on TINY with random weights and both norms: the structure decides, not the size."""
    tiny = Wav2Vec2Config.tiny()
    variants = {
        "group": tiny,
        "layer": dataclasses.replace(tiny, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True),
    }
    measured: dict[str, Any] = {}
    with torch.random.fork_rng():
        for norm, config in variants.items():
            torch.manual_seed(0)
            model = Wav2Vec2ForCTC(config)
            report = padding_leak(model, [torch.randn(8000), torch.randn(5000)])
            measured[norm] = {
                "with mask" if run.masked else "without mask": {
                    "entry": run.entry,
                    "reason": leak_reason(run),
                    "layers": sorted({role(layer.name) for layer in run.layers if layer.relative > run.tolerance}),
                }
                for run in report.runs
            }
    return measured


def main() -> None:
    """Write ``leaks.json``, and the formulas of every preset with both norms, with a mask and without."""
    data = Path(str(resources.files("w2vlearn"))) / "data"
    (data / "leaks.json").write_text(json.dumps(measure_leaks(), indent=1) + "\n", encoding="utf-8")
    for name in PRESETS:
        for norm in ("group", "layer"):
            config = dataclasses.replace(Wav2Vec2Config.from_preset(name), feat_extract_norm=norm)
            with torch.device("meta"):
                model = Wav2Vec2ForCTC(config).eval()
            for mask in (True, False):
                s = symbolic_trace(model, mask=mask)
                file = stored_name(name, mask, norm)
                s.save(data / "formulas" / file)
                print(f"{file}: {len(s)} records, {s.range}")


if __name__ == "__main__":
    main()
