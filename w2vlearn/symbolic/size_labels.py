"""Letters for derived sizes: T1 … and T for the frames, A1 … for what comes after them, ``T+1`` and the like.

The letters are given by the same rule as in an observed trace (`letters.name_lengths`), so that both say the same. That
one size is another plus a constant, or follows from the one before, is proved here (`closed_form`), never taken from
examples.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import sympy

from w2vlearn.symbolic.closed_form import canonical, step
from w2vlearn.symbolic.expressions import compiled, parse, symbol, text
from w2vlearn.tracing.hooks import RawCall
from w2vlearn.tracing.letters import PROBES, frame_index, name_lengths


class SizeLabels:
    """Knows every derived size by its label.

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
                    sizes = [size for size in tensor.shape if _letters(size) == {"L"}]
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
        best = self.in_letters(size)
        if _letters(size) != {"L"}:
            return best
        for letter, known in reversed(self.letters.items()):
            if letter == "B":
                continue
            shorter = _multiple(size, known, letter)
            if shorter is None and (source := step(known, size, letter)) is not None:
                shorter = parse(source)
            if shorter is not None and len(text(shorter)) < len(text(best)):
                best = shorter
        return best


def _letters(size: int | sympy.Expr) -> set[str]:
    return set() if isinstance(size, int) else {s.name for s in size.free_symbols}


def _multiple(size: sympy.Expr, known: sympy.Expr, letter: str) -> sympy.Expr | None:
    """``size`` as ``a * letter + b``, proved; None if it is not of that form."""
    values = compiled((text(size), text(known)), ("L",))
    grown, grown_known = (far - near for far, near in zip(values(10**12), values(PROBES[0]), strict=True))
    factor = round(grown / grown_known) if grown_known else 0
    added = canonical(size - factor * known)
    return symbol(letter) * factor + added if factor and added.is_Integer else None
