"""Your own voice: record with the browser's microphone, upload a sound file, or take a built-in clip; mono, 16 kHz."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import torch
import traitlets
from torch import Tensor

from w2vlearn.audio import SAMPLE_RATE, example, example_clips, read_audio
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.widgets.still import StillPicture, as_html, front_end

__all__ = ["Recorder", "record"]

LONGEST_S = 30  # the recording stops by itself
SILENT, QUIET = 1e-3, 0.05  # loudest sample, of 1: below the first a microphone is muted
CLIPPED, IN_A_ROW = 0.99, 3  # so many samples in a row at the limit: the sound was louder than it can be written
_GEOMETRY = FrameGeometry.from_config(Wav2Vec2Config.base())


class Recorder(StillPicture, anywidget.AnyWidget):
    """A record button, a file input and a choice of built-in clips; make one with `record`.

    Attributes
    ----------
    waveform : Tensor
        What was recorded, uploaded or chosen last. Shape: (L,), float32, mono, 16 000 samples per second. The built-in
        clip until then.
    source : str
        ``"microphone"``, the file's name, or the clip's name.
    status : str
        What there is and how loud it is, or what went wrong, in words. Also shown below the controls.
    version : int
        Counts what arrived: ``recorder.observe(callback, "version")``.
    """

    _esm = front_end("recorder")
    _css = Path(__file__).parent / "controls.css"
    still_line = "Run this lesson to speak to it."
    html = traitlets.Unicode("").tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)
    problem = traitlets.Bool(False).tag(sync=True)
    clips = traitlets.List(traitlets.Unicode()).tag(sync=True)
    clip = traitlets.Unicode("").tag(sync=True)
    longest_s = traitlets.Int(LONGEST_S).tag(sync=True)
    source = traitlets.Unicode("")
    version = traitlets.Int(0)

    def __init__(self, clip: str = "digits", draw: Callable[[Tensor], Any] | None = None):
        super().__init__()
        self.clips = list(example_clips())
        self._draw, self._drawn = draw, ""
        self._parts: list[bytes] = []
        self.waveform: Tensor = torch.empty(0)
        self.use(example(clip), clip)
        self.clip = clip
        self.on_msg(self._on_message)

    @property
    def text(self) -> str:
        """The same in words: what a screen reader, a test or a plain terminal gets."""
        return f"recorder: {self.status}" + (f"\n{self._drawn}" if self._drawn else "")

    def still_html(self) -> str:
        """What there is, and what was drawn of it."""
        return f"<p>{escape(self.status)}</p>{self.html}"

    def __repr__(self) -> str:
        return self.text

    def use(self, waveform: Tensor, source: str, rate: int = SAMPLE_RATE) -> None:
        """Take this waveform as what was recorded, and draw it.

        Parameters
        ----------
        waveform : Tensor
            Shape: (n,), float32, ``rate`` samples per second.
        source : str
            Where it comes from, in a word.
        rate : int
            Samples per second of ``waveform``, and of the file or microphone before that.

        Raises
        ------
        ValueError
            If there is nothing in it, or NaN or infinity.
        """
        if not len(waveform):
            raise ValueError(f"{source}: nothing arrived, 0 samples. Record for at least a second")
        if not bool(torch.isfinite(waveform).all()):
            raise ValueError(f"{source}: NaN or infinity among the samples. Record again")
        if rate != SAMPLE_RATE:
            import soxr

            resampled = soxr.resample(waveform.numpy(), rate, SAMPLE_RATE, quality="HQ")
            waveform = torch.from_numpy(resampled.astype("float32", copy=True))
        frames = _GEOMETRY.frame_count(len(waveform))
        if not frames:
            raise ValueError(
                f"{source}: {len(waveform)} samples are too short for a frame, which needs "
                f"{_GEOMETRY.receptive_field} (25 ms)"
            )
        self.waveform, self.source = waveform, source
        words = f"{source}, {len(waveform) / SAMPLE_RATE:.2f} s, {len(waveform)} samples at 16 kHz, T = {frames} frames"
        if rate != SAMPLE_RATE:
            words += f" (resampled from {rate} Hz)"
        self._say(f"{words}. {_loudness(waveform)}", problem=False)
        try:
            self._redraw()
        finally:
            self.version += 1

    def _redraw(self) -> None:
        if self._draw is None:
            return
        try:
            drawn = self._draw(self.waveform)
        except Exception:
            self._drawn = self.html = ""  # never the picture of another sound
            raise
        self._drawn, self.html = str(drawn), as_html(drawn)

    def _say(self, words: str, problem: bool) -> None:
        with self.hold_sync():
            self.status, self.problem = words, problem

    def _refuse(self, words: str) -> None:
        self._say(f"{words.rstrip('. ')}. What you have is still: {self.source}.", problem=True)

    def _on_message(self, _, content: dict, buffers: list) -> None:
        """From the front end: a part of a file or of a recording (buffer attached), or the name of a clip."""
        try:
            if content.get("kind") == "problem":
                self._refuse(str(content.get("words", "")))
            elif content.get("kind") == "clip":
                self.use(example(content.get("name")), content["name"])
            elif content.get("kind") in ("file", "pcm"):
                self._take_part(content, buffers)
        except Exception as error:  # say it, keep what was there before: nobody sees what a callback raises
            self._parts = []
            self._refuse(str(error) or type(error).__name__)
        if not self._parts:
            self.answered += 1

    def _take_part(self, content: dict, buffers: list) -> None:
        # In parts, because a message of more than 10 MB is lost on its way to the kernel without a word.
        part, parts = int(content["part"]), int(content["parts"])
        if part == 0:
            self._parts = []
        if part != len(self._parts):
            raise ValueError("a part of the recording was lost on its way; record or choose the file again")
        self._parts.append(bytes(buffers[0]) if buffers else b"")
        if part + 1 < parts:
            return
        data, self._parts = b"".join(self._parts), []
        if content["kind"] == "pcm":
            samples = torch.frombuffer(bytearray(data), dtype=torch.float32) if data else torch.empty(0)
            self.use(samples, "microphone", int(content["rate"]))
        else:
            name = Path(str(content.get("name") or "file")).name
            self.use(read_upload(data, name), name)


def read_upload(data: bytes, name: str) -> Tensor:
    """Decode a sound file that is not on this disk; errors name it as its owner knows it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"upload{Path(name).suffix}"
        path.write_bytes(data)
        try:
            return read_audio(path)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), name)) from None


