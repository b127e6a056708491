"""Closed forms: found from the expression, proved equal, or said to be unknown; never guessed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from w2vlearn.geometry import FrameGeometry
from w2vlearn.tracing import closed_form
from w2vlearn.tracing.expression import Expression

L = Expression("L")
STACKS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 4)), min_size=1, max_size=4)
SHORT = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3)), min_size=1, max_size=3)


def nested(stack) -> Expression:
    length = L
    for kernel, stride in stack:
        length = (length - kernel) // stride + 1
    return length


@settings(max_examples=50, deadline=None)
@given(STACKS, st.integers(0, 10**9))
def test_stacks_of_convolutions_have_the_closed_form_of_the_geometry(stack, length):
    geometry = FrameGeometry([k for k, _ in stack], [s for _, s in stack])
    found = closed_form.find(nested(stack))
    assert found is not None
    assert (found.offset, found.hop) == (geometry.receptive_field, geometry.hop)
    assert len(found.checked) % found.hop == 0
    assert found.expression(L=length) == nested(stack)(L=length)
    assert max(0, found.expression(L=length)) == geometry.frame_count(length)


@settings(max_examples=40, deadline=None)
@given(SHORT, SHORT)
def test_one_length_in_the_letter_of_another(first, second):
    before, after = nested(first), nested([*first, *second])
    geometry = FrameGeometry([k for k, _ in second], [s for _, s in second])
    found = closed_form.step(before, after, "T1")
    assert found is not None
    for length in range(0, 2_000, 7):
        assert found(T1=before(L=length)) == after(L=length)
    assert found(T1=geometry.receptive_field) == 1 and found(T1=geometry.receptive_field - 1) == 0


@settings(max_examples=100, deadline=None)
@given(SHORT, st.integers(1, 3), st.integers(-5, 5), st.integers(1, 400), st.integers(-500, 10**6))
def test_growth_is_exact_wherever_it_is_claimed(stack, factor, added, by, length):
    expression = nested(stack) * factor + added
    grown = closed_form.growth(expression, by)
    if grown is not None:
        assert expression(L=length + by) - expression(L=length) == grown
    period = closed_form.period(expression)
    assert closed_form.growth(expression, period) is not None


def test_growth_refuses_what_it_cannot_prove():
    assert closed_form.growth(L // 3, 3) == 1
    assert closed_form.growth(L // 3, 2) is None
    assert closed_form.growth(L % 4, 8) == 0
    assert closed_form.growth(L % 4, 6) is None
    assert closed_form.growth(L * L, 2) is None
    assert closed_form.growth(Expression(["max", "L", 5]), 2) is None
    assert closed_form.growth(Expression(["max", "L", ["+", "L", 3]]), 2) == 2


def test_what_has_no_such_form_is_unknown():
    for expression in (
        L * L,
        L // 2 * 2,
        L % 7,
        Expression(["max", "L", 5]),
        Expression(5),
        L * -1,
        Expression("B") + L,
    ):
        assert closed_form.find(expression) is None


def test_near_misses_are_told_apart():
    base = nested([(10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)])
    right = (L - 400) // 320 + 1
    assert closed_form.equal_everywhere(base, right) is not None
    for wrong in ((L - 399) // 320 + 1, (L - 401) // 320 + 1, (L - 400) // 319 + 1, (L - 400) // 320 + 2):
        assert closed_form.equal_everywhere(base, wrong) is None
    # agrees with the right one at every multiple of 320 and nowhere else: only a full period shows it
    sly = right + (L % 320 + 319) // 320
    assert closed_form.equal_everywhere(base, sly) is None


def test_facts_of_base():
    found = closed_form.find(nested([(10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)]))
    assert str(found) == "floor((L - 400) / 320) + 1"
    assert len(found.checked) == 320
    facts = {399: 0, 400: 1, 719: 1, 720: 2, 16_000: 49, 31_439: 97, 31_440: 98, 320_000: 999}
    assert {n: found.expression(L=n) for n in facts} == facts
