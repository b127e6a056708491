"""Spoken digit strings: espeak-ng speaks, a bank remembers, ``compose`` fills clips of one exact length.

No clip is ever padded: an utterance is put together so that words and pauses fill the wanted number of samples. That is
how a batch has clips of equal length without any zeros appended (BASE was pre-trained on crops of equal length).
"""

from __future__ import annotations

import hashlib
import io
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from training.voices import DIGITS, Voice, draw_voice

SAMPLE_RATE = 16_000


def speak(text: str, voice: Voice) -> np.ndarray:
    """Let espeak-ng say ``text``.

    Returns
    -------
    numpy.ndarray
        float32 (samples,), 16 kHz, peak 0.5, silence at both ends cut off.

    Raises
    ------
    RuntimeError
        If espeak-ng is missing, or returns no sound for this voice.
    """
    name = f"{voice.accent}+{voice.variant}"
    command = ["espeak-ng", "-v", name, "-s", str(voice.speed), "-p", str(voice.pitch), "--stdout", text]
    try:
        wav = subprocess.run(command, capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise RuntimeError("training needs the program espeak-ng: apt-get install espeak-ng") from error
    except subprocess.CalledProcessError as error:
        raise RuntimeError(
            f"espeak-ng cannot speak as {name}: {error.stderr.decode(errors='replace').strip()}"
        ) from error
    return tidy(wav, f"espeak-ng as {name}")


def tidy(wav: bytes, source: str) -> np.ndarray:
    """WAV bytes to float32 at 16 kHz, peak 0.5, trimmed (see `trim`)."""
    # A program that writes WAV to a pipe cannot know the size in advance and writes a huge one: put the true size in.
    data = bytearray(wav)
    data[4:8] = (len(data) - 8).to_bytes(4, "little")
    at = data.find(b"data", 12)
    data[at + 4 : at + 8] = (len(data) - at - 8).to_bytes(4, "little")
    samples, rate = soundfile.read(io.BytesIO(bytes(data)), dtype="float32")
    if samples.size == 0 or np.abs(samples).max() < 1e-3:
        raise RuntimeError(f"{source} returned no sound: choose another voice")
    samples = soxr.resample(samples, rate, SAMPLE_RATE)
    return trim(0.5 * samples / np.abs(samples).max())


def trim(samples: np.ndarray, threshold: float = 0.004, margin: int = 160) -> np.ndarray:
    """Cut off what lies below ``threshold`` (of full scale) at both ends, and leave ``margin`` samples (10 ms)."""
    loud = np.flatnonzero(np.abs(samples) > threshold)
    if loud.size == 0:
        return samples
    return samples[max(0, loud[0] - margin) : loud[-1] + margin + 1]


@dataclass
class Bank:
    """Recorded words and phrases.

    Attributes
    ----------
    words : list of list of numpy.ndarray
        ``words[voice][digit]``, int16 (samples,).
    phrases : list of (tuple of int, numpy.ndarray)
        Digits, and the same digits spoken in one go, int16, shortest first.
    voices : list of Voice
        The speaker of each row of ``words``.
    """

    words: list[list[np.ndarray]]
    phrases: list[tuple[tuple[int, ...], np.ndarray]]
    voices: list[Voice]


def record_bank(voices: int, phrases: int, seed: int, cache: Path | None = None, **held_out: bool) -> Bank:
    """Let ``voices`` voices say the ten digits once, and ``phrases`` further ones a string of two to six digits.

    Parameters
    ----------
    voices, phrases : int
        How many of each.
    seed : int
        Decides voices and strings.
    cache : Path, optional
        Folder where the bank is kept between runs, under a name made from everything that decides its content.
    **held_out : bool
        Passed on to `draw_voice`.

    Raises
    ------
    RuntimeError
        If espeak-ng is missing or a voice says nothing.
    """
    rng = np.random.default_rng(seed)
    speakers = [draw_voice(rng, **held_out) for _ in range(voices)]
    jobs = [(voice.spelling(d) + voice.ending, voice) for voice in speakers for d in range(10)]
    strings = []
    for _ in range(phrases):
        voice = draw_voice(rng, **held_out)
        digits = tuple(int(d) for d in rng.integers(0, 10, rng.integers(2, 7)))
        between = str(rng.choice([" ", " ", ", "]))
        strings.append(digits)
        jobs.append((between.join(voice.spelling(d) for d in digits), voice))
    digest = hashlib.sha256(repr([(text, astuple(voice)) for text, voice in jobs]).encode()).hexdigest()[:16]
    file = cache / f"bank-{digest}.npz" if cache else None
    if file and file.exists():
        stored = np.load(file)
        clips = np.split(stored["samples"], np.cumsum(stored["lengths"])[:-1])
    else:
        with ThreadPoolExecutor(2) as pool:
            spoken = pool.map(lambda job: (speak(*job) * 32767).astype(np.int16), jobs)
            clips = list(tqdm(spoken, total=len(jobs), desc="espeak-ng", unit="clip"))
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, samples=np.concatenate(clips), lengths=[len(c) for c in clips])
    words = [clips[10 * v : 10 * v + 10] for v in range(voices)]
    spoken_phrases = sorted(zip(strings, clips[10 * voices :], strict=True), key=lambda pair: len(pair[1]))
    return Bank(words, spoken_phrases, speakers)


