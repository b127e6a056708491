"""Lesson 7: one row of scores per frame becomes text, and text gets its times back."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Sequence
from functools import cache
from importlib import resources

import torch

from course.contents import COURSE
from course.exercise import Case
from course.player import digits_clip
from w2vlearn import FrameGeometry, Wav2Vec2Config, load, transcribe

LESSON = COURSE[7]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
T = geometry.frame_count
SECOND, HOP, FIELD = geometry.sample_rate, geometry.hop, geometry.receptive_field
HOP_MS, FIELD_MS = HOP * 1000 // SECOND, FIELD * 1000 // SECOND
V = config.vocab_size
SHORT = SECOND // 5  # samples of a clip that is too short for its labels
SHORT_TEXT = "ZERO ONE SIX"
WORD = "THREE"
IGNORED = 100  # -100 fills rows of labels up
OLD_RATE = 8  # kHz, of the wrong lengths
SAME = (T(SECOND) + 1) // 2  # equal labels that fit into a second
CLIP = "telephone"

SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config
geometry = FrameGeometry.from_config(Wav2Vec2Config.base())
"""


@cache
def said(name: str) -> str:
    """What is spoken in such a clip."""
    file = resources.files("w2vlearn") / "data" / "digits_clips" / "digits.json"
    return json.loads(file.read_text(encoding="utf-8"))[name]["says"]


@cache
def words_right(norm: str) -> float:
    """Per cent of words right in clean speech of held-out voices, as measured when the model was trained."""
    file = resources.files("w2vlearn") / "data" / f"digits_{norm}" / "metrics.json"
    return 100 * json.loads(file.read_text(encoding="utf-8"))["word_accuracy"]["held-out voices"]


@cache
def transcript(norm: str, name: str):
    """What a digit model hears in an example clip."""
    return transcribe(load(f"digits-{norm}"), digits_clip(name))


def row_of(tokens: Sequence[str]) -> str:
    """Best tokens of all frames as one row: a letter each, ``_`` for the blank."""
    return "".join(token or "_" for token in tokens)


def repeats(labels: Sequence) -> int:
    """Neighbours that are equal: each pair needs a blank between its two."""
    return sum(a == b for a, b in itertools.pairwise(labels))


def ways(labels: Sequence, frames: int) -> int:
    """How many rows of ``frames`` tokens collapse to ``labels``: CTC's sum over paths (Graves et al. 2006, section 4.1).

    The labels with a blank before, between and after them are a row of states; a path stays, takes one step, or jumps
    over a blank that stands between two different labels.
    """
    states = [None]  # the blank
    for label in labels:
        states += [label, None]
    counts = [1, *([0] * (len(states) - 1))]  # before the first frame, so that a step leads to the first label
    for frame in range(frames):
        after = []
        for state, label in enumerate(states):
            total = counts[state] if frame or not state else 0
            if state:
                total += counts[state - 1]
            if state > 1 and label is not None and label != states[state - 2]:
                total += counts[state - 2] if frame else 0
            after.append(total)
        counts = after
    return sum(counts[-2:]) if frames else int(not labels)


def earliest(labels: str, frames: int) -> str:
    """The row that writes every letter as early as it can; empty if there is none."""
    row = ""
    for letter in labels:
        row += ("_" if row.endswith(letter) else "") + letter
    return row + "_" * (frames - len(row)) if len(row) <= frames else ""


def plain_loss(labels: Sequence[int], frames: int, zero_infinity: bool = False) -> float:
    """CTC loss of labels when all V scores are equal in all frames."""
    from w2vlearn.model.ctc import ctc_loss

    settings = dataclasses.replace(config, ctc_loss_reduction="sum", ctc_zero_infinity=zero_infinity)
    return float(ctc_loss(torch.zeros(1, frames, V), torch.tensor([list(labels)]), torch.tensor([frames]), settings))


def _loss_counts_ways() -> bool:
    ids = [ord(letter) % 20 + 5 for letter in WORD]
    expected = [frames * math.log(V) - math.log(ways(ids, frames)) for frames in (6, 7, 12)]
    return all(math.isclose(plain_loss(ids, n), e, rel_tol=1e-4) for n, e in zip((6, 7, 12), expected, strict=True))


