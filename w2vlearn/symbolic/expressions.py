"""Integer expressions in letters, ``(L - 400) // 320 + 1``: kept as text, worked with as sympy, computed as Python.

A symbolic trace holds the text, so that its data is plain and a stored formula is evaluated without sympy (`compiled`).
Whoever wants algebra asks for the sympy form (`parse`), in the functions with which torch itself states sizes
(``FloorDiv``, ``PythonMod``). B, L and every other letter stand for whole numbers of at least 1.

The text is Python with ``+ - * // %``, ``max``, ``min``, comparisons, ``and``, ``or``, ``not``. It may come from a
file, so it is read node by node and never handed to ``eval`` or ``sympify`` as it is.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sympy

_OPERATORS: dict[type, str] = {
    ast.Add: "+", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%", ast.And: "and", ast.Or: "or", ast.Not: "not",
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_INFIX = {  # sympy's and torch's classes
    "Equality": "==", "Unequality": "!=", "StrictLessThan": "<", "LessThan": "<=", "StrictGreaterThan": ">",
    "GreaterThan": ">=", "And": "and", "Or": "or", "FloorDiv": "//", "CleanDiv": "//", "Mod": "%", "PythonMod": "%",
}  # fmt: skip
_FORMS = {
    "Max": "max({all})", "Min": "min({all})", "Not": "(not {0})", "CeilDiv": "(-(-{0} // {1}))",
    "ModularIndexing": "(({0} // {1}) % {2})", "Identity": "{0}", "ToFloat": "{0}",
}  # fmt: skip
_INTEGERS: dict[str, Callable] = {
    "+": lambda *parts: sum(parts), "*": lambda *parts: math.prod(parts), "//": operator.floordiv, "%": operator.mod,
    "max": lambda *parts: max(parts), "min": lambda *parts: min(parts),
}  # fmt: skip


def to_json(text: str) -> int | str | list:
    """An expression as the explorer's front end evaluates it, operator first.

    ``400``, ``"L"``, ``["+", a, b]``, ``["*", a, b]``, ``["//", a, b]``, ``["%", a, b]``, ``["max", a, b, …]``,
    ``["min", a, b, …]``; in conditions also comparisons, ``["and", …]``, ``["or", …]``, ``["not", a]``. ``a - b`` is
    ``["+", a, ["*", -1, b]]``. ``//`` rounds down and ``%`` takes the sign of the divisor: in JavaScript
    ``Math.floor(a / b)`` and ``((a % b) + b) % b``, exact below 2**53.

    Raises
    ------
    ValueError
        If the text holds anything but what this module's docstring lists.
    """
    return _tree(_read(text))


def _tree(node: ast.expr) -> int | str | list:
    match node:
        case ast.Constant(value=value) if type(value) in (int, bool):
            return value
        case ast.Name(name):
            return name
        case ast.UnaryOp(ast.USub(), operand):
            part = _tree(operand)
            return -part if isinstance(part, int) else ["*", -1, part]
        case ast.UnaryOp(ast.Not(), operand):
            return ["not", _tree(operand)]
        case ast.BinOp(left, ast.Sub(), right):
            return ["+", _tree(left), _tree(ast.UnaryOp(ast.USub(), right))]
        case ast.BinOp(left, op, right) | ast.Compare(left, [op], [right]) if type(op) in _OPERATORS:
            return [_OPERATORS[type(op)], _tree(left), _tree(right)]
        case ast.BoolOp(op, values):
            return [_OPERATORS[type(op)], *map(_tree, values)]
        case ast.Call(ast.Name("max" | "min" as name), [_, *_] as arguments, []):
            return [name, *map(_tree, arguments)]
    raise ValueError(f"{type(node).__name__} is not allowed")


@lru_cache(maxsize=4096)
def _read(text: str) -> ast.expr:
    try:
        node = ast.parse(text, mode="eval").body
        _tree(node)
        return node
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r:.200} is no expression in letters: {error}") from error


def evaluate(tree: int | str | list, letters: Mapping[str, Any], operators: Mapping[str, Callable] = _INTEGERS) -> Any:
    """The value of a `to_json` tree without comparisons, as the front end works it out."""
    if isinstance(tree, list):
        return operators[tree[0]](*(evaluate(part, letters, operators) for part in tree[1:]))
    return letters[tree] if isinstance(tree, str) else tree


@lru_cache(maxsize=4096)
def letters_of(text: str) -> frozenset[str]:
    """Letters in an expression: ``{"B", "L"}``."""
    return frozenset(node.id for node in ast.walk(_read(text)) if isinstance(node, ast.Name)) - {"max", "min"}


@lru_cache(maxsize=256)
def compiled(texts: tuple[str, ...], letters: tuple[str, ...]) -> Callable[..., tuple[int, ...]]:
    """One Python function of ``letters`` that computes all ``texts``, exactly; about a microsecond for ten of them.

    Raises
    ------
    ValueError
        If a text is no expression, or holds another letter.
    """
    if not all(map(str.isidentifier, letters)):
        raise ValueError(f"letters are names, found {letters}")
    for text in texts:
        if not letters_of(text) <= set(letters):
            raise ValueError(f"{text!r} holds another letter than {', '.join(letters)}")
    values = "".join(f"({ast.unparse(_read(text))}), " for text in texts)  # nothing but nodes that _read has passed
    return eval(f"lambda {', '.join(letters)}: ({values})", {"__builtins__": {}, "max": max, "min": min})


def symbol(letter: str) -> sympy.Symbol:
    """A letter, known to be a whole number of at least 1."""
    import sympy

    return sympy.Symbol(letter, integer=True, positive=True)


@lru_cache(maxsize=4096)
def parse(text: str) -> sympy.Basic:
    """The sympy form of a text.

    Raises
    ------
    ValueError
        If the text is no expression in letters, or divides by zero.
    """
    import sympy

    letters = {letter: symbol(letter) for letter in letters_of(text)}
    return sympy.sympify(evaluate(to_json(text), letters, _algebra()))  # an int, a bool or sympy's own: never text


@cache
def _algebra() -> dict[str, Callable]:
    """What each operator of a tree is in sympy."""
    import sympy
    from torch.utils._sympy.functions import FloorDiv, PythonMod  # no public name; sizes come in them

    def dividing(function: Callable) -> Callable:
        def divide(*parts: Any) -> sympy.Basic:
            top, bottom = map(sympy.sympify, parts)
            if bottom == 0:
                raise ValueError("an expression divides by zero")
            return function(top, bottom)

        return divide

    return {
        "+": sympy.Add, "*": sympy.Mul, "//": dividing(FloorDiv), "%": dividing(PythonMod),
        "max": sympy.Max, "min": sympy.Min, "and": sympy.And, "or": sympy.Or, "not": sympy.Not,
        "==": sympy.Eq, "!=": sympy.Ne, "<": sympy.Lt, "<=": sympy.Le, ">": sympy.Gt, ">=": sympy.Ge,
    }  # fmt: skip


def from_torch(expr: sympy.Basic, letters: Mapping[sympy.Symbol, sympy.Basic]) -> sympy.Basic:
    """A size or a condition that ``torch.export`` derived, in our letters, with no function but those above.

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
    return parse(_bracketed(expr.xreplace(letters)))


