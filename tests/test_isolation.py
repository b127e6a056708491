"""What `trace` and `symbolic_trace` promise: one run, true for good, cheap; nothing of the user's touched or kept."""

from __future__ import annotations

import copy
import functools
import logging
import pickle
import random
import subprocess
import sys
import threading
import types
import warnings
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from trace_helpers import Layer, untouched

from w2vlearn.batch import pad
from w2vlearn.symbolic import ExportError, symbolic_trace
from w2vlearn.symbolic.isolation import is_users, isolated_copy, reachable
from w2vlearn.tracing import Trace, TraceError, padding_leak, receptive_field, trace

LENGTHS = (500, 700, 1000)
FRAMES = (99, 139, 199)


@pytest.fixture
def short():
    return pad([torch.full((n,), 0.1) for n in LENGTHS])


# ---------------------------------------------------------------- a model that keeps what it sees everywhere


class Plain:
    def remember(self, x):
        self.last = x


def remembering():
    """A function that keeps what it is handed, in its closure and on itself."""
    last, every = None, []

    def remember(x):
        nonlocal last
        last = remember.last = x
        every.append(x)

    return remember


def item(place, x):
    place["x"] = x


KINDS = {  # kind of object that can keep something: how it is made, how it keeps it
    "dict": (dict, item), "ordered": (OrderedDict, item), "default": (lambda: defaultdict(list), item),
    "counter": (Counter, item), "user": (UserDict, item), "list": (list, list.append), "set": (set, set.add),
    "deque": (lambda: deque(maxlen=4), deque.append), "object": (Plain, Plain.remember),
    "namespace": (types.SimpleNamespace, Plain.remember), "method": (lambda: Plain().remember, lambda f, x: f(x)),
    "nested": (lambda: {"a": [(Plain(),)]}, lambda place, x: place["a"][0][0].remember(x)),
    "partial": (lambda: functools.partial(item, {}), lambda f, x: f(x)),
    "closure": (remembering, lambda f, x: f(x)),
}  # fmt: skip


def places() -> dict[str, object]:
    """One object of every kind."""
    return {kind: make() for kind, (make, _) in KINDS.items()}


def keep(held: dict[str, object], x: object) -> None:
    """Keep it in each of these objects."""
    for kind, place in held.items():
        KINDS[kind][1](place, x)


GLOBALS, GLOBAL_LAST, GLOBAL_COUNT, GLOBAL_FUNCTION, HOOKED = places(), None, Counter(calls=1), remembering(), []


class Keeps(nn.Module):
    """Keeps what it sees in every kind of object, its own, global, or of its class; prints and draws random numbers."""

    on_class: ClassVar[dict] = places()
    last_on_class = None

    def __init__(self):
        super().__init__()
        self.conv, self.own, self.last = nn.Conv1d(1, 4, 10, 5), places(), None
        self.outside = [nn.Dropout(0.0)]  # a module that is not registered
        self.outside[0].register_forward_hook(lambda module, args, output: HOOKED.append(output))

    def forward(self, input_values):
        global GLOBAL_LAST
        print("forward of", tuple(input_values.shape))
        x = self.conv(input_values[:, None]) + torch.rand(1) * float(np.random.rand()) * random.random()
        keep(self.own, x), keep(self.on_class, x)
        helper(x)
        GLOBAL_COUNT["calls"] += 1
        self.last = Keeps.last_on_class = GLOBAL_LAST = x
        return self.outside[0](x)


def helper(x):
    keep(GLOBALS, x), GLOBAL_FUNCTION(x)


@pytest.fixture
def keeps():
    yield Keeps().eval()
    globals().update(GLOBALS=places(), GLOBAL_LAST=None, GLOBAL_COUNT=Counter(calls=1), GLOBAL_FUNCTION=remembering())
    HOOKED.clear()
    Keeps.on_class, Keeps.last_on_class = places(), None


