"""How well a digit model hears voices it never heard, and what padding does to it. Everything here is seeded and fixed.

Words right is 1 - (substitutions + deletions + insertions) / words said; it can be negative. A word counts as right
only if every letter is right. "By nearest digit" first replaces each word heard by the digit whose spelling is nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import jiwer
import numpy as np
import torch
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein
from tqdm import tqdm

from training.augment import apply_channel, band_response, fft_size, frequencies, room_impulse
from training.compose import change_rate, transcript
from training.sources import (
    MUSIC,
    PROMPTS,
    Phrase,
    Speaker,
    cached,
    draw_digits,
    prompts,
    read_sound,
    record_espeak,
    record_others,
    speak_flite,
)
from training.voices import DIGITS, HELD_OUT_WORDS
from w2vlearn.batch import pad
from w2vlearn.transcription import transcribe
from w2vlearn.transcription.ctc_decoding import ctc_decode

STRINGS = 100  # in each set
FLITE_VOICES = ("awb", "kal16", "rms", "slt")
PADDED_TO = (1.5, 2.0, 4.0)  # times the clip's own length
NAMES = [name.upper() for name in DIGITS]

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


# ------------------------------------------------------------------------------------------------ hearing and scoring


def decode(model: torch.nn.Module, logits: torch.Tensor) -> str:
    """Text of logits (T, V)."""
    return ctc_decode(logits.argmax(-1), model.vocabulary, model.wav2vec2.geometry).text


@torch.no_grad()
def hear(model: torch.nn.Module, clip: torch.Tensor, padded_to: float = 1.0, mask: bool = False) -> tuple[str, str]:
    """Transcribe one normalised clip (L,), alone or with zeros behind it.

    Returns
    -------
    valid, all : str
        Text of the clip's own frames, and of all frames, those of the padding included.
    """
    samples = len(clip)
    waves = torch.zeros(1, round(samples * padded_to))
    waves[0, :samples] = clip
    seen = (torch.arange(waves.shape[1]) < samples)[None] if mask else None
    logits = model(waves, attention_mask=seen).logits[0]
    return decode(model, logits[: model.wav2vec2.geometry.frame_count(samples)]), decode(model, logits)


def nearest_digit(word: str) -> str:
    """The digit's name with the fewest letter edits to ``word``; the smaller digit where two are equally near."""
    return process.extractOne(word, NAMES, scorer=Levenshtein.distance)[0]


def score(pairs: list[tuple[str, str]]) -> dict[str, float]:
    """Word accuracy, the same by nearest digit, and the share of strings without any error, of (said, heard) pairs."""
    said, heard = [said for said, _ in pairs], [" ".join(heard.split()) for _, heard in pairs]
    nearest = [" ".join(nearest_digit(word) for word in text.split()) for text in heard]
    return {
        "word_accuracy": round(1 - jiwer.wer(said, heard), 4),
        "word_accuracy_nearest_digit": round(1 - jiwer.wer(said, nearest), 4),
        "exact_strings": share(a == b for a, b in zip(said, heard, strict=True)),
    }


def share(values: Iterable[bool]) -> float:
    """Share of true values, rounded as the card shows it."""
    return round(float(np.mean(list(values))), 4)


def normalised(samples: np.ndarray) -> torch.Tensor:
    """Mean 0 and variance 1, float32 (L,)."""
    return pad([torch.from_numpy(np.asarray(samples, np.float32))], normalize=True).waveforms[0]


def through(samples: np.ndarray, condition: str, rng: np.random.Generator) -> torch.Tensor:
    """Put a quarter of a second of pause around speech and send it through one of `CONDITIONS`.

    Returns
    -------
    torch.Tensor
        float32 (L,), mean 0 and variance 1.
    """
    snr, band, room, factor = CONDITIONS[condition]
    samples = samples / np.float32(32767)
    clip = np.pad(samples if factor == 1.0 else change_rate(samples, factor), 4000)
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


# ------------------------------------------------------------------------------------------------ people


def prompts_speaker() -> Speaker:
    """The voice of Debian's English telephone prompts, which no training hears: each digit once."""
    return [[read_sound(PROMPTS / "en_US_f_Allison" / "digits" / f"{digit}.wav")] for digit in range(10)]


