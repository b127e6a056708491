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


@pytest.mark.parametrize(
    "lengths", [(16_000, 23_456, 9_000), (3_000,), (16_000, 16_000), (720, 500), (719, 400), (400,)]
)
def test_a_run_agrees_with_the_formulas(tiny, s, lengths):
    batch = noise(*lengths)
    t = trace(tiny, batch)
    report = s.check(t)
    assert report.ok and report.layers == len(t.records) and report.tensors > 150, str(report)
    if max(lengths) < 720:  # T is 1, as are other axes: some stay unknown, none is called by a wrong name
        assert any("an axis is unknown" in note for note in t.notes)
        return
    assert report.counts > 60
    shapes = s.at(*batch.waveforms.shape, lengths=lengths)
    assert shapes.letters == t.letters and shapes.batch == t.batch
    for record in t.records:
        stated = shapes[record.name, record.call]
        assert [(x.path, x.shape) for x in stated.outputs] == [(x.path, x.shape) for x in record.outputs]
        assert stated.valid == record.valid
    ones_and_zeros = trace(tiny, batch.waveforms, attention_mask=batch.mask.long())
    assert s.check(ones_and_zeros).ok  # the caller's mask has another form


def test_a_wrong_formula_is_told_by_layer(tiny, s):
    t = trace(tiny, noise(16_000, 9_000))
    wrong = dataclasses.replace(s, letters={**s.letters, "T": s.letters["T"] + " + 1"})
    report = wrong.check(t)
    output = Difference("wav2vec2.encoder.layers.0", 0, "output", (2, 50, 48), (2, 49, 48), ("B", "T", 48))
    assert output in report.differences
    assert f"and {len(report.differences) - 20} more" in str(report)
    assert {"valid", "letter T"} <= {d.field for d in report.differences}
    assert [d.field for d in dataclasses.replace(s, records=s.records[:-1]).check(t).differences] == ["layer"]
    without = s.check(trace(tiny, noise(16_000, 9_000).waveforms))
    assert not without.ok and "symbolic_trace(model, mask=False)" in str(without)


# -- each field of an observed trace, corrupted in turn --------------------------------------------------------------


def changed(value):
    """Another value of the same kind."""
    if isinstance(value, tuple):
        last = () if value and dataclasses.is_dataclass(value[-1]) else (changed(value[-1] if value else 0),)
        return (*value[:-1], *last)
    if isinstance(value, bool | int | float):
        return not value if isinstance(value, bool) else value + 1
    return (1, 1) if value is None else Operation("another") if isinstance(value, Operation) else value + "?"


ATTENTION, CONVOLUTION = "wav2vec2.encoder.layers.1.attention", "wav2vec2.feature_extractor.conv_layers.2.conv"


def corrupted(kind: type, name: str, record: LayerRecord) -> LayerRecord:
    """The record with one field of itself, its output, its mask or its operation changed."""
    if kind is LayerRecord:
        new = None if name == "mask" else changed(getattr(record, name))
        return dataclasses.replace(record, **{name: new})
    place, old = {
        TensorInfo: ("outputs", record.output),
        MaskSeen: ("masks", record.mask),
        Operation: ("operation", record.operation),
    }[kind]
    new = dataclasses.replace(old, **{name: changed(getattr(old, name))})
    if kind is Operation:
        return dataclasses.replace(record, operation=new)
    return dataclasses.replace(record, **{place: (new,)}, **({"mask": new} if kind is MaskSeen else {}))


COMPARED = [
    (kind, part.name)
    for kind in (LayerRecord, TensorInfo, MaskSeen, Operation)
    for part in dataclasses.fields(kind)
    if part.name not in NOT_COMPARED.get(kind, ())
]


def with_record(t, index: int, record: LayerRecord) -> Trace:
    records = (*t.records[:index], record, *t.records[index + 1 :])
    return Trace(TraceData(records, t.batch, t.letters), model_name=t.model_name)


@pytest.mark.parametrize(("kind", "name"), COMPARED, ids=lambda value: getattr(value, "__name__", value))
def test_check_names_each_corrupted_field(s, kind, name):
    t = s.at(B=2, L=16_000, lengths=[16_000, 9_000])
    where = CONVOLUTION if kind is Operation else ATTENTION
    index = next(i for i, r in enumerate(t.records) if r.name == where)
    assert s.check(with_record(t, index, t[where])).ok
    wrong = corrupted(kind, name, t[where])
    report = s.check(with_record(t, index, wrong))
    assert not report.ok and {d.name for d in report.differences} <= {where, wrong.name}
    told = {
        "LayerRecord.name": "layer", "LayerRecord.call": "layer", "LayerRecord.inputs": "attention_mask",
        "LayerRecord.outputs": "output", "LayerRecord.masks": "mask", "LayerRecord.operation": "operation, kind",
        "TensorInfo.shape": "output", "TensorInfo.path": "output?", "MaskSeen.argument": "attention_mask?",
    }.get(f"{kind.__name__}.{name}", name)  # fmt: skip
    fields = {d.field for d in report.differences}
    assert told in fields | {word for field in fields for word in field.split()}
    field = {"LayerRecord.status": "status", "TensorInfo.letters": "shape"}.get(f"{kind.__name__}.{name}")
    if kind is MaskSeen and name in ("kind", "form", "true_means"):
        field = "mask"
    if field is not None:
        assert not s.at(B=2, L=16_000).diff(t)
        changes = t.diff(with_record(t, index, wrong)).layers
        assert [(change.names, change.field) for change in changes] == [((ATTENTION,), field)]


def test_a_missing_and_an_additional_mask_step_are_told(s):
    t = s.at(B=2, L=16_000, lengths=[16_000, 9_000])
    index = next(i for i, r in enumerate(t.records) if r.is_mask_step)
    without = Trace(TraceData((*t.records[:index], *t.records[index + 1 :]), t.batch, t.letters))
    assert [(d.name, d.field) for d in s.check(without).differences] == [("sample mask -> frame mask", "layer")]
    other = s.check(with_record(t, index, dataclasses.replace(t[index], name="sample mask -> attention mask")))
    assert ("sample mask -> attention mask", "mask step") in [(d.name, d.field) for d in other.differences]


# -- kept and read again ---------------------------------------------------------------------------------------------


def filled(kind: type, **given):
    """An object whose every field differs from its default."""
    names = {
        f.name: f.name if f.default is dataclasses.MISSING else changed(f.default) for f in dataclasses.fields(kind)
    }
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
    s.save(tmp_path / "s.json")
    (tmp_path / "s.json").write_text((tmp_path / "s.json").read_text()[:500])
    with pytest.raises(ValueError, match="cut off"):
        SymbolicTrace.load(tmp_path / "s.json")
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
