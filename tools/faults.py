"""Plant small faults in a scratch copy of the package, one at a time, and say what sees them (``make faults``).

    python tools/faults.py               unit tests and lessons for every fault; a table, and how many each caught
    python tools/faults.py --quick       stop at the first that sees it (what ``make test`` does)
    python tools/faults.py mask frame    only faults with one of these words in their name

The faults stand in tests/lessons/faults.py. Each try is a fork of this process, in which torch is loaded already; it
needs Linux or macOS. Exit status 1 if a fault goes unseen, or if what is written down to see it does not.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("w2vlearn", "tests", "tools", "notebooks", "pyproject.toml")
SECONDS = 180  # for one try
SEEN, UNSEEN, BROKEN = "seen", "unseen", "broken"


def load_faults() -> tuple:
    """The list in tests/lessons/faults.py; read by path, so that w2vlearn is not imported here."""
    spec = importlib.util.spec_from_file_location("faults", ROOT / "tests" / "lessons" / "faults.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["faults"] = module
    spec.loader.exec_module(module)
    return module.FAULTS


@contextlib.contextmanager
def scratch_copy() -> Iterator[Path]:
    """A copy of what package, tests and lessons need, for planting."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for name in COPIED:
            source, target = ROOT / name, Path(folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            else:
                shutil.copy(source, target)
        yield Path(folder)


@contextlib.contextmanager
def planted(fault, folder: Path) -> Iterator[None]:
    """The fault in the copy, and gone again afterwards.

    Raises
    ------
    ValueError
        If its ``old`` text does not stand in the file, or more than once.
    """
    file = folder / fault.file
    text = file.read_text(encoding="utf-8")
    if text.count(fault.old) != 1:
        raise ValueError(
            f"fault {fault.name!r}: its old text stands {text.count(fault.old)} times in {fault.file}, wanted once; "
            "the code has changed, so change the fault in tests/lessons/faults.py"
        )
    file.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(text, encoding="utf-8")


def in_child(work: Callable[[], int], folder: Path) -> tuple[int, str]:
    """Run ``work`` in a fork that sees the copy and not the package; its exit status, and what it printed."""
    with tempfile.TemporaryFile("w+") as log:
        child = os.fork()
        if not child:
            status = 70
            try:
                signal.alarm(SECONDS)
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
                sys.dont_write_bytecode = True  # a planted fault may be as long as what it replaces, within a second
                os.chdir(folder)
                sys.path[:] = [str(folder), *(entry for entry in sys.path if entry not in ("", str(ROOT)))]
                status = work()
                sys.stdout.flush()
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
            finally:
                os._exit(status)
        _, raw = os.waitpid(child, 0)
        log.seek(0)
        return os.waitstatus_to_exitcode(raw), log.read()


def unit_sees(test: str, folder: Path) -> tuple[str, str]:
    """Whether a unit test goes red; ``broken`` if it does not even start."""

    def work() -> int:
        import pytest

        return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly", test]))

    status, log = in_child(work, folder)
    return {0: UNSEEN, 1: SEEN}.get(status, BROKEN), log


def lesson_sees(number: int, folder: Path) -> tuple[str, str]:
    """Whether a lesson, run now, says something else than what is stored."""
    notebook = next((folder / "notebooks").glob(f"{number:02d}_*.ipynb"), None)
    if notebook is None:
        return BROKEN, f"there is no lesson {number}"

    def work() -> int:
        from tools.lesson_run import main

        return main([str(notebook)])

    status, log = in_child(work, folder)
    return {0: UNSEEN, 1: SEEN}.get(status, BROKEN), log


def try_fault(fault, folder: Path, quick: bool) -> dict:
    """What sees one fault: ``{"name", "unit", "lesson", "log", "seconds"}``; None for what was not tried."""
    start, result = time.perf_counter(), {"name": fault.name, "unit": None, "lesson": None, "log": ""}
    try:
        with planted(fault, folder):
            if fault.unit:
                result["unit"], log = unit_sees(fault.unit, folder)
                result["log"] += "" if result["unit"] == SEEN else log[-2000:]
            if fault.lesson is not None and not (quick and result["unit"] == SEEN):
                result["lesson"], log = lesson_sees(fault.lesson, folder)
                result["log"] += "" if result["lesson"] == SEEN else log[-2000:]
    except ValueError as error:
        result["log"] = str(error)
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result


def is_seen(result: dict) -> bool:
    """Seen by at least one, and by everything that was tried."""
    tried = [result[kind] for kind in ("unit", "lesson") if result[kind] is not None]
    return bool(tried) and all(state == SEEN for state in tried)


def preload() -> None:
    """Load once what every try needs, so that a fork costs nothing."""
    import hypothesis  # noqa: F401
    import IPython.display  # noqa: F401
    import nbformat  # noqa: F401
    import pytest  # noqa: F401
    import torch

    torch.set_num_threads(1)
    loaded = [name for name in sys.modules if name.split(".")[0] in ("w2vlearn", "tools")]
    if loaded:
        raise RuntimeError(f"{loaded[0]} is loaded already: forks would not see the planted fault")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Plant faults in a scratch copy and say what sees them.")
    parser.add_argument("words", nargs="*", help="only faults with one of these words in their name")
    parser.add_argument("--quick", action="store_true", help="stop at the first that sees a fault")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each fault")
    options = parser.parse_args(arguments)
    if not hasattr(os, "fork"):
        print("planting faults needs os.fork: Linux or macOS", file=sys.stderr)
        return 2
    faults = [f for f in load_faults() if not options.words or any(word in f.name for word in options.words)]
    preload()
    with scratch_copy() as folder:
        results = []
        for fault in faults:
            results.append(try_fault(fault, folder, options.quick))
            print(json.dumps(results[-1]) if options.json else _row(results[-1]), flush=True)
    if not options.json:
        counts = [sum(result[kind] == SEEN for result in results) for kind in ("unit", "lesson")]
        unseen = [result["name"] for result in results if SEEN not in (result["unit"], result["lesson"])]
        print(f"{len(results)} faults: unit tests saw {counts[0]}, lessons {counts[1]}, nobody {len(unseen)} {unseen}")
    return int(not all(map(is_seen, results)))


def _row(result: dict) -> str:
    text = io.StringIO()
    states = [f"{kind} {result[kind] or '–':7s}" for kind in ("unit", "lesson")]
    print(f"{result['name']:48s} {' '.join(states)} {result['seconds']:5.1f} s", end="", file=text)
    if not is_seen(result):
        print("\n    " + result["log"].strip().replace("\n", "\n    "), end="", file=text)
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
