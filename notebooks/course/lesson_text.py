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

## Recall 2
- A question of the recap, to be answered without looking; the first is 2.1.
  **Answer:** what is folded under it, wherever it is asked.

## Opens with 0.1, 1.2
(Nothing below: these questions of earlier lessons are asked again at the lesson's beginning.)
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType

from course.exercise import Exercise, LessonTexts, Prediction, Recall, Rule, Wrong

__all__ = ["read"]

SECTION = re.compile(r"^## (Prediction|Exercise|Recall|Opens with) ", re.M)
IDENTIFIER, WITHIN = r"(?P<id>\d+\.\d+)", r"(?: · within (?P<tolerance>[\d.e-]+))?"
EXERCISE = rf"{IDENTIFIER} · (?P<level>[\w-]+) · (?P<minutes>\d+) minutes?{WITHIN}: (?P<title>.+)"
FENCE = re.compile(r"^```python\n(.*?)\n```\n", re.M | re.S)
RULE = r"`(?P<when>[^`]+)`: (?P<says>[^\n]+)\s*"
EDIT = r"`([^`]*)` → (?:`([^`]*)`|nothing)"
SPEC = r"(?P<spec>(?: `[^`]*`| →| nothing| or|,)+)(?: within (?P<tolerance>[\d.e-]+))?"
WRONG = rf"\*\*(?P<name>.+?)\*\*{SPEC}: (?P<says>[^\n]+)\s*"


def read(path: Path, module: ModuleType) -> LessonTexts:
    """What a lesson asks; cases and judges come from its module.

    Raises
    ------
    ValueError
        If a section is not of the form above; the message says which.
    """
    sections = {"Prediction": [], "Exercise": [], "Recall": [], "Opens with": []}
    parts = SECTION.split(path.read_text(encoding="utf-8"))[1:]
    for kind, text in zip(parts[::2], parts[1::2], strict=True):
        head, _, body = text.partition("\n")
        try:
            if kind == "Prediction":
                sections[kind].append(_prediction(head, body))
            elif kind == "Exercise":
                sections[kind].append(_exercise(head, body, module))
            elif kind == "Recall":
                sections[kind] += _recalls(head, body)
            else:
                sections[kind] += _match(r"\d+\.\d+(?:, \d+\.\d+)*", head)[0].split(", ")
        except (ValueError, SyntaxError) as error:
            raise ValueError(f"{path.name}, {kind} {head}: {error}") from error
    return LessonTexts(*map(tuple, sections.values()))


def _match(pattern: str, text: str) -> re.Match:
    match = re.fullmatch(pattern, text, re.S)
    if not match:
        raise ValueError(f"expected {pattern!r}, found {text[:80]!r}")
    return match


def _after_mark(text: str, mark: str) -> tuple[str, str, list[str]]:
    """What stands before ``**mark:**``, the paragraph behind it, and the list items that follow."""
    before, separator, after = text.partition(f"**{mark}:** ")
    if not separator:
        raise ValueError(f"**{mark}:** is missing")
    says, *items = re.split(r"^- ", after, flags=re.M)
    return before.strip(), says.strip(), items


def _prediction(head: str, body: str) -> Prediction:
    known = _match(rf"{IDENTIFIER} · (?P<wanted>.+?){WITHIN}", head)
    question, because, items = _after_mark(body, "Because")
    stub = f"prediction = None  # {known['wanted']}; running on without one is fine"
    rules = tuple(Rule(**_match(RULE, item).groupdict()) for item in items)
    for rule in rules:
        ast.parse(rule.when, mode="eval")
    return Prediction(known["id"], question, stub, because, rules, float(known["tolerance"] or 1e-6))


def _recalls(head: str, body: str) -> list[Recall]:
    recalls = []
    for place, item in enumerate(re.split(r"^- ", body, flags=re.M)[1:], 1):
        question, _, answer = (part.strip() for part in item.partition("**Answer:** "))
        if not (question and answer):
            raise ValueError(f"question {place}: wanted a question and, behind **Answer:**, what is the answer")
        recalls.append(Recall(f"{head}.{place}", question, answer))
    return recalls


def _exercise(head: str, body: str, module: ModuleType) -> Exercise:
    known = _match(EXERCISE, head)
    *before, solution, answer = FENCE.split(body)
    if len(before) not in (1, 3):
        raise ValueError(f"expected stub and solution, or a solution, in fences at the margin, found {len(before)}")
    stub = before[1] if len(before) == 3 else _stub(solution)
    task, *hints = re.split(r"^\d\. ", before[0] + before[-1] * (len(before) == 3), flags=re.M)
    why, says, items = _after_mark(answer, "Correct")
    return Exercise(
        id=known["id"],
        title=known["title"],
        level=known["level"],
        minutes=int(known["minutes"]),
        task=task.strip(),
        name=_name(stub),
        stub=stub,
        hints=tuple(hint.strip() for hint in hints),
        solution=solution,
        says=says,
        wrongs=tuple(_wrong(item, stub, solution) for item in items),
        cases=getattr(module, "CASES", {}).get(known["id"], ()),
        why=why,
        tolerance=float(known["tolerance"] or 1e-5),
        judge=getattr(module, "JUDGES", {}).get(known["id"]),
    )


def _stub(solution: str) -> str:
    """The solution's function with a ``...`` for each value that it returns."""
    value = ast.parse(solution).body[-1].body[-1].value
    places = ", ".join(["..."] * (len(value.elts) if isinstance(value, ast.Tuple) else 1))
    return f"{solution.splitlines()[0]}\n    return {places}"


def _name(stub: str) -> str:
    """What the stub defines: ``"frame_count"``, ``"rate"``, ``"(hop, field)"``."""
    body = ast.parse(stub).body
    names = [node.name if isinstance(node, ast.FunctionDef) else node.targets[0].id for node in body]
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


def _wrong(item: str, stub: str, solution: str) -> Wrong:
    known = _match(WRONG, item)
    codes = [_code(spec, stub, solution) for spec in re.split(r" or (?=`)", known["spec"].strip())]
    return Wrong(known["name"], tuple(codes), known["says"], known["tolerance"] and float(known["tolerance"]))


def _code(spec: str, stub: str, solution: str) -> str:
    """The cell that one alternative describes: edits of the solution, or another value."""
    if "→" not in spec:
        value = _match("`([^`]*)`", spec)[1]
        return f"{stub.splitlines()[0]}\n    return {value}" if stub.startswith("def ") else f"{_name(stub)} = {value}"
    _match(f"{EDIT}(?:, {EDIT})*", spec)
    for old, new in re.findall(EDIT, spec):
        if solution.count(old) != 1:
            raise ValueError(f"`{old}` stands {solution.count(old)} times in the solution, wanted once")
        solution = solution.replace(old, new)
    return solution
