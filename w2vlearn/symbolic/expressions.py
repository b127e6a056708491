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
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sympy

_OPERATORS: dict[type, str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.And: "and", ast.Or: "or", ast.Not: "not", ast.USub: "-",
}  # fmt: skip
_RELATIONS = {
    "Equality": "==", "Unequality": "!=", "StrictLessThan": "<", "LessThan": "<=",
    "StrictGreaterThan": ">", "GreaterThan": ">=",
}  # fmt: skip
_NAMES = _RELATIONS | {"And": "and", "Or": "or", "Not": "not", "Max": "max", "Min": "min"}
_NAMES |= {"FloorDiv": "//", "CleanDiv": "//", "Mod": "%", "PythonMod": "%"}


def letters_of(text: str) -> frozenset[str]:
    """Letters in an expression: ``{"B", "L"}``."""
    return frozenset(node.id for node in ast.walk(_read(text)) if isinstance(node, ast.Name)) - {"max", "min"}


def substituted(text: str, letters: Mapping[str, str]) -> str:
    """The text with other texts in the place of letters; letters not named stay."""

    class Put(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return _read(letters[node.id]) if node.id in letters else node

    return ast.unparse(Put().visit(deepcopy(_read(text))))


@lru_cache(maxsize=256)
def compiled(texts: tuple[str, ...], letters: tuple[str, ...]) -> Callable[..., tuple[int, ...]]:
    """One Python function of ``letters`` that computes all ``texts``, exactly; about a microsecond for ten of them.

    Raises
    ------
    ValueError
        If a text is no expression, or holds another letter.
    """
    for text in texts:
        if not letters_of(text) <= set(letters):
            raise ValueError(f"{text!r} holds another letter than {', '.join(letters)}")
    arguments = ast.arguments([], [ast.arg(name) for name in letters], kwonlyargs=[], kw_defaults=[], defaults=[])
    code = ast.Expression(ast.Lambda(arguments, ast.Tuple([_read(text) for text in texts], ast.Load())))
    only = {"__builtins__": {}, "max": max, "min": min}
    return eval(compile(ast.fix_missing_locations(code), "<formulas>", "eval"), only)  # nodes that _read has passed


@lru_cache(maxsize=4096)
def _read(text: str) -> ast.expr:
    """The tree of a text that holds nothing but what this module's docstring lists."""
    try:
        tree = ast.parse(text, mode="eval").body
        _pass(tree)
        return tree
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r:.200} is no expression in letters: {error}") from error


def _pass(node: ast.expr) -> None:
    match node:
        case ast.Constant(value=value) if type(value) in (int, bool):
            parts = []
        case ast.Name():
            parts = []
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
            parts = [left, right]
        case ast.UnaryOp(ast.USub() | ast.Not(), operand):
            parts = [operand]
        case ast.BoolOp(_, values):
            parts = values
        case ast.Compare(left, [op], [right]) if type(op) in _OPERATORS:
            parts = [left, right]
        case ast.Call(ast.Name("max" | "min"), [_, *_] as arguments, []):
            parts = arguments
        case _:
            raise ValueError(f"{type(node).__name__} is not allowed")
    for part in parts:
        _pass(part)


def symbol(letter: str) -> sympy.Symbol:
    """A letter, known to be a whole number of at least 1."""
    import sympy

    return sympy.Symbol(letter, integer=True, positive=True)


def parse(text: str) -> sympy.Basic:
    """The sympy form of a text.

    Raises
    ------
    ValueError
        If the text is no expression in letters, or divides by zero.
    """
    return _sympy(_read(text))


def _sympy(node: ast.expr) -> sympy.Basic:
    import sympy

    match node:
        case ast.Constant(value=value):
            return sympy.sympify(value)  # an int or a bool, not text
        case ast.Name(name):
            return symbol(name)
        case ast.BinOp(left, op, right) | ast.Compare(left, [op], [right]):
            return _built(_OPERATORS[type(op)], _sympy(left), _sympy(right))
        case ast.UnaryOp(op, operand):
            inner = _sympy(operand)
            return -inner if isinstance(op, ast.USub) else sympy.Not(inner)
        case ast.BoolOp(op, values):
            return _built(_OPERATORS[type(op)], *map(_sympy, values))
        case ast.Call(ast.Name(name), arguments):
            return _built(name, *map(_sympy, arguments))
    raise AssertionError(ast.dump(node))