def strings_of(takes: Speaker, count: int, seed: int = 8003) -> list[Phrase]:
    """Strings of 2 to 6 digits put together from one person's words, with pauses of 0.05 to 0.6 s."""
    rng = np.random.default_rng(seed)
    strings = []
    for _ in range(count):
        digits = draw_digits(rng)
        pieces = []
        for digit in digits:
            pieces += [takes[digit][rng.integers(len(takes[digit]))], np.zeros(rng.integers(800, 9600), np.int16)]
        strings.append((digits, np.concatenate(pieces[:-1])))
    return strings


# ------------------------------------------------------------------------------------------------ synthetic voices


def flite_strings(count: int, seed: int, cache: Path) -> list[Phrase]:
    """Digit strings by flite, a synthesiser that training never uses."""
    rng = np.random.default_rng(seed)
    strings = [draw_digits(rng) for _ in range(count)]
    jobs = [(transcript(d).lower(), FLITE_VOICES[index % len(FLITE_VOICES)]) for index, d in enumerate(strings)]
    return list(zip(strings, cached(cache, "flite", jobs, lambda: [speak_flite(*job) for job in jobs]), strict=True))


def test_sets(cache: Path) -> dict[str, list[Phrase]]:
    """The sets that the card reports: what is said, and speech at 16 kHz without noise.

    "known accents and timbres": drawn as training draws, other speeds, pitches and strings. "held-out voices": timbres
    that training never hears. "held-out accents": neither accent nor timbre. "flite": another synthesiser.
    """
    plans = {
        "known accents and timbres": (7001, {}),
        "held-out voices": (7002, {"held_out_variant": True}),
        "held-out accents": (7003, {"held_out_variant": True, "held_out_accent": True}),
    }
    sets = {name: record_espeak(0, STRINGS, seed, cache, **held_out)[1] for name, (seed, held_out) in plans.items()}
    return {**sets, "another synthesiser (flite)": flite_strings(STRINGS, 7004, cache)}


def measure_padding(model: torch.nn.Module, clips: list[tuple[str, torch.Tensor]], progress: Callable) -> list[dict]:
    """Score the same clips alone and padded with zeros, with and without a padding mask.

    Returns
    -------
    list of dict
        ``padded_to`` (times the clip's length), ``mask``, ``frames`` ("valid" or "all") with the numbers of `score` and
        ``same_as_alone``, the share of transcripts that equal those of the clip alone.
    """
    alone = [hear(model, clip)[0] for _, clip in clips]
    rows = []
    for padded_to, mask in [(1.0, False)] + [(size, mask) for size in PADDED_TO for mask in (False, True)]:
        heard = [hear(model, clip, padded_to, mask) for _, clip in clips]
        for frames, texts in zip(("valid", "all"), zip(*heard, strict=True), strict=True):
            pairs = [(said, text) for (said, _), text in zip(clips, texts, strict=True)]
            same = share(a == b for a, b in zip(alone, texts, strict=True))
            rows.append({"padded_to": padded_to, "mask": mask, "frames": frames, **score(pairs), "same_as_alone": same})
        progress()
    return rows


# ------------------------------------------------------------------------------------------------ doubt


def sounds_without_digits(cache: Path) -> dict[str, list[np.ndarray]]:
    """Silence and hiss, music, and other words by held-out synthetic voices and by a person: int16 clips."""
    rng = np.random.default_rng(7005)
    hiss = [rng.normal(0, 10 ** rng.uniform(0, 3.5), rng.integers(8_000, 64_000)).astype(np.int16) for _ in range(40)]
    tracks = cached(cache, "music", str(MUSIC), lambda: [read_sound(file) for file in sorted(MUSIC.glob("*.wav"))])
    starts = [(track, int(rng.integers(len(track) - 48_000))) for track in tracks for _ in range(8)]
    said = record_others(HELD_OUT_WORDS, 20, 7006, cache, held_out_variant=True)
    return {
        "silence and hiss": hiss,
        "music": [track[start : start + 48_000] for track, start in starts],
        "other words, synthetic voices": said,
        "other words, a person": prompts(cache, ("en",))[::5],
    }


