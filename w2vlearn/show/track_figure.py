"""Rows and squares of pieces: which frames or samples are valid, masked, kept or moved; on one axis, with a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    pieces : sequence of (start, stop, kind) or (start, stop, kind, label)
        In the axis's units, stop excluded; kinds are the keys of `KINDS`. A label is written where it fits.
    marks : sequence of float
        Places that a triangle points at, from above.
    stage : Stage
        Gives the colour.
    """

    name: str
    pieces: Sequence[tuple]
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
    x_label, title, alt : str
        Below the axis, above the figure; its alternative text, made from the tracks unless given.
    limits : (start, stop), optional
        Ends of the axis; by default those of the pieces.
    seams : sequence of float
        Dashed vertical lines through all tracks.
    words : mapping, optional
        What a kind means here, in the legend and in the text, where it is not what `KINDS` says.
    mark : str
        What a triangle means; wanted if any track has one.

    Raises
    ------
    ValueError
        If there is no track, a kind is unknown, or triangles have no meaning.
    """
    used = [piece[2] for track in tracks for piece in track.pieces]
    unknown = set(used) - KINDS.keys()
    if not tracks or unknown:
        raise ValueError(
            f"wanted tracks with pieces of the kinds {', '.join(KINDS)}, found {sorted(unknown) or 'none'}"
        )
    if not mark and any(track.marks for track in tracks):
        raise ValueError("a track has marks: say in mark= what they mean")
    meanings = {kind: KINDS[kind][0] for kind in KINDS if kind in used} | dict(words or {})
    ends = [place for track in tracks for piece in track.pieces for place in piece[:2]]
    left = 24 + round(CHARACTER * max(len(track.name) for track in tracks))
    right = WIDTH - 24 - round(CHARACTER * max(len(track.note) for track in tracks))
    canvas, across = Canvas(), linear(*(limits or (min(ends), max(ends))), left, right)
    canvas.title(24, title)
    for place, track in enumerate(tracks):
        draw_track(canvas, track, across, 40 + place * _PITCH)
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


def draw_track(canvas: Canvas, track: Track, across: Scale, y: float, height: float = _HEIGHT, cells: int = 0) -> None:
    """Draw one row, its upper edge at ``y``; with ``cells``, lines between so many if wide enough to see."""
    middle = y + height / 2 + 5
    canvas.text(across.start - 10, middle, track.name, anchor="end")
    for start, stop, kind, *label in track.pieces:
        left, right = across(start), across(stop)
        centre, wide = (left + right) / 2, right - left > 40
        gap = 13 if label and wide else 0  # the filling leaves room for the label
        for x, end in ((left, centre - gap), (centre + gap, right)) if gap else ((left, right),):
            _fill(canvas, (x, y, end - x, height), kind, track.stage.colour, None if gap else "currentColor")
        if gap:
            canvas.rect(left, y, right - left, height, stroke="currentColor")
            canvas.text(centre, middle, label[0], anchor="middle")
    if cells and (across.stop - across.start) / cells >= 3:
        canvas.separators(across.start, y, across.stop - across.start, height, cells)
    for place in track.marks:
        canvas.path(f"M{number(across(place) - 5)},{y - 9}h10l-5,8z", fill="currentColor")
    canvas.text(across.stop + 10, middle, track.note)


def draw_square(canvas: Canvas, rows: Sequence[Sequence[str]], x: float, y: float, side: float, colour: str) -> None:
    """Kinds of cells, (rows, columns), as a square whose upper left corner is (x, y)."""
    down, across = side / len(rows), side / len(rows[0])
    for upper, lower, row in runs(rows):
        for first, stop, kind in runs(row):
            box = (x + across * first, y + down * upper, across * (stop - first), down * (lower - upper))
            _fill(canvas, box, kind, colour, None)
    canvas.rect(x, y, side, side, stroke="currentColor")


def _fill(canvas: Canvas, box: tuple, kind: str, colour: str, stroke: str | None) -> None:
    _, own, opacity, hatch = KINDS[kind]
    canvas.rect(*box, own or colour, opacity, stroke)
    if hatch:
        canvas.rect(*box, canvas.hatch(hatch))


def _told(track: Track, meanings: Mapping[str, str], mark: str) -> str:
    """One track as a sentence: what it holds from where to where, its marks, its note."""
    spans = ", ".join(
        f"{short_number(start)} to {short_number(stop - 1 if isinstance(stop, int) else stop)} "
        f"{meanings[kind].partition(': ')[2] or meanings[kind]}"
        for start, stop, kind, *_ in track.pieces
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
    position, title, alt : str
        Label of the axis; above the figure; where the stretches begin and end, made from the data unless given.
    stages : mapping of str to Stage, optional
        Stage of a row, which gives its colour; the feature encoder unless given.

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
    title, alt : str
        Above the figure; its alternative text, made from the numbers unless given.

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
    pieces, windows = [], []
    for t in range(frames):
        span = geometry.span(t)
        kind = "touched" if valid <= t < kept else "valid" if t < kept else "padding"
        pieces.append((t * width, (t + 1) * width, kind, str(t)))
        windows.append((span.start, span.stop, "valid" if t < valid else "padding", str(t)))
    rows = [
        ("samples", [(0, length, "valid"), (length, longest, "padding")], f"{length} valid", WAVEFORM),
        ("shortcut", pieces, kept_words, FEATURE_ENCODER),
        ("formula", windows[::2], valid_words, FEATURE_ENCODER),  # neighbours overlap: every other one
        ("", windows[1::2], "", FEATURE_ENCODER),
    ]
    tracks = [
        Track(name, [piece for piece in pieces if piece[0] < high and piece[1] > low], note, stage=stage)
        for name, pieces, note, stage in rows
    ]
    told = (
        f"A clip of {length} samples in a batch of {longest}: the shortcut keeps {kept_words}, the formula {valid}. "
        f"Samples {low} to {high} are drawn."
    )
    picture = track_figure(
        tracks,
        x_label="sample n",
        title=title or f"shortcut: pieces of {width} samples, one valid; formula: windows of {field}, all valid",
        limits=(low, high),
        seams=[length] if low < length < high else [],
        words={"touched": "filled: kept, and computed from padding"},
        alt=alt or f"{title + ': ' if title else ''}{told}",
    )
    table = Table(("way", "samples per frame", "frames valid"), [["shortcut", width, kept], ["formula", field, valid]])
    return replace(picture, text=table.text())
