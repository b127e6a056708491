"""Lesson 8: pre-training, a task that a model sets itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from course.common import *
from course.contents import COURSE
from course.exercise import Case
from course.pretraining_demo import PretrainingRecord
from w2vlearn.model import sample_time_mask
from w2vlearn.show import Picture, line_figure
from w2vlearn.show.pretraining_figure import choice_figure
from w2vlearn.show.track_figure import Track, pieces_of, track_figure

LESSON = COURSE[8]

# ---------------------------------------------------------------- what prose computes with

START = 0.065  # the paper, section 4.2: the share of frames that start a span
PROB = 0.65  # the same as Hugging Face and fairseq write it
OTHER_START, OTHER_SPAN = 0.04, 12  # exercise 8.1
HIDE = 10  # frames hidden in prediction 8.3
LONG_CLIP = 500  # frames

G, E = base.num_codevector_groups, base.num_codevectors_per_group
Q, P, K = base.codevector_dim, base.proj_codevector_dim, base.num_negatives
GUESS, TINY_GUESS = math.log(1 + K), math.log(1 + tiny.num_negatives)
HOT, COOL = 2, 0.5  # the Gumbel temperature of BASE at both ends of training
COLLAPSED = 0.0013  # the loss in Hugging Face's issue 12934
STEPS_TINY, STEPS_WITHOUT, STEPS_BASE = 100, 60, 400_000
CHOICE_FRAME = 10  # whose choice among the entries is drawn


def hidden_share(start: float, span: int = SPAN) -> float:
    """Share of frames that are hidden if each starts a span with this probability."""
    return 1 - (1 - start) ** span


# ---------------------------------------------------------------- what is drawn


def spans_figure(p: float) -> Picture:
    """A clip of 100 frames in which each frame begins a span with probability ``p``."""
    generator = torch.Generator().manual_seed(2)
    mask = sample_time_mask(torch.tensor([100]), 100, p * SPAN, min_spans=0, generator=generator)[0].tolist()
    return track_figure(
        [Track("frames", pieces_of(mask, "masked", "valid"), f"{sum(mask)} of 100 hidden")],
        x_label="frame t",
        title=f"mask_time_prob = p · {SPAN} = {p * SPAN:.3g}; hidden in a long clip: {hidden_share(p):.0%}",
        words={"valid": "solid: seen"},
    )


def softmax_figure(scores: torch.Tensor) -> Callable[[float], Picture]:
    """How sharp the choice of one frame is at a temperature; ``scores`` (T, G, E), the noise always the same."""
    noise = -torch.empty(scores.shape[1:]).exponential_(generator=torch.Generator().manual_seed(0)).log()  # (G, E)
    noisy = scores[CHOICE_FRAME] + noise

    def draw(temperature: float) -> Picture:
        shares = (noisy / temperature).softmax(dim=-1)
        return choice_figure(shares, shares.argmax(dim=-1), title=f"Frame {CHOICE_FRAME}, temperature {temperature:g}")

    return draw


def _row(mask: list[bool], length: int, frames: int) -> list[tuple[int, int, str]]:
    """The pieces of one clip: hidden, seen, padding."""
    return [*pieces_of(mask[:length], "masked", "valid"), *([(length, frames, "padding")] * (length < frames))]


def masks_figure(time_mask: torch.Tensor, frame_lengths: torch.Tensor) -> Picture:
    """A time mask (B, T) beside the padding of the batch."""
    frames = time_mask.shape[1]
    tracks = [
        Track(f"clip {clip}", _row(mask, length, frames), f"{sum(mask)} of {length} hidden")
        for clip, (mask, length) in enumerate(zip(time_mask.tolist(), frame_lengths.tolist(), strict=True))
    ]
    return track_figure(tracks, x_label="frame t", title="Time mask and padding", words={"valid": "solid: seen"})


def negatives_figure(
    time_mask: torch.Tensor, frame_lengths: torch.Tensor, negatives: torch.Tensor, clip: int
) -> Callable[[int], Picture]:
    """Where the negatives of a frame of ``clip`` lie among all clips of the batch."""
    frames = time_mask.shape[1]

    def draw(t: int) -> Picture:
        rows = sorted(negatives[clip, t].tolist())
        tracks = []
        for number, (mask, length) in enumerate(zip(time_mask.tolist(), frame_lengths.tolist(), strict=True)):
            pieces = _row(mask, length, frames)
            marks = [row % frames + 0.5 for row in rows if row // frames == number]
            tracks.append(Track(f"clip {number}", pieces, f"{len(marks)} negatives", marks))
        places = ", ".join(f"frame {row % frames} of clip {row // frames}" for row in rows)
        picture = track_figure(
            tracks,
            x_label="frame t",
            title=f"Negatives of frame {t} of clip {clip}, row {clip * frames + t}",
            seams=[t + 0.5],
            words={"valid": "solid: seen"},
            mark=f"a negative; the dashed line: frame {t} itself",
            alt=f"Negatives of frame {t} of clip {clip}, which is row {clip * frames + t}: {places}.",
        )
        return Picture(picture.html, picture.alt)

    return draw


def _late(values: Sequence[float]) -> float:
    """The mean of the last ten: single steps jump."""
    return sum(values[-10:]) / 10


def loss_figure(record: PretrainingRecord) -> Picture:
    """The contrastive loss over the steps, beside what a guess costs."""
    end = round(_late(record.contrastive_loss))
    return line_figure(
        range(len(record)),
        {"loss": record.contrastive_loss, "a guess": [record.guess] * len(record)},
        title="Contrastive loss",
        x_label="step",
        y_label="loss per hidden frame",
        limits=(0, 4),
        measured=True,
        alt=f"The loss falls in {len(record)} steps from above a guess, {record.guess:.1f}, to about {end}.",
    )


def entries_figure(record: PretrainingRecord, without: PretrainingRecord) -> Picture:
    """Entries in use, with the diversity loss and without it, as far as both were trained."""
    steps = min(len(record), len(without))
    many, few = (round(_late(run.perplexity[:steps]), -1) for run in (record, without))
    return line_figure(
        range(steps),
        {"with diversity loss": record.perplexity[:steps], "without": without.perplexity[:steps]},
        title=f"Entries in use, of {record.entries}",
        x_label="step",
        y_label="perplexity",
        limits=(0, record.entries),
        measured=True,
        alt=f"In use after {steps} steps: about {many:.0f} with the diversity loss, {few:.0f} without it.",
    )


# ---------------------------------------------------------------- exercises


def _mask_cases() -> list[Case]:
    """Two clips of six frames, the second with two padded ones (which no time mask marks)."""
    mask = torch.tensor([[0, 1, 1, 0, 1, 0], [1, 1, 0, 1, 0, 0]], dtype=torch.bool)
    return [
        Case(mask, 0, 2, label="mask, 0, 2", because="Frame 1 and frame four of the clip are hidden, too."),
        Case(mask, 1, 0, label="mask, 1, 0", because="Clip 1 begins at row six: T rows come before it."),
        Case(mask, 1, 3, label="mask, 1, 3", because="Clip 1, frames 0 and 1: rows six and seven."),
        Case(mask, 0, 1, label="mask, 0, 1", because="The frame itself is the right answer, so it is left out."),
    ]


def _loss_case(
    predicted: list[float], target: list[float], negatives: list[list[float]], temperature: float, because: str
) -> Case:
    """Vectors of two numbers, so that cosines can be seen."""
    label = f"{predicted}, {target}, {negatives}, {temperature}"
    return Case(*map(torch.tensor, (predicted, target, negatives)), temperature, label=label, because=because)


CASES = {
    "8.2": (
        Case([[0, 5], [1]], [10, 6], 10, 4, because="Each start hides itself and the three frames after it."),
        Case(
            [[6], [2, 3]],
            [10, 6],
            10,
            4,
            because="A span may end with the clip's last valid frame; one frame further, it is left out.",
        ),
        Case(
            [[7, 2], [8]],
            [10, 6],
            10,
            4,
            because="A span that does not fit is left out whole, at the end of the longest clip as well.",
        ),
        Case([[0, 2]], [6], 6, 3, because="Spans may overlap; hidden twice is hidden."),
    ),
    "8.3": _mask_cases,
    "8.4": lambda: [
        _loss_case([1.0, 0.0], [3.0, 0.0], [[0.0, 2.0], [-1.0, 0.0]], 0.5, "The cosines are 1 (positive), 0 and -1."),
        _loss_case([2.0, 2.0], [1.0, 0.0], [[0.0, 1.0], [1.0, 1.0]], 0.5, "Length does not count, only direction."),
        _loss_case(
            [1.0, 0.0],
            [1.0, 1.0],
            [[1.0, 1.0], [0.0, 1.0]],
            0.5,
            "The first negative equals the target: it is no wrong answer and takes no part.",
        ),
        _loss_case([0.0, 1.0], [1.0, 0.0], [[0.0, 1.0]], 1.0, "With temperature 1 the cosines stay as they are."),
    ],
}