def kept(model: Keeps) -> dict[str, list]:
    """What is kept, by place."""
    every = {"own": model.own, "class": Keeps.on_class, "globals": GLOBALS}
    named = {f"{whose} {kind}": place for whose, held in every.items() for kind, place in held.items()}
    named |= {"last": [model.last, Keeps.last_on_class, GLOBAL_LAST], "global function": GLOBAL_FUNCTION}
    return {name: [value for value in reachable(place) if isinstance(value, Tensor)] for name, place in named.items()}


def read_in_every_way(traced: Trace, path) -> None:
    """Everything that can be done with a trace."""
    str(traced), repr(traced), traced._repr_html_(), traced._repr_mimebundle_(), traced.to_markdown()
    traced.records, traced.letters, traced.notes, traced.masks, traced.diff(traced), traced.to_dict()
    str(traced.diff(traced))
    traced.save(path)
    Trace.load(path), pickle.loads(pickle.dumps(traced)), copy.copy(traced), copy.deepcopy(traced)


def test_exactly_one_run_whatever_is_done_with_the_trace(keeps, short, capsys, tmp_path):
    with torch.no_grad(), untouched(keeps):
        traced = trace(keeps, short.waveforms)
        read_in_every_way(traced, tmp_path / "trace.json")
    assert capsys.readouterr().out == "forward of (3, 1000)\n" and GLOBAL_COUNT["calls"] == 2 and len(HOOKED) == 1
    for name, tensors in kept(keeps).items():
        assert {id(tensor) for tensor in tensors} == {id(keeps.last)}, name
    assert type(keeps.last) is Tensor and keeps.last.numpy().shape == (3, 4, 199)


def test_an_export_leaves_no_tensor_without_values_anywhere(keeps):
    before = [repr(vars(keeps)), repr(GLOBALS), repr(vars(Keeps)), id(GLOBALS), id(Keeps.on_class)]
    with untouched(keeps):
        s = symbolic_trace(keeps)
    assert s[""].output.shape == ("B", 4, "T")
    assert not any(kept(keeps).values()) and HOOKED == [] and Counter(calls=1) == GLOBAL_COUNT
    assert [repr(vars(keeps)), repr(GLOBALS), repr(vars(Keeps)), id(GLOBALS), id(Keeps.on_class)] == before


