"""Lesson 0: the question, answered in five minutes."""

from __future__ import annotations

from w2vlearn.audio import example
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry
from w2vlearn.lessons.course import COURSE
from w2vlearn.lessons.exercise import Exercise, Prediction, Rule, Wrong

LESSON = COURSE[0]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
T = geometry.frame_count
C, D, V = config.conv_dim[-1], config.hidden_size, config.vocab_size
DEPTH = config.num_hidden_layers
CLIPS = ("yes", "digits", "question")
LENGTHS = [len(example(name)) for name in CLIPS]  # samples
FRAMES = [T(length) for length in LENGTHS]
EXERCISE_LENGTHS = (16_000, 23_456, 40_000)  # samples

SETUP = """
from w2vlearn import FrameGeometry, Wav2Vec2Config
config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
"""


# ---------------------------------------------------------------- predictions

PREDICTIONS = (
    Prediction(
        id="0.1",
        question="""
The short clip has {{LENGTHS[0]}} samples. Alone in the model, it makes the `Linear({{C}} -> {{D}})` see a tensor of shape
`(1, {{FRAMES[0]}}, {{C}})`. Now the long clip goes in alone: {{LENGTHS[2]}} samples, {{LENGTHS[2] / LENGTHS[0]:.1f}}
times as many. Which shape does the same `Linear` see?
""",
        stub="prediction = None  # such as (1, 2, 3); running on without one is fine",
        because="""
            only the middle number moved. {{C}} is the number of channels of the last convolution; the config says so,
            no clip does.
        """,
        rules=(
            Rule(
                lambda said, seen: len(said) == 3 and said[2] != seen[2],
                """{{C}} is how many numbers describe one frame: the channels of the last convolution. A longer clip does
                not give a frame more channels. It gives more frames.""",
            ),
            Rule(
                lambda said, seen: len(said) == 3 and said[1] == FRAMES[0],
                """The rest of the longer clip has to go somewhere: it becomes more rows, one row of {{C}} numbers for
                each frame.""",
            ),
            Rule(
                lambda said, seen: len(said) == 3 and abs(said[1] - seen[1]) <= 3,
                """Close! There is one frame for every {{geometry.hop}} samples; what is lost at the edges is the subject
                of lesson 2.""",
            ),
            Rule(
                lambda said, seen: len(said) == 3,
                """You kept {{C}}, and rightly: the config fixes it. The number of frames is another: about one for every
                {{geometry.hop}} samples.""",
            ),
        ),
    ),
)


# ---------------------------------------------------------------- exercises

EXERCISES = (
    Exercise(
        id="0.1",
        title="three clips, one tensor",
        level="warm-up",
        minutes=1,
        task="""
Three other clips have {{EXERCISE_LENGTHS[0]}}, {{EXERCISE_LENGTHS[1]}} and {{EXERCISE_LENGTHS[2]}} samples and go through
the same model in one batch. What is the shape of the last hidden state, and how many frames of each clip are real?
`geometry.frame_count(samples)` counts for you.
""",
        name="(shape, real)",
        stub="""
shape = ...  # of the last hidden state, such as (1, 2, 3)
real = ...  # real frames of each clip, such as [1, 2, 3]
""",
        hints=(
            "The axes are clips B, frames T, features D. Which clip decides T?",
            """`geometry.frame_count({{EXERCISE_LENGTHS[2]:_}})` gives T. The same call for each clip gives its real frames:
as many as it would have alone.""",
        ),
        solution="""
lengths = [16_000, 23_456, 40_000]
real = [geometry.frame_count(samples) for samples in lengths]
shape = (len(lengths), max(real), config.hidden_size)
""",
        says="""
            the longest clip decides T, the mask remembers which frames are real, and {{D}} was there before any clip.
        """,
        wrongs=(
            Wrong(
                "50 frames per second",
                "shape, real = (3, 125, 768), [50, 73, 125]",
                """{{geometry.sample_rate // geometry.hop}} frames in a second is the rate. The count is a little lower, because a
                frame needs its whole window of {{geometry.receptive_field}} samples. Let `geometry.frame_count` count.""",
                when=lambda answer: list(answer[1]) in ([50, 73, 125], [50, 74, 125]),
            ),
            Wrong(
                "padding counted as real",
                "shape, real = (3, 124, 768), [124, 124, 124]",
                """the tensor has {{T(EXERCISE_LENGTHS[2])}} rows for every clip, true, but the shorter clips end earlier:
                the rows after their end were computed from padding. How many frames would each clip have alone?""",
            ),
            Wrong(
                "axes swapped",
                "shape, real = (3, 768, 124), [49, 73, 124]",
                """the numbers are right, their order is not. Hidden states are (B, T, D): the features of one frame lie
                side by side, in the last axis.""",
            ),
            Wrong(
                "512 instead of 768",
                "shape, real = (3, 124, 512), [49, 73, 124]",
                """a frame leaves the feature encoder with {{C}} numbers, but then comes the `Linear`. Look at the second
                number in its name.""",
            ),
            Wrong(
                "one clip",
                "shape, real = (1, 124, 768), [49, 73, 124]",
                "that is the longest clip alone. The batch holds three, and the first axis counts them.",
            ),
            Wrong(
                "the shortest decides",
                "shape, real = (3, 49, 768), [49, 49, 49]",
                """then the longer clips would lose their end. A batch is padded to its longest clip, not cut to its
                shortest.""",
                when=lambda answer: tuple(answer[0]) == (3, 49, 768),
            ),
        ),
        why="{{T(EXERCISE_LENGTHS[2])}} comes from the longest clip, {{D}} from the config.",
    ),
)


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {}
