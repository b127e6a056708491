"""`trace` on any module: what it records, and that nothing else happens."""

from __future__ import annotations

import dataclasses
import gc
import threading
import warnings
import weakref
from collections import namedtuple

import pytest
import torch
from torch import nn
from trace_helpers import Convolutions, TorchaudioLike, untouched

from w2vlearn.tracing import TraceError, trace
from w2vlearn.tracing.hooks import observing
from w2vlearn.tracing.records import CALLED, SKIPPED, WEIGHTS_USED


def test_every_call_in_order_with_depth_and_parameters(tiny, batch):
    with torch.no_grad(), untouched(tiny):
        plain = tiny(batch.waveforms, attention_mask=batch.mask)
        found = trace(tiny, batch)
    assert torch.equal(found.output.logits, plain.logits)
    modules = dict(tiny.named_modules())
    calls = [record for record in found if not record.is_mask_step]
    assert [record.name for record in calls][:4] == [
        "",
        "wav2vec2",
        "wav2vec2.feature_extractor",
        "wav2vec2.feature_extractor.conv_layers.0",
    ]
    called = {name for name, module in modules.items() if type(module) not in (nn.ModuleList, nn.ModuleDict)}
    assert {record.name for record in calls} == called
    for record in calls:
        assert record.parameters == sum(p.numel() for p in modules[record.name].parameters())
    assert found[""].depth == 0 and found["wav2vec2"].depth == 1 and found["wav2vec2.encoder.layers.0"].depth == 3


def test_shapes_letters_and_valid_positions(tiny, batch):
    with torch.no_grad():
        found = trace(tiny, batch)
    width, channels = tiny.config.hidden_size, tiny.config.conv_dim[-1]
    projection = found["wav2vec2.feature_projection.projection"]
    assert projection.input.shape == (3, 124, channels) and projection.input.letters == ("B", "T", "C")
    assert projection.output.shape == (3, 124, width) and projection.output.letters == ("B", "T", "D")
    assert projection.valid == (49, 73, 124)
    assert found["wav2vec2.feature_extractor.conv_layers.0.conv"].valid == (3199, 4690, 7999)
    convolution = found["wav2vec2.encoder.pos_conv_embed.conv"]
    assert convolution.output.letters == ("B", "D", "T+1") and convolution.valid == (50, 74, 125)
    assert found["lm_head"].output.letters == ("B", "T", "V")
    lengths = [f"T{n}" for n in range(1, 8)]
    assert [found.letters[name] for name in lengths] == [7999, 3999, 1999, 999, 499, 249, 124]
    assert found.letters["T"] == 124 and found.letters["B"] == 3 and found.letters["L"] == 40_000
    assert found.letters["C"] == channels and found.letters["D"] == width
    assert found.batch.lengths == (16_000, 23_456, 40_000)
    weights = found["wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight"]
    assert weights.valid is None and not any(letter in "BLT" for letter in weights.output.letters)


def test_mixes_time_where_padding_can_get_in(tiny, batch):
    with torch.no_grad():
        found = trace(tiny, batch)
    looks = {record.name for record in found if record.mixes_time and not record.is_mask_step}
    assert {
        "wav2vec2.feature_extractor.conv_layers.0.conv",
        "wav2vec2.feature_extractor.conv_layers.0.layer_norm",
        "wav2vec2.encoder.pos_conv_embed.conv",
        "wav2vec2.encoder.layers.0.attention",
        "wav2vec2.encoder.layers.0",
        "",
    } <= looks
    assert not looks & {"lm_head", "wav2vec2.feature_projection", "wav2vec2.encoder.layer_norm"}
    assert "wav2vec2.encoder.layers.0.feed_forward" not in looks


Pair = namedtuple("Pair", "left right")


@dataclasses.dataclass
class Both:
    one: torch.Tensor
    many: dict


class Nested(nn.Module):
    """Takes and gives tensors in every kind of container."""

    def forward(self, pair, *rest, table, flag=None):
        return {"first": Both(pair.left + 1, {"deep": [pair.right, (table["x"],)], 7: rest[0]}), "none": None}


def test_tensors_nested_in_containers_are_found_with_their_paths():
    x = torch.zeros(2, 5)
    found = trace(Nested().eval(), Pair(x, x[:, :4]), x[:, :3], table={"x": x[:1], "skip": "text"})
    assert [(t.path, t.shape) for t in found[""].inputs] == [
        ("pair.left", (2, 5)),
        ("pair.right", (2, 4)),
        ("args[1]", (2, 3)),
        ("table.x", (1, 5)),
    ]
    assert [(t.path, t.shape) for t in found[""].outputs] == [
        ("output.first.one", (2, 5)),
        ("output.first.many.deep[0]", (2, 4)),
        ("output.first.many.deep[1][0]", (1, 5)),
        ("output.first.many[7]", (2, 3)),
    ]


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.again = self.shared
        self.unused = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.last = nn.ReLU()

    def forward(self, x):
        return self.last(self.shared(x) + self.again(x[:, :1]))


