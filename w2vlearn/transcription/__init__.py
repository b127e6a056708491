"""A clip to text with times: chunks on the frame grid, greedy CTC decoding, transcript."""

from w2vlearn.transcription.pipeline import transcribe
from w2vlearn.transcription.transcript import Transcript

__all__ = ["Transcript", "transcribe"]
