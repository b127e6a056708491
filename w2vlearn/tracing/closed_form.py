"""The simplest form of a derived length: ``floor((L - offset) / hop) + 1``, found from the expression and proved equal.

How the proof goes. Nested floor divisions look irregular, but they repeat: if L grows by the right P, every floor
division on the way grows by a whole number, so the expression grows by exactly some Q, whatever L was (`growth` walks
the tree and says so, or refuses). If two expressions both grow by Q when L grows by P, and they agree on P
neighbouring lengths, they agree on every integer. `find` takes P, Q, the offset and the hop out of the expression,
compares a whole period one length at a time, and returns nothing when any of that fails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from w2vlearn.tracing.expression import Expression, compile_expressions

__all__ = ["ClosedForm", "Formula", "find", "growth", "period", "step"]

_LONGEST_PERIOD = 1_000_000  # lengths that one exhaustive comparison may take: under a second


@dataclass(frozen=True)
class ClosedForm:
    """``floor((letter - offset) / hop) + 1``, equal to an expression for every integer.

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
    def expression(self) -> Expression:
        """As an `Expression`: ``(L - 400) // 320 + 1``."""
        return (Expression(self.letter) - self.offset) // self.hop + 1

    def __str__(self) -> str:
        if self.hop == 1:
            return str(self.expression)
        inner = str(Expression(self.letter) - self.offset)
        return f"floor({inner if self.offset == 0 else f'({inner})'} / {self.hop}) + 1"


def _rate(tree, letter: str) -> Fraction | None:
    """How much the value grows per unit of the letter, in the long run; None where that is no constant."""
    if isinstance(tree, int):
        return Fraction(0)
    if isinstance(tree, str):
        return Fraction(int(tree == letter))
    op, *args = tree
    rates = [_rate(a, letter) for a in args]
    if None in rates:
        return None
    if op == "+":
        return sum(rates, Fraction(0))
    if op == "*":
        numbers = [a for a in args if isinstance(a, int)]
        moving = [(a, r) for a, r in zip(args, rates, strict=True) if not isinstance(a, int)]
        return moving[0][1] * math.prod(numbers) if len(moving) == 1 else None
    if op == "//" and isinstance(args[1], int):
        return rates[0] / args[1]
    if op == "%" and isinstance(args[1], int):
        return Fraction(0)
    if op in ("max", "min") and len(set(rates)) == 1:
        return rates[0]
    return None


def period(expression: Expression, letter: str = "L") -> int | None:
    """Smallest P so that every floor division and remainder inside grows by a whole number when the letter grows by P.

    None where there is no such number, for instance for a product of two lengths.
    """
    if _rate(expression.tree, letter) is None:
        return None
    result = 1
    stack = [expression.tree]
    while stack:
        tree = stack.pop()
        if isinstance(tree, tuple):
            stack.extend(tree[1:])
            rate = _rate(tree[1], letter) if tree[0] == "%" else _rate(tree, letter)
            # P * rate must be whole; a remainder's dividend must even grow by a multiple of the divisor
            result = math.lcm(result, (rate / tree[2] if tree[0] == "%" else rate).denominator)
    return result


def growth(expression: Expression, by: int, letter: str = "L") -> int | None:
    """By how much the value grows when the letter grows by ``by``, the same for *every* integer; None if not provable.

    A proof by structure: a letter grows by ``by``, a number by 0, a sum by the sum of what its parts grow by, a
    multiple by the multiple, ``a // n`` by ``growth(a) / n`` *if that is whole*, ``a % n`` not at all if n divides
    ``growth(a)``, and a maximum by what all its parts grow by if they agree.
    """

    def walk(tree) -> int | None:
        if isinstance(tree, int):
            return 0
        if isinstance(tree, str):
            return by if tree == letter else 0
        op, *args = tree
        parts = [walk(a) for a in args]
        if None in parts:
            return None
        if op == "+":
            return sum(parts)
        if op == "*":
            moving = [(a, g) for a, g in zip(args, parts, strict=True) if g]
            still = [a for a, g in zip(args, parts, strict=True) if not g]
            if not moving:
                return 0
            return (
                moving[0][1] * math.prod(still) if len(moving) == 1 and all(isinstance(a, int) for a in still) else None
            )
        if op in ("//", "%") and isinstance(args[1], int):
            whole, left = divmod(parts[0], args[1])
            return None if left else (whole if op == "//" else 0)
        if op in ("max", "min") and len(set(parts)) == 1:
            return parts[0]
        return None

    return walk(expression.tree)


