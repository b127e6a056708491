"""Make the held-out example clips in ``w2vlearn/data/digits_clips`` and note what both stored models hear in them.

    python -m training.examples            # needs espeak-ng and flite; --listen-again only renews what is heard

The clips were chosen before anybody knew what the models make of them. No training voice has one of these timbres.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import numpy as np
import soundfile
import torch

from training.compose import transcript
from training.measure import hear, normalised, through
from training.sources import ROOT, speak, speak_flite
from training.voices import Voice
from w2vlearn.audio import SAMPLE_RATE, read_audio
from w2vlearn.checkpoints import load

FOLDER = ROOT / "w2vlearn" / "data" / "digits_clips"
MODELS = ("digits_group", "digits_layer")


@dataclass(frozen=True)
class Example:
    """What is said, by whom (None: flite's ``slt``, another synthesiser), through which condition of `measure`."""

    digits: tuple[int, ...]
    voice: Voice | None
    condition: str

    def clip(self) -> np.ndarray:
        """Speech with a quarter of a second of pause around it, float32 (L,), 16 kHz, peak 0.5."""
        if self.voice is None:
            spoken = speak_flite(transcript(self.digits).lower(), "slt")
        else:
            spoken = speak(" ".join(self.voice.spelling(d) for d in self.digits), self.voice)
        wave = through(spoken, self.condition, np.random.default_rng(9001)).numpy()
        return 0.5 * wave / np.abs(wave).max()


EXAMPLES = {
    "scotland": Example((3, 3), Voice("en-gb-scotland", "f5", 150, 60), "clean"),
    "caribbean": Example((8, 0, 4), Voice("en-029", "m8", 150, 40), "noise 20 dB"),
    "italian": Example((7, 2, 9, 5), Voice("it", "zac", 140, 45), "clean"),
    "telephone": Example((1, 6, 6, 0, 5), Voice("en-us", "linda", 160, 55), "telephone 300-3400 Hz"),
    "flite": Example((9, 4, 1, 7, 3, 8), None, "clean"),
}


def heard_in(clip: torch.Tensor) -> dict[str, dict[str, str]]:
    """Transcripts of one clip (L,) by both stored models, alone and padded with zeros to twice its length.

    Returns
    -------
    dict
        model -> ``alone``, ``padded`` (no mask) and ``padded, mask``; of padded clips the valid frames only.
    """
    waves = normalised(clip.numpy())
    transcripts = {}
    for name in MODELS:
        model = load(ROOT / "w2vlearn" / "data" / name)
        transcripts[name] = {
            "alone": hear(model, waves)[0],
            "padded": hear(model, waves, padded_to=2.0)[0],
            "padded, mask": hear(model, waves, padded_to=2.0, mask=True)[0],
        }
    return transcripts


def main(arguments: list[str]) -> None:
    """Write the clips (unless ``--listen-again``) and ``digits.json``."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = {}
    for name, example in EXAMPLES.items():
        file = FOLDER / f"{name}.flac"
        if "--listen-again" not in arguments:
            soundfile.write(file, example.clip(), SAMPLE_RATE, subtype="PCM_16")
        clip = read_audio(file)
        voice = example.voice
        rows[name] = {
            "says": transcript(example.digits),
            "speaker": f"espeak-ng {voice.accent}+{voice.variant}" if voice else "flite slt",
            "condition": example.condition,
            "samples": len(clip),
            "heard": heard_in(clip),
        }
    (FOLDER / "digits.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
