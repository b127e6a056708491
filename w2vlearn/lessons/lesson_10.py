"""Lesson 10: what of all this holds for your own model."""

from __future__ import annotations

import torch

from w2vlearn.audio import example
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.exercise import Case, Exercise, Prediction, Rule, Wrong

LESSON = COURSE[10]

# ---------------------------------------------------------------- what prose computes with

base, tiny = Wav2Vec2Config.base(), Wav2Vec2Config.tiny()
geometry = FrameGeometry.from_config(base)
T, SECOND, HOP, FIELD = geometry.frame_count, geometry.sample_rate, geometry.hop, geometry.receptive_field
D, KERNEL = base.hidden_size, base.num_conv_pos_embeddings
YES, DIGITS = len(example("yes")), len(example("digits"))  # samples
LAYERS, STRIDE = base.num_adapter_layers, base.adapter_stride
PER_GROUP = D // base.num_conv_pos_embedding_groups  # input channels of one group

OWN_KERNELS, OWN_STRIDES = (10, 3, 3, 3, 3, 2), (5, 2, 2, 2, 2, 2)  # exercise 10.1: one convolution fewer
own = FrameGeometry(OWN_KERNELS, OWN_STRIDES)

SMALL_D, SMALL_GROUPS, SMALL_KERNEL = 24, 4, 16  # the small models of this lesson
WHISPER_SECONDS, MEL_HOP = 30, 160  # Whisper's window; samples between two mel frames
MELS = WHISPER_SECONDS * SECOND // MEL_HOP  # mel frames that Whisper wants
WHISPER_T = MELS // 2  # its second convolution has stride 2
STACKED = 2  # mel frames that w2v-BERT puts side by side
MEL_BANDS = 80
CHECKPOINT = "facebook/wav2vec2-base-960h"

SETUP = """
import torch
from w2vlearn import FrameGeometry
"""


def after_adapter(frames: int, layers: int = LAYERS) -> int:
    """Frames that an adapter of some layers leaves: kernel 3, stride 2, one zero on either side."""
    for _ in range(layers):
        frames = (frames + 2 - base.adapter_kernel_size) // STRIDE + 1
    return frames


# ---------------------------------------------------------------- predictions

