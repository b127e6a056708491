"""Integer expressions in letters, and their closed forms: found, proved equal, or said to be unknown; never guessed."""

from __future__ import annotations

import json

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._sympy.functions import CeilDiv, CleanDiv, FloorDiv, IntTrueDiv, Max, Min, Mod, ModularIndexing

from w2vlearn.geometry import FrameGeometry
from w2vlearn.symbolic import closed_form
from w2vlearn.symbolic.expressions import compiled, evaluate, from_torch, letters_of, parse, symbol, text, to_json

STACKS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 4)), min_size=1, max_size=4)
SHORT = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3)), min_size=1, max_size=3)
BASE = [(10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)]


def value(source: str, **letters: int) -> int:
    return compiled((source,), tuple(letters))(*letters.values())[0]


def nested(stack) -> str:
    length = "L"
    for kernel, stride in stack:
        length = f"(({length}) - {kernel}) // {stride} + 1"
    return length


def sources() -> st.SearchStrategy[str]:
    """Texts with brackets everywhere, so that how they are read depends on no order of operators."""
    return st.recursive(
        st.integers(-50, 50).map(lambda n: f"({n})") | st.sampled_from(["L", "B"]),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
            st.tuples(inner, st.sampled_from(["//", "%"]), st.integers(1, 9)).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
            st.tuples(st.sampled_from(["max", "min"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
            inner.map(lambda t: f"(-{t})"),
        ),
        max_leaves=6,
    )


@settings(max_examples=60)
@given(sources(), st.integers(1, 10**12), st.integers(1, 7))
def test_text_code_sympy_json_and_canonical_form_have_one_value(source, length, clips):
    letters = {"L": length, "B": clips}
    wanted = eval(source, {"max": max, "min": min}, letters)
    assert value(source, **letters) == wanted
    shown = text(parse(source))
    assert value(shown, **letters) == wanted
    assert evaluate(json.loads(json.dumps(to_json(source))), letters) == wanted
    assert value(text(closed_form.canonical(parse(source))), **letters) == wanted
    assert letters_of(shown) <= letters_of(source) <= {"L", "B"}


@pytest.mark.parametrize(
    ("source", "shown", "tree"),
    [
        ("(L-400)//320+1", "(L - 400) // 320 + 1", ["+", ["//", ["+", "L", -400], 320], 1]),
        ("((L//80-3)//2-1)//2+1", "((L // 80 - 3) // 2 - 1) // 2 + 1", None),
        ("2*T-1", "2 * T - 1", ["+", ["*", 2, "T"], -1]),
        ("B*(L+1)", "B * (L + 1)", ["*", "B", ["+", "L", 1]]),
        ("B*L*L", "B * L * L", ["*", ["*", "B", "L"], "L"]),
        ("-L+3", "-L + 3", ["+", ["*", -1, "L"], 3]),
        ("L+1-1", "L", None),
        ("L*0", "0", ["*", "L", 0]),
        ("7//2 + -7%4", "4", None),
        ("L % 2 == 0 or not B*L < 12", "B * L >= 12 or L % 2 == 0", None),
    ],
)
def test_text_is_what_a_person_writes(source, shown, tree):
    assert text(parse(source)) == text(parse(shown)) == shown
    assert tree is None or to_json(source) == tree


@pytest.mark.parametrize(
    "source",
    ["L / 2", "L ** 2", "__import__('os')", "L.real", "(lambda: 1)()", "[L]", "1.5", "'L'", "L if B else 1", "max()",
     "f(L)", "L < B < 3", "max(L, key=B)", "", "L //", "(" * 1_000 + "L" + ")" * 1_000, 5, None],
)  # fmt: skip
def test_what_is_no_expression_is_refused_and_never_run(source):
    for read in (parse, letters_of, to_json, lambda t: compiled((t,), ("L", "B"))):
        with pytest.raises(ValueError, match="no expression in letters"):
            read(source)


def test_other_letters_and_division_by_zero_are_refused():
    with pytest.raises(ValueError, match="another letter than L"):
        compiled(("Z + 1",), ("L",))
    with pytest.raises(ValueError, match="letters are names"):
        compiled(("1",), ("L: __import__('os'), B",))
    with pytest.raises(ValueError, match="divides by zero"):
        parse("L // 0")


def test_what_torch_derives_is_taken_over():
    s, b = (sympy.Symbol(name, positive=True, integer=True) for name in ("s76", "s6"))
    letters = {s: symbol("L"), b: symbol("B")}
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
        shown = text(from_torch(expr, letters))
        for length in (1, 2, 5, 399, 400, 719, 720, 16_001):
            for clips in (1, 2, 3, 5):
                assert value(shown, L=length, B=clips) == wanted(length, clips), (expr, shown)
    for expr in (sympy.log(s), IntTrueDiv(s, 2)):
        with pytest.raises(ValueError, match="no whole-number form"):
            from_torch(expr, letters)
    with pytest.raises(KeyError):
        from_torch(sympy.Symbol("u0"), letters)


@settings(max_examples=30)
@given(STACKS, st.integers(1, 10**9))
def test_stacks_of_convolutions_have_the_closed_form_of_the_geometry(stack, length):
    geometry = FrameGeometry([k for k, _ in stack], [s for _, s in stack])
    form = closed_form.find(parse(nested(stack)))
    assert (form.offset, form.hop) == (geometry.receptive_field, geometry.hop)
    assert form.checked == range(form.offset, form.offset + form.hop)
    assert value(form.text, L=length) == value(nested(stack), L=length)
    assert max(0, value(form.text, L=length)) == geometry.frame_count(length)


@settings(max_examples=25)
@given(SHORT, SHORT)
def test_one_length_in_the_letter_of_another(first, second):
    before, after = nested(first), nested([*first, *second])
    geometry = FrameGeometry([k for k, _ in second], [s for _, s in second])
    shown = closed_form.step(parse(before), parse(after), "T1")
    for length in range(1, 2_000, 7):
        assert value(shown, T1=value(before, L=length)) == value(after, L=length)
    assert [value(shown, T1=geometry.receptive_field - 1 + n) for n in (0, 1, geometry.hop)] == [0, 1, 1]


@pytest.mark.parametrize("source", ["L * L", "L // 2 * 2", "L % 7", "max(L, 5)", "5", "-L", "B + L", "L // B"])
def test_what_has_no_such_form_is_unknown(source):
    assert closed_form.find(parse(source)) is None


def test_near_misses_are_told_apart():
    base = parse(nested(BASE))
    assert closed_form.canonical(base) == closed_form.canonical(parse("(L - 400) // 320 + 1"))
    assert str(closed_form.find(base)) == "floor((L - 400) / 320) + 1"
    # the last agrees with the right one at every multiple of 320 and nowhere else
    wrong = ["(L - 399) // 320 + 1", "(L - 401) // 320 + 1", "(L - 400) // 319 + 1", "(L - 400) // 320 + 2"]
    for source in (*wrong, "(L - 400) // 320 + 1 + (L % 320 + 319) // 320"):
        assert closed_form.canonical(base - parse(source)) != 0
