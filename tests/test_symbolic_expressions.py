"""Whole-number expressions in letters, and their closed forms: found, proved equal, or said to be unknown."""

from __future__ import annotations

import json

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._sympy import functions as tf

from w2vlearn.geometry import FrameGeometry
from w2vlearn.symbolic.closed_form import find, same, step
from w2vlearn.symbolic.expressions import compiled, evaluate, letters_of, tidy, to_json, with_letter
from w2vlearn.symbolic.sizes import from_torch

STACKS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=1, max_size=4)
NUMBERS = st.integers(-50, 50).map(lambda n: f"({n})")


def value(source: str, **letters: int) -> int:
    return compiled((source,), tuple(letters))(*letters.values())[0]


def nested(stack) -> str:
    length = "L"
    for kernel, stride in stack:
        length = f"(({length}) - {kernel}) // {stride} + 1"
    return length


def sources(start: st.SearchStrategy[str], *more) -> st.SearchStrategy[str]:
    """Texts with brackets everywhere, so that how they are read depends on no order of operators."""
    return st.recursive(
        start | NUMBERS,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from("+-"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
            st.tuples(inner, st.sampled_from(["//", "%"]), st.integers(1, 9)).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
            st.tuples(inner, st.just("*"), NUMBERS).map(" ".join).map("({})".format),
            inner.map(lambda t: f"(-{t})"),
            *(make(inner) for make in more),
        ),
        max_leaves=6,
    )