PREDICTIONS = (
    Prediction(
        id="10.1",
        question="""
HuBERT is another paper, by other authors, with another training task, and has a class of its own in Hugging Face's library. You build a wav2vec 2.0 and a HuBERT of the same size and compare their
traces. How many differences in letters and layers does `diff` list?
""",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            the two networks are the same, layer for layer, mask for mask. They differ in what they were trained for, and so in their
            weights, which a shape does not show.
        """,
        rules=(
            Rule(
                lambda said, is_: said > 0,
                """None: HuBERT took over wav2vec 2.0's network as it was. It differs in its training task (clusters instead of a
                quantizer), and what was learned is in the weights, not in any shape.""",
            ),
        ),
    ),
    Prediction(
        id="10.2",
        question="""
An **adapter** stands behind the Transformer: {{LAYERS}} convolutions, each with stride {{STRIDE}}. {{T(SECOND)}} frames go in. How many come out?
""",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            each convolution (kernel {{base.adapter_kernel_size}}, one zero on either side) halves and rounds *up*: {{T(SECOND)}}, {{after_adapter(T(SECOND), 1)}},
            {{after_adapter(T(SECOND), 2)}}, {{after_adapter(T(SECOND), 3)}}.
        """,
        rules=(
            Rule(
                T(SECOND) // STRIDE**LAYERS,
                """{{T(SECOND)}} / {{STRIDE**LAYERS}} is a little more than {{T(SECOND) // STRIDE**LAYERS}}, and the zeros on both sides make each convolution
                round up, not down.""",
            ),
            Rule(
                lambda said, is_: said > 2 * is_,
                """Three convolutions with stride {{STRIDE}}, one after the other: each of them halves.""",
            ),
            Rule(
                lambda said, is_: said < is_,
                """Each convolution halves, but with a zero on either side it rounds up.""",
            ),
        ),
    ),
    Prediction(
        id="10.3",
        question="""
The positional convolution of BASE has a weight of shape `({{D}}, {{PER_GROUP}}, {{KERNEL}})`, stored in two parts: a direction v of that shape, and lengths g. Which shape has g?
""",
        stub="prediction = None  # such as (1, 2, 3); running on without one is fine",
        because="""
            one length for each of the {{KERNEL}} places of the kernel. fairseq wrote `weight_norm(…, dim={{2}})`, and everyone kept it.
        """,
        rules=(
            Rule(
                lambda said, is_: len(said) == 3 and said[0] > 1,
                """That would be one length for each output channel, torch's default. Here it is `dim={{2}}`, one for each place of the kernel.""",
            ),
            Rule(
                lambda said, is_: len(said) == 3 and said[1] > 1,
                "One length for each input channel of a group would be `dim=1`. Here it is `dim={{2}}`, the kernel's axis.",
            ),
            Rule(
                lambda said, is_: len(said) == 1,
                "As many numbers as the axis that keeps its own lengths, and all three axes stay, two of them with size 1.",
            ),
        ),
    ),
    Prediction(
        id="10.4",
        question="""
Whisper's encoder gets “yes please”, one second of speech, prepared by its own processor. How many hidden states come out?
""",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            the processor fills every clip up to {{WHISPER_SECONDS}} s, {{MELS}} mel frames, and a convolution with stride {{2}} halves them. The length of the clip does
            not matter.
        """,
        rules=(
            Rule(
                lambda said, is_: said in (T(YES), SECOND // HOP),
                """So it would be in wav2vec 2.0. Whisper has a table of positions with {{WHISPER_T}} rows, and its processor fills each clip up to
                {{WHISPER_SECONDS}} s, so that it fits.""",
            ),
            Rule(
                lambda said, is_: said in (SECOND // MEL_HOP, MELS),
                """Near the mechanism: a mel frame every {{MEL_HOP}} samples. But the clip is filled up to {{WHISPER_SECONDS}} s first, and then a convolution
                halves the {{MELS}}.""",
            ),
            Rule(
                lambda said, is_: said < is_,
                "More: the processor fills each clip up to {{WHISPER_SECONDS}} s, however short it is.",
            ),
        ),
    ),
)


# ---------------------------------------------------------------- exercises


def weight_cases() -> list[Case]:
    """g and v of small convolutions, shapes (1, 1, K) and (out, in, K)."""
    cases = []
    for place, shape in enumerate([(2, 3, 2), (3, 2, 4)]):
        generator = torch.Generator().manual_seed(place)
        v = torch.randn(shape, generator=generator)
        g = 1 + torch.rand(1, 1, shape[2], generator=generator)
        because = "Each slice `weight[:, :, k]` has the length `g[0, 0, k]`, over both other axes together."
        cases.append(Case(g, v, label=f"g {tuple(g.shape)}, v {shape}", because=because))
    return cases


ADAPTER = """def adapter_frames(frames, layers):
    for _ in range(layers):
        frames = (frames + 2 - 3) // 2 + 1
    return frames"""
WEIGHT = "def weight(g, v):\n    return g * v / v.norm(dim=(0, 1), keepdim=True)"

EXERCISES = (
    Exercise(
        id="10.1",
        title="a model of your own",
        level="warm-up",
        minutes=3,
        task="""
Somebody's model has one convolution fewer: kernels `{{OWN_KERNELS}}`, strides `{{OWN_STRIDES}}`. What is its hop, in samples, and how many frames does it make of {{SECOND}} samples?
""",
        name="(hop, frames)",
        stub="hop = ...  # samples\nframes = ...",
        hints=(
            "`FrameGeometry(kernels, strides)` takes any tables. Which number do the strides make together?",
            "The hop is the product of the strides; `FrameGeometry(kernels, strides).frame_count({{SECOND:d}})` counts.",
        ),
        solution="""
own = FrameGeometry((10, 3, 3, 3, 3, 2), (5, 2, 2, 2, 2, 2))
hop, frames = own.hop, own.frame_count(16_000)
""",
        says="twice as many frames, and one: the window became shorter, so one more fits at the end.",
        wrongs=(
            Wrong(
                "BASE's numbers",
                "hop, frames = 320, 49",
                "those are BASE's. Here the last convolution, with stride {{2}}, is missing.",
            ),
            Wrong(
                "rate for count",
                "hop, frames = 160, 100",
                "the hop is right. {{SECOND // own.hop}} in a second is the rate; the count is a little lower, as a whole window of {{own.receptive_field}} samples must fit.",
            ),
            Wrong(
                "twice BASE's frames",
                "hop, frames = 160, 98",
                "the hop is right. But a frame's window has shrunk, too, to {{own.receptive_field}} samples, so one more fits at the end: count instead of doubling.",
            ),
            Wrong(
                "sum of the strides",
                "hop, frames = 15, 99",
                "strides multiply: a step of the second convolution is two steps of the first.",
                when=lambda answer: answer[0] == sum(OWN_STRIDES),
            ),
        ),
        why="Receptive field {{own.receptive_field}}, hop {{own.hop}}: `({{SECOND:d}} - {{own.receptive_field}}) // {{own.hop}} + 1` = {{own.frame_count(SECOND)}}.",
    ),
    Exercise(
        id="10.2",
        title="how long after the adapter",
        level="core",
        minutes=7,
        task="""
Write `adapter_frames(frames, layers)`: how many frames an adapter leaves. Each of its layers is a convolution with kernel {{base.adapter_kernel_size}}, stride {{STRIDE}} and one frame of zeros on either side.
""",
        name="adapter_frames",
        stub="def adapter_frames(frames, layers):\n    return ...",
        hints=(
            "Lesson 2's formula for one convolution: `(length - kernel) // stride + 1`. How long is the input with its zeros?",
            "`(frames + {{2}} - {{3}}) // {{2}} + 1`, once for each layer.",
        ),
        solution=ADAPTER,
        says="halves that round up, and a clip's frame mask goes through the same formula.",
        wrongs=(
            Wrong(
                "rounds down",
                "def adapter_frames(frames, layers):\n    return frames // 2**layers",
                "yours rounds down, and a single frame would vanish. With zeros on both sides each layer rounds up.",
            ),
            Wrong(
                "no zeros",
                ADAPTER.replace("frames + 2 - 3", "frames - 3"),
                "that is a convolution without padding, as in the feature encoder. Here one frame of zeros stands on either side.",
            ),
            Wrong(
                "one layer",
                "def adapter_frames(frames, layers):\n    return (frames + 2 - 3) // 2 + 1",
                "right for one layer. The next one gets what the first one left.",
            ),
            Wrong(
                "strides added",
                "def adapter_frames(frames, layers):\n    return (frames + 2 - 3) // max(1, 2 * layers) + 1",
                "strides of layers in a row multiply, they do not add: go through one layer after the other.",
            ),
        ),
        cases=(
            Case(T(SECOND), 3, because="The adapter of BASE, on one second."),
            Case(50, 1),
            Case(1, 3, because="A single frame stays one: its neighbours are zeros."),
            Case(104, 3),
            Case(9, 2),
            Case(7, 0, because="No layer, no change."),
        ),
        why="The same as `-(-frames // {{2}}**layers)`, rounding up once at the end. `Wav2Vec2Adapter.frame_lengths` in `w2vlearn/model/adapter.py`; Hugging Face `_get_feat_extract_output_lengths(…, add_adapter=True)`.",
    ),
    Exercise(
        id="10.3",
        title="a weight from its two parts",
        level="stretch",
        minutes=10,
        task="""
An old checkpoint holds `weight_g` of shape `(1, 1, K)` and `weight_v` of shape `(out, in, K)`. Write `weight(g, v)`, the convolution's weight: each slice `[:, :, k]` has v's direction and the length `g[0, 0, k]`.
""",
        name="weight",
        stub="def weight(g, v):\n    return ...",
        hints=(
            "A direction has length 1. What must v be divided by before it is multiplied by g?",
            "The length of a slice runs over the axes 0 and 1 together: `v.norm(dim=(0, 1), keepdim=True)`.",
        ),
        solution=WEIGHT,
        says="that is all that weight norm does, under its old names and its new ones.",
        wrongs=(
            Wrong(
                "not normalised",
                "def weight(g, v):\n    return g * v",
                "v has a length of its own, and yours keeps it. First make it 1, then g gives the new one.",
            ),
            Wrong(
                "each output channel",
                "def weight(g, v):\n    return g * v / v.norm(dim=(1, 2), keepdim=True)",
                "you normalise each output channel, torch's default `dim=0`. g has one number for each place of the kernel, so that is what a slice is.",
            ),
            Wrong(
                "the whole at once",
                "def weight(g, v):\n    return g * v / v.norm()",
                "one length for all of v leaves the slices with different lengths. Each `[:, :, k]` gets its own.",
            ),
            Wrong(
                "one axis only",
                "def weight(g, v):\n    return g * v / v.norm(dim=0, keepdim=True)",
                "a slice has two axes, and its length runs over both of them together.",
            ),
            Wrong(
                "g forgotten",
                "def weight(g, v):\n    return v / v.norm(dim=(0, 1), keepdim=True)",
                "directions, all of length 1. Now give them their lengths, g.",
            ),
        ),
        cases=weight_cases,
        why="`torch.nn.utils.parametrizations.weight_norm(conv, dim={{2}})` keeps g as `original0` and v as `original1`, and computes this whenever the weight is read.",
    ),
)


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {}
