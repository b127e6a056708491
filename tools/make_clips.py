"""Make the built-in clips of speech (``make clips``): espeak-ng speaks, soxr brings 22 050 Hz to 16 kHz, FLAC stores.

Deterministic: the same espeak-ng and the versions of requirements.txt give the same bytes.

    python tools/make_clips.py [FOLDER]        FOLDER is w2vlearn/data/clips unless said otherwise
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import soundfile
import soxr

FOLDER = Path(__file__).resolve().parent.parent / "w2vlearn" / "data" / "clips"
SAMPLE_RATE = 16_000

# name: (voice, words per minute, pitch 0-99, text)
CLIPS = {
    "digits": ("en-us", 150, 45, "three one four one five"),
    "hello": ("en-gb-x-rp+f2", 165, 60, "Hello, good to hear you"),
    "longest": ("en-gb-scotland+m3", 155, 40, "The longest clip decides how many frames there are."),
    "padding": ("en-029", 160, 50, "Padding is not silence."),
    "question": ("en-us+f3", 165, 55, "Who chose five hundred and twelve?"),
    "yes": ("en-gb+m7", 170, 50, "yes please"),
}


def speak(voice: str, rate: int, pitch: int, text: str) -> numpy.ndarray:
    """What espeak-ng says, as float32 samples (L,) at 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "spoken.wav"
        line = ["espeak-ng", "-v", voice, "-s", str(rate), "-p", str(pitch), "-a", "60", "-w", str(wav), text]
        subprocess.run(line, check=True)
        waveform, spoken_rate = soundfile.read(wav, dtype="float32")
    return soxr.resample(waveform, spoken_rate, SAMPLE_RATE, quality="HQ")


def make_clips(folder: Path) -> dict[str, Path]:
    """Write every clip into ``folder`` as 16-bit mono FLAC; name -> file."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, (voice, rate, pitch, text) in CLIPS.items():
        samples = numpy.rint(speak(voice, rate, pitch, text) * 32767).clip(-32768, 32767).astype("int16")
        files[name] = folder / f"{name}.flac"
        soundfile.write(files[name], samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
        print(f"{name:10s} {len(samples):6d} samples  {len(samples) / SAMPLE_RATE:.2f} s  {voice:18s} {text}")
    return files


if __name__ == "__main__":
    make_clips(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
