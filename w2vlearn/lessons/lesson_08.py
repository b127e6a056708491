"""Lesson 8: pre-training, a task that a model sets itself."""

from __future__ import annotations

import math
from functools import cache

import torch

from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.exercise import Case, Exercise, Prediction, Rule, Wrong

LESSON = COURSE[8]

# ---------------------------------------------------------------- what prose computes with

base, large, tiny = Wav2Vec2Config.base(), Wav2Vec2Config.large(), Wav2Vec2Config.tiny()
geometry = FrameGeometry.from_config(base)
T, SECOND, HOP, FIELD = geometry.frame_count, geometry.sample_rate, geometry.hop, geometry.receptive_field
MS = SECOND // 1000  # samples per millisecond

SPAN = base.mask_time_length  # frames of one span
START = 0.065  # the paper, section 4.2: the share of frames that start a span
PROB = 0.65  # the same as Hugging Face and fairseq write it
HIDDEN = 1 - (1 - START) ** SPAN  # share of frames that are hidden
OTHER_START, OTHER_SPAN = 0.04, 12  # exercise 8.1
OTHER_HIDDEN = 1 - (1 - OTHER_START) ** OTHER_SPAN
TENTH = 0.065  # the paper's number, given where the other one is wanted
HIDDEN_BY_TENTH = 1 - (1 - TENTH / SPAN) ** SPAN
FINE_TUNING = base.mask_time_prob
SHORTEST = geometry.samples_for(SPAN)[0]  # samples of the shortest clip that a span fits in
HIDE = 10  # frames hidden in prediction 8.3
LONG_CLIP = 500  # frames

G, E = base.num_codevector_groups, base.num_codevectors_per_group
Q, P, K = base.codevector_dim, base.proj_codevector_dim, base.num_negatives
C, D = base.conv_dim[-1], base.hidden_size
TEMPERATURE = base.contrastive_logits_temperature
GUESS, TINY_GUESS = math.log(1 + K), math.log(1 + tiny.num_negatives)
TINY_ENTRIES = tiny.num_codevector_groups * tiny.num_codevectors_per_group
CLIPS, SAMPLES = 3, 32_000  # exercise 8.3
MANY = T(SAMPLES)
HOT, COOL = 2, 0.5  # the Gumbel temperature of BASE at both ends of training
COLLAPSED = 0.0013  # the loss in Hugging Face's issue 12934
STEPS_TINY, STEPS_WITHOUT, STEPS_BASE = 100, 60, 400_000
CROP = 250_000  # samples, fairseq's longest crop for BASE

SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config
"""


@cache
def padded_frames_hidden() -> int:
    """Padded frames that many draws of our own time mask hide."""
    from w2vlearn import padding_masks
    from w2vlearn.model import sample_time_mask

    lengths, generator = torch.tensor([49, 12, 30]), torch.Generator().manual_seed(0)
    padding = ~padding_masks.frame_mask(lengths, 49)
    return sum(int((sample_time_mask(lengths, 49, generator=generator) & padding).sum()) for _ in range(200))


@cache
def own_positives_drawn() -> int:
    """Negatives that are the frame itself, in many draws."""
    from w2vlearn.model import sample_negatives

    mask, generator = torch.rand(3, 49, generator=torch.Generator().manual_seed(0)) < 0.3, torch.Generator()
    row = torch.arange(3 * 49).view(3, 49, 1)
    return sum(int((sample_negatives(mask, 100, generator.manual_seed(i)) == row)[mask].sum()) for i in range(50))


# ---------------------------------------------------------------- predictions

PREDICTIONS = (
    Prediction(
        id="8.1",
        question="""
