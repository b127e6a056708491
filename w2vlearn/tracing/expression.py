"""Integer expressions in letters, such as ``(L - 400) // 320 + 1``: plain Python, no torch and no sympy to read them.

An expression is a tree, and the tree is its own JSON form:

* an integer: ``400``
* a letter: ``"L"``
* a list, operator first: ``["+", a, b, …]``, ``["*", a, b, …]``, ``["//", a, b]``, ``["%", a, b]``, ``["max", a, b,
…]``,
  ``["min", a, b, …]``; in conditions also ``["==", a, b]``, ``["!=", …]``, ``["<", …]``, ``["<=", …]``, ``[">", …]``,
  ``[">=", …]``, ``["and", …]``, ``["or", …]``, ``["not", a]``.

Rules of evaluation are Python's on integers: ``//`` rounds down (towards minus infinity) and ``%`` takes the sign of
the divisor. In JavaScript that is ``Math.floor(a / b)`` and ``((a % b) + b) % b`` (exact below 2**53).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping

__all__ = ["Expression", "compile_expressions"]

_FLAT = ("+", "*", "max", "min", "and", "or")
_BINARY: dict[str, Callable] = {
    "//": operator.floordiv,
    "%": operator.mod,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_STRENGTH = {"or": 1, "and": 2, "not": 3, "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4}
_STRENGTH |= {"+": 5, "*": 6, "//": 6, "%": 6, "max": 9, "min": 9}


class Expression:
    """An exact integer expression in letters (B clips, L samples, T frames, …).

    Parameters
    ----------
    tree : int, str, list, tuple or Expression
        The JSON form described in this module's docstring.

    Raises
    ------
    ValueError
        If the tree is not of that form; the message shows the part that is not.

    Examples
    --------
    >>> T = (Expression("L") - 400) // 320 + 1
    >>> str(T), T(L=16_000)
    ('(L - 400) // 320 + 1', 49)
    >>> T.to_json()
    ['+', ['//', ['+', 'L', -400], 320], 1]
    """

    __slots__ = ("_hash", "tree")

    def __init__(self, tree: int | str | list | tuple | Expression):
        object.__setattr__(self, "tree", tree.tree if isinstance(tree, Expression) else _normal(tree))
        object.__setattr__(self, "_hash", hash(self.tree))

    def __setattr__(self, name, value):
        raise AttributeError("an Expression does not change; build a new one")

    def __reduce__(self):
        return Expression, (self.to_json(),)

    def __eq__(self, other):
        if isinstance(other, int | str):
            return self.tree == other
        return self.tree == other.tree if isinstance(other, Expression) else NotImplemented

    def __hash__(self):
        return self._hash

    def __repr__(self):
        return f"Expression({str(self)!r})"

    def __str__(self):
        return _text(self.tree, 0)

    def compact(self) -> str:
        """The same without spaces: for one axis in a shape, ``T+1``, ``2*T-1``."""
        return str(self).replace(" ", "")

    def to_json(self) -> int | str | list:
        """The tree as int, str or nested lists, ready for ``json.dumps``."""
        return _lists(self.tree)

    @property
    def letters(self) -> frozenset[str]:
        """Letters that the value depends on."""
        return frozenset(_letters(self.tree))

    @property
    def value(self) -> int | None:
        """The number, if the expression is a plain number, else ``None``."""
        return self.tree if isinstance(self.tree, int) else None

    def __call__(self, **letters: int) -> int:
        """Value for given letters, exact for integers of any size.

        Raises
        ------
        KeyError
            If a letter is missing.
        ZeroDivisionError
            If a divisor becomes 0.
        """
        return _evaluate(self.tree, letters)

    def substitute(self, **letters: Expression | int | str) -> Expression:
        """Put expressions in the place of letters; letters not named stay."""
        return Expression(_substitute(self.tree, {k: Expression(v).tree for k, v in letters.items()}))

    def __add__(self, other):
        return Expression(("+", self.tree, Expression(other).tree))

    def __sub__(self, other):
        return self + Expression(other) * -1

    def __mul__(self, other):
        return Expression(("*", self.tree, Expression(other).tree))

    def __floordiv__(self, other):
        return Expression(("//", self.tree, Expression(other).tree))

    def __mod__(self, other):
        return Expression(("%", self.tree, Expression(other).tree))


def _normal(tree):
    """Nested tuples; sums and products flat, their numbers collected (a sum's last, a product's first)."""
    if isinstance(tree, Expression):
        return tree.tree
    if isinstance(tree, bool):
        return tree
    if isinstance(tree, int):
        return int(tree)
    if isinstance(tree, str):
        if not tree.isidentifier():
            raise ValueError(f"a letter must be a name such as 'T1', found {tree!r}")
        return tree
    if not isinstance(tree, list | tuple) or not tree or not isinstance(tree[0], str):
        raise ValueError(f"an expression is an int, a letter or [operator, …], found {tree!r}")
    op, *args = tree
    if op in _BINARY and len(args) == 2:
        left, right = map(_normal, args)
        if right == 0 and op in ("//", "%"):
            raise ValueError(f"division by zero in {tree!r}")
        if isinstance(left, int) and isinstance(right, int):
            return _BINARY[op](left, right)
        return left if op == "//" and right == 1 else (op, left, right)
    if op == "not" and len(args) == 1:
        inner = _normal(args[0])
        return (not inner) if isinstance(inner, bool) else ("not", inner)
    if op not in _FLAT or not args:
        raise ValueError(
            f"unknown operator or number of operands in {tree!r}; operators: + * // % max min and comparisons"
        )
    flat = []
    for arg in map(_normal, args):
        flat.extend(arg[1:] if isinstance(arg, tuple) and arg[0] == op else [arg])
    if op not in ("+", "*"):
        return flat[0] if len(flat) == 1 else (op, *flat)
    numbers = [a for a in flat if isinstance(a, int)]
    rest = [a for a in flat if not isinstance(a, int)]
    number = sum(numbers) if op == "+" else math.prod(numbers)
    if not rest or (op == "*" and number == 0):
        return number
    if number == (0 if op == "+" else 1):
        return rest[0] if len(rest) == 1 else (op, *rest)
    return (op, *rest, number) if op == "+" else (op, number, *rest)


def _lists(tree):
    return [_lists(a) for a in tree] if isinstance(tree, tuple) else tree


def _letters(tree) -> Iterable[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, tuple):
        for arg in tree[1:]:
            yield from _letters(arg)


def _substitute(tree, letters):
    if isinstance(tree, str):
        return letters.get(tree, tree)
    return (tree[0], *(_substitute(a, letters) for a in tree[1:])) if isinstance(tree, tuple) else tree


def _evaluate(tree, letters: Mapping[str, int]):
    if isinstance(tree, int):
        return tree
    if isinstance(tree, str):
        return letters[tree]
    op = tree[0]
    args = [_evaluate(a, letters) for a in tree[1:]]
    if op in _BINARY:
        return _BINARY[op](*args)
    return {
        "+": sum, "*": math.prod, "max": max, "min": min, "and": all, "or": any, "not": lambda a: not a[0],
    }[op](args)  # fmt: skip


def _text(tree, strength: int) -> str:
    if not isinstance(tree, tuple):
        return str(tree) if not isinstance(tree, int) or tree >= 0 or strength < 6 else f"({tree})"
    op, *args = tree
    if op in ("max", "min"):
        return f"{op}({', '.join(_text(a, 0) for a in args)})"
    own = _STRENGTH[op]
    if op == "not":
        text = f"not {_text(args[0], own)}"
    elif op == "+":
        text = _text(args[0], own)
        for arg in args[1:]:
            minus = _negated(arg)
            text += f" + {_text(arg, own)}" if minus is None else f" - {_text(minus, own + 1)}"
    elif own == 6:  # left to right: only the operands after the first need brackets at equal strength
        text = f" {op} ".join([_text(args[0], own), *(_text(a, own + 1) for a in args[1:])])
        if op == "*" and args[0] == -1:
            text = "-" + _text(args[1] if len(args) == 2 else ("*", *args[1:]), own)
    else:
        text = f" {op} ".join(_text(a, own + 1) for a in args)
    return f"({text})" if own < strength else text


def _negated(tree):
    if isinstance(tree, int) and tree < 0:
        return -tree
    if isinstance(tree, tuple) and tree[0] == "*" and isinstance(tree[1], int) and tree[1] < 0:
        return _normal(("*", -tree[1], *tree[2:]))
    return None


def compile_expressions(expressions: Iterable[Expression], letters: tuple[str, ...]) -> Callable[..., tuple[int, ...]]:
    """One Python function that computes many expressions; shared parts are computed once.

    Parameters
    ----------
    expressions : iterable of Expression
        What to compute.
    letters : tuple of str
        The function's positional arguments; every other letter in the expressions is a ``ValueError``.

    Returns
    -------
    callable
        ``f(*values) -> tuple`` with one entry per expression, in order.
    """
    lines: list[str] = []
    names: dict[object, str] = {}

    def emit(tree) -> str:
        if isinstance(tree, str):
            if tree not in letters:
                raise ValueError(f"letter {tree!r} is not among {letters}")
            return tree
        if isinstance(tree, int):
            return repr(tree)
        if tree not in names:
            op, *args = tree
            args = [emit(a) for a in args]
            if op in ("max", "min"):
                code = f"{op}({', '.join(args)})" if len(args) > 1 else args[0]
            else:
                code = f"not {args[0]}" if op == "not" else f" {op} ".join(f"({a})" for a in args)
            names[tree] = f"_{len(names)}"
            lines.append(f"    {names[tree]} = {code}")
        return names[tree]

    results = [emit(e.tree) for e in expressions]
    source = f"def f({', '.join(letters)}):\n" + "\n".join(
        [*lines, f"    return ({''.join(r + ', ' for r in results)})"]
    )
    scope: dict[str, Callable] = {}
    exec(
        source, {"max": max, "min": min}, scope
    )  # the source holds only our own operators, numbers and checked letters
    return scope["f"]
