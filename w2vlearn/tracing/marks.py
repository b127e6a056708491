"""What an axis of a tensor can be: clips, a length, a constant, two of these in one, or unknown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from w2vlearn.tracing.letters import PROBES


class Length:
    """One length: the samples of the clips, or what a convolution made of another length.

    Attributes
    ----------
    size : int
        Positions of the whole axis in this run.
    valid : tuple of int, optional
        Positions that each clip would have if it were alone; None where the lengths of the clips are not known.
    key : tuple of int
        Positions for clips of `letters.PROBES` samples: equal keys, equal lengths for every clip.
    """

    __slots__ = ("key", "size", "valid")

    def __init__(self, size: int, valid: tuple[int, ...] | None, key: tuple[int, ...] = PROBES) -> None:
        self.size, self.valid, self.key = size, valid, key

    def __repr__(self) -> str:
        return f"<Length {self.size}, valid {self.valid}>"


@dataclass(frozen=True)
class Merged:
    """Neighbouring axes that a view made one: clips times frames."""

    parts: tuple[Any, ...]


class _Mark:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


CLIPS = _Mark("clips")
CONSTANT = _Mark("constant")  # no length and no number of clips moves it
UNKNOWN = _Mark("unknown")


class Marks:
    """The axes of one tensor, shared by all who saw it."""

    __slots__ = ("aside", "axes")

    def __init__(self, axes: tuple) -> None:
        self.axes = axes
        self.aside = False  # went in beside a main input: no stage on the clips' own way


def valid_along(axes: Iterable[Any]) -> tuple[int, ...] | None:
    """Valid positions per clip on a tensor's time axis (its last, where it has two); None if it has none."""
    lengths = [mark for mark in axes if isinstance(mark, Length)]
    return lengths[-1].valid if lengths else None
