"""What the lessons stand on: the checker, predictions, the map, players, sliders, drafts."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from course import check, compare, contents, listen
from course.checker import judge_answer
from course.differences import difference
from course.exercise import Case, Exercise, Prediction, Rule, Wrong
from course.lesson_text import read
from course.predictions import explain
from course.sandbox import attempt, describe_error
from tools import draft
from tools.lessons import LESSONS

HEAD = "def frame_count(samples):\n    return "
COUNT = Exercise(
    id="0.9",
    title="how many frames?",
    level="core",
    minutes=5,
    task="Count.",
    name="frame_count",
    stub="def frame_count(samples):\n    ...",
    hints=("small", "large"),
    solution="def frame_count(samples):\n    return max(0, (samples - 400) // 320 + 1)",
    says="no frame below {{geometry.receptive_field}} samples.",
    cases=(Case(399, because="No full window fits."), Case(400), Case(719), Case(720), Case(16_000)),
    wrongs=(
        Wrong(
            "rate",
            ("def frame_count(samples):\n    return samples // 320",),
            "that is the rate, not the count of frames.",
        ),
        Wrong(
            "below 0", ("def frame_count(samples):\n    return (samples - 401) // 320 + 1",), "0 frames is the least."
        ),
    ),
)


# ---------------------------------------------------------------- check


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda L: max(0, (L - 400) // 320 + 1), "correct: no frame below 400 samples."),
        (lambda L: None, "not yet: the cell above is still as it was given."),
        (lambda L: L // 320, "not yet: that is the rate, not the count of frames."),
        (
            lambda L: (L - 400) // 320 + 1 if L > 400 else 1,
            "not yet: for frame_count(399) you return 1, expected 0. No full window fits. (4 of 5 cases are right.)",
        ),
        (49, "not yet: this is the number 49 (int); hand over the function itself"),
        (lambda: 3, "breaks off: TypeError"),
        (lambda L: (L - ...) // 320, "There is still a `...` in it."),
        (lambda L: "49", "you return the text '49', expected the whole number 0"),
        (lambda L: max(0.0, (L - 400) // 320 + 1.0), "0.0, a float; a count is a whole number"),
        (lambda L: True, "you return True, expected the whole number 0"),
        (lambda L: object(), "you return a value of type object"),
        (lambda L: L // 320 if L > 399 else 1 / 0, "ZeroDivisionError: division by zero. No full window fits."),
    ],
)  # fmt: skip
def test_what_a_learner_can_hand_in(answer, says):
    text = " ".join(str(judge_answer(COUNT, answer)).split())
    assert says in text and text.startswith(("0.9 correct: ", "0.9 not yet: "))


@pytest.mark.parametrize("answer", [None, ..., lambda L: ..., lambda samples: None])
def test_what_is_still_as_it_was_given(answer):
    assert judge_answer(COUNT, answer).reason == "stub"


def test_a_judge_decides():
    even = dataclasses.replace(
        COUNT, name="answer", stub="answer = ...", solution="answer = 4", cases=(),
        judge=lambda n: None if n % 2 == 0 else f"{n} is odd.",
        wrongs=(Wrong("odd", ("answer = 3",), "this one is odd; take one that two divides."),),
    )  # fmt: skip
    told = {answer: judge_answer(even, answer) for answer in (8, 5, 3, "x", ...)}
    assert told[8].correct and told[5].says == "5 is odd." and told[3].reason == "wrong: odd"
    assert "TypeError" in told["x"].says and told[...].reason == "stub"


def test_a_diagnosis_needs_every_case():
    """One case out of five that differs, or an error with another text, and the wrong answer is not named."""
    refuses = dataclasses.replace(
        COUNT,
        wrongs=(Wrong("refuses", ("def frame_count(samples):\n    raise ValueError('too short')",), "do not refuse."),),
    )

    def fails(text):
        raise ValueError(text)

    assert judge_answer(refuses, lambda L: fails("too short")).reason == "wrong: refuses"
    assert judge_answer(refuses, lambda L: fails("another")).reason == "error"
    assert judge_answer(COUNT, lambda L: L // 320 if L != 720 else 3).reason == "case"


def test_check_and_compare_print_and_never_raise(capsys):
    compare("0.1", object(), object())
    compare("77.1", 1, 2)
    assert "could not be compared" in capsys.readouterr().out
    check("0.1", None)
    assert capsys.readouterr().out.startswith("0.1 not yet: ")
    for unknown in ("0.77", "99.1", "nonsense", None):
        check(unknown, 3)
        assert "could not be checked" in capsys.readouterr().out


def test_endless_code_is_stopped_in_every_thread():
    def endless():
        while True:
            pass

    def sleepy():
        while True:
            with contextlib.suppress(Exception):
                time.sleep(0.001)

    outcomes = []
    work = lambda: outcomes.extend(attempt(function, (), 0.05) for function in (endless, sleepy, lambda: 7))  # noqa: E731
    work()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    told = [outcome.value if outcome.error is None else describe_error(outcome.error) for outcome in outcomes]
    assert told == ["it did not finish in time (an endless loop?)"] * 2 + [7] + told[:2] + [7]


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
        ("`x`: no edit.", "`x` no edit.", "expected"),
        ("**Answer:** so.", "So.", "lesson.md, Recall 0: question 2: wanted a question and"),
        ("And why?", "", "lesson.md, Recall 0: question 2: wanted"),
        ("0.1, 0.2", "0.1 and 0.2", "lesson.md, Opens with 0.1 and 0.2"),
    ],
)
def test_a_lesson_that_cannot_be_read_says_where(tmp_path, old, new, wording):
    path = tmp_path / "lesson.md"
    path.write_text(TEXT, encoding="utf-8")
    (exercise,) = read(path, contents)[1]
    assert (exercise.task, exercise.stub) == ("Work it out.", "def f(x):\n    return ...")
    assert exercise.hints == ("One.", "Two.")
    bodies = [[code.split("\n", 1)[1].strip() for code in wrong.codes] for wrong in exercise.wrongs]
    assert bodies == [["return max(0, x - 1)"], ["return (x)", "return max(0, 2)"], ["return x"]]
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(wording)):
        read(path, contents)


def test_recall_questions_become_two_cells(tmp_path, monkeypatch):
    path = tmp_path / "lesson.md"
    path.write_text(TEXT, encoding="utf-8")
    asked = read(path, contents)
    monkeypatch.setattr(contents, "texts", lambda number: asked)
    notebook = draft.to_notebook("# %% opening\n\n# %% recall\n", 0)
    opening, recall = notebook.cells
    assert recall.source.startswith(
        "**Can you answer these without looking?**\n\nWhat for 16\u00a0004 samples?\n\n"
        "<details><summary>Answer 0.1</summary>\n\n49 frames.\n\n</details>\n\nAnd why?"
    )
    assert "What for 16\u00a0004 samples? ([lesson 0](00_the_question.ipynb))" in opening.source
    assert opening.source.count("<details>") == recall.source.count("<details>") == 2
    assert draft.to_notebook(draft.from_notebook(notebook, 0), 0).cells[1].metadata == recall.metadata


# ---------------------------------------------------------------- differences


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


@pytest.mark.parametrize(
    ("prediction", "text"),
    [
        (None, "no prediction, fine. It is 49: every frame needs 400 samples."),
        (..., "no prediction, fine. It is 49: every frame needs 400 samples."),
        (49, "as you said: 49. Every frame needs 400 samples."),
        (49.0, "as you said: 49. Every frame needs 400 samples."),
        ("49", "as you said: 49. Every frame needs 400 samples."),
        (50, "you said 50, it is 49. 50 is the rate."),
        ("50", "you said '50', it is 49. '50' is the rate."),
        (16_000, "you said 16000, it is 49. That counts samples."),
        (48, "you said 48, it is 49: every frame needs 400 samples."),
        ("many", "you said 'many', it is 49: every frame needs 400 samples."),
        ([], "you said [], it is 49: every frame needs 400 samples."),
        (" No ", "you said ' No ', it is 49. No is no number."),
        (torch.Size([49]), "you said (49,), it is 49: every frame needs 400 samples."),
    ],
)
def test_compare(prediction, text):
    assert explain(FRAMES, prediction, 49)[1] == text


def test_a_copy_of_the_notebooks_is_enough(tmp_path):
    """A teacher copies notebooks/ for a learner; a kernel starts in that folder."""
    shutil.copytree(LESSONS, tmp_path / "lessons", ignore=shutil.ignore_patterns("__pycache__"))
    script = "import course; course.check('2.2', lambda samples: samples // 320); print(course.__file__)"
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path / "lessons", capture_output=True, text=True)
    assert "2.2 not yet: that counts hops" in ran.stdout and str(tmp_path) in ran.stdout, ran.stderr


# ---------------------------------------------------------------- player and drafts


def test_player():
    tone = listen(torch.sin(torch.arange(16_000) * 0.1) * 2)  # too loud: cut off, not wrapped round
    assert tone.data[:4] == b"RIFF" and len(tone.data) == 44 + 2 * 16_000
    samples = np.frombuffer(tone.data[44:], "<i2")
    assert samples.max() == 32767 and samples.min() == -32767
    for clip, message in (("nobody", "there are digits"), (torch.zeros(1, 5), r"shape \(1, 5\)")):
        with pytest.raises(ValueError, match=message):
            listen(clip)


DRAFT = """# %% [markdown]
# # {{LESSON.heading}}
#
# A clip of {{LENGTHS[0]}} samples has {{FRAMES[0]}} frames, {{T(40_000)}} have others.
# %%
x = 1
# %% tags=["raises-exception"]
x / 0
# %% prediction 0.1
# %% exercise 0.1
# %% [markdown]
# The end.
"""


def test_a_draft_survives_the_way_there_and_back():
    notebook = draft.to_notebook(DRAFT, 0)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds == ["markdown", "code", "code", "markdown", "code", "markdown", "code", "code", "markdown", "markdown"]
    assert notebook.cells[0].source.startswith(
        "# 0 · The question\n\nA clip of 16\u00a0004 samples has 49 frames, 124 "
    )
    assert notebook.cells[0].metadata["lesson"]["numbers"] == ["LENGTHS[0]", "FRAMES[0]", "T(40_000)"]
    assert notebook.cells[2].metadata["tags"] == ["raises-exception"]
    again = draft.to_notebook(draft.from_notebook(notebook, 0), 0)
    assert [(cell.source, cell.metadata) for cell in again.cells] == [
        (cell.source, cell.metadata) for cell in notebook.cells
    ]
