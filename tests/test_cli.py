"""The command line: what it prints, what it refuses and how."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from w2vlearn import cli
from w2vlearn.config import PRESETS
from w2vlearn.show.trace_table import text as table
from w2vlearn.tracing import Trace

ROOT = Path(__file__).parents[1]


def run(capsys, *words):
    """Exit status, stdout and stderr of one command line."""
    try:
        status = cli.main(list(words))
    except SystemExit as leave:
        status = leave.code
    out, err = capsys.readouterr()
    return status, out, err


def refused(capsys, *words):
    """The one line on stderr with which a mistake is answered."""
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, ""), err
    assert err.startswith("w2vlearn: ") and err.count("\n") == 1 and "Traceback" not in err
    return err


def test_three_lengths_give_the_table(capsys):
    status, out, err = run(capsys, "16000", "23456", "40000", "--width", "120")
    assert (status, err) == (0, "")
    assert out.rstrip("\n") == table(cli.derived([16000, 23456, 40000]), width=120)
    assert "49, 73, 124" in out and "layers.0 … 11 × 12" in out


def test_a_terminal_without_unicode_and_a_reader_that_stops_get_no_traceback():
    shell = f"'{sys.executable}' -m w2vlearn 16000 --unfold | head -2; echo ${{PIPESTATUS[0]}}"
    environment = {"PATH": os.defpath, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, cwd=ROOT, check=True, env=environment)
    assert done.stderr == "" and "16000 samples" in done.stdout and done.stdout.splitlines()[-1] == "0"


def test_audio_files_and_what_is_odd_about_them(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", np.zeros(16000, dtype="float32"), 16000)
    soundfile.write("b.flac", np.full((11025, 2), 0.1, dtype="float32"), 22050)
    status, out, err = run(capsys, "a.wav", "b.flac", "--preset", "tiny")
    assert (status, err) == (0, "") and "2 clips in one batch of 16000, 8000 samples" in out and "49, 24" in out
    Path("20000").write_bytes(Path("a.wav").read_bytes()[:-8000])  # a number that is the name of a file names the file
    status, out, err = run(capsys, "20000", "--preset", "tiny")
    assert status == 0 and "1 clip of 12000 samples" in out
    assert err.startswith("w2vlearn: ") and "probably cut" in err and err.count("\n") == 1
    Path("notes.wav").write_text("no audio at all")
    assert "notes.wav" in refused(capsys, "notes.wav") and refused(capsys, str(tmp_path))


@pytest.mark.parametrize(
    "words, samples",
    [("16,000", 16_000), ("16_000", 16_000), ("1,920,000", 1_920_000), ("16000,", 16_000), ("1s", 16_000),
     (".25s", 4000), ("62.5ms", 1000)],
)  # fmt: skip
def test_lengths_as_people_write_them(words, samples):
    assert cli.read_clip(words) == samples


def test_a_unit_or_thousands_after_a_space(capsys):
    spaced = run(capsys, "16 000", "0.5 s", "2", "min", "--preset", "tiny")
    assert spaced == run(capsys, "16000", "8000", "1920000", "--preset", "tiny") and spaced[0] == 0


@pytest.mark.parametrize(
    "options, shown, hidden",
    [
        *((("--preset", preset, "--stages"), ("T = 124 frames",), ()) for preset in PRESETS),
        (("--preset", "tiny", "--run"), ("49, 124",), ("nothing was run",)),
        ((), ("attention mask", "sample mask", "nothing was run"), ()),
        (("--no-mask",), ("takes padding for audio",), ("attention mask",)),
        (("--unfold",), ("layers.11",), ()),
        (("--markdown",), ("| :-- |",), ()),
        (("--words",), ("So there are 124 frames (T)",), ()),
        (("57600000",), ("179999",), ()),  # an hour: nothing is run
    ],
)
def test_options(capsys, options, shown, hidden):
    status, out, err = run(capsys, "16000", "40000", *options)
    assert (status, err) == (0, "")
    flat = " ".join(out.split())  # where lines break depends on the terminal
    assert all(words in flat for words in shown) and not any(words in flat for words in hidden), out


def test_json_can_be_loaded_again(capsys, tmp_path):
    status, out, _ = run(capsys, "16000", "40000", "--preset", "tiny", "--json")
    assert status == 0 and json.loads(out)["letters"]["T"] == 124
    file = tmp_path / "trace.json"
    file.write_text(out, encoding="utf-8")
    assert table(Trace.load(file)) == table(cli.derived([16000, 40000], "tiny"))


def test_help_version_and_what_argparse_refuses(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0
    for message in ("--preset", "--json", "--no-mask", "--unfold", "python -m w2vlearn 16000 23456 40000", "clip.wav"):
        assert message in out
    assert run(capsys, "--version")[1].startswith("w2vlearn ")
    status, _, err = run(capsys, "16000", "--preset", "huge")
    assert status == 2 and "large_lv60" in err
    assert run(capsys, "16000", "--nonsense")[0] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give lengths in samples or audio files"),
        (("399",), "clip 0 has 399 samples, one frame needs 400: 1 too few"),
        (("16000", "390"), "clip 1 has 390 samples, one frame needs 400: 10 too few"),
        (("0",), "give a positive length"),
        (("-5",), "give a positive length"),
        (("1.5",), "whole numbers of samples, or seconds with their unit"),
        (("16k",), "write 16000, 16_000, 16,000 or 1s"),
        (("16000,23456",), "a space between two lengths"),
        (("16.000",), "whole numbers of samples"),
        (("1e5",), "write 16000"),
        (("https://example.org/a.wav",), "a URL"),
        (("no_such_file.wav",), "no_such_file.wav"),
        (("16000", "--json", "--markdown"), "choose one of --json and --markdown"),
        (("16000", "--unfold", "--stages"), "choose one of --unfold and --stages"),
        (("--transcribe", "16000"), "needs audio files, 16000 is a length"),
        (("--transcribe", "1", "s"), "needs audio files, 1s is a length"),
        (("--transcribe", "nowhere.wav"), "no such file"),
        (("--transcribe",), "no clip given"),
        (("--transcribe", "--json", "--markdown", "clip.wav"), "choose one of --json and --markdown"),
        (("--transcribe", "--markdown", "clip.wav"), "choose one of --transcribe and --markdown"),
        (("--model", "digits-layer", "16000"), "add --transcribe"),
        (("--transcribe", "clip.wav", "--model", "nonsense"), "no checkpoint 'nonsense'"),
    ],
)
def test_mistakes_are_told_in_one_line(capsys, words, message):
    assert message in refused(capsys, *words)