ANY = sources(
    st.sampled_from("LB"),
    lambda inner: st.tuples(inner, inner).map(lambda t: f"({t[0]} * {t[1]})"),
    lambda inner: st.tuples(st.sampled_from(["max", "min"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
)


@settings(max_examples=60)
@given(ANY, st.integers(1, 10**12), st.integers(1, 7))
def test_text_code_and_json_have_one_value(source, length, clips):
    letters = {"L": length, "B": clips}
    wanted = eval(source, {"max": max, "min": min}, letters)
    assert value(source, **letters) == value(tidy(source), **letters) == wanted
    assert evaluate(json.loads(json.dumps(to_json(source))), letters) == wanted
    assert letters_of(tidy(source)) == letters_of(source) <= {"L", "B"}


@settings(max_examples=60)
@given(sources(st.just("L")), st.integers(2, 40), st.integers(0, 10**12))
def test_what_is_equal_is_proved_and_what_differs_at_few_lengths_is_told(source, period, length):
    equal = f"({source} * 6 + L % 6 + L // 6 * 6 - L) // 6"
    assert same(source, equal) and value(source, L=length) == value(equal, L=length)
    assert not same(source, f"{source} + (L % {period} + 1) // {period}")  # one more at one length of a period
    assert not same(source, f"{source} + L // {10**9}") and not same(source, f"max({source}, {source} + L % {period})")
    assert not same("L", f"L % {period}")  # equal over a period, but they grow otherwise
    assert same(f"min({source}, {equal})", f"max({equal}, {source} - L % {period})")


def test_text_is_what_a_person_writes_and_a_letter_stands_for_a_whole_part():
    assert tidy("(L % 2 == 0) or not ((B*(L-3)) < 12)") == "L % 2 == 0 or not B * (L - 3) < 12"
    assert to_json("not L - 400 >= B") == ["not", [">=", ["+", "L", -400], "B"]]
    assert with_letter("24 * B * (L // 5 - 1) >= 2", "L // 5 - 1", "T1") == "24 * B * T1 >= 2"
    assert with_letter("3 * L // 5 - 1", "L // 5 - 1", "T1") == "3 * L // 5 - 1"


@pytest.mark.parametrize(
    "source",
    ["L / 2", "L ** 2", "__import__('os')", "L.real", "(lambda: 1)()", "[L]", "1.5", "'L'", "L if B else 1", "max()",
     "f(L)", "L < B < 3", "max(L, key=B)", "", "L //", "(" * 1_000 + "L" + ")" * 1_000, 5, None],
)  # fmt: skip
def test_what_is_no_expression_is_refused_and_never_run(source):
    for read in (tidy, letters_of, to_json, find, lambda text: compiled((text,), ("L", "B"))):
        with pytest.raises(ValueError, match="no expression in letters"):
            read(source)


def test_other_letters_are_refused():
    with pytest.raises(ValueError, match="another letter than L"):
        compiled(("Z + 1",), ("L",))
    with pytest.raises(ValueError, match="letters are names"):
        compiled(("1",), ("L: __import__('os'), B",))


def test_what_torch_derives_is_taken_over():
    s, b, L, B = (sympy.Symbol(name, positive=True, integer=True) for name in ("s76", "s6", "L", "B"))
    letters = {s: L, b: B}
    cases = [
        (tf.FloorDiv(s - 10, 5) + 1, lambda L, B: (L - 10) // 5 + 1),
        (tf.FloorDiv(tf.FloorDiv(s, 80) - 3, 2), lambda L, B: (L // 80 - 3) // 2),
        (b - 3 * s + s**2, lambda L, B: B - 3 * L + L * L),
        (tf.CleanDiv(s * 4, b), lambda L, B: L * 4 // B),
        (tf.Mod(s, 3) + b**2, lambda L, B: L % 3 + B * B),
        (tf.Max(s, b) - tf.Min(s, 12), lambda L, B: max(L, B) - min(L, 12)),
        (tf.ModularIndexing(s, 3, 5), lambda L, B: L // 3 % 5),
        (tf.TruncToInt(tf.IntTrueDiv(s, 7)) - tf.FloorToInt(tf.IntTrueDiv(s, b)), lambda L, B: L // 7 - L // B),
        (tf.CeilToInt(tf.IntTrueDiv(s + 1, 7)), lambda L, B: -(-(L + 1) // 7)),
        (sympy.Ne(tf.Mod(s, 4), 0), lambda L, B: L % 4 != 0),
        (sympy.And(s >= 5, b < 3), lambda L, B: L >= 5 and B < 3),
    ]
    cases += [(2 - 3 * expr, lambda L, B, wanted=wanted: 2 - 3 * wanted(L, B)) for expr, wanted in cases[:-2]]
    for expr, wanted in cases:
        shown = from_torch(expr, letters)
        for length in (1, 2, 5, 399, 400, 719, 720, 16_001):
            for clips in (1, 2, 3, 5):
                assert value(shown, L=length, B=clips) == wanted(length, clips), (expr, shown)
    halves = tf.IntTrueDiv(s, 2) + tf.IntTrueDiv(b, 2)
    for expr in (sympy.log(s), tf.IntTrueDiv(s, 2), s / 2, tf.TruncToInt(0.5 * s), tf.CeilToInt(halves), 1 / s):
        with pytest.raises(ValueError, match="no whole-number form"):
            from_torch(expr, letters)
    with pytest.raises(KeyError):
        from_torch(sympy.Symbol("u0"), letters)


@settings(max_examples=30)
@given(STACKS, STACKS, st.integers(1, 10**9))
def test_stacks_of_convolutions_have_the_closed_form_of_the_geometry(first, second, length):
    before, after = nested(first), nested([*first, *second])
    geometry = FrameGeometry([k for k, _ in first], [s for _, s in first])
    form = find(before)
    assert (form.offset, form.hop) == (geometry.receptive_field, geometry.hop)
    assert value(form.text, L=length) == value(before, L=length)
    assert max(0, value(form.text, L=length)) == geometry.frame_count(length)
    later = FrameGeometry([k for k, _ in second], [s for _, s in second])
    in_letter = step(before, after, "T1")
    assert value(in_letter, T1=value(before, L=length)) == value(after, L=length)
    assert [value(in_letter, T1=later.receptive_field - 1 + n) for n in (0, 1, later.hop)] == [0, 1, 1]


def test_what_has_no_such_form_is_unknown():
    for source in ("L * L", "L // 2 * 2", "L % 7", "max(L, 5)", "5", "-L", "B + L", "L // B", "L // 0"):
        assert find(source) is None
