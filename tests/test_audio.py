"""read_audio, AudioStream and the built-in clips: what comes out, and what odd, cut and bad input gets."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import warnings

import numpy as np
import pytest
import soundfile
import soxr
import torch

from tools import make_clips
from w2vlearn import audio
from w2vlearn.audio import AudioStream, AudioWarning, MissingAudioError, example, example_clips, read_audio

RATE = 16_000
FORMATS = ("WAV", "FLAC", "OGG", "MP3")


def tone(seconds: float = 1.0, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype("float32")


@pytest.fixture
def write(tmp_path):
    def write(content, rate=RATE, name="clip.wav", **kwargs):
        """Samples as a sound file, or bytes as they are."""
        if isinstance(content, (bytes, bytearray)):
            (tmp_path / name).write_bytes(content)
        else:
            soundfile.write(tmp_path / name, content, rate, **kwargs)
        return tmp_path / name

    return write


def refused(error, path, *words):
    """The message of the refusal, the same from read_audio and from a stream; it must contain every word."""
    messages = []
    for read in (read_audio, lambda path: list(AudioStream(path))):
        with pytest.raises(error) as caught:
            read(path)
        assert type(caught.value).__module__ in ("builtins", "w2vlearn.audio")  # ours, not soundfile's or soxr's
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    for word in words:
        assert word in messages[0], messages[0]
    assert "object at 0x" not in messages[0] and "_Content" not in messages[0]
    return messages[0]


# ---------------------------------------------------------------- what comes out


@pytest.mark.parametrize(
    "format, subtype, tolerance",
    [("WAV", "PCM_16", 2.0**-15), ("WAV", "PCM_24", 2.0**-23), ("WAV", "FLOAT", 0.0),
     ("FLAC", None, 2.0**-15), ("OGG", None, 0.04), ("MP3", None, 0.04)],
)  # fmt: skip
def test_a_file_at_16_khz_arrives_sample_for_sample_but_for_lossy_coders(write, format, subtype, tolerance):
    samples = 1.9 * tone(2.0)  # nothing is normalised
    clip = read_audio(write(samples, name="clip", format=format, subtype=subtype))
    assert clip.shape == (32_000,) and clip.dtype == torch.float32
    part = slice(4_000, 28_000) if tolerance > 0.01 else slice(None)  # lossy coders ring at the ends
    assert (clip[part] - torch.from_numpy(samples)[part]).abs().max() <= tolerance


@pytest.mark.parametrize("rate", [16, 10**6, 16_000.0, True, None])
def test_a_stream_refuses_what_is_no_sample_rate(write, rate):
    with pytest.raises(ValueError, match=f"whole number of samples per second.*got {rate}.*kHz"):
        AudioStream(write(tone(0.1)), rate)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_time_and_pitch_whatever_the_blocks(write, monkeypatch, rate):
    samples = tone(2.0, rate)
    path = write(samples, rate, subtype="FLOAT")
    clip = read_audio(path)
    assert len(clip) == 32_000 and len(torch.cat(list(AudioStream(path, 8_000)))) == 16_000
    expected = torch.from_numpy(tone(2.0))[2_000:30_000]
    assert (clip[2_000:30_000] - expected).abs().max() < 1e-3  # a shift of one sample would be 0.09
    if rate != RATE:
        assert torch.equal(clip, torch.from_numpy(soxr.resample(samples, rate, RATE, quality="HQ")))
    monkeypatch.setattr(audio, "_BLOCK_S", 0.0371)
    stream = AudioStream(path)
    for _ in range(2):  # as often as you like
        blocks = list(stream)
        assert torch.equal(torch.cat(blocks), clip) and max(map(len, blocks)) < 3_000
    assert stream.notes == []


def test_channels_are_averaged(write):
    left, right = tone(0.1), np.full(1_600, 0.25, dtype="float32")
    clip = read_audio(write(np.stack([left, right], axis=1), subtype="FLOAT"))
    assert torch.equal(clip, torch.from_numpy((left + right) / 2))
    assert not read_audio(write(np.stack([left, -left], axis=1), subtype="FLOAT")).any()
    assert read_audio(write(np.array([0.5], dtype="float32"), subtype="FLOAT")).tolist() == [0.5]  # one sample


def test_the_content_counts_not_the_name(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    expected = read_audio(write(tone(0.1)))
    for name in ("clip.mp3", "clip.raw", "clip.RAW", "clip", "ein Ton, größer.wav"):
        shutil.copy(tmp_path / "clip.wav", tmp_path / name)
        for path in (tmp_path / name, str(tmp_path / name), f"~/{name}"):
            assert torch.equal(read_audio(path), expected), path
    refused(ValueError, "~nobody-of-that-name/clip.wav", "no such home folder")


# ---------------------------------------------------------------- cut and odd files


def read_with_notes(path):
    """The clip and the notes about it, the same from read_audio and from a stream."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clip = read_audio(path)
    stream = AudioStream(path)
    assert torch.equal(torch.cat(list(stream)), clip)
    assert [str(warning.message) for warning in caught] == [f"{path}: {note}" for note in stream.notes]
    assert all(warning.category is AudioWarning and warning.filename == __file__ for warning in caught)
    return clip, stream.notes


