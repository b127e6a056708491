"""Every exercise: stub, solution and each typical wrong answer get their message, and nothing is taken for right."""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from lesson_files import EXERCISES, PREDICTIONS

from course import contents, sandbox
from course.checker import answer_of, judge_answer
from course.differences import describe
from course.predictions import explain
from course.prose import fill

FUNCTIONS = [exercise for exercise in EXERCISES if exercise.cases]
each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
each_function = pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda exercise: exercise.id)


def solution_of(exercise):
    return answer_of(exercise, exercise.solution)


@each_exercise
def test_solution_is_correct_and_stub_is_not_yet(exercise):
    verdict = judge_answer(exercise, solution_of(exercise))
    assert verdict.correct and verdict.reason == "solution", str(verdict)
    assert str(verdict).startswith(f"{exercise.id} correct: ") and "changes its argument" not in verdict.says
    assert "{{" not in verdict.says
    verdict = judge_answer(exercise, answer_of(exercise, exercise.stub))
    assert verdict.reason == "stub" and str(verdict).startswith(f"{exercise.id} not yet: "), str(verdict)


@each_exercise
def test_each_wrong_answer_gets_its_own_message(exercise):
    messages = [fill(wrong.says, contents.names_for(exercise.id)) for wrong in exercise.wrongs]
    assert len(set(messages)) == len(messages)
    for wrong, message in zip(exercise.wrongs, messages, strict=True):
        assert len(message) > 40, f"{wrong.name} says too little to lead on"
        for code in wrong.codes:
            answer = _without_placeholders(answer_of(exercise, code), solution_of(exercise))
            verdict = judge_answer(exercise, answer)
            assert (verdict.reason, verdict.says) == (f"wrong: {wrong.name}", message), code


def _without_placeholders(answer, right):
    """A wrong value whose ``...`` are filled from the solution, as far as that has an entry there."""
    if answer is ...:
        return right
    if isinstance(answer, dict):
        return {key: _without_placeholders(value, right[key]) for key, value in answer.items()}
    if isinstance(answer, tuple | list):
        entries = [*right, *[1] * len(answer)] if isinstance(right, tuple | list) else [1] * len(answer)
        return type(answer)(_without_placeholders(one, other) for one, other in zip(answer, entries, strict=False))
    return answer


# ---------------------------------------------------------------- no small slip passes

OTHER_OPERATORS = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt,), ast.Gt: (ast.GtE,), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Add,), ast.FloorDiv: (ast.Div,), ast.Div: (ast.Mult,),
    ast.And: (ast.Or,), ast.Or: (ast.And,), ast.Invert: (ast.UAdd,), ast.USub: (ast.UAdd,), ast.Not: (ast.UAdd,),
}  # fmt: skip

# Slips that change nothing: another spelling of the same function.
EQUIVALENT = {
    "range of -1 is as empty as range of 0": ("2.6", "max(-1,"),
    "any other number will do": ("3.3", "-= torch.randn"),
    "the only clip is also the last": ("4.5", ":samples])[-1]"),
    "a second clip changes nothing in the first": ("4.5", "b + 2"),
    "one axis: the first is the last": ("8.4", "dim=-1"),
    "all convolutions have the same channels": ("9.1", "conv_dim["),
    "the last axis broadcasts by itself": ("10.3", "keepdim=False"),
}


