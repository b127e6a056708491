"""Everything that is checked, without make and on every system:

    python tools/check.py                       lint, unit tests, lessons against their stored outputs, browser tests
    python tools/check.py --lessons             the lessons alone
    python tools/check.py --lessons --plain     as a processor with the plainest instruction set computes
    python tools/check.py --lessons --threads 2
    python tools/check.py -- -k geometry        what follows "--" goes to pytest

It runs in the Python that it is started with, where requirements.txt and tests/requirements.txt are installed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NBVAL = (
    "--nbval", "--nbval-current-env", "--nbval-cell-timeout", "60",
    "--nbval-sanitize-with", str(ROOT / "tests" / "notebooks" / "sanitize.cfg"),
)  # fmt: skip

# Sums are added in another order on other processors: these stand for one that has nothing newer than SSE.
PLAIN = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}


def environment(threads: int, plain: bool) -> dict[str, str]:
    """The variables that tests and the lessons' kernels run under; so many threads in each process."""
    chosen = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return {**os.environ, **chosen, **(PLAIN if plain else {})}


def commands(options: argparse.Namespace) -> list[list[str]]:
    """What is run, in order."""
    python = [sys.executable, "-m"]
    pytest = [*python, "pytest", "-q", "-n", str(options.jobs), "--dist", "loadfile", "-rsfE", *NBVAL]
    if options.lessons:
        return [[*pytest, "notebooks", *options.pytest]]
    lint = [[*python, "ruff", "check", "."], [*python, "ruff", "format", "--check", "."]]
    return [*lint, [*pytest, "--durations=10", *options.pytest]]


def main() -> int:
    """Run them; the exit code of the first that fails, 0 if none does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lessons", action="store_true", help="the lessons alone")
    parser.add_argument("--plain", action="store_true", help="under the plainest instruction set")
    parser.add_argument("--threads", type=int, default=1, help="threads in each process (1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side (2)")
    parser.add_argument("pytest", nargs="*", help="goes to pytest")
    options = parser.parse_args()
    for command in commands(options):
        code = subprocess.run(command, cwd=ROOT, env=environment(options.threads, options.plain)).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
