"""A clip in: read a sound file, mix it to mono, bring it to 16 kHz; and a few clips of speech to start with.

wav2vec 2.0 was trained on mono speech at 16 000 samples per second and hears nothing else: the model has no idea of
the sample rate, it only counts samples. A recording at 44.1 kHz, fed as it is, sounds 2.76 times too slow to it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import torch

from w2vlearn.paths import local_path

__all__ = ["SAMPLE_RATE", "AudioStream", "AudioWarning", "MissingAudioError", "example", "example_clips", "read_audio"]

SAMPLE_RATE = 16_000
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # what a microphone or a sound file can mean; the rest is a broken header

_CLIPS = Path(__file__).parent / "data" / "clips"
_READABLE = "WAV, FLAC, OGG or MP3; `ffmpeg -i yours out.wav` turns others into WAV"
_BLOCK_S = 10.0  # seconds of a file held at a time
_CUT_S = 0.1  # seconds that may be missing: MP3 encoders count a little differently


class MissingAudioError(FileNotFoundError, ValueError):
    """The sound file does not exist. Caught by ``except ValueError`` and by ``except FileNotFoundError``."""


class AudioWarning(UserWarning):
    """A sound file holds less, or more, than its header says; what could be read was read."""


def read_audio(path: str | os.PathLike[str]) -> torch.Tensor:
    """Read a sound file as the model wants it: one channel, 16 000 samples per second.

    Parameters
    ----------
    path : str or path
        A WAV, FLAC, OGG or MP3 file, of any sample rate and any number of channels. ``~`` is your home folder.

    Returns
    -------
    torch.Tensor
        Float32, shape (L,). Integer formats arrive in [-1, 1); float files keep the values they hold.

    Raises
    ------
    TypeError
        If ``path`` is no path.
    ValueError
        If the file is missing, a directory, a URL, empty, not audio, damaged (a FLAC that was cut is: its last frame
        cannot be decoded), of zero length, of a sample rate outside 1 to 768 kHz, or holds NaN or infinity. The message
        says what was found and what to do.

    Warns
    -----
    AudioWarning
        If a WAV, MP3 or OGG file ends before the length in its header, or its header says 0 samples before sound. What
        was read counts: it is returned.

    Notes
    -----
    Channels are averaged, so a stereo file whose channels cancel becomes silence. The resampler (soxr, high quality)
    keeps time: second 1.5 of the file is second 1.5 of the result. Nothing is normalised here; `pad` does that when
    asked. For a recording of hours see `AudioStream`.
    """
    stream = AudioStream(path)
    clip = torch.cat(list(stream))  # [(n,)] -> (L,)
    for note in stream.notes:
        warnings.warn(f"{stream.path}: {note}", AudioWarning, stacklevel=2)
    return clip


@dataclass
class AudioStream:
    """A sound file block by block, never whole in memory; iterate over it as often as you like.

    Attributes
    ----------
    path : str or path
    sample_rate : int
        Samples per second of the blocks.
    notes : list of str
        After the end was reached: how the sound that was read differs from what the file's header says.

    Raises
    ------
    TypeError, ValueError
        What `read_audio` raises, in its words: for the path (and the rate) at once, for the content when it is read.
    """

    path: str | os.PathLike[str]
    sample_rate: int = SAMPLE_RATE
    notes: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.path = _checked_path(self.path)
        rate = self.sample_rate
        if isinstance(rate, bool) or not hasattr(rate, "__index__") or not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise ValueError(
                f"sample_rate wants a whole number of samples per second, {LOWEST_RATE} to {HIGHEST_RATE}, "
                f"got {rate!r}. wav2vec 2.0 hears {SAMPLE_RATE}; is this a number of kHz?"
            )

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Blocks of the waveform. Shapes: (n,), float32; together what `read_audio` gives."""
        import soundfile
        import soxr

        rate, position, length = 0, 0, 0  # the file's samples per second, its samples read, samples given
        try:
            with _opened(self.path) as (file, content):
                rate = file.samplerate
                if not LOWEST_RATE <= rate <= HIGHEST_RATE:
                    raise ValueError(
                        f"{self.path}: its header says {rate} samples per second; wanted {LOWEST_RATE} to "
                        f"{HIGHEST_RATE}. The header is probably wrong: export the file again."
                    )
                resampler = soxr.ResampleStream(rate, self.sample_rate, 1, dtype="float32", quality="HQ")
                at_end = False
                while not at_end:
                    block = file.read(round(_BLOCK_S * rate), dtype="float32", always_2d=True)  # (n, channels)
                    at_end = not len(block)
                    mono = block.mean(axis=1)  # (n, channels) -> (n,)
                    _check_finite(mono, position, self.path)
                    position += len(mono)
                    if rate != self.sample_rate:
                        mono = resampler.resample_chunk(mono, last=at_end)  # keeps a little back until the end
                    length += len(mono)
                    if len(mono):
                        yield torch.from_numpy(mono.astype("float32", copy=True))
                self.notes = _differences(file, content, position)
        except PermissionError as error:
            raise ValueError(f"{self.path}: this user may not read it. Change its permissions or copy it.") from error
        except (soundfile.SoundFileError, OSError) as error:
            after = f" after {position / rate:.2f} s" if position else ""
            reason = getattr(error, "error_string", error)
            raise ValueError(
                f"{self.path}: not audio that can be read, or damaged{after} ({reason}); wanted {_READABLE}."
            ) from error
        if not position:
            raise ValueError(
                f"{self.path}: a sound file of zero length; wanted at least one sample. Record or export it again."
            )
        if not length:
            raise ValueError(
                f"{self.path}: {position} samples at {rate} Hz are less than one sample at {self.sample_rate} Hz; "
                "wanted a longer recording."
            )


