"""The same small map of the model at the head of every lesson: samples to frames to heads, the masks below.

The lesson's own stages carry a sign (▶), a double border, bold type and a ground of their colour; the others step back.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from course.contents import COURSE
from course.logbook import asked_again
from w2vlearn.show import palette

__all__ = ["STAGES", "LessonMap", "lesson_map"]

SIGN = "▶"


@dataclass(frozen=True)
class MapStage:
    """A box of the map: name, shape of what comes out, colour."""

    name: str
    shape: str
    colour: str


GREY = palette.WAVEFORM.colour  # JupyterLab takes currentColor out of a notebook that is not trusted yet
STAGES: dict[str, MapStage] = {
    "samples": MapStage("samples", "(B, L)", palette.WAVEFORM.colour),
    "feature_encoder": MapStage("feature encoder", "(B, T, 512)", palette.FEATURE_ENCODER.colour),
    "projection": MapStage("projection", "(B, T, 768)", palette.PROJECTION.colour),
    "positions": MapStage("positions", "(B, T, 768)", palette.POSITIONS.colour),
    "transformer": MapStage("Transformer", "(B, T, 768)", palette.TRANSFORMER.colour),
    "head": MapStage("head", "(B, T, V)", palette.HEAD.colour),
    "sample_mask": MapStage("sample mask", "(B, L)", GREY),
    "frame_mask": MapStage("frame mask", "(B, T)", GREY),
    "attention_mask": MapStage("attention mask", "(B, 1, T, T)", GREY),
}
DATA_PATH = ("samples", "feature_encoder", "projection", "positions", "transformer", "head")
MASKS = ("sample_mask", "frame_mask", "attention_mask")


class LessonMap:
    """The map with some stages marked; HTML in Jupyter, text elsewhere."""

    def __init__(self, lesson: int):
        if lesson not in range(len(COURSE)):
            raise KeyError(f"there is no lesson {lesson}; lessons are numbered 0 to {len(COURSE) - 1}")
        self.lesson = COURSE[lesson]
        self.marked = self.lesson.stages
        self.asked_again = asked_again(lesson)

    @property
    def position(self) -> str:
        """Where the lesson stands, in words."""
        if not self.marked:
            return f"lesson {self.lesson.number}, {self.lesson.title}: the whole way"
        return f"lesson {self.lesson.number}, {self.lesson.title}: " + ", ".join(
            STAGES[key].name for key in self.marked
        )

    def __repr__(self) -> str:
        """Three lines: where we are, the path of the data from samples to the head, the path of the masks."""
        paths = [" -> ".join(self._word(key) for key in stages) for stages in (DATA_PATH, MASKS)]
        asked = "".join(f"\n\n{text}\n\n{question}" for text, question in self._questions())
        return f"{SIGN} {self.position}\n  data  {paths[0]}\n  masks {paths[1]}{asked}"

    def _questions(self) -> list[tuple[str, str]]:
        """The predictions that were missed earlier: how to answer, and the question as plain text."""
        return [
            (f'Asked again, because you missed it. Answer in a cell of your own: again("{name}", …)', question)
            for name, question in self.asked_again
        ]

    def _word(self, key: str) -> str:
        stage = STAGES[key]
        return f"{SIGN} [{stage.name} {stage.shape}]" if key in self.marked else f"{stage.name} {stage.shape}"

    def _repr_html_(self) -> str:
        """A table, not a drawing: it shows in a notebook that is not trusted yet, where drawings are taken out."""
        data = [part for key in DATA_PATH for part in (self._box(key), _arrow(1))][:-1]
        masks = [*[part for key in MASKS for part in (self._box(key), _arrow(3))][:-1], _cell("", 2)]
        rows = "".join(
            f'<tr style="background:none">{"".join(row)}</tr>' for row in (data, [_cell("&nbsp;", 11)], masks)
        )
        return (
            f'<div role="figure" aria-label="{escape(f"Map of the model. You are at {self.position}.")}">'
            f'<div style="font-weight:bold;margin:2px 0 6px">{SIGN} {escape(self.position)}</div>'
            '<table role="presentation" style="border-collapse:separate;border-spacing:0;margin:0;width:100%;'
            'table-layout:auto">'
            f"{rows}</table></div>"
            + "".join(
                f'<p><b>{escape(text)}</b></p><pre style="white-space:pre-wrap">{escape(question)}</pre>'
                for text, question in self._questions()
            )
        )

    def _box(self, key: str) -> str:
        stage, marked = STAGES[key], key in self.marked
        style = "text-align:center;padding:6px 4px;white-space:nowrap;border-radius:6px;width:14%"
        if marked:
            style += f";border:4px double {stage.colour};font-weight:bold;background-color:{_tint(stage.colour)}"
        else:
            style += f";border:1px solid {stage.colour}" + (";opacity:0.65" if self.marked else "")
        name = f"{SIGN} {stage.name}" if marked else stage.name
        return f'<td style="{style}">{name}<br>{stage.shape}</td>'


def _tint(colour: str) -> str:
    """A pale ground of a colour, for light and dark pages."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.22)"


def _arrow(columns: int) -> str:
    return _cell("→" if columns == 1 else "─────────→", columns)


def _cell(text: str, columns: int) -> str:
    """A cell without a border."""
    return f'<td colspan="{columns}" style="text-align:center;padding:0 3px;border:none">{text}</td>'


def lesson_map(lesson: int) -> LessonMap:
    """The map at the head of a lesson.

    Parameters
    ----------
    lesson : int
        Number of the lesson; its own stages are marked.
    """
    return LessonMap(lesson)
