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

from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.exercise import Case, Exercise, Prediction, Rule, Wrong
from w2vlearn.lessons.listening import digits_clip

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
    from w2vlearn.checkpoints import load
    from w2vlearn.transcription import transcribe

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
        for here, label in enumerate(states):
            total = counts[here] if frame or not here else 0
            if here:
                total += counts[here - 1]
            if here > 1 and label is not None and label != states[here - 2]:
                total += counts[here - 2] if frame else 0
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
            found = sum([label for label, _ in collapse(row, 0)] == labels for row in rows)
            if found != ways(labels, frames) or (found > 0) != (frames >= len(labels) + repeats(labels)):
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


# ---------------------------------------------------------------- predictions

PREDICTIONS = (
    Prediction(
        id="7.1",
        question="""
A second of speech has {{T(SECOND)}} frames. The label is one letter, again and again: `OOOO…`. How many Os fit in at most, with a finite loss?
""",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            between two equal letters one frame must say blank: {{SAME}} letters and {{SAME - 1}} blanks are
            {{2 * SAME - 1}} frames.
        """,
        rules=(
            Rule(
                T(SECOND),
                """That many fit as long as no neighbours are equal. Equal ones merge, unless a blank keeps them
                apart, and that blank costs a frame.""",
            ),
            Rule(
                SAME - 1,
                """That is the famous rule {{2}}U + 1, found in many threads: blanks before, between and after. The ones
                before and after may be skipped, so one more fits.""",
            ),
            Rule(
                1,
                """One is what remains if all {{T(SECOND)}} frames say O. But a frame may also say blank, and then a new
                O begins.""",
            ),
        ),
    ),
    Prediction(
        id="7.2",
        question="""
A clip of one second has {{T(SECOND)}} frames. When does the last one, frame {{T(SECOND) - 1}}, begin? (in milliseconds)
""",
        stub="prediction = None  # milliseconds; running on without one is fine",
        because="a frame begins every {{HOP_MS}} ms, however long the clip is: {{T(SECOND) - 1}} times {{HOP_MS}} ms.",
        rules=(
            Rule(
                lambda guess, is_: abs(guess - stretched_ms(SECOND, T(SECOND) - 1)) < 1,
                """That is duration / frames, as many tutorials do it. It stretches the grid over the whole clip; but the
                frames stop before the end, and the rate stays {{HOP_MS}} ms.""",
            ),
            Rule(
                lambda guess, is_: abs(guess - (1000 - HOP_MS)) < 1e-6,
                """One hop before the end, if there were {{SECOND // HOP}} frames. There are {{T(SECOND)}}, since a frame
                reads {{FIELD_MS}} ms.""",
            ),
            Rule(
                lambda guess, is_: abs(guess - (1000 - FIELD_MS)) < 1e-6,
                """{{FIELD_MS}} ms before the end: right, if the last frame ended where the clip ends. It stops
                {{len(geometry.unread(SECOND))}} samples earlier; they are read by nobody.""",
            ),
            Rule(
                lambda guess, is_: abs(guess - geometry.centre_ms(T(SECOND) - 1)) < 1e-6,
                "Its centre, very good. It begins half a window earlier.",
            ),
        ),
    ),
)

# ---------------------------------------------------------------- exercises


def wrong_collapse(body: str) -> str:
    """A wrong answer to exercise 7.1 around these lines."""
    return "def collapse(ids, blank):\n" + "\n".join(f"    {line}" for line in body.strip().splitlines())


EXERCISES = (
    Exercise(
        id="7.1",
        title="collapse a row",
        level="warm-up",
        minutes=5,
        task="""
Write `collapse(ids, blank)`: the best token of every frame, a list of integers, gives the list of labels that CTC reads in it.
""",
        name="collapse",
        stub="def collapse(ids, blank):\n    return ...",
        hints=(
            "Two rules, and their order matters. What tells two letters from one long one?",
            "Keep a token if it differs from the one in the frame *before* it, then drop the blanks. `zip([None, *ids], ids)` walks through neighbours.",
        ),
        solution="""
def collapse(ids, blank):
    return [now for before, now in zip([None, *ids], ids) if now != before and now != blank]
""",
        says="first merge, then drop: so the blank can keep two equal letters apart. `collapse` in `w2vlearn/transcription/ctc_decoding.py` also keeps the frames.",
        cases=(
            Case([7, 7, 0, 5, 5, 5], 0, because="Neighbours that are equal count as one, and the blank goes."),
            Case([7, 0, 7], 0, because="A blank between two equal letters keeps both."),
            Case([7, 5, 7], 0, because="Equal letters that are no neighbours are two letters."),
            Case([0, 0, 0], 0, because="A row of blanks is an empty text."),
            Case([3, 3, 1, 3], 3, because="Here the blank is {{3}}, not 0."),
            Case([], 0, because="No frame, no label."),
        ),
        wrongs=(
            Wrong(
                "blanks first",
                wrong_collapse(
                    "ids = [i for i in ids if i != blank]\nreturn [b for a, b in zip([None, *ids], ids) if a != b]"
                ),
                """both rules are there, in the other order: the blanks are gone before they can keep two equal letters
                apart. What becomes of a blank between two equal ids?""",
            ),
            Wrong(
                "no merging",
                wrong_collapse("return [i for i in ids if i != blank]"),
                "the blanks are gone, but a letter that holds three frames is still one letter.",
            ),
            Wrong(
                "no dropping",
                wrong_collapse("return [b for a, b in zip([None, *ids], ids) if a != b]"),
                "neighbours are merged. The blank is no letter, though: it must not be in the text.",
            ),
            Wrong(
                "each label once",
                wrong_collapse("return [i for i in dict.fromkeys(ids) if i != blank]"),
                "a letter may come again later. Only *neighbours* merge.",
            ),
            Wrong(
                "blank is 0",
                wrong_collapse("return [b for a, b in zip([None, *ids], ids) if a != b and b != 0]"),
                "the id of the blank is handed over as `blank`; not every vocabulary has it at 0.",
            ),
        ),
    ),
    Exercise(
        id="7.2",
        title="does it fit?",
        level="core",
        minutes=6,
        task="""
Write `frames_needed(labels)`: the least number of frames into which these labels fit.
""",
        name="frames_needed",
        stub="def frames_needed(labels):\n    return ...",
        hints=(
            "Move the slider to the first T that offers a way. What fills its row?",
            "One frame for each label, one more for each pair of *neighbours* that are equal. `zip(labels, labels[1:])` gives the pairs.",
        ),
        solution="""
def frames_needed(labels):
    return len(labels) + sum(a == b for a, b in zip(labels, labels[1:]))
""",
        says="any clip with fewer real frames has an infinite loss. Check it before training, clip by clip.",
        cases=(
            Case([5, 6, 7], because="Three different letters need three frames and no blank."),
            Case([10, 6, 12, 5, 5], because="THREE: five letters, and one blank between E and E."),
            Case([5, 5, 5], because="Two pairs of equal neighbours: two blanks."),
            Case([5, 6, 5], because="The two equal labels are no neighbours; nothing merges."),
            Case([], because="Nothing fits into no frame."),
        ),
        wrongs=(
            Wrong(
                "one each",
                "def frames_needed(labels):\n    return len(labels)",
                "that is enough as long as no neighbours are equal. What would three equal ones in three frames collapse to?",
            ),
            Wrong(
                "2U + 1",
                "def frames_needed(labels):\n    return 2 * len(labels) + 1",
                "that is a blank before, between and after all letters. They *may* stand there, but most can be skipped.",
            ),
            Wrong(
                "2U - 1",
                "def frames_needed(labels):\n    return max(0, 2 * len(labels) - 1)",
                "a blank between *all* neighbours is more than is needed: different letters stay two without one.",
            ),
            Wrong(
                "all duplicates",
                "def frames_needed(labels):\n    return 2 * len(labels) - len(set(labels))",
                "equal letters far from each other do not merge. Count neighbours only.",
            ),
        ),
    ),
    Exercise(
        id="7.3",
        title="labels in a rectangle",
        level="core",
        minutes=5,
        task="""
Write `label_batch(rows)`: a list of rows of ids, of different length, becomes one tensor `(B, U)` of integers that `ctc_loss` takes, in transformers too.
""",
        name="label_batch",
        stub="def label_batch(rows):\n    return ...",
        hints=(
            "A tensor is a rectangle, so the short rows are filled up at their end. Which number says “no label here”?",
            "U is the length of the longest row; `row + [-{{IGNORED}}] * (U - len(row))` fills one up.",
        ),
        solution="""
def label_batch(rows):
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [-100] * (longest - len(row)) for row in rows])
""",
        says="-{{IGNORED}} is cut out before the loss sees it; the audio's padding is another matter, and another mask.",
        cases=(
            Case([[7, 8, 5], [11, 9]], because="The short row is filled up with -{{IGNORED}}."),
            Case([[7], [8, 5, 5, 4]], because="Every row is as long as the longest."),
            Case([[7, 8], [5, 6]], because="Nothing to fill up here."),
        ),
        wrongs=(
            Wrong(
                "0",
                """
def label_batch(rows):
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows])
""",
                """0 is what the *audio* is padded with. As a label it is the blank: newer versions drop it, older ones
                and torch's own loss take it for a label to be spoken.""",
            ),
            Wrong(
                "-1",
                """
def label_batch(rows):
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [-1] * (longest - len(row)) for row in rows])
""",
                "the filling is at the right place. The number that losses leave out by agreement is another one: torch calls it `ignore_index`.",
            ),
            Wrong(
                "blanks between",
                """
def label_batch(rows):
    rows = [[part for label in row for part in (label, 0)][:-1] for row in rows]
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [-100] * (longest - len(row)) for row in rows])
""",
                """-{{IGNORED}} is right. You put blanks between the labels, though: the loss adds them by itself, wherever a row
                needs them.""",
            ),
            Wrong(
                "filled at the front",
                """
def label_batch(rows):
    longest = max(len(row) for row in rows)
    return torch.tensor([[-100] * (longest - len(row)) + row for row in rows])
""",
                "right number, other end: audio and labels are both padded on the right.",
            ),
            Wrong(
                "cut",
                """
def label_batch(rows):
    shortest = min(len(row) for row in rows)
    return torch.tensor([row[:shortest] for row in rows])
""",
                "that cuts the long rows: nobody ever learns the end of their text.",
            ),
        ),
    ),
    Exercise(
        id="7.4",
        title="when was the word?",
        level="core",
        minutes=6,
        task="""
A word stands on the frames `first` to `last`, both included. Write `word_times(first, last)`: when the first of these frames begins to read, and when the last one stops, in seconds.
""",
        name="word_times",
        stub="def word_times(first, last):\n    return ..., ...",
        hints=(
            "`geometry.span(t)` gives the samples that frame t reads. A second has `geometry.sample_rate` of them.",
            "The word begins at `geometry.span(first).start` and ends at `geometry.span(last).stop`, in samples.",
        ),
        solution="""
def word_times(first, last):
    start, stop = geometry.span(first).start, geometry.span(last).stop
    return start / geometry.sample_rate, stop / geometry.sample_rate
""",
        says="no clip's length comes into it: frame t is at the same place in every clip.",
        cases=(
            Case(0, 0, because="Frame 0 reads the first {{FIELD}} samples, {{FIELD_MS}} ms."),
            Case(48, 48, because="The last frame of a second begins {{T(SECOND) - 1}} hops after its start."),
            Case(16, 20, because="From the start of the first frame to the end of the last."),
            Case(100, 149, because="A window is longer than a hop."),
        ),
        wrongs=(
            Wrong(
                "duration / frames",
                "def word_times(first, last):\n    return first / 49, (last + 1) / 49",
                """that divides a second into {{T(SECOND)}} equal parts. Frames are a hop apart, and their windows overlap; no
                length of a clip changes that.""",
            ),
            Wrong(
                "hops only",
                "def word_times(first, last):\n    return first * 0.02, (last + 1) * 0.02",
                """the start is right. The end is where the *next* frame begins; the last one reads on for the rest of
                its window. (These are Hugging Face's offsets: the same start, {{FIELD_MS - HOP_MS}} ms less at the end.)""",
            ),
            Wrong(
                "end of the range",
                "def word_times(first, last):\n    return first * 0.02, (last * 320 + 720) / 16000",
                "`last` is the last frame of the word, not the one after it: you read one frame too far.",
            ),
            Wrong(
                "25 ms each",
                "def word_times(first, last):\n    return first * 0.025, (last + 1) * 0.025",
                "a frame *reads* {{FIELD_MS}} ms, but the next one begins after {{HOP_MS}} already.",
            ),
            Wrong(
                "samples",
                "def word_times(first, last):\n    return first * 320, last * 320 + 400",
                "right place, other unit: these are samples. How many of them are a second?",
            ),
            Wrong(
                "centres",
                "def word_times(first, last):\n    return first * 0.02 + 0.0125, last * 0.02 + 0.0125",
                "these are the centres of the frames. The question is when the reading begins and ends.",
            ),
        ),
    ),
    Exercise(
        id="7.5",
        title="a label for every frame",
        level="stretch",
        minutes=10,
        task="""
To train a classifier of *frames* (speech or not, who speaks …), every frame needs a label. Write `frame_labels(samples, words)`: `samples` is the length of a clip, `words` a list of
`(start_s, end_s)`. Return a list with 1 for each frame whose *centre* lies in a word (`start_s <= centre < end_s`), else 0.
""",
        name="frame_labels",
        stub="def frame_labels(samples, words):\n    return ...",
        hints=(
            "How many labels? As many as the model gives rows: the error message above says what happens otherwise. `geometry.centre_ms(t)` is in milliseconds.",
            "For t in `range(geometry.frame_count(samples))`: the label is `int(any(start <= centre < end for start, end in words))`, with `centre` in seconds.",
        ),
        solution="""
def frame_labels(samples, words):
    centres = [geometry.centre_ms(t) / 1000 for t in range(geometry.frame_count(samples))]
    return [int(any(start <= centre < end for start, end in words)) for centre in centres]
""",
        says="one label per frame that exists, and each from the middle of what that frame reads.",
        cases=(
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
        ),
        wrongs=(
            Wrong(
                "50 per second",
                """
def frame_labels(samples, words):
    centres = [0.02 * t + 0.0125 for t in range(samples // 320)]
    return [int(any(a <= c < b for a, b in words)) for c in centres]
""",
                """that makes a label for every hop: at {{SECOND}} samples {{SECOND // HOP}}, where the model has {{T(SECOND)}} rows. A frame exists only
                if its whole window does.""",
            ),
            Wrong(
                "starts",
                """
def frame_labels(samples, words):
    starts = [0.02 * t for t in range(geometry.frame_count(samples))]
    return [int(any(a <= s < b for a, b in words)) for s in starts]
""",
                "the number of labels is right. You ask where a frame *begins*, though; the task asks for its centre.",
            ),
            Wrong(
                "stretched",
                """
def frame_labels(samples, words):
    T = geometry.frame_count(samples)
    centres = [(t + 0.5) * samples / 16000 / T for t in range(T)]
    return [int(any(a <= c < b for a, b in words)) for c in centres]
""",
                "the number of labels is right. Duration / frames stretches the grid, and late words slip by a frame.",
            ),
            Wrong(
                "any overlap",
                """
def frame_labels(samples, words):
    T = geometry.frame_count(samples)
    return [int(any(0.02 * t < b and a < 0.02 * t + 0.025 for a, b in words)) for t in range(T)]
""",
                """you mark every frame whose window touches a word: that makes each word longer by up to a window at
                both ends.""",
            ),
        ),
        why="The labels of a whole corpus are best made once, from sample numbers, and stored with T beside them.",
    ),
)

# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {
    "exactly as many rows as `ways` counts": _enumerated,
    "is exactly the logarithm": _loss_counts_ways,
    "its gradient is exactly zero": _no_gradient,
}
