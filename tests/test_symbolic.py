"""`symbolic_trace` on our own model: what it says, for which batches, and that derive, observe and prove meet."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2Model, pad, trace
from w2vlearn.config import PRESETS
from w2vlearn.symbolic import Range, SymbolicTrace, symbolic_trace
from w2vlearn.symbolic.agreement import NOT_COMPARED, Difference
from w2vlearn.symbolic.expressions import compiled
from w2vlearn.tracing import BatchInfo, LayerRecord, MaskSeen, Operation, TensorInfo, Trace, TraceData


def on_meta(name: str, norm: str | None = None) -> Wav2Vec2ForCTC:
    config = Wav2Vec2Config.from_preset(name)
    with torch.device("meta"):
        return Wav2Vec2ForCTC(dataclasses.replace(config, feat_extract_norm=norm or config.feat_extract_norm)).eval()


@pytest.fixture(scope="module")
def s() -> SymbolicTrace:
    return symbolic_trace(on_meta("tiny"))


def noise(*lengths: int):
    generator = torch.Generator().manual_seed(1)
    return pad([torch.randn(n, generator=generator) for n in lengths])


def test_layers_masks_and_formulas_in_letters(s):
    assert s[""].input.shape == ("B", "L") and s["lm_head"].output.shape == ("B", "T", 32)
    assert s["wav2vec2.feature_extractor.conv_layers.0.conv"].output.shape == ("B", 24, "T1")
    assert s["wav2vec2.encoder.pos_conv_embed.conv"].output.shape == ("B", 48, "T+1")
    assert s["wav2vec2.encoder.layers.0"].output.letters == ("B", "T", "D")
    assert list(s.letters) == ["B", "L", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T"]
    steps = [(r.name, r.mask.shape) for r in s.masks if r.is_mask_step]
    assert steps == [("sample mask -> frame mask", ("B", "T")), ("frame mask -> attention mask", ("B", 1, "T", "T"))]
    assert s["wav2vec2"].mask.kind == "sample" and s["wav2vec2.encoder"].mask.kind == "frame"
    assert s["wav2vec2.encoder.layers.1.attention"].mask.shape == ("B", 1, "T", "T")
    assert s["wav2vec2.feature_extractor"].mask is None
    assert s.formula("T").status == "exact" and s.formula("T")(L=16_000) == 49  # its text: lesson 2
    assert s.formula("T1").chain == "(L - 10) // 5 + 1" and str(s.formula("D")).startswith("D = 48\n")
    for wrong, message in ((s.formula, "this model has B, L, T1"), (s.__getitem__, r"wav2vec2\.encoder\.layers\.0")):
        with pytest.raises(KeyError, match=message):
            wrong("encoder.layers.0")


def test_the_range_is_found_and_not_assumed(s):
    proved = s.range
    assert (proved.clips, proved.samples, proved.minimum) == ((2, None), (720, None), 400)
    assert proved.short == proved.one_clip == "agrees" and (1, 400) in proved.runs and (2, 399) in proved.runs
    assert s.at(B=2, L=720).status == "proved"
    assert s.at(B=1, L=720).status == s.at(B=2, L=719).status == "checked by running"
    unchecked = dataclasses.replace(s, range=dataclasses.replace(proved, short="", short_one_clip="breaks"))
    assert unchecked.at(B=1, L=720).status == "checked by running"
    for error, message, formulas, arguments in (
        (ValueError, r"at least 400 samples \(missing: 1\)", s, {"B": 2, "L": 399}),
        (ValueError, "at least one clip", s, {"B": 0, "L": 400}),
        (TypeError, "whole number", s, {"B": 1, "L": 16_000.5}),
        (ValueError, "lengths must be", s, {"B": 2, "L": 400, "lengths": [400, 500]}),
        (ValueError, "neither proved nor run", unchecked, {"B": 2, "L": 500}),
        (ValueError, "B = 1, L = 500: breaks", unchecked, {"B": 1, "L": 500}),
    ):
        with pytest.raises(error, match=message):
            formulas.at(**arguments)
    guards = compiled(s.guards, ("B", "L"))  # all hold in the range, and its bound is tight
    assert len(s.guards) > 10 and not all(guards(2, 719))
    assert all(all(guards(2, length)) for length in (720, 721, 1_000, 40_000, 57_600_000))


def test_a_run_agrees_with_the_formulas(tiny, s):
    batch = noise(16_000, 23_456, 9_000)
    t = trace(tiny, batch)
    report = s.check(t)
    assert report.ok and report.layers == len(t.records) and report.tensors > 150 and report.counts > 60, str(report)
    shapes = s.at(*batch.waveforms.shape, lengths=(16_000, 23_456, 9_000))
    assert shapes.letters == t.letters and [r.valid for r in shapes] == [r.valid for r in t]
    short = s.at(2, 16_000, (16_000, 10))  # the second clip has no frame: 0, not 0 + 1 or fewer than none
    assert short["lm_head"].valid == (49, 0) and short["wav2vec2.encoder.pos_conv_embed.conv"].valid == (50, 0)
    assert s.check(trace(tiny, batch.waveforms, attention_mask=batch.mask.long())).ok  # the mask has another form
    short = trace(tiny, noise(719, 400))  # with T = 1 axes stay unknown, none is called by a wrong name
    assert s.check(short).ok and any("an axis is unknown" in note for note in short.notes)
    wrong = dataclasses.replace(s, letters={**s.letters, "T": s.letters["T"] + " + 1"}).check(t)
    output = Difference("wav2vec2.encoder.layers.0", 0, "output", (3, 74, 48), (3, 73, 48), ("B", "T", 48))
    assert output in wrong.differences and {"valid", "letter T"} <= {d.field for d in wrong.differences}
    without = s.check(trace(tiny, batch.waveforms))
    assert not without.ok and "symbolic_trace(model, mask=False)" in str(without)


# -- each field of an observed trace, corrupted in turn --------------------------------------------------------------


def changed(value):
    """Another value of the same kind."""
    if isinstance(value, tuple):
        last = () if value and dataclasses.is_dataclass(value[-1]) else (changed(value[-1] if value else 0),)
        return (*value[:-1], *last)
    if isinstance(value, bool | int | float):
        return not value if isinstance(value, bool) else value + 1
    if isinstance(value, MaskSeen | Operation):
        return None if isinstance(value, MaskSeen) else Operation("another")
    return (1, 1) if value is None else value + "?"


def corrupted(kind: type, name: str, record: LayerRecord) -> LayerRecord:
    """The record with one field of itself, its output, its mask or its operation changed."""
    old = {TensorInfo: record.output, MaskSeen: record.mask, Operation: record.operation}.get(kind, record)
    new = dataclasses.replace(old, **{name: changed(getattr(old, name))})
    parts = {TensorInfo: {"outputs": (new,)}, MaskSeen: {"mask": new, "masks": (new,)}, Operation: {"operation": new}}
    return new if kind is LayerRecord else dataclasses.replace(record, **parts[kind])


def with_records(t, index: int, *records: LayerRecord) -> Trace:
    """The trace with these in the place of one record."""
    records = (*t.records[:index], *records, *t.records[index + 1 :])
    return Trace(TraceData(records, t.batch, t.letters), model_name=t.model_name)


COMPARED = [
    (kind, part.name)
    for kind in (LayerRecord, TensorInfo, MaskSeen, Operation)
    for part in dataclasses.fields(kind)
    if part.name not in NOT_COMPARED.get(kind, ())
]
TOLD = {  # where it is not the field itself
    "LayerRecord.name": "layer", "LayerRecord.call": "layer", "LayerRecord.inputs": "attention_mask",
    "LayerRecord.outputs": "output", "LayerRecord.masks": "mask", "LayerRecord.operation": "operation, kind",
    "TensorInfo.shape": "output", "TensorInfo.path": "output?", "MaskSeen.argument": "attention_mask?",
}  # fmt: skip
DIFF = {
    "LayerRecord.status": "status", "TensorInfo.letters": "shape", "MaskSeen.kind": "mask", "MaskSeen.form": "mask",
    "MaskSeen.true_means": "mask",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), COMPARED, ids=lambda value: getattr(value, "__name__", value))
def test_check_and_diff_name_each_corrupted_field(s, kind, name):
    t = s.at(B=2, L=16_000, lengths=[16_000, 9_000])
    where = "feature_extractor.conv_layers.2.conv" if kind is Operation else "encoder.layers.1.attention"
    index = next(i for i, r in enumerate(t.records) if r.name == f"wav2vec2.{where}")
    assert s.check(with_records(t, index, t[index])).ok
    wrong, key = corrupted(kind, name, t[index]), f"{kind.__name__}.{name}"
    report = s.check(with_records(t, index, wrong))
    assert not report.ok and {d.name for d in report.differences} <= {t[index].name, wrong.name}
    fields = {d.field for d in report.differences}
    assert TOLD.get(key, name) in fields | {word for field in fields for word in field.split()}
    changes = t.diff(with_records(t, index, wrong)).layers
    assert key not in DIFF or [(one.names, one.field) for one in changes] == [((t[index].name,), DIFF[key])]


def test_a_missing_and_an_additional_mask_step_are_told(s):
    t = s.at(B=2, L=16_000, lengths=[16_000, 9_000])
    index = next(i for i, r in enumerate(t.records) if r.is_mask_step)
    missing = s.check(with_records(t, index)).differences
    assert [(d.name, d.field) for d in missing] == [("sample mask -> frame mask", "layer")]
    other = s.check(with_records(t, index, dataclasses.replace(t[index], name="sample mask -> attention mask")))
    assert ("sample mask -> attention mask", "mask step") in [(d.name, d.field) for d in other.differences]
    assert not t.diff(s.at(B=2, L=16_000))


# -- kept and read again ---------------------------------------------------------------------------------------------


def filled(kind: type, **given):
    """An object whose every field differs from its default."""
    names = {
        f.name: f.name if f.default is dataclasses.MISSING
        else 7 if f.default is None and not f.type.startswith("tuple")
        else changed(f.default)
        for f in dataclasses.fields(kind)
    }  # fmt: skip
    return kind(**{name: given.get(name, value) for name, value in names.items() if name != "values"})


def test_a_round_trip_keeps_every_field(tmp_path):
    tensors = tuple(filled(TensorInfo, path=path, shape=("B", 3), letters=("b", "c")) for path in ("one", "two"))
    masks = tuple(filled(MaskSeen, argument=argument, shape=("B", "T")) for argument in ("one", "two"))
    parts = {"inputs": tensors, "outputs": tensors[1:], "mask": masks[0], "masks": masks}
    record = filled(LayerRecord, **parts, operation=filled(Operation, padding=((1, 2),)))
    records = (record, dataclasses.replace(record, call=99, mask=None))
    data = TraceData(records, BatchInfo(2, 9, (9, 5)), {"B": 2}, ("a note",), {"other": record.name})
    t = Trace(data, model_name="name", error="broke")
    for again in (Trace.from_dict(json.loads(json.dumps(t.to_dict()))), pickle.loads(pickle.dumps(t))):
        assert again == t and (again.model_name, again.error) == ("name", "broke")
    s = SymbolicTrace(
        model_name="name", records=records, labels={"T+1": "T + 1"},
        letters={"B": "B", "L": "L", "T": "L // 2"}, range=filled(Range, runs=((1, 2),)), masked=True,
        guards=("L >= 3",), constants={"D": 4}, notes=("a",),
    )  # fmt: skip
    s.save(tmp_path / "s.json")
    for again in (SymbolicTrace.load(tmp_path / "s.json"), pickle.loads(pickle.dumps(s)), copy.deepcopy(s)):
        assert again == s and again.records == s.records


def test_what_is_no_stored_trace_is_refused(s, tmp_path):
    data = json.loads(json.dumps(s.to_dict()))
    assert SymbolicTrace.from_dict(data) == s
    for change, message in (
        ({"version": 99}, "version 99"),
        ({"format": "w2vlearn.trace"}, "not a saved symbolic trace"),
        ({"letters": {"T": "__import__('os')"}}, "damaged"),
        ({"records": [{}]}, "damaged"),
        ({"records": [{"name": "", "inputs": [9_999]}]}, "damaged"),
        ({"range": {"lowest": 1}}, "damaged"),
    ):
        with pytest.raises(ValueError, match=message):
            SymbolicTrace.from_dict({**data, **change})
    with pytest.raises(FileNotFoundError, match="symbolic trace"):
        SymbolicTrace.load(tmp_path / "none.json")


# -- presets ---------------------------------------------------------------------------------------------------------


def test_stored_formulas_equal_a_fresh_derivation(s):
    """The others come from the same run of tools/store_formulas.py, and are held to a run below."""
    assert SymbolicTrace.preset("tiny").to_dict() == s.to_dict()
    assert SymbolicTrace.preset("tiny", mask=False) == symbolic_trace(on_meta("tiny"), mask=False)
    assert SymbolicTrace.preset("base") == symbolic_trace(on_meta("base"))


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("name", PRESETS)
def test_stored_formulas_agree_with_a_run_without_values(name, norm, mask):
    with torch.no_grad(), torch.device("meta"):
        arguments = {"attention_mask": torch.ones(3, 57_600, dtype=torch.bool)} if mask else {}
        t = trace(on_meta(name, norm), torch.zeros(3, 57_600), **arguments)
    stored = SymbolicTrace.preset(name, mask, norm)
    report = stored.check(t)
    assert report.ok, str(report)
    assert report.layers == len(stored)


def test_stored_formulas_need_no_sympy_and_no_compiler():
    code = (
        "import sys; from w2vlearn import symbolic_trace; s = symbolic_trace('large'); t = s.at(B=3, L=40_000); "
        "assert t['wav2vec2.encoder.layers.23'].output.shape == (3, 124, 1024); s.formula('T'); "
        "sys.exit(' '.join({'sympy', 'torch._dynamo', 'matplotlib', 'transformers'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    with pytest.raises(ValueError, match="there are base, large, large_lv60, tiny"):
        SymbolicTrace.preset("huge")
    with pytest.raises(ValueError, match="norm 'batch'; there are group, layer"):
        SymbolicTrace.preset("base", norm="batch")


# -- derive = observe = prove ----------------------------------------------------------------------------------------


@st.composite
def configs(draw) -> Wav2Vec2Config:
    depth = draw(st.integers(1, 4))
    kernels = tuple(draw(st.integers(2, 9)) for _ in range(depth))
    strides = tuple(draw(st.integers(1, 4)) for _ in range(depth))
    return dataclasses.replace(
        Wav2Vec2Config.tiny(),
        conv_dim=(8,) * depth,
        conv_kernel=kernels,
        conv_stride=strides,
        conv_bias=draw(st.booleans()),
        feat_extract_norm=draw(st.sampled_from(["group", "layer"])),
        do_stable_layer_norm=draw(st.booleans()),
        num_hidden_layers=1,
        num_conv_pos_embeddings=draw(st.sampled_from([3, 4, 16])),
    )


@settings(max_examples=4, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(configs(), st.booleans(), st.data())
def test_derive_observe_prove_meet(config, mask, data):
    body = Wav2Vec2Model(config).eval()
    proved = symbolic_trace(body, mask=mask)
    geometry = FrameGeometry.from_config(config)
    assert proved.range.minimum == geometry.receptive_field
    assert all(proved.formula(letter).status == "exact" for letter in proved.letters)
    convolutions = [r for r in proved.records if r.name.startswith("feature_extractor") and r.type == "Conv1d"]
    assert len(convolutions) == len(config.conv_kernel)
    frames = proved.formula("T").closed if "T" in proved.letters else None
    assert frames is None or (frames.offset, frames.hop) == (geometry.receptive_field, geometry.hop)
    for _ in range(3):
        shortest = geometry.receptive_field + 40 * geometry.hop
        lengths = data.draw(st.lists(st.integers(shortest, 2 * shortest), min_size=1, max_size=3))
        batch = pad([torch.randn(n) for n in lengths], minimum_samples=1)
        clips, samples = batch.waveforms.shape
        shapes = proved.at(B=clips, L=samples, lengths=lengths)
        assert [shapes[r.name].output.shape[-1] for r in convolutions] == list(
            geometry.lengths(samples)
        )  # derive = prove
        assert shapes["encoder"].valid == tuple(geometry.frame_count(n) for n in lengths)
        report = proved.check(trace(body, batch) if mask else trace(body, batch.waveforms))  # observe = prove
        assert report.ok, str(report)