class Buffers(nn.Module):
    """Writes, reassigns and registers buffers whenever it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(1, 4, 10, 5), nn.BatchNorm1d(4)
        self.register_buffer("written", torch.zeros(3))
        self.register_buffer("reassigned", torch.zeros(2))

    def forward(self, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        self.written += 1
        self.reassigned = self.reassigned + 1
        self.register_buffer("registered", x.detach().mean())
        self.written.resize_(4)
        return self.norm(self.conv(x[:, None]))


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.filterwarnings("ignore:.*train mode")
def test_a_model_is_as_it_was_whatever_ran(short, train):
    model = Buffers().train(train)
    model.norm.eval()  # not every part in the mode of the whole
    objects = {name: id(buffer) for name, buffer in model.named_buffers()}
    with untouched(model):
        trace(model, short)
        padding_leak(model, short)
        receptive_field(model, 1, samples=200)
    assert {name: id(buffer) for name, buffer in model.named_buffers()} == objects


# ---------------------------------------------------------------- true for good, and cheap


class Edits(nn.Module):
    """Edits the mask between two layers, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.drop = nn.Conv1d(1, 8, 10, 5), nn.Dropout(0.5)
        self.layers = nn.ModuleList(Layer() for _ in range(2))

    def forward(self, x, attention_mask):
        x = self.conv(x[:, None]).transpose(1, 2)
        mask = torch.arange(x.shape[1]) < ((attention_mask.sum(1) - 10) // 5 + 1)[:, None]
        x = self.layers[0](self.drop(x), mask)
        mask[:, :5] = False
        return self.layers[1](x, mask)


def test_what_happens_during_and_after_the_call_changes_nothing(short):
    model, mask = Edits().eval(), short.mask.clone()
    expected = trace(model, short)
    traced = trace(model, short.waveforms, attention_mask=mask, values=True)
    mask[:] = True
    model.train()
    model.layers, model.conv = model.layers[:1], nn.Conv1d(1, 8, 3)
    again = [pickle.loads(pickle.dumps(traced)), copy.deepcopy(traced)]
    for kept_trace in (traced, copy.copy(traced), *again):
        assert kept_trace.records == expected.records and kept_trace.letters == expected.letters
    assert copy.copy(traced).output is traced.output
    assert all(one == traced and one.output is None and one[""].value is None for one in again)
    assert traced[""].mask.valid == LENGTHS
    assert traced["layers.0"].mask.valid == FRAMES and traced["layers.1"].mask.valid == (94, 134, 194)
    blamed = [note for note in traced.notes if "expected" in note]
    assert len(blamed) <= 1 and not any("handed to layers.0:" in note for note in blamed)
    with pytest.raises(TraceError) as broken:
        trace(nn.Sequential(nn.Conv1d(2, 2, 3)).eval(), torch.zeros(1, 3, 9))
    error = pickle.loads(pickle.dumps(broken.value))
    assert str(error) == str(broken.value) and error.trace == broken.value.trace


class Operations(TorchDispatchMode):
    """Counts what torch computes."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count[str(function)] += 1
        return function(*args, **kwargs or {})


def test_the_cost_of_a_trace_does_not_grow_with_the_number_of_clips(tiny):
    counts = []
    for clips in (2, 32):
        batch = pad([torch.full((4_000 + 100 * i,), 0.1) for i in range(clips)])
        with torch.no_grad(), Operations() as operations:
            trace(tiny, batch)
        with torch.no_grad(), Operations() as plain:
            tiny(batch.waveforms, attention_mask=batch.mask)
        counts.append(operations.count - plain.count)
    few, many = (count.total() for count in counts)
    assert many <= few + 4 and few < 120, counts  # a few more or less by what the masks' values are


# ---------------------------------------------------------------- the copy that is exported


def test_parameters_and_buffers_are_shared_and_everything_else_is_not(tiny):
    copied, notes = isolated_copy(tiny)
    assert notes == [] and copied is not tiny and not any(m.training for m in copied.modules())
    for one, other in zip(tiny.modules(), copied.modules(), strict=True):
        assert type(one) is type(other) and one is not other
    for part in ("named_parameters", "named_buffers"):
        for (name, one), (also, other) in zip(getattr(tiny, part)(), getattr(copied, part)(), strict=True):
            assert name == also and one is other


class Gate(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


class Stubborn(nn.Module):
    """What makes an export hard: a lock, which cannot be copied, and, if asked, a look at values; warns."""

    def __init__(self, looks: bool) -> None:
        super().__init__()
        self.conv, self.lock, self.gate = nn.Conv1d(1, 4, 10, 5), threading.Lock(), Gate() if looks else nn.Identity()

    def forward(self, input_values):
        warnings.warn("the model's own remark", stacklevel=1)
        warnings.warn_explicit("torch's own remark", UserWarning, torch.__file__, 1, module="torch.export")
        with self.lock:
            return self.gate(self.conv(input_values[:, None]))


def test_what_cannot_be_copied_or_exported_is_told_and_state_and_hooks_stay_as_they_were(capsys):
    model, stubborn, filters = Stubborn(looks=False), Stubborn(looks=True), [*warnings.filters]
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch.fx", "torch._dynamo")]
    levels = [logger.level for logger in loggers]
    own, users = (functools.partial(print, whose) for whose in ("own hook", "user's hook"))
    own.__module__, users.__module__ = __name__, "__main__"
    model.gate.register_forward_hook(users)
    model.conv.register_forward_hook(own)  # of the model's own library, as weight_norm's
    gate = pytest.raises(ExportError, match=r"layer 'gate' \(Gate\)")
    with untouched(model), untouched(stubborn), pytest.warns(UserWarning, match="own remark") as remarks:
        warnings.filterwarnings("error", module=r"torch|w2vlearn")
        s = symbolic_trace(model, mask=False)
        with gate as caught:
            symbolic_trace(stubborn)
    assert s[""].output.shape == ("B", 4, "T") and {warning.filename for warning in remarks} == {__file__}
    assert any(note.startswith("lock cannot be copied (TypeError") for note in s.notes), s.notes
    printed = capsys.readouterr().out
    assert "own hook" in printed and "user's hook" not in printed
    assert [*warnings.filters] == filters and model.training
    assert levels == [logger.level for logger in loggers]
    assert caught.value.layer == "gate" and "if x.sum() > 0" in caught.value.operation
    assert "test_isolation.py" in caught.value.operation and "What still works" in str(caught.value)
    with pytest.raises(ExportError, match="TorchScript"), warnings.catch_warnings(action="ignore"):
        symbolic_trace(torch.jit.script(nn.Sequential(nn.Linear(4, 4))), torch.zeros(3, 4))


def test_whose_code_a_module_is():
    for module in (__name__, "__main__", "torchaudio.models", "torch_of_mine", "w2vlearn.model.encoder"):
        assert is_users(module)
    for module in (nn.__name__, "torch", functools.__name__, trace.__module__, None):
        assert not is_users(module)


# ---------------------------------------------------------------- compiled code, in a process of its own

COMPILED = """
import torch
from torch import nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from w2vlearn import pad, trace
from w2vlearn.symbolic import ExportError, symbolic_trace
from w2vlearn.tracing import padding_leak, receptive_field

class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.seen = nn.Conv1d(1, 4, 10, 5), []
    def step(self, x):
        self.seen.append(x)
        return x * 2
    def forward(self, x):
        return self.step(self.conv(x[:, None]))

@torch.compile
def double(x):
    return x + x

class Model(nn.Module):
    def __init__(self, inner, function):
        super().__init__()
        self.inner, self.function = inner, function
    def forward(self, input_values):
        return self.function(self.inner(input_values))

class Flex(Model):
    def forward(self, input_values):
        x = self.inner.conv(input_values[:, None]).transpose(1, 2)[:, None].repeat(1, 1, 1, 4)
        return self.function(x, x, x)

def masked(q, k, v):
    n = q.shape[2]
    return flex_attention(q.detach(), k.detach(), v.detach(),
                          block_mask=create_block_mask(lambda b, h, i, j: j <= i, None, None, n, n, device="cpu"))

batch = pad([torch.randn(500), torch.randn(450)])
for how in ("the model", "submodule", "in place", "function", "bound method", "global function"):
    inner = Inner()
    function = {"function": torch.compile(lambda x: x * 3), "bound method": torch.compile(inner.step),
                "global function": lambda x: double(x)}.get(how, nn.Identity())
    model = Model(torch.compile(inner) if how == "submodule" else inner, function).eval()
    model = torch.compile(model) if how == "the model" else model
    if how == "in place":
        inner.compile()
    s = symbolic_trace(model, edges=False)
    assert s[""].output.shape == ("B", 4, "T") and s.formula("T")(L=400) == 79, (how, s[""])
    assert inner.seen == [], how
    with torch.no_grad():
        output = model(batch.waveforms)
        t = trace(model, batch)
        assert torch.allclose(t.output, output, atol=1e-6)
    known = any("compiled" in note for note in t.notes)
    assert known == (how in ("submodule", "in place", "the model")), (how, t.notes)
    assert s.check(t).ok, (how, str(s.check(t)))
    assert padding_leak(model, batch).without_mask.layers
    conv = next(name for name in t.names if name.endswith("conv"))
    assert receptive_field(model, 3, samples=400, at=conv).span == range(15, 25)
for attend in (flex_attention, torch.compile(flex_attention), masked):
    model = Flex(Inner(), attend).eval()
    with torch.no_grad():
        assert torch.allclose(trace(model, batch).output, model(batch.waveforms), atol=1e-6)
    try:
        s = symbolic_trace(model, edges=False)
        assert s[""].output.shape == ("B", 1, "T", 16), s[""]
    except ExportError as error:
        assert "What still works" in str(error)
print("all well")
"""


def test_the_process_survives_compiled_code_and_flex_attention():
    """What went wrong here was a segmentation fault: it would end this process."""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILED], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and run.stdout.endswith("all well\n"), (run.stdout, run.stderr[-3000:])
