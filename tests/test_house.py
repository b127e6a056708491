"""The rules of the house: imports are cheap and go downward, versions are pinned, names resolve, files travel well."""

from __future__ import annotations

import ast
import graphlib
import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import w2vlearn

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "w2vlearn"

# ---------------------------------------------------------------- importing is cheap

HEAVY = {
    "matplotlib", "ipywidgets", "anywidget", "IPython", "transformers", "tokenizers", "soundfile", "soxr",
    "huggingface_hub", "safetensors", "pandas", "scipy", "tqdm", "requests", "httpx", "wcwidth",
    "torch._dynamo", "torch._inductor", "torch._export", "torch.export", "torch.onnx", "torchvision", "torchaudio",
}  # fmt: skip
EVERYDAY = "Wav2Vec2Config, FrameGeometry, read_audio, pad, Wav2Vec2Model, Wav2Vec2ForCTC, trace, Trace"


def loaded_by(*statements: str) -> list[set[str]]:
    """What a fresh Python has loaded after each of these statements, without what ``import torch`` loads anyway."""
    script = "import sys, json, torch\nbefore = set(sys.modules)\n"
    script += "".join(f"{one}\nprint(json.dumps(sorted(set(sys.modules) - before)))\n" for one in statements)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return [set(json.loads(line)) for line in done.stdout.splitlines()]


def test_importing_is_cheap():
    """A module costs about a millisecond; the limit is 0.15 s beside ``import torch``."""
    package, everyday = loaded_by("import w2vlearn", f"import w2vlearn.show\nfrom w2vlearn import {EVERYDAY}")
    assert "w2vlearn" in package and len(package) < 60, sorted(package)
    assert {"w2vlearn.model", "w2vlearn.tracing", "w2vlearn.batch", "w2vlearn.show"} <= everyday
    heavy = {module for module in everyday if any(module == name or module.startswith(f"{name}.") for name in HEAVY)}
    assert not heavy


def test_about_a_dozen_public_names_each_explained():
    names = w2vlearn.__all__
    assert 8 <= len(names) == len(set(names)) <= 16
    assert [name for name in names if not (getattr(w2vlearn, name).__doc__ or "").strip()] == []
    with pytest.raises(AttributeError, match="no_such_thing"):
        w2vlearn.no_such_thing  # noqa: B018


# ---------------------------------------------------------------- imports go downward, also those inside functions

# From the ground up; what lies in a layer may import from lower ones. A new file or folder gets its place here.
LAYERS = (
    "config geometry paths shown", "audio padding_masks", "batch", "model", "checkpoints", "transcription", "tracing",
    "symbolic", "show", "widgets", "cli", "__main__",
)  # fmt: skip
LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts.split()}
# Not even though they lie below: these work for any model, so they never know ours.
STRANGERS = {*itertools.product(("tracing", "symbolic", "show"), ("model", "checkpoints", "transcription"))}
WITHOUT_TORCH = {"config", "geometry", "show"}


def part_of(module: str) -> str:
    """The file or folder of a dotted name: w2vlearn.show.text -> show."""
    return module.split(".")[1] if "." in module else ""


def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module of the package."""
    files = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return files


def imports(file: Path, known: set[str]) -> Iterator[str]:
    """Every module that a file imports, when it loads, inside a function, or for type checkers alone."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names)
        elif isinstance(node, ast.Call) and "import_module" in ast.dump(node.func):
            yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))


def complaints_about(name: str, imported: str, files: dict[str, Path]) -> Iterator[str]:
    """What is wrong with one import: it goes up, sideways, to a stranger or nowhere."""
    part, other, top = part_of(name), part_of(imported), imported.split(".")[0]
    if top == "torch" and (part in WITHOUT_TORCH or name == "w2vlearn.tracing.records"):
        yield f"{name} imports torch"
    if imported == "w2vlearn" or top in ("", "course", "notebooks", "tests", "tools", "training"):
        yield f"{name} imports {imported}: name the module, and none beside the package"
    elif top == "w2vlearn" and imported not in files:
        yield f"{name} imports {imported}, which does not exist"
    elif top == "w2vlearn" and other != part and (LAYER[other] >= LAYER[part] or (part, other) in STRANGERS):
        yield f"{name} imports {imported}"


def test_imports_go_downward_and_in_no_circle():
    files = modules()
    graph = {name: {*imports(file, set(files))} - {name} for name, file in files.items() if part_of(name)}
    pairs = [(name, other) for name, others in graph.items() for other in others]
    assert [complaint for name, other in pairs for complaint in complaints_about(name, other, files)] == []
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_no_two_files_have_one_name():
    names = Counter(file.stem for file in modules().values() if file.stem != "__init__")
    assert [name for name, times in names.items() if times > 1] == []


# ---------------------------------------------------------------- versions


def requirements(file: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize("file", ["requirements.txt", "tests/requirements.txt", "site/requirements.txt"])
def test_every_requirement_is_pinned_and_explained(file):
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "-e ", "-r ")):
            assert re.fullmatch(r"[A-Za-z0-9_.-]+==\d+(\.\d+)+ +# \w.{5,}", line), line


def test_what_is_pinned_is_what_the_package_needs():
    packaging = pytest.importorskip("packaging.requirements")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = requirements(ROOT / "requirements.txt")
    assert "-e ." in pinned
    versions = dict(line.split("==") for line in pinned if "==" in line)
    for needed in map(packaging.Requirement, project["dependencies"] + project["optional-dependencies"]["lab"]):
        assert versions[needed.name] in needed.specifier, needed


# ---------------------------------------------------------------- files

TEXT = {".py", ".md", ".toml", ".txt", ".yml", ".json", ".ipynb", ".js", ".css", ".cfg", ".sh", ".svg", ""}


def committed() -> list[Path]:
    """Every text file that belongs to the project: those git knows, or all of them in a copy without git."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        files = [ROOT / name for name in done.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        hidden = {".venv", ".git", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis", "build"}
        files = [file for file in ROOT.rglob("*") if not hidden.intersection(file.parts)]
    return [file for file in files if file.is_file() and file.suffix in TEXT]


def blemishes(raw: bytes) -> list[str]:
    """What would hurt on another machine: line ends, encoding, paths of one machine, an unfinished merge."""
    text = raw.decode("utf-8", errors="replace")
    marks = ["not UTF-8"] if "\ufffd" in text else []
    marks += ["Windows line ends"] if b"\r" in raw else []
    marks += ["no newline at the end"] if raw and not raw.endswith(b"\n") else []
    marks += ["an unfinished merge"] if re.search(r"^(<{7}|>{7})( |$)", text, flags=re.M) else []
    return marks + re.findall(r"(?<![\w.:/*])/(?:home|root|work|Users|workspace)/[\w.-]+", text)


def test_files_travel_well():
    files = committed()
    assert ROOT / "README.md" in files and ROOT / "Makefile" in files
    assert {file: marks for file in files if (marks := blemishes(file.read_bytes()))} == {}
