"""Lesson 4: three masks, four ways of writing them, and nobody who complains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from w2vlearn import padding_masks
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.exercise import Case, Exercise, Prediction, Rule, Wrong

LESSON = COURSE[4]

# ---------------------------------------------------------------- what prose computes with

config = dataclasses.replace(Wav2Vec2Config.tiny(), feat_extract_norm="layer", conv_bias=True)
geometry = FrameGeometry.from_config(config)
T, SECOND = geometry.frame_count, geometry.sample_rate
HOP, FIELD = geometry.hop, geometry.receptive_field
LENGTHS = (SECOND, SECOND // 2, SECOND // 4)  # samples of the lesson's three clips
FRAMES = [T(length) for length in LENGTHS]
LONG = 10 * SECOND  # samples: the batch of ten seconds in prediction 4.1
TORCHAUDIO, BILLION = "-10000", "-1e9"  # additive masks of torchaudio, and of many a tutorial
HALF_MAX, HALF_MIN = int(torch.finfo(torch.float16).max), int(torch.finfo(torch.float16).min)
TOLERANCE = "1e-5"
SINGLE_MIN = f"{torch.finfo(torch.float32).min:.1e}"

SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config, padding_masks
geometry = FrameGeometry.from_config(Wav2Vec2Config.tiny())
"""


def shortcut(length: int, samples: int) -> int:
    """Real frames by the shortcut: cut the remainder, reshape to (T, samples // T), padding if all of a row is."""
    width = samples // T(samples)
    return -(-min(length, T(samples) * width) // width)


def hugging_face(lengths: tuple[int, ...], frames: int) -> list[int]:
    """How many frames Hugging Face's code takes for real if these are the sums of the mask's rows."""
    counts = []
    for length in lengths:
        for kernel, stride in zip(geometry.kernels, geometry.strides, strict=True):
            length = (length - kernel) // stride + 1
        counts.append(range(frames)[length - 1] + 1)  # index -2 is the last but one
    return counts


def refusal_of_one_row() -> str:
    """PyTorch's words when the mask of one clip meets a batch of two: Hugging Face zeroes padding by indexing."""
    base = Wav2Vec2Config.base()
    try:
        torch.zeros(2, T(SECOND), base.hidden_size)[torch.zeros(1, T(SECOND), base.hidden_size, dtype=torch.bool)]
    except IndexError as error:
        return f"IndexError: {error}"
    return "nothing: it runs"


def refusal_in_half() -> str:
    """PyTorch's words when -1e9 is to be filled into float16."""
    try:
        torch.zeros(1, dtype=torch.float16).masked_fill(torch.tensor([True]), float(BILLION))
    except RuntimeError as error:
        return f"RuntimeError: {error}"
    return "nothing: it runs"


@cache
def models() -> dict[str, Callable[[Tensor, Tensor | None], Tensor]]:
    """What exercise 4.4 is tried on: functions (waveforms, sample mask or None) -> hidden states, one of them right."""
    from w2vlearn.model import Wav2Vec2Model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Wav2Vec2Model(config).eval()

    def stages(waveforms: Tensor, mask: Tensor | None, change: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.no_grad():
            hidden = model.feature_projection(model.feature_extractor(waveforms).transpose(1, 2))[0]
            if mask is None:
                return model.encoder(hidden)[0]
            real = padding_masks.frame_mask(geometry.frame_counts(mask.sum(1)), hidden.shape[1])
            return change(model, hidden, real)

    def made(change: Callable) -> Callable[[Tensor, Tensor | None], Tensor]:
        return lambda waveforms, mask: stages(waveforms, mask, change)

    return {
        "a model that uses its mask": made(lambda model, hidden, real: model.encoder(hidden, real)[0]),
        "a model that drops its mask": made(lambda model, hidden, real: model.encoder(hidden)[0]),
        "a model that takes True for padding": made(lambda model, hidden, real: model.encoder(hidden, ~real)[0]),
        "a model that zeroes padding and tells attention nothing": made(
            lambda model, hidden, real: model.encoder(padding_masks.zero_padding(hidden, real))[0]
        ),
    }


def _cases_of_alone() -> list[Case]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        clips = [torch.randn(length) for length in (6_000, 3_000)]
    waveforms = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    mask = padding_masks.sample_mask(torch.tensor([len(clip) for clip in clips]), waveforms.shape[1])
    because = (
        "Its short clip comes out of the batch as it does alone.",
        "Attention looks at padding.",
        "Attention looks at nothing but padding.",
        "Zeros are still looked at: they take their share of the softmax, and the more of them, the more they take.",
    )
    return [
        Case(run, waveforms, mask, because=why, label=name)
        for (name, run), why in zip(models().items(), because, strict=True)
    ]


def _rows(*counts: int, frames: int) -> Tensor:
    return padding_masks.frame_mask(torch.tensor(counts), frames)


def weight_of_padding() -> float:
    """What padded keys weigh after the softmax, scores random, mask additive (finfo.min and torchaudio's)."""
    scores, real = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)), torch.arange(7) < 4
    weights = [
        (scores + torch.where(real, 0.0, low)).softmax(-1)[:, ~real]
        for low in (torch.finfo(torch.float32).min, float(TORCHAUDIO))
    ]
    return float(torch.cat(weights).abs().max())