`prob={{PROB}}`, spans of {{SPAN}} frames: a clip of {{LONG_CLIP}} frames gets `{{PROB}} · {{LONG_CLIP}} / {{SPAN}}` spans (rounded), each somewhere at random. Which share of its
frames is hidden in the end, from 0 to 1?
""",
        stub="prediction = None  # a share such as 0.3; running on without one is fine",
        because="""
            spans fall on each other. A frame stays visible if none of the {{SPAN}} spans that would cover it begins:
            (1 - {{START}}) to the power of {{SPAN}} is {{1 - HIDDEN:.2f}}. The paper says {{100 * HIDDEN:.0f}} %, too.
        """,
        rules=(
            Rule(
                lambda said, is_: abs(said - PROB) < 0.02,
                """It would be {{PROB}} if no two spans overlapped. They are drawn without looking at each other, and
                where two lie on the same frame, one of them hides nothing new.""",
            ),
            Rule(
                lambda said, is_: abs(said - START) < 0.01,
                """{{START}} is how many frames *begin* a span. Each begins one that is {{SPAN}} frames long, so far more
                are hidden.""",
            ),
            Rule(
                lambda said, is_: said > 1,
                """A share goes from 0 to 1. Spans overlap, so it is less than {{PROB}}.""",
            ),
        ),
        tolerance=0.03,
    ),
    Prediction(
        id="8.2",
        question="""
