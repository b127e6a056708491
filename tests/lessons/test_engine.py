"""What the lessons stand on: the checker, predictions, reading a lesson, differences, players."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from course import check, compare, contents, listen
from course.checker import answer_of, judge_answer
from course.differences import difference
from course.exercise import Prediction, Rule, Wrong
from course.lesson_text import read
from course.predictions import explain
from course.sandbox import TooLong, attempt, describe_error
from tools import draft
from tools.lessons import LESSONS

COUNT = contents.exercise("2.2")  # frame_count(samples)

# ---------------------------------------------------------------- check

TOLD = [
    ("1.1", "rate = 22_050.0", "solution", "librosa reads at"),
    ("1.1", "rate = 22_051.5", "wrong: an estimate", "very near"),
    ("1.2", "def to_clip(recording):\n    recording.float().mean(dim=1) / 32768", "case", "returns nothing (None)"),
    ("1.2", "def to_clip(recording):\n    return recording.double().mean(dim=1) / 32768", "judge", "but as float64"),
    ("1.4", "def normalise(waveforms, mask):\n    mask.sum()", "case", "begin with return"),
    ("1.2", "def to_clip(recording):\n    return input('?')", "error", "input()"),
    ("8.2", "def hide(starts, lengths, frames, span):\n    int(input())", "error", "input()"),
    ("8.1", "mask_time_prob, hidden = 0.04, 0.48", "value", "`mask_time_prob`, 0.04, is not right yet"),
    ("8.1", "mask_time_prob, hidden = 0.48, ...", "value", "`hidden` still has `...` in it"),
    ("1.2", "def to_clip(recording):\n    raise RuntimeError('of my own')", "error", "of my own"),
    ("0.1", "shape, valid = (3, 124, 768), [49, 74, 124]", "value", "`valid`, [49, 74, 124], is not right yet"),
    ("2.2", "frame_count = 49", "kind", "this is the number 49 (int); hand over the function itself"),
    ("2.2", "frame_count = lambda n: (n - ...) // 320", "error", "There is still a `...` in it."),
    ("2.2", "frame_count = lambda n: n // 320 if n != 720 else 3", "case", "cases are right.)"),
    ("2.2", "frame_count = lambda n: max(0.0, (n - 400) // 320 + 1.0)", "case", "write // instead of /. One second."),
    *(
        ("2.2", f"frame_count = {stub}", "stub", "as it was given")
        for stub in ("None", "...", "lambda n: ...", "lambda samples: ...")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("identifier", "code", "reason", "words"), TOLD)
def test_told_rightly(identifier, code, reason, words):
    exercise = contents.exercise(identifier)
    verdict = judge_answer(exercise, answer_of(exercise, code))
    assert verdict.reason == reason and words in verdict.says, verdict


def test_a_known_error_is_told_by_its_text():
    refuses = "def frame_count(samples):\n    raise ValueError('{}')"
    exercise = dataclasses.replace(COUNT, wrongs=(Wrong("refuses", (refuses.format("short"),), "do not refuse."),))
    for text, reason in (("short", "wrong: refuses"), ("another", "error")):
        assert judge_answer(exercise, answer_of(exercise, refuses.format(text))).reason == reason


def test_check_and_compare_print_and_never_raise(capsys):
    compare("0.1", object(), object())
    compare("77.1", 1, 2)
    assert "could not be compared" in capsys.readouterr().out
    check("0.1", None)
    assert capsys.readouterr().out.startswith("0.1 not yet: ")
    for unknown in ("0.77", "99.1", "nonsense", None):
        check(unknown, 3)
        assert "could not be checked" in capsys.readouterr().out


def endless(*_):
    while True:
        pass


def catches_errors(*_):
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.001)


def catches_everything(*_):
    while True:
        try:
            time.sleep(0.001)
        except:  # noqa: E722
            continue


def test_endless_code_is_stopped_in_every_thread():
    told, tracer = [], sys.gettrace()

    def work():
        for function in (endless, catches_errors, catches_everything, lambda: 7):
            outcome = attempt(function, (), 0.05)
            told.append(outcome.value if outcome.error is None else describe_error(outcome.error))
            assert sys.gettrace() is tracer  # nothing stays behind

    work()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert told == [*["it did not finish in time (an endless loop?)"] * 3, 7] * 2
    impatient = dataclasses.replace(COUNT, wrongs=COUNT.wrongs[:1], seconds=0.2)
    assert "breaks off: it did not finish in time" in judge_answer(impatient, endless).says


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="Windows cannot wake a sleeping thread")
def test_a_sleep_is_cut_short():
    began, handler = time.monotonic(), signal.getsignal(signal.SIGALRM)
    assert isinstance(attempt(time.sleep, (30,), 0.05).error, TooLong)
    assert time.monotonic() - began < 30 and signal.getsignal(signal.SIGALRM) is handler


def test_a_copy_of_the_notebooks_is_enough(tmp_path):
    """A teacher copies notebooks/ for a learner; a kernel starts in that folder."""
    shutil.copytree(LESSONS, tmp_path / "lessons", ignore=shutil.ignore_patterns("__pycache__"))
    script = "import course; course.check('2.2', lambda samples: samples // 320); print(course.__file__)"
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path / "lessons", capture_output=True, text=True)
    assert "2.2 not yet: that counts hops" in ran.stdout and str(tmp_path) in ran.stdout, ran.stderr


# ---------------------------------------------------------------- compare

FRAMES = Prediction(
    id="0.9",
    question="How many?",
    stub="prediction = None",
    because="every frame needs {{geometry.receptive_field}} samples.",
    rules=(
        Rule("50", "{prediction} is the rate."),
        Rule("prediction > 1000", "That counts samples."),
        Rule("'no'", "No is no number."),
    ),
)
BECAUSE = "every frame needs 400 samples."


@pytest.mark.parametrize(
    ("prediction", "text"),
    [
        (None, f"no prediction, fine. It is 49: {BECAUSE}"),
        (..., f"no prediction, fine. It is 49: {BECAUSE}"),
        *((met, f"as you said: 49. {BECAUSE.capitalize()}") for met in (49, 49.0, "49")),
        (50, "you said 50, it is 49. 50 is the rate."),
        ("50", "you said '50', it is 49. '50' is the rate."),
        (16_000, "you said 16000, it is 49. That counts samples."),
        (" No ", "you said ' No ', it is 49. No is no number."),
        *((other, f"you said {other!r}, it is 49: {BECAUSE}") for other in (48, "many", [])),
        (torch.Size([49]), f"you said (49,), it is 49: {BECAUSE}"),
    ],
)
def test_compare(prediction, text):
    met = {"no": None, "as": True, "you": False}[text.split()[0]]
    assert explain(FRAMES, prediction, 49) == (met, text)


# ---------------------------------------------------------------- reading a lesson

TEXT = """# A lesson

