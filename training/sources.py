"""Where speech comes from: people's recordings, synthesisers, and sounds that are no digits. Kept as int16 arrays.

Everything is recorded once and cached. A *speaker* is ten lists of takes, ``speaker[digit][take]``, at 16 kHz.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from training.voices import FESTIVAL, OTHER_WORDS, Voice, draw_voice
from w2vlearn.audio import SAMPLE_RATE, read_audio

ROOT = Path(__file__).resolve().parents[1]
DATASET = "Jakobovski/free-spoken-digit-dataset"
COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
PROMPTS, MUSIC = Path("/usr/share/asterisk/sounds"), Path("/usr/share/asterisk/moh")
PACKAGES = {  # what must exist -> the Debian packages that bring it
    Path("/usr/bin/espeak-ng"): "espeak-ng",
    Path("/usr/bin/festival"): "festival festvox-kdlpc16k festvox-ca-ona-hts festvox-czech-dita festvox-czech-krb "
    "festvox-czech-machac festvox-czech-ph festvox-suopuhe-mv festvox-suopuhe-lj festvox-ru",
    Path("/usr/bin/flite"): "flite",
    PROMPTS: "asterisk-core-sounds-en-wav asterisk-core-sounds-es-wav asterisk-core-sounds-fr-wav "
    "asterisk-core-sounds-it-wav asterisk-core-sounds-ru-wav",
    MUSIC: "asterisk-moh-opsound-wav",
}

Speaker = list[list[np.ndarray]]
Phrase = tuple[tuple[int, ...], np.ndarray]


def check_programs() -> None:
    """Raise RuntimeError with the line to type if a program or a folder of sounds is missing."""
    missing = [packages for path, packages in PACKAGES.items() if not path.exists() and not shutil.which(path.name)]
    if missing:
        raise RuntimeError(f"training needs more speech. On Debian 12: apt-get install {' '.join(missing)}")


def tidy(samples: np.ndarray, source: str) -> np.ndarray:
    """Any mono sound at 16 kHz as int16 (samples,), peak at half of full scale, silence at both ends cut off.

    Raises
    ------
    RuntimeError
        If there is no sound in it.
    """
    if samples.size == 0 or np.abs(samples).max() < 1e-3:
        raise RuntimeError(f"{source} is silent: remove that file, or choose another voice")
    return (trim(0.5 * samples / np.abs(samples).max()) * 32767).astype(np.int16)


def trim(samples: np.ndarray, threshold: float = 0.004, margin: int = 160) -> np.ndarray:
    """Cut off what lies below ``threshold`` (of full scale) at both ends, and leave ``margin`` samples (10 ms)."""
    loud = np.flatnonzero(np.abs(samples) > threshold)
    return samples[max(0, loud[0] - margin) : loud[-1] + margin + 1] if loud.size else samples


def read_sound(path: Path) -> np.ndarray:
    """A sound file, as `tidy` makes it."""
    return tidy(read_audio(path).numpy(), str(path))


def cached(folder: Path, name: str, key: object, make: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
    """``make()``, or what it returned when it was last called with this ``key``."""
    file = folder / f"{name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.npz"
    if not file.exists():
        clips = make()
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(file, samples=np.concatenate(clips), lengths=[len(clip) for clip in clips])
    stored = np.load(file)
    return np.split(stored["samples"], np.cumsum(stored["lengths"])[:-1])


# ------------------------------------------------------------------------------------------------ synthesisers


def speak(text: str, voice: Voice) -> np.ndarray:
    """Let espeak-ng say ``text``: int16 (samples,), see `tidy`."""
    name = f"{voice.accent}+{voice.variant}"
    command = ["espeak-ng", "-v", name, "-s", str(voice.speed), "-p", str(voice.pitch), text, "-w"]
    return _written_by(command, f"espeak-ng as {name}")


def speak_flite(text: str, voice: str) -> np.ndarray:
    """Let flite say ``text``. Training never does: flite is there to measure with."""
    return _written_by(["flite", "-voice", voice, "-t", text, "-o"], f"flite as {voice}")


def _written_by(command: list[str], source: str) -> np.ndarray:
    """What a program says into the file whose name ends its command."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "said.wav"
        run = subprocess.run([*command, str(file)], capture_output=True)
        if run.returncode or not file.exists():
            raise RuntimeError(f"{source} cannot speak: {run.stderr.decode(errors='replace').strip()}")
        return tidy(read_audio(file).numpy(), source)


def speak_all(jobs: list[tuple[str, Voice]], name: str, cache: Path) -> list[np.ndarray]:
    """Let espeak-ng say many texts (cached)."""

    def make() -> list[np.ndarray]:
        with ThreadPoolExecutor(2) as pool:
            return list(tqdm(pool.map(lambda job: speak(*job), jobs), total=len(jobs), desc=name, unit="clip"))

    return cached(cache, name, jobs, make)


