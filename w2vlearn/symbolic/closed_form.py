"""The simplest form of a derived length: ``floor((L - offset) / hop) + 1``, found from the expression and proved equal.

The proof: an expression of sums, whole multiples, floor divisions and remainders by constants grows by the same amount
whenever L grows by its period (`_period`); so do the larger and the smaller of two that grow alike. So two of them are
equal at every length if they grow alike and are equal at every length of one period (`same`). Where that fails, no
closed form is stated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from w2vlearn.symbolic.expressions import compiled, to_json

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
    """

    letter: str
    offset: int
    hop: int

    @property
    def checked(self) -> range:
        """The lengths at which both forms were computed and compared: one full period."""
        return range(self.offset, self.offset + self.hop)

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


@dataclass(frozen=True)
class Formula:
    """What `torch.export` derived for one letter, and the simplest form that was proved equal to it.

    Attributes
    ----------
    letter : str
        ``"T"``.
    derived : str
        In L (or B), from the model's own operations: ``"((L // 80 - 3) // 2 - 1) // 2 + 1"``.
    holds_for : str
        For which batches the derivation itself holds, in words.
    chain : str or None
        In an earlier letter, ``"(T6 - 2) // 2 + 1"``; proved equal to ``derived``.
    closed : ClosedForm or None
        None: no closed form is known, or none is needed (B, L and constants).
    """

    letter: str
    derived: str
    holds_for: str
    chain: str | None = None
    closed: ClosedForm | None = None

    @property
    def status(self) -> str:
        """``"exact"`` (the closed form equals the derived one for every length) or ``"unknown"`` (none was found)."""
        return "exact" if self.closed is not None or self._is_given else "unknown"

    @property
    def _is_given(self) -> bool:
        return self.derived == self.letter or self.derived.isdigit()

    def __call__(self, L: int, B: int = 1) -> int:
        """The value for one length, from the derived expression."""
        return compiled((self.derived,), ("L", "B"))(L, B)[0]

    def __str__(self) -> str:
        closed = self.closed
        lines = [f"{self.letter} = {closed or self.derived}"]
        if not self._is_given:
            lines.append(f"  derived from the model's operations: {self.derived}")
            if self.chain is not None:
                lines.append(f"  from the length before: {self.chain}")
            if closed is None:
                lines.append("  closed form: unknown")
            elif closed.hop == 1:
                lines.append("  closed form exact: no rounding is involved")
            else:
                hop, period, letter = closed.hop, closed.checked, closed.letter
                lines.append(
                    f"  closed form exact: both were compared at all {hop:,} lengths of one period, {letter} = "
                    f"{period[0]} … {period[-1]}; beyond it both grow by exactly 1 whenever {letter} grows by {hop}"
                )
        return "\n".join([*lines, f"  holds for {self.holds_for}"])


def _period(tree: int | str | list) -> tuple[int, int] | None:
    """A period, and by how much the value grows, at every length, when L grows by it; None if unknown."""
    match tree:
        case int():
            return 1, 0
        case "L":
            return 1, 1
        case ["*", int(factor), part] | ["*", part, int(factor)] if known := _period(part):
            return known[0], factor * known[1]
        case ["+" | "max" | "min" as sign, *parts] if all(known := [_period(part) for part in parts]):
            period = math.lcm(*(p for p, _ in known))
            grown = [period // p * growth for p, growth in known]
            if sign == "+" or len(set(grown)) == 1:
                return period, sum(grown) if sign == "+" else grown[0]
        case ["//" | "%" as sign, part, int(divisor)] if divisor and (known := _period(part)):
            times = abs(divisor) // math.gcd(divisor, known[1])  # periods until no remainder has changed
            return times * known[0], times * known[1] // divisor if sign == "//" else 0
    return None


@lru_cache(maxsize=4096)
def same(one: str, other: str, start: int = 0) -> bool:
    """Whether two expressions in L are equal at every length, proved from ``start`` on over one period of both."""
    known = _period(to_json(one)), _period(to_json(other))
    if one == other or None in known:
        return one == other
    (period, growth), (other_period, other_growth) = known
    both = math.lcm(period, other_period)
    if growth * other_period != other_growth * period or both > _LONGEST_PERIOD:
        return False
    values = compiled((one, other), ("L",))
    return all(value == expected for value, expected in map(values, range(start, start + both)))


@lru_cache(maxsize=4096)
def find(text: str) -> ClosedForm | None:
    """The closed form of an expression in L, ``((L // 80 - 3) // 2 - 1) // 2 + 1``, proved; None if it has none."""
    period, growth = _period(to_json(text)) or (1, 0)
    if growth < 1 or period % growth or period > _LONGEST_PERIOD:
        return None
    hop = period // growth
    value = compiled((text,), ("L",))
    first = next((n for n in range(1, hop) if value(n) != value(n - 1)), 0)  # a length with one position more
    form = ClosedForm("L", first - hop * (value(first)[0] - 1), hop)
    return form if same(text, form.text, form.offset) else None


def step(previous: str, this: str, letter: str) -> str | None:
    """``this`` in the letter of an earlier length, ``"(T1 - 3) // 2 + 1"``, proved equal; None if that fails.

    Both lengths are given in L.
    """
    before, after = find(previous), find(this)
    if before is None or after is None or after.hop % before.hop or (after.offset - before.offset) % before.hop:
        return None
    kernel, stride = (after.offset - before.offset) // before.hop + 1, after.hop // before.hop
    in_length, in_letter = (ClosedForm(earlier, kernel, stride).text for earlier in (f"({previous})", letter))
    return in_letter if same(in_length, this) else None