def _enumerated() -> bool:
    from w2vlearn.transcription.ctc_decoding import collapse

    for labels in ([1], [1, 1], [1, 2], [1, 1, 2], [1, 2, 1], [2, 2, 2]):
        for frames in range(1, 7):
            rows = itertools.product(range(3), repeat=frames)
            count = sum([label for label, _ in collapse(row, 0)] == labels for row in rows)
            if count != ways(labels, frames) or (count > 0) != (frames >= len(labels) + repeats(labels)):
                return False
    return True


def raw_loss(logits: torch.Tensor, labels: torch.Tensor, frame_lengths: torch.Tensor, filling: int) -> torch.Tensor:
    """Torch's own loss of each clip: -100 becomes ``filling``, and every label but -100 is counted. Shape: (B,)."""
    filled = torch.where(labels == -100, filling, labels)  # (B, U)
    log_probs = logits.log_softmax(-1).transpose(0, 1)  # (B, T, V) -> (T, B, V)
    counted = (filled != -100).sum(1)
    return torch.nn.functional.ctc_loss(log_probs, filled, frame_lengths, counted, reduction="none")


def _no_gradient() -> bool:
    logits = torch.randn(9, 1, V, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.tensor([[5, 6] * 6])
    arguments = (logits.log_softmax(-1), labels, torch.tensor([9]), torch.tensor([labels.shape[1]]))
    loss = torch.nn.functional.ctc_loss(*arguments, zero_infinity=True)
    loss.backward()
    return loss.item() == 0 and not logits.grad.any()


def stretched_ms(samples: int, t: int) -> float:
    """Where duration / frames puts frame t, in ms."""
    return t * samples / T(samples) * 1000 / SECOND


# ---------------------------------------------------------------- exercises


CASES = {
    "7.1": (
        Case([7, 7, 0, 5, 5, 5], 0, because="Neighbours that are equal count as one, and the blank goes."),
        Case([7, 0, 7], 0, because="A blank between two equal letters keeps both."),
        Case([7, 5, 7], 0, because="Equal letters that are no neighbours are two letters."),
        Case([0, 0, 0], 0, because="A row of blanks is an empty text."),
        Case([3, 3, 1, 3], 3, because="Here the blank is {{3}}, not 0."),
        Case([], 0, because="No frame, no label."),
    ),
    "7.2": (
        Case([5, 6, 7], because="Three different letters need three frames and no blank."),
        Case([10, 6, 12, 5, 5], because="THREE: five letters, and one blank between E and E."),
        Case([5, 5, 5], because="Two pairs of equal neighbours: two blanks."),
        Case([5, 6, 5], because="The two equal labels are no neighbours; nothing merges."),
        Case([], because="Nothing fits into no frame."),
    ),
    "7.3": (
        Case([[7, 8, 5], [11, 9]], because="The short row is filled up with -{{IGNORED}}."),
        Case([[7], [8, 5, 5, 4]], because="Every row is as long as the longest."),
        Case([[7, 8], [5, 6]], because="Nothing to fill up here."),
    ),
    "7.4": (
        Case(0, 0, because="Frame 0 reads the first {{FIELD}} samples, {{FIELD_MS}} ms."),
        Case(48, 48, because="The last frame of a second begins {{T(SECOND) - 1}} hops after its start."),
        Case(16, 20, because="From the start of the first frame to the end of the last."),
        Case(100, 149, because="A window is longer than a hop."),
    ),
    "7.5": (
        Case(
            2000,
            [(0.02, 0.07)],
            because="Five frames hold, as `frame_count` says, the first centre at {{geometry.centre_ms(0)}} ms, then one every {{HOP_MS}} ms.",
        ),
        Case(
            1720,
            [(0.0, 0.0125), (0.0525, 1.0)],
            because="A centre at the very end of a word is outside, at its start inside.",
        ),
        Case(3200, [], because="No words: zeros for all frames."),
        Case(399, [(0.0, 1.0)], because="Too short for a frame: no labels."),
        Case(4000, [(0.045, 0.051)], because="A short sound that lies on no centre marks no frame."),
        Case(70_000, [(4.01, 4.014)], because="Four seconds later the centres still lie {{HOP_MS}} ms apart."),
    ),
}

# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {
    "exactly as many rows as `ways` counts": _enumerated,
    "is exactly the logarithm": _loss_counts_ways,
    "its gradient is exactly zero": _no_gradient,
}
