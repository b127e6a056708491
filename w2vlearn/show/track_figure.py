"""Rows of pieces on one axis: which frames or samples are valid, masked, kept or moved; with marks, seams, a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from w2vlearn.show.canvas import CHARACTER, WIDTH, Canvas, Picture, as_list, number, runs
from w2vlearn.show.charts import Scale, linear, short_number, with_axis
from w2vlearn.show.palette import FEATURE_ENCODER, HATCHES, HEAD, WAVEFORM, Stage
from w2vlearn.show.table import Table

_HEIGHT, _PITCH = 22, 34
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
    name, note : str
        Left and right of the row.
    pieces : sequence of (start, stop, kind)
        In the axis's units, stop excluded; kinds are the keys of `KINDS`.
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
    meanings = {kind: KINDS[kind][0] for kind in KINDS if kind in used} | dict(words or {})
    ends = [place for track in tracks for start, stop, _ in track.pieces for place in (start, stop)]
    left = 24 + round(CHARACTER * max(len(track.name) for track in tracks))
    right = WIDTH - 24 - round(CHARACTER * max(len(track.note) for track in tracks))
    canvas, across = Canvas(), linear(*(limits or (min(ends), max(ends))), left, right)
    canvas.title(24, title)
    for place, track in enumerate(tracks):
        _draw(canvas, track, across, 40 + place * _PITCH)
    bottom = 40 + (len(tracks) - 1) * _PITCH + _HEIGHT
    for seam in seams:
        canvas.dashed(across(seam), 32, bottom + 4, 1.4)
    legend = []
    for kind in (kind for kind in meanings if kind in used):
        _, colour, opacity, hatch = KINDS[kind]
        fill = (canvas.hatch(hatch), None) if hatch else (colour or tracks[0].stage.colour, opacity)
        legend.append((meanings[kind], *fill))
    told = [_told(track, meanings, mark) for track in tracks]
    cuts = f" Seams at {', '.join(f'{place:g}' for place in seams)}." if seams else ""
    alt = alt or f"{title + '. ' if title else ''}{' '.join(told)}{cuts}"
    text = "\n".join([title, *told, cuts.strip()]).strip()
    return with_axis(canvas, across, bottom + 10, x_label, legend, alt, text, mark)


def _draw(canvas: Canvas, track: Track, across: Scale, y: float) -> None:
    canvas.text(across.start - 10, y + 16, track.name, anchor="end")
    for start, stop, kind in track.pieces:
        _, colour, opacity, hatch = KINDS[kind]
        box = (across(start), y, across(stop) - across(start), _HEIGHT)
        canvas.rect(*box, colour or track.stage.colour, opacity, "currentColor")
        if hatch:
            canvas.rect(*box, canvas.hatch(hatch))
    for place in track.marks:
        canvas.path(f"M{number(across(place) - 5)},{y - 9}h10l-5,8z", fill="currentColor")
    canvas.text(across.stop + 10, y + 16, track.note)


def _told(track: Track, meanings: Mapping[str, str], mark: str) -> str:
    """One track as a sentence: what it holds from where to where, its marks, its note."""
    spans = ", ".join(
        f"{short_number(start)} to {short_number(stop - 1 if isinstance(stop, int) else stop)} "
        f"{meanings[kind].partition(': ')[2] or meanings[kind]}"
        for start, stop, kind in track.pieces
    )
    marks = f"; {mark}: {', '.join(f'{place:g}' for place in track.marks)}" if track.marks else ""
    return f"{track.name}: {spans}{marks}{f' ({track.note})' if track.note else ''}."


def strips_figure(
    named: Mapping[str, Any],
    *,
    on: str = "valid",
    off: str = "padding",
    position: str = "frame t",
    stages: Mapping[str, Stage] | None = None,
    title: str = "",
    alt: str | None = None,
) -> Picture:
    """Yes or no for each position, a row for each name with its count: frames that notice a change, or a mask marks.

    Parameters
    ----------
    named : mapping of str to array-like of bool
        Name of each row -> its flags, one per position.
    on, off : str
        What True and False mean: ``"valid"`` and ``"padding"``. Padding is hatched, any other ``off`` left empty.
    position, title : str
        Label of the axis; above the figure.
    stages : mapping of str to Stage, optional
        Stage of a row, which gives its colour; the feature encoder unless given.
    alt : str, optional
        Made from the data unless given: where the stretches begin and end.

    Raises
    ------
    ValueError
        If there is no row, or a row is empty.
    """
    rows = {name: [bool(flag) for flag in as_list(flags)] for name, flags in named.items()}
    if not rows or not all(rows.values()):
        raise ValueError("wanted at least one row of at least one flag, such as {'formula': [True, False]}")
    other = "padding" if off == "padding" else "empty"
    colours = dict.fromkeys(rows, FEATURE_ENCODER) | dict(stages or {})
    tracks = [
        Track(name, pieces_of(flags, "valid", other), f"{sum(flags)} of {len(flags)}", stage=colours[name])
        for name, flags in rows.items()
    ]
    words = {"valid": f"solid: {on}"} | ({} if other == "padding" else {"empty": f"empty: {off}"})
    return track_figure(tracks, x_label=position, title=title, words=words, alt=alt)


_REACH = 1_100  # samples that `boundary_figure` shows to each side of the clip's end


def boundary_figure(length: int, longest: int, geometry: Any, *, title: str = "", alt: str | None = None) -> Picture:
    """The samples, the T equal pieces of the shortcut and the windows of the frames, around the end of a clip.

    The shortcut cuts the batch into T equal pieces and keeps each piece that holds a valid sample. A frame is valid
    if its whole window is.

    Parameters
    ----------
    length, longest : int
        Valid samples of the clip; samples of the batch's longest clip.
    geometry : FrameGeometry
    title : str
        Above the figure.
    alt : str, optional
        Made from the numbers unless given.

    Raises
    ------
    ValueError
        If the batch has no frame, or the clip is longer than the batch.
    """
    frames = geometry.frame_count(longest)
    if not frames or not 0 <= length <= longest:
        raise ValueError(
            f"wanted a clip of 0 to {longest} samples in a batch of at least one frame, "
            f"found {length} samples and {frames} frames"
        )
    width, field = longest // frames, geometry.receptive_field
    kept, valid = min(frames, -(-length // width)), geometry.frame_count(length)
    kept_words, valid_words = (f"{count} frame{'s' * (count != 1)}" for count in (kept, valid))
    low = max(0, min(length - _REACH, longest - 2 * _REACH))
    high = min(longest, low + 2 * _REACH)
    canvas = Canvas()
    across, y = linear(low, high, 24, WIDTH - 24), canvas.title(24, title)
    samples, pieces, windows = y + 6, y + 6 + _HEIGHT + 28, y + 6 + 2 * _HEIGHT + 56
    canvas.text(24, samples - 6, f"samples: the clip ends after {length}")
    _box(canvas, across, 0, length, samples, WAVEFORM.colour)
    _box(canvas, across, length, longest, samples, canvas.hatch("padding"))
    canvas.text(24, pieces - 6, f"shortcut: pieces of {width} samples, kept if one sample is valid: {kept_words}")
    for t in range(frames):
        colour = HEAD.colour if valid <= t < kept else FEATURE_ENCODER.colour if t < kept else None
        _frame(canvas, across, t, range(t * width, (t + 1) * width), pieces, colour)
    canvas.text(24, windows - 6, f"formula: windows of {field} samples, valid if all are valid: {valid_words}")
    for t in range(frames):
        colour = FEATURE_ENCODER.colour if t < valid else None
        _frame(canvas, across, t, geometry.span(t), windows + (_HEIGHT + 3) * (t % 2), colour)
    if low < length < high:  # the clip's end, in each lane
        for lane, lane_height in ((samples, _HEIGHT), (pieces, _HEIGHT), (windows, 2 * _HEIGHT + 2)):
            canvas.line(across(length), lane - 4, across(length), lane + lane_height + 4, 2)
    legend = [
        ("valid", FEATURE_ENCODER.colour, 0.75),
        ("kept, and computed from padding", HEAD.colour, 0.75),
        canvas.hatch_entry("padding"),
    ]
    rows = [["shortcut", width, kept], ["formula", field, valid]]
    text = Table(("way", "samples per frame", "frames valid"), rows).text()
    alt = alt or (
        f"{title + ': ' if title else ''}A clip of {length} samples in a batch of {longest}: the shortcut keeps "
        f"{kept_words}, the formula {valid}. Samples {low} to {high} are drawn."
    )
    return with_axis(canvas, across, windows + 2 * _HEIGHT + 14, "sample n", legend, alt, text)


def _box(canvas: Canvas, across: Scale, start: float, stop: float, y: float, fill: str = "none") -> None:
    """A box over these samples, cut to what is drawn."""
    if across(stop) > across(start):
        canvas.rect(across(start), y, across(stop) - across(start), _HEIGHT, fill, stroke="currentColor")


def _frame(canvas: Canvas, across: Scale, t: int, span: range, y: float, colour: str | None) -> None:
    """The box of a frame, hatched without a colour; where its number fits, the filling leaves room for it."""
    left, right = across(span.start), across(span.stop)
    middle, numbered = (left + right) / 2, right - left > 40
    gap = 13 if numbered else 0
    for x, end in ((left, middle - gap), (middle + gap, right)):
        canvas.rect(x, y, end - x, _HEIGHT, colour or canvas.hatch("padding"), 0.75 if colour else 1)
    _box(canvas, across, span.start, span.stop, y)
    if numbered:
        canvas.text(middle, y + 16, str(t), anchor="middle", bold=colour == HEAD.colour)