def example_clips() -> dict[str, Path]:
    """The clips of speech that come with the package: name -> FLAC file, 16 kHz, mono, 1 to 4 seconds.

    Returns
    -------
    dict of str to Path
        Sorted by name. Which voice says what, and the command that made them, is in ``README.md`` beside the files.
    """
    return {file.stem: file for file in sorted(_CLIPS.glob("*.flac"))}


def example(name: str) -> torch.Tensor:
    """One of the built-in clips, read.

    Parameters
    ----------
    name : str
        A key of `example_clips`, such as ``"digits"``.

    Returns
    -------
    torch.Tensor
        Float32, shape (L,), 16 000 samples per second.

    Raises
    ------
    ValueError
        If there is no clip of that name; the message lists those that exist.
    """
    clips = example_clips()
    if not isinstance(name, str) or name not in clips:
        raise ValueError(
            f"no built-in clip {name!r}; there are {', '.join(clips)}. For a file of your own: read_audio."
        )
    return read_audio(clips[name])


def _checked_path(path: str | os.PathLike[str]) -> Path:
    """The path of a file that exists and is not empty, or an error that says what is wrong."""
    file = local_path(path, "read_audio")
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise MissingAudioError(
            f"{file}: no such file (looked in {file.absolute().parent}). Check the name and the folder."
        ) from None
    except OSError as error:
        raise ValueError(f"{file}: cannot be opened ({error.strerror}). Check the name and the folder.") from error
    if file.is_dir():
        raise ValueError(f"{file}: a directory, not a sound file. Pass one file at a time.")
    if not file.is_file():
        raise ValueError(f"{file}: a pipe or a device, not a file. Save the sound into a file first.")
    if status.st_size == 0:
        raise ValueError(f"{file}: empty, 0 bytes; wanted {_READABLE}. Perhaps the download or the recording failed.")
    return file


def _check_finite(mono, position: int, path: Path) -> None:
    """Refuse NaN and infinity, which a float file can hold and which would spread over every frame."""
    import numpy

    finite = numpy.isfinite(mono)
    if not finite.all():
        first = int(finite.argmin())
        raise ValueError(
            f"{path}: sample number {position + first} is NaN or infinite ({mono[first]}). "
            "Export the file again, or cut it before that sample."
        )


