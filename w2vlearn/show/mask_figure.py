"""Masks as pictures of one family: sample mask, frame mask, attention mask and time mask, drawn from their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from w2vlearn.show.canvas import Canvas, Picture, as_list, runs
from w2vlearn.show.palette import FEATURE_ENCODER, TRANSFORMER, WAVEFORM, Stage
from w2vlearn.show.table import Table

_LEFT, _TRACK, _TRACK_WIDTH, _RIGHT = 16, 110, 440, 564
_KINDS = {"sample": WAVEFORM, "frame": FEATURE_ENCODER, "attention": TRANSFORMER, "time": FEATURE_ENCODER}
_MOST = 6
_SQUARE = 118


def mask_figure(named: Mapping[str, Any], *, title: str = "Masks", alt: str | None = None) -> Picture:
    """Draw masks under each other: valid solid, padding hatched, masked time cross-hatched.

    Parameters
    ----------
    named : mapping of str to array-like
        Title of each mask -> its values: (L,) or (B, L) as a strip per clip; (B, 1, T, T), (B, 1, 1, T) or (B, T, T) as
        a square per clip, queries down and keys across. True and 1 mean valid; so does 0 in an additive mask (floats,
        none above 0). A title that contains "time" is a time mask: there True means masked. Titles that contain
        "sample", "frame" or "attention" get their stage's colour.
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
    canvas, y, hatches = Canvas(), 26.0, set()
    for name, clips in parsed.items():
        stage = next((stage for word, stage in _KINDS.items() if word in name), TRANSFORMER)
        canvas.heading(_LEFT, y, name, f"{_shape(named[name])} {_key(name, named[name], clips)}".strip(), stage.colour)
        hatch = "time_mask" if "time" in name else "padding"
        hatches.add(hatch)
        draw = _squares if isinstance(clips[0][0], list) else _strips
        y = draw(canvas, clips[:_MOST], stage, hatch, y + 16)
        if len(clips) > _MOST:
            canvas.text(_TRACK, y + 22, f"and {len(clips) - _MOST} more clips")
            y += 26
        y += 40
    solid = ("solid: valid" if "padding" in hatches else "solid: seen", WAVEFORM.colour, None)
    canvas.legend(_LEFT, y, [solid, *map(canvas.hatch_entry, sorted(hatches))])
    alt = alt or _alt(named, parsed)
    return Picture(canvas.svg(y + 14, title, alt), alt, _text(parsed))


def _parse(name: str, values: Any) -> list[list]:
    """Per clip either flags (a strip) or rows of flags (a square), True where valid (or seen, in a time mask)."""
    table = np.array(as_list(values))
    if table.size == 0:
        raise ValueError("a mask of size 0 cannot be drawn")
    if not 1 <= table.ndim <= 4:
        raise ValueError(
            f"{name!r}: wanted a mask of 1 to 4 axes, such as (B, L), (B, T) or (B, 1, T, T), found {table.ndim}"
        )
    if table.ndim == 4:  # (B, 1, T, T): the axis of heads is one wide, or all heads see the same
        table = table[:, 0]
    flags = table == 0 if _is_additive(table) else table.astype(bool)
    return np.atleast_2d(~flags if "time" in name else flags).tolist()


def _is_additive(table: np.ndarray) -> bool:
    """A mask of floats of which none is above 0 is added to scores; without padding it holds nothing but zeros."""
    return bool(table.max() <= 0 and (table.min() < 0 or table.dtype.kind == "f"))


def _key(name: str, values: Any, clips: list[list]) -> str:
    """``"True = valid, False = padding"``: what stands in the solid and in the hatched parts, as it is written."""
    table = np.array(as_list(values))
    if _is_additive(table):
        on, off = "0", f"{float(table.min()):.2g}"
    else:
        on, off = ("True", "False") if table.dtype.kind == "b" else ("1", "0")
    if "time" in name:
        on, off = off, on
    words = ("seen", "masked") if "time" in name else ("valid", "padding")
    flags = np.array(clips)
    parts = [f"{on} = {words[0]}"] * bool(flags.any()) + [f"{off} = {words[1]}"] * (not flags.all())
    return ", ".join(parts)


def _strips(canvas: Canvas, clips: list[list], stage: Stage, hatch: str, y: float) -> float:
    height, pitch = 22, 31
    for lane, flags in enumerate(clips):
        top, cell = y + lane * pitch, _TRACK_WIDTH / len(flags)
        canvas.text(_TRACK - 12, top + 16, f"clip {lane}", anchor="end")
        for start, stop, flag in runs(flags):
            fill = stage.colour if flag else canvas.hatch(hatch)
            canvas.rect(_TRACK + cell * start, top, cell * (stop - start), height, fill, 0.55 if flag else 1)
        if cell >= 3:
            canvas.separators(_TRACK, top, _TRACK_WIDTH, height, len(flags))
        canvas.rect(_TRACK, top, _TRACK_WIDTH, height, stroke="currentColor")
        canvas.text(_RIGHT, top + 16, f"{sum(flags)} of {len(flags)} {'seen' if hatch == 'time_mask' else 'valid'}")
    return y + len(clips) * pitch - 9


def _squares(canvas: Canvas, clips: list[list], stage: Stage, hatch: str, y: float) -> float:
    gap, per_line = 34, 4
    for place, rows in enumerate(clips):
        x, top = _TRACK + (place % per_line) * (_SQUARE + gap), y + (place // per_line) * (_SQUARE + 44)
        down, across = _SQUARE / len(rows), _SQUARE / len(rows[0])
        for upper, lower, row in runs(rows):
            for first, stop, flag in runs(row):
                fill, wide, high = stage.colour if flag else canvas.hatch(hatch), stop - first, lower - upper
                box = (x + across * first, top + down * upper, across * wide, down * high)
                canvas.rect(*box, fill, 0.55 if flag else 1)
        canvas.rect(x, top, _SQUARE, _SQUARE, stroke="currentColor")
        canvas.text(x, top + _SQUARE + 19, f"clip {place}: {sum(rows[0])} of {len(rows[0])}")
    return y + -(-len(clips) // per_line) * (_SQUARE + 44) - 24


def _shape(values: Any) -> str:
    shape = getattr(values, "shape", None)
    return "" if shape is None else f"({', '.join(map(str, shape))})"


def _first_rows(clips: list) -> list[list[bool]]:
    """The strip of each clip; of a square its first row, the keys that the first query sees."""
    return [clip[0] if isinstance(clip[0], list) else clip for clip in clips]


def _alt(named: Mapping[str, Any], parsed: Mapping[str, list]) -> str:
    sentences = []
    for name, clips in parsed.items():
        square = isinstance(clips[0][0], list)
        kind = "positions seen" if "time" in name else "keys looked at" if square else "positions valid"
        counts = ", ".join(f"{sum(flags)} of {len(flags)}" for flags in _first_rows(clips))
        sentences.append(f"{f'{name} {_shape(named[name])}'.strip()}, {kind} per clip: {counts}.")
    return " ".join(sentences)


def _text(parsed: Mapping[str, list]) -> str:
    """A small table, and each strip in characters: # valid, / padding, x masked."""
    tables = []
    for name, clips in parsed.items():
        on, off = ("seen", "x") if "time" in name else ("valid", "/")
        rows = []
        for clip, flags in enumerate(_first_rows(clips)):
            strip = "".join("#" if flag else off for flag in flags[:: -(-len(flags) // 60)])
            rows.append([f"clip {clip}", f"{sum(flags)} of {len(flags)}", strip])
        tables.append(Table((name, on, ""), rows).text(200))
    return "\n\n".join(tables)
