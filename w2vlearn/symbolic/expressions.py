"""Whole-number expressions in letters, ``(L - 400) // 320 + 1``: kept as text, computed as Python.

`torch.export` states sizes in sympy; `w2vlearn.symbolic.sizes` writes them down as such texts, once. All that follows
works on the text: a symbolic trace is plain data, and a stored formula is evaluated without sympy (`compiled`). B, L
and every other letter stand for whole numbers of at least 1.

The text is Python with ``+ - * // %``, ``max``, ``min``, comparisons, ``and``, ``or``, ``not``. It may come from a
file, so it is read node by node and never handed to ``eval`` as it is.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache

_OPERATORS: dict[type, str] = {
    ast.Add: "+", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%", ast.And: "and", ast.Or: "or", ast.Not: "not",
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
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


def evaluate(tree: int | str | list, letters: Mapping[str, int]) -> int:
    """The value of a `to_json` tree without comparisons, as the front end works it out."""
    if isinstance(tree, list):
        return _INTEGERS[tree[0]](*(evaluate(part, letters) for part in tree[1:]))
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


def with_letter(text: str, size: str, letter: str) -> str:
    """A text in which every part that is written like ``size`` is one letter."""

    class Letters(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            is_size = isinstance(node, ast.expr) and ast.unparse(node) == size
            return ast.Name(letter) if is_size else self.generic_visit(node)

    return ast.unparse(Letters().visit(ast.parse(text, mode="eval")))


def tidy(text: str) -> str:
    """The same text with no more brackets than Python needs: ``((L // 80 - 3) // 2 - 1) // 2 + 1``.

    Raises
    ------
    ValueError
        If it is no expression in letters.
    """
    return ast.unparse(_read(text))
