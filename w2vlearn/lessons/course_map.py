"""The same small map of the model at the head of every lesson: samples to frames to heads, the masks below.

The lesson's own stages carry a sign (▶), a thick border and bold type; colour only helps.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise

from w2vlearn.lessons.course import COURSE
from w2vlearn.show import palette

__all__ = ["STAGES", "LessonMap", "lesson_map"]

SIGN = "▶"


@dataclass(frozen=True)
class MapStage:
    """A box of the map: name, shape of what comes out, colour, place (column from 0, row 0 or 1)."""

    name: str
    shape: str
    colour: str
    column: float
    row: int


STAGES: dict[str, MapStage] = {
    "samples": MapStage("samples", "(B, L)", palette.WAVEFORM.colour, 0, 0),
    "feature_encoder": MapStage("feature encoder", "(B, T, 512)", palette.FEATURE_ENCODER.colour, 1, 0),
    "projection": MapStage("projection", "(B, T, 768)", palette.PROJECTION.colour, 2, 0),
    "positions": MapStage("positions", "(B, T, 768)", palette.POSITIONS.colour, 3, 0),
    "transformer": MapStage("Transformer", "(B, T, 768)", palette.TRANSFORMER.colour, 4, 0),
    "head": MapStage("head", "(B, T, V)", palette.HEAD.colour, 5, 0),
    "sample_mask": MapStage("sample mask", "(B, L)", "currentColor", 0, 1),
    "frame_mask": MapStage("frame mask", "(B, T)", "currentColor", 2, 1),
    "attention_mask": MapStage("attention mask", "(B, 1, T, T)", "currentColor", 4, 1),
}
ROAD = ("samples", "feature_encoder", "projection", "positions", "transformer", "head")
MASKS = ("sample_mask", "frame_mask", "attention_mask")

WIDTH, HEIGHT, GAP, TOP, SECOND = 118, 46, 18, 34, 112


class LessonMap:
    """The map with some stages marked; HTML in Jupyter, text elsewhere."""

    def __init__(self, lesson: int):
        if lesson not in range(len(COURSE)):
            raise KeyError(f"there is no lesson {lesson}; lessons are numbered 0 to {len(COURSE) - 1}")
        self.lesson = COURSE[lesson]
        self.marked = self.lesson.stages

    @property
    def here(self) -> str:
        """Where the lesson stands, in words."""
        if not self.marked:
            return f"lesson {self.lesson.number}, {self.lesson.title}: the whole way"
        return f"lesson {self.lesson.number}, {self.lesson.title}: " + ", ".join(
            STAGES[key].name for key in self.marked
        )

    def __repr__(self) -> str:
        """Three lines: where we are, the road from samples to the head, the road of the masks."""
        roads = [" -> ".join(self._word(key) for key in road) for road in (ROAD, MASKS)]
        return f"{SIGN} {self.here}\n  data  {roads[0]}\n  masks {roads[1]}"

    def _word(self, key: str) -> str:
        stage = STAGES[key]
        return f"{SIGN} [{stage.name} {stage.shape}]" if key in self.marked else f"{stage.name} {stage.shape}"

    def _repr_html_(self) -> str:
        boxes = "".join(self._box(key) for key in STAGES)
        arrows = _arrows(ROAD) + _arrows(MASKS)
        width = 6 * (WIDTH + GAP) + 4
        data, masks = (" to ".join(f"{STAGES[key].name} {STAGES[key].shape}" for key in road) for road in (ROAD, MASKS))
        alt = f"Map of the model. You are at {self.here}. Data: {data}. Masks: {masks}."
        return (
            f'<svg viewBox="0 0 {width} 168" style="width:100%;max-width:{width}px" role="img" '
            f'aria-label="{escape(alt)}" '
            f'font-family="sans-serif" fill="currentColor">'
            f'<text x="4" y="18" font-size="14" font-weight="bold">{SIGN} {escape(self.here)}</text>'
            f"{arrows}{boxes}</svg>"
        )

    def _box(self, key: str) -> str:
        stage, marked = STAGES[key], key in self.marked
        x, y = _corner(stage)
        middle = x + WIDTH / 2
        name = f"{SIGN} {stage.name}" if marked else stage.name
        weight = ' font-weight="bold"' if marked else ""
        stroke = "currentColor" if marked else stage.colour
        return (
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{stage.colour}" '
            f'fill-opacity="{0.08 if stage.colour == "currentColor" else 0.18}" '
            f'stroke="{stroke}" stroke-width="{3.5 if marked else 1.2}"/>'
            f'<text x="{middle:g}" y="{y + 20}" text-anchor="middle" font-size="13"{weight}>{name}</text>'
            f'<text x="{middle:g}" y="{y + 37}" text-anchor="middle" font-size="12"{weight}>{stage.shape}</text>'
        )


def _corner(stage: MapStage) -> tuple[int, int]:
    return int(2 + stage.column * (WIDTH + GAP)), SECOND if stage.row else TOP


def _arrows(road: tuple[str, ...]) -> str:
    drawn = []
    for one, other in pairwise(road):
        (x1, y), (x2, _) = _corner(STAGES[one]), _corner(STAGES[other])
        start, end, y = x1 + WIDTH + 2, x2 - 3, y + HEIGHT // 2
        drawn.append(
            f'<path d="M{start},{y} H{end} m-5,-4 l5,4 l-5,4" fill="none" stroke="currentColor" stroke-width="1.4"/>'
        )
    return "".join(drawn)


def lesson_map(lesson: int) -> LessonMap:
    """The map at the head of a lesson.

    Parameters
    ----------
    lesson : int
        Number of the lesson, 0 to 11; its own stages are marked.
    """
    return LessonMap(lesson)
