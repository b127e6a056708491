"""What a model heard in a clip: text, words and characters with their times, and the frames behind them. Pure data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor

from w2vlearn.geometry import FrameGeometry
from w2vlearn.shown import Shown
from w2vlearn.transcription.ctc_decoding import Piece

__all__ = ["Transcript"]

_LISTED = 40  # words listed in the printed table; of more, the first ones


@dataclass(frozen=True)
class Transcript(Shown):
    """One clip's transcript. Print it, or show it in a notebook.

    Attributes
    ----------
    text : str
        What was heard; ``""`` for nothing.
    words, characters : tuple of Piece
        With ``text``, ``start_s``, ``end_s``, ``frames``, ``samples``, ``confidence``; each unpacks as
        ``text, start_s, end_s``. Separators are characters, written as a space.
    tokens : tuple of str
        The best token of each frame, ``""`` for the blank. Length: T, valid frames only.
    confidence : tuple of float
        Probability of that token. Length: T.
    envelope : Tensor
        Lowest and highest sample of each quarter of each frame's hop (5 ms), for pictures. Shape: (T, 4, 2), float32.
    samples : int
        L, valid samples only.
    geometry : FrameGeometry
        Frames to samples and seconds.
    notes : tuple of str
        What to know about it: silence, chunks, low confidence, a file that was cut.
    """

    text: str
    words: tuple[Piece, ...]
    characters: tuple[Piece, ...]
    tokens: tuple[str, ...]
    confidence: tuple[float, ...]
    envelope: Tensor = field(repr=False, compare=False)
    samples: int
    geometry: FrameGeometry
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """T, the valid frames."""
        return len(self.tokens)

    @property
    def duration_s(self) -> float:
        """Length of the clip in seconds, the unread tail included."""
        return self.samples / self.geometry.sample_rate

    @property
    def mean_confidence(self) -> float:
        """Mean confidence of the characters; NaN where there are none."""
        confidences = [piece.confidence for piece in self.characters if piece.text != " "]
        return sum(confidences) / len(confidences) if confidences else math.nan

    def to_dict(self) -> dict:
        """All but the envelope, as JSON holds it: times in seconds, a piece's frames as ``[start, end excluded]``."""

        def listed(pieces: tuple[Piece, ...]) -> list[dict]:
            return [
                {
                    "text": piece.text,
                    "start_s": piece.start_s,
                    "end_s": piece.end_s,
                    "frames": [piece.frames.start, piece.frames.stop],
                    "confidence": piece.confidence,
                }
                for piece in pieces
            ]

        return {
            "text": self.text,
            "words": listed(self.words),
            "characters": listed(self.characters),
            "tokens": list(self.tokens),
            "confidence": list(self.confidence),
            "samples": self.samples,
            "sample_rate": self.geometry.sample_rate,
            "notes": list(self.notes),
        }

    def figure(self, start_s: float = 0.0, end_s: float | None = None):
        """Waveform, frames and characters on one time axis: a `Picture` for a notebook.

        Parameters
        ----------
        start_s, end_s : float
            The part shown; default: the first 20 s.
        """
        return self._show("figure", start_s=start_s, end_s=end_s)

    def __str__(self):
        head = (
            f"{self.text or '(no words)'}\n\n{self.duration_s:.2f} s, {self.samples} samples, T = {self.frames} frames"
        )
        lines = [head, *(f"{note[0].upper()}{note[1:]}." for note in self.notes)]
        if self.words:
            width = max(len("word"), *(len(word.text) for word in self.words[:_LISTED]))
            lines += ["", f"{'word':<{width}}   start s     end s   frames       confidence"]
            for word in self.words[:_LISTED]:
                frames = f"{word.frames.start} to {word.frames.stop - 1}"
                lines.append(
                    f"{word.text:<{width}}  {word.start_s:8.3f}  {word.end_s:8.3f}   {frames:<12} {word.confidence:.2f}"
                )
            if len(self.words) > _LISTED:
                lines.append(f"… and {len(self.words) - _LISTED} words more")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self):
        from html import escape

        notes = "".join(f"<br>{escape(note[0].upper() + note[1:])}." for note in self.notes)
        text = escape(self.text) if self.text else "(no words)"
        return (
            f'<p style="font-size:1.1em;overflow-wrap:anywhere"><strong>{text}</strong>{notes}</p>{self.figure().html}'
        )
