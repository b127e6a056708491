"""Read a lesson's predictions, exercises and recall questions from its Markdown file.

## Prediction 2.1 · a number · within 0.02         what is wanted; the tolerance is optional
The question.
**Because:** why it is so.
- `50`: said to whoever predicted 50.
- `prediction > 1000`: said where the condition holds.

## Exercise 2.2 · core · 6 minutes: its title
The task.
```python
hop = ...  # samples                               the stub, unless it is a function that returns `...`
```
1. A hint.
2. A hint that tells more.
```python
def frame_count(samples):                          the solution
    return max(0, (samples - 400) // 320 + 1)
```
Why it is so (optional).
**Correct:** said to a right answer.
- **a wrong answer** `400` → `401`: an edit of the solution, and what is said to it; more edits follow a comma.
- **another** `samples // 320`: another value returned; alternatives follow "or"; `+ 1` → nothing leaves it out.
- **a third**: a body of its own stands below, in a fence that is indented by two.

## Recall 2.1
A question of the recap, to be answered without looking.
**Answer:** what is folded under it, wherever it is asked.

## Opens with 0.1, 1.2
(Nothing below: these questions of earlier lessons are asked again at the lesson's beginning.)
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path
from types import ModuleType

from course.exercise import Exercise, LessonTexts, Prediction, Recall, Rule, Wrong

__all__ = ["read"]

SECTION = re.compile(r"^## (Prediction|Exercise|Recall|Opens with) ", re.M)
PREDICTION = re.compile(r"(?P<id>\d+\.\d+) · (?P<wanted>.+?)(?: · within (?P<tolerance>\S+))?")
EXERCISE = re.compile(
    r"(?P<id>\d+\.\d+) · (?P<level>[\w-]+) · (?P<minutes>\d+) minutes?(?: · within (?P<tolerance>[\d.e-]+))?: (?P<title>.+)"
)
OPENING = re.compile(r"\d+\.\d+(?:, \d+\.\d+)*")
FENCE = re.compile(r"^```python\n(.*?)\n```\n", re.M | re.S)
PIECE = re.compile(r"`(?P<code>[^`]*)`|(?P<sign>→|,|\bor\b|\bnothing\b)|within (?P<tolerance>[\d.e-]+)")
ITEM = re.compile(
    r"\*\*(?P<name>.+?)\*\*(?P<spec>(?: `[^`]*`| →| nothing| or|,| within [\d.e-]+)*): (?P<says>[^\n]+)"
    r"(?:\n  ```python\n(?P<body>.*?)\n  ```)?\s*",
    re.S,
)
RULE = re.compile(r"`(?P<when>[^`]+)`: (?P<says>[^\n]+)\s*")


def read(path: Path, module: ModuleType) -> LessonTexts:
    """What a lesson asks; cases, judges and set-up come from its module.

    Raises
    ------
    ValueError
        If a section is not of the form above; the message says which.
    """
    predictions, exercises, recalls, opening = [], [], [], []
    parts = SECTION.split(path.read_text(encoding="utf-8"))[1:]
    for kind, text in zip(parts[::2], parts[1::2], strict=True):
        head, _, body = text.partition("\n")
        try:
            if kind == "Prediction":
                predictions.append(_prediction(head, body))
            elif kind == "Exercise":
                exercises.append(_exercise(head, body, module))
            elif kind == "Recall":
                recalls.append(_recall(head, body))
            else:
                opening += _match(OPENING, head)[0].split(", ")
        except (ValueError, SyntaxError) as error:
            raise ValueError(f"{path.name}, {kind} {head}: {error}") from error
    return LessonTexts(tuple(predictions), tuple(exercises), tuple(recalls), tuple(opening))


def _match(pattern: re.Pattern, text: str) -> re.Match:
    match = pattern.fullmatch(text)
    if not match:
        raise ValueError(f"expected {pattern.pattern!r}, found {text[:80]!r}")
    return match


def _after_mark(text: str, mark: str) -> tuple[str, str, list[str]]:
    """What stands before ``**mark:**``, the paragraph behind it, and the list items that follow."""
    before, separator, after = text.partition(f"**{mark}:** ")
    if not separator:
        raise ValueError(f"**{mark}:** is missing")
    says, *items = re.split(r"^- ", after, flags=re.M)
    return before.strip(), says.strip(), items


def _prediction(head: str, body: str) -> Prediction:
    known = _match(PREDICTION, head)
    question, because, items = _after_mark(body, "Because")
    rules = [_match(RULE, item) for item in items]
    for rule in rules:
        ast.parse(rule["when"], mode="eval")
    return Prediction(
        known["id"],
        question,
        f"prediction = None  # {known['wanted']}; running on without one is fine",
        because,
        tuple(Rule(rule["when"], rule["says"]) for rule in rules),
        float(known["tolerance"] or 1e-6),
    )


def _recall(head: str, body: str) -> Recall:
    question, mark, answer = (part.strip() for part in body.partition("**Answer:** "))
    if not (question and mark and answer):
        raise ValueError("wanted a question and, in a paragraph of its own, **Answer:** and what is the answer")
    return Recall(_match(re.compile(r"\d+\.\d+"), head)[0], question, answer)


def _exercise(head: str, body: str, module: ModuleType) -> Exercise:
    known = _match(EXERCISE, head)
    *stub, solution = FENCE.findall(body) or [""]
    *before, after = FENCE.split(body)[::2]
    if len(before) not in (1, 2):
        raise ValueError(f"expected the solution, or stub and solution, in fences at the margin, found {len(before)}")
    stub = stub[0] if stub else f"{solution.splitlines()[0]}\n    return ..."
    task, *hints = (text.strip() for text in re.split(r"^\d\. ", "".join(before), flags=re.M))
    why, says, items = _after_mark(after, "Correct")
    identifier = known["id"]
    return Exercise(
        id=identifier,
        title=known["title"],
        level=known["level"],
        minutes=int(known["minutes"]),
        task=task,
        name=_name(stub),
        stub=stub,
        hints=tuple(hints),
        solution=solution,
        says=says,
        wrongs=tuple(_wrong(item, stub, solution) for item in items),
        cases=getattr(module, "CASES", {}).get(identifier, ()),
        why=why,
        setup=getattr(module, "SETUP", ""),
        tolerance=float(known["tolerance"] or 1e-5),
        judge=getattr(module, "JUDGES", {}).get(identifier),
    )


def _name(stub: str) -> str:
    """What the stub defines: ``"frame_count"``, ``"rate"``, ``"(hop, field)"``."""
    names = [
        node.name if isinstance(node, ast.FunctionDef) else node.targets[0].id
        for node in ast.parse(stub).body
        if isinstance(node, ast.FunctionDef | ast.Assign)
    ]
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


def _wrong(item: str, stub: str, solution: str) -> Wrong:
    known = _match(ITEM, item)
    if known["body"]:
        codes = [_with_body(textwrap.dedent(known["body"]), stub)]
        return Wrong(known["name"], tuple(codes), known["says"])
    codes, tolerance, pending = [solution], None, []
    for piece in [*PIECE.finditer(known["spec"]), None]:
        if piece is not None and piece["code"] is not None:
            pending.append(piece["code"])
        elif piece is not None and piece["tolerance"]:
            tolerance = float(piece["tolerance"])
        elif piece is not None and piece["sign"] == "nothing":
            pending.append("")
        elif piece is None or piece["sign"] != "→":
            codes[-1] = _edited(codes[-1], pending) if len(pending) == 2 else _returning(pending, stub)
            pending = []
            codes += [solution] * (piece is not None and piece["sign"] == "or")
    return Wrong(known["name"], tuple(codes), known["says"], tolerance)


def _edited(source: str, edit: list[str]) -> str:
    old, new = edit
    if source.count(old) != 1:
        raise ValueError(f"`{old}` stands {source.count(old)} times in the solution, wanted once")
    return source.replace(old, new)


def _returning(pending: list[str], stub: str) -> str:
    """The cell with this value in it."""
    if len(pending) != 1:
        raise ValueError(f"expected `old` → `new` or one value, found {pending}")
    if stub.startswith("def "):
        return _with_body(f"return {pending[0]}", stub)
    return f"{_name(stub)} = {pending[0]}"


def _with_body(body: str, stub: str) -> str:
    if body.startswith("def ") or not stub.startswith("def "):
        return body
    return stub.splitlines()[0] + "\n" + textwrap.indent(body, "    ")
