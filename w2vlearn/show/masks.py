"""Masks as pictures of one family: sample mask, frame mask, attention mask and time mask, drawn from their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from w2vlearn.show.grid import grid
from w2vlearn.show.palette import FEATURE_ENCODER, HATCHES, TRANSFORMER, WAVEFORM, Stage
from w2vlearn.show.picture import Canvas, Picture

WIDTH = 760
_LEFT, _TRACK, _TRACK_WIDTH, _RIGHT = 16, 110, 440, 564
_KINDS = {"sample": WAVEFORM, "frame": FEATURE_ENCODER, "attention": TRANSFORMER, "time": FEATURE_ENCODER}
_MOST = 6
_SQUARE = 118


def masks(named: Mapping[str, Any], *, title: str = "Masks", alt: str | None = None) -> Picture:
    """Draw masks under each other: real solid, padding hatched, masked time cross-hatched.

    Parameters
    ----------
    named : mapping of str to array-like
        Title of each mask -> its values: (L,) or (B, L) as a strip per clip; (B, 1, T, T), (B, 1, 1, T) or (B, T, T) as
        a square per clip, queries down and keys across. True, 1, and 0 in an additive mask mean real. A title that
        contains "time" is a time mask: there True means masked. Titles that contain "sample", "frame" or "attention"
        get their stage's colour.
    title : str
        The picture's name.
    alt : str, optional
        Made from the values unless given.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is no mask, or one has a shape that no mask has.
    """
    if not named:
        raise ValueError("no mask given: pass a mapping from title to mask, such as {'frame mask': frame_mask}")
    parsed = {name: _parse(name, values) for name, values in named.items()}
    canvas, y, seen = Canvas(WIDTH), 26.0, set()
    for name, clips in parsed.items():
        stage = next((stage for word, stage in _KINDS.items() if word in name), TRANSFORMER)
        canvas.heading(_LEFT, y, name, _shape_words(named[name]), stage.colour)
        hatch = "time_mask" if "time" in name else "padding"
        seen.add(hatch)
        draw = _squares if isinstance(clips[0][0], list) else _strips
        y = draw(canvas, clips, stage, hatch, y + 16) + 40
    x: float = _LEFT
    canvas.legend_box(x, y, WAVEFORM.colour)
    canvas.text(x + 27, y, "solid: real" if "padding" in seen else "solid: seen")
    x += 130
    for hatch in sorted(seen):
        canvas.legend_box(x, y, canvas.hatch(hatch))
        canvas.text(x + 27, y, HATCHES[hatch])
        x += 27 + 7.2 * len(HATCHES[hatch]) + 28
    alt = alt or _words(named, parsed)
    return Picture(canvas.svg(y + 14, title, alt), alt, _twin(parsed))


def _parse(name: str, values: Any) -> list[list]:
    """Per clip either flags (a strip) or rows of flags (a square), True where real (or seen, in a time mask)."""
    table = (
        values.tolist()
        if hasattr(values, "tolist")
        else [list(v) if isinstance(v, (list, tuple)) else v for v in values]
    )
    depth = _depth(table)
    if depth == 4:  # (B, 1, T, T): the axis of heads is one wide, or all heads see the same
        table = [clip[0] for clip in table]
    elif depth == 1:
        table = [table]
    elif depth not in (2, 3):
        raise ValueError(
            f"{name!r}: wanted a mask of 1 to 4 axes, such as (B, L), (B, T) or (B, 1, T, T), found {depth}"
        )
    additive = any(_floats(clip) for clip in table)
    return [_flags(clip, additive, "time" in name) for clip in table]


def _depth(table: Any) -> int:
    depth = 0
    while isinstance(table, list):
        if not table:
            raise ValueError("a mask of size 0 cannot be drawn")
        depth, table = depth + 1, table[0]
    return depth


def _floats(table: Any) -> bool:
    """True for an additive mask: it holds a negative number."""
    return (
        any(_floats(part) for part in table) if isinstance(table, list) else not isinstance(table, bool) and table < 0
    )


def _flags(table: Any, additive: bool, inverted: bool) -> Any:
    if isinstance(table, list):
        return [_flags(part, additive, inverted) for part in table]
    return (table == 0 if additive else bool(table)) is not inverted


def runs(flags: Sequence) -> list[tuple[int, int, Any]]:
    """Stretches of equal entries: (start, stop, entry)."""
    found, start = [], 0
    for index in range(1, len(flags) + 1):
        if index == len(flags) or flags[index] != flags[start]:
            found.append((start, index, flags[start]))
            start = index
    return found


def _strips(canvas: Canvas, clips: list[list], stage: Stage, hatch: str, y: float) -> float:
    height, pitch = 22, 31
    for lane, flags in enumerate(clips[:_MOST]):
        top, cell = y + lane * pitch, _TRACK_WIDTH / len(flags)
        canvas.text(_TRACK - 12, top + 16, f"clip {lane}", anchor="end")
        for start, stop, flag in runs(flags):
            x, wide = _TRACK + cell * start, cell * (stop - start)
            if flag:
                canvas.rect(x, top, wide, height, fill=stage.colour, opacity=0.55)
            else:
                canvas.rect(x, top, wide, height, fill=canvas.hatch(hatch))
        if cell >= 3:
            canvas.separators(_TRACK, top, _TRACK_WIDTH, height, len(flags))
        canvas.rect(_TRACK, top, _TRACK_WIDTH, height, stroke="currentColor", stroke_width=0.8)
        canvas.text(_RIGHT, top + 16, f"{sum(flags)} of {len(flags)} {'seen' if hatch == 'time_mask' else 'real'}")
    return _more(canvas, clips, y + min(len(clips), _MOST) * pitch - 9)


def _squares(canvas: Canvas, clips: list[list], stage: Stage, hatch: str, y: float) -> float:
    gap, per_line = 34, 4
    for place, rows in enumerate(clips[:_MOST]):
        x, top = _TRACK + (place % per_line) * (_SQUARE + gap), y + (place // per_line) * (_SQUARE + 44)
        down, across = _SQUARE / len(rows), _SQUARE / len(rows[0])
        for upper, lower, row in runs(rows):
            for first, stop, flag in runs(row):
                fill = stage.colour if flag else canvas.hatch(hatch)
                wide, high = across * (stop - first), down * (lower - upper)
                canvas.rect(x + across * first, top + down * upper, wide, high, fill=fill, opacity=0.55 if flag else 1)
        canvas.rect(x, top, _SQUARE, _SQUARE, stroke="currentColor", stroke_width=0.8)
        canvas.text(x, top + _SQUARE + 19, f"clip {place}: {sum(rows[0])} of {len(rows[0])}")
    lines = -(-min(len(clips), _MOST) // per_line)
    return _more(canvas, clips, y + lines * (_SQUARE + 44) - 24)


def _more(canvas: Canvas, clips: list, y: float) -> float:
    if len(clips) <= _MOST:
        return y
    canvas.text(_TRACK, y + 22, f"and {len(clips) - _MOST} more clips")
    return y + 26


def _shape_words(values: Any) -> str:
    shape = getattr(values, "shape", None)
    return "" if shape is None else "(" + ", ".join(map(str, shape)) + ")"


def _counts(clips: list) -> list[str]:
    """Per clip: ``"49 of 124"``, of a square its first row's keys."""
    strips = [clip[0] if isinstance(clip[0], list) else clip for clip in clips]
    return [f"{sum(flags)} of {len(flags)}" for flags in strips]


def _words(named: Mapping[str, Any], parsed: Mapping[str, list]) -> str:
    said = []
    for name, clips in parsed.items():
        kind = (
            "positions seen"
            if "time" in name
            else "keys looked at"
            if isinstance(clips[0][0], list)
            else "positions real"
        )
        shape = _shape_words(named[name])
        said.append(f"{name}{' ' + shape if shape else ''}, {kind} per clip: {', '.join(_counts(clips))}.")
    return " ".join(said)


def _twin(parsed: Mapping[str, list]) -> str:
    """A small table, and each strip in characters: # real, / padding, x masked."""
    lines = []
    for name, clips in parsed.items():
        rows = []
        for number_, (clip, count) in enumerate(zip(clips, _counts(clips), strict=True)):
            flags = clip[0] if isinstance(clip[0], list) else clip
            step = max(1, -(-len(flags) // 60))
            off = "x" if "time" in name else "/"
            drawn = "".join("#" if flags[index] else off for index in range(0, len(flags), step))
            rows.append([f"clip {number_}", count, drawn])
        lines += [grid((name, "real" if "time" not in name else "seen", ""), rows, width=200), ""]
    return "\n".join(lines).rstrip()
