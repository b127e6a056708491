"""Things to move: the shape explorer, and your own voice."""

from w2vlearn.explore.explorer import Explorer, explore
from w2vlearn.explore.voice import Recorder, record

__all__ = ["Explorer", "Recorder", "explore", "record"]
