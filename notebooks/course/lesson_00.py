"""Lesson 0: the question, answered in five minutes."""

from __future__ import annotations

from course.contents import COURSE
from w2vlearn import FrameGeometry, Wav2Vec2Config
from w2vlearn.audio import example

LESSON = COURSE[0]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
T = geometry.frame_count
C, D = config.conv_dim[-1], config.hidden_size
CLIPS = ("yes", "digits", "question")
LENGTHS = [len(example(name)) for name in CLIPS]  # samples
FRAMES = [T(length) for length in LENGTHS]
EXERCISE_LENGTHS = (16_000, 23_456, 40_000)  # samples

SETUP = """
from w2vlearn import FrameGeometry, Wav2Vec2Config
config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
"""


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {}
