"""Trained weights in and out, in Hugging Face's format: a folder, a built-in model or a hub id."""

from w2vlearn.checkpoints.files import CheckpointError, built_in
from w2vlearn.checkpoints.loading import Loaded, load, save
from w2vlearn.checkpoints.processing import Processing
from w2vlearn.checkpoints.vocabulary import Vocabulary

__all__ = ["CheckpointError", "Loaded", "Processing", "Vocabulary", "built_in", "load", "save"]
