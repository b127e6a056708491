"""Things to move: the shape explorer, and your own voice."""

import sys
import types

from w2vlearn.explore.explorer import Explorer, explore
from w2vlearn.explore.voice import Recorder, record

__all__ = ["Explorer", "Recorder", "explore", "record"]


class _Room(types.ModuleType):
    """Python puts a package's module under its name, so ``w2vlearn.explore`` may be this room and not the function."""

    def __call__(self, *clips, **state):
        return explore(*clips, **state)


_Room.__call__.__doc__ = explore.__doc__
sys.modules[__name__].__class__ = _Room