# ---------------------------------------------------------------- predictions

PREDICTIONS = (
    Prediction(
        id="4.1",
        question="""
A batch is {{LONG}} samples long and has T = {{T(LONG)}} frames. To turn its sample mask into a frame mask, somebody takes a
shortcut: cut each row of the mask into T equal pieces of {{LONG // T(LONG)}} samples, and call a frame padding if its whole piece is
padding. Of all lengths that a clip in this batch can have, for how many per cent does that give the right number of real
frames?
""",
        stub="prediction = None  # per cent, 0 to 100; running on without one is fine",
        because="""
            a frame does not own {{LONG // T(LONG)}} samples, it reads {{FIELD}}, and it is real only if all {{FIELD}} are. The
            shortcut keeps the piece in which the clip ends, whose window the clip does not fill.
        """,
        rules=(
            Rule(
                lambda said, is_: said >= 90,
                """It looks harmless, and published code did it for years. But the last piece that the clip reaches into is
                kept, although its frame reads on into the padding.""",
            ),
            Rule(
                lambda said, is_: said > 10,
                """You smelled something, and it is worse: a frame reads {{FIELD}} samples, {{FIELD - HOP}} more than the hop.
                So the piece in which a clip ends is one too many nearly every time, and often the one before it too.""",
            ),
            Rule(
                lambda said, is_: 0 <= said <= 10,
                """Close enough to say that you saw it: only clips that end within a window of the very end of the batch come
                out right. All others get a frame or two too many.""",
            ),
        ),
        tolerance=0.01,
    ),
    Prediction(
        id="4.2",
        question="""
The second clip has {{FRAMES[1]}} real frames of {{FRAMES[0]}}. Its attention mask is a square of {{FRAMES[0]}} x {{FRAMES[0]}}: one
row for each frame that asks (**query**), one column for each frame that is looked at (**key**). How many of its entries are
True?
""",
        stub="prediction = None  # a whole number; running on without one is fine",
        because="""
            {{FRAMES[0]}} rows of {{FRAMES[1]}}. The mask forbids keys, and it forbids them to every query, the padded ones
            included.
        """,
        rules=(
            Rule(
                FRAMES[1] ** 2,
                """That is real x real: it forbids the padded frames to ask, too. Nobody needs that, since nobody reads their
                answers. And a row without a single True has nothing to share its attention among; you will see what
                happens then.""",
            ),
            Rule(
                FRAMES[0] ** 2,
                """That would be no mask at all: every query looks at every key.""",
            ),
            Rule(
                FRAMES[1],
                """That is one row. There are {{FRAMES[0]}} rows, and they are all alike.""",
            ),
        ),
    ),
    Prediction(
        id="4.3",
        question="""
A clip of {{LENGTHS[0]}} samples and one of {{LENGTHS[1]}} lie in one batch, T = {{FRAMES[0]}}. Somebody comes from fairseq, where True
means padding, and hands such a sample mask to Hugging Face, where True means real. How many frames of each clip does the model
then take for real?
""",
        stub='prediction = None  # such as [1, 2], or "error"; running on without one is fine',
        because="""
            the long clip's row sums to 0, the formula makes a frame number below 0 of that, and Python counts it from the
            end. The short clip is half of the row, so its padding is as long as itself.
        """,
        rules=(
            Rule(
                lambda said, is_: isinstance(said, str),
                """No error, no NaN. The model counts the Trues in each row, and any count will do: it cannot know what you
                meant.""",
            ),
            Rule(
                lambda said, is_: len(said) == 2 and said[0] == 0,
                """0 samples ought to give 0 frames, and torchaudio clamps the count there. Hugging Face does not: the
                formula goes below 0, and an index below 0 counts from the end.""",
            ),
            Rule(
                lambda said, is_: list(said) == FRAMES[:2],
                """So it looks, nearly: the short clip is half of the row, so its padding is as long as itself, and its count
                comes out right by accident. The long clip loses its last frame, and nobody notices.""",
            ),
        ),
    ),
)


