"""A clip in: read a sound file, mix it to mono, bring it to 16 kHz; and a few clips of speech to start with.

wav2vec 2.0 was trained on mono speech at 16 000 samples per second and hears nothing else: the model has no idea of
the sample rate, it only counts samples. A recording at 44.1 kHz, fed as it is, sounds 2.76 times too slow to it.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

SAMPLE_RATE = 16_000
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # what a microphone or a sound file can mean; the rest is a broken header

_CLIPS = Path(__file__).parent / "data" / "clips"
_READABLE = "WAV, FLAC, OGG or MP3; `ffmpeg -i yours out.wav` turns others into WAV"


class MissingAudioError(FileNotFoundError, ValueError):
    """The sound file does not exist. Caught by ``except ValueError`` and by ``except FileNotFoundError``."""


def read_audio(path: str | os.PathLike[str], sample_rate: int = SAMPLE_RATE) -> torch.Tensor:
    """Read a sound file as the model wants it: one channel, 16 000 samples per second.

    Parameters
    ----------
    path : str or path
        A WAV, FLAC, OGG or MP3 file, of any sample rate and any number of channels.
    sample_rate : int
        Samples per second of the result. Leave it at 16 000 for wav2vec 2.0.

    Returns
    -------
    torch.Tensor
        Float32, shape (L,). Integer formats arrive in [-1, 1); float files keep the values they hold.

    Raises
    ------
    TypeError
        If ``path`` is no path or ``sample_rate`` no integer.
    ValueError
        If the file is missing, a directory, empty, not audio, damaged, of zero length, of a sample rate outside 1 to
        768 kHz, or holds NaN or infinity. The message says what was found and what to do.

    Notes
    -----
    Channels are averaged, so a stereo file whose channels cancel becomes silence. The resampler (soxr, high quality)
    keeps time: second 1.5 of the file is second 1.5 of the result. Nothing is normalised here; `pad` does that when
    asked.
    """
    file = _checked_path(path)
    sample_rate = _checked_rate(sample_rate)
    waveform, found_rate = _decode(file)  # (L_file, channels)
    if not LOWEST_RATE <= found_rate <= HIGHEST_RATE:
        raise ValueError(
            f"{file}: its header says {found_rate} samples per second; wanted {LOWEST_RATE} to {HIGHEST_RATE}. "
            "The header is probably wrong: export the file again."
        )
    if not len(waveform):
        raise ValueError(f"{file}: a sound file of zero length; wanted at least one sample. Record or export it again.")
    mono = waveform.mean(axis=1)  # (L_file,)
    _check_finite(mono, file)
    if found_rate != sample_rate:
        import soxr

        mono = soxr.resample(mono, found_rate, sample_rate, quality="HQ")  # (L,), L = L_file * sample_rate / found_rate
        if not len(mono):
            raise ValueError(
                f"{file}: {len(waveform)} samples at {found_rate} Hz are less than one sample at {sample_rate} Hz; "
                "wanted a longer recording."
            )
    return torch.from_numpy(mono.astype("float32", copy=True))  # (L,)


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
    """The path as a `Path` to a file that exists and is not empty, or an error that says what is wrong."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"read_audio wants the path of a sound file, got {type(path).__name__}: pass a str or a Path.")
    file = Path(path)
    if not file.exists():
        raise MissingAudioError(
            f"{file}: no such file (looked in {file.absolute().parent}). Check the name and the folder."
        )
    if file.is_dir():
        raise ValueError(f"{file}: a directory, not a sound file. Pass one file at a time.")
    if file.is_file() and file.stat().st_size == 0:
        raise ValueError(f"{file}: empty, 0 bytes; wanted {_READABLE}. Perhaps the download or the recording failed.")
    return file


def _checked_rate(sample_rate: int) -> int:
    """The wanted sample rate, if it is one."""
    if isinstance(sample_rate, bool) or not hasattr(sample_rate, "__index__"):
        raise TypeError(
            f"sample_rate wants a whole number of samples per second, such as {SAMPLE_RATE}; got {sample_rate!r}."
        )
    sample_rate = int(sample_rate)
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise ValueError(
            f"sample_rate wants {LOWEST_RATE} to {HIGHEST_RATE} samples per second, got {sample_rate}. "
            f"wav2vec 2.0 hears {SAMPLE_RATE}; is this a number of kHz?"
        )
    return sample_rate


def _decode(file: Path):
    """Samples (L_file, channels) as a float32 array, and the sample rate in the file's header."""
    import soundfile

    try:
        # Opened here and not by soundfile, which would believe the name: a file called x.raw would ask for its format.
        with open(file, "rb") as stream:
            return soundfile.read(_Nameless(stream), dtype="float32", always_2d=True)
    except PermissionError as error:
        raise ValueError(f"{file}: this user may not read it. Change its permissions or copy it.") from error
    except (soundfile.SoundFileError, TypeError, OSError) as error:
        raise ValueError(f"{file}: not audio that can be read, or damaged ({error}); wanted {_READABLE}.") from error


class _Nameless:
    """A binary file without its name, so that nothing is guessed from the name."""

    def __init__(self, stream):
        self.read, self.seek, self.tell, self.readinto = stream.read, stream.seek, stream.tell, stream.readinto


def _check_finite(mono, file: Path) -> None:
    """Refuse NaN and infinity, which a float file can hold and which would spread over every frame."""
    import numpy

    finite = numpy.isfinite(mono)
    if not finite.all():
        first = int(finite.argmin())
        raise ValueError(
            f"{file}: {int((~finite).sum())} of {len(mono)} samples are NaN or infinite, the first is number {first} "
            f"({mono[first]}). Export the file again, or cut it before that sample."
        )