## Exercise 0.1 · core · 5 minutes · within 0.01: how much?

Work it out.

1. One.
2. Two.

```python
def f(x):
    return max(0, x + 1)
```

**Correct:** well done.

- **minus** `x + 1` → `x - 1`: other sign.
- **two: edits** `max(0, ` → `(`, ` + 1` → nothing or `x + 1` → `2`: more.
- **another value** `x`: no edit.

## Recall 0

- What for {{LENGTHS[0]}} samples?
  **Answer:** {{FRAMES[0]}} frames.
- And why?
  **Answer:** so.

## Opens with 0.1, 0.2
"""


@pytest.mark.parametrize(
    ("old", "new", "wording"),
    [
        ("**Correct:**", "Correct:", "is missing"),
        ("1. One.\n", "", "two graded hints"),
        ("· core ·", "· easy ·", "level is one of"),
        ("`x + 1` → `x - 1`", "`z` → `x`", "stands 0 times"),
        ("`x + 1` → `x - 1`", "`x + 1` → `x - 1`, `x`", "expected"),
        ("`x`: no edit.", "`x` no edit.", "expected"),
        ("**Answer:** so.", "So.", "lesson.md, Recall 0: question 2: wanted a question and"),
        ("And why?", "", "lesson.md, Recall 0: question 2: wanted"),
        ("0.1, 0.2", "0.1 and 0.2", "lesson.md, Opens with 0.1 and 0.2"),
    ],
)
def test_a_lesson_that_cannot_be_read_says_where(tmp_path, old, new, wording):
    path = tmp_path / "lesson.md"
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(wording)):
        read(path, contents)


def test_what_is_read_from_a_lesson_and_becomes_cells(tmp_path, monkeypatch):
    path = tmp_path / "lesson.md"
    path.write_text(TEXT, encoding="utf-8")
    asked = read(path, contents)
    (exercise,) = asked.exercises
    assert (exercise.task, exercise.stub) == ("Work it out.", "def f(x):\n    return ...")
    assert exercise.hints == ("One.", "Two.")
    bodies = [[code.split("\n", 1)[1].strip() for code in wrong.codes] for wrong in exercise.wrongs]
    assert bodies == [["return max(0, x - 1)"], ["return (x)", "return max(0, 2)"], ["return x"]]
    monkeypatch.setattr(contents, "texts", lambda number: asked)
    opening, recall = draft.to_notebook("# %% opening\n\n# %% recall\n", 0).cells
    assert recall.source.startswith(
        "**Can you answer these without looking?**\n\nWhat for 16\u00a0004 samples?\n\n"
        "<details><summary>Answer 0.1</summary>\n\n49 frames.\n\n</details>\n\nAnd why?"
    )
    assert "What for 16\u00a0004 samples? ([lesson 0](00_the_question.ipynb))" in opening.source
    assert opening.source.count("<details>") == recall.source.count("<details>") == 2


# ---------------------------------------------------------------- differences, players


@pytest.mark.parametrize(
    ("answer", "expected", "wording"),
    [
        (np.int32(49), 49, None),
        (torch.tensor(49), 49, None),
        (torch.Size([1, 2]), [1, 2], None),
        (range(3), [0, 1, 2], None),
        (0.1 + 0.2, 0.3, None),
        ({"a": 1}, {"a": 1.0}, None),
        (np.zeros((2, 2)), torch.zeros(2, 2), None),
        (torch.ones(2, dtype=torch.int32), torch.ones(2, dtype=torch.int64), None),
        (float("nan"), float("nan"), None),
        (None, None, None),
        ((7, [1, "x"]), (..., [1, ...]), None),
        (50, 49, "50, expected 49"),
        (None, 49, "nothing (None)"),
        ([1, 2], [1, 2, 3], "3 entries, not 2"),
        ([1, 3], (1, 2), "[1, 3], expected (1, 2)"),
        (torch.zeros(2, 3), torch.zeros(3, 2), "two axes are swapped"),
        (torch.zeros(2), torch.zeros(3), "shape (2,), expected (3,)"),
        (torch.zeros(2), torch.zeros(2, dtype=torch.bool), "float32 where bool is wanted"),
        (torch.tensor([100_001]), torch.tensor([100_000]), "the first is [0]: 100001, expected 100000"),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]), "the first is [1]: 2, expected 3"),
        ([[0.0, 0.0]], torch.zeros(1, 2), "a list of 1: [[0, 0]], expected a float32 tensor of shape (1, 2)"),
        (0.31, 0.3, "0.31, expected 0.3"),
        ("x", 0.3, "the text 'x', expected the number 0.3"),
        ({"a": 1}, {"b": 1}, "without 'b'"),
        ({"a": 1, "b": 2}, {"a": 1}, "does not belong"),
        (1, True, "the number 1 (int), expected True"),
    ],
)
def test_difference(answer, expected, wording):
    told = difference(answer, expected)
    assert told is None if wording is None else wording in told


def test_player():
    tone = listen(torch.sin(torch.arange(16_000) * 0.1) * 2)  # too loud: cut off, not wrapped round
    assert tone.data[:4] == b"RIFF" and len(tone.data) == 44 + 2 * 16_000
    samples = np.frombuffer(tone.data[44:], "<i2")
    assert samples.max() == 32767 and samples.min() == -32767
    for clip, message in (("nobody", "there are digits"), (torch.zeros(1, 5), r"shape \(1, 5\)")):
        with pytest.raises(ValueError, match=message):
            listen(clip)