# ---------------------------------------------------------------- exercises

EXERCISES = (
    Exercise(
        id="4.1",
        title="from lengths to the frame mask",
        level="warm-up",
        minutes=5,
        task="""
Write `make_frame_mask(lengths, frames)`. `lengths` is an integer tensor with the real samples of each clip, shape `(B,)`; `frames` is T.
Return the frame mask: `(B, T)`, bool, True = real. `geometry.frame_count(samples)` counts the frames of one clip.
""",
        name="make_frame_mask",
        stub="""
def make_frame_mask(lengths, frames):
    return ...
""",
        hints=(
            "First turn samples into frames, clip by clip. Then frame t is real if t is smaller than that count.",
            """`torch.arange(frames)` has shape `(T,)`. Compare it with a tensor of shape `(B, 1)`, and PyTorch makes `(B, T)` of
the two.""",
        ),
        solution="""
def make_frame_mask(lengths, frames):
    real = torch.tensor([geometry.frame_count(samples) for samples in lengths.tolist()])  # (B,)
    return torch.arange(frames) < real[:, None]  # (T,) < (B, 1) -> (B, T)
""",
        says="""
            count with the formula, compare with a row of numbers. Every library does it like this by now.
        """,
        cases=lambda: [
            Case(torch.tensor(LENGTHS), FRAMES[0]),
            Case(
                torch.tensor([719, 720, 400]),
                2,
                because="The second frame reads samples {{HOP}} to {{HOP + FIELD - 1}}; it is real from {{HOP + FIELD}} samples on.",
            ),
            Case(torch.tensor([23_456, 40_000]), T(40_000)),
        ],
        wrongs=(
            Wrong(
                "inverted",
                """
def make_frame_mask(lengths, frames):
    real = torch.tensor([geometry.frame_count(samples) for samples in lengths.tolist()])
    return torch.arange(frames) >= real[:, None]
""",
                """your mask is a mask, but in the other language: True marks the padding. Here True means real, as in Hugging
                Face.""",
            ),
            Wrong(
                "one frame too many",
                """
def make_frame_mask(lengths, frames):
    real = torch.tensor([geometry.frame_count(samples) for samples in lengths.tolist()])
    return torch.arange(frames) <= real[:, None]
""",
                """each clip has one frame too many. Frames are numbered from 0: of a clip with one frame, is frame 1 real?""",
            ),
            Wrong(
                "axes swapped",
                """
def make_frame_mask(lengths, frames):
    real = torch.tensor([geometry.frame_count(samples) for samples in lengths.tolist()])
    return torch.arange(frames)[:, None] < real
""",
                """the entries are right, but they lie across: your mask is (T, B). One row for each clip is wanted. Which of
                the two got the `[:, None]`?""",
            ),
            Wrong(
                "samples taken for frames",
                """
def make_frame_mask(lengths, frames):
    return torch.arange(frames) < lengths[:, None]
""",
                """your mask says that everything is real: it compares frame numbers with lengths in samples. A clip has about
                {{HOP}} times fewer frames than samples.""",
            ),
            Wrong(
                "the rate instead of the count",
                """
def make_frame_mask(lengths, frames):
    return torch.arange(frames) < (lengths // 320)[:, None]
""",
                """samples over hop is the rate. The last of these frames begins inside the clip, but its window of {{FIELD}}
                samples ends outside. Let `geometry.frame_count` count.""",
            ),
            Wrong(
                "the clip's share of the frames",
                """
def make_frame_mask(lengths, frames):
    return torch.arange(frames) < torch.round(lengths / lengths.max() * frames)[:, None]
""",
                """you gave each clip its share of the T frames. That is near, and one frame off for many lengths: the window is
                longer than the hop, so something is lost at the edge of every clip, however long. Count each clip as if it
                were alone.""",
            ),
        ),
        why="Both halves exist: `geometry.frame_counts` (the formula, on tensors) and `w2vlearn.padding_masks.frame_mask` (the comparison).",
    ),
    Exercise(
        id="4.2",
        title="from the frame mask to the attention mask",
        level="core",
        minutes=5,
        task="""
Write `make_attention_mask(frame_mask)`: from `(B, T)` bool to `(B, 1, T, T)` bool. Entry `[b, 0, q, k]` is True if query q may look at key
k, that is, if key k is real.
""",
        name="make_attention_mask",
        stub="""
def make_attention_mask(frame_mask):
    return ...
""",
        hints=(
            "Whether q may look at k depends on k alone. So the frame mask belongs into the last axis.",
            """`frame_mask[:, None, None, :]` has shape `(B, 1, 1, T)`. `.expand(…)` repeats it along an axis of size 1 without copying.
""",
        ),
        solution="""
def make_attention_mask(frame_mask):
    clips, frames = frame_mask.shape
    return frame_mask[:, None, None, :].expand(clips, 1, frames, frames)  # (B, 1, 1, T) -> (B, 1, T, T)
""",
        says="""
            the 1 is for the heads: all of them see the same mask. And `expand` stores only the T entries of one row.
        """,
        cases=lambda: [
            Case(_rows(4, 2, 1, frames=4), label="frame_mask with 4, 2 and 1 real frames of 4"),
            Case(_rows(3, 5, frames=5), label="frame_mask with 3 and 5 real frames of 5"),
        ],
        wrongs=(
            Wrong(
                "queries instead of keys",
                """
def make_attention_mask(frame_mask):
    clips, frames = frame_mask.shape
    return frame_mask[:, None, :, None].expand(clips, 1, frames, frames)
""",
                """you forbid the padded frames to ask, and everybody may still look at them: the real frames see all the padding.
                Keys are the last axis.""",
            ),
            Wrong(
                "queries and keys",
                """
def make_attention_mask(frame_mask):
    return (frame_mask[:, :, None] & frame_mask[:, None, :])[:, None]
""",
                """the keys are right. But the padded queries have lost all their keys as well: a row without a True is a softmax
                over nothing. Which index does the task mention, q or k?""",
            ),
            Wrong(
                "no axis for the heads",
                """
def make_attention_mask(frame_mask):
    clips, frames = frame_mask.shape
    return frame_mask[:, None, :].expand(clips, frames, frames)
""",
                """the square is right; an axis is missing. Attention scores are (B, H, T, T), and without an axis for the heads PyTorch
                would line up your clips with the heads.""",
            ),
            Wrong(
                "one row only",
                """
def make_attention_mask(frame_mask):
    return frame_mask[:, None, None, :]
""",
                """(B, 1, 1, T) would even work, since all rows are alike and PyTorch repeats them. Here the whole square is wanted,
                the form in which Hugging Face hands it on.""",
            ),
            Wrong(
                "inverted",
                """
def make_attention_mask(frame_mask):
    clips, frames = frame_mask.shape
    return ~frame_mask[:, None, None, :].expand(clips, 1, frames, frames)
""",
                """True means "look" in a bool mask for `scaled_dot_product_attention`. Yours looks at the padding and at nothing else.""",
            ),
            Wrong(
                "additive",
                """
def make_attention_mask(frame_mask):
    clips, frames = frame_mask.shape
    square = frame_mask[:, None, None, :].expand(clips, 1, frames, frames)
    return torch.zeros(square.shape).masked_fill(~square, torch.finfo(torch.float32).min)
""",
                """the right mask, written as numbers to add. That is another convention, and its turn comes soon; bool is wanted
                here.""",
            ),
        ),
        why="It is `w2vlearn.padding_masks.attention_mask`, word for word.",
    ),
    Exercise(
        id="4.3",
        title="an interpreter for masks",
        level="core",
        minutes=10,
        task="""
Write `to_real(given, convention, frames)`. Whatever it is given, it returns the frame mask `(B, T)`, bool, True = real.

* `"real"`: True or 1 = real, `(B, T)`, bool or integers
* `"padding"`: True or 1 = padding, `(B, T)`, bool or integers
* `"additive"`: 0 = real, some large negative number = padding, `(B, T)`, floats
* `"lengths"`: real frames of each clip, `(B,)`, integers; `frames` is T
""",
        name="to_real",
        stub="""
def to_real(given, convention, frames):
    return ...
""",
        hints=(
            "One line for each convention. Make a bool of the integers before you turn anything around.",
            "An additive mask holds 0 where the frame is real, in every library; only the other number differs.",
        ),
        solution="""
def to_real(given, convention, frames):
    if convention == "real":
        return given.bool()
    if convention == "padding":
        return ~given.bool()
    if convention == "additive":
        return given == 0
    return torch.arange(frames) < given[:, None]  # lengths: (T,) < (B, 1) -> (B, T)
""",
        says="""
            four languages, one meaning. The rest of the course speaks the first.
        """,
        cases=lambda: [
            Case(_rows(4, 2, frames=4), "real", 4, label="a bool mask, True = real"),
            Case(_rows(4, 2, frames=4).long(), "real", 4, label="an integer mask, 1 = real"),
            Case(~_rows(4, 1, frames=4), "padding", 4, label="a bool mask, True = padding"),
            Case((~_rows(4, 1, frames=4)).to(torch.uint8), "padding", 4, label="an integer mask, 1 = padding"),
            Case(
                padding_masks.additive_mask(_rows(3, 1, frames=3)),
                "additive",
                3,
                label="an additive mask with finfo.min",
            ),
            Case(
                torch.where(_rows(3, 1, frames=3), 0.0, -10_000.0),
                "additive",
                3,
                label="an additive mask with {{TORCHAUDIO}}",
            ),
            Case(torch.tensor([5, 2, 0]), "lengths", 5, label="lengths 5, 2 and 0 of 5"),
        ],
        wrongs=(
            Wrong(
                "padding not turned around",
                """
def to_real(given, convention, frames):
    if convention in ("real", "padding"):
        return given.bool()
    if convention == "additive":
        return given == 0
    return torch.arange(frames) < given[:, None]
""",
                """three of four. For "padding", True marks what is *not* real, and you hand it on as if it were.""",
            ),
            Wrong(
                "~ on integers",
                """
def to_real(given, convention, frames):
    if convention == "real":
        return given.bool()
    if convention == "padding":
        return (~given).bool()
    if convention == "additive":
        return given == 0
    return torch.arange(frames) < given[:, None]
""",
                """all right for bool, but `~` on an integer flips its bits: of 1 it makes anything but 0, and then everything is True.
                In which order do you have to do the two steps?""",
            ),
            Wrong(
                "additive taken for bool",
                """
def to_real(given, convention, frames):
    if convention == "real":
        return given.bool()
    if convention == "padding":
        return ~given.bool()
    if convention == "additive":
        return given.bool()
    return torch.arange(frames) < given[:, None]
""",
                """`.bool()` of a number is False for 0 only. In an additive mask 0 is what is real, so yours comes out inverted.""",
            ),
            Wrong(
                "one lowest number only",
                """
def to_real(given, convention, frames):
    if convention == "real":
        return given.bool()
    if convention == "padding":
        return ~given.bool()
    if convention == "additive":
        return given > torch.finfo(given.dtype).min
    return torch.arange(frames) < given[:, None]
""",
                """you look for one particular number, and libraries differ in it: `finfo.min` here, {{TORCHAUDIO}} in torchaudio, -inf in others.
                In what do they all agree?""",
            ),
            Wrong(
                "left as integers",
                """
def to_real(given, convention, frames):
    if convention == "real":
        return given
    if convention == "padding":
        return ~given.bool()
    if convention == "additive":
        return given == 0
    return torch.arange(frames) < given[:, None]
""",
                """an integer mask of zeros and ones comes out as integers. It looks the same, but `hidden[mask]` would take its
                ones for row numbers. Make it bool.""",
            ),
            Wrong(
                "lengths: one too many",
                """
def to_real(given, convention, frames):
    if convention == "real":
        return given.bool()
    if convention == "padding":
        return ~given.bool()
    if convention == "additive":
        return given == 0
    return torch.arange(frames) <= given[:, None]
""",
                """the three masks are right, the lengths are one off: a clip with no real frame gets one from you.""",
            ),
        ),
        why="The way back is one line each, too: `~mask`, `padding_masks.additive_mask(mask)`, `mask.sum(1)`.",
    ),
    Exercise(
        id="4.4",
        title="did the mask arrive?",
        level="stretch",
        minutes=15,
        task="""
You have a model and its documentation says that it takes a mask. Write the test that finds out: `same_alone(run, waveforms, mask)`.
`run(waveforms, mask)` returns hidden states `(B, T, D)`; `waveforms` and the sample mask are `(B, L)`, the longest clip first. Return True if
**every** clip gives the same real frames in the batch as it gives alone, up to float error (`torch.allclose(…, atol={{TOLERANCE}})`), else False.
""",
        name="same_alone",
        stub="""
def same_alone(run, waveforms, mask):
    return ...
""",
        hints=(
            "For each clip, cut waveform and mask to its real samples, run it alone, and compare. Which rows of the batch do you compare with?",
            """Clip b has `n = int(mask[b].sum())` samples. Alone: `run(waveforms[b : b + 1, :n], mask[b : b + 1, :n])`, shape `(1, t, D)`. Its
counterpart is `run(waveforms, mask)[b, :t]`.""",
        ),
        solution="""
def same_alone(run, waveforms, mask):
    together = run(waveforms, mask)  # (B, T, D)
    for b, samples in enumerate(mask.sum(1).tolist()):
        alone = run(waveforms[b : b + 1, :samples], mask[b : b + 1, :samples])[0]  # (t, D)
        if not torch.allclose(together[b, : len(alone)], alone, atol=1e-5):
            return False
    return True
""",
        says="""
            a test in eight lines that most speech code does without. Lesson 5 points it at BASE, and BASE fails, mask or no mask.
        """,
        cases=_cases_of_alone,
        wrongs=(
            Wrong(
                "does the mask change anything",
                """
def same_alone(run, waveforms, mask):
    return not torch.allclose(run(waveforms, mask), run(waveforms, None), atol=1e-5)
""",
                """you ask whether the mask changes anything. An inverted mask changes a lot. The question is whether a clip comes out
                as it does alone.""",
            ),
            Wrong(
                "other noise in the padding",
                """
def same_alone(run, waveforms, mask):
    other = torch.where(mask, waveforms, torch.randn(waveforms.shape))
    one, two = run(waveforms, mask), run(other, mask)
    b, t = len(mask) - 1, geometry.frame_count(int(mask[-1].sum()))
    return torch.allclose(one[b, :t], two[b, :t], atol=1e-5)
""",
                """a clever test: rewrite the padding and see whether the real frames move. It is passed by a model that sets the
                padding to zero and then attends to the zeros: what is in the padding does not matter there, how much of it does.
                Compare with the clip alone, without any padding.""",
            ),
            Wrong(
                "the longest clip only",
                """
def same_alone(run, waveforms, mask):
    return torch.allclose(run(waveforms, mask)[:1], run(waveforms[:1], mask[:1]), atol=1e-5)
""",
                """you compare the first clip, and that is the longest: it has no padding, so no mask can fail it. The short ones are
                those that suffer.""",
            ),
            Wrong(
                "mean over padding",
                """
def same_alone(run, waveforms, mask):
    together = run(waveforms, mask)
    for b, samples in enumerate(mask.sum(1).tolist()):
        alone = run(waveforms[b : b + 1, :samples], mask[b : b + 1, :samples])[0]
        if not torch.allclose(together[b].mean(0), alone.mean(0), atol=1e-5):
            return False
    return True
""",
                """your test fails every model, the right one too: it averages over all T rows of the batch, and the padded rows are not
                zero. Take as many rows as the clip has alone.""",
            ),
        ),
        why="`padding_leak(model, clips)` does this for every layer, and says where the leak begins. You will meet it in lesson 5.",
    ),
)


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {
    "padded keys weigh exactly 0": lambda: weight_of_padding() == 0,
    "is never below": lambda: all(shortcut(n, LONG) >= T(n) for n in range(FIELD, LONG + 1)),
}