def _built(operator: str, *parts: sympy.Basic) -> sympy.Basic:
    import sympy
    from torch.utils._sympy.functions import FloorDiv, PythonMod  # no public name; sizes come in them

    if operator in ("//", "%") and parts[1] == 0:
        raise ValueError("an expression divides by zero")
    if operator == "//" and all(part.is_Integer for part in parts):
        return sympy.Integer(int(parts[0]) // int(parts[1]))
    return {
        "+": sympy.Add, "-": lambda a, b: a - b, "*": sympy.Mul, "//": FloorDiv, "%": PythonMod,
        "max": sympy.Max, "min": sympy.Min, "and": sympy.And, "or": sympy.Or, "not": sympy.Not,
        "==": sympy.Eq, "!=": sympy.Ne, "<": sympy.Lt, "<=": sympy.Le, ">": sympy.Gt, ">=": sympy.Ge,
    }[operator](*parts)  # fmt: skip


def from_torch(expr: Any, letters: Mapping[sympy.Symbol, sympy.Basic]) -> sympy.Basic:
    """A size or a condition that ``torch.export`` derived, in our letters, with no function but those above.

    Parameters
    ----------
    expr : int or sympy.Basic
        In torch's symbols.
    letters : mapping from sympy.Symbol to sympy.Basic
        What each of torch's symbols is: ``{s76: L}``.

    Returns
    -------
    sympy.Basic
        The same value for all sizes of at least 1.

    Raises
    ------
    ValueError
        For an operation that whole numbers in letters cannot state (floating point, logarithms); names it.
    KeyError
        For a symbol without a letter.
    """
    import sympy

    expr = sympy.sympify(expr) if isinstance(expr, int) else expr
    if expr.is_Symbol:
        return letters[expr]
    if expr.is_Integer or (expr.is_Boolean and not expr.args):
        return expr
    kind = type(expr).__name__
    if expr.is_Add or expr.is_Mul:  # of fractions such as L/2: sizes are whole, so the division is exact
        fractions = any(not number.is_Integer for number in expr.atoms(sympy.Number))
        top, bottom = sympy.fraction(sympy.together(expr)) if fractions else (expr, 1)
        if bottom != 1:
            return _built("//", from_torch(top, letters), from_torch(bottom, letters))
        return expr.func(*(from_torch(part, letters) for part in expr.args))
    if (expr.is_Pow or kind == "PowByNatural") and expr.args[1].is_Integer and expr.args[1] > 0:
        return from_torch(expr.args[0], letters) ** expr.args[1]
    if kind in ("FloorToInt", "TruncToInt", "CeilToInt") and type(expr.args[0]).__name__ == "IntTrueDiv":
        kind, expr = ("CeilDiv" if kind == "CeilToInt" else "FloorDiv"), expr.args[0]  # not negative: trunc is floor
    parts = [from_torch(part, letters) for part in expr.args]
    if kind in _NAMES:
        return _built(_NAMES[kind], *parts)
    if kind == "CeilDiv":
        return -_built("//", -parts[0], parts[1])
    if kind == "ModularIndexing":
        return _built("%", _built("//", *parts[:2]), parts[2])
    if kind in ("Identity", "ToFloat") and len(parts) == 1:
        return parts[0]
    raise ValueError(f"no whole-number form for {kind} in {expr}")


def to_json(expr: sympy.Basic | str) -> int | str | list:
    """An expression as the explorer's front end evaluates it, operator first.

    ``400``, ``"L"``, ``["+", a, b, …]``, ``["*", a, b, …]``, ``["//", a, b]``, ``["%", a, b]``, ``["max", a, b, …]``,
    ``["min", a, b, …]``; in conditions also comparisons, ``["and", …]``, ``["or", …]``, ``["not", a]``. A number is a
    sum's last and a product's first operand. ``//`` rounds down and ``%`` takes the sign of the divisor: in JavaScript
    ``Math.floor(a / b)`` and ``((a % b) + b) % b``, exact below 2**53.
    """
    expr = parse(expr) if isinstance(expr, str) else expr
    if expr.is_Symbol:
        return expr.name
    if expr.is_Integer:
        return int(expr)
    if expr.is_Boolean and not expr.args:
        return bool(expr)
    if expr.is_Add:
        terms = expr.as_ordered_terms()
        return ["+", *map(to_json, [t for t in terms if not t.is_Integer] + [t for t in terms if t.is_Integer])]
    if expr.is_Mul:
        number, product = expr.as_coeff_Mul()
        factors = [tree for factor in product.as_ordered_factors() for tree in _factors(factor)]
        return ["*", *([] if number == 1 else [to_json(number)]), *factors]
    if expr.is_Pow:
        return ["*", *_factors(expr)]
    name = _NAMES.get(type(expr).__name__)
    if name is None:
        raise ValueError(f"no whole-number form for {type(expr).__name__} in {expr}")
    symmetric = name in ("max", "min", "and", "or")
    return [name, *map(to_json, sorted(expr.args, key=lambda a: (a.is_Integer, str(a))) if symmetric else expr.args)]


def evaluate(tree: int | str | list, letters: Mapping[str, int]) -> int:
    """The value of a `to_json` tree without comparisons, as the front end works it out."""
    if not isinstance(tree, list):
        return letters[tree] if isinstance(tree, str) else tree
    parts = [evaluate(part, letters) for part in tree[1:]]
    return {
        "+": sum, "*": math.prod, "max": max, "min": min, "//": lambda p: p[0] // p[1], "%": lambda p: p[0] % p[1],
    }[tree[0]](parts)  # fmt: skip


def _factors(expr: sympy.Basic) -> list:
    if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
        return [to_json(expr.base)] * int(expr.exp)
    return [to_json(expr)]


def text(expr: sympy.Basic) -> str:
    """The text of an expression, with no more brackets than Python needs: ``((L // 80 - 3) // 2 - 1) // 2 + 1``."""
    return ast.unparse(_node(to_json(expr)))


_NODES = {sign: kind for kind, sign in _OPERATORS.items() if kind is not ast.USub}


def _node(tree: int | str | list) -> ast.expr:
    if isinstance(tree, str):
        return ast.Name(tree)
    if not isinstance(tree, list):
        negative = not isinstance(tree, bool) and tree < 0
        return ast.UnaryOp(ast.USub(), ast.Constant(-tree)) if negative else ast.Constant(tree)
    operator, *parts = tree
    if operator in ("max", "min"):
        return ast.Call(ast.Name(operator), [_node(part) for part in parts], [])
    if operator == "not":
        return ast.UnaryOp(ast.Not(), _node(parts[0]))
    if operator in ("and", "or"):
        return ast.BoolOp(_NODES[operator](), [_node(part) for part in parts])
    if operator in _RELATIONS.values():
        return ast.Compare(_node(parts[0]), [_NODES[operator]()], [_node(parts[1])])
    if operator == "*" and parts[0] == -1:
        return ast.UnaryOp(ast.USub(), _node(["*", *parts[1:]] if len(parts) > 2 else parts[1]))
    result = _node(parts[0])
    for part in parts[1:]:
        positive = _negated(part) if operator == "+" else None
        sign = operator if positive is None else "-"
        result = ast.BinOp(result, _NODES[sign](), _node(part if positive is None else positive))
    return result


def _negated(tree: int | str | list) -> int | str | list | None:
    """A negative number or product without its minus; None for anything else."""
    if isinstance(tree, int) and tree < 0:
        return -tree
    if isinstance(tree, list) and tree[0] == "*" and isinstance(tree[1], int) and tree[1] < 0:
        rest = tree[2:] if tree[1] == -1 else [-tree[1], *tree[2:]]
        return rest[0] if len(rest) == 1 else ["*", *rest]
    return None
