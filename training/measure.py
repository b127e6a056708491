"""How well a digit model hears voices it never heard, and what padding does to it. Everything here is seeded and fixed.

Word accuracy is 1 - (substitutions + deletions + insertions) / words said; it can be negative. A word counts as right
only if every letter is right. "By nearest digit" first replaces each word heard by the digit whose spelling is nearest.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from training.augment import apply_channel, band_response, fft_size, frequencies, room_impulse
from training.speech import change_rate, record_bank, tidy, transcript
from training.vocabulary import edits, greedy
from training.voices import DIGITS

STRINGS = 100  # in each set
SEEDS = {"known": 7001, "held-out voices": 7002, "held-out accents": 7003, "flite": 7004}
FLITE_VOICES = ("awb", "kal16", "rms", "slt")
PADDED_TO = (1.5, 2.0, 4.0)  # times the clip's own length

# name -> (signal-to-noise ratio in dB, low and high edge of the band in Hz or None, reverberation, change of rate)
CONDITIONS = {
    "clean": (50, None, False, 1.0),
    "noise 20 dB": (20, None, False, 1.0),
    "noise 10 dB": (10, None, False, 1.0),
    "noise 5 dB": (5, None, False, 1.0),
    "telephone 300-3400 Hz": (30, (300.0, 3400.0), False, 1.0),
    "room, T60 0.5 s": (40, None, True, 1.0),
    "slowed down to 0.85": (50, None, False, 0.85),
    "sped up to 1.2": (50, None, False, 1.2),
}

Item = tuple[tuple[int, ...], np.ndarray]


def flite_strings(count: int, seed: int) -> list[Item]:
    """Digit strings by flite, a synthesiser that training never uses; an empty list where it is not installed."""
    if shutil.which("flite") is None:
        return []
    rng = np.random.default_rng(seed)
    items = []
    for index in range(count):
        digits = tuple(int(d) for d in rng.integers(0, 10, rng.integers(2, 7)))
        voice = FLITE_VOICES[index % len(FLITE_VOICES)]
        command = ["flite", "-voice", voice, "-t", transcript(digits).lower(), "-o", "/dev/stdout"]
        wav = subprocess.run(command, capture_output=True, check=True).stdout
        items.append((digits, tidy(wav, f"flite as {voice}")))
    return items


def test_sets(cache: Path | None) -> dict[str, list[Item]]:
    """The sets that the card reports: what is said, and float32 speech at 16 kHz without noise.

    "known accents and timbres": drawn as training draws, other speeds, pitches and strings. "held-out voices": timbres
    that training never hears. "held-out accents": neither accent nor timbre. "flite": another synthesiser.
    """
    plans = {
        "known accents and timbres": (SEEDS["known"], {}),
        "held-out voices": (SEEDS["held-out voices"], {"held_out_variant": True}),
        "held-out accents": (SEEDS["held-out accents"], {"held_out_variant": True, "held_out_accent": True}),
    }
    sets = {}
    for name, (seed, held_out) in plans.items():
        bank = record_bank(0, STRINGS, seed, cache, **held_out)
        sets[name] = [(digits, phrase / np.float32(32767)) for digits, phrase in bank.phrases]
    other = flite_strings(STRINGS, SEEDS["flite"])
    return {**sets, "another synthesiser (flite)": other} if other else sets


def through(samples: np.ndarray, condition: str, rng: np.random.Generator) -> torch.Tensor:
    """Put a quarter of a second of pause around speech and send it through one of `CONDITIONS`.

    Returns
    -------
    torch.Tensor
        float32 (L,), mean 0 and variance 1.
    """
    snr, band, room, factor = CONDITIONS[condition]
    pause = np.zeros(4000, np.float32)
    clip = np.concatenate([pause, samples if factor == 1.0 else change_rate(samples, factor), pause])
    size = fft_size(len(clip))
    hz = frequencies(size)
    impulse = room_impulse(rng, 0.5, 3.0) if room else np.eye(1, 1, dtype=np.float32)[0]
    noise = rng.standard_normal((1, len(hz))) + 1j * rng.standard_normal((1, len(hz)))
    limit = band_response(hz, *band) if band else np.ones_like(hz)
    return apply_channel(
        clip[None],
        np.fft.rfft(impulse, size).astype(np.complex64)[None],
        noise.astype(np.complex64),
        np.array([snr]),
        limit[None],
    )[0]


@torch.no_grad()
def hear(model: torch.nn.Module, clip: torch.Tensor, padded_to: float = 1.0, mask: bool = False) -> tuple[str, str]:
    """Transcribe one normalised clip (L,), alone or with zeros behind it.

    Returns
    -------
    real, all : str
        Text of the clip's own frames, and of all frames, those of the padding included.
    """
    samples = len(clip)
    longest = round(samples * padded_to)
    waves = torch.zeros(1, longest)
    waves[0, :samples] = clip
    seen = (torch.arange(longest) < samples)[None] if mask else None
    logits = model(waves, attention_mask=seen).logits[0]
    return greedy(logits[: model.wav2vec2.geometry.frame_count(samples)]), greedy(logits)


def nearest_digit(word: str) -> str:
    """The digit's name with the fewest letter edits to ``word``; the smaller digit where two are equally near."""
    return min(DIGITS, key=lambda name: sum(edits(list(name.upper()), list(word)))).upper()


