"""Lesson 11: famous errors and silent traps, each with the smallest input that shows it."""

from __future__ import annotations

import functools

from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.exercise import Case, Exercise, Prediction, Rule, Wrong

LESSON = COURSE[11]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.tiny()
geometry = FrameGeometry.from_config(config)
T, FIELD, HOP, SECOND = geometry.frame_count, geometry.receptive_field, geometry.hop, geometry.sample_rate
TOO_SHORT = FIELD - 1  # samples
SPAN = config.mask_time_length  # frames of one time mask
SPAN_SAMPLES = geometry.samples_for(SPAN).start  # the shortest clip that holds one
HALF_RANGE = 65_504  # largest finite number of float16
BASE = Wav2Vec2Config.base()
CHANNELS = 2  # left and right
PHONE = 8_000  # samples per second of a telephone
LOUDEST = 32_768  # of 16-bit samples
SHORTCUT = (91_000, 75_400, 60_300)  # samples, three clips of one batch

# The text that torch and transformers print: a search for the message must find this page.
MESSAGES = {
    "short": (
        "Calculated padded input size per channel: (1). Kernel size: (2). "
        "Kernel size can't be greater than actual input size"
    ),
    "group norm": "Expected more than 1 value per channel when training, got input size [1, 24, 1]",
    "span": "`mask_length` has to be smaller than `sequence_length`, but got `mask_length`: 10 and `sequence_length`: 9`",
    "4-D": "Expected 2D (unbatched) or 3D (batched) input to conv1d, but got input of size: [1, 1, 1, 16000]",
    "1-D": (
        "Given groups=1, weight of size [24, 1, 10], expected input[1, 16000, 1] to have 1 channels, "
        "but got 16000 channels instead"
    ),
    "mask batch": (
        "The shape of the mask [1, 49, 48] at index 0 does not match the shape of the indexed tensor [2, 49, 48] at index 0"
    ),
    "double": "expected scalar type Double but found Float",
    "short int": "expected scalar type Short but found Float",
    "half": "value cannot be converted to type c10::Half without overflow",
    "ragged": (
        "Unable to convert output 'input_values' (type: list) to tensor: setting an array element with a sequence. "
        "The requested array has an inhomogeneous shape after 1 dimensions."
    ),
    "rate": (
        "was trained using a sampling rate of 16000. Please make sure that the provided `raw_speech` input was sampled "
        "with 16000 and not 8000."
    ),
    "mono": "Only mono-channel audio is supported for input to Wav2Vec2FeatureExtractor",
    "max_length": (
        "When setting ``padding=PaddingStrategy.MAX_LENGTH``, make sure that max_length is defined"
    ),
    "50 columns": (
        "The shape of the mask [1, 50] at index 1 does not match the shape of the indexed tensor [1, 49, 48] at index 1"
    ),
    "long mask": "index 1 is out of bounds for dimension 0 with size 1",
    "no vector": "'Wav2Vec2Model' object has no attribute 'masked_spec_embed'",
    "50 labels": "Expected input batch_size (49) to match target batch_size (50).",
    "one-hot": "shape '[-1, 3]' is invalid for input of size 49",
    "label": "Label values must be <= vocab_size: 32",
    "x-vector": (
        "Calculated padded input size per channel: (6). Kernel size: (7). "
        "Kernel size can't be greater than actual input size"
    ),
}  # fmt: skip