def text(expr: sympy.Basic) -> str:
    """The text of an expression, with no more brackets than Python needs: ``((L // 80 - 3) // 2 - 1) // 2 + 1``."""
    return ast.unparse(ast.parse(_bracketed(expr)))


def _bracketed(expr: sympy.Basic) -> str:
    """Python for an expression of sympy's and torch's functions, with brackets around every part."""
    import sympy

    if expr.is_Symbol or expr.is_Integer or (expr.is_Boolean and not expr.args):
        return f"({expr})"
    kind, parts = type(expr).__name__, expr.args
    if (expr.is_Add or expr.is_Mul) and not all(number.is_Integer for number in expr.atoms(sympy.Number)):
        top, bottom = sympy.fraction(sympy.together(expr))  # L/2: sizes are whole, so the division is exact
        return f"({_bracketed(top)} // {_bracketed(bottom)})"
    if expr.is_Add:
        result = ""
        for term in sorted(expr.as_ordered_terms(), key=lambda term: term.is_Integer):  # a number comes last
            is_negative = bool(result) and term.as_coeff_Mul()[0] < 0
            result += f" {'-' if is_negative else '+'} {_bracketed(-term if is_negative else term)}"
        return f"({result.removeprefix(' + ')})"
    number, product = expr.as_coeff_Mul() if expr.is_Mul else (1, expr)
    if number == -1:
        return f"(-{_bracketed(product)})"
    factors = [number] if number != 1 else []
    for factor in product.as_ordered_factors() if expr.is_Mul else [product]:
        is_power = factor.is_Pow or type(factor).__name__ == "PowByNatural"
        is_whole = is_power and factor.args[1].is_Integer and factor.args[1] > 0
        factors += [factor.args[0]] * int(factor.args[1]) if is_whole else [factor]
    if len(factors) > 1:
        return f"({' * '.join(map(_bracketed, factors))})"
    if kind in ("FloorToInt", "TruncToInt", "CeilToInt") and type(parts[0]).__name__ == "IntTrueDiv":
        kind, parts = ("CeilDiv" if kind == "CeilToInt" else "FloorDiv"), parts[0].args  # not negative: trunc is floor
    if kind in ("And", "Or", "Max", "Min"):
        parts = sorted(parts, key=lambda part: (part.is_Integer, str(part)))
    written = [_bracketed(part) for part in parts]
    if kind in _INFIX:
        return f"({f' {_INFIX[kind]} '.join(written)})"
    if kind in _FORMS:
        return _FORMS[kind].format(*written, all=", ".join(written))
    raise ValueError(f"no whole-number form for {kind} in {expr}")
