"""``listen("yes")``: a clip as a small player in the page, with a line of text beside it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from w2vlearn.audio import SAMPLE_RATE, example, example_clips, read_audio

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Player", "digits_clip", "listen"]

SPOKEN = {
    "digits": "three one four one five",
    "hello": "Hello, good to hear you",
    "longest": "The longest clip decides how many frames there are.",
    "padding": "Padding is not silence.",
    "question": "Who chose five hundred and twelve?",
    "yes": "yes please",
}


def digits_clip(name: str) -> Tensor:
    """One of the digit models' example clips, which training never heard. Shape: (L,), float32, 16 kHz."""
    with resources.as_file(resources.files("w2vlearn") / "data" / "digits_clips" / f"{name}.flac") as path:
        return read_audio(path)


@dataclass(frozen=True, repr=False)
class Player:
    """Sound in the page: HTML in Jupyter, one line of text elsewhere."""

    data: bytes  # of a sound file
    kind: str  # its format, as a MIME type has it: "wav", "flac"
    caption: str

    def __repr__(self) -> str:
        return f"♪ {self.caption}"

    def _repr_html_(self) -> str:
        source = f"data:audio/{self.kind};base64,{base64.b64encode(self.data).decode('ascii')}"
        return (
            f'<figure style="margin:4px 0"><audio controls src="{source}" aria-label="{escape(self.caption)}"></audio>'
            f"<figcaption>♪ {escape(self.caption)}</figcaption></figure>"
        )


def listen(clip: str | Tensor, caption: str = "") -> Player:
    """A player for one of the built-in clips (its FLAC file as it is), or for a waveform (as 16-bit WAV).

    Parameters
    ----------
    clip : str or Tensor
        A name from `w2vlearn.audio.example_clips`, or float samples at 16 kHz, shape (L,); values outside -1 … 1 are
        cut off, as any sound card does.
    caption : str
        What stands below it; made from the clip if empty.

    Raises
    ------
    ValueError
        If there is no such clip, or the waveform is not of shape (L,).
    """
    if isinstance(clip, str):
        clips = example_clips()
        if clip not in clips:
            raise ValueError(f"there is no built-in clip {clip!r}; there are {', '.join(clips)}")
        data, kind, what, samples = clips[clip].read_bytes(), "flac", f"“{SPOKEN.get(clip, clip)}”", len(example(clip))
    elif getattr(clip, "ndim", None) != 1:
        raise ValueError(f"listen takes one clip of shape (L,), found shape {tuple(getattr(clip, 'shape', ()))}")
    else:
        data, kind, what, samples = _wav(clip), "wav", "waveform", len(clip)
    return Player(data, kind, caption or f"{what} · {samples} samples · {samples / SAMPLE_RATE:.2f} s")


def _wav(clip: Tensor) -> bytes:
    import soundfile

    samples, file = (clip.detach().float().clamp(-1, 1) * 32767).round().short().cpu(), io.BytesIO()
    soundfile.write(file, samples.numpy(), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()
