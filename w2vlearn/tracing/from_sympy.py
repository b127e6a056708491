"""From torch's symbolic sizes (sympy trees with classes of torch's own) to `Expression`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce

from w2vlearn.tracing.expression import Expression

__all__ = ["from_sympy"]


def from_sympy(expr, letters: Mapping[object, str]) -> Expression:
    """Take over an expression that ``torch.export`` derived.

    Parameters
    ----------
    expr : int or sympy.Basic
        A size or a guard: torch's ``FloorDiv``, ``Mod``, ``Max`` … or sympy's sums and products.
    letters : mapping from sympy.Symbol to str
        Our letter for each of torch's symbols.

    Returns
    -------
    Expression
        The same value for all non-negative sizes.

    Raises
    ------
    ValueError
        For an operation that integers in letters cannot state (floating point, logarithms); names it.
    KeyError
        For a symbol without a letter.
    """
    if isinstance(expr, int):
        return Expression(expr)
    return Expression(_tree(expr, letters))


def _tree(expr, letters):
    if expr.is_Symbol:
        return letters[expr]
    if expr.is_Integer:
        return int(expr)
    if expr.is_Boolean and not expr.args:
        return bool(expr)
    if expr.is_Add or expr.is_Mul:
        return _sum_or_product(expr, letters)
    kind = type(expr).__name__
    if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
        return ("*", *[_tree(expr.base, letters)] * int(expr.exp))
    if kind == "PowByNatural" and expr.args[1].is_Integer:
        return ("*", *[_tree(expr.args[0], letters)] * int(expr.args[1]))
    if kind in ("FloorToInt", "TruncToInt", "CeilToInt") and type(expr.args[0]).__name__ == "IntTrueDiv":
        top, bottom = (_tree(a, letters) for a in expr.args[0].args)  # sizes are not negative: trunc is floor
        return _ceil_div(top, bottom) if kind == "CeilToInt" else ("//", top, bottom)
    relation = {
        "Equality": "==", "Unequality": "!=", "StrictLessThan": "<", "LessThan": "<=",
        "StrictGreaterThan": ">", "GreaterThan": ">=",
    }  # fmt: skip
    names = relation | {"And": "and", "Or": "or", "Not": "not", "Max": "max", "Min": "min"}
    names |= {"FloorDiv": "//", "CleanDiv": "//", "Mod": "%", "PythonMod": "%"}
    args = [_tree(a, letters) for a in expr.args]
    if kind in names:
        return (names[kind], *args)
    if kind == "CeilDiv":
        return _ceil_div(*args)
    if kind == "ModularIndexing":
        return ("%", ("//", args[0], args[1]), args[2])
    if kind in ("Identity", "ToFloat") and len(args) == 1:
        return args[0]
    raise ValueError(f"no integer form for {kind} in {expr}")


def _ceil_div(top, bottom):
    return ("*", -1, ("//", ("*", -1, top), bottom))


def _sum_or_product(expr, letters):
    """Sums and products; fractions such as L/2 (sizes are whole numbers, so the division is exact) become ``//``."""
    terms = expr.as_ordered_terms() if expr.is_Add else [expr]
    coefficients = [t.as_coeff_Mul() for t in terms]
    if not all(c.is_Rational for c, _ in coefficients):
        raise ValueError(f"no integer form for the floating-point number in {expr}")
    common = reduce(math.lcm, (int(c.q) for c, _ in coefficients), 1)
    trees = []
    for c, rest in coefficients:
        factors = rest.as_ordered_factors() if rest.is_Mul else [rest]
        trees.append(("*", int(c * common), *(_tree(f, letters) for f in factors)))
    return ("//", ("+", *trees), common) if common > 1 else ("+", *trees)
