"""read_audio and the built-in clips: what comes out, and what bad input gets."""

from __future__ import annotations

import io
import shutil
import subprocess

import numpy as np
import pytest
import soundfile
import torch

from tools import make_clips
from w2vlearn.audio import MissingAudioError, example, example_clips, read_audio

RATE = 16_000


def tone(seconds: float = 1.0, rate: int = RATE, hertz: float = 440.0, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.stack([wave] * channels, axis=1).astype("float32")


@pytest.fixture
def write(tmp_path):
    def write(samples, rate=RATE, name="clip.wav", **kwargs):
        soundfile.write(tmp_path / name, samples, rate, **kwargs)
        return tmp_path / name

    return write


def refused(error, path, *words, **kwargs):
    """The message of the refusal, which must contain every word."""
    with pytest.raises(error) as caught:
        read_audio(path, **kwargs)
    message = str(caught.value)
    for word in words:
        assert word in message, message
    assert type(caught.value).__module__ in ("builtins", "w2vlearn.audio")  # ours, not soundfile's or soxr's
    return message


# ---------------------------------------------------------------- what comes out


@pytest.mark.parametrize("subtype, step", [("PCM_16", 2.0**-15), ("PCM_24", 2.0**-23), ("FLOAT", 0.0)])
def test_a_wav_at_16_khz_arrives_sample_for_sample(write, subtype, step):
    samples = tone()[:, 0]
    clip = read_audio(write(samples, subtype=subtype))
    assert clip.shape == (16_000,)
    assert clip.dtype == torch.float32
    assert (clip - torch.from_numpy(samples)).abs().max() <= step


@pytest.mark.parametrize(
    "name, format, tolerance", [("a.flac", "FLAC", 1e-4), ("a.ogg", "OGG", 0.02), ("a.mp3", "MP3", 0.02)]
)
def test_other_formats_sound_the_same(write, name, format, tolerance):
    samples = tone(2.0)[:, 0]
    clip = read_audio(write(samples, name=name, format=format))
    assert len(clip) == len(samples)
    middle = slice(4_000, 28_000)  # lossy coders ring at the ends
    assert (clip[middle] - torch.from_numpy(samples)[middle]).abs().max() < tolerance


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_time_and_pitch(write, rate):
    clip = read_audio(write(tone(2.0, rate), rate))
    assert len(clip) == 32_000
    middle = slice(2_000, 30_000)
    expected = torch.from_numpy(tone(2.0)[:, 0])
    assert (clip[middle] - expected[middle]).abs().max() < 1e-3  # a shift of one sample would be 0.09


def test_another_rate_can_be_asked_for(write):
    assert len(read_audio(write(tone(1.0)), sample_rate=8_000)) == 8_000


def test_channels_are_averaged(write):
    left, right = tone(0.1)[:, 0], np.full(1_600, 0.25, dtype="float32")
    clip = read_audio(write(np.stack([left, right], axis=1), subtype="FLOAT"))
    assert torch.equal(clip, torch.from_numpy((left + right) / 2))


def test_channels_that_cancel_are_silence(write):
    left = tone(0.1)[:, 0]
    assert not read_audio(write(np.stack([left, -left], axis=1), subtype="FLOAT")).any()


def test_nothing_is_normalised_or_clipped(write):
    loud = 3 * tone(0.1)[:, 0] + 0.5
    assert torch.equal(read_audio(write(loud, subtype="FLOAT")), torch.from_numpy(loud))


def test_one_sample_is_read(write):
    assert read_audio(write(np.array([0.5], dtype="float32"), subtype="FLOAT")).tolist() == [0.5]


def test_the_content_counts_not_the_name(write, tmp_path):
    right = read_audio(write(tone(0.1)))
    for name in ("clip.mp3", "clip.raw", "clip", "ein Ton, größer.wav"):
        shutil.copy(tmp_path / "clip.wav", tmp_path / name)
        assert torch.equal(read_audio(tmp_path / name), right), name
    assert torch.equal(read_audio(str(tmp_path / "clip.wav")), right)


def test_the_result_is_the_callers_own(write):
    path = write(tone(0.1))
    read_audio(path).zero_()
    assert read_audio(path).any()


# ---------------------------------------------------------------- what bad input gets


def test_missing_file(tmp_path):
    message = refused(ValueError, tmp_path / "nowhere.wav", "nowhere.wav", "no such file", "Check")
    assert str(tmp_path) in message
    with pytest.raises(FileNotFoundError):
        read_audio(tmp_path / "nowhere.wav")
    assert issubclass(MissingAudioError, ValueError)


def test_directory(tmp_path):
    refused(ValueError, tmp_path, "a directory", "one file")


def test_empty_file(tmp_path):
    (tmp_path / "empty.wav").touch()
    refused(ValueError, tmp_path / "empty.wav", "empty, 0 bytes", "WAV, FLAC, OGG or MP3")


@pytest.mark.parametrize(
    "content", [b"hello, I am a text\n" * 100, bytes(5_000), b"RIFF", b"fLaC" + bytes(50), b"\xff" * 999]
)
def test_not_audio(tmp_path, content):
    (tmp_path / "notes.wav").write_bytes(content)
    refused(ValueError, tmp_path / "notes.wav", "notes.wav", "wanted", "WAV, FLAC, OGG or MP3")


def test_damaged_file(write, tmp_path):
    whole = write(tone(2.0), name="whole.flac").read_bytes()
    (tmp_path / "half.flac").write_bytes(whole[:200] + bytes(len(whole) - 200))
    refused(ValueError, tmp_path / "half.flac", "half.flac", "damaged")


def test_zero_length(write):
    refused(ValueError, write(np.zeros((0, 1), dtype="float32")), "zero length", "at least one sample")


def test_shorter_than_one_sample_after_resampling(write):
    refused(ValueError, write(np.zeros((1, 1), dtype="float32"), rate=96_000), "less than one sample")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_nan_and_infinity(write, bad, rate):
    samples = tone(0.1, rate)[:, 0]
    samples[[700, 900]] = bad
    refused(ValueError, write(samples, rate, subtype="FLOAT"), "2 of", "NaN or infinite", "number 700")


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_absurd_rate_in_the_file(write, rate, tmp_path):
    raw = bytearray(write(tone(0.1)).read_bytes())
    raw[24:28] = rate.to_bytes(4, "little")  # the sample rate field of a WAV header
    (tmp_path / "absurd.wav").write_bytes(raw)
    refused(ValueError, tmp_path / "absurd.wav", "absurd.wav", f"{rate} samples per second", "1000 to 768000")


@pytest.mark.parametrize("rate", [0, -16_000, 16, 10**9])
def test_absurd_rate_asked_for(write, rate):
    refused(ValueError, write(tone(0.1)), "sample_rate", str(rate), "1000 to 768000", sample_rate=rate)


@pytest.mark.parametrize("rate", ["16000", 16_000.0, None, True])
def test_a_rate_that_is_no_integer(write, rate):
    refused(TypeError, write(tone(0.1)), "sample_rate", repr(rate), "whole number", sample_rate=rate)


@pytest.mark.parametrize("path", [None, 3, b"clip.wav", io.BytesIO(b""), torch.zeros(400)])
def test_not_a_path(path):
    refused(TypeError, path, "path of a sound file", type(path).__name__)


# ---------------------------------------------------------------- the built-in clips


def test_the_clips_are_short_speech_at_16_khz():
    clips = example_clips()
    assert list(clips) == sorted(make_clips.CLIPS)
    for name, path in clips.items():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16"), name
        clip = example(name)
        assert 1.0 <= len(clip) / RATE <= 4.0, name
        assert 0.02 < clip.std() < 0.5, name  # neither silence nor noise at full scale
        assert clip.abs().max() < 0.99, name  # not clipped
        assert path.stat().st_size < 80_000, name


def test_the_clips_have_different_lengths():
    lengths = [len(example(name)) for name in example_clips()]
    assert len(set(lengths)) == len(lengths) == 6


def test_the_readme_beside_the_clips_tells_their_lengths_and_words():
    readme = (make_clips.FOLDER / "README.md").read_text(encoding="utf-8")
    for name, (voice, _, _, text) in make_clips.CLIPS.items():
        samples = len(example(name))
        assert f"| `{name}.flac` | {voice} | {text} | {samples} | {samples / RATE:.2f} |" in readme


@pytest.mark.parametrize("name", ["Digits", "", None, ["digits"]])
def test_an_unknown_clip(name):
    with pytest.raises(ValueError, match="digits, hello") as caught:
        example(name)
    assert repr(name) in str(caught.value)


def test_the_tool_makes_the_same_bytes(tmp_path):
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed: cannot make the clips again")
    version = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True).stdout
    if "1.51" not in version:
        pytest.skip(f"the clips were made with espeak-ng 1.51, here is {version.strip()}")
    for name, path in make_clips.make_clips(tmp_path).items():
        assert path.read_bytes() == example_clips()[name].read_bytes(), name
