"""What `make lab`, a container, uv and Colab start with: the lesson, what is installed, what is never touched."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tools import anywhere, install, lab

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(("number", "name"), [("0", "00_the_question"), ("5", "05_alone_or_in_a_batch")])
def test_lab_opens_the_lesson_that_was_asked_for(number, name):
    line = lab.command([], number)
    assert f"--LabApp.default_url=/lab/tree/notebooks/{name}.ipynb" in line
    assert "--ServerApp.port=9000" in lab.command(["--ServerApp.port=9000"], number)


def test_a_lesson_that_does_not_exist_is_refused_in_words():
    with pytest.raises(SystemExit, match=r"there is no lesson 99; there are 0, 1, 2"):
        lab.command([], "99")


@pytest.mark.parametrize(
    ("system", "machine", "gpu", "configured", "torch", "expected"),
    [
        ("Linux", "x86_64", False, False, False, True),
        ("Linux", "x86_64", True, False, False, False),  # wants the GPU build
        ("Linux", "x86_64", False, True, False, False),  # somebody said where packages come from
        ("Linux", "x86_64", False, False, True, False),  # a torch is there: it stays
        ("Linux", "aarch64", False, False, False, False),  # these get the CPU build by default
        ("Darwin", "arm64", False, False, False, False),
    ],
)
def test_the_cpu_build_is_asked_for_where_it_is_not_the_default(
    monkeypatch, system, machine, gpu, configured, torch, expected
):
    monkeypatch.setattr(install.platform, "system", lambda: system)
    monkeypatch.setattr(install.platform, "machine", lambda: machine)
    monkeypatch.setattr(install, "has_nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(install, "pip_is_configured", lambda: configured)
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: object() if torch else None)
    assert install.wants_cpu_build() is expected


def test_what_will_be_downloaded_is_said_with_its_size():
    files = [("torch 2.13.0+cpu", 187_000_000), ("numpy 2.4.6", 17_000_000), ("odd 1", None), ("tiny 1", 9_000)]
    assert install.announcement(files) == (
        "Downloading 4 packages, 204 MB and 1 of unknown size (most of it: torch 2.13.0+cpu 187 MB, "
        "numpy 2.4.6 17 MB). Once; later starts take seconds."
    )
    assert "cannot be told" in install.announcement([])


def test_a_torch_that_is_there_is_never_replaced(monkeypatch, tmp_path, capsys):
    """Every call of pip that could bring a torch names the one that is there, or takes no dependencies."""
    present = {"torch": "2.9.0+cu126", "numpy": "2.0.2", "tqdm": "4.70.1", "huggingface-hub": "2.4.0"}
    calls = []

    def run(line, check):
        constraints = Path(line[line.index("--constraint") + 1]).read_text() if "--constraint" in line else ""
        calls.append(([str(part) for part in line[3:]], constraints))

    monkeypatch.setattr(anywhere, "installed", lambda: present)
    monkeypatch.setattr(anywhere.subprocess, "run", run)
    monkeypatch.setattr(anywhere.sys, "path", [])
    anywhere.main()
    (add, constraints), (ours, _) = calls
    assert constraints.split() == ["torch==2.9.0+cu126", "numpy==2.0.2"]
    assert not [part for part in add if re.match("(torch|numpy|tqdm|huggingface)", part)]
    assert any(part.startswith("soundfile") for part in add) and "--no-deps" in ours
    assert "Kept as they are: torch==2.9.0+cu126" in capsys.readouterr().out


def test_every_package_that_the_lessons_need_is_known_to_every_way_in():
    """pyproject's ranges, the pinned versions and what `anywhere` adds name the same packages."""
    pinned = {
        match[1].lower().replace("_", "-") for match in re.finditer(r"^([\w-]+)==", _read("requirements.txt"), re.M)
    }
    project = tomllib.loads(_read("pyproject.toml"))["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"]["lab"], *anywhere.wanted()]
    assert {re.match(r"[\w-]+", text)[0].lower().replace("_", "-") for text in listed} == pinned


def test_the_container_installs_what_make_lab_installs():
    text = _read(".devcontainer/devcontainer.json")
    assert len(text.splitlines()) <= 10
    target = json.loads(text)["postCreateCommand"].removeprefix("make ")
    assert f"LAB_READY := {target}" in _read("Makefile")
    assert "-r ../requirements.txt" in _read(".binder/requirements.txt")


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("colab", [False, True])
def test_the_first_cell_of_a_lesson_says_or_installs_what_is_missing(monkeypatch, colab):
    ran, found = [], importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: (name != "w2vlearn" and found(name, *rest)) or None
    )
    monkeypatch.setattr("runpy.run_path", lambda path, run_name: ran.append((Path(path), run_name)))
    monkeypatch.delitem(sys.modules, "course", raising=False)
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", object())
        importlib.import_module("course")
        assert ran == [(ROOT / "tools" / "anywhere.py", "__main__")]
    else:
        with pytest.raises(ModuleNotFoundError, match=r"say `make lab`; .* `python tools/anywhere.py`"):
            importlib.import_module("course")