def speak_festival(voice: str, texts: list[tuple[str, float]]) -> list[np.ndarray]:
    """Let a festival voice say texts, each slowed down by a factor."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"(voice_{voice})"]
        for index, (text, slower) in enumerate(texts):
            lines.append(f"(Parameter.set 'Duration_Stretch {slower:.2f})")
            lines.append(f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{folder}/{index}.wav" \'riff)')
        script = Path(folder) / "say.scm"
        script.write_text("\n".join(lines), encoding="utf-8")
        run = subprocess.run(["festival", "-b", str(script)], capture_output=True)
        if run.returncode:
            raise RuntimeError(f"festival cannot speak as {voice}: {run.stderr.decode(errors='replace').strip()}")
        return [read_sound(Path(folder) / f"{index}.wav") for index in range(len(texts))]


def draw_digits(rng: np.random.Generator) -> tuple[int, ...]:
    """Two to six digits."""
    return tuple(int(d) for d in rng.integers(0, 10, rng.integers(2, 7)))


# ------------------------------------------------------------------------------------------------ people


def read_people(folder: Path) -> dict[str, Speaker]:
    """Recordings named ``{digit}_{person}_{take}.wav``: person -> takes of each digit (int16, 16 kHz).

    Raises
    ------
    RuntimeError
        If the folder has none, or a person lacks a digit.
    """
    people: dict[str, Speaker] = {}
    for file in sorted(folder.glob("[0-9]_*_*.wav")):
        digit, person, _ = file.stem.split("_")
        people.setdefault(person, [[] for _ in range(10)])[int(digit)].append(read_sound(file))
    if not people:
        raise RuntimeError(
            f"{folder} holds no recordings named like 7_theo_12.wav. Give a folder of the Free Spoken Digit Dataset "
            "with --people FOLDER, or leave the option out on a machine with a network"
        )
    for person, takes in people.items():
        lacking = [digit for digit in range(10) if not takes[digit]]
        if lacking:
            raise RuntimeError(f"{folder}: {person} never says {lacking}; training needs all ten digits of a person")
    return people


def fetch_people(cache: Path) -> Path:
    """Folder of the data set's recordings at the pinned commit, fetched once.

    Raises
    ------
    RuntimeError
        If there is no network; the message says what to do instead.
    """
    folder = cache / "people" / f"{DATASET.split('/')[1]}-{COMMIT}" / "recordings"
    if not folder.is_dir():
        address = f"https://codeload.github.com/{DATASET}/tar.gz/{COMMIT}"
        try:
            data = urllib.request.urlopen(address, timeout=60).read()
        except OSError as error:
            raise RuntimeError(
                f"cannot fetch recordings of people from {address} ({error}). Fetch them on another machine, and give "
                "the folder with --people FOLDER"
            ) from error
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(cache / "people", filter="data")
    return folder


def convert(samples: np.ndarray, pitch: float, formants: float, tempo: float, melody: float) -> np.ndarray:
    """Give a voice another pitch (Hz, median), vocal tract (ratio of formants), tempo and liveliness, with Praat."""
    import parselmouth

    sound = parselmouth.Sound(np.pad(samples / 32767.0, 1600), SAMPLE_RATE)
    changed = parselmouth.praat.call(sound, "Change gender", 75, 500, formants, pitch, melody, 1 / tempo)
    if np.abs(changed.values).max() < 1e-3:  # Praat found no pitch at all, and says so with silence
        return samples
    return tidy(changed.values[0].astype(np.float32), "a converted voice")


def altered_copies(name: str, speaker: Speaker, copies: int, takes: int, seed: int, cache: Path) -> list[Speaker]:
    """Copies of a speaker with another pitch, vocal tract, tempo and melody; ``takes`` takes of each digit (cached)."""
    rng = np.random.default_rng([seed, *name.encode()])
    jobs = []
    for _ in range(copies):
        pitch = float(np.exp(rng.uniform(np.log(85), np.log(270))))
        formants = float(np.clip((pitch / 140) ** 0.2 * np.exp(rng.normal(0, 0.07)), 0.8, 1.27))
        change = (pitch, formants, float(rng.uniform(0.72, 1.3)), float(rng.uniform(0.5, 1.6)))
        jobs += [(digit, int(rng.integers(len(speaker[digit]))), change) for digit in range(10) for _ in range(takes)]

    def make() -> list[np.ndarray]:
        return [convert(speaker[digit][take], *change) for digit, take, change in tqdm(jobs, desc=f"altering {name}")]

    clips = iter(cached(cache, f"altered-{name}", jobs, make))
    return [[[next(clips) for _ in range(takes)] for _ in range(10)] for _ in range(copies)]


# ------------------------------------------------------------------------------------------------ all together


@dataclass
class Bank:
    """Everything that `compose` puts clips together from.

    Attributes
    ----------
    speakers : dict
        ``"people"``, ``"festival"``, ``"espeak-ng"`` -> speakers.
    phrases : dict
        The same keys -> digits, and the same digits spoken in one go, shortest first. People's words have none.
    others : list of numpy.ndarray
        Speech that is no digit.
    """

    speakers: dict[str, list[Speaker]]
    phrases: dict[str, list[Phrase]]
    others: list[np.ndarray]


def record_espeak(voices: int, phrases: int, seed: int, cache: Path, **held_out: bool) -> tuple[list, list]:
    """Let ``voices`` voices say the ten digits once, and ``phrases`` further ones a string of two to six digits.

    ``held_out`` goes to `draw_voice`. Returns speakers, and phrases sorted by length.
    """
    rng = np.random.default_rng(seed)
    voices = [draw_voice(rng, **held_out) for _ in range(voices)]
    jobs = [(voice.spelling(d) + voice.ending, voice) for voice in voices for d in range(10)]
    strings = []
    for _ in range(phrases):
        voice = draw_voice(rng, **held_out)
        strings.append(draw_digits(rng))
        between = str(rng.choice([" ", " ", ", "]))
        jobs.append((between.join(voice.spelling(d) for d in strings[-1]), voice))
    clips = speak_all(jobs, "espeak-ng", cache)
    speakers = [[[clip] for clip in clips[10 * v : 10 * v + 10]] for v in range(len(voices))]
    return speakers, by_length(zip(strings, clips[10 * len(voices) :], strict=True))


def by_length(phrases: Iterable[Phrase]) -> list[Phrase]:
    return sorted(phrases, key=lambda phrase: len(phrase[1]))


def record_festival(phrases: int, seed: int, cache: Path) -> tuple[dict[str, Speaker], list[Phrase]]:
    """Let each of festival's voices say the ten digits at four speeds, and ``phrases`` strings."""
    rng = np.random.default_rng(seed)
    speeds = (0.75, 0.95, 1.15, 1.4)
    speakers, spoken = {}, []
    for voice, spelling in FESTIVAL.items():
        strings = [draw_digits(rng) for _ in range(phrases)]
        texts = [(word, slower) for word in spelling.split() for slower in speeds]
        between = [str(rng.choice([" ", " ", ", "])) for _ in strings]
        for digits, gap in zip(strings, between, strict=True):
            texts.append((gap.join(spelling.split()[d] for d in digits), float(rng.uniform(0.75, 1.35))))
        clips = cached(cache, voice, (voice, texts), lambda v=voice, t=texts: speak_festival(v, t))
        speakers[voice] = [clips[4 * d : 4 * d + 4] for d in range(10)]
        spoken += zip(strings, clips[40:], strict=True)
    return speakers, by_length(spoken)


