"""`trace` on any module: what it records, and that nothing else happens."""

from __future__ import annotations

import dataclasses
import gc
import threading
import warnings
import weakref
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from trace_helpers import TorchaudioLike, module, untouched

from w2vlearn.tracing import TraceError, trace
from w2vlearn.tracing.records import CALLED, SKIPPED, WEIGHTS_USED

Pair = namedtuple("Pair", "left right")


@dataclasses.dataclass
class Both:
    one: torch.Tensor
    many: dict


def nested(self, pair, *rest, table, flag=None):
    """Takes and gives tensors in every kind of container."""
    return {"first": Both(pair.left + 1, {"deep": [pair.right, (table["x"],)], 7: rest[0]}), "none": None}


def test_tensors_nested_in_containers_are_found_with_their_paths():
    x = torch.zeros(2, 5)
    traced = trace(module(nested), Pair(x, x[:, :4]), x[:, :3], table={"x": x[:1], "skip": "text"})
    assert [(t.path, t.shape) for t in traced[""].inputs] == [
        ("pair.left", (2, 5)),
        ("pair.right", (2, 4)),
        ("args[1]", (2, 3)),
        ("table.x", (1, 5)),
    ]
    assert [(t.path, t.shape) for t in traced[""].outputs] == [
        ("output.first.one", (2, 5)),
        ("output.first.many.deep[0]", (2, 4)),
        ("output.first.many.deep[1][0]", (1, 5)),
        ("output.first.many[7]", (2, 3)),
    ]


def test_repeated_calls_shared_modules_and_modules_never_called():
    shared = nn.Linear(4, 4)
    model = module(
        lambda self, x: self.last(self.shared(x) + self.again(x[:, :1])),
        shared=shared, again=shared, unused=nn.Sequential(nn.Linear(4, 4), nn.ReLU()), last=nn.ReLU(),
    )  # fmt: skip
    with untouched(model):
        traced = trace(model, torch.zeros(2, 3, 4))
        records = traced.records
    assert [(r.name, r.call) for r in records] == [
        ("", 0), ("shared", 0), ("shared", 1), ("unused", 0), ("unused.0", 0), ("unused.1", 0), ("last", 0),
    ]  # fmt: skip
    assert traced["shared", 1].output.shape == (2, 1, 4) and traced["again"] is traced["shared"]
    assert traced["unused"].status == SKIPPED and traced["unused"].depth == 1 and traced["last"].status == CALLED
    assert traced["unused"].parameters == 20 and traced["unused"].outputs == ()
    with pytest.raises(KeyError, match=r"called 2 time"):
        traced["shared", 2]
    with pytest.raises(KeyError, match=r"did you mean 'shared'"):
        traced["shard"]


def breaks(where: str) -> nn.Module:
    """A model that raises in a child, in its own code or in a hook; or catches what a child raises."""

    def fail(*arguments):
        raise KeyboardInterrupt if where == "interrupt" else ValueError("own code broke")

    def forward(self, x):
        x = self.first(x[:, None])
        try:
            if where in ("own code", "interrupt"):
                fail()
        except ValueError:
            self.silent(x)  # none of its doing
            raise
        try:
            self.second(x)
        except RuntimeError:
            if where == "child":
                raise
        return self.third(x)

    model = module(forward, first=nn.Conv1d(1, 4, 3), second=nn.Linear(5, 5), third=nn.ReLU())
    if where == "own code":
        model.silent = module(lambda self, x: None)
    if where == "pre-hook":
        model.third.register_forward_pre_hook(fail)
    return model


@pytest.mark.parametrize(
    ("where", "layer", "cause"),
    [("child", "second", RuntimeError), ("own code", "", ValueError), ("pre-hook", "third", ValueError)],
)
def test_a_model_that_breaks_names_the_layer_and_leaves_the_partial_trace(where, layer, cause):
    model, x = breaks(where), torch.zeros(2, 50)
    with untouched(model), pytest.raises(TraceError) as caught:
        trace(model, x)
    error = caught.value
    assert isinstance(error.__cause__, cause) and str(error.__cause__) in str(error)
    assert (repr(layer) if layer else "the model itself") in str(error)
    assert error.trace.records[-1].name == layer and error.trace.error in str(error)
    assert error.trace["first"].output.shape == (2, 4, 48)
    assert error.trace.output is None and error.trace[-1].outputs == ()


def test_what_is_no_failure_and_what_is_none_of_the_models_layers():
    model, x = breaks("caught"), torch.zeros(2, 50)
    with untouched(model):
        traced = trace(model, x)
    assert [(r.name, r.depth) for r in traced] == [("", 0), ("first", 1), ("second", 1), ("third", 1)]
    model = breaks("interrupt")
    with untouched(model), pytest.raises(KeyboardInterrupt):
        trace(model, x)
    with pytest.raises(TraceError, match=r"the model itself \(Linear\) raised TypeError"):
        trace(nn.Linear(2, 2).eval())
    with pytest.raises(TypeError, match=r"found a function"):
        trace(lambda x: x, torch.zeros(1))


