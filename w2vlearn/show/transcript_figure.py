"""A transcript as a picture: waveform, frames, characters and words on one time axis, in lines like a score."""

from __future__ import annotations

from typing import Any

from w2vlearn.show.canvas import Canvas, Picture, number, outline
from w2vlearn.show.charts import linear
from w2vlearn.show.palette import FEATURE_ENCODER, HEAD, WAVEFORM
from w2vlearn.show.table import Table

WIDTH = 1000
LINE_S = 5.0  # seconds per line: a frame is then 3.4 units wide
MOST_S = 20.0  # seconds shown if not asked for more
_LEFT, _TRACK, _TRACK_WIDTH = 20, 118, 862
_ROWS, _ROW = 4, 17  # rows that characters are spread over, and their height
_WORDS_SAID = 30  # words with times in the alternative text


def transcript_figure(transcript: Any, start_s: float = 0.0, end_s: float | None = None) -> Picture:
    """Draw a transcript.

    Parameters
    ----------
    transcript : Transcript
    start_s, end_s : float
        The part shown, in seconds; by default the first 20 s.

    Returns
    -------
    Picture
        SVG with title and description; its text lists every character shown with its frames and times.

    Raises
    ------
    ValueError
        If the part is empty or outside the clip.
    """
    duration = transcript.duration_s
    end_s = min(duration, start_s + MOST_S) if end_s is None else min(end_s, duration)
    if not 0 <= start_s < end_s:
        raise ValueError(
            f"wanted 0 <= start_s < end_s <= {duration:.2f} (the clip's length), found {start_s} to {end_s}"
        )
    lines = max(1, -(-round((end_s - start_s) * 1000) // round(LINE_S * 1000)))
    span = (end_s - start_s) if lines == 1 else LINE_S
    canvas = Canvas(WIDTH)
    text = transcript.text if len(transcript.text) <= 60 else transcript.text[:57] + "…"
    text = f"“{text}”" if text else "no words"
    headline = f"{text}, {duration:.2f} s, T = {transcript.frames} frames"
    canvas.heading(_LEFT, 26, "transcript", headline, HEAD.colour)
    y = 44.0
    for line in range(lines):
        begin = start_s + line * span
        y = _Line(canvas, transcript, begin, min(begin + span, end_s), span).draw(y)
    y += 30
    canvas.line(_LEFT, y - 22, WIDTH - 20, y - 22, 0.6, 0.6)
    legend = [
        ("tall: a frame whose best token is a character", HEAD.colour, None),
        ("low: the blank is best", FEATURE_ENCODER.colour, 0.6),
    ]
    unread = len(transcript.geometry.unread(transcript.samples))
    canvas.legend(_LEFT, y, legend + ([canvas.hatch_entry("unread")] if unread else []))
    canvas.text(WIDTH - 140, y, "␣: between words")

    words = [word for word in transcript.words if word.end_s > start_s and word.start_s < end_s]
    told = "; ".join(f"{word.text} {word.start_s:.2f} to {word.end_s:.2f} s" for word in words[:_WORDS_SAID])
    more = f"; and {len(words) - _WORDS_SAID} words more" if len(words) > _WORDS_SAID else ""
    alt = (
        f"Waveform, frames and characters of {start_s:.2f} to {end_s:.2f} s on one time axis. "
        f"{transcript.samples} samples became {transcript.frames} frames; {sum(map(bool, transcript.tokens))} of them "
        "hold a character, the others a blank. " + (f"Words: {told}{more}." if words else "No words.")
    )
    rows = []
    for piece in transcript.characters:
        if piece.end_s > start_s and piece.start_s < end_s:
            frames = f"{piece.frames.start} to {piece.frames.stop - 1}"
            times = f"{piece.start_s:.3f}", f"{piece.end_s:.3f}"
            rows.append((_sign(piece), frames, *times, f"{piece.confidence:.2f}"))
    table = Table(("character", "frames", "start s", "end s", "confidence"), rows, align="llrrr").text()
    return Picture(canvas.svg(y + 8, f"Transcript: {headline}", alt), alt, f"{alt}\n\n{table}")


def _sign(piece: Any) -> str:
    return "␣" if piece.text == " " else piece.text


class _Line:
    """One line of the score: ``begin`` to ``end`` seconds, drawn to the scale of ``span`` seconds per track."""

    def __init__(self, canvas: Canvas, transcript: Any, begin: float, end: float, span: float):
        self.canvas, self.transcript, self.begin, self.end = canvas, transcript, begin, end
        self.x = linear(begin, end, _TRACK, _TRACK + _TRACK_WIDTH * (end - begin) / span)  # seconds -> px
        self.hop_s = transcript.geometry.hop / transcript.geometry.sample_rate
        first = max(0, int(begin / self.hop_s + 1e-6))
        self.frames = range(first, min(transcript.frames, int(end / self.hop_s - 1e-6) + 1))

    def draw(self, y: float) -> float:
        """Draw all lanes from ``y`` down; returns where they end."""
        step = 0.1 if self.end - self.begin <= 1.2 else 0.5
        for mark in range(-(-round(self.begin * 1000) // round(step * 1000)), int((self.end + 1e-9) / step) + 1):
            x = self.x(mark * step)
            anchor = "end" if x > _TRACK + _TRACK_WIDTH - 20 else "middle"
            self.canvas.text(x, y + 14, f"{mark * step:.1f} s", 13, anchor)
            self.canvas.line(x, y + 18, x, y + 24, 0.8)
        self.waveform(y + 24, 46)
        self.frame_strip(y + 78, 18)
        return self.words(self.characters(y + 96) + 4) + 12

    def waveform(self, y: float, height: float) -> None:
        transcript, middle = self.transcript, y + height / 2
        self.canvas.text(_TRACK - 12, middle + 5, WAVEFORM.name, anchor="end")
        values = transcript.envelope.tolist()  # T frames of a few (lowest, highest)
        loudest = max((max(-low, high) for parts in values for low, high in parts), default=0) or 1
        points = [
            (self.x((frame + (part + 0.5) / len(values[frame])) * self.hop_s), low, high)
            for frame in self.frames
            for part, (low, high) in enumerate(values[frame])
        ]
        if points:
            self.canvas.path(outline(points, middle, height / 2 - 2, loudest), fill=WAVEFORM.colour)
        unread = transcript.geometry.unread(transcript.samples)
        tail_s = unread.start / transcript.geometry.sample_rate
        if len(unread) and tail_s < self.end:
            left = min(self.x(tail_s), self.x(self.end) - 5)
            self.canvas.rect(left, y, self.x(self.end) - left, height, fill=self.canvas.hatch("unread"))
        self.canvas.rect(_TRACK, y, self.x(self.end) - _TRACK, height, stroke="currentColor")

    def frame_strip(self, y: float, height: float) -> None:
        """A bar per frame: full where it holds a character, low for a blank; one path of each kind."""
        self.canvas.text(_TRACK - 12, y + height - 4, "frames", anchor="end")
        bars: dict[bool, list[str]] = {True: [], False: []}
        for frame in self.frames:
            x, heard = self.x(frame * self.hop_s), bool(self.transcript.tokens[frame])
            wide, tall = max(0.8, self.x((frame + 1) * self.hop_s) - x - 0.6), height if heard else 5
            bars[heard].append(f"M{number(x)},{number(y + height)}v{-tall}h{number(wide)}v{tall}z")
        for heard, colour, opacity in ((True, HEAD.colour, None), (False, FEATURE_ENCODER.colour, 0.6)):
            if bars[heard]:
                self.canvas.path(" ".join(bars[heard]), fill=colour, opacity=opacity)

    def characters(self, y: float) -> float:
        """Characters below their frames, spread over rows so that none covers another."""
        self.canvas.text(_TRACK - 12, y + 17, "characters", anchor="end")
        ends = [float("-inf")] * _ROWS
        for piece in self.shown(self.transcript.characters):
            text = _sign(piece)
            middle = self.x((piece.frames.start + piece.frames.stop) / 2 * self.hop_s)
            half = max(4.0, 4.4 * len(text))
            row = next((row for row in range(_ROWS) if ends[row] <= middle - half), ends.index(min(ends)))
            ends[row] = middle + half + 1
            self.canvas.line(middle, y + 1, middle, y + 5 + row * _ROW, 0.7, 0.6)
            self.canvas.text(middle, y + 17 + row * _ROW, text, 13, "middle")
        return y + 6 + max(1, sum(end > float("-inf") for end in ends)) * _ROW

    def words(self, y: float) -> float:
        """A bracket over each word's time, the word below it, moved or cut where it would cover the one before."""
        self.canvas.text(_TRACK - 12, y + 19, "words", anchor="end")
        free, end = _TRACK, _TRACK + _TRACK_WIDTH  # where the last label ended, where the track does
        labelled = self.shown(self.transcript.words)
        for word in self.transcript.words:
            if word.end_s <= self.begin or word.start_s >= self.end:
                continue
            left, right = self.x(word.start_s), self.x(word.end_s)
            ticks = ("v5" if word.start_s >= self.begin else "m0,5", "v-5" if word.end_s <= self.end else "")
            self.canvas.path(f"M{number(left)},{number(y)}{ticks[0]}H{number(right)}{ticks[1]}", stroke="currentColor")
            if word in labelled:
                room = int((end - free) / 10.8)
                text = word.text if len(word.text) <= room else word.text[: max(0, room - 1)] + "…"
                half = 5.4 * len(text)
                middle = min(max((left + right) / 2, free + half), end - half)
                self.canvas.text(middle, y + 21, text, bold=True, anchor="middle")
                free = middle + half + 4
        return y + 24

    def shown(self, pieces: Any) -> list[Any]:
        """Pieces whose middle falls into this line."""
        middles = [(piece.frames.start + piece.frames.stop) / 2 * self.hop_s for piece in pieces]
        return [piece for piece, middle in zip(pieces, middles, strict=True) if self.begin <= middle < self.end]