def test_repeated_calls_shared_modules_and_modules_never_called():
    model = Twice().eval()
    with untouched(model):
        found = trace(model, torch.zeros(2, 3, 4))
        records = found.records
    assert [(r.name, r.call) for r in records] == [
        ("", 0), ("shared", 0), ("shared", 1), ("unused", 0), ("unused.0", 0), ("unused.1", 0), ("last", 0),
    ]  # fmt: skip
    assert found["shared", 1].output.shape == (2, 1, 4) and found["again"] is found["shared"]
    assert found["unused"].status == SKIPPED and found["unused"].depth == 1 and found["last"].status == CALLED
    assert found["unused"].parameters == 20 and found["unused"].outputs == ()
    with pytest.raises(KeyError, match=r"called 2 time"):
        found["shared", 2]
    with pytest.raises(KeyError, match=r"did you mean 'shared'"):
        found["shard"]


class Breaks(nn.Module):
    def __init__(self, where: str):
        super().__init__()
        self.first, self.second, self.third = nn.Conv1d(1, 4, 3), nn.Linear(5, 5), nn.ReLU()
        self.where = where

    def forward(self, x):
        x = self.first(x[:, None])
        if self.where == "own code":
            raise ValueError("own code broke")
        try:
            self.second(x)
        except RuntimeError:
            if self.where == "child":
                raise
        return self.third(x)


@pytest.mark.parametrize(("where", "layer", "cause"), [("child", "second", RuntimeError), ("own code", "", ValueError)])
def test_a_model_that_breaks_names_the_layer_and_leaves_the_partial_trace(where, layer, cause):
    model, x = Breaks(where).eval(), torch.zeros(2, 50)
    with untouched(model), pytest.raises(TraceError) as caught:
        trace(model, x)
    error = caught.value
    assert isinstance(error.__cause__, cause) and str(error.__cause__) in str(error)
    assert (repr(layer) if layer else "the model itself") in str(error)
    assert error.trace.records[-1].name == layer and error.trace.error in str(error)
    assert error.trace["first"].output.shape == (2, 4, 48)
    assert "third" not in error.trace and error.trace.output is None
    assert error.trace[-1].outputs == ()


def test_an_exception_that_the_model_catches_is_no_failure():
    model, x = Breaks("nowhere").eval(), torch.zeros(2, 50)
    with untouched(model):
        found = trace(model, x)
    assert [(r.name, r.depth) for r in found] == [("", 0), ("first", 1), ("second", 1), ("third", 1)]


def test_wrong_arguments_and_no_module():
    with pytest.raises(TraceError, match=r"the model itself \(Linear\) raised TypeError"):
        trace(nn.Linear(2, 2).eval())
    with pytest.raises(TypeError, match=r"found a function"):
        trace(lambda x: x, torch.zeros(1))


def test_keyboard_interrupt_passes_through_and_hooks_go():
    class Stopped(nn.Module):
        def forward(self, x):
            raise KeyboardInterrupt

    model = nn.Sequential(Stopped()).eval()
    with untouched(model), pytest.raises(KeyboardInterrupt):
        trace(model, torch.zeros(1, 3))


def test_hooks_of_the_user_stay_and_what_they_change_is_seen():
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU()).eval()
    seen = []
    model[0].register_forward_pre_hook(lambda module, args: (args[0][..., 1:],))
    model[0].register_forward_hook(lambda module, args, output: output[..., 2:])
    model[1].register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)))
    x = torch.randn(2, 1, 20)
    with untouched(model):
        plain = model(x)
        found = trace(model, x)
        assert len(found) == 3
    assert (
        torch.equal(found.output, plain)
        and found["0"].input.shape == (2, 1, 19)
        and found["0"].output.shape == (2, 2, 15)
    )
    assert seen == [(2, 2, 15)] * 2, "the user's hooks ran once in each run"


def test_a_pre_hook_that_raises_is_put_down_to_its_layer():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU()).eval()

    def refuse(module, args):
        raise ValueError("not this one")

    handle = model[1].register_forward_pre_hook(refuse)
    with untouched(model), pytest.raises(TraceError, match=r"layer '1' \(ReLU\) raised ValueError: not this one"):
        trace(model, torch.zeros(2, 3))
    handle.remove()


