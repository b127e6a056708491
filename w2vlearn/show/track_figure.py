"""Tracks on one axis: rows of frames or samples in pieces that mean something, with marks, seams and a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from w2vlearn.show.canvas import CHARACTER, WIDTH, Canvas, Picture, number, runs
from w2vlearn.show.charts import linear, short_number, x_axis
from w2vlearn.show.palette import FEATURE_ENCODER, HATCHES, HEAD, Stage

_TRACK_HEIGHT, _PITCH = 22, 34
# Kind of a piece -> its words, colour (None: the track's own), opacity and hatch. Colour is never alone.
KINDS: dict[str, tuple[str, str | None, float, str | None]] = {
    "valid": ("solid: valid", None, 0.75, None),
    "pale": ("pale: computed and dropped", None, 0.2, None),
    "empty": ("empty: untouched", None, 0.0, None),
    "touched": ("filled: moved by padding", HEAD.colour, 0.8, None),
    "masked": (HATCHES["time_mask"], None, 0.3, "time_mask"),
    "padding": (HATCHES["padding"], None, 0.0, "padding"),
    "unread": (HATCHES["unread"], None, 0.0, "unread"),
}


@dataclass(frozen=True)
class Track:
    """One row.

    Attributes
    ----------
    name : str
        Left of the row.
    pieces : sequence of (start, stop, kind)
        In the axis's units, stop excluded; kinds are the keys of `KINDS`.
    note : str
        Right of the row: its number.
    marks : sequence of float
        Places that a triangle points at, from above.
    stage : Stage
        Gives the colour.
    """

    name: str
    pieces: Sequence[tuple[float, float, str]]
    note: str = ""
    marks: Sequence[float] = ()
    stage: Stage = FEATURE_ENCODER


def pieces_of(flags: Sequence[bool], yes: str, no: str) -> list[tuple[int, int, str]]:
    """Pieces of a row of flags: ``yes`` where True, ``no`` where False."""
    return [(start, stop, yes if flag else no) for start, stop, flag in runs(list(flags))]


def track_figure(
    tracks: Sequence[Track],
    *,
    x_label: str,
    title: str = "",
    limits: tuple[float, float] | None = None,
    seams: Sequence[float] = (),
    words: Mapping[str, str] | None = None,
    mark: str = "",
    alt: str | None = None,
) -> Picture:
    """Draw tracks under each other on one axis.

    Parameters
    ----------
    tracks : sequence of Track
    x_label, title : str
    limits : (start, stop), optional
        Ends of the axis; by default those of the pieces.
    seams : sequence of float
        Dashed vertical lines through all tracks.
    words : mapping, optional
        What a kind means here, in the legend and in the text, where it is not what `KINDS` says.
    mark : str
        What a triangle means; wanted if any track has one.
    alt : str, optional
        Made from the tracks unless given.

    Raises
    ------
    ValueError
        If there is no track, a kind is unknown, or triangles have no meaning.
    """
    used = [kind for track in tracks for _, _, kind in track.pieces]
    unknown = set(used) - KINDS.keys()
    if not tracks or unknown:
        raise ValueError(
            f"wanted tracks with pieces of the kinds {', '.join(KINDS)}, found {sorted(unknown) or 'none'}"
        )
    if not mark and any(track.marks for track in tracks):
        raise ValueError("a track has marks: say in mark= what they mean")
    legend = {kind: KINDS[kind][0] for kind in KINDS if kind in used} | dict(words or {})
    ends = [place for track in tracks for start, stop, _ in track.pieces for place in (start, stop)]
    low, high = limits or (min(ends), max(ends))
    left = 24 + round(CHARACTER * max(len(track.name) for track in tracks))
    right = WIDTH - 24 - round(CHARACTER * max(len(track.note) for track in tracks))
    canvas, across, y = Canvas(), linear(low, high, left, right), 40
    canvas.text(24, 18, title, 15, bold=True)
    for track in tracks:
        _draw(canvas, track, across, y)
        y += _PITCH
    bottom = y - _PITCH + _TRACK_HEIGHT
    for seam in seams:
        x = number(across(seam))
        canvas.add("path", d=f"M{x},32V{bottom + 4}", stroke="currentColor", stroke_width=1.4, stroke_dasharray="5 4")
    x_axis(canvas, across, bottom + 10, x_label)
    colour = tracks[0].stage.colour
    entries = [_entry(canvas, kind, said, colour) for kind, said in legend.items() if kind in used]
    y = canvas.legend(24, bottom + 76, entries)
    if mark:
        canvas.path(f"M24,{y + 10}h12l-6,9z", fill="currentColor")
        canvas.text(51, y + 20, mark)
        y += 20
    told = [_told(track, legend, mark) for track in tracks]
    heading = f"{title}. " if title else ""
    cuts = f" Seams at {', '.join(f'{place:g}' for place in seams)}." if seams else ""
    return canvas.picture(
        y + 14, alt or f"{heading}{' '.join(told)}{cuts}", "\n".join([title, *told, cuts.strip()]).strip()
    )


def _draw(canvas: Canvas, track: Track, across, y: float) -> None:
    canvas.text(across.start - 10, y + 16, track.name, anchor="end")
    for start, stop, kind in track.pieces:
        _, colour, opacity, hatch = KINDS[kind]
        box = (across(start), y, across(stop) - across(start), _TRACK_HEIGHT)
        canvas.rect(*box, colour or track.stage.colour, opacity, "currentColor")
        if hatch:
            canvas.rect(*box, canvas.hatch(hatch))
    for place in track.marks:
        canvas.path(f"M{number(across(place) - 5)},{y - 9}h10l-5,8z", fill="currentColor")
    canvas.text(across.stop + 10, y + 16, track.note)


def _entry(canvas: Canvas, kind: str, said: str, colour: str) -> tuple[str, str, float | None]:
    _, own, opacity, hatch = KINDS[kind]
    return said, canvas.hatch(hatch) if hatch else own or colour, None if hatch else opacity


def _told(track: Track, legend: Mapping[str, str], mark: str) -> str:
    """One track as a sentence: what it holds from where to where, its marks, its note."""
    spans = ", ".join(
        f"{short_number(start)} to {short_number(stop - 1 if isinstance(stop, int) else stop)} "
        f"{legend[kind].partition(': ')[2] or legend[kind]}"
        for start, stop, kind in track.pieces
    )
    marks = f"; {mark}: {', '.join(f'{place:g}' for place in track.marks)}" if track.marks else ""
    return f"{track.name}: {spans}{marks}{f' ({track.note})' if track.note else ''}."
