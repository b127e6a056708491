"""A sound file block by block: mono, resampled, never whole in memory. For recordings of an hour and more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from w2vlearn.audio import read_audio

__all__ = ["FileStream", "open_stream"]


@dataclass(frozen=True)
class FileStream:
    """A sound file that can be read again and again, block by block; make one with `open_stream`.

    Attributes
    ----------
    path : Path
    sample_rate : int
        Samples per second of the blocks.
    file_rate : int
        Samples per second in the file.
    seconds : float
        Length by the file's header.
    block_s : float
        Seconds of the file read at a time.
    """

    path: Path
    sample_rate: int
    file_rate: int
    seconds: float
    block_s: float

    def __iter__(self) -> Iterator[Tensor]:
        """Blocks of the waveform. Shapes: (n,), float32; together what `read_audio` gives."""
        import numpy
        import soundfile
        import soxr

        resample = None
        if self.file_rate != self.sample_rate:
            resample = soxr.ResampleStream(self.file_rate, self.sample_rate, 1, dtype="float32", quality="HQ")
        position = 0
        with open(self.path, "rb") as stream, soundfile.SoundFile(stream) as file:
            while True:
                block = file.read(
                    round(self.block_s * self.file_rate), dtype="float32", always_2d=True
                )  # (n, channels)
                mono = block.mean(axis=1)  # (n, channels) -> (n,)
                if not numpy.isfinite(mono).all():
                    first = position + int(numpy.isfinite(mono).argmin())
                    raise ValueError(
                        f"{self.path}: sample {first} is NaN or infinite. Export the file again, or cut it"
                    )
                position += len(mono)
                last = not len(block)
                if resample is not None:
                    mono = resample.resample_chunk(mono, last=last)  # the resampler keeps a little back until the end
                if len(mono):
                    yield torch.from_numpy(mono.astype("float32", copy=True))
                if last:
                    return


def open_stream(path: str | os.PathLike[str], sample_rate: int = 16_000, block_s: float = 10.0) -> FileStream:
    """Open a sound file for reading block by block.

    Parameters
    ----------
    path : str or path
        A WAV, FLAC, OGG or MP3 file, any sample rate, any number of channels.
    sample_rate : int
        Samples per second of the result.
    block_s : float
        Seconds of the file held at a time.

    Returns
    -------
    FileStream
        Iterate over it, as often as you like.

    Raises
    ------
    TypeError, ValueError
        What `read_audio` raises, in its words: no such file, not audio, damaged, empty.
    """
    import soundfile

    try:
        with open(path, "rb") as stream, soundfile.SoundFile(stream) as file:
            rate, length, seekable = file.samplerate, file.frames, file.seekable()
    except (OSError, TypeError, soundfile.SoundFileError):
        read_audio(path, sample_rate)  # says in words what is wrong with the file
        raise
    if not length or not seekable or not 1_000 <= rate <= 768_000:
        read_audio(path, sample_rate)
        raise ValueError(f"{path}: its length is not known beforehand; read it with read_audio")
    return FileStream(Path(path), sample_rate, rate, length / rate, block_s)
