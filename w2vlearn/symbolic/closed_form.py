"""The simplest form of a derived length: ``floor((L - offset) / hop) + 1``, found from the expression and proved equal.

How the proof goes. Nested floor divisions look irregular, but they repeat: if L grows by the right P, every floor
division on the way grows by a whole number, so the expression grows by exactly some Q, whatever L was (`growth` lets
sympy subtract, and refuses where a letter is left over). If two expressions both grow by Q when L grows by P, and they
agree on P neighbouring lengths, they agree everywhere. `find` takes P, Q, the offset and the hop out of the expression,
compares a whole period one length at a time, and returns nothing when any of that fails.
"""

from __future__ import annotations

import math
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
        start = f"{self.letter}{_signed(-self.offset)}"
        if self.hop == 1:
            return f"{self.letter}{_signed(1 - self.offset)}"
        return f"{start if self.offset == 0 else f'({start})'} // {self.hop} + 1"

    def __str__(self) -> str:
        if self.hop == 1:
            return self.text
        start = f"{self.letter}{_signed(-self.offset)}"
        return f"floor({start if self.offset == 0 else f'({start})'} / {self.hop}) + 1"


def _signed(number: int) -> str:
    return "" if number == 0 else f" + {number}" if number > 0 else f" - {-number}"


def _reduced(expr: sympy.Expr) -> sympy.Expr:
    """Every ``(k * d + r) // d`` as ``k + r // d``, so that equal expressions look alike; remainders as divisions."""
    from sympy import Add
    from torch.utils._sympy.functions import FloorDiv, PythonMod

    def division(base: sympy.Expr, divisor: sympy.Expr) -> sympy.Expr:
        if not divisor.is_Integer:
            return FloorDiv(base, divisor)
        whole = left = 0
        for term in Add.make_args(base.expand()):
            number, factor = term.as_coeff_Mul()
            whole += number // divisor * factor
            left += number % divisor * factor
        return FloorDiv(left, divisor) + whole

    expr = expr.replace(PythonMod, lambda base, divisor: base - divisor * FloorDiv(base, divisor))
    return expr.replace(FloorDiv, division).expand()


@lru_cache(maxsize=4096)
def growth(expr: sympy.Expr, by: int, letter: str = "L") -> int | None:
    """By how much the value grows when the letter grows by ``by``, the same for every length; None if not provable."""
    grown = _reduced(expr.xreplace({symbol(letter): symbol(letter) + by})) - _reduced(expr)
    return int(grown) if grown.is_Integer else None


@lru_cache(maxsize=4096)
def period(expr: sympy.Expr, letter: str = "L") -> int | None:
    """Smallest P for which `growth` is known. None where there is none, for instance for a product of two lengths."""
    from sympy import divisors
    from torch.utils._sympy.functions import FloorDiv, PythonMod

    numbers = [node.args[1] for node in expr.atoms(FloorDiv, PythonMod)]
    if not all(number.is_Integer for number in numbers):
        return None
    bound = math.prod(map(int, numbers))  # that much makes every division on the way grow by a whole number
    return next((p for p in divisors(bound) if p <= _LONGEST_PERIOD and growth(expr, p, letter) is not None), None)


@lru_cache(maxsize=4096)
def equal_everywhere(one: sympy.Expr, other: sympy.Expr, letter: str = "L", start: int = 0) -> range | None:
    """Prove that two expressions agree at every length; the lengths compared, or None if there is no proof."""
    if (one.free_symbols | other.free_symbols) - {symbol(letter)}:
        return None
    periods = [period(expr, letter) for expr in (one, other)]
    if None in periods or (length := math.lcm(*periods)) > _LONGEST_PERIOD:
        return None
    if growth(one, length, letter) != growth(other, length, letter):
        return None
    both = compiled((text(one), text(other)), (letter,))
    checked = range(start, start + length)
    return checked if all(a == b for a, b in map(both, checked)) else None


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
    if expr.free_symbols != {symbol(letter)} or (length := period(expr, letter)) is None:
        return None
    grown = growth(expr, length, letter)
    if not grown or grown < 0 or length % grown:
        return None
    # the offset is the first length with one position: it lies in the period in which the value passes from 0 to 1
    value = compiled((text(expr),), (letter,))
    start = -(value(0)[0] // grown) * length  # there the value is in [0, grown)
    offset = next((n for n in range(start - length, start + 2 * length) if value(n)[0] >= 1), None)
    if offset is None:
        return None
    candidate = ClosedForm(letter, offset, length // grown, range(0))
    checked = equal_everywhere(expr, parse(candidate.text), letter, start=offset)
    return None if checked is None else ClosedForm(letter, offset, candidate.hop, checked)


def step(previous: sympy.Expr, this: sympy.Expr, name: str, letter: str = "L") -> ClosedForm | None:
    """``this`` written in the letter of an earlier length, ``(T1 - 3) // 2 + 1``, proved equal; None if that fails.

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
    candidate = ClosedForm(name, kernel, after.hop // before.hop, range(0))
    in_letter = parse(candidate.text).xreplace({symbol(name): previous})
    checked = equal_everywhere(in_letter, this, letter, start=after.offset)
    return None if checked is None else ClosedForm(name, kernel, candidate.hop, checked)


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