def score(pairs: list[tuple[str, str]]) -> dict[str, float]:
    """Word accuracy, the same by nearest digit, and the share of strings without any error, of (said, heard) pairs."""
    words = wrong = wrong_nearest = exact = 0
    for said, heard in pairs:
        truth, guess = said.split(), heard.split()
        words += len(truth)
        wrong += sum(edits(truth, guess))
        wrong_nearest += sum(edits(truth, [nearest_digit(word) for word in guess]))
        exact += truth == guess
    return {
        "word_accuracy": round(1 - wrong / words, 4),
        "word_accuracy_nearest_digit": round(1 - wrong_nearest / words, 4),
        "exact_strings": round(exact / len(pairs), 4),
    }


def measure_padding(model: torch.nn.Module, clips: list[tuple[str, torch.Tensor]], progress: Callable) -> list[dict]:
    """Score the same clips alone and padded with zeros, with and without a padding mask.

    Returns
    -------
    list of dict
        ``padded_to`` (times the clip's length), ``mask``, ``frames`` ("real" or "all") with the numbers of `score` and
        ``same_as_alone``, the share of transcripts that equal those of the clip alone.
    """
    alone = [hear(model, clip)[0] for _, clip in clips]
    rows = []
    for padded_to, mask in [(1.0, False)] + [(size, mask) for size in PADDED_TO for mask in (False, True)]:
        heard = [hear(model, clip, padded_to, mask) for _, clip in clips]
        for index, frames in enumerate(("real", "all")):
            texts = [texts[index] for texts in heard]
            pairs = [(said, text) for (said, _), text in zip(clips, texts, strict=True)]
            same = sum(a == b for a, b in zip(alone, texts, strict=True)) / len(clips)
            rows.append(
                {
                    "padded_to": padded_to,
                    "mask": mask,
                    "frames": frames,
                    **score(pairs),
                    "same_as_alone": round(same, 4),
                }
            )
        progress()
    return rows


def measure(model: torch.nn.Module, cache: Path | None = None) -> dict:
    """All numbers of the card.

    Returns
    -------
    dict
        ``word_accuracy``: set -> the clean score, for reading at a glance; ``conditions``: set -> condition -> `score`;
        ``padding``: `measure_padding` on both held-out espeak-ng sets at 20 dB; ``strings``: strings per set.
    """
    model.eval()
    sets = test_sets(cache)
    with tqdm(total=len(sets) * len(CONDITIONS) + 1 + 2 * len(PADDED_TO), desc="measuring", unit="pass") as bar:
        conditions: dict[str, dict] = {}
        for name, items in sets.items():
            conditions[name] = {}
            for condition in CONDITIONS:
                rng = np.random.default_rng(8001)
                pairs = [(transcript(said), hear(model, through(clip, condition, rng))[0]) for said, clip in items]
                conditions[name][condition] = score(pairs)
                bar.update()
        rng = np.random.default_rng(8002)
        held_out = sets["held-out voices"] + sets["held-out accents"]
        clips = [(transcript(said), through(clip, "noise 20 dB", rng)) for said, clip in held_out]
        padding = measure_padding(model, clips, bar.update)
    return {
        "word_accuracy": {name: rows["clean"]["word_accuracy"] for name, rows in conditions.items()},
        "strings": {name: len(items) for name, items in sets.items()},
        "conditions": conditions,
        "padding": padding,
    }
