"""The simplest form of a derived length: ``floor((L - offset) / hop) + 1``, found from the expression and proved equal.

The proof: for whole numbers ``floor((floor(x / a) + y) / b)`` is ``floor((x + a * y) / (a * b))``, so nested floor
divisions become one (`canonical`), and two lengths whose canonical forms are the same are the same at every length.
Beside the algebra `find` computes both forms at every length of one period, and returns nothing when any of that fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from w2vlearn.symbolic.expressions import compiled, parse, symbol, text

if TYPE_CHECKING:
    import sympy

_LONGEST_PERIOD = 1_000_000  # lengths that one exhaustive comparison may take: under a second


@dataclass(frozen=True)
class ClosedForm:
    """``floor((letter - offset) / hop) + 1``, equal to an expression for every whole number.

    Attributes
    ----------
    letter : str
        The letter that it depends on, ``"L"``.
    offset, hop : int
        Smallest length with one position (the receptive field, 400 samples for BASE), and how much more makes one more
        (320).
    checked : range
        The lengths at which both forms were computed and compared: one full period.
    """

    letter: str
    offset: int
    hop: int
    checked: range

    @property
    def text(self) -> str:
        """In Python: ``(L - 400) // 320 + 1``."""
        if self.hop == 1:
            return self.letter + _signed(1 - self.offset)
        return f"{self._from_offset} // {self.hop} + 1"

    def __str__(self) -> str:
        return self.text if self.hop == 1 else f"floor({self._from_offset} / {self.hop}) + 1"

    @property
    def _from_offset(self) -> str:
        return f"({self.letter}{_signed(-self.offset)})" if self.offset else self.letter


def _signed(number: int) -> str:
    return "" if number == 0 else f" + {number}" if number > 0 else f" - {-number}"


@lru_cache(maxsize=4096)
def canonical(expr: sympy.Expr) -> sympy.Expr:
    """The same value with every nested floor division as one, whole parts taken out of it; remainders as divisions."""
    from sympy import Add
    from torch.utils._sympy.functions import FloorDiv, PythonMod

    def division(base: sympy.Expr, divisor: sympy.Expr) -> sympy.Expr:
        base = base.expand()
        terms = Add.make_args(base)
        if not divisor.is_Integer:
            return FloorDiv(base, divisor)
        inner = next((term for term in terms if isinstance(term, FloorDiv) and term.args[1].is_Integer), None)
        if inner is not None:
            top, bottom = inner.args
            return division(top + bottom * (base - inner), bottom * divisor)
        whole = left = 0
        for number, factor in (term.as_coeff_Mul() for term in terms):
            whole += number // divisor * factor
            left += number % divisor * factor
        return FloorDiv(left, divisor) + whole

    expr = expr.replace(PythonMod, lambda base, divisor: base - divisor * FloorDiv(base, divisor))
    return expr.replace(FloorDiv, division).expand()


def growth(expr: sympy.Expr, by: int, letter: str = "L") -> int | None:
    """By how much the value grows when the letter grows by ``by``, the same for every length; None if not provable."""
    grown = canonical(expr.xreplace({symbol(letter): symbol(letter) + by})) - canonical(expr)
    return int(grown) if grown.is_Integer else None


@lru_cache(maxsize=4096)
def find(expr: sympy.Expr, letter: str = "L") -> ClosedForm | None:
    """The closed form of an expression in one letter, proved; None if it is not ``floor((L - a) / h) + 1``.

    Parameters
    ----------
    expr : sympy.Expr
        In ``letter`` only, for example ``((L // 80 - 3) // 2 - 1) // 2 + 1``.
    letter : str

    Returns
    -------
    ClosedForm or None
    """
    from torch.utils._sympy.functions import FloorDiv

    whole, division = canonical(expr).as_coeff_Add()
    base, hop = division.args if isinstance(division, FloorDiv) else (division, 1)
    added = base - symbol(letter)
    if not added.is_Integer or not getattr(hop, "is_Integer", True) or hop > _LONGEST_PERIOD:
        return None
    offset = int(hop * (1 - whole) - added)
    form = ClosedForm(letter, offset, int(hop), range(offset, offset + int(hop)))
    both = compiled((text(expr), form.text), (letter,))
    agree = all(one == other for one, other in map(both, form.checked))
    return form if agree and growth(expr, form.hop, letter) == 1 else None


def step(previous: sympy.Expr, this: sympy.Expr, name: str, letter: str = "L") -> str | None:
    """``this`` written in the letter of an earlier length, ``"(T1 - 3) // 2 + 1"``, proved equal; None if that fails.

    Parameters
    ----------
    previous, this : sympy.Expr
        Two lengths, both in ``letter``.
    name : str
        What the earlier one is called: ``"T1"``.
    """
    before, after = find(previous, letter), find(this, letter)
    if before is None or after is None or after.hop % before.hop or (after.offset - before.offset) % before.hop:
        return None
    kernel = (after.offset - before.offset) // before.hop + 1
    shown = ClosedForm(name, kernel, after.hop // before.hop, range(0)).text
    return shown if canonical(parse(shown).xreplace({symbol(name): previous}) - this) == 0 else None


@dataclass(frozen=True)
class Formula:
    """What `torch.export` derived for one letter, and the simplest form that was proved equal to it.

    Attributes
    ----------
    letter : str
        ``"T"``.
    derived : str
        In L (or B), from the model's own operations: ``"((L // 80 - 3) // 2 - 1) // 2 + 1"``.
    chain : str or None
        In an earlier letter, ``"(T6 - 2) // 2 + 1"``; proved equal to ``derived``.
    closed : ClosedForm or None
        None: no closed form is known.
    status : str
        ``"exact"`` (the closed form equals the derived one for every length) or ``"unknown"`` (no closed form was
        found).
    holds_for : str
        For which batches the derivation itself holds, in words.
    """

    letter: str
    derived: str
    chain: str | None
    closed: ClosedForm | None
    status: str
    holds_for: str

    def __call__(self, L: int, B: int = 1) -> int:
        """The value for one length, from the derived expression."""
        return compiled((self.derived,), ("L", "B"))(L, B)[0]

    def __str__(self) -> str:
        closed = self.closed
        first = f"{self.letter} = {closed if closed else self.derived}"
        if self.derived == self.letter or self.derived.isdigit():
            return f"{first}\n  holds for {self.holds_for}"
        lines = [first, f"  derived from the model's operations: {self.derived}"]
        if self.chain is not None:
            lines.append(f"  from the length before: {self.chain}")
        if closed is None:
            lines.append("  closed form: unknown")
        elif (n := len(closed.checked)) == 1:
            lines.append("  closed form exact: no rounding is involved")
        else:
            compared = f"all {n:,} lengths of one period, {closed.letter} = {closed.checked[0]} … {closed.checked[-1]}"
            lines.append(
                f"  closed form exact: both were compared at {compared}; beyond it both grow by exactly "
                f"{n // closed.hop} whenever {closed.letter} grows by {n}"
            )
        return "\n".join([*lines, f"  holds for {self.holds_for}"])
