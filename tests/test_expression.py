"""Integer expressions in letters: text, JSON, evaluation, compilation, and taking them over from torch."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2vlearn.tracing.expression import Expression, compile_expressions

L, B = Expression("L"), Expression("B")


def trees(depth: int = 4) -> st.SearchStrategy:
    leaves = st.integers(-50, 50) | st.sampled_from(["L", "B"])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from(["+", "*", "max", "min"]), inner, inner),
            st.tuples(st.sampled_from(["//", "%"]), inner, st.integers(1, 9)),
        ),
        max_leaves=8,
    )


def by_hand(tree, **letters: int) -> int:
    """An evaluation of its own, on the tree as it was written."""
    if isinstance(tree, int):
        return tree
    if isinstance(tree, str):
        return letters[tree]
    op, a, b = tree[0], by_hand(tree[1], **letters), by_hand(tree[2], **letters)
    return {"+": a + b, "*": a * b, "max": max(a, b), "min": min(a, b)}.get(op) if op not in ("//", "%") else (
        a // b if op == "//" else a % b
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(trees(), st.integers(-1000, 10**12), st.integers(0, 7))
def test_four_ways_to_a_value_agree(tree, length, clips):
    expression = Expression(tree)
    wanted = by_hand(tree, L=length, B=clips)
    assert expression(L=length, B=clips) == wanted
    assert eval(str(expression), {"max": max, "min": min}, {"L": length, "B": clips}) == wanted
    assert compile_expressions([expression], ("L", "B"))(length, clips) == (wanted,)
    again = Expression(json.loads(json.dumps(expression.to_json())))
    assert again == expression and hash(again) == hash(expression)
    assert again(L=length, B=clips) == wanted


def test_text_is_what_a_person_writes():
    assert str((L - 400) // 320 + 1) == "(L - 400) // 320 + 1"
    assert str(((L // 80 - 3) // 2 - 1) // 2 + 1) == "((L // 80 - 3) // 2 - 1) // 2 + 1"
    assert (Expression("T") * 2 - 1).compact() == "2*T-1"
    assert str(B * (L + 1)) == "B * (L + 1)"
    assert str(L * -1 + 3) == "-L + 3"


def test_numbers_are_folded_and_sums_flat():
    assert (L + 1 - 1).tree == "L"
    assert (L + 1 + 2).to_json() == ["+", "L", 3]
    assert (L * 0).value == 0
    assert Expression(["//", 7, 2]).value == 3
    assert Expression(["%", -7, 4]).value == 1


def test_substitution_and_letters():
    T = (Expression("T6") - 2) // 2 + 1
    assert T.letters == {"T6"}
    assert T.substitute(T6=L // 160 - 1)(L=400) == T(T6=1)


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        (["/", "L", 2], "unknown operator"),
        (["//", "L", 0], "division by zero"),
        ("T 1", "a letter must be a name"),
        ([], "an expression is"),
        (1.5, "an expression is"),
        (["//", "L"], "number of operands"),
    ],
)
def test_what_is_no_expression_is_refused(tree, says):
    with pytest.raises(ValueError, match=says):
        Expression(tree)


def test_compiling_an_unknown_letter_is_refused():
    with pytest.raises(ValueError, match="'Z' is not among"):
        compile_expressions([Expression("Z")], ("L",))


def test_does_not_change_and_pickles():
    with pytest.raises(AttributeError):
        L.tree = 3
    assert pickle.loads(pickle.dumps(L // 2)) == L // 2


def test_taking_over_from_torch():
    import sympy
    from torch.utils._sympy.functions import CeilDiv, CleanDiv, FloorDiv, IntTrueDiv, Max, Min, Mod, ModularIndexing

    from w2vlearn.tracing.from_sympy import from_sympy

    s, b = sympy.Symbol("s76", positive=True, integer=True), sympy.Symbol("s6", positive=True, integer=True)
    letters = {s: "L", b: "B"}
    cases = [
        (FloorDiv(s - 10, 5) + 1, lambda L, B: (L - 10) // 5 + 1),
        (FloorDiv(FloorDiv(s, 80) - 3, 2), lambda L, B: (L // 80 - 3) // 2),
        (CeilDiv(s, 7), lambda L, B: -(-L // 7)),
        (CleanDiv(s * 4, 4), lambda L, B: L),
        (Mod(s, 3) + b**2, lambda L, B: L % 3 + B * B),
        (Max(s, b) - Min(s, 12), lambda L, B: max(L, B) - min(L, 12)),
        (ModularIndexing(s, 3, 5), lambda L, B: L // 3 % 5),
        (s * (s + 1) / 2, lambda L, B: L * (L + 1) // 2),
        (sympy.Ne(Mod(s, 4), 0), lambda L, B: L % 4 != 0),
        (sympy.And(s >= 5, b < 3), lambda L, B: L >= 5 and B < 3),
    ]
    for expr, wanted in cases:
        taken = from_sympy(expr, letters)
        for length in (1, 2, 5, 399, 400, 719, 720, 16_001):
            for clips in (1, 2, 3, 5):
                assert taken(L=length, B=clips) == wanted(length, clips), expr
    with pytest.raises(ValueError, match="no integer form"):
        from_sympy(sympy.log(s), letters)
    with pytest.raises(ValueError, match="no integer form"):
        from_sympy(IntTrueDiv(s, 2), letters)
    with pytest.raises(KeyError):
        from_sympy(sympy.Symbol("u0"), letters)