def certainty(model: torch.nn.Module, clip: torch.Tensor) -> float:
    """Mean confidence of what `transcribe` writes; 0 if it writes nothing."""
    transcript = transcribe(model, clip, progress=False)
    return transcript.mean_confidence if transcript.words else 0.0


def measure_doubt(model: torch.nn.Module, cache: Path) -> dict:
    """Choose ``unsure_below`` on every second clip, and say how many of the others get a note.

    The value is the one that at most one in twenty transcripts of digits falls below.

    Returns
    -------
    dict
        ``unsure_below``; ``sets``: name -> ``noted`` (share of clips for which nothing is written, or less surely) and
        ``clips`` (how many).
    """
    rng = np.random.default_rng(7007)
    singles = [
        take
        for speaker in record_espeak(10, 0, 7008, cache, held_out_variant=True)[0]
        for row in speaker
        for take in row
    ]
    digits = {"single digits, held-out voices": [through(take, "noise 20 dB", rng) / 10 for take in singles]}
    for name, items in test_sets(cache).items():
        digits[f"digit strings, {name}"] = [through(clip, "noise 20 dB", rng) / 10 for _, clip in items]
    others = {name: [as_float(clip) for clip in clips] for name, clips in sounds_without_digits(cache).items()}
    sure = {name: [certainty(model, clip) for clip in clips] for name, clips in {**digits, **others}.items()}
    chosen = np.concatenate([sure[name][::2] for name in digits])
    unsure_below = round(float(np.quantile(chosen[chosen > 0], 0.05)), 2)
    rows = {
        name: {"noted": share(value < unsure_below or value == 0 for value in values[1::2]), "clips": len(values[1::2])}
        for name, values in sure.items()
    }
    return {"unsure_below": unsure_below, "sets": rows}


def as_float(samples: np.ndarray) -> torch.Tensor:
    """int16 samples as `transcribe` wants them: float32 (L,), within -1 … 1."""
    return torch.from_numpy(samples / np.float32(32767))


# ------------------------------------------------------------------------------------------------ all together


def judge(model: torch.nn.Module, takes: Speaker, unsure_below: float) -> dict:
    """Scores of one person's recordings.

    Returns
    -------
    dict
        Of single digits ``clips`` (how many), ``exact`` and ``nearest_digit`` (the share of clips whose whole text
        is, or is nearest to, the digit) and ``noted`` (the share that `transcribe` would put a note on); ``strings``:
        `score` of strings put together.
    """
    clips = [(name, np.pad(take, 1600)) for name, row in zip(NAMES, takes, strict=True) for take in row]
    heard = [(said, hear(model, normalised(clip))[0]) for said, clip in clips]
    rng = np.random.default_rng(8004)
    strings = [(transcript(d), hear(model, through(clip, "clean", rng))[0]) for d, clip in strings_of(takes, STRINGS)]
    return {
        "clips": len(heard),
        "exact": share(said == text for said, text in heard),
        "nearest_digit": share(said == nearest_digit(text) for said, text in heard),
        "noted": share(certainty(model, as_float(clip)) < unsure_below for _, clip in clips),
        "strings": score(strings),
    }


def measure(model: torch.nn.Module, cache: Path) -> dict:
    """All numbers of the card but those of people.

    Returns
    -------
    dict
        ``word_accuracy``: set -> the clean score, for reading at a glance; ``conditions``: set -> condition -> `score`;
        ``padding``: `measure_padding` on both held-out espeak-ng sets at 20 dB; ``strings``: strings per set;
        ``doubt``.
    """
    sets = test_sets(cache)
    with tqdm(total=len(sets) * len(CONDITIONS) + 2 + 2 * len(PADDED_TO), desc="measuring", unit="pass") as bar:
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
        doubt = measure_doubt(model, cache)
        bar.update()
    return {
        "word_accuracy": {name: rows["clean"]["word_accuracy"] for name, rows in conditions.items()},
        "strings": {name: len(items) for name, items in sets.items()},
        "conditions": conditions,
        "padding": padding,
        "doubt": doubt,
    }