A clip of {{T(SECOND)}} frames. {{HIDE}} of them are hidden, then nothing is, and you compare the two runs (in `eval()`). In how many frames does the
**last hidden state** differ? And in how many the **target**, what the quantizer makes of them?
""",
        stub="prediction = None  # two counts, such as (3, 4); running on without one is fine",
        because="""
            every frame looks at the hidden ones through attention, so every hidden state changes. The quantizer stands
            beside the Transformer, not after it, and saw the frames before anything was hidden.
        """,
        rules=(
            Rule(
                (HIDE, 0),
                """The targets are as you say. But the other {{T(SECOND) - HIDE}} frames look at the hidden ones through
                attention and the positional convolution, so they change, too.""",
            ),
            Rule(
                lambda said, is_: len(said) == 2 and said[1] > 0,
                """If hiding a frame changed its target, the answer would be hidden along with the question. The
                quantizer reads the feature encoder's output, where nothing is hidden.""",
            ),
            Rule(
                lambda said, is_: len(said) == 2 and said[1] == 0,
                """Targets do not change, right. Hidden states all do: attention carries the change to every frame.""",
            ),
        ),
    ),
    Prediction(
        id="8.3",
        question="""
Suppose the quantizer gives the *same* word to every frame: the worst codebook there is. The model has to find its frame's word among {{tiny.num_negatives}}
words that are all equal to it. What is the contrastive loss per frame? (A guess among {{1 + tiny.num_negatives}} costs log({{1 + tiny.num_negatives}}) = {{TINY_GUESS:.2f}}.)
""",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            a negative with the positive's own word is no wrong answer, so it takes no part. None is left, and whoever has
            one choice chooses right. A perfect loss, and nothing learned.
        """,
        rules=(
            Rule(
                lambda said, is_: abs(said - TINY_GUESS) < 0.05,
                """That is what a guess among {{1 + tiny.num_negatives}} answers costs. But answers equal to the right one
                are taken out first, as they are not wrong. Only the right one is left.""",
            ),
            Rule(
                lambda said, is_: said > 1,
                """It looks like the worst case, and the loss says it is the best: a negative with the same word as the
                positive is taken out, and no rival is left.""",
            ),
            Rule(
                lambda said, is_: said < 0,
                """A cross-entropy is at least 0, and here it gets there: no rival is left, so the one choice is right.""",
            ),
        ),
        tolerance=0.01,
    ),
)


# ---------------------------------------------------------------- exercises


def span_cases() -> list[Case]:
    """Starts, real frames, T, span: the edges of clip and tensor lie at different places."""
    return [
        Case([[0, 5], [1]], [10, 6], 10, 4, because="Each start hides itself and the three frames after it."),
        Case(
            [[6], [2, 3]],
            [10, 6],
            10,
            4,
            because="A span may end with the clip's last real frame; one frame further, it is left out.",
        ),
        Case(
            [[7, 2], [8]],
            [10, 6],
            10,
            4,
            because="A span that does not fit is left out whole, at the end of the longest clip as well.",
        ),
        Case([[0, 2]], [6], 6, 3, because="Spans may overlap; hidden twice is hidden."),
    ]


def candidate_cases() -> list[Case]:
    """Two clips of six frames, the second with two padded ones (which no time mask marks)."""
    mask = torch.tensor([[0, 1, 1, 0, 1, 0], [1, 1, 0, 1, 0, 0]], dtype=torch.bool)
    return [
        Case(mask, 0, 2, label="mask, 0, 2", because="Frame 1 and frame four of the clip are hidden, too."),
        Case(mask, 1, 0, label="mask, 1, 0", because="Clip 1 begins at row six: T rows come before it."),
        Case(mask, 1, 3, label="mask, 1, 3", because="Clip 1, frames 0 and 1: rows six and seven."),
        Case(mask, 0, 1, label="mask, 0, 1", because="The frame itself is the right answer, so it is left out."),
    ]


def loss_cases() -> list[Case]:
    """Vectors of two numbers, so that cosines can be seen."""

    def case(predicted, target, negatives, temperature, because):
        tensors = (torch.tensor(values) for values in (predicted, target, negatives))
        label = f"{predicted}, {target}, {negatives}, {temperature}"
        return Case(*tensors, temperature, label=label, because=because)

    return [
        case([1.0, 0.0], [3.0, 0.0], [[0.0, 2.0], [-1.0, 0.0]], 0.5, "The cosines are 1 (positive), 0 and -1."),
        case([2.0, 2.0], [1.0, 0.0], [[0.0, 1.0], [1.0, 1.0]], 0.5, "Length does not count, only direction."),
        case(
            [1.0, 0.0],
            [1.0, 1.0],
            [[1.0, 1.0], [0.0, 1.0]],
            0.5,
            "The first negative equals the target: it is no wrong answer and takes no part.",
        ),
        case([0.0, 1.0], [1.0, 0.0], [[0.0, 1.0]], 1.0, "With temperature 1 the cosines stay as they are."),
    ]


LOSS = """def frame_loss(predicted, target, negatives, temperature):
    answers = torch.cat([target[None], negatives[(negatives != target).any(dim=1)]])
    scores = torch.cosine_similarity(predicted[None], answers, dim=1) / temperature
    return -torch.log_softmax(scores, dim=0)[0]"""

SPANS = """def hide(starts, lengths, frames, span):
    mask = torch.zeros(len(lengths), frames, dtype=torch.bool)  # (B, T)
    for clip, length in enumerate(lengths):
        for start in starts[clip]:
            if start + span <= length:
                mask[clip, start : start + span] = True
    return mask"""

NEIGHBOURS = """def candidates(time_mask, clip, frame):
    frames = time_mask.shape[1]  # T
    hidden = time_mask[clip].nonzero().flatten().tolist()
    return [clip * frames + other for other in hidden if other != frame]"""

EXERCISES = (
    Exercise(
        id="8.1",
        title="from a paper into a config",
        level="warm-up",
        minutes=3,
        task="""
A paper on short words writes: “each frame starts a span with probability {{OTHER_START}}; spans are {{OTHER_SPAN}} frames long”. Which number becomes `mask_time_prob` in a config (whose
`mask_time_length` is {{OTHER_SPAN}})? And which share of the frames will be `hidden` in a long clip?
""",
        name="(mask_time_prob, hidden)",
        stub="mask_time_prob = ...  # what the config wants\nhidden = ...  # a share, 0 … 1",
        hints=(
            "`mask_time_prob` is how much would be hidden if no two spans overlapped. For `hidden`, count the frames that stay visible.",
            "A frame stays visible if none of the {{OTHER_SPAN}} spans that would cover it begins; each is missed with probability `1 - {{OTHER_START}}`.",
        ),
        solution="mask_time_prob = 0.04 * 12\nhidden = 1 - (1 - 0.04) ** 12",
        says="the config says {{OTHER_START * OTHER_SPAN:.2f}}, and {{100 * OTHER_HIDDEN:.0f}} % are hidden.",
        wrongs=(
            Wrong(
                "the paper's number in the config",
                "mask_time_prob, hidden = 0.04, 1 - (1 - 0.04) ** 12",
                """the share is right. But your config holds the paper's number, so it would hide {{OTHER_SPAN}} times fewer spans: `mask_time_prob` counts the
                frames *in* spans, not those that start one.""",
            ),
            Wrong(
                "no overlap",
                "mask_time_prob, hidden = 0.48, 0.48",
                """the config is right. The share is not as large as that, for spans overlap, and where they do, a frame is hidden once, not twice.""",
                when=lambda answer: abs(answer[1] - OTHER_START * OTHER_SPAN) < 0.005,
            ),
            Wrong(
                "what stays visible",
                "mask_time_prob, hidden = 0.48, (1 - 0.04) ** 12",
                "a beautiful formula for the opposite: `(1 - p) ** span` is the share that stays visible.",
                when=lambda answer: abs(answer[1] + OTHER_HIDDEN - 1) < 0.005,
            ),
            Wrong(
                "the config as a start probability",
                "mask_time_prob, hidden = 0.48, 1 - (1 - 0.48) ** 12",
                """that hides nearly everything: you took {{OTHER_START * OTHER_SPAN:.2f}} for the probability that a frame starts a span. It is {{OTHER_SPAN}} times that.""",
            ),
        ),
        tolerance=1e-2,
        why="For the paper on wav2vec 2.0 it is {{PROB}} and {{100 * HIDDEN:.0f}} %.",
    ),
    Exercise(
        id="8.2",
        title="spans on real frames only",
        level="core",
        minutes=8,
        task="""
Write `hide(starts, lengths, frames, span)`, which makes a time mask `(B, T)` of booleans, True = hidden. `starts[clip]` lists where spans begin, `lengths[clip]` is how
many frames of the clip are real, `frames` is T. A span that would leave the clip's real frames is left out, whole.
""",
        name="hide",
        stub="def hide(starts, lengths, frames, span):\n    return ...",
        hints=(
            "Begin with `torch.zeros(len(lengths), frames, dtype=torch.bool)` and write True into slices. Where must a span end at the latest?",
            "The frames of a span are `start` to `start + span - 1`. The last real frame is `length - 1`. So the span fits if `start + span <= length`, with the clip's own length.",
        ),
        solution=SPANS,
        says="whole spans, on real frames, and a span may end with the clip.",
        wrongs=(
            Wrong(
                "on padding",
                SPANS.replace("<= length", "<= frames"),
                """some padding is hidden: there is nothing to predict in it, and the loss would count it. T is the longest clip's; each clip has its
                own end.""",
            ),
            Wrong(
                "not checked",
                SPANS.replace("if start + span <= length:", "if True:"),
                "padded frames are hidden, and at the end of the tensor spans are cut. Ask before you write whether the span fits into its clip.",
            ),
            Wrong(
                "cut at the end",
                SPANS.replace("if start + span <= length:", "if True:").replace(
                    "return mask", "return mask & (torch.arange(frames) < torch.tensor(lengths)[:, None])"
                ),
                """no padding is hidden, good. But the last spans were cut: short spans are easy to guess from their neighbours. Leave out what does
                not fit.""",
            ),
            Wrong(
                "one place too few",
                SPANS.replace("<= length", "< length"),
                "nearly: a span may end with the last real frame, and yours has to stop one before it.",
            ),
            Wrong(
                "one frame too many",
                SPANS.replace("start : start + span]", "start : start + span + 1]"),
                "your spans are one frame too long. A slice `a:b` leaves `b` out already.",
            ),
            Wrong(
                "inverted",
                SPANS.replace("return mask", "return ~mask"),
                "True means hidden in a time mask. Yours marks what stays visible, as a padding mask marks what is real.",
            ),
        ),
        cases=span_cases,
        why="`sample_time_mask` in `w2vlearn/model/time_masks.py` does this without a loop, and draws the starts.",
    ),
    Exercise(
        id="8.3",
        title="name every shape",
        level="core",
        minutes=5,
        task="""
BASE gets {{CLIPS}} clips; the longest has {{SAMPLES}} samples. G = {{G}} codebooks of {{E}} entries, targets of P = {{P}} numbers, K = {{K}} negatives. Which shapes have the
quantizer's choices (codes), the targets, the negatives (as numbers of rows) and the logits of the contrastive loss?
""",
        name="(shape_codes, shape_targets, shape_negatives, shape_logits)",
        stub="""
shape_codes = ...  # such as (1, 2, 3)
shape_targets = ...
shape_negatives = ...
shape_logits = ...
""",
        hints=(
            "All four begin with (B, T). `FrameGeometry.from_config(Wav2Vec2Config.base())` knows T.",
            "A code is one number for each codebook. A negative is one number, and there are K for each frame. Among how many answers does the loss choose?",
        ),
        solution="""
base = Wav2Vec2Config.base()
frames = FrameGeometry.from_config(base).frame_count(32_000)
shape_codes = (3, frames, base.num_codevector_groups)
shape_targets = (3, frames, base.proj_codevector_dim)
shape_negatives = (3, frames, base.num_negatives)
shape_logits = (3, frames, 1 + base.num_negatives)
""",
        says="all of them one row for each frame: hidden or not, real or not. The time mask picks the rows that count.",
        wrongs=(
            Wrong(
                "50 frames per second",
                "shape_codes, shape_targets, shape_negatives, shape_logits = (3, 100, 2), (3, 100, 256), (3, 100, 100), (3, 100, 101)",
                "{{SECOND // HOP}} frames in a second is the rate. Count T with `frame_count`, as in lesson 2.",
                when=lambda answer: all(len(shape) == 3 and shape[1] == SAMPLES // HOP for shape in answer),
            ),
            Wrong(
                "no positive",
                "shape_codes, shape_targets, shape_negatives, shape_logits = (3, 99, 2), (3, 99, 256), (3, 99, 100), (3, 99, 100)",
                "among your logits, the right answer is missing. It stands in front of the K wrong ones.",
            ),
            Wrong(
                "targets as wide as D",
                "shape_codes, shape_targets, shape_negatives, shape_logits = (3, 99, 2), (3, 99, 768), (3, 99, 100), (3, 99, 101)",
                """D = {{D}} is the width of the hidden states. To be compared, both roads end in a `Linear` to P numbers: `project_hid` and
                `project_q`.""",
                when=lambda answer: answer[1][2] == D,
            ),
            Wrong(
                "scores for codes",
                "shape_codes, shape_targets, shape_negatives, shape_logits = (3, 99, 640), (3, 99, 256), (3, 99, 100), (3, 99, 101)",
                """{{G * E}} scores decide, but what is kept is the choice: the number of one entry for each codebook.""",
                when=lambda answer: answer[0][-1] in (E, G * E),
            ),
            Wrong(
                "negatives as vectors",
                "shape_codes, shape_targets, shape_negatives, shape_logits = (3, 99, 2), (3, 99, 256), (3, 99, 100, 256), (3, 99, 101)",
                "negatives are handed over as numbers of rows, K for each frame. The vectors are looked up later.",
                when=lambda answer: len(answer[2]) == 4,
            ),
        ),
        why="T = {{MANY}} comes from the longest clip, everything else from the config.",
    ),
    Exercise(
        id="8.4",
        title="who may be a negative",
        level="core",
        minutes=7,
        task="""
Write `candidates(time_mask, clip, frame)`: the sorted list of all rows that may be a negative of this hidden frame. `time_mask` is `(B, T)`, True = hidden. Rows count
through the whole batch: frame `t` of clip `b` is row `b * T + t`.
""",
        name="candidates",
        stub="def candidates(time_mask, clip, frame):\n    return ...",
        hints=(
            "Three conditions: the same clip, hidden, and another frame than the one in question.",
            "`time_mask[clip].nonzero().flatten().tolist()` are the hidden frames of the clip. Leave `frame` out, then turn frames into rows.",
        ),
        solution=NEIGHBOURS,
        says="same clip, hidden (so real, too), and not the frame itself.",
        wrongs=(
            Wrong(
                "the positive is among them",
                NEIGHBOURS.replace(" if other != frame", ""),
                """one of your negatives is the frame itself. Nobody can tell a right answer from itself, and the model would be punished for being
                right.""",
            ),
            Wrong(
                "frames instead of rows",
                NEIGHBOURS.replace("clip * frames + ", ""),
                "the right frames, in the wrong clip: row 0 is frame 0 of clip 0. How many rows lie before this clip begins?",
            ),
            Wrong(
                "any frame of the clip",
                NEIGHBOURS.replace("time_mask[clip].nonzero().flatten().tolist()", "range(frames)"),
                """your list holds frames that are not hidden, and padding with them. Then the padding's dull words become answers that are too easy
                to rule out.""",
            ),
            Wrong(
                "all clips",
                """def candidates(time_mask, clip, frame):
    rows = time_mask.flatten().nonzero().flatten().tolist()
    return [row for row in rows if row != clip * time_mask.shape[1] + frame]""",
                """your negatives come from other clips as well. Those are told apart by the speaker's voice or the room, without listening to what is
                said.""",
            ),
            Wrong(
                "clip times B",
                NEIGHBOURS.replace("time_mask.shape[1]", "time_mask.shape[0]"),
                "`shape[0]` is B, the number of clips. A clip has as many rows as it has frames.",
            ),
        ),
        cases=candidate_cases,
        why="`sample_negatives` in `w2vlearn/model/pretraining.py` draws K of them, with replacement.",
    ),
    Exercise(
        id="8.5",
        title="the loss of one frame",
        level="stretch",
        minutes=12,
        task="""
Write `frame_loss(predicted, target, negatives, temperature)`: the contrastive loss of one hidden frame, a tensor without axes. Shapes: `(P,)`, `(P,)`, `(K, P)`. It is the
cross-entropy of choosing the target by cosine similarity divided by the temperature. A negative that equals the target takes no part.
""",
        name="frame_loss",
        stub="def frame_loss(predicted, target, negatives, temperature):\n    return ...",
        hints=(
            "`torch.cosine_similarity(predicted[None], answers, dim=1)` compares with every row of `answers`. Which rows belong into it?",
            "Put the target in front of the negatives that differ from it, divide the cosines by the temperature, and take `-torch.log_softmax(scores, dim=0)[0]`.",
        ),
        solution=LOSS,
        says="equation 3 of the paper, with the exception that fairseq and Hugging Face make, too.",
        wrongs=(
            Wrong(
                "a negative equals its positive",
                LOSS.replace("negatives[(negatives != target).any(dim=1)]", "negatives"),
                """right, but for one thing: where a negative equals the target, the model is asked to prefer the target to itself. Such a negative
                takes no part.""",
            ),
            Wrong(
                "no temperature",
                LOSS.replace(" / temperature", ""),
                """the temperature is missing. Cosines lie between -1 and 1; undivided, the best answer could not win by much.""",
            ),
            Wrong(
                "times the temperature",
                LOSS.replace(" / temperature", " * temperature"),
                "a small temperature should make differences larger. Yours makes them smaller: divide.",
            ),
            Wrong(
                "dot products",
                LOSS.replace("torch.cosine_similarity(predicted[None], answers, dim=1)", "answers @ predicted"),
                "long vectors win in yours, whatever their direction. A cosine divides by both lengths.",
            ),
            Wrong(
                "the positive not among the answers",
                """def frame_loss(predicted, target, negatives, temperature):
    wrong = negatives[(negatives != target).any(dim=1)]
    scores = torch.cosine_similarity(predicted[None], wrong, dim=1) / temperature
    return scores.logsumexp(dim=0) - torch.cosine_similarity(predicted, target, dim=0) / temperature""",
                """your sum in the denominator runs over the negatives only, so the loss can drop below 0. The target is one of the answers, too.""",
            ),
            Wrong(
                "no minus",
                LOSS.replace("-torch.log_softmax", "torch.log_softmax"),
                "that is the logarithm of a probability, and it is negative. A loss should become small when the choice is right.",
            ),
        ),
        cases=loss_cases,
        why="`contrastive_logits` and `contrastive_loss` in `w2vlearn/model/pretraining.py` do it for all frames at once.",
    ),
)


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {
    "a padded frame is never hidden": lambda: padded_frames_hidden() == 0,
    "never the frame itself": lambda: own_positives_drawn() == 0,
}