def test_a_trace_inside_a_trace_is_its_own():
    inner = nn.Sequential(nn.Linear(3, 3))

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.found = inner, []

        def forward(self, x):
            self.found.append(trace(self.inner, x))
            return self.inner(x)

    model = Outer().eval()
    with untouched(model):
        found = trace(model, torch.zeros(2, 3))
    assert [r.name for r in found if r.status == CALLED] == ["", "inner", "inner.0"]
    assert [r.name for r in model.found[0]] == ["", "0"]


def test_two_threads_trace_the_same_model_without_mixing():
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(20))).eval()
    results, barrier = {}, threading.Barrier(2)

    def work(rows):
        barrier.wait()
        results[rows] = [trace(model, torch.zeros(rows, 4)) for _ in range(10)]

    with untouched(model):
        threads = [threading.Thread(target=work, args=(rows,)) for rows in (2, 3)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        for rows, traces in results.items():
            for found in traces:
                assert len(found) == 21 and {r.output.shape for r in found} == {(rows, 4)}


def test_train_mode_warns_once_and_runs_as_without_a_trace():
    model = nn.Sequential(nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    x = torch.randn(3, 1, 40)
    torch.manual_seed(3)
    expected = nn.Sequential(*model)(x)
    model[1].reset_running_stats()
    torch.manual_seed(3)
    with untouched(model), pytest.warns(UserWarning, match=r"train mode.*make runs differ"):
        found = trace(model, x)
        assert len(found) == 4
    assert torch.equal(found.output, expected)
    assert any("train mode" in note for note in found.notes)
    assert found["1"].mixes_time, "in train mode batch norm averages over time"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trace(model, x)


def test_values_are_clones_taken_at_the_time():
    model = TorchaudioLike().eval()
    with torch.no_grad():
        found = trace(model, torch.randn(2, 500), torch.tensor([200, 500]), values=True)
    projected = found["projection"].value  # the model zeroes padded frames of this very tensor afterwards
    assert (projected[0, 19:] != 0).any() and projected.shape == found["projection"].output.shape
    assert not projected.requires_grad and set(found[""].values) == {"output[0]", "output[1]"}
    assert torch.equal(found[""].value, found.output[0]) and found[""].value is not found.output[0]
    assert not trace(model, torch.randn(1, 500))["projection"].values


def test_the_model_and_the_inputs_are_let_go_at_once():
    model, x = nn.Sequential(nn.Linear(3, 3)).eval(), torch.zeros(2, 3)
    gone = weakref.ref(model), weakref.ref(x)
    with torch.no_grad():
        found = trace(model, x)
    del model, x
    gc.collect()
    assert [one() for one in gone] == [None, None] and len(found) == 2


def test_torch_s_fused_encoder_layer_stays_bit_identical():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    x, padding = torch.randn(2, 9, 16), torch.zeros(2, 9, dtype=torch.bool)
    padding[0, 5:] = True
    with torch.no_grad(), untouched(layer):
        found = trace(layer, x, src_key_padding_mask=padding)
        assert torch.equal(found.output, layer(x, src_key_padding_mask=padding))
        assert found["linear1"].status == WEIGHTS_USED and any("fused" in note for note in found.notes)
    assert found[""].mixes_time
    with untouched(layer):
        slow = trace(layer, x, src_key_padding_mask=padding)  # gradients on: torch takes the layer apart
        assert torch.equal(slow.output, layer(x, src_key_padding_mask=padding)) and slow["linear1"].status == CALLED


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_one_layer_whose_inside_cannot_be_seen():
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.scripted = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.ReLU()).eval())
            self.last = nn.Linear(8, 2)

        def forward(self, x):
            return self.last(self.scripted(x))

    model = Holder().eval()
    found = trace(model, torch.zeros(2, 5, 8))
    assert [r.name for r in found] == ["", "scripted", "last"] and all(r.status == CALLED for r in found)
    assert any("TorchScript" in note for note in found.notes)
    assert isinstance(model.scripted.forward, torch.ScriptMethod)
    alone = trace(model.scripted, torch.zeros(2, 5, 8))
    assert [r.name for r in alone] == [""] and alone[""].input.path == "input"
    assert isinstance(model.scripted.forward, torch.ScriptMethod)


def test_observing_takes_symbolic_shapes_and_never_reads_them():
    with observing(Convolutions()) as calls:
        pass
    assert calls == []
    model = Convolutions().eval()
    with observing(model) as calls:
        shapes = {"x": {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}}
        torch.export.export(model, (), {"x": torch.zeros(3, 500)}, dynamic_shapes=shapes)
    first = next(call for call in calls if call.name == "first")
    assert isinstance(first.inputs[0].shape[0], torch.SymInt) and isinstance(first.outputs[0].shape[2], torch.SymInt)
