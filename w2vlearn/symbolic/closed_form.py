"""The simplest form of a derived length: ``floor((L - offset) / hop) + 1``, found from the expression and proved equal.

The proof: for whole numbers ``floor((floor(x / a) + y) / b)`` is ``floor((x + a * y) / (a * b))``, so nested floor
divisions become one (`canonical`), and two lengths whose canonical forms are the same are the same at every length.
Beside the algebra `find` computes both forms at every length of one period, and returns nothing when any of that fails.

`SizeLabels` gives derived sizes their letters, by the same rule as in an observed trace (`letters.name_lengths`). That
one size is another plus a constant, or follows from the one before, is proved here too, never taken from examples.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from w2vlearn.symbolic.expressions import compiled, parse, symbol, text
from w2vlearn.tracing.letters import PROBES, frame_index, name_lengths

if TYPE_CHECKING:
    import sympy

    from w2vlearn.tracing.hooks import RawCall

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


@lru_cache(maxsize=4096)
def find(expr: sympy.Expr) -> ClosedForm | None:
    """The closed form of an expression in L, ``((L // 80 - 3) // 2 - 1) // 2 + 1``, proved; None if it has none."""
    from torch.utils._sympy.functions import FloorDiv

    length = symbol("L")
    whole, division = canonical(expr).as_coeff_Add()
    base, hop = division.args if isinstance(division, FloorDiv) else (division, 1)
    added = base - length
    if not added.is_Integer or not getattr(hop, "is_Integer", True) or hop > _LONGEST_PERIOD:
        return None
    form = ClosedForm("L", int(hop * (1 - whole) - added), int(hop))
    both = compiled((text(expr), form.text), ("L",))
    agree = all(one == other for one, other in map(both, form.checked))
    grown = canonical(expr.xreplace({length: length + form.hop})) - canonical(expr)
    return form if agree and grown == 1 else None


def step(previous: sympy.Expr, this: sympy.Expr, name: str) -> str | None:
    """``this`` in the letter ``name`` of an earlier length, ``"(T1 - 3) // 2 + 1"``, proved equal; None if that fails.

    Both lengths are given in L.
    """
    before, after = find(previous), find(this)
    if before is None or after is None or after.hop % before.hop or (after.offset - before.offset) % before.hop:
        return None
    kernel = (after.offset - before.offset) // before.hop + 1
    shown = ClosedForm(name, kernel, after.hop // before.hop).text
    return shown if canonical(parse(shown).xreplace({symbol(name): previous}) - this) == 0 else None


class SizeLabels:
    """Knows every derived size by its label: T1 … and T for the frames, A1 … for what comes after them, ``T+1``.

    Parameters
    ----------
    calls : sequence of RawCall
        With an int or a sympy expression in B and L for each size.

    Attributes
    ----------
    letters : dict of str to sympy.Expr
        Each letter in B and L: ``{"B": B, "L": L, "T1": L // 5 - 1, …, "T7": …, "T": …}``.
    labels : dict of str to sympy.Expr
        Each label that occurs in a shape, in letters: ``{"T": T, "T+1": T + 1}``.
    """

    def __init__(self, calls: Sequence[RawCall]) -> None:
        self.letters: dict[str, sympy.Expr] = {"B": symbol("B"), "L": symbol("L")}
        self.labels: dict[str, sympy.Expr] = {}
        self._names: dict[sympy.Expr, str] = {}
        self._name_lengths(calls)

    def _name_lengths(self, calls: Sequence[RawCall]) -> None:
        keys: dict[sympy.Expr, tuple[int, ...]] = {}
        counts: Counter = Counter()
        events = []
        for call in calls:
            for tensors, moment, is_output in ((call.inputs, call.began, False), (call.outputs, call.ended, True)):
                for j, tensor in enumerate(tensors):
                    sizes = [size for size in tensor.shape if letters_in(size) == {"L"}]
                    events += [(moment, size, is_output and j == 0) for size in sizes]
        for _, size, is_main in sorted(events, key=lambda event: event[0]):
            if size not in keys:
                value = compiled((text(size),), ("L",))
                keys[size] = tuple(value(n)[0] for n in PROBES)
            counts[keys[size]] += is_main
        names = name_lengths(keys.values(), PROBES, counts)
        spare = 1 + max((int(n[1:]) for n in names.values() if re.fullmatch(r"A\d+", n)), default=0)
        for size, key in keys.items():
            name = names.get(key)
            if name is None or not re.fullmatch(r"[TA]\d*", name):
                continue
            if name in self.letters and canonical(self.letters[name] - size) != 0:
                # the same at all lengths tried, but not provably so: a letter of its own
                name, spare = f"A{spare}", spare + 1
            self.letters.setdefault(name, size)
            self._names.setdefault(size, name)
        if "T" in self.letters:
            frames = self.letters.pop("T")
            if frame_index(names) > 1:
                self.letters[f"T{frame_index(names)}"] = frames
            later = {name: self.letters.pop(name) for name in list(self.letters) if name.startswith("A")}
            self.letters |= {"T": frames, **later}

    def label(self, size: int | sympy.Expr) -> int | str:
        """A size as it stands in a shape: a number, a letter, or a short expression in letters."""
        if isinstance(size, int):
            return size
        name = self._names.get(size)
        if name is None or name not in self.labels:
            expr = symbol(name) if name else self._shortest(size)
            name = self._names[size] = text(expr).replace(" ", "")
            self.labels[name] = expr
        return name

    def in_letters(self, expr: sympy.Basic) -> sympy.Basic:
        """An expression in B and L with known sizes written as their letters, the latest first."""
        for letter, size in reversed(self.letters.items()):
            expr = expr.xreplace({size: symbol(letter)})
        return expr

    def _shortest(self, size: sympy.Expr) -> sympy.Expr:
        """The shortest way to write a size that was proved equal to it."""
        ways = [self.in_letters(size)]
        if letters_in(size) == {"L"}:
            for letter, known in reversed(self.letters.items()):
                if letter != "B":
                    ways += [_multiple(size, known, letter) or step(known, size, letter)]
        ways = [parse(way) if isinstance(way, str) else way for way in ways if way is not None]
        return min(ways, key=lambda way: len(text(way)))  # the first of the shortest


def letters_in(size: int | sympy.Expr) -> set[str]:
    """The letters that a derived size depends on: ``{"L"}``."""
    return set() if isinstance(size, int) else {s.name for s in size.free_symbols}


def _multiple(size: sympy.Expr, known: sympy.Expr, letter: str) -> sympy.Expr | None:
    """``size`` as ``a * letter + b``, proved; None if it is not of that form."""
    values = compiled((text(size), text(known)), ("L",))
    grown, grown_known = (far - near for far, near in zip(values(10**12), values(PROBES[0]), strict=True))
    factor = round(grown / grown_known) if grown_known else 0
    added = canonical(size - factor * known)
    return symbol(letter) * factor + added if factor and added.is_Integer else None
