"""`symbolic_trace` on our own model: what it says, for which batches, and that derive, observe and prove meet."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2Model, pad, trace
from w2vlearn.symbolic import Range, SymbolicTrace, symbolic_trace
from w2vlearn.symbolic.agreement import NOT_COMPARED
from w2vlearn.symbolic.expressions import compiled, to_json
from w2vlearn.tracing import LayerRecord, MaskSeen, Operation, TensorInfo, Trace, TraceData


@pytest.fixture(scope="module")
def s(tiny) -> SymbolicTrace:
    return symbolic_trace(tiny)


def noise(*lengths: int):
    generator = torch.Generator().manual_seed(1)
    return pad([torch.randn(n, generator=generator) for n in lengths])


def test_every_layer_in_letters(s):
    assert s[""].input.shape == ("B", "L")
    assert s["wav2vec2.feature_extractor.conv_layers.0.conv"].output.shape == ("B", 24, "T1")
    assert s["wav2vec2.feature_extractor"].output.shape == ("B", 24, "T")
    assert s["wav2vec2.encoder.pos_conv_embed.conv"].output.shape == ("B", 48, "T+1")
    assert s["wav2vec2.encoder.layers.0"].output.shape == ("B", "T", 48)
    assert s["wav2vec2.encoder.layers.0"].output.letters == ("B", "T", "D")
    assert s["lm_head"].output.shape == ("B", "T", 32)
    assert list(s.letters) == ["B", "L", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T"]
    with pytest.raises(KeyError, match=r"encoder\.layers\.0"):
        s["encoder.layers.0"]


def test_masks_on_their_way(s):
    steps = [(r.name, r.mask.shape) for r in s.masks if r.is_mask_step]
    assert steps == [("sample mask -> frame mask", ("B", "T")), ("frame mask -> attention mask", ("B", 1, "T", "T"))]
    assert s["wav2vec2"].mask.kind == "sample" and s["wav2vec2"].mask.shape == ("B", "L")
    assert s["wav2vec2.encoder"].mask.kind == "frame" and s["wav2vec2.encoder"].mask.shape == ("B", "T")
    assert s["wav2vec2.encoder.layers.1.attention"].mask.shape == ("B", 1, "T", "T")
    assert s["wav2vec2.feature_extractor"].mask is None


def test_the_formula_of_t(s):
    formula = s.formula("T")
    assert str(formula) == (
        "T = floor((L - 400) / 320) + 1\n"
        "  derived from the model's operations: ((L // 80 - 3) // 2 - 1) // 2 + 1\n"
        "  from the length before: (T6 - 2) // 2 + 1\n"
        "  closed form exact: both were compared at all 320 lengths of one period, L = 400 … 719; beyond it both grow "
        "by exactly 1 whenever L grows by 320\n"
        "  holds for L >= 720 and B >= 2 (proved); L = 400 … 719: checked by running; B = 1: checked by running"
    )
    assert formula.status == "exact" and formula.closed.checked == range(400, 720) and formula(L=16_000) == 49
    assert s.formula("T1").chain == "(L - 10) // 5 + 1"
    assert str(s.formula("D")).startswith("D = 48\n")
    with pytest.raises(KeyError, match="this model has B, L, T1"):
        s.formula("T9")


def test_the_range_is_found_and_not_assumed(s):
    proved = s.range
    assert (proved.clips, proved.samples, proved.minimum) == ((2, None), (720, None), 400)
    assert proved.short == proved.one_clip == "agrees" and (1, 400) in proved.runs and (2, 399) in proved.runs
    assert s.at(B=2, L=720).status == "proved"
    assert s.at(B=1, L=720).status == s.at(B=2, L=719).status == "checked by running"
    with pytest.raises(ValueError, match=r"at least 400 samples \(missing: 1\)"):
        s.at(B=2, L=399)
    with pytest.raises(ValueError, match="at least one clip"):
        s.at(B=0, L=400)
    with pytest.raises(TypeError, match="whole number"):
        s.at(B=1, L=16_000.5)
    with pytest.raises(ValueError, match="lengths must be"):
        s.at(B=2, L=400, lengths=[400, 500])
    unchecked = dataclasses.replace(s, range=dataclasses.replace(proved, short="", short_one_clip="breaks"))
    with pytest.raises(ValueError, match="neither proved nor run"):
        unchecked.at(B=2, L=500)
    with pytest.raises(ValueError, match="B = 1, L = 500: breaks"):
        unchecked.at(B=1, L=500)
    assert unchecked.at(B=1, L=720).status == "checked by running"


def test_every_guard_holds_in_the_range_and_the_bound_is_tight(s):
    guards = compiled(s.guards, ("B", "L"))
    assert len(s.guards) > 10
    for length in (720, 721, 1_000, 40_000, 57_600_000):
        assert all(guards(2, length))
    assert not all(guards(2, 719))


@pytest.mark.parametrize("lengths", [(16_000, 23_456, 9_000), (3_000,), (16_000, 16_000), (2_000, 1_500), (720, 500)])
def test_a_run_agrees_with_the_formulas(tiny, s, lengths):
    batch = noise(*lengths)
    t = trace(tiny, batch)
    report = s.check(t)
    assert report.ok and bool(report), str(report)
    assert report.layers == len(t.records) and report.tensors > 150 and report.counts > 60
    shapes = s.at(*batch.waveforms.shape, lengths=lengths)
    assert shapes.letters == t.letters and shapes.batch == t.batch
    for record in t.records:
        stated = shapes[record.name, record.call]
        assert [(x.path, x.shape) for x in stated.outputs] == [(x.path, x.shape) for x in record.outputs]
        assert stated.valid == record.valid


@pytest.mark.parametrize("lengths", [(400,), (719, 400)])
def test_one_frame_says_nothing_wrong(tiny, s, lengths):
    """With T = 1 many axes have size 1: some stay unknown, none is called by a wrong name."""
    t = trace(tiny, noise(*lengths))
    report = s.check(t)
    assert report.ok and report.layers == len(t.records), str(report)
    assert any("an axis is unknown" in note for note in t.notes)


def test_a_wrong_formula_is_told_by_layer(tiny, s):
    t = trace(tiny, noise(16_000, 9_000))
    wrong = dataclasses.replace(s, letters={**s.letters, "T": s.letters["T"] + " + 1"})
    report = wrong.check(t)
    assert "wav2vec2.encoder.layers.0, output: formula (2, 50, 48) = (B, T, 48), observed (2, 49, 48)" in str(
        dataclasses.replace(
            report, differences=[d for d in report.differences if d.name == "wav2vec2.encoder.layers.0"]
        )
    )
    assert {"valid", "letter T"} <= {d.field for d in report.differences}
    assert [d.field for d in dataclasses.replace(s, records=s.records[:-1]).check(t).differences] == ["layer"]
    without = s.check(trace(tiny, noise(16_000, 9_000).waveforms))
    assert not without.ok and "symbolic_trace(model, mask=False)" in str(without)


# -- each field of an observed trace, corrupted in turn --------------------------------------------------------------


def changed(value):
    """Another value of the same kind."""
    if value is None:
        return (1, 1)
    if isinstance(value, tuple):
        return (
            value[:-1]
            if value and dataclasses.is_dataclass(value[0])
            else (*value[:-1], changed(value[-1] if value else 0))
        )
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return Operation("another") if isinstance(value, Operation) else value + "?"


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
        LayerRecord: {
            "name": "layer",
            "call": "layer",
            "inputs": "attention_mask",
            "outputs": "output",
            "masks": "mask",
            "operation": "operation, kind",
        },
        TensorInfo: {"shape": "output", "path": "output?"},
        MaskSeen: {"argument": "attention_mask?"},
    }
    assert told.get(kind, {}).get(name, name) in {word for d in report.differences for word in d.field.split()} | {
        d.field for d in report.differences
    }


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [(LayerRecord, "status", "status"), (TensorInfo, "letters", "shape")]
    + [(MaskSeen, name, "mask") for name in ("kind", "form", "true_means", "lowest")],
)
def test_diff_names_each_corrupted_field(s, kind, name, field):
    t = s.at(B=2, L=16_000, lengths=[16_000, 9_000])
    index = next(i for i, r in enumerate(t.records) if r.name == ATTENTION)
    assert not s.at(B=2, L=16_000).diff(t)
    difference = t.diff(with_record(t, index, corrupted(kind, name, t[ATTENTION])))
    assert [(change.names, change.field) for change in difference.layers] == [((ATTENTION,), field)]


def test_a_missing_and_an_additional_mask_step_are_told(s):
    t = s.at(B=2, L=16_000, lengths=[16_000, 9_000])
    index = next(i for i, r in enumerate(t.records) if r.is_mask_step)
    without = Trace(TraceData((*t.records[:index], *t.records[index + 1 :]), t.batch, t.letters))
    assert [(d.name, d.field) for d in s.check(without).differences] == [("sample mask -> frame mask", "layer")]
    other = s.check(with_record(t, index, dataclasses.replace(t[index], name="sample mask -> attention mask")))
    assert ("sample mask -> attention mask", "mask step") in [(d.name, d.field) for d in other.differences]


def test_a_caller_s_mask_of_ones_and_zeros_is_no_difference(tiny, s):
    batch = noise(16_000, 9_000)
    assert s.check(trace(tiny, batch.waveforms, attention_mask=batch.mask.long())).ok


# -- kept and read again ---------------------------------------------------------------------------------------------


def filled(kind: type, start: int):
    """An object whose every field differs from its default and from every other field."""
    values = {}
    for number, part in enumerate(dataclasses.fields(kind), start):
        values[part.name] = {
            "str": f"{part.name} {number}", "int": number, "int | None": number, "float | None": number + 0.5,
            "bool": not part.default, "tuple[int, ...]": (number, number + 1), "tuple[int, ...] | None": (number,),
            "tuple[tuple[int, int], ...]": ((number, number + 1),), "tuple[int | str, ...]": ("B", number),
            "tuple[str, ...]": (f"{part.name} {number}",), "tuple[int, int | None]": (number, number + 1),
            "Operation": lambda n=number: filled(Operation, 100 * n),
            "MaskSeen | None": lambda n=number: filled(MaskSeen, 100 * n),
            "tuple[TensorInfo, ...]": lambda n=number: (filled(TensorInfo, 100 * n), filled(TensorInfo, 101 * n)),
            "tuple[MaskSeen, ...]": lambda n=number: (filled(MaskSeen, 100 * n),),
        }.get(part.type)  # fmt: skip
        if callable(values[part.name]):
            values[part.name] = values[part.name]()
        if values[part.name] is None:
            del values[part.name]
    if kind is TensorInfo:
        values["letters"] = ("b", "c")
    return kind(**values)


def test_a_round_trip_keeps_every_field(tmp_path):
    record = filled(LayerRecord, 1)
    for item in (record, record.operation, record.mask, record.inputs[0], filled(Range, 1)):
        for part in dataclasses.fields(item):
            assert part.name == "values" or getattr(item, part.name) != part.default
    formulas = {"B": "B", "L": "L", "T": "L // 2"}
    s = SymbolicTrace(
        model_name="name", records=(record, dataclasses.replace(record, call=99, mask=None)), letters=formulas,
        labels={"T+1": "T + 1"}, range=filled(Range, 1), masked=True, guards=("L >= 3",), constants={"D": 4},
        notes=("a",),
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


def test_an_hour_needs_no_run(s):
    shapes = s.at(B=8, L=57_600_000)
    assert shapes["wav2vec2.encoder.layers.1.attention"].inputs[1].shape == (8, 1, 179_999, 179_999)
    assert shapes.letters["T"] == FrameGeometry.from_config(Wav2Vec2Config.tiny()).frame_count(57_600_000)
    assert json.loads(json.dumps(shapes.to_dict()))["letters"]["T"] == 179_999


# -- other models ----------------------------------------------------------------------------------------------------


class Fixes(nn.Module):
    """Turns the length into a constant, which export does in silence."""

    def forward(self, input_values):
        return input_values[:, : int(input_values.shape[1]) // 2]


class Even(nn.Module):
    """Works for even lengths only."""

    def forward(self, input_values):
        return input_values.view(input_values.shape[0], -1, 2) if input_values.shape[1] % 2 == 0 else input_values


def test_constants_and_conditions_are_said():
    fixed = symbolic_trace(Fixes())
    assert any("turned the length into a constant" in note for note in fixed.notes), fixed.notes
    assert fixed.range.samples[0] == fixed.range.samples[1]
    with pytest.raises(ValueError, match="the formulas hold for"):
        fixed.at(B=2, L=16_000)
    even = symbolic_trace(Even())
    assert even.at(B=2, L=16_000)[""].output.shape == (2, 8_000, 2)
    with pytest.raises(ValueError, match="relies on L % 2 == 0, which fails"):
        even.at(B=2, L=16_001)


class TakesLengths(nn.Module):
    """torchaudio's convention."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 10, 5)

    def forward(self, waveforms, lengths=None):
        out = self.conv(waveforms[:, None]).transpose(1, 2)
        return out, None if lengths is None else (lengths - 10) // 5 + 1


class TakesPadding(TakesLengths):
    """fairseq's convention."""

    def forward(self, source, padding_mask=None):
        return self.conv(source[:, None])


def test_other_conventions_and_arguments_by_hand():
    s = symbolic_trace(TakesLengths())
    assert s.masked and s[""].mask.form == "lengths" and s[""].output.shape == ("B", "T", 4)
    s = symbolic_trace(TakesPadding())
    assert s[""].mask.true_means == "padding" and s[""].mask.shape == ("B", "L")
    x = torch.zeros(3, 5_000)
    s = symbolic_trace(TakesPadding(), x, padding_mask=torch.zeros(3, 5_000, dtype=torch.bool))
    assert s.masked and s.formula("T")(L=5_000) == 999
    with pytest.raises(TypeError, match=r"takes a torch\.nn\.Module or the name of a preset, found a list"):
        symbolic_trace([])


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
    assert to_json(proved.letters["L"]) == "L"
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