def change_rate(samples: np.ndarray, factor: float) -> np.ndarray:
    """Play ``samples`` faster (``factor`` > 1: shorter, higher) or slower: tempo, pitch and formants move together."""
    return soxr.resample(samples, factor * SAMPLE_RATE, SAMPLE_RATE, quality="LQ").astype(np.float32)


@dataclass
class Clip:
    """A composed clip.

    Attributes
    ----------
    samples : numpy.ndarray
        float32 (L,).
    digits : tuple of int
        What is said.
    marks : list of (int, int, int or None)
        First sample, end (excluded) and digit of each piece; None for a phrase, whose inner borders nobody knows.
    """

    samples: np.ndarray
    digits: tuple[int, ...]
    marks: list[tuple[int, int, int | None]]


def compose(bank: Bank, samples: int, rng: np.random.Generator, rates: tuple[float, float] = (0.78, 1.28)) -> Clip:
    """Fill a clip of exactly ``samples`` samples with spoken digits and pauses.

    Parameters
    ----------
    bank : Bank
        What was recorded.
    samples : int
        Length of the clip; at least 8000 (half a second), so that a word fits.
    rng : numpy.random.Generator
        Source of all randomness.
    rates : (float, float)
        Bounds of `change_rate`'s factor, drawn once a clip.

    Returns
    -------
    Clip
        Pauses are digital silence here; `augment` puts noise into every one of them. About one clip in fifty says
        nothing.
    """
    factor = float(np.exp(rng.uniform(np.log(rates[0]), np.log(rates[1]))))
    pieces: list[np.ndarray] = []
    names: list[int | None] = []
    digits: list[int] = []
    used = 0
    most = 0 if rng.random() < 0.02 else int(rng.integers(1, 9))
    voice = int(rng.integers(len(bank.words)))
    tight = rng.random() < 0.4  # words run together
    smallest = 0 if tight else int(rng.integers(400, 3200))
    if bank.phrases and most > 1 and rng.random() < 0.35:
        fitting = sum(len(p) / factor < samples - 800 for _, p in bank.phrases)
        if fitting:
            said, phrase = bank.phrases[int(rng.integers(fitting))]
            pieces.append(change_rate(phrase / np.float32(32767), factor))
            names.append(None)
            digits.extend(said)
            used, most = len(pieces[0]), len(said)
    while len(digits) < most:
        if rng.random() < 0.08:
            voice = int(rng.integers(len(bank.words)))
        digit = int(rng.integers(10))
        word = bank.words[voice][digit] / np.float32(32767)
        word = change_rate(word * 10 ** rng.uniform(-0.2, 0.2), factor * rng.uniform(0.94, 1.06))
        if used + len(word) + smallest > samples:
            break
        pieces.append(word)
        digits.append(digit)
        names.append(digit)
        used += len(word) + smallest
    clip = np.zeros(samples, np.float32)
    room = samples - sum(len(p) for p in pieces) - smallest * max(0, len(pieces) - 1)
    # What is left over is shared out between the pauses, and the two ends get more of it than the pauses between words.
    share = rng.dirichlet([1.0] + [0.15 if tight else 0.6] * max(0, len(pieces) - 1) + [1.0]) * max(0, room)
    at, marks = 0.0, []
    for index, piece in enumerate(pieces):
        at += share[index]
        start = min(int(at), samples - len(piece))
        clip[start : start + len(piece)] += piece
        marks.append((start, start + len(piece), names[index]))
        at += len(piece) + smallest
    return Clip(clip, tuple(digits), marks)


def transcript(digits: tuple[int, ...]) -> str:
    """``(3, 1)`` -> ``"THREE ONE"``, upper case as in wav2vec2-base-960h."""
    return " ".join(DIGITS[d] for d in digits).upper()
