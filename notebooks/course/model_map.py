"""The same small map of the model at the head of every lesson: samples to frames to heads, the masks below.

The lesson's own stages carry a sign (▶), a double border, bold type and a ground of their colour; the others step back.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from course import contents, logbook
from w2vlearn.show import palette

__all__ = ["STAGES", "LessonMap", "lesson_map"]

SIGN = "▶"
ASK = 'Asked again, because you missed it. Answer in a cell of your own: again("{}", …)'


class MapStage(NamedTuple):
    """A box of the map; ``shape`` is that of what comes out."""

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


def lesson_map(lesson: int) -> LessonMap:
    """The map at the head of a lesson, which is given by its number; the lesson's own stages are marked."""
    return LessonMap(contents.lesson(lesson))


class LessonMap:
    """The map with some stages marked, and the predictions to answer again; HTML in Jupyter, text elsewhere."""

    def __init__(self, lesson: contents.Lesson):
        self.marked = lesson.stages
        stages = ", ".join(STAGES[key].name for key in self.marked) or "the whole way"
        self.position = f"lesson {lesson.number}, {lesson.title}: {stages}"
        self.asked_again = logbook.asked_again(lesson.number)

    def __repr__(self) -> str:
        """Three lines: where we are, the path of the data from samples to the head, the path of the masks."""
        data, masks = (" -> ".join(self._word(key) for key in stages) for stages in (DATA_PATH, MASKS))
        asked = "".join(f"\n\n{ASK.format(name)}\n\n{question}" for name, question in self.asked_again)
        return f"{SIGN} {self.position}\n  data  {data}\n  masks {masks}{asked}"

    def _word(self, key: str) -> str:
        stage = STAGES[key]
        return f"{SIGN} [{stage.name} {stage.shape}]" if key in self.marked else f"{stage.name} {stage.shape}"

    def _repr_html_(self) -> str:
        """A table, not a drawing: it shows in a notebook that is not trusted yet, where drawings are taken out."""
        data = _cell("→").join(map(self._box, DATA_PATH))
        masks = _cell("─────────→", 3).join(map(self._box, MASKS)) + _cell("", 2)
        rows = "".join(f'<tr style="background:none">{row}</tr>' for row in (data, _cell("&nbsp;", 11), masks))
        asked = "".join(
            f'<p><b>{escape(ASK.format(name))}</b></p><pre style="white-space:pre-wrap">{escape(question)}</pre>'
            for name, question in self.asked_again
        )
        return (
            f'<div role="figure" aria-label="{escape(f"Map of the model. You are at {self.position}.")}">'
            f'<div style="font-weight:bold;margin:2px 0 6px">{SIGN} {escape(self.position)}</div>'
            '<table role="presentation" style="border-collapse:separate;border-spacing:0;margin:0;width:100%;'
            f'table-layout:auto">{rows}</table></div>{asked}'
        )

    def _box(self, key: str) -> str:
        stage, marked = STAGES[key], key in self.marked
        style = "text-align:center;padding:6px 4px;white-space:nowrap;border-radius:6px;width:14%"
        if marked:
            red, green, blue = bytes.fromhex(stage.colour[1:])  # pale, for light and dark pages
            ground = f"rgba({red}, {green}, {blue}, 0.22)"
            style += f";border:4px double {stage.colour};font-weight:bold;background-color:{ground}"
        else:
            style += f";border:1px solid {stage.colour}" + (";opacity:0.65" if self.marked else "")
        return f'<td style="{style}">{f"{SIGN} " * marked}{stage.name}<br>{stage.shape}</td>'


def _cell(text: str, columns: int = 1) -> str:
    """A cell without a border."""
    return f'<td colspan="{columns}" style="text-align:center;padding:0 3px;border:none">{text}</td>'
