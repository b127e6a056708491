"""Things to move: the shape explorer, a recorder for your own voice, and a slider. Each loads when first used."""

from importlib import import_module
from typing import Any

_MODULES = {
    "Explorer": "explorer",
    "explore": "explorer",
    "Recorder": "recorder",
    "record": "recorder",
    "Slider": "slider",
    "slide": "slider",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"w2vlearn.widgets has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"w2vlearn.widgets.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