@pytest.mark.parametrize("seconds", [3.0, 35.0])
@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_was_cut_says_so_and_a_whole_one_says_nothing(write, format, seconds):
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype("float32")
    whole = write(noise, name="whole", format=format)
    clip, notes = read_with_notes(whole)
    assert len(clip) == RATE * seconds and notes == []
    data = whole.read_bytes()
    if format == "MP3":  # with the picture of a cover before it: 20,000 bytes, 7 bits to a byte
        cover = b"ID3\x03\0\0\0\x01\x1c\x20" + bytes(20_000)
        assert read_with_notes(write(cover + data, name="with_cover"))[1] == []
    cut = write(data[: len(data) * 4 // 5], name="cut")
    if format == "FLAC":  # its last frame cannot be decoded
        message = refused(ValueError, cut, "damaged", "decoder lost sync")
        assert ("after 20.00 s" in message) == (seconds > 30)
        return
    clip, (note,) = read_with_notes(cut)
    assert 0.55 * seconds < len(clip) / RATE < 0.9 * seconds
    assert f"{len(clip) / RATE:.2f} s were read" in note and "probably cut" in note
    assert "no end mark" in note if format == "OGG" else f"header says {seconds:.2f} s" in note


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF])
def test_a_wav_or_flac_whose_length_was_never_filled_in_is_read_to_its_end(write, size):
    data = bytearray(write(tone(2.1)).read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = size.to_bytes(4, "little")
    data[at - 4 : at - 4] = b"LIST" + (5).to_bytes(4, "little") + b"data?\0"  # a chunk of odd size has a byte more
    clip, notes = read_with_notes(write(data, name="streamed.wav"))
    assert (clip - torch.from_numpy(tone(2.1))).abs().max() <= 2.0**-15
    assert notes == ([] if size else ["its header says 0 samples, 2.10 s were read"])  # all ones mean "unknown"
    for seconds in (2.1, 35.0):
        data = bytearray(write(tone(seconds), name="clip.flac").read_bytes())
        data[21] &= 0xF0  # 36 bits: how many samples
        data[22:26] = bytes(4)
        clip, notes = read_with_notes(write(data, name="streamed.flac"))
        assert (clip - torch.from_numpy(tone(seconds))).abs().max() <= 2.0**-15 and notes == []


@pytest.mark.parametrize("before", [bytes(1000), b"GET / HTTP/1.1 200 OK\r\n\r\n" * 9], ids=["zeros", "text"])
def test_something_before_the_first_frame_of_an_mp3(write, before):
    data = write(tone(2.0), name="clip.mp3").read_bytes()
    path = write(before + data, name="later.mp3")
    clip, notes = read_with_notes(path)
    theirs, _ = soundfile.read(path, dtype="float32")
    torch.testing.assert_close(clip, torch.from_numpy(theirs), rtol=0, atol=1e-6)
    assert notes == []


@pytest.mark.parametrize("id3", [b"", b"ID3\x03\0\0\0\0\x04\x00" + bytes(512)], ids=["", "ID3"])
@pytest.mark.parametrize("bitrate_mode, loud_first", [("CONSTANT", True), ("VARIABLE", False), ("VARIABLE", True)])
def test_an_mp3_that_does_not_tell_its_length(write, bitrate_mode, loud_first, id3):
    """As a radio sends it: the decoder guesses from the first frame's bit rate, and stops where it guesses the end."""
    loud = 0.2 * np.random.default_rng(0).standard_normal(RATE * 4).astype("float32")
    samples = np.concatenate([loud, 0 * loud] if loud_first else [0 * loud, loud])
    data = write(samples, name="a.mp3", bitrate_mode=bitrate_mode, compression_level=0.5).read_bytes()
    clip, notes = read_with_notes(write(id3 + data[data.index(data[:2], 100) :], name="radio.mp3"))
    complete = abs(len(clip) - len(samples)) < 3 * 1152
    assert complete == (bitrate_mode == "CONSTANT" or not loud_first)
    assert f"the decoder guessed it, and {len(clip) / RATE:.2f} s were read" in notes[0] and "ffmpeg" in notes[0]


# ---------------------------------------------------------------- what bad input gets


def test_what_is_no_file(tmp_path, write):
    refused(ValueError, tmp_path / "nowhere.wav", str(tmp_path / "nowhere.wav"), "no such file", "Check")
    with pytest.raises(FileNotFoundError):
        read_audio(tmp_path / "nowhere.wav")
    assert issubclass(MissingAudioError, ValueError)
    refused(ValueError, tmp_path, "a directory", "one file")
    refused(ValueError, write(tone(0.1)) / "inside", "no such file")
    refused(ValueError, tmp_path / ("x" * 300), "cannot be opened")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused(ValueError, tmp_path / "pipe", "a pipe")
    for url in ("https://example.org/a.wav", "file:///a.wav", "HTTP://example.org/a.wav", "s3://a/b.wav"):
        refused(ValueError, url, url, "a URL", "Download it first")
    assert "a URL" not in refused(ValueError, "C:/clip.wav", "no such file")
    for path in (None, 3, b"clip.wav", io.BytesIO(b""), torch.zeros(400)):
        refused(TypeError, path, "wants the path of a file", type(path).__name__)


@pytest.mark.parametrize("name", ["notes.wav", "notes.mp3", "notes.raw"])
def test_not_audio(write, name):
    for data in (b"hello, I am a text\n" * 100, bytes(5_000), b"RIFF", b"fLaC" + bytes(50), b"\xff" * 999):
        refused(ValueError, write(data, name=name), name, "not audio", "wanted", "WAV, FLAC, OGG or MP3")
    refused(ValueError, write(b"", name=name), "empty, 0 bytes", "WAV, FLAC, OGG or MP3")
    whole = write(tone(2.0), name="whole.flac").read_bytes()
    refused(ValueError, write(whole[:200] + bytes(len(whole) - 200), name=name), name, "damaged")
    refused(ValueError, write(np.zeros((0, 1), dtype="float32")), "zero length", "at least one sample")
    refused(ValueError, write(np.zeros((1, 1), dtype="float32"), rate=96_000), "less than one sample")


@pytest.mark.parametrize(
    "bad, rate, seconds, first",
    [(np.nan, 16_000, 0.1, 700), (np.inf, 44_100, 0.1, 700), (-np.inf, 16_000, 0.1, 0), (np.nan, 8_000, 31.0, 200_007)],
)
def test_nan_and_infinity(write, bad, rate, seconds, first):
    samples = tone(seconds, rate)
    samples[[first, first + 1]] = bad
    refused(ValueError, write(samples, rate, subtype="FLOAT"), "NaN or infinite", f"number {first}", str(bad))


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_absurd_rates(write, rate):
    data = bytearray(write(tone(0.1)).read_bytes())
    data[24:28] = rate.to_bytes(4, "little")  # the sample rate field of a WAV header
    refused(ValueError, write(data, name="absurd.wav"), f"{rate} samples per second", "1000 to 768000")


# ---------------------------------------------------------------- the built-in clips


def test_the_clips_are_short_speech_at_16_khz_as_their_readme_says():
    clips = example_clips()
    assert list(clips) == sorted(make_clips.CLIPS)
    readme = (make_clips.FOLDER / "README.md").read_text(encoding="utf-8")
    for name, path in clips.items():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16"), name
        clip = example(name)
        assert 1.0 <= len(clip) / RATE <= 4.0, name
        assert 0.02 < clip.std() < 0.5 and clip.abs().max() < 0.99, name  # neither silence nor noise, not clipped
        assert path.stat().st_size < 80_000, name
        voice, _, _, text = make_clips.CLIPS[name]
        assert f"| `{name}.flac` | {voice} | {text} | {len(clip)} | {len(clip) / RATE:.2f} |" in readme
    assert len({len(example(name)) for name in clips}) == len(clips) == 6


@pytest.mark.parametrize("name", ["Digits", "", None, ["digits"]])
def test_an_unknown_clip(name):
    with pytest.raises(ValueError, match=rf"{re.escape(repr(name))}.*digits, hello.*read_audio"):
        example(name)


def test_the_tool_makes_the_same_bytes(tmp_path):
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed: cannot make the clips again")
    version = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True).stdout
    if "1.51" not in version:
        pytest.skip(f"the clips were made with espeak-ng 1.51, here is {version.strip()}")
    for name, path in make_clips.make_clips(tmp_path).items():
        assert path.read_bytes() == example_clips()[name].read_bytes(), name
