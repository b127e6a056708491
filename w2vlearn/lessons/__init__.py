"""What the notebooks import beside the library: predictions compared, exercises checked, the map, something to hear.

Each lesson's own content (predictions, exercises, claims) lives in one file, ``lesson_00.py`` to ``lesson_11.py``.
"""

from importlib import import_module

_PLACES = {
    "check": "checking",
    "compare": "comparing",
    "lesson_map": "course_map",
    "listen": "listening",
    "slide": "sliding",
}

__all__ = list(_PLACES)


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f"w2vlearn.lessons has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
