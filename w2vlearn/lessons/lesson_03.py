"""Lesson 3: one Linear for every frame, and the tensor that everybody calls the features."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.exercise import Case, Exercise, Prediction, Rule, Wrong

LESSON = COURSE[3]

# ---------------------------------------------------------------- what prose computes with

config, large, tiny = Wav2Vec2Config.base(), Wav2Vec2Config.large(), Wav2Vec2Config.tiny()
geometry = FrameGeometry.from_config(config)
T, SECOND = geometry.frame_count, geometry.sample_rate
HOP, FIELD = geometry.hop, geometry.receptive_field
C, D = config.conv_dim[-1], config.hidden_size
LARGE_D = large.hidden_size
MINUTE = 60 * SECOND  # samples
POSITIONS = config.num_conv_pos_embeddings
WEIGHTS = C * D + D + 2 * C  # parameters of BASE's feature projection
CHANNELS_FIRST = (1, C, T(SECOND))
SHAPES = (
    (C,),
    (T(SECOND), C),
    (1, T(SECOND), C),
    (3, T(40_000), C),
    (2, 3, 5, C),
    (0, T(SECOND), C),
    CHANNELS_FIRST,
)
SHAPES_TEXT = "\n".join(f"* `{shape}`" for shape in SHAPES)
SQUARE_SAMPLES = geometry.samples_for(C)  # clips with as many frames as a frame has channels
SQUARE_SECONDS = SQUARE_SAMPLES[0] / SECOND
EPSILON = "1e-5"

SETUP = """
import torch
from torch import nn
"""


@cache
def runs() -> int:
    """How many of `SHAPES` a Linear(C -> D) takes."""
    linear, count = nn.Linear(C, D), 0
    for shape in SHAPES:
        try:
            linear(torch.zeros(shape))
            count += 1
        except RuntimeError:
            pass
    return count


def refusal() -> str:
    """PyTorch's words when the convolutions' output goes into the Linear as it is."""
    try:
        nn.Linear(C, D)(torch.zeros(CHANNELS_FIRST))
    except RuntimeError as error:
        return f"RuntimeError: {error}"
    return "nothing: it runs"


def _frames_alone_equal_the_batch() -> bool:
    linear, x = nn.Linear(24, 48), torch.randn(3, 5, 24)
    return torch.allclose(linear(x)[:, 3], linear(x[:, 3]), atol=1e-6)


# ---------------------------------------------------------------- predictions

PREDICTIONS = (
    Prediction(
        id="3.1",
        question="""
`nn.Linear({{C}}, {{D}})` waits. Tensors of these shapes come along, one after the other:

{{SHAPES_TEXT}}

How many of the seven does it take?
""",
        stub="prediction = None  # 0 to 7; running on without one is fine",
        because="""
            a Linear asks one thing only: that the last axis has {{C}} entries. Whatever stands before it is a list of rows,
            even an empty one.
        """,
        rules=(
            Rule(
                len(SHAPES),
                """One of them is refused: {{CHANNELS_FIRST}} has {{C}} in it, but not at the end. That is how the
                convolutions hand their result over, and why somebody has to transpose.""",
            ),
            Rule(
                lambda said, is_: said < is_,
                """It is more generous than you think. No batch axis, five axes, no frame at all: as long as the last axis
                has {{C}} entries, each row goes through by itself.""",
            ),
        ),
    ),
    Prediction(
        id="3.2",
        question="""
