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
from course.prose import fill

__all__ = ["asked_again", "keep", "kept", "note_prediction", "note_try", "progress"]

FILE = Path(__file__).resolve().parent.parent / "progress.json"
LATER = 2  # lessons until a missed prediction is asked again
FIELDS = {"predictions": {"said", "was", "met"}, "exercises": {"tries", "done"}}
_kernel: dict[str, dict[str, dict]] = {table: {} for table in FIELDS}  # what is known where there is no file


def _has_file() -> bool:
    """Whether a person's notebook started this kernel: a Jupyter server, or VS Code."""
    interactive = sys.modules.get("IPython")
    shell = interactive and interactive.get_ipython()
    return "JPY_SESSION_NAME" in os.environ or "__vsc_ipynb_file__" in getattr(shell, "user_ns", ())


def kept() -> dict[str, dict[str, dict]]:
    """``{"predictions": {"2.1": {...}}, "exercises": {"2.1": {...}}}``; what is not of that form is left out."""
    entries = {table: {} for table in FIELDS}
    if _has_file():
        read = None
        with contextlib.suppress(OSError, ValueError):  # no file yet, or not ours
            read = json.loads(FILE.read_text(encoding="utf-8"))
        for table, fields in FIELDS.items():
            with contextlib.suppress(AttributeError):  # no table
                for name, entry in read.get(table).items():
                    if re.fullmatch(r"\d+\.\d+", name) and isinstance(entry, dict) and fields <= entry.keys():
                        entries[table][name] = entry
    return {table: entries[table] | _kernel[table] for table in FIELDS}


def keep(entries: dict[str, dict[str, dict]]) -> None:
    """In the file, written whole or not at all; in the kernel where that cannot be."""
    _kernel.update(entries)
    if _has_file():
        with contextlib.suppress(OSError):
            new = FILE.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps(entries, indent=1, sort_keys=True), encoding="utf-8")
            new.replace(FILE)
            _forget()


def _forget() -> None:
    _kernel.update({table: {} for table in FIELDS})


def note_prediction(identifier: str, prediction: Any, actual: Any, met: bool) -> None:
    """Keep a first prediction; what is said after the answer was seen does not replace it."""
    entries = kept()
    if identifier not in entries["predictions"]:
        entries["predictions"][identifier] = {"said": _plain(prediction), "was": _plain(actual), "met": met}
        keep(entries)


def note_try(identifier: str, done: bool) -> None:
    """Count a try at an exercise, until one is right."""
    entries = kept()
    entry = entries["exercises"].setdefault(identifier, {"tries": 0, "done": False})
    if not entry["done"]:
        entry.update(tries=entry["tries"] + 1, done=done)
        keep(entries)


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
    for name, entry in sorted(kept()["predictions"].items()):
        if not (entry["met"] or entry.get("met_again")) and int(name.split(".")[0]) <= lesson - LATER:
            with contextlib.suppress(KeyError):  # kept by an older course, gone from this one
                missed.append((name, fill(contents.prediction(name).question, contents.names_for(name))))
    return missed


def progress(reset: bool = False) -> None:
    """Print, for each lesson, what you predicted, what happened, and which exercises are done in how many tries.

    Parameters
    ----------
    reset : bool
        Forget everything, the file included.
    """
    if reset:
        _forget()
        with contextlib.suppress(OSError):
            FILE.unlink(missing_ok=True) if _has_file() else None
        print("Everything is forgotten.")
        return
    entries, lines = kept(), []
    for lesson in contents.COURSE:
        predicted, tried = (
            {name: entry for name, entry in sorted(entries[table].items()) if name.startswith(f"{lesson.number}.")}
            for table in ("predictions", "exercises")
        )
        if predicted or tried:
            lines.append(lesson.heading)
            lines += [f"  predicted {name}: {_prediction_line(entry)}" for name, entry in predicted.items()]
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
