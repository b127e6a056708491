"""The oldest versions that pyproject.toml allows, as pins: ``python tools/oldest.py > oldest.txt``.

`make test-oldest` installs them into an environment of its own and runs the unit tests there, so that the ranges are
true. A range is raised to what was tried where an older version does not pass.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def pins(text: str) -> list[str]:
    """``"name==lowest"`` for every dependency of a pyproject.toml, those of the extras included.

    Raises
    ------
    ValueError
        If a dependency names no lowest version: "scipy: wanted name>=version".
    """
    project = tomllib.loads(text)["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    lines = []
    for dependency in wanted:
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*>=\s*([0-9][0-9.]*)", dependency.strip())
        if match is None:
            raise ValueError(f"{dependency}: wanted name>=version in pyproject.toml, so that the oldest can be tried")
        lines.append(f"{match[1]}=={match[2]}")
    return lines


if __name__ == "__main__":
    print("\n".join(pins(PYPROJECT.read_text(encoding="utf-8"))))