def reshape_and_all(samples: int, longest: int) -> int:
    """Frames that the old shortcut leaves real: T equal parts, and only a part that is all padding counts as padding."""
    frames = T(longest)
    part = (longest - longest % frames) // frames
    return min(frames, -(-samples // part))


@functools.cache
def batch_leaks() -> dict[str, float]:
    """How far each silent trap moves the short clip's frames, relative to the clip alone; TINY, random weights."""
    import torch

    from w2vlearn.lessons.traps import moved_by_traps

    with torch.random.fork_rng():
        return moved_by_traps()


SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config
geometry = FrameGeometry.from_config(Wav2Vec2Config.tiny())
"""

# ---------------------------------------------------------------- predictions

PREDICTIONS = (
    Prediction(
        id="11.1",
        question="""
A mask with True and False swapped goes into Hugging Face's model, with two clips of {{SECOND}} and {{SECOND // 2}}
samples. What happens? Write `"error"`, `"nan"` or `"nothing"`.
""",
        stub="prediction = None  # 'error', 'nan' or 'nothing'",
        because="the numbers come out finite and of the right shape; they are wrong, and nobody says so.",
        rules=(
            Rule(
                "error", "No shape is wrong, so no operation complains. This is why w2vlearn looks at the values once."
            ),
            Rule(
                "nan",
                "A row that may look at nothing could give NaN, but the masked scores are finite numbers, so it does not.",
            ),
        ),
    ),
    Prediction(
        id="11.2",
        question="""
A stereo clip is an array of shape `({{CHANNELS}}, {{SECOND}})`. How many clips does Hugging Face's processor make of it?
""",
        stub="prediction = None  # a number",
        because="a two-dimensional array counts as a batch: left and right become two clips, without a word.",
        rules=(Rule(1, "That would need a mean over the channels, and the processor takes none."),),
    ),
)

# ---------------------------------------------------------------- exercises

EXERCISES = (
    Exercise(
        id="11.1",
        title="which layer ran out?",
        level="warm-up",
        minutes=5,
        task="""
The message says `Kernel size: ({{config.conv_kernel[-1]}})`, and another time `Kernel size: ({{config.conv_kernel[0]}})`.
Write `layer_that_fails(samples)`: the number of the convolution (0-based) at which a clip of so many samples runs out, or
`None` if it gets through. `geometry.kernels` and `geometry.lengths(samples)` help.
""",
        name="layer_that_fails",
        stub="def layer_that_fails(samples):\n    return ...",
        hints=(
            "A convolution fails when what comes in is shorter than its kernel: the first one sees the samples.",
            "`[samples, *geometry.lengths(samples)]` are the inputs of the layers, one after the other.",
        ),
        solution="""
def layer_that_fails(samples):
    inputs = [samples, *geometry.lengths(samples)]
    for layer, kernel in enumerate(geometry.kernels):
        if inputs[layer] < kernel:
            return layer
    return None
""",
        says="the kernel in the message tells how far the clip got.",
        cases=(Case(399), Case(400), Case(9), Case(100), Case(16_000), Case(0), Case(200)),
        wrongs=(
            Wrong(
                "counts from 1",
                """
def layer_that_fails(samples):
    inputs = [samples, *geometry.lengths(samples)]
    return next((n + 1 for n, kernel in enumerate(geometry.kernels) if inputs[n] < kernel), None)
""",
                "right layer, counted from one. `conv_layers` is a Python list: its first entry has the number 0.",
            ),
            Wrong(
                "looks at outputs",
                """
def layer_that_fails(samples):
    lengths = geometry.lengths(samples)
    return next((n for n, kernel in enumerate(geometry.kernels) if lengths[n] < kernel), None)
""",
                "you compare each kernel with what leaves its layer. What has to be long enough is what comes in.",
            ),
            Wrong(
                "always the last",
                "def layer_that_fails(samples):\n    return None if samples >= 400 else 6",
                "the last layer is where most short clips fail, but a very short one does not get that far.",
            ),
        ),
    ),
    Exercise(
        id="11.2",
        title="a guard at the door",
        level="core",
        minutes=10,
        task="""
Write `looks_inverted(mask)` for a mask `(B, L)`: True if its convention is the opposite of Hugging Face's. Right-padded
batches only; a mask that is all one value is not inverted if it is all True.
""",
        name="looks_inverted",
        stub="def looks_inverted(mask):\n    return ...",
        hints=(
            "In a right-padded batch one position of every clip is real, whatever the clip's length. Which?",
            "The first sample of every clip is real. Look at column 0.",
        ),
        solution="def looks_inverted(mask):\n    return not bool(mask[:, 0].all())",
        says="the first sample of a right-padded clip is real, so False there means that False is real.",
        cases=lambda: _mask_cases(),
        wrongs=(
            Wrong(
                "counts",
                "def looks_inverted(mask):\n    return bool(mask.float().mean() < 0.5)",
                "a batch of one long clip and many short ones is mostly padding, and its mask is right all the same.",
            ),
            Wrong(
                "looks at the end",
                "def looks_inverted(mask):\n    return bool(mask[:, -1].any())",
                "the longest clip has no padding: its last sample is real in a right mask too.",
            ),
        ),
    ),
    Exercise(
        id="11.3",
        title="the old shortcut",
        level="stretch",
        minutes=10,
        task="""
Some code still makes the frame mask from a padding mask by `padding_mask[:, :n].view(B, T, -1).all(-1)`: T equal parts,
and a frame counts as padding only if its whole part is. Write `surplus(samples, longest)`: how many frames too many that
leaves real, for a clip of `samples` in a batch of `longest`.
""",
        name="surplus",
        stub="def surplus(samples, longest):\n    return ...",
        hints=(
            "T of the batch is `geometry.frame_count(longest)`; each part has `(longest - longest % T) // T` samples.",
            "A part that is only begun stays real: round up. The truth is `geometry.frame_count(samples)`.",
        ),
        solution="""
def surplus(samples, longest):
    frames = geometry.frame_count(longest)
    part = (longest - longest % frames) // frames
    return min(frames, -(-samples // part)) - geometry.frame_count(samples)
""",
        says="a part that holds one real sample counts as real, and a frame needs {{FIELD}} of them.",
        cases=(Case(75_400, 91_000), Case(91_000, 91_000), Case(650, 16_000), Case(400, 16_000), Case(8_000, 160_000)),
        wrongs=(
            Wrong(
                "rounds down",
                """
def surplus(samples, longest):
    frames = geometry.frame_count(longest)
    part = (longest - longest % frames) // frames
    return min(frames, samples // part) - geometry.frame_count(samples)
""",
                "`all` over True = padding: a part with a single real sample is not all padding. It stays real.",
            ),
            Wrong(
                "hop for part",
                """
def surplus(samples, longest):
    return min(geometry.frame_count(longest), -(-samples // 320)) - geometry.frame_count(samples)
""",
                """the shortcut does not know the hop: it divides the batch's length by its number of frames, which gives a
                little more than {{HOP}}.""",
            ),
            Wrong(
                "wrong sign",
                """
def surplus(samples, longest):
    frames = geometry.frame_count(longest)
    part = (longest - longest % frames) // frames
    return geometry.frame_count(samples) - min(frames, -(-samples // part))
""",
                "frames too many are a positive number: what is left real, minus what is true.",
            ),
        ),
    ),
)


def _mask_cases():
    import torch

    def mask(*lengths):
        return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]

    return [
        Case(mask(8, 5), because="A mask in Hugging Face's convention."),
        Case(~mask(8, 5), because="The same batch, True = padding."),
        Case(mask(9, 2, 1), because="Mostly padding, and right."),
        Case(mask(4, 4), because="No padding at all."),
        Case(~mask(4, 4), because="No padding, True = padding: all False."),
        Case(~mask(9, 8, 8), because="Hardly any padding, True = padding."),
    ]


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {}
