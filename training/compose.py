"""Clips of one exact length, put together from spoken digits and pauses.

No clip is ever padded: words and pauses fill the wanted number of samples. That is how a batch has clips of equal
length without any zeros appended (BASE was pre-trained on crops of equal length).
"""

from __future__ import annotations

import numpy as np
import soxr

from training.sources import Bank, Phrase
from training.voices import DIGITS
from w2vlearn.audio import SAMPLE_RATE

SHARES = {"people": 0.45, "festival": 0.15, "espeak-ng": 0.40}  # of the clips
NO_DIGITS = 0.08  # share of clips without a digit: other words, music, or nothing
RATES = (0.65, 1.5)  # bounds of `change_rate`'s factor


def transcript(digits: tuple[int, ...]) -> str:
    """What is said, in upper case as in wav2vec2-base-960h: ``(3, 1)`` -> ``"THREE ONE"``."""
    return " ".join(DIGITS[d] for d in digits).upper()


def change_rate(samples: np.ndarray, factor: float) -> np.ndarray:
    """Play ``samples`` faster (``factor`` > 1: shorter, higher) or slower: tempo, pitch and formants move together."""
    return soxr.resample(samples, factor * SAMPLE_RATE, SAMPLE_RATE, quality="LQ").astype(np.float32)


def music(samples: int, rng: np.random.Generator) -> np.ndarray:
    """A tune of chords that fade, with a beat on some notes, float32 (samples,)."""
    clip = np.zeros(samples, np.float32)
    note = int(rng.integers(1600, 9600))
    for start in range(0, samples, note):
        length = min(2 * note, samples - start)
        seconds = np.arange(length) / SAMPLE_RATE
        for semitone in rng.choice(24, rng.integers(1, 4), replace=False):
            hertz = rng.choice([65.4, 130.8, 261.6]) * 2 ** (semitone / 12)
            for harmonic in range(1, int(rng.integers(2, 9))):
                gain = harmonic ** -rng.uniform(0.7, 2)
                clip[start : start + length] += gain * np.sin(2 * np.pi * hertz * harmonic * seconds)
        if rng.random() < 0.5:
            clip[start : start + length] += rng.standard_normal(length) * np.exp(-seconds * rng.uniform(10, 60))
        clip[start : start + length] *= np.exp(-seconds * rng.uniform(0, 5))
    return (0.5 * clip / max(1e-3, np.abs(clip).max())).astype(np.float32)


def no_digits(bank: Bank, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Other words, music, or nothing, float32 (samples,)."""
    kind = rng.random()
    if kind < 0.15:
        return np.zeros(samples, np.float32)
    if kind < 0.4:
        return music(samples, rng)
    clip, at = np.zeros(samples, np.float32), int(rng.integers(0, 4000))
    while at < samples:
        piece = change_rate(bank.others[rng.integers(len(bank.others))] / np.float32(32767), rng.uniform(0.8, 1.25))
        if at == 0 and len(piece) > samples:
            piece = piece[int(rng.integers(len(piece) - samples)) :]
        piece = piece[: samples - at]
        clip[at : at + len(piece)] = piece
        at += len(piece) + int(rng.integers(400, 12_000))
    return clip


def compose(bank: Bank, samples: int, rng: np.random.Generator) -> Phrase:
    """Fill a clip of exactly ``samples`` samples with spoken digits and pauses.

    Parameters
    ----------
    bank : Bank
        What was recorded.
    samples : int
        Length of the clip; at least 8000 (half a second), so that a word fits.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    Phrase
        What is said, and float32 (samples,). Pauses are digital silence here; `augment` puts noise into most of them.
    """
    if rng.random() < NO_DIGITS:
        return (), no_digits(bank, samples, rng)
    factor = float(np.clip(np.exp(rng.normal(0, 0.15)), *RATES))
    kinds = [kind for kind in SHARES if bank.speakers[kind]]  # the others keep their shares of one another
    kind = str(rng.choice(kinds, p=np.array([SHARES[kind] for kind in kinds]) / sum(SHARES[kind] for kind in kinds)))
    speakers, phrases = bank.speakers[kind], bank.phrases[kind]
    speaker = speakers[rng.integers(len(speakers))]
    pieces: list[np.ndarray] = []
    digits: list[int] = []
    most = int(rng.integers(1, 8)) if rng.random() < 0.4 else 99  # else as many as fit
    tight = rng.random() < 0.35  # words run together
    smallest = 0 if tight else int(rng.integers(400, 3200))
    used = 0
    if most > 1 and samples > 20_000 and rng.random() < 0.5:
        fitting = sum(len(phrase) / factor < samples - 800 for _, phrase in phrases)
        if fitting:  # a phrase first
            said, phrase = phrases[rng.integers(fitting)]
            pieces.append(change_rate(phrase / np.float32(32767), factor))
            digits.extend(said)
            used = len(pieces[0]) + smallest
    while len(digits) < most:
        if rng.random() < 0.08:
            speaker = speakers[rng.integers(len(speakers))]
        digit = int(rng.integers(10))
        take = speaker[digit][rng.integers(len(speaker[digit]))]
        gain = np.float32(10 ** rng.uniform(-0.25, 0.25) / 32767)
        word = change_rate(take * gain, factor * rng.uniform(0.92, 1.08))
        if used + len(word) + smallest > samples:
            break
        pieces.append(word)
        digits.append(digit)
        used += len(word) + smallest
    clip = np.zeros(samples, np.float32)
    free = samples - sum(len(piece) for piece in pieces) - smallest * max(0, len(pieces) - 1)
    # What is left over is shared out between the ends and the pauses between words: small pauses, or long ones.
    weight = 0.1 if tight else float(rng.choice([0.5, 3.0]))
    share = rng.dirichlet([1.0] + [weight] * max(0, len(pieces) - 1) + [1.0]) * max(0, free)
    at = 0.0
    for piece, pause in zip(pieces, share, strict=False):  # the last pause follows the last word
        at += pause
        start = min(int(at), samples - len(piece))
        clip[start : start + len(piece)] += piece
        at += len(piece) + smallest
    return tuple(digits), clip
