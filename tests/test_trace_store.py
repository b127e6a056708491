"""Saving and loading a trace; that every field comes back is in test_symbolic.py."""

from __future__ import annotations

import json

import pytest
import torch

from w2vlearn.tracing import Trace, trace
from w2vlearn.tracing.store import VERSION


@pytest.fixture(scope="module")
def traced(tiny, batch):
    with torch.no_grad():
        return trace(tiny, batch)


def test_a_saved_trace_comes_back_equal_and_a_save_that_fails_leaves_the_old_file(traced, tmp_path, monkeypatch):
    path = tmp_path / "trace.json"
    traced.save(path)
    again = Trace.load(path)
    assert again.data == traced.data and again.model_name == "Wav2Vec2ForCTC" and again.output is None
    assert str(again) == str(traced)
    path.write_text("old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        traced.save(path)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["trace.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "is empty"),
        (lambda text: text[: len(text) // 2], "cut off"),
        (lambda text: "no json", "it is no JSON"),
        (lambda text: b"\xff\xfe\x00\x80", "is not text"),
        (lambda text: "[1, 2]", "no saved trace"),
        (lambda text: '{"format": "other"}', "found format 'other'"),
        (lambda text: text.replace(f'"version": {VERSION}', '"version": 99'), f"version 99.*reads version {VERSION}"),
        (lambda text: text.replace('"records"', '"recorde"', 1), "incomplete.*'records' is missing"),
        (lambda text: text.replace('"depth"', '"death"', 1), "incomplete.*'depth' is missing"),
        (lambda text: text.replace('"inputs": [', '"inputs": [3, ', 1), "incomplete"),
        (lambda text: text.replace('"records": [', '"records": [null, ', 1), "incomplete"),
        (lambda text: text.replace('"operation": {', '"operation": null, "o": {', 1), "incomplete"),
        (lambda text: text.replace('"letters": {', '"letters": null, "l": {', 1), "incomplete"),
    ],
)
def test_files_that_cannot_be_loaded_say_why(traced, tmp_path, change, message):
    path = tmp_path / "trace.json"
    content = change(json.dumps(traced.to_dict()))
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"trace.json.*{message}"):
        Trace.load(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        Trace.load(tmp_path / "absent.json")
    with pytest.raises(FileNotFoundError, match="it is a folder"):
        Trace.load(tmp_path)