def slips(source: str) -> Iterator[str]:
    """The solution with one operator, number, truth value, or min and max exchanged."""
    tree = ast.parse(source)
    for place, node in enumerate(ast.walk(tree)):
        changes: list[Callable] = []
        if isinstance(node, ast.Compare):
            for at, operator in enumerate(node.ops):
                others = OTHER_OPERATORS.get(type(operator), ())
                changes += [lambda n, at=at, new=new: n.ops.__setitem__(at, new()) for new in others]
        elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign | ast.UnaryOp):
            others = OTHER_OPERATORS.get(type(node.op), ())
            changes += [lambda n, new=new: setattr(n, "op", new()) for new in others]
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            changes.append(lambda n: setattr(n, "value", not n.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            changes += [lambda n, by=by: setattr(n, "value", n.value + by) for by in (1, -1)]
        elif isinstance(node, ast.Name) and node.id in ("min", "max"):
            changes.append(lambda n: setattr(n, "id", {"min": "max", "max": "min"}[n.id]))
        for change in changes:
            other = copy.deepcopy(tree)
            change(list(ast.walk(other))[place])
            yield ast.unparse(other)


@each_function
def test_no_small_slip_passes(exercise):
    tried, taken_for_right = 0, []
    for source in slips(exercise.solution):
        tried += 1
        verdict = judge_answer(exercise, answer_of(exercise, source))
        if verdict.correct and not any(of == exercise.id and text in source for of, text in EQUIVALENT.values()):
            taken_for_right.append(source)
    assert tried and not taken_for_right, "no case sees it:\n" + "\n\n".join(taken_for_right)


# ---------------------------------------------------------------- every input


class Hostile:
    """Raises at every touch."""

    def __getattr__(self, name):
        raise RuntimeError("no")

    def __eq__(self, other):
        raise RuntimeError("no")

    def __iter__(self):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")

    __hash__ = object.__hash__


VALUES = [
    3, -1, float("nan"), "forty-nine", [1, 2, 3], [], {}, np.zeros((2, 3)), np.array([None, "x"]), dict, Hostile(),
    torch.zeros(2, 3, dtype=torch.complex64), torch.full((2, 3), float("nan")), torch.tensor(0.25),
    torch.zeros((1,) * 7), (n for n in range(3)),
]  # fmt: skip


EDITS = (
    "[x.zero_() if hasattr(x, 'zero_') else x.clear() for x in arguments if hasattr(x, 'zero_') or isinstance(x, list)]"
)
MISBEHAVIOUR = {
    "raise ValueError('no idea')": "breaks off: ValueError: no idea",
    "print('the answer')": "write return instead of print",
    "raise SystemExit(3)": "breaks off: SystemExit: 3",
    "return answer(*arguments)": "calls itself without end",
    "return input('how many?')": "asks for input()",
    "result = len(arguments)": "returns nothing (None)",
    "yield 1": "returns a generator",
    EDITS: "returns nothing (None)",
}


def function_of(body: str) -> Callable:
    return sandbox.run_source(f"def answer(*arguments):\n    {body}")["answer"]


@each_exercise
def test_a_value_and_a_function_that_returns_it_are_told_what_it_is(exercise, capsys):
    verdict = judge_answer(exercise, lambda: 3)
    assert not verdict.correct and verdict.says
    assert exercise.cases or "the function <lambda>; hand over the value" in verdict.says
    for value in VALUES:
        answers = [value] if not exercise.cases else [value, lambda *arguments, value=value: value]
        for answer in answers:
            verdict = judge_answer(exercise, answer)
            assert not verdict.correct and "0x" not in verdict.says and capsys.readouterr().out == ""
            told = [describe(value), *(["you return", "a generator", "should refuse"] if answer is not value else [])]
            assert verdict.reason.startswith("wrong") or any(words in verdict.says for words in told), verdict


@each_function
def test_a_function_that_misbehaves_is_told_so(exercise, capsys):
    judge_answer(exercise, None)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    for body, words in MISBEHAVIOUR.items():
        verdict = judge_answer(exercise, function_of(body))
        assert not verdict.correct and words in verdict.says, verdict
    assert capsys.readouterr().out == "" and torch.equal(before, torch.random.get_rng_state())


@each_function
def test_a_right_function_that_edits_its_arguments_is_right_and_told(exercise):
    solution, mutable = solution_of(exercise), []

    def answer(*arguments):
        result = solution(*copy.deepcopy(arguments))
        mutable.append(any(isinstance(argument, torch.Tensor | list) and len(argument) for argument in arguments))
        function_of(EDITS)(*arguments)
        return result

    verdict = judge_answer(exercise, answer)
    assert verdict.correct and ("changes its argument" in verdict.says) == any(mutable)


# ---------------------------------------------------------------- predictions

GUESSES = [None, ..., 0.5, 10**30, "", "error", [1], (1, 2, 3), (1, 2, 3, 4), print, *VALUES]


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda prediction: prediction.id)
def test_prediction_explains(prediction):
    names = contents.names_for(prediction.id)
    assert prediction.rules, "no typical wrong prediction is explained"
    for rule in prediction.rules:
        says = fill(rule.says, names)
        assert len(says) > 40
        if "prediction" not in rule.when:  # a value that many predict, against something else that happened
            assert says.split("{")[0] in explain(prediction, eval(rule.when, dict(names)), "what happened")[1]
    actuals = itertools.cycle((49, "nothing", (2, 49, 48)))
    for guess in GUESSES:
        assert len(explain(prediction, guess, next(actuals))[1]) > 20
