"""The command line: clips in, the table of their journey out.

python -m w2vlearn 16000 23456 40000          # lengths in samples
python -m w2vlearn clip.wav other.flac        # audio files
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from w2vlearn.config import PRESETS, Wav2Vec2Config
from w2vlearn.geometry import FrameGeometry

_EPILOG = """\
examples:
  python -m w2vlearn 16000 23456 40000           three clips, lengths in samples (16000 = 1 s)
  python -m w2vlearn 1s 2.5s                     the same in seconds of 16 kHz audio (also ms, min, h)
  python -m w2vlearn clip.wav other.flac         audio files, read as 16 kHz mono
  python -m w2vlearn 16000 40000 --preset large_lv60 --no-mask
  python -m w2vlearn --transcribe clip.wav       spoken digits, by the small model in the package (--json: for programs)
  python -m w2vlearn 16000 --json > trace.json   everything, for programs; w2vlearn.Trace.load reads it

The shapes come from formulas that were derived from the model's own operations, so an hour of audio takes no longer
than a second of it. --run builds the model (without trained weights: nothing is downloaded), runs it and observes.
"""


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    arguments = argparse.ArgumentParser(
        prog="python -m w2vlearn",
        description="Show how clips of different length become T frames of 768 features: the shape, the valid "
        "positions and the mask at every layer of wav2vec 2.0.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = arguments.add_argument
    add("clips", nargs="*", metavar="CLIP", help="length in samples (16000) or seconds (1s), or an audio file")
    add("--preset", choices=PRESETS, default="base", help="which model (default: base)")
    add("--no-mask", action="store_true", help="hand the model no mask, as if padding were audio")
    add("--run", action="store_true", help="run the model and observe, instead of evaluating formulas")
    add("--unfold", action="store_true", help="one line per layer call, nothing folded")
    add("--stages", action="store_true", help="only the stages and the mask steps")
    add("--words", action="store_true", help="the journey in words instead of the table")
    add("--markdown", action="store_true", help="the table as Markdown")
    add("--json", action="store_true", help="the whole trace, or with --transcribe the transcripts, as JSON")
    add("--transcribe", action="store_true", help="write down what is said in audio files, with times")
    add("--model", metavar="NAME", help="with --transcribe: digits-group (default), digits-layer, a folder or a hub id")
    add("--width", type=int, metavar="N", help="columns of the table (default: the terminal's)")
    add("--version", action="version", version=f"w2vlearn {_version()}")
    return arguments


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows ``python -m w2vlearn``; the process's own by default.

    Returns
    -------
    int
        0, or 2 after a mistake, which is told in one line on stderr.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no "→" gets "?", not a traceback
    options = parser().parse_args(arguments)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)  # a file that was cut
            answer = _answer(options)
        for warning in caught:
            print(f"w2vlearn: {_one_line(warning.message)}", file=sys.stderr)
        print(answer)
        sys.stdout.flush()
    except BrokenPipeError:  # "| head" has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    except (ValueError, TypeError, OSError) as error:
        print(f"w2vlearn: {_one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _answer(options: argparse.Namespace) -> str:
    """What to print for these options."""
    asked = [f"--{name}" for name in ("json", "markdown", "words") if getattr(options, name)]
    if len(asked) > 1:
        raise ValueError(f"choose one of {' and '.join(asked)}: they are different outputs")
    if options.unfold and options.stages:
        raise ValueError("choose one of --unfold and --stages: they are opposite levels of detail")
    if not options.clips:
        raise ValueError(
            "no clip given: give lengths in samples or audio files, for example: python -m w2vlearn 16000 23456 40000"
        )
    if options.transcribe or options.model:
        return transcripts(options)
    clips = [read_clip(argument) for argument in _joined(options.clips)]
    method = observed if options.run else derived
    trace = method(clips, options.preset, masked=not options.no_mask)
    level = "all" if options.unfold else "stages" if options.stages else "layers"
    if options.json:
        return json.dumps(trace.to_dict(), indent=1)
    if options.words:
        from w2vlearn.show.journey import journey_text

        return journey_text(trace)
    from w2vlearn.show import trace_table

    if options.markdown:
        return trace_table.markdown(trace, level).rstrip("\n")
    return trace_table.text(trace, level, options.width or trace_table.terminal_width())


def transcripts(options: argparse.Namespace) -> str:
    """What is said in each file: text, then words with times; or all of it as JSON."""
    if not options.transcribe:
        raise ValueError("--model chooses who writes: add --transcribe (tables take --preset)")
    others = [f"--{name}" for name in ("markdown", "words", "unfold", "stages", "run") if getattr(options, name)]
    if others:
        raise ValueError(f"choose one of --transcribe and {others[0]}: they are different outputs")
    files = _joined(options.clips)
    lengths = [argument for argument in files if _as_length(argument)]
    if lengths:
        raise ValueError(f"--transcribe needs audio files, {lengths[0]} is a length: nothing is said in it")
    from w2vlearn.checkpoints import load
    from w2vlearn.transcription import transcribe

    model = load(options.model or "digits-group")
    written = {file: transcribe(model, file) for file in files}
    if options.json:
        return json.dumps([{"file": file, **written[file].to_dict()} for file in files], indent=1, allow_nan=False)
    return "\n\n".join(f"{file}\n{written[file]}" if len(files) > 1 else str(written[file]) for file in files)


_SECONDS = {"ms": 0.001, "s": 1, "sec": 1, "second": 1, "seconds": 1, "min": 60, "h": 3600}  # units -> seconds


def read_clip(argument: str) -> int | Any:
    """What an argument names: a length in samples (16000, 16_000, 1s), or the waveform (L,) of an audio file."""
    if not (length := _as_length(argument)):
        from w2vlearn.audio import read_audio

        return read_audio(argument)
    number, unit = length["number"].strip().removesuffix(","), length["unit"]
    if re.fullmatch(r"[+-]?\d{1,3}([,_' ]\d{3})+", number):
        number = re.sub(r"[,_' ]", "", number)
    if unit in ("k", "kb") or not re.fullmatch(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)", number):
        raise ValueError(
            f"{argument!r} is no length: write 16000, 16_000, 16,000 or 1s, and a space between two lengths"
        )
    value = float(number) * (_SECONDS[unit] * FrameGeometry.sample_rate if unit else 1)
    samples = round(value)
    if abs(value - samples) > 1e-6 or (not unit and "." in number):
        raise ValueError(
            f"{argument!r} is no length: lengths are whole numbers of samples, or seconds with their unit; 1s is 16000"
        )
    if samples <= 0:
        raise ValueError(f"a clip of {argument} is no clip: give a positive length")
    return samples


def _as_length(argument: str) -> re.Match | None:
    """The parts of an argument that means a length, well written or not, if no file of that name exists."""
    number, unit = r"[+-]?[\d.,_' e]*\d[\d.,_' ]*", "|".join([*_SECONDS, "k", "kb"])
    length = re.fullmatch(rf"\s*(?P<number>{number})(?P<unit>{unit})?\s*", argument)
    return length if length and not Path(argument).exists() else None


def _joined(arguments: Sequence[str]) -> list[str]:
    """Arguments with a unit that stands alone put behind its number: ``1 s`` is one length."""
    joined: list[str] = []
    for argument in arguments:
        if argument in _SECONDS and joined and _as_length(joined[-1]) and not os.path.exists(argument):
            joined[-1] += argument
        else:
            joined.append(argument)
    return joined


def derived(clips: Sequence[int | Any], preset: str = "base", masked: bool = True) -> Any:
    """A trace of a preset with a CTC head by its stored formulas, nothing run."""
    from w2vlearn.symbolic import SymbolicTrace
    from w2vlearn.tracing import BatchInfo, Trace, TraceData

    geometry = FrameGeometry.from_config(Wav2Vec2Config.from_preset(preset))
    lengths = [clip if isinstance(clip, int) else len(clip) for clip in clips]
    for index, samples in enumerate(lengths):
        if not geometry.frame_count(samples):
            raise ValueError(
                f"clip {index} has {samples} samples, one frame needs {geometry.receptive_field}: "
                f"{geometry.receptive_field - samples} too few (clips count from 0)"
            )
    shapes = SymbolicTrace.preset(preset, masked).at(B=len(lengths), L=max(lengths), lengths=lengths)
    notes = ("from formulas that were derived from the model's own operations; nothing was run (--run does that)",)
    if not masked:
        notes += ("no mask: the model takes padding for audio",)
    batch = BatchInfo(len(lengths), max(lengths), tuple(lengths))
    return Trace(TraceData(shapes.records, batch, dict(shapes.letters), notes), model_name=shapes.model_name)


def observed(clips: Sequence[int | Any], preset: str = "base", masked: bool = True) -> Any:
    """A trace of a preset with a CTC head, random weights, that was run on these clips, padded to one batch.

    A length gives noise from a fixed seed: shapes depend neither on what a clip says nor on weights.
    """
    import torch

    from w2vlearn.batch import pad
    from w2vlearn.model import Wav2Vec2ForCTC
    from w2vlearn.tracing import trace

    generator = torch.Generator().manual_seed(0)
    batch = pad([0.1 * torch.randn(clip, generator=generator) if isinstance(clip, int) else clip for clip in clips])
    model = Wav2Vec2ForCTC(Wav2Vec2Config.from_preset(preset)).eval()
    with torch.no_grad():
        return trace(model, batch) if masked else trace(model, batch, attention_mask=None)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("w2vlearn")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "(not installed)"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
