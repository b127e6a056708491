"""Make the lessons run where a torch is installed already: Colab, Binder, a cluster. Adds what is missing; torch stays.

    python tools/anywhere.py            # from a copy of this repository

On Colab a lesson's first cell runs it (``notebooks/course/__init__.py``); the package can then be imported at once.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAYS = ("torch", "numpy")  # others' code was built for these; what is installed is never replaced


def installed() -> dict[str, str]:
    """Name, normalised, and version of every installed package."""
    names = ((found.metadata["Name"], found.version) for found in metadata.distributions())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in names if name}


def wanted() -> list[str]:
    """What the lessons need, as pyproject.toml has it: of the package, and what only lessons use."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["huggingface"], "matplotlib"]


def missing(requirements: list[str], present: dict[str, str]) -> list[str]:
    """The requirements of which no version is installed."""
    return [
        text for text in requirements if re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", text)[0]).lower() not in present
    ]


def main() -> None:
    present = installed()
    add = missing(wanted(), present)
    kept = [f"{name}=={present[name]}" for name in STAYS if name in present]
    print(f"Kept as they are: {', '.join(kept) or 'nothing was there'}.")
    print(f"Added: {', '.join(add) or 'nothing'}; and w2vlearn from {ROOT}.", flush=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(kept), encoding="utf-8")
        if add:
            subprocess.run([*pip, "--constraint", constraints, *add], check=True)
        subprocess.run([*pip, "--no-deps", "--editable", ROOT], check=True)
    sys.path.insert(0, str(ROOT))  # a kernel that runs already reads no new .pth files
    print("Ready: open notebooks/00_the_question.ipynb, or go on with this lesson.")


if __name__ == "__main__":
    main()
