"""The rules of the house: imports are cheap and go downward, versions are pinned, names resolve, files travel well."""

from __future__ import annotations

import ast
import importlib.util
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
EVERYDAY = "Wav2Vec2Config FrameGeometry read_audio pad Wav2Vec2Model Wav2Vec2ForCTC trace Trace"


def loaded_by(statement: str) -> set[str]:
    """The modules that ``statement`` loads in a fresh Python, those that ``import torch`` loads anyway left out."""
    script = f"import sys, json, torch\nbefore = set(sys.modules)\n{statement}\n"
    script += "print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def heavy(modules: set[str]) -> set[str]:
    return {module for module in modules if any(module == name or module.startswith(f"{name}.") for name in HEAVY)}


def test_the_measure_sees_heavy_modules():
    """The red case: what matplotlib and soundfile load is seen."""
    assert heavy(loaded_by("import matplotlib, soundfile")) >= {"soundfile", "matplotlib"}


def test_importing_w2vlearn_costs_little_more_than_importing_torch():
    loaded = loaded_by("import w2vlearn")
    assert "w2vlearn" in loaded
    assert not heavy(loaded)
    assert len(loaded) < 60, sorted(loaded)  # a module costs about a millisecond; the limit is 0.15 s


def test_naming_what_every_lesson_uses_loads_nothing_heavy():
    loaded = loaded_by(f"import w2vlearn.show\nfrom w2vlearn import {', '.join(EVERYDAY.split())}")
    assert {"w2vlearn.model", "w2vlearn.tracing", "w2vlearn.batch", "w2vlearn.show"} <= loaded
    assert not heavy(loaded)


# ---------------------------------------------------------------- public names


def test_there_are_about_a_dozen_public_names():
    assert 8 <= len(w2vlearn.__all__) <= 16
    assert len(set(w2vlearn.__all__)) == len(w2vlearn.__all__)


@pytest.mark.parametrize("name", w2vlearn.__all__)
def test_every_public_name_resolves_and_is_explained(name):
    assert (getattr(w2vlearn, name).__doc__ or "").strip(), f"{name} has no docstring"


def test_an_unknown_name_is_refused_by_name():
    with pytest.raises(AttributeError, match="no_such_thing"):
        w2vlearn.no_such_thing  # noqa: B018


# ---------------------------------------------------------------- imports go downward, also those inside functions

# From the ground up; what lies in a layer may import from lower ones. A new file or folder gets its place here.
LAYERS = [
    {"config", "geometry", "paths", "shown"},
    {"audio", "padding_masks"},
    {"batch"},
    {"model"},
    {"checkpoints"},
    {"transcription"},
    {"tracing"},
    {"symbolic"},
    {"show"},
    {"widgets"},
    {"cli"},
    {"__main__"},
]
# Not even though they lie below: these work for any model, so they never know ours.
STRANGERS = {(upper, "model") for upper in ("tracing", "symbolic", "show")}
STRANGERS |= {(upper, lower) for upper in ("tracing", "symbolic", "show") for lower in ("checkpoints", "transcription")}
WITHOUT_TORCH = {"config", "geometry", "show"}


def part_of(module: str) -> str:
    """The file or folder of a dotted name: w2vlearn.show.text -> show."""
    return module.split(".")[1] if "." in module else ""