One second in BASE is {{T(SECOND)}} frames of {{C}} channels. Somebody replaces the {{C}} numbers of a single frame by others and runs the
feature projection again: LayerNorm, then Linear. How many of the {{T(SECOND)}} rows that come out are different now?
""",
        stub="prediction = None  # a whole number; running on without one is fine",
        because="""
            the row of that frame, and no other. LayerNorm takes mean and variance over the {{C}} channels of one frame, the
            Linear reads one frame. Neither looks along time.
        """,
        rules=(
            Rule(
                T(SECOND),
                """You may be thinking of a normalisation over the clip: then one frame would move the mean of all. This
                LayerNorm works on the last axis, the {{C}} channels of one frame. (BASE does have a norm over time, the group
                norm of lesson 2, but that is behind us.)""",
            ),
            Rule(
                lambda said, is_: 1 < said < T(SECOND),
                """Neighbours notice each other where there is a kernel longer than one frame. Here there is none: the
                convolutions are behind us, the positional one is ahead.""",
            ),
            Rule(
                0,
                """The frame itself does change: its {{D}} numbers are made from those {{C}}.""",
            ),
        ),
    ),
    Prediction(
        id="3.3",
        question="""
Hugging Face returns something called `extract_features`, with {{C}} numbers for each frame. Where on the way is it taken? Say
`"after the convolutions"`, `"after the LayerNorm"`, `"after the Linear"` or `"after the Transformer"`.
""",
        stub='prediction = None  # such as "after the Linear"; running on without one is fine',
        because="""
            the {{C}} numbers of the convolutions, each frame brought to mean 0 and variance 1, then scaled and shifted by the
            LayerNorm's own weights.
        """,
        rules=(
            Rule(
                "after the convolutions",
                """The name says so, and so did most who used it. But it is what the feature projection's LayerNorm made of
                them; the raw output of the convolutions is not returned at all.""",
            ),
            Rule(
                "after the Linear",
                """Then it would have {{D}} numbers for each frame.""",
            ),
            Rule(
                "after the Transformer",
                """In fairseq and torchaudio, yes: there a method of that name returns what the Transformer makes. In Hugging Face
                it comes before; {{C}} gives it away.""",
            ),
        ),
    ),
)


# ---------------------------------------------------------------- exercises

_PROJECT = """
def project(features, weight, bias):
    return {}
"""

_EXTRACT = """
def extract_features(convolved):
    {}
