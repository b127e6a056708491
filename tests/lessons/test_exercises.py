"""Every exercise: the stub is "not yet", the solution "correct", each typical wrong answer gets its own message."""

from __future__ import annotations

import pytest
from lesson_files import CONTENTS, EXERCISES, NUMBERS, PREDICTIONS

from w2vlearn.lessons import course
from w2vlearn.lessons.checking import answer_of, judge_answer
from w2vlearn.lessons.comparing import explain
from w2vlearn.lessons.prose import fill

WRONGS = [(exercise, wrong) for exercise in EXERCISES for wrong in exercise.wrongs]


def names(item) -> dict:
    return vars(course.content(int(item.id.split(".")[0])))


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_solution_is_correct(exercise):
    verdict = judge_answer(exercise, answer_of(exercise, exercise.solution))
    assert verdict.correct and verdict.reason == "solution", str(verdict)
    assert str(verdict).startswith(f"{exercise.id} correct: ")


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_stub_is_not_yet(exercise):
    verdict = judge_answer(exercise, answer_of(exercise, exercise.stub))
    assert verdict.reason == "stub", str(verdict)
    assert str(verdict).startswith(f"{exercise.id} not yet: ")


@pytest.mark.parametrize(("exercise", "wrong"), WRONGS, ids=[f"{e.id}-{w.name}" for e, w in WRONGS])
def test_wrong_answer_gets_its_own_message(exercise, wrong):
    verdict = judge_answer(exercise, answer_of(exercise, wrong.code))
    assert verdict.reason == f"wrong: {wrong.name}", str(verdict)
    assert verdict.says == fill(wrong.says, names(exercise))
    if wrong.when is not None:
        right = answer_of(exercise, exercise.solution)
        assert wrong.when(right) is not True, "its predicate takes the solution for wrong"


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_messages_differ_and_lead_on(exercise):
    messages = [fill(wrong.says, names(exercise)) for wrong in exercise.wrongs]
    assert len(set(messages)) == len(messages)
    assert len({wrong.name for wrong in exercise.wrongs}) == len(exercise.wrongs)
    for message in messages:
        assert len(message) > 40, f"says too little to lead on: {message!r}"


class Hostile:
    """Raises at every touch."""

    def __getattr__(self, name):
        raise RuntimeError("no")

    def __eq__(self, other):
        raise RuntimeError("no")

    def __iter__(self):
        raise RuntimeError("no")

    __hash__ = object.__hash__


def calls_itself(*arguments):
    return calls_itself(*arguments)


def leaves(*arguments):
    raise SystemExit(3)


HOSTILE = [
    Hostile(),
    calls_itself,
    leaves,
    lambda: 3,
    lambda *a: Hostile(),
    "text",
    [],
    {},
    -1,
    float("nan"),
    print,
    object,
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_check_survives_anything(exercise):
    for answer in HOSTILE:
        verdict = judge_answer(exercise, answer)
        assert not verdict.correct
        assert len(verdict.says) > 20


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda prediction: prediction.id)
def test_prediction_explains(prediction):
    assert prediction.rules, "no typical wrong prediction is explained"
    for rule in prediction.rules:
        assert len(fill(rule.says, names(prediction))) > 40
        if not callable(rule.when):  # a value that many predict, against something else that happened
            assert fill(rule.says, names(prediction)).split("{")[0] in explain(prediction, rule.when, "what happened")
    assert explain(prediction, None, "what happened").startswith("no prediction, fine.")


@pytest.mark.parametrize("number", NUMBERS)
def test_lesson_has_what_a_lesson_needs(number):
    content = CONTENTS[number]
    identifiers = [item.id for item in (*content.EXERCISES, *content.PREDICTIONS)]
    assert all(identifier.startswith(f"{number}.") for identifier in identifiers)
    for table in (content.EXERCISES, content.PREDICTIONS):
        assert [item.id for item in table] == [f"{number}.{place}" for place in range(1, len(table) + 1)]
    if number:
        assert {exercise.level for exercise in content.EXERCISES} == {"warm-up", "core", "stretch"}
        assert 2 <= len(content.PREDICTIONS) <= 4
