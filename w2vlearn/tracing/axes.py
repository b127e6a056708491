"""Letters for derived sizes: T1 … T7 and T after the convolutions, A1 … after an adapter, ``T+1`` and the like for the rest.

Which size is which is read off the order in which convolutions shorten the waveform; that two sizes are the same, or one
more than the other, is proved (`closed_form.equal_everywhere`), never guessed from an example.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from w2vlearn.tracing import closed_form
from w2vlearn.tracing.expression import Expression

__all__ = ["Axes", "shrinking_convolutions"]


class Axes:
    """Knows every derived size by its label.

    Attributes
    ----------
    letters : dict of str to Expression
        Each letter in B and L: ``{"B": B, "L": L, "T1": L // 5 - 1, …}``.
    labels : dict of str to Expression
        Each label that occurs in a shape, in letters: ``{"T": T, "T+1": T + 1}``.
    """

    def __init__(self) -> None:
        self.letters: dict[str, Expression] = {"B": Expression("B"), "L": Expression("L")}
        self.labels: dict[str, Expression] = {}
        self._known: dict[Expression, str] = {}

    def name(self, letter: str, size: Expression) -> None:
        """Give a letter to a size; of several letters for one size (T7 and T) shapes show the last."""
        self.letters[letter] = size

    def label(self, size: Expression) -> int | str:
        """A size as it stands in a shape: a number, a letter, or a short expression in letters."""
        if size.value is not None:
            return size.value
        if size not in self._known:
            in_letters = self._in_letters(size)
            self._known[size] = in_letters.compact()
            self.labels[self._known[size]] = in_letters
        return self._known[size]

    def _in_letters(self, size: Expression) -> Expression:
        best = self._replace(size.tree)
        for letter, known in reversed(self.letters.items()):
            if known == size:
                return Expression(letter)
            if letter in "BL" or size.letters != {"L"}:
                continue
            found = _multiple(size, known, letter) or closed_form.step(known, size, letter)
            if found is not None and len(str(found)) < len(str(best)):
                best = found
        return best

    def _replace(self, tree: Any) -> Expression:
        """The same tree with known sizes replaced by their letters wherever they stand in it."""
        for letter, known in self.letters.items():
            if known.tree == tree:
                return Expression(letter)
        if isinstance(tree, tuple):
            return Expression((tree[0], *(self._replace(a).tree for a in tree[1:])))
        return Expression(tree)

    def in_lengths(self, label: str) -> Expression:
        """A label's size in B and L."""
        return self.labels[label].substitute(**self.letters)


def _multiple(size: Expression, known: Expression, letter: str) -> Expression | None:
    """``size`` as ``a * letter + b``, proved; None if it is not of that form."""
    period = closed_form.period(known)
    if period is None:
        return None
    grown = [closed_form.growth(e, period) for e in (known, size)]
    if not grown[0] or grown[1] is None or grown[1] % grown[0]:
        return None
    factor = grown[1] // grown[0]
    if factor == 0:
        return None
    added = size(L=0) - factor * known(L=0)
    if closed_form.equal_everywhere(known * factor + added, size) is None:
        return None
    return Expression(letter) * factor + added


def shrinking_convolutions(calls: Iterable[Any], size: Any) -> tuple[list[Expression], list[Expression]]:
    """Lengths after each convolution of the feature encoder, and after each of an adapter.

    Parameters
    ----------
    calls : iterable of RawCall
    size : callable
        From one size of a tensor to an `Expression` in B and L.

    Returns
    -------
    encoder, adapter : list of Expression
        A convolution counts if it takes the length that the one before it left (the first: the waveform's). Those before
        the first `nn.Linear` on that length belong to the feature encoder; later ones count if they leave fewer positions
        and stand below a module called "adapter".
    """
    encoder: list[Expression] = []
    adapter: list[Expression] = []
    now, here = Expression("L"), encoder
    for call in calls:
        if not call.inputs or not call.outputs:
            continue
        before = [size(d) for d in call.inputs[0].shape]
        if isinstance(call.module, nn.Linear) and encoder and len(before) == 3 and before[1] == now:
            here = adapter
        if isinstance(call.module, nn.Conv1d) and len(before) == 3 and before[-1] == now:
            after = size(call.outputs[0].shape[-1])
            if here is encoder or (".adapter." in f".{call.name}." and _longer(before[-1], after)):
                here.append(after)
                now = after
    return encoder, adapter


def _longer(before: Expression, after: Expression) -> bool:
    """Whether the first is the longer one at all lengths that matter (a million samples say it)."""
    return before(L=1_000_003) > after(L=1_000_003)
