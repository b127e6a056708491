"""The command line: what it prints, what it refuses and how, and that both of its roads agree."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from w2vlearn import cli
from w2vlearn.audio import example, example_clips
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


def test_from_a_shell():
    done = subprocess.run(
        [sys.executable, "-m", "w2vlearn", "16000", "--preset", "tiny", "--stages"],
        capture_output=True, text=True, cwd=ROOT, check=False, env={"PATH": "", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "T = 49 frames" in done.stdout


def test_a_terminal_without_unicode_gets_no_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "w2vlearn", "16000", "--preset", "tiny"],
        capture_output=True, cwd=ROOT, check=False, env={"PATH": "", "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == b""
    assert b"T = 49 frames" in done.stdout


def test_head_may_stop_reading():
    shell = f"'{sys.executable}' -m w2vlearn 16000 --unfold | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr == "" and done.stdout.splitlines()[-1] == "0"


def test_audio_files(capsys, tmp_path):
    import numpy as np
    import soundfile

    wave, flac = tmp_path / "a.wav", tmp_path / "b.flac"
    soundfile.write(wave, np.zeros(16000, dtype="float32"), 16000)
    soundfile.write(flac, np.full((11025, 2), 0.1, dtype="float32"), 22050)
    status, out, _ = run(capsys, str(wave), str(flac), "--preset", "tiny")
    assert status == 0
    assert "2 clips in one batch of 16000, 8000 samples" in out and "49, 24" in out


@pytest.mark.parametrize(
    "words, samples",
    [
        (["16,000"], 16_000),
        (["16_000"], 16_000),
        (["16 000"], 16_000),
        (["1,920,000"], 1_920_000),
        (["16000,"], 16_000),
        (["1s"], 16_000),
        (["1", "s"], 16_000),
        (["0.5 s"], 8000),
        ([".25s"], 4000),
        (["62.5ms"], 1000),
        (["2", "min"], 1_920_000),
    ],
)
def test_lengths_as_people_write_them(capsys, words, samples):
    assert run(capsys, *words, "--preset", "tiny") == run(capsys, str(samples), "--preset", "tiny")


def test_a_number_that_is_the_name_of_a_file_names_the_file(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "16000").write_bytes(example_clips()["yes"].read_bytes())
    assert f"1 clip of {len(example('yes'))} samples" in run(capsys, "16000", "--preset", "tiny")[1]


def test_what_is_odd_about_a_file_is_said_beside_the_table(capsys, tmp_path):
    soundfile.write(tmp_path / "cut.wav", soundfile.read(example_clips()["yes"])[0], 16_000)
    data = (tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[:-8000])
    status, out, err = run(capsys, str(tmp_path / "cut.wav"), "--preset", "tiny")
    assert status == 0 and f"{len(example('yes')) - 4000} samples" in out
    assert err.startswith("w2vlearn: ") and "probably cut" in err and err.count("\n") == 1


def test_an_hour_takes_no_run(capsys):
    status, out, _ = run(capsys, "57600000")
    assert status == 0 and "179999" in out


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(capsys, preset):
    status, out, _ = run(capsys, "16000", "--preset", preset, "--stages")
    assert status == 0 and "T = 49 frames" in out


def test_presets_are_those_there_are():
    assert cli.PRESETS == PRESETS


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("lengths", [(16000, 23456, 40000), (400,), (719, 720)])
def test_formulas_and_run_show_the_same(lengths, masked):
    """Both roads: the same calls, shapes, letters, masks and real positions, to the last number."""
    derived, observed = cli.derived(lengths, "tiny", masked), cli.observed(lengths, "tiny", masked)
    assert [record.name for record in derived] == [record.name for record in observed]
    for one, two in zip(derived, observed, strict=True):
        if not one.is_mask_step:
            assert [info.shape for info in one.outputs] == [info.shape for info in two.outputs], one.name
        assert (one.output.shape, one.output.letters, one.valid) == (two.output.shape, two.output.letters, two.valid), (
            one.name
        )
        assert (one.operation, one.parameters, one.mixes_time) == (
            two.operation,
            two.parameters,
            two.mixes_time,
        ) or one.is_mask_step
        assert (one.mask and one.mask.kind) == (two.mask and two.mask.kind), one.name
    assert derived.letters == observed.letters


def test_run_observes(capsys):
    status, out, _ = run(capsys, "16000", "40000", "--preset", "tiny", "--run")
    assert status == 0 and "nothing was run" not in out and "49, 124" in out


def test_no_mask(capsys):
    with_mask, without = run(capsys, "16000", "40000")[1], run(capsys, "16000", "40000", "--no-mask")[1]
    assert "attention mask" in with_mask and "sample mask" in with_mask
    assert "attention mask" not in without and "takes padding for audio" in without


def test_json_can_be_loaded_again(capsys, tmp_path):
    status, out, _ = run(capsys, "16000", "40000", "--preset", "tiny", "--json")
    assert status == 0 and json.loads(out)["letters"]["T"] == 124
    file = tmp_path / "trace.json"
    file.write_text(out, encoding="utf-8")
    assert table(Trace.load(file)) == table(cli.derived([16000, 40000], "tiny"))


def test_unfold_markdown_and_words(capsys):
    assert "layers.11" in run(capsys, "16000", "--unfold")[1]
    assert "| :-- |" in run(capsys, "16000", "--markdown")[1]
    assert "So there are 49 frames (T)" in run(capsys, "16000", "--words")[1]


def test_help_and_version(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0
    for said in ("--preset", "--json", "--no-mask", "--unfold", "python -m w2vlearn 16000 23456 40000", "clip.wav"):
        assert said in out
    status, out, _ = run(capsys, "--version")
    assert status == 0 and out.startswith("w2vlearn ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give lengths in samples or audio files"),
        (("399",), "clip 0 has 399 samples, one frame needs 400: 1 is missing"),
        (("16000", "390", "--run"), "one frame needs 400"),
        (("16000", "390"), "clip 1 has 390 samples, one frame needs 400: 10 are missing"),
        (("0",), "give a positive length"),
        (("-5",), "give a positive length"),
        (("1.5",), "whole numbers of samples, or seconds with their unit"),
        (("0.33333s",), "whole numbers of samples"),
        (("0s",), "give a positive length"),
        (("16k",), "write 16000, 16_000, 16,000 or 1s"),
        (("16000,23456",), "a space between two lengths"),
        (("16.000",), "whole numbers of samples"),
        (("1e5",), "write 16000"),
        (("1e400",), "write 16000"),
        (("https://example.org/a.wav",), "a URL"),
        (("no_such_file.wav",), "no_such_file.wav"),
        (("16000", "--json", "--markdown"), "choose one of --json and --markdown"),
        (("16000", "--unfold", "--stages"), "choose one of --unfold and --stages"),
    ],
)
def test_mistakes_are_told_in_one_line(capsys, words, said):
    assert said in refused(capsys, *words)


def test_a_file_that_is_no_audio(capsys, tmp_path):
    text = tmp_path / "notes.wav"
    text.write_text("no audio at all")
    assert "notes.wav" in refused(capsys, str(text))
    assert refused(capsys, str(tmp_path))


def test_an_unknown_preset_or_option_is_refused(capsys):
    status, _, err = run(capsys, "16000", "--preset", "huge")
    assert status == 2 and "large_lv60" in err
    assert run(capsys, "16000", "--nonsense")[0] == 2
