"""``progress()``: what was predicted and what happened, which exercises are done and in how many tries.

Kept in the kernel and, where a person works (JupyterLab, Notebook, VS Code), in ``progress.json`` beside the notebooks;
git ignores that file, and nothing leaves the machine. Whoever runs lessons by program (nbval, nbclient) has no file, so
no stored output depends on one; where it cannot be read or written, lessons run the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from course import contents
from course.differences import show
from course.prose import fill, wrapped

__all__ = ["again", "asked_again", "note_prediction", "note_try", "progress"]

FILE = Path(__file__).resolve().parent.parent / "progress.json"
LATER = 2  # lessons until a missed prediction is asked again
FIELDS = {"predictions": {"said", "was", "met"}, "exercises": {"tries", "done"}}
_kernel: dict[str, dict[str, dict]] = {}  # what is known where there is no file


def _has_file() -> bool:
    """Whether a person's notebook started this kernel: a Jupyter server, or VS Code."""
    interactive = sys.modules.get("IPython")
    shell = interactive and interactive.get_ipython()
    return "JPY_SESSION_NAME" in os.environ or "__vsc_ipynb_file__" in getattr(shell, "user_ns", ())


def _kept() -> dict[str, dict[str, dict]]:
    """``{"predictions": {"2.1": {...}}, "exercises": {"2.1": {...}}}``; what is not of that form is left out."""
    read = {}
    if _has_file():
        with contextlib.suppress(OSError, ValueError):  # no file yet, or not ours
            read = json.loads(FILE.read_text(encoding="utf-8"))
    return {table: _entries(read, table) | _entries(_kernel, table) for table in FIELDS}


def _entries(kept: Any, table: str) -> dict[str, dict]:
    entries = kept.get(table) if isinstance(kept, dict) else None
    if not isinstance(entries, dict):
        return {}
    whole = {
        name: entry for name, entry in entries.items() if isinstance(entry, dict) and FIELDS[table] <= entry.keys()
    }
    return {name: entry for name, entry in whole.items() if re.fullmatch(r"\d+\.\d+", name)}


def _keep(kept: dict[str, dict[str, dict]]) -> None:
    """In the file, written whole or not at all; in the kernel where that cannot be."""
    try:
        if not _has_file():
            raise OSError("run by a program")
        new = FILE.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(kept, indent=1, sort_keys=True), encoding="utf-8")
        new.replace(FILE)
        _kernel.clear()
    except OSError:
        _kernel.update(kept)


def note_prediction(identifier: str, prediction: Any, actual: Any, met: bool) -> None:
    """Keep a first prediction; what is said after the answer was seen does not replace it."""
    kept = _kept()
    if identifier not in kept["predictions"]:
        kept["predictions"][identifier] = {"said": _plain(prediction), "was": _plain(actual), "met": met}
        _keep(kept)


def note_try(identifier: str, done: bool) -> None:
    """Count a try at an exercise, until one is right."""
    kept = _kept()
    entry = kept["exercises"].setdefault(identifier, {"tries": 0, "done": False})
    if not entry["done"]:
        entry.update(tries=entry["tries"] + 1, done=done)
        _keep(kept)


def _plain(value: Any) -> Any:
    """What a file can hold of a value: the value itself, or what a message shows of it."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str) or value is None else show(value)


def asked_again(lesson: int) -> list[tuple[str, str]]:
    """(id, question) of the predictions that were missed two lessons ago or earlier and have not been met since."""
    missed = []
    for name, entry in sorted(_kept()["predictions"].items()):
        if not (entry["met"] or entry.get("met_again")) and _lesson(name) <= lesson - LATER:
            with contextlib.suppress(KeyError):  # kept by an older course, gone from this one
                missed.append((name, fill(contents.prediction(name).question, contents.names_for(name))))
    return missed


def again(identifier: str, prediction: Any) -> None:
    """Answer a prediction that is asked again: ``again("2.1", 49)``. Prints what happened then; never raises."""
    from course.predictions import told

    kept = _kept()
    entry = kept["predictions"].get(str(identifier))
    if entry is None:
        print(wrapped(f"{identifier} was not predicted yet: its cell stands in its lesson."))
        return
    met, text = told(str(identifier), prediction, entry["was"])
    print(wrapped(text))
    if met:
        kept["predictions"][str(identifier)]["met_again"] = True
        _keep(kept)


def progress(reset: bool = False) -> None:
    """Print, for each lesson, what you predicted, what happened, and which exercises are done in how many tries.

    Parameters
    ----------
    reset : bool
        Forget everything, the file included.
    """
    if reset:
        _kernel.clear()
        with contextlib.suppress(OSError):
            FILE.unlink(missing_ok=True) if _has_file() else None
        print("Everything is forgotten.")
        return
    kept, lines = _kept(), []
    for lesson in contents.COURSE:
        predicted = {name: entry for name, entry in kept["predictions"].items() if _lesson(name) == lesson.number}
        tried = {name: entry for name, entry in kept["exercises"].items() if _lesson(name) == lesson.number}
        if predicted or tried:
            lines.append(lesson.heading)
            lines += [f"  predicted {name}: {_prediction_line(predicted[name])}" for name in sorted(predicted)]
            exercises = [exercise.id for exercise in contents.texts(lesson.number).exercises]
            lines += [f"  exercise {name}: {_exercise_line(tried.get(name))}" for name in exercises]
    where = f"in {FILE.name} beside the notebooks" if _has_file() else "in this kernel only"
    lines = lines or ["Nothing yet: no prediction was made and no exercise was tried."]
    print("\n".join([*lines, "", f"Kept {where}; progress(reset=True) forgets it."]))


def _prediction_line(entry: dict) -> str:
    if entry["met"]:
        return f"{show(entry['said'])}, and so it was"
    later = "; met when asked again" if entry.get("met_again") else ""
    return f"{show(entry['said'])}, but it was {show(entry['was'])}{later}"


def _exercise_line(entry: dict | None) -> str:
    if entry is None:
        return "not begun"
    tries = f"{entry['tries']} {'try' if entry['tries'] == 1 else 'tries'}"
    return f"done, {tries}" if entry["done"] else f"not done yet, {tries}"


def _lesson(identifier: str) -> int:
    return int(identifier.split(".")[0])
