"""Lesson 2: from samples to frames, derived, observed and proved."""

from __future__ import annotations

import dataclasses
from functools import cache

import torch

from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.exercise import Case, Exercise, Prediction, Rule, Wrong

LESSON = COURSE[2]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
KERNELS, STRIDES = config.conv_kernel, config.conv_stride
T, SECOND, HOP, FIELD = geometry.frame_count, geometry.sample_rate, geometry.hop, geometry.receptive_field
C, D = config.conv_dim[-1], config.hidden_size
RATE = SECOND // HOP  # frames per second
HOP_MS, FIELD_MS = 1000 * HOP // SECOND, 1000 * FIELD // SECOND
CENTRE = geometry.centre_ms(0)  # ms
OVERLAP = FIELD - HOP
ONE, TWO = geometry.samples_for(1), geometry.samples_for(2)  # every length with one frame, with two
THREAD = 2 * HOP  # samples; what a thread gives as the shortest clip with two frames
MINUTE = 60
SOME, SOME_KERNEL, SOME_STRIDE = 10, 3, 2  # the toy convolution
FRAME, NOISE = 3, 4_000  # the frame whose receptive field is measured, and the noise clip's samples
SPAN = geometry.span(FRAME)
TAIL = geometry.samples_for(24)  # lengths with the same 24 frames
TABLE = geometry.lengths(SECOND)
MASK_LENGTH = config.mask_time_length  # frames
STRETCHED = SECOND / T(SECOND)  # samples per frame, as many tutorials have it
LAST = T(SECOND) - 1
LATE = 1000 * LAST * STRETCHED / SECOND  # ms


def drift(samples: int) -> float:
    """How late samples / T puts the start of the last frame, in ms."""
    frames = T(samples)
    return 1000 * (frames - 1) * (samples / frames - HOP) / SECOND


SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config
config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
"""


@cache
def reach(norm: str):
    """Receptive field of frame 3 in TINY with this norm; weights random."""
    from w2vlearn.model import Wav2Vec2Model
    from w2vlearn.tracing import receptive_field

    torch.manual_seed(0)
    tiny = dataclasses.replace(Wav2Vec2Config.tiny(), feat_extract_norm=norm)
    return receptive_field(Wav2Vec2Model(tiny), FRAME, samples=NOISE)


# ---------------------------------------------------------------- predictions

PREDICTIONS = (
    Prediction(
        id="2.1",
        question="""
A new frame begins every {{HOP}} samples, that is {{RATE}} times a second. How many frames does a clip of one second, {{SECOND}} samples, have?
""",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            {{RATE}} frames begin in that second, but the last would need {{FIELD}} samples and finds only {{HOP}}. A frame
            exists only if all its samples exist.
        """,
        rules=(
            Rule(
                RATE,
                """{{RATE}} is the rate, frames per second. The count is a little lower: frame {{RATE - 1}} would begin at
                sample {{(RATE - 1) * HOP}} and end at {{(RATE - 1) * HOP + FIELD}}, and there the clip is over.""",
            ),
            Rule(
                SECOND // FIELD,
                """That would be windows side by side. They overlap: a window is {{FIELD}} samples long, but the next one
                begins {{HOP}} samples later.""",
            ),
            Rule(
                lambda said, is_: said > 1000,
                """That counts samples, or the steps of an early convolution. Seven convolutions thin them out, to one
                frame for every {{HOP}} samples.""",
            ),
        ),
    ),
    Prediction(
        id="2.2",
        question="One frame needs {{FIELD}} samples, the hop is {{HOP}}. How many frames does a clip of {{ONE[-1]}} samples have?",
        stub="prediction = None  # a number; running on without one is fine",
        because="""
            the second frame begins at sample {{HOP}} and needs {{FIELD}} more: {{TWO[0]}}. One sample is missing.
        """,
        rules=(
            Rule(
                2,
                """So near! The second frame begins at sample {{HOP}} and needs {{FIELD}} samples from there: {{TWO[0]}} in
                all. One is missing, and a frame with a missing sample is no frame.""",
            ),
            Rule(
                0,
                """One whole window of {{FIELD}} samples fits, so there is one frame. It is the second that lacks a
                sample.""",
            ),
        ),
    ),
    Prediction(
        id="2.3",
        question="""
Frame {{FRAME}} is made from samples {{SPAN[0]}} to {{SPAN[-1]}}: kernels and strides say so. BASE uses group norm. Somebody changes sample {{NOISE - 1}}, far away, and nothing else. Does
frame {{FRAME}} of BASE's feature encoder change?
""",
        stub='prediction = None  # "yes" or "no"; running on without one is fine',
        because="""
            group norm takes mean and variance of each channel over the whole clip. The window says where a frame looks;
            the norm tells it how loud everything else was.
        """,
        rules=(
            Rule(
                "no",
                """It would not if there were convolutions only. Between them sits a group norm, and it takes mean and
                variance of each channel over the whole clip: every sample has its share in every frame.""",
            ),
        ),
    ),
)


