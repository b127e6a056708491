"""Yes or no for each position, one strip per row: which frames notice a change, which frames a mask marks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from w2vlearn.show.canvas import Picture, as_list
from w2vlearn.show.palette import FEATURE_ENCODER, Stage
from w2vlearn.show.track_figure import Track, pieces_of, track_figure


def strips_figure(
    named: Mapping[str, Any],
    *,
    on: str = "valid",
    off: str = "padding",
    position: str = "frame t",
    stages: Mapping[str, Stage] | None = None,
    title: str = "",
    alt: str | None = None,
) -> Picture:
    """Rows of flags on one axis, each with its count.

    Parameters
    ----------
    named : mapping of str to array-like of bool
        Name of each row -> its flags, one per position.
    on, off : str
        What True and False mean: ``"valid"`` and ``"padding"``. Padding is hatched, any other ``off`` left empty.
    position : str
        Label of the axis.
    stages : mapping of str to Stage, optional
        Stage of a row, which gives its colour; the feature encoder unless given.
    title : str
        Above the figure.
    alt : str, optional
        Made from the data unless given: where the stretches begin and end.

    Raises
    ------
    ValueError
        If there is no row, or a row is empty.
    """
    rows = {name: [bool(flag) for flag in as_list(flags)] for name, flags in named.items()}
    if not rows or not all(rows.values()):
        raise ValueError("wanted at least one row of at least one flag, such as {'formula': [True, False]}")
    other = "padding" if off == "padding" else "empty"
    tracks = [
        Track(
            name,
            pieces_of(flags, "valid", other),
            f"{sum(flags)} of {len(flags)}",
            stage=(stages or {}).get(name, FEATURE_ENCODER),
        )
        for name, flags in rows.items()
    ]
    words = {"valid": f"solid: {on}"} | ({} if other == "padding" else {"empty": f"empty: {off}"})
    return track_figure(tracks, x_label=position, title=title, words=words, alt=alt)