"""


def _tensor(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _layers() -> dict[str, tuple]:
    """Layers (B, T, C) -> (B, T, C') for exercise 3.3, each with why it mixes time or does not; C = 6."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear, norm, wide = nn.Linear(6, 8), nn.LayerNorm(6), nn.LayerNorm((9, 6))
        single, triple = nn.Conv1d(6, 8, 1), nn.Conv1d(6, 8, 3, padding=1)
        late = nn.Conv1d(6, 8, 3)

    def along_time(convolution, before: int = 0, after: int = 0):
        return lambda x: convolution(nn.functional.pad(x.transpose(1, 2), (before, after))).transpose(1, 2)

    def attention(x):
        return (x @ x.transpose(1, 2)).softmax(-1) @ x

    return {
        "Linear": (linear, "It reads one frame at a time."),
        "LayerNorm over the channels": (norm, "Mean and variance of one frame are its own affair."),
        "a convolution with kernel 1": (along_time(single), "Kernel 1 is a Linear in disguise."),
        "a convolution with kernel 3": (along_time(triple), "Each frame reads its two neighbours."),
        "a convolution that looks back": (
            along_time(late, before=2),
            "Each frame reads the two before it: frames after the one you change are those that notice.",
        ),
        "a convolution that looks ahead": (
            along_time(late, after=2),
            "Each frame reads the two after it: frames before the one you change are those that notice.",
        ),
        "LayerNorm over time and channels": (wide, "One mean for all frames: everybody notices."),
        "attention": (attention, "Every frame looks at every frame."),
    }


EXERCISES = (
    Exercise(
        id="3.1",
        title="what does it cost?",
        level="warm-up",
        minutes=4,
        task="""
The feature projection is a LayerNorm over C channels and a Linear from C to D features, both with all their usual parameters. Write
`parameters(channels, features)`: how many numbers are learned?
""",
        name="parameters",
        stub="""
def parameters(channels, features):
    return ...
""",
        hints=(
            "The Linear has a weight and a bias, the LayerNorm has a weight and a bias, too. What shape has each of the four?",
            """Linear: weight `(features, channels)`, bias `(features,)`. LayerNorm: one factor and one offset for each channel. Add up the
entries.""",
        ),
        solution="""
def parameters(channels, features):
    linear = features * channels + features  # weight (D, C) and bias (D,)
    layer_norm = 2 * channels  # weight (C,) and bias (C,)
    return linear + layer_norm
""",
        says="""
            {{WEIGHTS}} in BASE, and the length of a clip does not occur in the calculation.
        """,
        cases=(Case(C, D), Case(C, LARGE_D), Case(24, 48), Case(1, 1)),
        wrongs=(
            Wrong(
                "the weight only",
                "def parameters(channels, features):\n    return channels * features",
                """that is the Linear's weight, the biggest part. The Linear has a bias, and then there is the LayerNorm.""",
            ),
            Wrong(
                "no LayerNorm",
                "def parameters(channels, features):\n    return channels * features + features",
                """the Linear is complete. The LayerNorm before it learns something as well: a factor and an offset for each
                channel.""",
            ),
            Wrong(
                "LayerNorm after the Linear",
                "def parameters(channels, features):\n    return channels * features + features + 2 * features",
                """you normalise what comes out of the Linear. Here the LayerNorm comes first and works on the channels.""",
            ),
            Wrong(
                "half a LayerNorm",
                "def parameters(channels, features):\n    return channels * features + features + channels",
                """nearly: the LayerNorm learns two numbers for each channel. You have counted one.""",
            ),
            Wrong(
                "bias on the wrong side",
                "def parameters(channels, features):\n    return channels * features + channels + 2 * channels",
                """the Linear's bias is added to what comes out. How many numbers come out?""",
            ),
            Wrong(
                "times the frames",
                "def parameters(channels, features):\n    return 49 * (channels * features + features + 2 * channels)",
                """you count one projection for each frame. There is one for all frames; that is the point of this lesson.""",
            ),
        ),
    ),
    Exercise(
        id="3.2",
        title="be the Linear",
        level="core",
        minutes=6,
        task="""
Write `project(features, weight, bias)`, which does what `nn.Linear` does, without using it (nor `nn.functional.linear`). `features` has shape `(…, C)` with
any axes before the last, `weight` is `(D, C)`, as PyTorch stores it, and `bias` is `(D,)`. Return `(…, D)`.
""",
        name="project",
        stub="""
def project(features, weight, bias):
    return ...
""",
        hints=(
            "Write down the shapes of a matrix product that ends in D: (…, C) times (C, D). Which of the two do you have, and which is lying on its side?",
            "`weight.T` has shape (C, D). `@` treats all axes before the last two as a list of matrices, and a single row as a row.",
        ),
        solution=_PROJECT.format("features @ weight.T + bias  # (…, C) x (C, D) -> (…, D)"),
        says="""
            one line, and no T in it. Each frame is multiplied with the same matrix.
        """,
        cases=lambda: [
            Case(
                _tensor(2, 5, 4), _tensor(3, 4, seed=1), _tensor(3, seed=2), label="features (2, 5, 4), weight (3, 4)"
            ),
            Case(_tensor(4), _tensor(3, 4, seed=1), _tensor(3, seed=2), label="one frame (4,), weight (3, 4)"),
            Case(
                _tensor(2, 3, 3), _tensor(3, 3, seed=1), _tensor(3, seed=2), label="features (2, 3, 3), weight (3, 3)"
            ),
        ],
        wrongs=(
            Wrong(
                "weight not transposed",
                _PROJECT.format("features @ weight + bias"),
                """PyTorch stores the weight as (D, C), one row for each number that comes out. Your product wants it as (C, D). When C and
                D happen to be equal, nothing complains, and the result is another one.""",
            ),
            Wrong(
                "no bias",
                _PROJECT.format("features @ weight.T"),
                """the product is right. Something is still to be added to each of the D numbers.""",
            ),
            Wrong(
                "weight from the left",
                _PROJECT.format("weight @ features + bias"),
                """`weight @ x` is how textbooks write it, with x as a column. Here each frame is a row, in the last axis, so the weight comes from
                the right, and lies on its side.""",
            ),
            Wrong(
                "axes swapped",
                _PROJECT.format("(features @ weight.T + bias).transpose(-1, 0)"),
                """the numbers are right, and then you swap axes. A Linear leaves all axes where they are; only the last one changes its
                size.""",
            ),
        ),
        why="`einsum` says the same with letters: `torch.einsum('...c,dc->...d', features, weight) + bias`. The letter t is not needed.",
    ),
    Exercise(
        id="3.3",
        title="who looks along time?",
        level="stretch",
        minutes=12,
        task="""
Write `mixes_time(layer, x)`. `x` has shape `(B, T, C)`, `layer(x)` has shape `(B, T, …)`. Return True if changing one frame of `x` can change **another** frame of the
result, else False. You may call `layer` as often as you like.
""",
        name="mixes_time",
        stub="""
def mixes_time(layer, x):
    return ...
""",
        hints=(
            "Run it once as it is. Then change one frame, run it again, and look at all the other frames. Is one choice of frame enough?",
            "A layer may look only back or only ahead. Go through all T frames; `torch.arange(T) != t` marks the others.",
        ),
        solution="""
def mixes_time(layer, x):
    before, frames = layer(x), torch.arange(x.shape[1])
    for t in frames.tolist():
        changed = x.clone()
        changed[:, t] += torch.randn(x.shape[-1])
        others = frames != t
        if not torch.allclose(layer(changed)[:, others], before[:, others], atol=1e-6):
            return True
    return False
""",
        says="""
            padding can get in wherever this is True, and nowhere else. The trace asks the same question of every layer it meets.
        """,
        cases=lambda: [
            Case(layer, _tensor(2, 9, 6, seed=3), because=why, label=name) for name, (layer, why) in _layers().items()
        ],
        wrongs=(
            Wrong(
                "does anything change",
                """
def mixes_time(layer, x):
    changed = x.clone()
    changed[:, 4] += torch.randn(x.shape[-1])
    return not torch.allclose(layer(changed), layer(x), atol=1e-6)
""",
                """the frame that you change changes, in every layer that does anything. Leave it out when you compare: only the *other* frames
                tell.""",
            ),
            Wrong(
                "changes the last frame only",
                """
def mixes_time(layer, x):
    changed = x.clone()
    changed[:, -1] += torch.randn(x.shape[-1])
    return not torch.allclose(layer(changed)[:, :-1], layer(x)[:, :-1], atol=1e-6)
""",
                """you change the last frame and see whether earlier ones notice. A layer that looks back only passes your test: nobody comes after
                the last frame.""",
            ),
            Wrong(
                "changes the first frame only",
                """
def mixes_time(layer, x):
    changed = x.clone()
    changed[:, 0] += torch.randn(x.shape[-1])
    return not torch.allclose(layer(changed)[:, 1:], layer(x)[:, 1:], atol=1e-6)
""",
                """you change the first frame and see whether later ones notice. A layer that looks ahead only passes your test: nobody comes
                before the first frame.""",
            ),
            Wrong(
                "looks at the length only",
                """
def mixes_time(layer, x):
    return layer(x).shape[1] != x.shape[1]
""",
                """a layer can keep all its frames and still let them talk to each other: attention does. Shapes do not tell; numbers
                do. Change some and see who notices.""",
            ),
        ),
        why="Change a frame in the middle instead of all, and a layer that reads far away may slip through.",
    ),
    Exercise(
        id="3.4",
        title="from the convolutions to the features",
        level="core",
        minutes=8,
        task="""
The convolutions return `(B, C, T)`. Write `extract_features(convolved)`, which makes of it what a freshly built LayerNorm (weight 1, bias 0) would make: `(B, T, C)`, each
frame brought to mean 0 and variance 1 over its channels. Divide by `sqrt(variance + {{EPSILON}})`; the variance is the plain mean of the squared distances (`correction=0`).
""",
        name="extract_features",
        stub="""
def extract_features(convolved):
    return ...
""",
        hints=(
            "Two steps: bring the channels to the end, then normalise along that axis. `keepdim=True` keeps the axis, so that you can subtract.",
            """`convolved.transpose(1, -1)` moves numbers to where they belong. `.mean(-1, keepdim=True)` and `.var(-1, correction=0, keepdim=True)`
are `(B, T, 1)`.""",
        ),
        solution="""
def extract_features(convolved):
    frames = convolved.transpose(1, 2)  # (B, C, T) -> (B, T, C)
    mean = frames.mean(-1, keepdim=True)  # (B, T, 1)
    variance = frames.var(-1, correction=0, keepdim=True)  # (B, T, 1)
    return (frames - mean) / torch.sqrt(variance + 1e-5)
""",
        says="""
            this is what Hugging Face calls `extract_features`, and what the quantizer of pre-training reads (lesson 8).
        """,
        tolerance=1e-4,
        cases=lambda: [
            Case(2 * _tensor(2, 4, 6) + 1, label="a tensor (2, 4, 6)"),
            Case(3 * _tensor(1, 5, 5, seed=1) - 2, label="a tensor (1, 5, 5)"),
        ],
        wrongs=(
            Wrong(
                "reshape instead of transpose",
                _EXTRACT.format(
                    "frames = convolved.reshape(convolved.shape[0], convolved.shape[2], convolved.shape[1])\n"
                    "    return nn.functional.layer_norm(frames, frames.shape[-1:])"
                ),
                """the shape is right and the content is not. `reshape` reads the numbers in the order in which they lie in memory, channel after
                channel, and cuts them anew: your first frame holds the first channel's values at several times.""",
            ),
            Wrong(
                "normalised over time",
                _EXTRACT.format(
                    "frames = convolved.transpose(1, 2)\n"
                    "    return (frames - frames.mean(1, keepdim=True)) / torch.sqrt(frames.var(1, correction=0, keepdim=True) + 1e-5)"
                ),
                """you normalise each channel over time. That is what a group norm does, and it would make every frame depend on the whole
                clip. Here each frame is normalised by itself.""",
            ),
            Wrong(
                "one mean for the clip",
                _EXTRACT.format(
                    "frames = convolved.transpose(1, 2)\n    return nn.functional.layer_norm(frames, frames.shape[1:])"
                ),
                """one mean and one variance for the whole clip: then a loud frame makes all others quiet. Take them for each frame
                apart.""",
            ),
            Wrong(
                "not transposed",
                _EXTRACT.format(
                    "mean, variance = convolved.mean(1, keepdim=True), convolved.var(1, correction=0, keepdim=True)\n"
                    "    return (convolved - mean) / torch.sqrt(variance + 1e-5)"
                ),
                """normalised along the right axis, but it is still (B, C, T). The Linear that comes next works on the last axis.""",
            ),
            Wrong(
                "variance of a sample",
                _EXTRACT.format(
                    "frames = convolved.transpose(1, 2)\n"
                    "    mean, variance = frames.mean(-1, keepdim=True), frames.var(-1, keepdim=True)\n"
                    "    return (frames - mean) / torch.sqrt(variance + 1e-5)"
                ),
                """close, a little too small throughout: `var` divides by C - 1 unless you say `correction=0`. With many channels the
                difference hides; here there are few.""",
            ),
            Wrong(
                "only the transpose",
                _EXTRACT.format("return convolved.transpose(1, 2)"),
                """that is the raw output of the convolutions, turned the right way. The LayerNorm is still to come.""",
            ),
        ),
        why="In one line: `nn.functional.layer_norm(convolved.transpose(1, -1), convolved.shape[1:-1])`.",
    ),
)


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {"never sees the length": _frames_alone_equal_the_batch}
