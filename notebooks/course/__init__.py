"""The course's own code, beside its notebooks: predictions compared, exercises checked, the map, sound.

What a lesson says (its predictions, exercises, hints, solutions, wrong answers) is Markdown, ``lesson_02.md``; what it
computes with is Python, ``lesson_02.py``. The package ``w2vlearn`` knows nothing of either.
"""

import runpy
import sys
from importlib import import_module, util
from pathlib import Path

if util.find_spec("w2vlearn") is None:  # a lesson opened where the project was not set up
    _tool = Path(__file__).resolve().parents[2] / "tools" / "anywhere.py"
    if "google.colab" not in sys.modules or not _tool.is_file():
        raise ModuleNotFoundError(
            f"w2vlearn is not installed for {sys.executable}. In the project's folder say `make lab`; or, where an "
            "installed torch should stay as it is, `python tools/anywhere.py`"
        )
    runpy.run_path(str(_tool), run_name="__main__")  # says what it adds; torch stays

_MODULES = {
    "again": "predictions",
    "check": "checker",
    "compare": "predictions",
    "lesson_map": "model_map",
    "listen": "player",
    "print_error": "prose",
    "progress": "logbook",
    "slide": "w2vlearn.widgets.slider",
}

__all__ = list(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"course has no {name!r}; it has {', '.join(__all__)}")
    module = _MODULES[name]
    value = getattr(import_module(module if "." in module else f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
