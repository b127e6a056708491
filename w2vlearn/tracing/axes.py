"""Letters for derived sizes: T1 … and T for the frames, A1 … for what comes after them, ``T+1`` and the like for the
rest.

The letters are given by the same rule as in an observed trace (`labels.name_lengths`), so that both say the same. That
one size is another plus a constant, or follows from the one before, is proved here (`closed_form`), never taken from
examples.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from w2vlearn.tracing import closed_form
from w2vlearn.tracing.expression import Expression
from w2vlearn.tracing.hooks import RawCall
from w2vlearn.tracing.labels import frame_index, name_lengths

__all__ = ["Axes"]

_PROBES = (
    40_000,
    57_601,
    81_601,
    160_160,
    1_000_003,
)  # lengths at which sizes are told apart; equality is proved afterwards


class Axes:
    """Knows every derived size by its label.

    Parameters
    ----------
    calls : sequence of RawCall
        With an `Expression` in B and L for each symbolic size.

    Attributes
    ----------
    letters : dict of str to Expression
        Each letter in B and L: ``{"B": B, "L": L, "T1": L // 5 - 1, …, "T7": …, "T": …}``.
    labels : dict of str to Expression
        Each label that occurs in a shape, in letters: ``{"T": T, "T+1": T + 1}``.
    """

    def __init__(self, calls: Sequence[RawCall]) -> None:
        self.letters: dict[str, Expression] = {"B": Expression("B"), "L": Expression("L")}
        self.labels: dict[str, Expression] = {}
        self._known: dict[Expression, str] = {}
        self._name_lengths(calls)

    def _name_lengths(self, calls: Sequence[RawCall]) -> None:
        first: dict[Expression, tuple[int, ...]] = {}
        counts: Counter = Counter()
        events = []
        for call in calls:
            for side, tensors, moment in (("in", call.inputs, call.began), ("out", call.outputs, call.ended)):
                for j, tensor in enumerate(tensors):
                    for size in tensor.shape:
                        if isinstance(size, Expression) and size.letters == {"L"}:
                            events.append((moment, size, side == "out" and j == 0))
        for _, size, is_main in sorted(events, key=lambda event: event[0]):
            if size not in first:
                first[size] = tuple(size(L=n) for n in _PROBES)
            counts[first[size]] += is_main
        names = name_lengths(first.values(), _PROBES, counts)
        spare = 1 + max((int(n[1:]) for n in names.values() if re.fullmatch(r"A\d+", n)), default=0)
        for size, key in first.items():
            name = names.get(key)
            if name is None or not re.fullmatch(r"[TA]\d*", name):
                continue
            if name in self.letters and closed_form.equal_everywhere(self.letters[name], size) is None:
                name, spare = (
                    f"A{spare}",
                    spare + 1,
                )  # the same at all lengths tried, but not provably so: a letter of its own
            self.letters.setdefault(name, size)
            self._known.setdefault(size, name)
        if "T" in self.letters:
            frames = self.letters.pop("T")
            if frame_index(names) > 1:
                self.letters[f"T{frame_index(names)}"] = frames
            later = {k: self.letters.pop(k) for k in list(self.letters) if k.startswith("A")}
            self.letters |= {"T": frames, **later}

    def label(self, size: int | Expression) -> int | str:
        """A size as it stands in a shape: a number, a letter, or a short expression in letters."""
        if isinstance(size, int):
            return size
        name = self._known.get(size)
        if name is None or name not in self.labels:
            in_letters = Expression(name) if name else self._in_letters(size)
            name = self._known[size] = in_letters.compact()
            self.labels[name] = in_letters
        return name

    def in_letters(self, condition: Expression) -> Expression:
        """A condition on B and L with known sizes written as their letters."""
        return self._replace(condition.tree)

    def _in_letters(self, size: Expression) -> Expression:
        """The shortest way to write a size that was proved equal to it."""
        best = self._replace(size.tree)
        for letter, known in reversed(self.letters.items()):
            if known == size:
                return Expression(letter)
            if letter == "B" or size.letters != {"L"}:
                continue
            found = _multiple(size, known, letter) or closed_form.step(known, size, letter)
            if found is not None and len(str(found)) < len(str(best)):
                best = found
        return best

    def _replace(self, tree: Any) -> Expression:
        """The same tree with known sizes replaced by their letters wherever they stand in it."""
        for letter, known in reversed(self.letters.items()):
            if known.tree == tree:
                return Expression(letter)
        if isinstance(tree, tuple):
            return Expression((tree[0], *(self._replace(a).tree for a in tree[1:])))
        return Expression(tree)


def _multiple(size: Expression, known: Expression, letter: str) -> Expression | None:
    """``size`` as ``a * letter + b``, proved; None if it is not of that form."""
    period = closed_form.period(known)
    if period is None:
        return None
    grown = [closed_form.growth(e, period) for e in (known, size)]
    if not grown[0] or not grown[1] or grown[1] % grown[0]:
        return None
    factor = grown[1] // grown[0]
    added = size(L=0) - factor * known(L=0)
    if closed_form.equal_everywhere(known * factor + added, size) is None:
        return None
    return Expression(letter) * factor + added
