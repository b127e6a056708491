"""Lesson 5: one clip, alone and in company; four ways in which padding gets into its result."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from importlib import resources

import torch

from w2vlearn.audio import example
from w2vlearn.batch import pad
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.exercise import Case, Exercise, Prediction, Rule, Wrong
from w2vlearn.lessons.listening import digits_clip as digits_clip  # the notebook takes it from here

LESSON = COURSE[5]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
tiny = Wav2Vec2Config.tiny()
geometry = FrameGeometry.from_config(config)
T = geometry.frame_count
SECOND, HOP, FIELD = geometry.sample_rate, geometry.hop, geometry.receptive_field
KERNEL = config.num_conv_pos_embeddings
C, CHANNELS = config.conv_dim[-1], tiny.conv_dim[0]

YES, DIGITS, QUESTION = (len(example(name)) for name in ("yes", "digits", "question"))  # samples
LONG = geometry.samples_for(200).start  # samples of the clip in which neighbourhoods can be seen: 200 frames
LONGER = LONG + SECOND
PROBE, FRAME = 4000, 3  # samples of the clip, and the frame, whose receptive field is measured
INSIDE = geometry.span(FRAME)
REACHED = T(LONG) - (
    T(LONG) - (KERNEL // 2 - 1)
)  # real frames that see a padded one through the positional convolution
GROUP_GROWTH = (5 * SECOND / YES) ** 0.5
EPSILON = "1e-5"

SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config, pad
geometry = FrameGeometry.from_config(Wav2Vec2Config.tiny())
"""


@cache
def build(norm: str):
    """TINY with random weights: group norm as in BASE, or layer norm as in LARGE_LV60."""
    from w2vlearn.model import Wav2Vec2Model

    layer = norm == "layer"
    settings = dataclasses.replace(tiny, feat_extract_norm=norm, conv_bias=layer, do_stable_layer_norm=layer)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Wav2Vec2Model(settings).eval()


def _moved(here: torch.Tensor, alone: torch.Tensor) -> float:
    return float((here - alone).norm() / alone.norm())


@cache
def moved(norm: str, mask: bool = True) -> float:
    """How far company moves the hidden states of “yes please”, beside the question."""
    model, clips = build(norm), [example("yes"), example("question")]
    batch = pad(clips)
    with torch.no_grad():
        alone = model(clips[0][None]).last_hidden_state[0]
        together = model(batch.waveforms, batch.mask if mask else None).last_hidden_state[0, : len(alone)]
    return _moved(together, alone)


def _normalised(row: torch.Tensor) -> torch.Tensor:
    return (row - row.mean()) / torch.sqrt(row.var(correction=0) + 1e-7)


@cache
def evidence() -> dict[str, dict[str, float]]:
    """Four programs with one leak each: how far company moves “yes please” at four places on its way."""
    clip, mate = example("yes"), example("question")
    programs = {  # norm, the row is normalised, mask, only real rows are averaged
        "A": ("layer", False, False, True),
        "B": ("layer", False, True, False),
        "C": ("layer", True, True, True),
        "D": ("group", False, True, True),
    }
    return {name: _places(clip, mate, *program) for name, program in programs.items()}


def _places(clip, mate, norm: str, whole_row: bool, handed: bool, real_only: bool) -> dict[str, float]:
    model = build(norm)
    apart = pad([clip], normalize=True)
    batch = pad([clip, mate], normalize=not whole_row)
    waveforms = torch.stack([_normalised(row) for row in batch.waveforms]) if whole_row else batch.waveforms
    with torch.no_grad():
        alone = model(apart.waveforms)
        here = model(waveforms, batch.mask if handed else None)
    frames = alone.last_hidden_state.shape[1]
    rows = frames if real_only else here.last_hidden_state.shape[1]
    return {
        "samples": _moved(waveforms[0, : len(clip)], apart.waveforms[0]),
        "features": _moved(here.extract_features[0, :frames], alone.extract_features[0]),
        "hidden state": _moved(here.last_hidden_state[0, :frames], alone.last_hidden_state[0]),
        "one vector": _moved(here.last_hidden_state[0, :rows].mean(0), alone.last_hidden_state[0].mean(0)),
    }


@cache
def trained(norm: str, padded_to: float, mask: bool, figure: str = "word_accuracy") -> float:
    """What was measured for a digit model when it was trained, in per cent (``metrics.json`` beside its weights)."""
    folder = resources.files("w2vlearn") / "data" / f"digits_{norm}"
    rows = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["padding"]
    wanted = {"padded_to": padded_to, "mask": mask, "frames": "real"}
    return 100 * next(row[figure] for row in rows if wanted.items() <= row.items())


