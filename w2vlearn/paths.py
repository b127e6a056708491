"""Paths as people type them: ``~`` is the home folder, and a URL is no path."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["local_path"]


def local_path(path: str | os.PathLike[str], reader: str) -> Path:
    """A path on this computer, ``~`` expanded.

    Parameters
    ----------
    path : str or path
    reader : str
        Who reads it, for the messages: ``"read_audio"``.

    Raises
    ------
    TypeError
        If ``path`` is neither a str nor a path.
    ValueError
        If it is a URL, or starts with the ``~`` of somebody who has no home folder on this computer.
    """
    if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes):
        raise TypeError(f"{reader} wants the path of a file, got {type(path).__name__}: pass a str or a Path.")
    text = os.fspath(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):  # two letters at least: C:/ is a drive
        raise ValueError(
            f"{text}: a URL; {reader} reads from this computer only. Download it first, then pass the path of the file."
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{text}: no such home folder ({error}). Write the whole path.") from error
