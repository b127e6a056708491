"""Masks as pictures of one family: sample mask, frame mask, attention mask and time mask, drawn from their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from w2vlearn.show.canvas import Canvas, Picture, as_list
from w2vlearn.show.charts import linear
from w2vlearn.show.palette import FEATURE_ENCODER, TRANSFORMER, WAVEFORM, Stage
from w2vlearn.show.table import Table
from w2vlearn.show.track_figure import Track, draw_square, draw_track, pieces_of

_KINDS = {"sample": WAVEFORM, "frame": FEATURE_ENCODER, "attention": TRANSFORMER, "time": FEATURE_ENCODER}
_MOST = 6  # clips drawn


def mask_figure(named: Mapping[str, Any], *, title: str = "Masks", alt: str | None = None) -> Picture:
    """Draw masks under each other: valid solid, padding hatched, masked time cross-hatched.

    Parameters
    ----------
    named : mapping of str to array-like
        Title of each mask -> its values: (L,) or (B, L) as a strip per clip; (B, 1, T, T), (B, 1, 1, T) or (B, T, T) as
        a square per clip, queries down and keys across. True and 1 mean valid; so does 0 in an additive mask (floats,
        none above 0). A title that contains "time" is a time mask: there True means masked. Titles that contain
        "sample", "frame" or "attention" get their stage's colour.
    title, alt : str
        The picture's name; its alternative text, made from the values unless given.

    Raises
    ------
    ValueError
        If there is no mask, or one has a shape that no mask has.
    """
    if not named:
        raise ValueError("no mask given: pass a mapping from title to mask, such as {'frame mask': frame_mask}")
    masks = [_read(name, values) for name, values in named.items()]
    canvas, y = Canvas(), 26.0
    for mask in masks:
        stage = next((stage for word, stage in _KINDS.items() if word in mask.name), TRANSFORMER)
        canvas.heading(16, y, mask.name, f"{mask.shape} {mask.key}".strip(), stage.colour)
        y = (_squares if mask.square else _strips)(canvas, mask, stage, y + 16)
        if len(mask.clips) > _MOST:
            canvas.text(110, y + 22, f"and {len(mask.clips) - _MOST} more clips")
            y += 26
        y += 40
    hatches = sorted({"time_mask" if mask.time else "padding" for mask in masks})
    solid = ("solid: valid" if "padding" in hatches else "solid: seen", WAVEFORM.colour, None)
    canvas.legend(16, y, [solid, *map(canvas.hatch_entry, hatches)])
    alt = alt or " ".join(map(_sentence, masks))
    return Picture(canvas.svg(y + 14, title, alt), alt, "\n\n".join(map(_table, masks)))


@dataclass(frozen=True)
class _Mask:
    """A mask that was read: per clip either flags (a strip) or rows of flags (a square), True where valid (or seen)."""

    name: str
    shape: str  # "(3, 49)"; empty for a plain list
    key: str  # "True = valid, False = padding": what stands in the solid and in the hatched parts, as it is written
    clips: list[list]
    time: bool  # a time mask

    @property
    def square(self) -> bool:
        return isinstance(self.clips[0][0], list)

    @property
    def strips(self) -> list[list[bool]]:
        """The strip of each clip; of a square its first row, the keys that the first query sees."""
        return [clip[0] for clip in self.clips] if self.square else self.clips

    @property
    def on(self) -> str:
        return "seen" if self.time else "valid"

    @property
    def off(self) -> str:
        return "masked" if self.time else "padding"


def _read(name: str, values: Any) -> _Mask:
    table = np.array(as_list(values))
    if table.size == 0:
        raise ValueError("a mask of size 0 cannot be drawn")
    if not 1 <= table.ndim <= 4:
        raise ValueError(
            f"{name!r}: wanted a mask of 1 to 4 axes, such as (B, L), (B, T) or (B, 1, T, T), found {table.ndim}"
        )
    if table.ndim == 4:  # (B, 1, T, T): the axis of heads is one wide, or all heads see the same
        table = table[:, 0]
    time = "time" in name
    # A mask of floats of which none is above 0 is added to scores; without padding it holds nothing but zeros.
    if table.max() <= 0 and (table.min() < 0 or table.dtype.kind == "f"):
        flags, on, off = table == 0, "0", f"{float(table.min()):.2g}"
    else:
        flags, on, off = table.astype(bool), *(("True", "False") if table.dtype.kind == "b" else ("1", "0"))
    if time:
        flags, on, off = ~flags, off, on
    solid, hatched = ("seen", "masked") if time else ("valid", "padding")
    key = ", ".join([f"{on} = {solid}"] * bool(flags.any()) + [f"{off} = {hatched}"] * (not flags.all()))
    shape = f"({', '.join(map(str, values.shape))})" if hasattr(values, "shape") else ""
    return _Mask(name, shape, key, np.atleast_2d(flags).tolist(), time)


def _strips(canvas: Canvas, mask: _Mask, stage: Stage, y: float) -> float:
    pitch, clips = 31, mask.clips[:_MOST]
    for lane, flags in enumerate(clips):
        note = f"{sum(flags)} of {len(flags)} {mask.on}"
        track = Track(f"clip {lane}", pieces_of(flags, "valid", mask.off), note, stage=stage)
        draw_track(canvas, track, linear(0, len(flags), 110, 550), y + lane * pitch, cells=len(flags))
    return y + len(clips) * pitch - 9


def _squares(canvas: Canvas, mask: _Mask, stage: Stage, y: float) -> float:
    side, pitch, per_line, clips = 118, 152, 4, mask.clips[:_MOST]
    for place, rows in enumerate(clips):
        x, top = 110 + (place % per_line) * pitch, y + (place // per_line) * (side + 44)
        kinds = [["valid" if flag else mask.off for flag in row] for row in rows]
        draw_square(canvas, kinds, x, top, side, stage.colour)
        canvas.text(x, top + side + 19, f"clip {place}: {sum(rows[0])} of {len(rows[0])}")
    return y + -(-len(clips) // per_line) * (side + 44) - 24


def _sentence(mask: _Mask) -> str:
    kind = "positions seen" if mask.time else "keys looked at" if mask.square else "positions valid"
    counts = ", ".join(f"{sum(flags)} of {len(flags)}" for flags in mask.strips)
    return f"{f'{mask.name} {mask.shape}'.strip()}, {kind} per clip: {counts}."


def _table(mask: _Mask) -> str:
    """A small table, and each strip in characters: # valid, / padding, x masked."""
    rows = []
    for clip, flags in enumerate(mask.strips):
        strip = "".join("#" if flag else "x" if mask.time else "/" for flag in flags[:: -(-len(flags) // 60)])
        rows.append([f"clip {clip}", f"{sum(flags)} of {len(flags)}", strip])
    return Table((mask.name, mask.on, ""), rows).text(200)
