"""Sizes as `torch.export` states them, in our letters: torch's sympy as text, and a label for each size."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import sympy
from sympy.printing.str import StrPrinter
from torch.utils._sympy.functions import FloorDiv, IntTrueDiv  # no public names; sizes come in them
from torch.utils._sympy.printers import PythonPrinter

from w2vlearn.symbolic.closed_form import same
from w2vlearn.symbolic.expressions import compiled, letters_of, tidy, with_letter
from w2vlearn.tracing.hooks import RawCall
from w2vlearn.tracing.letters import PROBES, frame_index, name_lengths


class _Printer(PythonPrinter):
    """torch's printer with sympy's order of terms, which is always the same, and with divisions of whole numbers."""

    _print_Add, _print_Mul = StrPrinter._print_Add, StrPrinter._print_Mul

    def _print_FloorToInt(self, expr: sympy.Expr, sign: int = 1) -> str:
        quotient = expr.args[0]
        top, bottom = quotient.args if isinstance(quotient, IntTrueDiv) else (quotient, 1)
        return f"({self._print(sign * FloorDiv(sign * top, bottom))})"

    _print_TruncToInt = _print_FloorToInt  # sizes are not negative

    def _print_CeilToInt(self, expr: sympy.Expr) -> str:
        return self._print_FloorToInt(expr, sign=-1)


def from_torch(expr: sympy.Basic, letters: Mapping[sympy.Symbol, sympy.Basic]) -> str:
    """A size or a condition that `torch.export` derived, as text in our letters.

    ``letters`` says what each of torch's symbols is: ``{s76: L}``. The value is the same for all sizes of at least 1.

    Raises
    ------
    ValueError
        For an operation that whole numbers in letters cannot state (floating point, logarithms); names it.
    KeyError
        For a symbol without a letter.
    """
    for unknown in expr.free_symbols - letters.keys():
        raise KeyError(unknown)
    try:
        return tidy(_Printer().doprint(expr.xreplace(letters)))
    except (ValueError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"no whole-number form for {expr}") from error


def name_sizes(calls: Sequence[RawCall]) -> tuple[dict[str, str], dict[str, str]]:
    """Letters and labels for derived sizes: T1 … and T for the frames, A1 … for what comes after them, ``T+1``.

    Sizes get their letters by the same rule as in an observed trace (`letters.name_lengths`). That two sizes are one,
    or that one is another plus a constant, is proved here, never taken from examples.

    Parameters
    ----------
    calls : sequence of RawCall
        With an int or an expression in B and L for each size.

    Returns
    -------
    letters : dict of str to str
        Each letter in B and L: ``{"B": "B", "L": "L", "T1": "L // 5 - 1", …, "T7": …, "T": …}``.
    labels : dict of str to str
        For each expression what stands in its place in a shape: a letter, or a short expression in letters.
    """
    sides = [side for call in calls for side in ((call.inputs, call.began, 0), (call.outputs, call.ended, 1))]
    sizes = [  # with the moment at which each came about, and whether it is one of a call's main output
        (size, moment, is_output and place == 0)
        for tensors, moment, is_output in sides
        for place, tensor in enumerate(tensors)
        for size in tensor.shape
        if isinstance(size, str)
    ]
    keys: dict[str, tuple[int, ...]] = {}
    counts: Counter = Counter()
    for size, _, is_main in sorted(sizes, key=lambda entry: entry[1]):
        if letters_of(size) == {"L"}:
            if size not in keys:
                value = compiled((size,), ("L",))
                keys[size] = tuple(value(n)[0] for n in PROBES)
            counts[keys[size]] += is_main
    names = name_lengths(keys.values(), PROBES, counts)
    frames = next((size for size, key in keys.items() if names.get(key) == "T"), "")
    spare = 1 + max((int(n[1:]) for n in names.values() if re.fullmatch(r"A\d+", n)), default=0)
    letters, labels = {"B": "B", "L": "L"}, {}
    for size, key in keys.items():
        name = names.get(key, "")
        if re.fullmatch(r"[TA]\d*", name):
            if not same(letters.get(name, size), size):
                # the same at all lengths tried, but not provably so: a letter of its own
                name, spare = f"A{spare}", spare + 1
            letters.setdefault(name, size)
            labels[size] = name
        elif "T" in name and same(size, name.replace("T", f"({frames})")):
            labels[size] = name
    if frames:
        later = {name: letters.pop(name) for name in list(letters) if name[0] == "A" or name == "T"}
        if frame_index(names) > 1:
            letters[f"T{frame_index(names)}"] = frames
        letters |= {"T": frames, **later}
    return letters, {size: labels.get(size) or in_letters(size, letters).replace(" ", "") for size, *_ in sizes}


def in_letters(text: str, letters: Mapping[str, str]) -> str:
    """An expression in B and L with known sizes written as their letters, the latest first."""
    for letter, size in reversed(letters.items()):
        text = with_letter(text, size, letter)
    return text