def _loudness(waveform: Tensor) -> str:
    """How loud a recording is, and what to do if it is too quiet or too loud."""
    loudest = float(waveform.abs().max())
    if loudest < SILENT:
        return f"It is silent (loudest sample {loudest:.5f} of 1): is the microphone muted?"
    loud = (waveform.abs() >= CLIPPED).unfold(0, IN_A_ROW, 1).all(1)  # (L - 2,)
    if loud.any():
        return (
            f"It is clipped: {int(loud.sum()) + IN_A_ROW - 1} samples or more stand at the limit, {loudest:.2f} of 1. "
            "Speak more softly, or farther from the microphone."
        )
    advice = " It is quiet: go nearer to the microphone." if loudest < QUIET else ""
    return f"Loudest sample {loudest:.2f} of 1, not clipped.{advice}"


def record(clip: str = "digits", draw: Callable[[Tensor], Any] | None = None) -> Recorder:
    """Controls to record or upload a clip of your own. Show the result in a cell, speak, and read ``.waveform``.

    Parameters
    ----------
    clip : str
        The built-in clip that is there until you do; for computers without a microphone.
    draw : callable, optional
        Gets the waveform, shape (L,), whenever there is a new one; what it returns (a transcript, a figure of
        `w2vlearn.show`, or text) is shown below the controls: ``record(draw=lambda clip: transcribe(model, clip))``.

    Returns
    -------
    Recorder

    Raises
    ------
    ValueError
        If there is no built-in clip of that name.

    Notes
    -----
    Browsers give the microphone to pages from this computer (``localhost``) or over https only. The sound goes to
    your own kernel and nowhere else.
    """
    return Recorder(clip, draw)