def layer_of(part: str) -> int:
    for number, parts in enumerate(LAYERS):
        if part in parts:
            return number
    raise AssertionError(f"w2vlearn/{part} has no layer: give it one in LAYERS of {Path(__file__).name}")


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Dotted name -> file, of every module of the package."""
    files = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return files


def imports(name: str, file: Path, known: set[str]) -> Iterator[str]:
    """Every module that a file imports, when it loads, inside a function, or for type checkers alone."""

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name if file.name == "__init__.py" else name.rpartition(".")[0]
                base = importlib.util.resolve_name("." * node.level + base, package)
            yield from (f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names)
        elif isinstance(node, ast.Call) and "import_module" in ast.dump(node.func):
            yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(ast.parse(file.read_text(encoding="utf-8")))


def upward(package: Path = PACKAGE) -> list[str]:
    """Every import that goes up, sideways or to a stranger, in words."""
    files, complaints = modules(package), []
    for name, file in files.items():
        part = part_of(name)
        if not part:
            continue  # the package itself names everything, and loads it when used
        for imported in imports(name, file, set(files)):
            if imported.split(".")[0] == "torch" and part in WITHOUT_TORCH:
                complaints.append(f"{name} imports torch")
            if imported.startswith("w2vlearn.") and imported not in files:
                complaints.append(f"{name} imports {imported}, which does not exist")
                continue
            if imported == "w2vlearn":
                complaints.append(f"{name} imports the whole package; name the module")
            other = part_of(imported) if imported.startswith("w2vlearn.") else part
            if other != part and (layer_of(other) >= layer_of(part) or (part, other) in STRANGERS):
                complaints.append(f"{name} imports {imported}")
    return complaints


def circle(package: Path = PACKAGE) -> list[str]:
    """A chain of modules that import each other, at once or inside functions; empty if there is none."""
    files = modules(package)
    graph = {
        name: {other for other in imports(name, file, set(files)) if other in files and other != name}
        for name, file in files.items()
        if part_of(name)
    }
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name not in done:
            for other in sorted(graph.get(name, ())):
                if ring := walk(other, [*path, name]):
                    return ring
            done.add(name)
        return []

    return next((ring for name in graph if (ring := walk(name, []))), [])


def test_imports_go_downward():
    assert upward() == []


def test_no_circles():
    assert circle() == []


def test_no_two_files_have_one_name():
    names = Counter(file.stem for file in modules().values() if file.stem != "__init__")
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize(
    "file, text, words",
    [
        ("geometry.py", "import torch", "w2vlearn.geometry imports torch"),
        ("model/a.py", "from w2vlearn.show import text", "w2vlearn.model.a imports w2vlearn.show"),
        ("tracing/a.py", "from ..model import attention", "w2vlearn.tracing.a imports w2vlearn.model"),
        ("tracing/a.py", "def f():\n    from w2vlearn.show.text import x", "w2vlearn.tracing.a imports w2vlearn.show"),
        ("tracing/a.py", "import_module('w2vlearn.symbolic')", "w2vlearn.tracing.a imports w2vlearn.symbolic"),
        ("config.py", "from .geometry import x", "w2vlearn.config imports w2vlearn.geometry"),
        ("widgets/a.py", "import w2vlearn", "the whole package"),
        ("cli.py", "def f():\n    from w2vlearn.gone import x", "w2vlearn.gone, which does not exist"),
    ],
)
def test_an_upward_import_is_seen(tmp_path, file, text, words):
    (tmp_path / "w2vlearn" / file).parent.mkdir(parents=True)
    (tmp_path / "w2vlearn" / file).write_text(text)
    assert any(words in complaint for complaint in upward(tmp_path / "w2vlearn"))


@pytest.mark.parametrize(
    "line", ["from . import {}", "def f():\n    from . import {}", "if TYPE_CHECKING:\n    from . import {}"]
)
def test_a_circle_is_seen(tmp_path, line):
    for name, other in {"a": "b", "b": "c", "c": "a"}.items():
        (tmp_path / "w2vlearn" / "show").mkdir(parents=True, exist_ok=True)
        (tmp_path / "w2vlearn" / "show" / f"{name}.py").write_text(line.format(other))
    assert circle(tmp_path / "w2vlearn") == [f"w2vlearn.show.{name}" for name in "abca"]


# ---------------------------------------------------------------- versions


def requirements(file: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize("file", ["requirements.txt", "tests/requirements.txt"])
def test_every_requirement_is_pinned_and_explained(file):
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#") and line != "-e .":
            assert re.fullmatch(r"[A-Za-z0-9_.-]+==\d+(\.\d+)+ +# \w.{5,}", line), line


def test_requirements_install_the_package_and_everything_it_needs():
    pinned = requirements(ROOT / "requirements.txt")
    assert "-e ." in pinned
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {line.partition("==")[0] for line in pinned}
    for needed in project["dependencies"] + project["optional-dependencies"]["lab"]:
        assert re.split("[<>=]", needed)[0] in names, needed


def test_the_pinned_versions_lie_in_the_ranges_of_pyproject():
    packaging = pytest.importorskip("packaging.requirements")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ranges = map(packaging.Requirement, project["dependencies"] + project["optional-dependencies"]["lab"])
    ranges = {needed.name: needed.specifier for needed in ranges}
    for line in requirements(ROOT / "requirements.txt"):
        name, _, version = line.partition("==")
        if name in ranges:
            assert version in ranges[name], f"{line} is outside {ranges[name]}"


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
    found = ["not UTF-8"] if "\ufffd" in text else []
    found += ["Windows line ends"] if b"\r" in raw else []
    found += ["no newline at the end"] if raw and not raw.endswith(b"\n") else []
    found += ["an unfinished merge"] if re.search(r"^(<{7}|>{7})( |$)", text, flags=re.M) else []
    return found + re.findall(r"(?<![\w.:/*])/(?:home|root|work|Users|workspace)/[\w.-]+", text)


def test_files_travel_well():
    files = committed()
    assert ROOT / "README.md" in files and ROOT / "Makefile" in files
    # The tests of these rules hold such things on purpose, to see them found.
    ours = {Path(__file__).resolve(), ROOT / "tests" / "notebooks" / "test_hygiene.py"}
    bad = {
        str(file.relative_to(ROOT)): found
        for file in files
        if file not in ours and (found := blemishes(file.read_bytes()))
    }
    assert not bad


@pytest.mark.parametrize(
    "raw, words",
    [
        (b"a\r\n", "Windows line ends"),
        (b"a", "no newline at the end"),
        (b"\xff\xfe\n", "not UTF-8"),
        (b"<<<<<<< HEAD\n", "an unfinished merge"),
        (b"read('/home/me/x.wav')\n", "/home/me"),
    ],
)
def test_a_file_that_travels_badly_is_seen(raw, words):
    assert words in blemishes(raw)


def test_good_text_has_no_blemish():
    assert blemishes("See https://example.org/home/me, src/work/a.py · 25 ms\n".encode()) == []
