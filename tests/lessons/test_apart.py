"""The course stands beside the package: w2vlearn does not know it, and it travels with the notebooks."""

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from setuptools import find_packages

ROOT = Path(__file__).resolve().parents[2]


def test_the_package_does_not_know_the_course():
    for file in (ROOT / "w2vlearn").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("course", "notebooks") for name in names), file


def test_a_wheel_holds_no_lesson():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = find_packages(ROOT, include=settings["packages"]["find"]["include"])
    assert packages and all(package.split(".")[0] == "w2vlearn" and "lesson" not in package for package in packages)
    assert list(settings["package-data"]) == ["w2vlearn"]


def test_a_copy_of_the_notebooks_is_enough(tmp_path):
    """A teacher copies notebooks/ for a learner; a kernel starts in that folder."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "lessons", ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "from course import check; import course; check('2.2', lambda samples: samples // 320); print(course.__file__)"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path / "lessons", capture_output=True, text=True)
    assert "2.2 not yet: that counts hops" in ran.stdout and str(tmp_path) in ran.stdout, ran.stderr