def show_trained() -> None:
    """Print what padding does to both digit models."""
    print(f"{'':28s}{'words right':>18s}{'same text as alone':>22s}")
    print(f"{'':30s}{'group':>8s}{'layer':>8s}{'':6s}{'group':>8s}{'layer':>8s}")
    for name, padded_to, mask in [
        ("alone", 1.0, False),
        *((f"padded to {p:g} x, {'mask' if m else 'no mask'}", p, m) for p in (1.5, 2.0, 4.0) for m in (False, True)),
    ]:
        cells = [
            [trained(n, padded_to, mask, f) for n in ("group", "layer")] for f in ("word_accuracy", "same_as_alone")
        ]
        words, same = ("".join(f"{cell:7.1f}%" for cell in pair) for pair in cells)
        print(f"{name:30s}{words}{'':6s}{same}")


def show_evidence() -> None:
    """Print the table of exercise 5.2."""
    print(f"{'program':9s}" + "".join(f"{place:>14s}" for place in evidence()["A"]))
    for name, places in evidence().items():
        print(f"{name:9s}" + "".join(f"{_amount(value):>14s}" for value in places.values()))


def _amount(value: float) -> str:
    return "untouched" if value < 1e-4 else f"{value:.2f}"


@cache
def with_masked_norm() -> str:
    """What is left of the leak when exercise 5.3's norm takes the place of the group norm, mask handed."""
    from types import SimpleNamespace

    from w2vlearn.model import Wav2Vec2Model

    names: dict = {"torch": torch}
    exec(EXERCISES[2].solution, names)
    clips = [example("yes"), example("question")]
    batch = pad(clips)
    model = Wav2Vec2Model(tiny).eval()
    kernel, stride = tiny.conv_kernel[0], tiny.conv_stride[0]
    now = SimpleNamespace(lengths=batch.lengths)

    class MaskedNorm(torch.nn.Module):
        def forward(self, features):
            return names["masked_group_norm"](features, (now.lengths - kernel) // stride + 1)

    model.feature_extractor.conv_layers[0].layer_norm = MaskedNorm()
    with torch.no_grad():
        together = model(batch.waveforms, batch.mask).last_hidden_state[0, : T(YES)]
        now.lengths = batch.lengths[:1]
        alone = model(clips[0][None]).last_hidden_state[0]
    return "nothing but float error" if _moved(together, alone) < 1e-5 else f"{_moved(together, alone):.2f}"


# ---------------------------------------------------------------- predictions

PREDICTIONS = (
    Prediction(
        id="5.1",
        question="""
“yes please” waits in a batch beside the question. The batch is padded with zeros, and the model is handed the right mask. For which of the two models is
the hidden state of “yes please” the same as alone, to float error: `"group"`, `"layer"`, `"both"` or `"neither"`?
""",
        stub='prediction = None  # "group", "layer", "both" or "neither"; running on without one is fine',
        because="""
            the mask was right in both runs. In the group norm model the neighbour had got in before any layer looked at the
            mask.
        """,
        rules=(
            Rule(
                "both",
                """That is what a mask is for, and what most people expect. With group norm, padding had got in before any
                layer looked at the mask.""",
            ),
            Rule(
                "neither",
                """So suspicious! The layer norm model keeps its clips apart: what is left there is float error, since
                sums over longer rows are added up in another order.""",
            ),
            Rule(
                "group",
                """The other one! Group norm, in spite of its name, looks along the time axis, and the padding lies
                there.""",
            ),
        ),
    ),
    Prediction(
        id="5.2",
        question="""
A frame of the feature encoder is computed from {{FIELD}} samples, says lesson 2. Take a clip of {{PROBE}} samples. How many of them have an influence on frame {{FRAME}} in
the *group norm* model?
""",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            group norm divides each channel by a standard deviation that every sample of the clip has a part in. The
            window is where a frame reads its values; their scale comes from everywhere.
        """,
        rules=(
            Rule(
                FIELD,
                """{{FIELD}} is the window of the convolutions, and with layer norm it is the whole truth. Group norm adds a
                mean and a standard deviation over all of the clip.""",
            ),
            Rule(
                INSIDE.stop,
                """Everything up to the end of its window: the model would be causal. But the standard deviation is taken
                over the whole clip, the future included.""",
            ),
        ),
    ),
    Prediction(
        id="5.3",
        question="""
A clip of {{T(LONG)}} frames stands in a batch beside a longer one, layer norm model, *no mask handed*. The positional convolution has a kernel of {{KERNEL}} frames,
centred. For how many of the {{T(LONG)}} real frames does its output change?
""",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            half of the kernel looks ahead, so only frames near the end reach over it. One layer later it is all {{T(LONG)}}:
            attention looks everywhere.
        """,
        rules=(
            Rule(
                T(LONG),
                """After the next layer, yes: attention looks everywhere. A convolution reaches as far as its kernel, and
                half of that lies ahead.""",
            ),
            Rule(
                KERNEL,
                """Half of the kernel looks back, where everything is real. Only the half that looks ahead can meet
                padding.""",
            ),
            Rule(
                lambda said, seen: abs(said - seen) <= 2,
                """Half of the kernel, very good! An even kernel has no middle: it takes {{KERNEL // 2}} frames back, the
                frame itself, and {{KERNEL // 2 - 1}} ahead.""",
            ),
            Rule(
                0,
                """The padded samples are zeros, but padded *frames* are not: norms and biases gave them values, and
                without a mask nobody sets them to zero.""",
            ),
        ),
    ),
)


# ---------------------------------------------------------------- exercises


def hidden_states() -> list[Case]:
    """Small (B, T, D) tensors with their frame masks."""
    hidden = torch.tensor([[[1.0, 10.0], [3.0, 20.0], [8.0, 60.0]], [[2.0, 4.0], [4.0, 8.0], [6.0, 12.0]]])  # (2, 3, 2)
    short = torch.tensor([[True, True, False], [True, True, True]])
    other = torch.tensor([[True, False, False], [True, True, False]])
    return [
        Case(
            hidden,
            short,
            label="2 clips of 2 and 3 real frames",
            because="The first clip has two real rows; its vector is the mean of those, whatever stands in the third.",
        ),
        Case(hidden, other, label="2 clips of 1 and 2 real frames", because="One real row is its own mean."),
        Case(hidden[:1], short[1:], label="one clip without padding", because="Without padding it is the plain mean."),
    ]


def channels() -> list[Case]:
    """Small (B, C, T1) tensors with the number of real positions."""
    generator = torch.Generator().manual_seed(0)
    features = 3 * torch.randn(2, 3, 6, generator=generator) + 1
    return [
        Case(
            features,
            torch.tensor([4, 6]),
            label="(2, 3, 6), 4 and 6 real positions",
            because="Each channel of each clip has mean 0 and variance 1 over its real positions; padded ones are 0.",
        ),
        Case(
            features[:1],
            torch.tensor([6]),
            label="(1, 3, 6), all real",
            because="Without padding it is torch's own group norm, one group for each channel.",
        ),
    ]


MEANS = """
def masked_group_norm(features, real):
    keep = (torch.arange(features.shape[2]) < real[:, None])[:, None]  # (B, 1, T1)
    count = real[:, None, None]  # (B, 1, 1)
"""

LEAKS = """
leaks = {"A": %r, "B": %r, "C": %r, "D": %r}
closed_by_mask = %r
"""
RIGHT = ("no mask", "pooling", "normalisation", "group norm")

EXERCISES = (
    Exercise(
        id="5.1",
        title="one vector for each clip",
        level="warm-up",
        minutes=4,
        task="""
Write `clip_vectors(hidden, frame_mask)`: hidden states `(B, T, D)` and the frame mask `(B, T)`, True = real, give the mean over each clip's real frames, `(B, D)`.
""",
        name="clip_vectors",
        stub="def clip_vectors(hidden, frame_mask):\n    return ...",
        hints=(
            "A mean is a sum divided by a count. Which rows belong into the sum, and how many are they for each clip?",
            "`hidden * frame_mask[:, :, None]` sets padded rows to zero, so that a sum over T leaves them out. The count is `frame_mask.sum(1, keepdim=True)`.",
        ),
        solution="""
def clip_vectors(hidden, frame_mask):
    total = (hidden * frame_mask[:, :, None]).sum(1)  # (B, T, D) -> (B, D)
    return total / frame_mask.sum(1, keepdim=True)  # (B, D) / (B, 1)
""",
        says="and company no longer matters. A loop over `hidden[i, frame_mask[i]].mean(0)` is as good.",
        wrongs=(
            Wrong(
                "all rows",
                "def clip_vectors(hidden, frame_mask):\n    return hidden.mean(1)",
                """that averages the padded rows in: the longer the neighbour, the more of them. This is the fourth leak
                itself.""",
            ),
            Wrong(
                "divided by T",
                "def clip_vectors(hidden, frame_mask):\n    return (hidden * frame_mask[:, :, None]).mean(1)",
                """the sum is right: padded rows are zero in it. But `mean` divides by all T rows, so a short clip's vector
                shrinks. Divide by the number of real ones.""",
            ),
            Wrong(
                "inverted",
                """
def clip_vectors(hidden, frame_mask):
    keep = ~frame_mask
    return (hidden * keep[:, :, None]).sum(1) / keep.sum(1, keepdim=True)
""",
                """that is the mean of the padding; where there is none, it divides by zero. True is real here.""",
            ),
            Wrong(
                "over the batch",
                "def clip_vectors(hidden, frame_mask):\n    return hidden[frame_mask].mean(0)",
                """`hidden[frame_mask]` puts the real rows of all clips into one heap, and one vector comes out. Each clip
                gets its own.""",
            ),
            Wrong(
                "sum",
                "def clip_vectors(hidden, frame_mask):\n    return (hidden * frame_mask[:, :, None]).sum(1)",
                """that is the sum over real frames: a clip of twice the length has twice the vector. What makes a mean of
                a sum?""",
            ),
        ),
        cases=hidden_states,
        why="""Hugging Face's `Wav2Vec2ForSequenceClassification` does the same, if it is handed the mask; without it, all rows are averaged.""",
    ),
    Exercise(
        id="5.2",
        title="four programs, four leaks",
        level="core",
        minutes=8,
        task="""
Four programs turn clips into one vector each, and each has one leak of its own. The table above says how far company moves “yes please” at four places on its way: its samples
before the model, its features after the feature encoder, its hidden state, and the vector. Which leak has which program? Write `"normalisation"` (of the padded row),
`"group norm"`, `"no mask"` (handed to the model) or `"pooling"` (over padded rows). And which of the programs, as a list such as `["A", "B"]`, would be cured by handing the right mask to the model?
""",
        name="(leaks, closed_by_mask)",
        stub="""
leaks = {"A": ..., "B": ..., "C": ..., "D": ...}
closed_by_mask = [...]
""",
        hints=(
            "Read each row from the left. Where does company show first? What lies between that place and the one before it?",
            """Moved samples: something happened before the model. Moved features, but untouched samples: something in the feature encoder looks along time.
A mask that the model is handed is read by the Transformer; it can close what happens there and nothing else.""",
        ),
        solution=LEAKS % (*RIGHT, ["A"]),
        says="""you find a leak by asking where it shows first. And only one of the four is the mask's to close.""",
        wrongs=(
            Wrong(
                "group norm and no mask mixed up",
                LEAKS % ("group norm", "pooling", "normalisation", "no mask", ["A"]),
                """two programs are mixed up, A and D. A missing mask cannot be felt before somebody would have read it:
                in which of the two are the features moved already?""",
                when=lambda answer: answer[0].get("A") == "group norm" or answer[0].get("D") == "no mask",
            ),
            Wrong(
                "normalisation taken for group norm",
                LEAKS % ("no mask", "pooling", "group norm", "normalisation", ["A"]),
                """look at the first column of C and of D. Group norm sits inside the model: it cannot move the samples
                that go in.""",
                when=lambda answer: answer[0].get("C") == "group norm" or answer[0].get("D") == "normalisation",
            ),
            Wrong(
                "pooling not seen",
                LEAKS % ("pooling", "no mask", "normalisation", "group norm", ["A"]),
                """in B every hidden state of a real frame is untouched, so whatever went wrong happened after the model.
                In A it happened earlier.""",
                when=lambda answer: answer[0].get("B") in ("no mask", "group norm", "normalisation"),
            ),
            Wrong(
                "the mask cures group norm",
                LEAKS % (*RIGHT, ["A", "D"]),
                """all four leaks are named rightly. But look at D again: it *was* handed the mask. Group norm did its work
                before anybody read it.""",
                when=lambda answer: answer[0] == dict(zip("ABCD", RIGHT, strict=True)) and "D" in answer[1],
            ),
            Wrong(
                "the mask cures pooling",
                LEAKS % (*RIGHT, ["A", "B"]),
                """all four leaks are named rightly. B *was* handed the mask, and its hidden states are right. Rows of padding
                come out all the same, and somebody averaged them.""",
                when=lambda answer: answer[0] == dict(zip("ABCD", RIGHT, strict=True)) and "B" in answer[1],
            ),
            Wrong(
                "the mask cures normalisation",
                LEAKS % (*RIGHT, ["A", "C"]),
                """all four leaks are named rightly. In C the samples are moved before the model gets them: it was handed
                the right mask, too late.""",
                when=lambda answer: answer[0] == dict(zip("ABCD", RIGHT, strict=True)) and "C" in answer[1],
            ),
            Wrong(
                "no mask is no problem",
                LEAKS % (*RIGHT, []),
                """all four leaks are named rightly. One of the programs forgot to hand over the mask: there it would
                help.""",
                when=lambda answer: answer[0] == dict(zip("ABCD", RIGHT, strict=True)) and not answer[1],
            ),
        ),
        why="A: the model got no mask. B: the mean took all rows. C: each padded row was normalised. D: a group norm model, though handed the mask.",
    ),
    Exercise(
        id="5.3",
        title="a group norm that knows the mask",
        level="stretch",
        minutes=10,
        task="""
Somebody on an issue tracker (torchaudio, issue 2242) wrote a group norm that leaves the padding out. Do it too: `masked_group_norm(features, real)` takes features `(B, C, T1)` and
the number of real positions of each clip, `(B,)`; each channel of each clip is brought to mean 0 and variance 1 over its real positions, by `(x - mean) / sqrt(variance + {{EPSILON}})` with the
variance divided by the count (`correction=0`), and padded positions become 0.
""",
        name="masked_group_norm",
        stub="def masked_group_norm(features, real):\n    return ...",
        hints=(
            "Exercise 5.1 took a mean over real positions of the second axis. Here time is the third, and a variance is a mean of squares.",
            """Make `keep` of shape (B, 1, T1) from `torch.arange`, and `count = real[:, None, None]`. Then mean = sum of `features * keep` over the last axis, divided by `count`;
subtract it, multiply by `keep` again, and do the same with the squares.""",
        ),
        solution=MEANS.strip()
        + """
    mean = (features * keep).sum(2, keepdim=True) / count  # (B, C, 1)
    centred = (features - mean) * keep  # (B, C, T1)
    variance = (centred**2).sum(2, keepdim=True) / count  # (B, C, 1)
    return centred / torch.sqrt(variance + 1e-5)
""",
        says="""put in place of TINY's group norm it leaves {{with_masked_norm()}} of the leak, if the mask is handed, too.""",
        wrongs=(
            Wrong(
                "torch's own",
                """
def masked_group_norm(features, real):
    return torch.nn.functional.group_norm(features, features.shape[1])
""",
                """that is the group norm of the model, and it counts padded positions. Which of them are real, `real` says.""",
            ),
            Wrong(
                "torch's own, then zeroed",
                """
def masked_group_norm(features, real):
    keep = (torch.arange(features.shape[2]) < real[:, None])[:, None]
    return torch.nn.functional.group_norm(features, features.shape[1]) * keep
""",
                """the padding is 0, but too late: mean and variance were taken over it before. The real positions still
                know how long the neighbour is.""",
            ),
            Wrong(
                "over the channels",
                """
def masked_group_norm(features, real):
    keep = (torch.arange(features.shape[2]) < real[:, None])[:, None]
    mean, variance = features.mean(1, keepdim=True), features.var(1, correction=0, keepdim=True)
    return (features - mean) / torch.sqrt(variance + 1e-5) * keep
""",
                """that is layer norm: mean and variance over the channels of each position. It needs no mask, and it is
                another model. Group norm goes along time, the third axis.""",
            ),
            Wrong(
                "padding left in",
                MEANS
                + """
    mean = (features * keep).sum(2, keepdim=True) / count
    variance = (((features - mean) * keep) ** 2).sum(2, keepdim=True) / count
    return (features - mean) / torch.sqrt(variance + 1e-5)
""",
                "the real positions are right. Only the padded ones are not 0 yet.",
            ),
            Wrong(
                "one less",
                MEANS
                + """
    mean = (features * keep).sum(2, keepdim=True) / count
    centred = (features - mean) * keep
    return centred / torch.sqrt((centred**2).sum(2, keepdim=True) / (count - 1) + 1e-5)
""",
                "nearly! The variance is divided by the number of real positions here, not by one less.",
            ),
            Wrong(
                "padding in the variance",
                MEANS
                + """
    centred = (features - (features * keep).sum(2, keepdim=True) / count) * keep
    return centred / torch.sqrt((centred**2).mean(2, keepdim=True) + 1e-5)
""",
                """the mean is right, and the padding is 0. But the variance divides by all T1 positions: `mean` does not
                know that some of them are padding.""",
            ),
        ),
        cases=channels,
        why="""In a checkpoint that was trained with torch's own group norm on clips without padding, this norm gives in a batch what the clip gives alone. The library
leaves it out: its BASE computes what every other BASE computes.""",
    ),
)


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {}
