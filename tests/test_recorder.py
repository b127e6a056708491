"""The recorder without a browser: what its front end would send, sent by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
import torch

from w2vlearn.audio import example
from w2vlearn.widgets import record


def tone(seconds, rate, hertz=440.0):
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype("float32")


def sound_file(samples, rate, format="WAV"):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format)
    return buffer.getvalue()


def deliver(recorder, kind, data, parts=1, **content):
    """Hand over bytes as the front end does, in ``parts`` messages with one buffer each."""
    size = -(-len(data) // parts)
    for part in range(parts):
        message = {"kind": kind, "part": part, "parts": parts} | content
        recorder._handle_custom_msg(message, [memoryview(data[part * size : (part + 1) * size])])


def test_a_built_in_clip_is_there_until_somebody_speaks():
    recorder = record()
    assert torch.equal(recorder.waveform, example("digits"))
    assert recorder.source == recorder.clip == "digits" and not recorder.problem
    assert recorder.text.startswith("recorder: digits, 2.10 s, 33628 samples at 16 kHz, T = 104 frames")
    assert repr(recorder) == recorder.text  # what a notebook stores as text/plain
    recorder._handle_custom_msg({"kind": "clip", "name": "yes"}, [])
    assert torch.equal(recorder.waveform, example("yes")) and torch.equal(record("yes").waveform, example("yes"))
    with pytest.raises(ValueError, match="no built-in clip 'nothing'"):
        record("nothing")


@pytest.mark.parametrize(("rate", "parts"), [(16_000, 1), (44_100, 5), (48_000, 1)])
def test_a_recording_becomes_mono_16_khz(rate, parts):
    recorder = record()
    heard = []
    recorder.observe(lambda change: heard.append(recorder.source), "version")
    deliver(recorder, "pcm", tone(1.0, rate).tobytes(), parts, rate=rate)
    assert heard == ["microphone"]
    assert recorder.waveform.dtype == torch.float32
    assert recorder.waveform.shape == (16_000,)
    inside = slice(1600, -1600)  # the resampler rings at the ends
    assert (recorder.waveform - torch.from_numpy(tone(1.0, 16_000)))[inside].abs().max() < 1e-3
    assert ("resampled" in recorder.status) == (rate != 16_000)
    assert not recorder.problem and "T = 49 frames" in recorder.status


def test_an_upload_of_any_kind():
    recorder = record()
    stereo = np.stack([tone(1.0, 8000), np.zeros(8000, "float32")], axis=1)
    deliver(recorder, "file", sound_file(stereo, 8000), 3, name="me.wav")
    assert recorder.source == "me.wav" and recorder.waveform.shape == (16_000,)
    assert recorder.waveform.abs().max() == pytest.approx(0.15, abs=0.01)  # the mean of both channels
    deliver(recorder, "file", sound_file(tone(0.5, 16_000), 16_000, "FLAC"), name="../../x.flac")
    assert recorder.source == "x.flac" and len(recorder.waveform) == 8000


@pytest.mark.parametrize(
    "kind, data, content, words",
    [
        ("file", b"not sound at all", {"name": "letter.txt"}, "letter.txt: not audio"),
        ("file", b"", {"name": "empty.wav"}, "empty.wav: empty, 0 bytes"),
        ("file", sound_file(tone(1, 16_000), 16_000)[:20], {"name": "cut.wav"}, "cut.wav: not audio"),
        ("file", sound_file(tone(0.01, 16_000), 16_000), {"name": "short.wav"}, "160 samples are too short"),
        ("pcm", b"", {"rate": 48_000}, "nothing arrived"),
        ("pcm", np.array([np.nan] * 9000, "float32").tobytes(), {"rate": 48_000}, "NaN"),
        ("pcm", tone(1, 48_000).tobytes()[:-1], {"rate": 48_000}, "buffer length"),
        ("pcm", b"1234", {"rate": 16_000, "part": 2, "parts": 3}, "lost on its way"),
        ("clip", b"", {"name": "nonsense"}, "no built-in clip"),
        ("problem", b"", {"words": "no microphone was found"}, "no microphone was found"),
    ],
)
def test_what_cannot_be_used_is_said_and_changes_nothing(kind, data, content, words):
    recorder = record()
    version = recorder.version
    deliver(recorder, kind, data, **content)
    assert recorder.problem and words in recorder.status and words in recorder.text
    assert recorder.status.endswith("What you have is still: digits.")
    assert "/tmp" not in recorder.status  # the file as its owner knows it
    assert torch.equal(recorder.waveform, example("digits")) and recorder.version == version
    deliver(recorder, "pcm", tone(1, 16_000).tobytes(), rate=16_000)
    assert not recorder.problem and recorder.source == "microphone"


@pytest.mark.parametrize(
    "gain, words",
    [
        (1.0, "Loudest sample 0.30 of 1, not clipped."),
        (0.1, "Loudest sample 0.03 of 1, not clipped. It is quiet: go nearer"),
        (3.3, "Loudest sample 0.99 of 1, not clipped."),  # one sample at the limit is a loud voice
        (6.0, "It is clipped: "),
        (1e-4, "It is silent (loudest sample 0.00003 of 1): is the microphone muted?"),
    ],
)
def test_it_says_how_loud_and_whether_it_clipped(gain, words):
    recorder = record()
    deliver(recorder, "pcm", np.clip(gain * tone(1, 16_000), -1, 1).tobytes(), rate=16_000)
    assert words in recorder.status and not recorder.problem


def test_what_is_drawn_follows_the_sound():
    recorder = record("yes", lambda clip: f"<{len(clip)}>")
    assert recorder.html == '<pre style="line-height:1.35;white-space:pre-wrap">&lt;16004&gt;</pre>'
    assert repr(recorder).endswith("\n<16004>")
    seen = []
    recorder.observe(lambda change: seen.append(recorder.html), "version")  # the picture is there before the callback
    deliver(recorder, "pcm", tone(0.5, 16_000).tobytes(), 3, rate=16_000)
    assert len(seen) == 1 and "8000" in seen[0] and recorder.answered == 1
    deliver(recorder, "file", b"no sound", name="letter.txt")
    assert "8000" in recorder.html and recorder.answered == 2
    assert recorder.status.endswith("What you have is still: microphone.")

    recorder = record("yes", lambda clip: 1 / (len(clip) - 8000))
    deliver(recorder, "pcm", tone(0.5, 16_000).tobytes(), rate=16_000)
    assert recorder.problem and "division by zero" in recorder.status and not recorder.html
    assert len(recorder.waveform) == 8000 and recorder.answered == 1


def test_who_only_reads_sees_what_was_drawn():
    still = record("yes", lambda clip: "YES & PLEASE")._repr_mimebundle_()[0]["text/html"]
    assert "YES &amp; PLEASE" in still and "Run this lesson to speak to it." in still and "yes, 1.00 s" in still