def record_others(words: tuple[str, ...], voices: int, seed: int, cache: Path, **held_out: bool) -> list[np.ndarray]:
    """Words that are no digits, by espeak-ng: each of ``voices`` voices says three of them."""
    rng = np.random.default_rng(seed)
    jobs = []
    for _ in range(voices):
        voice = draw_voice(rng, **held_out)
        jobs += [(str(word), voice) for word in rng.choice(words, 3, replace=False)]
    return speak_all(jobs, "other words", cache)


def prompts(cache: Path, languages: tuple[str, ...]) -> list[np.ndarray]:
    """Telephone prompts of 0.4 to 6 s by people, without those that are numbers (cached)."""
    files = [f for language in languages for f in sorted(PROMPTS.glob(f"{language}_*/*.wav"))]
    files = [f for f in files if 0.4 < soundfile.info(f).duration < 6 and not f.stem.startswith(("beep", "silence"))]
    return cached(cache, "prompts", [str(f) for f in files], lambda: [read_sound(f) for f in files])


def record_bank(seed: int, cache: Path) -> Bank:
    """The synthetic voices, and what is no digit; `with_people` adds people."""
    festival, festival_phrases = record_festival(60, seed, cache)
    espeak, espeak_phrases = record_espeak(1500, 3000, seed, cache)
    altered = [copy for name in festival for copy in altered_copies(name, festival[name], 6, 3, seed, cache)]
    return Bank(
        {"people": [], "festival": list(festival.values()) * 2 + altered, "espeak-ng": espeak},
        {"people": [], "festival": festival_phrases, "espeak-ng": espeak_phrases},
        record_others(OTHER_WORDS, 500, seed, cache) + prompts(cache, ("es", "fr", "it", "ru")),
    )


def with_people(bank: Bank, people: dict[str, Speaker], seed: int, cache: Path) -> Bank:
    """The same bank, in which these people speak too; every third clip of theirs is as recorded."""
    altered = [copy for name in people for copy in altered_copies(name, people[name], 24, 6, seed, cache)]
    return replace(bank, speakers={**bank.speakers, "people": list(people.values()) * 12 + altered})