def equal_everywhere(one: Expression, other: Expression, letter: str = "L", start: int = 0) -> range | None:
    """Prove that two expressions agree at every integer; the lengths compared, or None if there is no proof."""
    periods = [period(e, letter) for e in (one, other)]
    if None in periods or (one.letters | other.letters) - {letter}:
        return None
    length = math.lcm(*periods)
    grown = [growth(e, length, letter) for e in (one, other)]
    if None in grown or grown[0] != grown[1] or length > _LONGEST_PERIOD:
        return None
    both = compile_expressions([one, other], (letter,))
    checked = range(start, start + length)
    return checked if all(a == b for a, b in map(both, checked)) else None


def find(expression: Expression, letter: str = "L") -> ClosedForm | None:
    """The closed form of an expression in one letter, proved; None if it is not ``floor((L - a) / h) + 1``.

    Parameters
    ----------
    expression : Expression
        In ``letter`` only, for example ``((L // 80 - 3) // 2 - 1) // 2 + 1``.
    letter : str

    Returns
    -------
    ClosedForm or None
    """
    length = period(expression, letter)
    if length is None or expression.letters != {letter} or length > _LONGEST_PERIOD:
        return None
    grown = growth(expression, length, letter)
    if not grown or grown < 0 or length % grown:
        return None
    # the offset is the first length with one position: it lies in the period in which the value passes from 0 to 1
    value = compile_expressions([expression], (letter,))
    start = -(value(0)[0] // grown) * length  # there the value is in [0, grown)
    offset = next((n for n in range(start - length, start + 2 * length) if value(n)[0] >= 1), None)
    if offset is None:
        return None
    candidate = ClosedForm(letter, offset, length // grown, range(0))
    checked = equal_everywhere(expression, candidate.expression, letter, start=offset)
    return None if checked is None else ClosedForm(letter, offset, candidate.hop, checked)


def step(previous: Expression, this: Expression, name: str, letter: str = "L") -> Expression | None:
    """``this`` written in the letter of an earlier length, ``(T1 - 3) // 2 + 1``, proved equal; None if that fails.

    Parameters
    ----------
    previous, this : Expression
        Two lengths, both in ``letter``.
    name : str
        What the earlier one is called: ``"T1"``.
    """
    before, after = find(previous, letter), find(this, letter)
    if before is None or after is None or after.hop % before.hop or (after.offset - before.offset) % before.hop:
        return None
    stride = after.hop // before.hop
    kernel = (after.offset - before.offset) // before.hop + 1
    candidate = ClosedForm(name, kernel, stride, range(0)).expression
    if equal_everywhere(candidate.substitute(**{name: previous}), this, letter, start=after.offset) is None:
        return None
    return candidate


@dataclass(frozen=True)
class Formula:
    """What `torch.export` derived for one letter, and the simplest form that was proved equal to it.

    Attributes
    ----------
    letter : str
        ``"T"``.
    derived : Expression
        In L (or B), from the model's own operations.
    chain : Expression or None
        In an earlier letter, ``(T6 - 2) // 2 + 1``; proved equal to ``derived``.
    closed : ClosedForm or None
        None: no closed form is known.
    status : str
        ``"exact"`` (the closed form equals the derived one for every integer) or ``"unknown"`` (no closed form was
        found).
    holds_for : str
        For which batches the derivation itself holds, in words.
    """

    letter: str
    derived: Expression
    chain: Expression | None
    closed: ClosedForm | None
    status: str
    holds_for: str

    def __call__(self, L: int, B: int = 1) -> int:
        """The value for one length, from the derived expression."""
        return self.derived(L=L, B=B)

    def __str__(self) -> str:
        closed = self.closed
        first = f"{self.letter} = {closed if closed else self.derived}"
        if self.derived.value is not None or self.derived == self.letter:
            return f"{first}\n  holds for {self.holds_for}"
        lines = [first, f"  derived from the model's operations: {self.derived}"]
        if self.chain is not None:
            lines.append(f"  from the length before: {self.chain}")
        if closed:
            n = len(closed.checked)
            period = f"all {n:,} lengths of one period, {closed.letter} = {closed.checked[0]} … {closed.checked[-1]}"
            grown = growth(self.derived, n, closed.letter)
            lines.append(
                f"  closed form exact: both were compared at {period}; beyond it both grow by exactly {grown} whenever "
                f"{closed.letter} grows by {n}"
                if n > 1
                else "  closed form exact: no rounding is involved"
            )
        else:
            lines.append("  closed form: unknown")
        return "\n".join([*lines, f"  holds for {self.holds_for}"])
