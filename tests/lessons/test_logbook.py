"""What is kept of a learner's predictions and tries, and what comes of it."""

from __future__ import annotations

import pytest
import torch

from course import again, check, compare, contents, lesson_map, logbook, progress
from course.checker import answer_of


@pytest.fixture
def file(tmp_path, monkeypatch):
    """An empty logbook in a file of its own, as in a notebook of JupyterLab."""
    monkeypatch.setattr(logbook, "FILE", tmp_path / "progress.json")
    monkeypatch.setattr(logbook, "_kernel", {table: {} for table in logbook.FIELDS})
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/02.ipynb")
    return logbook.FILE


def test_progress_tells_what_was_predicted_and_tried(file, capsys):
    for prediction in (None, 50, 49):  # the first that was made counts
        compare("2.1", prediction, 49)
    compare("2.2", torch.tensor([1, 2]), (1, 2))
    exercise = contents.exercise("2.1")
    for source in (exercise.stub, exercise.wrongs[0].codes[0], exercise.solution, exercise.solution):
        check("2.1", answer_of(exercise, source))
    assert "to compare yours with:\n\n    " in capsys.readouterr().out
    logbook._forget()  # another kernel, the same file
    progress()
    told = capsys.readouterr().out
    for line in ("2 · ", "predicted 2.1: 50, but it was 49\n", "predicted 2.2: [1, 2], and so it was\n",
                 "exercise 2.1: done, 2 tries\n", "exercise 2.2: not begun\n", "beside the notebooks"):  # fmt: skip
        assert line in told, told
    progress(reset=True)
    assert not file.exists()
    progress()
    assert "Nothing yet" in capsys.readouterr().out


def test_a_missed_prediction_is_asked_again_two_lessons_later(file, capsys):
    compare("2.1", 50, 49)
    question = contents.prediction("2.1").question[:20]
    assert [question in repr(lesson_map(number)) for number in (2, 3, 4, 7)] == [False, False, True, True]
    assert 'again("2.1", …)' in repr(lesson_map(4)) and "<pre" in lesson_map(4)._repr_html_()
    again("2.1", 51)
    assert question in repr(lesson_map(4))
    again("2.1", 49)
    assert "as you said: 49" in capsys.readouterr().out and question not in repr(lesson_map(4))
    progress()
    assert "predicted 2.1: 50, but it was 49; met when asked again" in capsys.readouterr().out
    again("9.1", 3)
    assert "was not predicted yet" in capsys.readouterr().out


BROKEN = '{"predictions": {"2.1": {}, "2.3": 4, "x": 3, "1.1": {"said": 1, "was": 1, "met": true}}}'


TABLE = '{"predictions": 3, "exercises": {"1.1": {"tries": 2, "done": true}}}'


@pytest.mark.parametrize("content", ["no JSON", "[]", BROKEN, TABLE, None])
def test_lessons_run_the_same_without_a_file(file, content, capsys, monkeypatch):
    if content is None:
        file.mkdir()  # can be neither read nor written
    else:
        file.write_text(content, encoding="utf-8")
    compare(2.1, 50, 49)  # a number for the text "2.1"
    progress()
    told = capsys.readouterr().out
    assert "predicted 2.1: 50, but it was 49" in told
    assert ("exercise 1.1: done, 2 tries" in told) == (content == TABLE)  # nor one broken table
    assert ("predicted 1.1: 1, and so it was" in told) == (content == BROKEN)  # one broken entry costs no other
    monkeypatch.delenv("JPY_SESSION_NAME")  # run by a program: the file is neither read nor written
    logbook._forget()
    assert "again(" not in repr(lesson_map(4))
    compare("2.2", 1, 2)
    assert file.is_dir() or "2.2" not in file.read_text(encoding="utf-8")
