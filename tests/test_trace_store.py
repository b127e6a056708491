"""Saving, loading and tables of a trace."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from w2vlearn.tracing import BatchInfo, LayerRecord, MaskSeen, Operation, TensorInfo, Trace, TraceData, trace
from w2vlearn.tracing.store import VERSION


@pytest.fixture(scope="module")
def found(tiny, batch):
    with torch.no_grad():
        return trace(tiny, batch)


def test_a_saved_trace_comes_back_equal(found, tmp_path):
    path = tmp_path / "trace.json"
    found.save(path)
    again = Trace.load(path)
    assert again.data == found.data and again.model_name == "Wav2Vec2ForCTC" and again.output is None
    assert again["wav2vec2.encoder.layers.0"].mask == found["wav2vec2.encoder.layers.0"].mask
    assert str(again) == str(found)
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"]


sizes = st.lists(st.one_of(st.integers(0, 10**6), st.sampled_from(["B", "T", "T+1"])), max_size=4).map(tuple)
words = st.text(max_size=12)
counts = st.one_of(st.none(), st.lists(st.integers(0, 10**6), max_size=3).map(tuple))
tensors = st.lists(st.builds(TensorInfo, path=words, shape=sizes, dtype=words, device=words), max_size=3).map(tuple)
lowest = st.one_of(st.none(), st.floats(allow_nan=False))
seen = st.builds(MaskSeen, words, words, words, sizes, words, words, lowest, counts)
pads = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=2).map(tuple)
operations = st.builds(
    Operation, kind=words, inputs=st.integers(0, 9), kernel=pads.map(lambda p: sum(p, ())), padding=pads
)
records = st.builds(
    LayerRecord,
    name=words,
    call=st.integers(0, 9),
    type=words,
    operation=operations,
    inputs=tensors,
    outputs=tensors,
    mask=st.one_of(st.none(), seen),
    masks=st.lists(seen, max_size=2).map(tuple),
    mixes_time=st.booleans(),
    valid=counts,
    status=words,
)
contents = st.builds(
    TraceData,
    st.lists(records, max_size=3).map(tuple),
    st.one_of(st.none(), st.builds(BatchInfo, st.integers(1, 9), st.integers(1, 9), counts)),
    st.dictionaries(words, st.integers(), max_size=3),
    st.lists(words, max_size=2).map(tuple),
    st.dictionaries(words, words, max_size=2),
)


@given(contents, words, st.one_of(st.none(), words))
def test_any_content_makes_the_round_trip_through_json(content, name, error):
    before = Trace(content, model_name=name, error=error)
    after = Trace.from_dict(json.loads(json.dumps(before.to_dict())))
    assert after == before and (after.model_name, after.error) == (name, error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "is empty"),
        (lambda text: text[: len(text) // 2], "cut off"),
        (lambda text: "no json", "it is no JSON"),
        (lambda text: "[1, 2]", "no saved trace"),
        (lambda text: '{"format": "other"}', "found format 'other'"),
        (
            lambda text: text.replace(f'"version": {VERSION}', '"version": 99', 1),
            f"version 99.*reads version {VERSION}",
        ),
        (lambda text: text.replace('"records"', '"recorde"', 1), "incomplete.*'records' is missing"),
        (lambda text: text.replace('"depth"', '"death"', 1), "incomplete.*'depth' is missing"),
    ],
)
def test_files_that_cannot_be_loaded_say_why(found, tmp_path, change, message):
    path = tmp_path / "trace.json"
    path.write_text(change(json.dumps(found.to_dict())), encoding="utf-8")
    with pytest.raises(ValueError, match=f"trace.json.*{message}"):
        Trace.load(path)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        Trace.load(tmp_path / "absent.json")
    with pytest.raises(FileNotFoundError, match="it is a folder"):
        Trace.load(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match="is not text"):
        Trace.load(tmp_path / "binary")


def test_saving_that_fails_leaves_the_old_file(found, tmp_path, monkeypatch):
    path = tmp_path / "trace.json"
    path.write_text("old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        found.save(path)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["trace.json"]