@contextmanager
def _opened(path: Path) -> Iterator[tuple]:
    """The file as a ``soundfile.SoundFile`` that is read from the front to its very end, and the same file open."""
    import soundfile

    with open(path, "rb") as content:
        try:
            file = soundfile.SoundFile(_Content(content))
        except soundfile.LibsndfileError as error:
            if path.suffix.lower() != ".mp3":
                raise
            try:  # an MP3 with something before its first frame is known by its name only
                file = soundfile.SoundFile(path)
            except soundfile.LibsndfileError:
                raise error from None
        with file:
            file.seekable = lambda: False  # else soundfile stops at the header's length and seeks after each block
            yield file, content


class _Content:
    """An open file as soundfile reads it: without a name, from which it would guess a format (``x.raw``).

    A WAV header whose data chunk has size 0, because its writer never came back to fill it in, reads as "to the end".
    """

    def __init__(self, file: BinaryIO):
        size_at, data_bytes, _ = _wav_header(file) or (0, None, 0)
        self._ones = range(size_at, size_at + 4) if data_bytes == 0 else range(0)
        self._file, self.seek, self.tell = file, file.seek, file.tell
        file.seek(0)

    def read(self, count: int) -> bytes:
        start = self._file.tell()
        data = bytearray(self._file.read(count))
        for position in self._ones:
            if start <= position < start + len(data):
                data[position - start] = 0xFF
        return bytes(data)


def _wav_header(file: BinaryIO) -> tuple[int, int, int] | None:
    """Where the size of a WAV file's data chunk stands, that size as it is written, and the bytes of a second of sound.

    libsndfile gives a corrected size. None for other formats.
    """
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    bytes_per_second = 0
    while len(chunk := file.read(8)) == 8:
        start, size = file.tell(), int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return start - 4, size, bytes_per_second
        if chunk[:4] == b"fmt ":
            bytes_per_second = int.from_bytes(file.read(12)[8:], "little")
        file.seek(start + size + size % 2)
    return None


def _differences(file, content: BinaryIO, samples: int) -> list[str]:
    """How the ``samples`` that were read differ from what the file says about its length, in words."""
    read_s, promised_s = samples / file.samplerate, file.frames / file.samplerate
    if file.format == "FLAC":
        return []  # one that is cut is damaged; a length of 0 means "unknown"
    if file.format == "OGG":
        size = content.seek(0, os.SEEK_END)
        content.seek(max(0, size - 100_000))  # a page has less than 65,308 bytes
        _, capture_pattern, page = content.read().rpartition(b"OggS")
        end_mark = 4  # in the second byte after it; RFC 3533, section 6: last page of the stream
        whole = capture_pattern and len(page) > 1 and page[1] & end_mark
        return [] if whole else [f"{read_s:.2f} s were read, and it has no end mark: it was probably cut"]
    if file.format == "MP3":
        content.seek(0)
        tag = content.read(10)  # an ID3 tag comes before the frames; its size has 7 bits to a byte
        size = sum(byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
        content.seek(10 + size if tag[:3] == b"ID3" else 0)
        first_frame = content.read(4096)
        if not any(name in first_frame for name in (b"Xing", b"Info", b"VBRI")):  # a recorded radio stream
            return [
                f"it does not tell its length; the decoder guessed it, and {read_s:.2f} s were read. "
                "If sound is missing at the end: `ffmpeg -i yours out.wav`, and read that"
            ]
    if file.format == "WAV":
        _, data_bytes, bytes_per_second = _wav_header(content) or (0, 0, 0)
        # 0xFFFFFFFF, and in older programs 0x7FFFFFFF, stand for "unknown": the sound went through a pipe.
        if not bytes_per_second or data_bytes > 0x7FFF_0000:
            return []
        promised_s = data_bytes / bytes_per_second
    if promised_s == 0:
        return [f"its header says 0 samples, {read_s:.2f} s were read"]
    if promised_s - read_s > _CUT_S:
        return [f"its header says {promised_s:.2f} s, {read_s:.2f} s were read: it was probably cut"]
    return []
