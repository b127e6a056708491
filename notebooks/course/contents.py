"""The lessons: number, file, title, minutes, and which stages of the map each one is about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from course.exercise import Exercise, LessonTexts, Prediction, Recall
from course.lesson_text import read
from w2vlearn import Wav2Vec2Config

BASE = Wav2Vec2Config.base()

__all__ = ["COURSE", "Lesson", "content", "exercise", "lesson", "names_for", "prediction", "recall", "texts"]


@dataclass(frozen=True)
class Lesson:
    """One lesson as the course knows it."""

    number: int  # its place in `COURSE`
    file: str  # name of the notebook in ``notebooks/``, without its ending
    title: str  # as in the notebook's heading
    minutes: int  # for a learner who does the core exercises
    stages: tuple[str, ...] = ()  # keys of `course.model_map.STAGES` that it is about; empty: the whole way

    @property
    def heading(self) -> str:
        """The notebook's H1, without the hash: ``"2 · From 16 000 samples to 49 frames"``."""
        return f"{self.number} · {self.title}"


COURSE: tuple[Lesson, ...] = (
    Lesson(0, "00_the_question", "The question", 15),
    Lesson(1, "01_waveforms_and_batches", "Waveforms and batches", 40, ("samples", "sample_mask")),
    Lesson(2, "02_feature_encoder", "From samples to frames", 45, ("feature_encoder",)),
    Lesson(3, "03_feature_projection", f"{BASE.conv_dim[-1]} becomes {BASE.hidden_size}", 40, ("projection",)),
    Lesson(4, "04_masks", "Masks", 45, ("sample_mask", "frame_mask", "attention_mask")),
    Lesson(5, "05_alone_or_in_a_batch", "Alone or in a batch", 40, ("samples", "feature_encoder", "frame_mask")),
    Lesson(6, "06_positions_and_attention", "Positions and attention", 40, ("positions", "transformer")),
    Lesson(7, "07_ctc", "From frames to text", 45, ("head",)),
    Lesson(8, "08_pretraining", "Pre-training", 45, ("feature_encoder", "head")),
    Lesson(9, "09_long_audio", "Long audio", 40),
    Lesson(10, "10_your_own_model", "Your own model", 35),
    Lesson(11, "11_error_gallery", "Error gallery", 20),
    Lesson(12, "12_other_clocks", "Other clocks", 45, ("transformer",)),
    Lesson(13, "13_train_with_the_lengths_right", "Train with the lengths right", 45, ("sample_mask", "head")),
)


def lesson(number: int) -> Lesson:
    """The lesson of this number.

    Raises
    ------
    KeyError
        If there is none; `content` and `texts` raise it, too.
    """
    if number not in range(len(COURSE)):
        raise KeyError(f"there is no lesson {number}; lessons are numbered 0 to {len(COURSE) - 1}")
    return COURSE[number]


def content(number: int) -> ModuleType:
    """The module that a lesson computes with, ``course.lesson_02`` for 2."""
    return import_module(f"course.lesson_{lesson(number).number:02d}")


@cache
def texts(number: int) -> LessonTexts:
    """What a lesson asks, from its Markdown file."""
    return read(Path(__file__).with_name(f"lesson_{number:02d}.md"), content(number))


def exercise(identifier: str) -> Exercise:
    """The exercise called ``"2.1"``."""
    return _look_up(str(identifier), "exercise")


def prediction(identifier: str) -> Prediction:
    """The prediction called ``"2.1"``."""
    return _look_up(str(identifier), "prediction")


def recall(identifier: str) -> Recall:
    """The recall question called ``"2.1"``."""
    return _look_up(str(identifier), "recall")


def names_for(identifier: str) -> dict[str, Any]:
    """What the texts of exercise or prediction ``"2.1"`` compute with: the names of its lesson's file."""
    return vars(content(int(identifier.split(".")[0])))


def _look_up(identifier: str, kind: str) -> Any:
    try:
        number = int(identifier.split(".")[0])
    except ValueError:
        raise KeyError(f'{kind}s are called like "2.1", found {identifier!r}') from None
    known = {item.id: item for item in getattr(texts(number), f"{kind}s")}
    if identifier not in known:
        raise KeyError(f"lesson {number} has no {kind} {identifier!r}; it has {', '.join(known) or 'none'}")
    return known[identifier]
