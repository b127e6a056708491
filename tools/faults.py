"""Plant faults in the package's behaviour, one at a time, and say what sees them (``make faults``).

    python tools/faults.py                 unit tests and lessons for every fault; a table, and how many each saw
    python tools/faults.py mask frame      only faults with one of these words in their name
    python tools/faults.py --quick         stop at the first that sees it

The faults stand in tests/faults.py. Each try is a fresh process, or a fresh kernel, in which the fault is planted
before anything runs. Exit status 1 if a fault goes unseen, or if what is written down to see it does not.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "notebooks")]  # nothing of these is installed

SECONDS = 300  # for one try
SEEN, UNSEEN, BROKEN = "seen", "UNSEEN", "BROKEN"


def package_modules() -> list[ModuleType]:
    """All modules of the package, imported."""
    import w2vlearn

    names = [module.name for module in pkgutil.walk_packages(w2vlearn.__path__, "w2vlearn.")]
    return [w2vlearn, *(importlib.import_module(name) for name in names if not name.endswith("__main__"))]


def plant(name: str) -> None:
    """Put the fault of this name in its place, in this process, wherever the package has bound the original.

    Raises
    ------
    LookupError
        If the fault's target is not exactly one function or method of the package.
    """
    from faults import FAULTS

    fault = next(fault for fault in FAULTS if fault.name == name)
    owner, _, attribute = fault.target.rpartition(".")
    modules = package_modules()
    first = owner or attribute
    named = {id(vars(module)[first]): vars(module)[first] for module in modules if first in vars(module)}
    targets = [thing for thing in named.values() if not inspect.ismodule(thing)]
    if len(targets) != 1 or (owner and attribute not in vars(targets[0])):
        raise LookupError(f"fault {name!r}: {fault.target} is {len(targets)} things in w2vlearn; mend tests/faults.py")
    if owner:
        setattr(targets[0], attribute, fault.change(vars(targets[0])[attribute]))
        return
    changed = fault.change(targets[0])
    for module in modules:
        for key, value in list(vars(module).items()):
            if value is targets[0]:
                setattr(module, key, changed)


def unit_sees(name: str, test: str) -> tuple[str, str]:
    """Whether a test file goes red in a process with the fault planted; ``BROKEN`` if it does not even start."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(ROOT / test)]
    script = (
        f"import pytest\nfrom tools import faults\nfaults.plant({name!r})\nraise SystemExit(pytest.main({options}))"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    return {0: UNSEEN, 1: SEEN}.get(ran.returncode, BROKEN), ran.stdout[-800:] + ran.stderr[-800:]


def lesson_sees(name: str, number: int) -> tuple[str, str]:
    """Whether a lesson, run with the fault planted in its kernel, says something else than what is stored."""
    import nbformat
    from nbclient.exceptions import CellExecutionError
    from nbformat.v4 import new_code_cell

    from tools import lessons

    path = next(lessons.LESSONS.glob(f"{number:02d}_*.ipynb"))
    stored = nbformat.read(path, as_version=4)
    source = f"import sys; sys.path[:0] = [{str(ROOT)!r}]\nfrom tools import faults; faults.plant({name!r})"
    notebook = nbformat.from_dict({**stored, "cells": [new_code_cell(source), *stored.cells]})
    try:
        ran = lessons.execute(notebook, path.parent)
    except CellExecutionError as error:
        return (BROKEN if "LookupError" in str(error) else SEEN), str(error)[-800:]
    ran.cells = ran.cells[1:]
    told = lessons.changes(stored, ran)
    return (SEEN, told[0]) if told else (UNSEEN, f"{path.name} says the same")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    from faults import FAULTS

    parser = argparse.ArgumentParser(description="Plant faults, one at a time, and say what sees them.")
    parser.add_argument("words", nargs="*", help="only faults with one of these words in their name")
    parser.add_argument("--quick", action="store_true", help="stop at the first that sees a fault")
    options = parser.parse_args(arguments)
    faults = [f for f in FAULTS if not options.words or any(word in f.name for word in options.words)]
    states: list[tuple[str, str]] = []
    for fault in faults:
        start, unit, lesson, log = time.perf_counter(), "–", "–", ""
        if fault.unit:
            unit, told = unit_sees(fault.name, fault.unit)
            log += told * (unit != SEEN)
        if fault.lesson is not None and not (options.quick and unit == SEEN):
            lesson, told = lesson_sees(fault.name, fault.lesson)
            log += told * (lesson != SEEN)
        states.append((unit, lesson))
        print(f"{fault.name:40s} unit {unit:7s} lesson {lesson:7s} {time.perf_counter() - start:5.1f} s", flush=True)
        if log:
            print("    " + log.strip().replace("\n", "\n    "), flush=True)
    seen = [sum(state[place] == SEEN for state in states) for place in (0, 1)]
    print(f"{len(states)} faults: unit tests saw {seen[0]}, lessons {seen[1]}")
    return int(any({UNSEEN, BROKEN} & {*state} or SEEN not in state for state in states))


if __name__ == "__main__":
    sys.exit(main())
