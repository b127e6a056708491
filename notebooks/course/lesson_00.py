"""Lesson 0: the question, answered in five minutes."""

from course.common import *
from course.contents import COURSE
from w2vlearn.audio import example

LESSON = COURSE[0]
LENGTHS = [len(example(name)) for name in ("yes", "digits", "question")]  # samples
FRAMES = [T(length) for length in LENGTHS]
EXERCISE_LENGTHS = (16_000, 23_456, 40_000)  # samples