# ---------------------------------------------------------------- exercises

EXERCISES = (
    Exercise(
        id="2.1",
        title="hop and receptive field by hand",
        level="warm-up",
        minutes=5,
        task="""
The kernels are {{", ".join(map(str, KERNELS))}}, the strides {{", ".join(map(str, STRIDES))}}. Work out, with pencil or with a loop: how many samples lie between the beginnings of
two neighbouring frames (`hop`), and how many samples does one frame look at (`field`)?
""",
        name="(hop, field)",
        stub="hop = ...  # samples\nfield = ...  # samples",
        hints=(
            "One step after the second convolution is how many steps after the first, and how many samples?",
            """Keep two numbers, both 1 at first. Each convolution widens the field by (kernel - 1) steps of the present hop; then the hop is
multiplied by the stride.""",
        ),
        solution="""
hop, field = 1, 1
for kernel, stride in zip(config.conv_kernel, config.conv_stride):
    field = field + (kernel - 1) * hop
    hop = hop * stride
""",
        says="{{HOP_MS}} and {{FIELD_MS}} ms at {{SECOND}} samples per second. Neighbours share {{OVERLAP}} samples, {{FIELD_MS - HOP_MS}} ms.",
        wrongs=(
            Wrong(
                "no overlap",
                "hop, field = 320, 320",
                """the hop is right. If the field were as long as the hop, windows would lie side by side; but kernels of
                two or three with a stride of two overlap.""",
            ),
            Wrong(
                "milliseconds",
                "hop, field = 20, 25",
                """right, in milliseconds! The question is in samples; {{SECOND}} of them make a second.""",
            ),
            Wrong(
                "sums",
                "hop, field = 17, 26",
                """those are sums. Strides work on each other: every step of the last convolution is two of the one before,
                and those are two of the one before that.""",
                when=lambda answer: answer[0] == 17,
            ),
            Wrong(
                "swapped",
                "hop, field = 400, 320",
                """the right numbers in each other's place. The hop leads from one frame to the next; the field is what
                one frame sees, and it is the longer one.""",
            ),
            Wrong(
                "kernels without strides",
                "hop, field = 320, 20",
                """the hop is right. The field counts every kernel as if its steps were samples; from the second
                convolution on, a step is several samples wide.""",
            ),
            Wrong(
                "hop first",
                "hop, field = 320, 826",
                """the hop is right. For the field you used each convolution's hop after its own stride; its kernel walks
                over the steps that came in, so the hop before it counts.""",
            ),
            Wrong(
                "product of kernels",
                "hop, field = 320, 3240",
                """the hop is a product, but the field is not: kernels overlap, so each of them adds (kernel - 1) steps and
                does not multiply.""",
            ),
        ),
        why="The same backwards: `field = (field - 1) * stride + kernel` from the last convolution to the first (`receptive_field` in `w2vlearn/geometry.py`).",
    ),
    Exercise(
        id="2.2",
        title="the frame count in one line",
        level="core",
        minutes=6,
        task="""
Write `frame_count(samples)`: the number of frames for any length, 0 included, without a loop and without `geometry`. (Do not mix up hop and receptive
field: “windows of {{HOP_MS}} ms”, which you may read elsewhere, is the hop.)
""",
        name="frame_count",
        stub="def frame_count(samples):\n    return ...",
        hints=(
            "The first frame costs {{FIELD}} samples. What does each further frame cost?",
            "Take the first window away, see how many whole hops fit into the rest, and add the first frame again. What if not even that fits?",
        ),
        solution="def frame_count(samples):\n    return max(0, (samples - 400) // 320 + 1)",
        says="one window, then a hop for each further frame. T(L) = (L - {{FIELD}}) // {{HOP}} + 1.",
        cases=(
            Case(SECOND, because="One second."),
            Case(ONE[0] - 1, because="No full window fits."),
            Case(ONE[0], because="One window fits to the sample."),
            Case(ONE[-1], because="The second window lacks one sample."),
            Case(TWO[0], because="The second window fits to the sample."),
            Case(16_079),
            Case(16_080),
            Case(16_200),
            Case(450),
            Case(320_000, because="Twenty seconds."),
            Case(15, because="Far too short, and there is no such thing as -1 frames."),
            Case(0, because="Nothing in, nothing out."),
        ),
        wrongs=(
            Wrong(
                "no edge",
                "def frame_count(samples):\n    return samples // 320",
                """that counts hops: {{RATE}} in a second. The last frame needs more than a hop to the end, it needs its
                whole window. What does the first frame cost?""",
            ),
            Wrong(
                "rounded",
                "def frame_count(samples):\n    return round(samples / 320)",
                """rounding may invent a frame whose samples do not exist. Frames that do not fit are left out, so it is
                rounded down, and the edge counts as well.""",
            ),
            Wrong(
                "rounded up",
                "def frame_count(samples):\n    return max(0, -(-(samples - 400) // 320) + 1)",
                """{{ONE[-1]}} samples give two frames with this. The rest that does not fill a hop makes no frame; it is
                thrown away.""",
            ),
            Wrong(
                "the first frame forgotten",
                "def frame_count(samples):\n    return max(0, (samples - 400) // 320)",
                """one too few everywhere: {{FIELD}} samples give no frame with this. You took the first window away and
                counted the hops after it; who counts the first frame?""",
            ),
            Wrong(
                "int() at the lower end",
                "def frame_count(samples):\n    return max(0, int((samples - 400) / 320) + 1)",
                """right from {{FIELD}} on. But `int` cuts towards 0, so just below, at {{FIELD - 1}}, a small negative
                number becomes 0 and a frame appears from nothing. `//` rounds down.""",
            ),
            Wrong(
                "negative lengths",
                "def frame_count(samples):\n    return (samples - 400) // 320 + 1",
                """right for every clip that has a frame. Try 0 samples: fewer than no frames is too few.""",
            ),
            Wrong(
                "off by one at the edge",
                "def frame_count(samples):\n    return max(0, (samples - 401) // 320 + 1)",
                """{{FIELD}} samples are enough for one frame, and this says that they are not. Samples are numbered from
                0, so the first window ends with number {{FIELD - 1}}.""",
            ),
            Wrong(
                "windows side by side",
                "def frame_count(samples):\n    return samples // 400",
                """windows overlap: the next one begins {{HOP}} samples after this one, not {{FIELD}}.""",
            ),
        ),
        why="""
Seven floors in a row became one, because for whole numbers `((L - a) // b - c) // d` is `(L - a - b * c) // (b * d)`.
`symbolic_trace` shows that the model agrees.
""",
    ),
    Exercise(
        id="2.3",
        title="the shortest and the longest clip",
        level="core",
        minutes=6,
        task="""
A training batch must give at least so many frames, a memory limit allows at most so many. Write `lengths_for(frames)`: the smallest and the largest number of samples with
that many frames (1 or more), as a pair.
""",
        name="lengths_for",
        stub="def lengths_for(frames):\n    return ..., ...",
        hints=(
            "The shortest clip ends where the last frame's window ends. The longest lacks one sample for the next frame.",
            "Frame number `frames - 1` begins at `(frames - 1) * {{HOP}}`. Its window is {{FIELD}} long. And how many samples may follow without making a new frame?",
        ),
        solution="def lengths_for(frames):\n    shortest = (frames - 1) * 320 + 400\n    return shortest, shortest + 319",
        says="each number of frames belongs to {{HOP}} lengths in a row. The last {{HOP - 1}} samples of the longest are read by no frame.",
        cases=(Case(1), Case(2), Case(T(SECOND)), Case(999)),
        wrongs=(
            Wrong(
                "the next frame's first length",
                "def lengths_for(frames):\n    shortest = (frames - 1) * 320 + 400\n    return shortest, shortest + 320",
                """the shortest is right. Your longest is one sample too long: {{TWO[0]}} samples already give two
                frames.""",
            ),
            Wrong(
                "hops only",
                "def lengths_for(frames):\n    return frames * 320, frames * 320 + 319",
                """with {{HOP}} samples there is no frame at all. The window is longer than the hop, so the last frame
                needs {{OVERLAP}} samples more.""",
            ),
            Wrong(
                "one hop too many",
                "def lengths_for(frames):\n    shortest = frames * 320 + 400\n    return shortest, shortest + 319",
                """those lengths have one frame more. Between the first and the last of n frames lie n - 1 hops.""",
            ),
            Wrong(
                "windows side by side",
                "def lengths_for(frames):\n    return frames * 400, frames * 400 + 399",
                """windows overlap: each frame after the first costs a hop, not a whole window.""",
            ),
            Wrong(
                "only the shortest",
                "def lengths_for(frames):\n    shortest = (frames - 1) * 320 + 400\n    return shortest, shortest",
                """the shortest is right. But a few samples more change nothing: how many fit before the next frame is
                complete?""",
            ),
        ),
        why="`geometry.samples_for(frames)` gives the same as a range. SpecAugment's masks need {{MASK_LENGTH}} frames in training: {{geometry.samples_for(MASK_LENGTH)[0]}} samples or more.",
    ),
    Exercise(
        id="2.4",
        title="when is frame t?",
        level="core",
        minutes=5,
        task="""
Write `times(t, samples)`: start, centre and end of frame `t`'s window in milliseconds, for a clip of `samples` samples at {{SECOND}} Hz.
""",
        name="times",
        stub="def times(t, samples):\n    return ..., ..., ...  # start, centre, end in ms",
        hints=(
            "Which sample does frame t begin with, and how many samples does it look at? Do you need all the arguments?",
            "A hop is {{HOP_MS}} ms, a window {{FIELD_MS}} ms, wherever in the clip and however long the clip is.",
        ),
        solution="def times(t, samples):\n    start = t * 320 / 16  # 16 samples are one millisecond\n    return start, start + 12.5, start + 25",
        says="and the clip's length had nothing to do with it. Whoever divides by it stretches the axis.",
        cases=(Case(0, 16_000), Case(1, 16_000), Case(48, 16_000), Case(48, 16_079), Case(498, 160_000)),
        wrongs=(
            Wrong(
                "samples / T",
                "def times(t, samples):\n    step = samples / geometry.frame_count(samples) / 16\n"
                "    return t * step, t * step + 12.5, t * step + 25",
                """you spread the frames evenly over the clip. They are not: the samples at the end that no frame reads
                belong to nobody, so your last frame is late by about a hop.""",
                when=lambda times: 961 < times(48, 16_000)[0] < 1000,
            ),
            Wrong(
                "window as long as the hop",
                "def times(t, samples):\n    return 20 * t, 20 * t + 10, 20 * t + 20",
                """the starts are right. A frame looks further than to the beginning of the next one: its window is
                {{FIELD_MS}} ms.""",
            ),
            Wrong(
                "samples",
                "def times(t, samples):\n    return 320 * t, 320 * t + 200, 320 * t + 400",
                """right, in samples. The question is in milliseconds: how many samples make one of them?""",
            ),
            Wrong(
                "seconds",
                "def times(t, samples):\n    return 0.02 * t, 0.02 * t + 0.0125, 0.02 * t + 0.025",
                """right, in seconds. The question is in milliseconds; there are a thousand of them in one of yours.""",
            ),
            Wrong(
                "windows side by side",
                "def times(t, samples):\n    return 25 * t, 25 * t + 12.5, 25 * t + 25",
                """the first frame is right. The next begins {{HOP_MS}} ms later, before the first window is over.""",
            ),
        ),
        why="`geometry.start_ms(t)` and `geometry.centre_ms(t)`. Hugging Face's word offsets multiply frames by `inputs_to_logits_ratio / sampling_rate`: the start.",
    ),
    Exercise(
        id="2.5",
        title="who reads sample n?",
        level="stretch",
        minutes=8,
        task="""
There is a click at sample `n` (numbered from 0) of a clip with `samples` samples. Write `frames_reading(n, samples)`: the list of all frames whose window contains it.
""",
        name="frames_reading",
        stub="def frames_reading(n, samples):\n    return ...",
        hints=(
            "The last such frame is the last that has begun by then. The first is the one after the last that is over by then.",
            "Frame t reads n if `{{HOP}} * t <= n < {{HOP}} * t + {{FIELD}}`, and exists only below the frame count. Trying all t is allowed.",
        ),
        solution="""
def frames_reading(n, samples):
    count = max(0, (samples - 400) // 320 + 1)
    return [t for t in range(count) if 320 * t <= n < 320 * t + 400]
""",
        says="most samples are read once, {{OVERLAP}} of every {{HOP}} twice, and the last few by nobody.",
        cases=(
            Case(0, 16_000),
            Case(319, 16_000),
            Case(320, 16_000, because="Frame 1 begins here, frame 0 is not over yet."),
            Case(399, 16_000, because="The last sample of frame 0."),
            Case(400, 16_000, because="Frame 0 is over."),
            Case(15_759, 16_000, because="The last sample of the last frame."),
            Case(15_760, 16_000, because="Behind the last frame: the unread tail."),
            Case(700, 719, because="Frame 1 would contain it, but lacks a sample and does not exist."),
            Case(100, 399, because="A clip without frames."),
        ),
        wrongs=(
            Wrong(
                "one frame each",
                "def frames_reading(n, samples):\n    return [n // 320]",
                """windows overlap: the {{OVERLAP}} samples at the end of one are read by the next, too. And near the
                clip's end the frame that you name may not exist.""",
            ),
            Wrong(
                "frames that do not exist",
                "def frames_reading(n, samples):\n    return [t for t in range(n // 320 + 1) if n < 320 * t + 400]",
                """right in the middle of the clip. At its end you name frames that do not exist: their window reaches
                beyond the last sample.""",
            ),
            Wrong(
                "end included",
                "def frames_reading(n, samples):\n    count = max(0, (samples - 400) // 320 + 1)\n"
                "    return [t for t in range(count) if 320 * t <= n <= 320 * t + 400]",
                """off by one at sample {{FIELD}}: frame 0 has samples 0 to {{FIELD - 1}}, and there it is over.""",
            ),
            Wrong(
                "begins one late",
                "def frames_reading(n, samples):\n    count = max(0, (samples - 400) // 320 + 1)\n"
                "    return [t for t in range(count) if 320 * t < n <= 320 * t + 400]",
                """shifted by one sample: samples are numbered from 0, so sample 0 belongs to frame 0, and sample {{FIELD}}
                does not.""",
            ),
            Wrong(
                "window as long as the hop",
                "def frames_reading(n, samples):\n    count = max(0, (samples - 400) // 320 + 1)\n"
                "    return [t for t in range(count) if 320 * t <= n < 320 * (t + 1)]",
                """each sample has at most one frame with this. A window is longer than a hop, so some samples are read
                twice.""",
            ),
        ),
        why="`geometry.frames_at(n, samples)` computes first and last without trying.",
    ),
)


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {
    "reads exactly these": lambda: reach("layer").span == SPAN and reach("layer").status == "exact",
    "exactly one frame for every": lambda: all(T(n + OVERLAP) == n // HOP for n in range(0, 50 * HOP)),
}
