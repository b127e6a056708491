"""Derive the formulas of every preset anew and store them in the package: python tools/store_formulas.py"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import torch

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC, symbolic_trace
from w2vlearn.config import PRESETS


def main() -> None:
    """Write ``base.json`` (with a mask), ``base_without_mask.json`` and so on."""
    folder = Path(str(resources.files("w2vlearn"))) / "data" / "formulas"
    for name in PRESETS:
        with torch.device("meta"):
            model = Wav2Vec2ForCTC(Wav2Vec2Config.from_preset(name)).eval()
        for mask in (True, False):
            s = symbolic_trace(model, mask=mask)
            file = f"{name}{'' if mask else '_without_mask'}.json"
            s.save(folder / file)
            print(f"{file}: {len(s)} records, {s.range}")


if __name__ == "__main__":
    main()