def test_hooks_of_the_user_stay_and_what_they_change_is_seen():
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU()).eval()
    seen = []
    model[0].register_forward_pre_hook(lambda module, args: (args[0][..., 1:],))
    model[0].register_forward_hook(lambda module, args, output: output[..., 2:])
    model[1].register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)))
    x = torch.randn(2, 1, 20)
    with untouched(model):
        plain = model(x)
        traced = trace(model, x)
        assert len(traced) == 3
    assert torch.equal(traced.output, plain)
    assert traced["0"].input.shape == (2, 1, 19) and traced["0"].output.shape == (2, 2, 15)
    assert seen == [(2, 2, 15)] * 2, "the user's hooks ran once in each run"


def test_a_trace_inside_a_trace_is_its_own():
    def outer(self, x):
        self.traces.append(trace(self.inner, x))
        return self.inner(x)

    model = module(outer, inner=nn.Sequential(nn.Linear(3, 3)), traces=[])
    with untouched(model):
        traced = trace(model, torch.zeros(2, 3))
    assert [r.name for r in traced if r.status == CALLED] == ["", "inner", "inner.0"]
    assert [r.name for r in model.traces[0]] == ["", "0"]


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(*(nn.Linear(4, 4) for _ in range(20))),
        nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),  # listened to without hooks
    ],
    ids=lambda model: type(model).__name__,
)
def test_two_threads_trace_the_same_model_without_mixing(model):
    barrier = threading.Barrier(2)

    def work(rows):
        barrier.wait()
        return [trace(model, torch.zeros(rows, 3, 4)) for _ in range(10)]

    with untouched(model.eval()), ThreadPoolExecutor(2) as pool:
        for rows, traces in zip((2, 3), pool.map(work, (2, 3)), strict=True):
            assert len({traced.names for traced in traces}) == 1
            assert {r.output.shape[:2] for traced in traces for r in traced if r.output} == {(rows, 3)}


def test_train_mode_warns_once_and_runs_as_without_a_trace():
    model = nn.Sequential(nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    x = torch.randn(3, 1, 40)
    torch.manual_seed(3)
    expected = nn.Sequential(*model)(x)
    model[1].reset_running_stats()
    torch.manual_seed(3)
    with untouched(model), pytest.warns(UserWarning, match=r"train mode.*make runs differ"):
        traced = trace(model, x)
        assert len(traced) == 4
    assert torch.equal(traced.output, expected)
    assert any("train mode" in note for note in traced.notes)
    assert traced["1"].mixes_time, "in train mode batch norm averages over time"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trace(model, x)


def test_values_are_clones_taken_at_the_time():
    model = TorchaudioLike().eval()
    with torch.no_grad():
        traced = trace(model, torch.randn(2, 500), torch.tensor([200, 500]), values=True)
    projected = traced["projection"].value  # the model zeroes padded frames of this very tensor afterwards
    assert (projected[0, 19:] != 0).any() and projected.shape == traced["projection"].output.shape
    assert not projected.requires_grad and set(traced[""].values) == {"output[0]", "output[1]"}
    assert torch.equal(traced[""].value, traced.output[0]) and traced[""].value is not traced.output[0]
    assert not trace(model, torch.randn(1, 500))["projection"].values


def test_the_model_and_the_inputs_are_let_go_at_once():
    model, x = nn.Sequential(nn.Linear(3, 3)).eval(), torch.zeros(2, 3)
    gone = weakref.ref(model), weakref.ref(x)
    with torch.no_grad():
        traced = trace(model, x)
    del model, x
    gc.collect()
    assert [one() for one in gone] == [None, None] and len(traced) == 2


def test_torch_s_fused_encoder_layer_stays_bit_identical():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    x, padding = torch.randn(2, 9, 16), torch.zeros(2, 9, dtype=torch.bool)
    padding[0, 5:] = True
    with torch.no_grad(), untouched(layer):
        traced = trace(layer, x, src_key_padding_mask=padding)
        assert torch.equal(traced.output, layer(x, src_key_padding_mask=padding))
        assert traced["linear1"].status == WEIGHTS_USED and any("fused" in note for note in traced.notes)
    assert traced[""].mixes_time
    with untouched(layer):
        slow = trace(layer, x, src_key_padding_mask=padding)  # gradients on: torch takes the layer apart
        assert torch.equal(slow.output, layer(x, src_key_padding_mask=padding)) and slow["linear1"].status == CALLED


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_one_layer_whose_inside_cannot_be_seen():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.ReLU()).eval())
    model = module(lambda self, x: self.last(self.scripted(x)), scripted=scripted, last=nn.Linear(8, 2))
    traced = trace(model, torch.zeros(2, 5, 8))
    assert [r.name for r in traced] == ["", "scripted", "last"] and all(r.status == CALLED for r in traced)
    assert any("TorchScript" in note for note in traced.notes)
    assert isinstance(model.scripted.forward, torch.ScriptMethod)
    alone = trace(model.scripted, torch.zeros(2, 5, 8))
    assert [r.name for r in alone] == [""] and alone[""].input.path == "input"
    assert isinstance(model.scripted.forward, torch.ScriptMethod)
