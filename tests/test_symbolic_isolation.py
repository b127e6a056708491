"""The export runs a model's code on tensors without values: nothing of the user's may keep one, or end the process."""

from __future__ import annotations

import functools
import logging
import subprocess
import sys
import threading
import types
import warnings
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from trace_helpers import untouched

from w2vlearn import trace
from w2vlearn.symbolic import ExportError, symbolic_trace
from w2vlearn.symbolic.isolation import is_users, isolated_copy, reachable

GLOBAL_DICT: dict = {}
GLOBAL_LIST: list = [1]
GLOBAL_COUNT = Counter(calls=1)
GLOBAL_LAST = None


@dataclass
class Cache:
    items: list = field(default_factory=list)
    last: object = None


class PlainObject:
    last = None


class Keeps(nn.Module):
    """Keeps what it sees in every kind of object."""

    on_class: ClassVar[dict] = {}
    last_on_class = None

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 10, 5)
        self.dict, self.list, self.set, self.ordered = {}, [], set(), OrderedDict()
        self.default, self.deque, self.user = defaultdict(list), deque(maxlen=4), UserDict()
        self.counter = Counter()
        self.namespace, self.dataclass, self.object = types.SimpleNamespace(), Cache(), PlainObject()
        self.nested = {"a": [(PlainObject(),)]}
        self.partial = functools.partial(_append, [])
        self.method = self.remember
        self.closure = _closure([])
        self.last = None
        self.outside = [nn.Dropout(0.0)]  # a module that is not registered
        self.outside[0].register_forward_hook(lambda *a: GLOBAL_LIST.append("a user's hook was called"))

    def remember(self, x):
        self.last = x

    def forward(self, input_values):
        global GLOBAL_LAST
        x = self.conv(input_values[:, None])
        self.dict["x"] = self.ordered["x"] = self.user["x"] = x
        self.list.append(x), self.set.add(x), self.default["x"].append(x), self.deque.append(x)
        self.counter[x] += 1
        self.namespace.x = self.dataclass.last = self.object.last = self.nested["a"][0][0].last = x
        self.dataclass.items.append(x)
        self.partial(x), self.method(x), self.closure(x)
        GLOBAL_DICT["x"] = GLOBAL_LAST = x
        helper(x)
        GLOBAL_COUNT["calls"] += 1
        self.on_class["x"] = Keeps.last_on_class = x
        return self.outside[0](x)


def helper(x):
    GLOBAL_LIST.append([x])


def _append(kept, x):
    kept.append(x)


def _closure(kept):
    return lambda x: kept.append(x)


def kept_by(model) -> set[str]:
    """Places that hold a FakeTensor."""
    places = vars(model) | {"globals": [GLOBAL_DICT, GLOBAL_LIST, GLOBAL_LAST, Keeps.on_class, Keeps.last_on_class]}
    return {name for name, value in places.items() if any(isinstance(v, FakeTensor) for v in reachable(value))}


def test_nothing_that_a_model_holds_keeps_a_tensor_without_values():
    model = Keeps().eval()
    before = {name: repr(value) for name, value in vars(model).items()}
    with untouched(model):
        s = symbolic_trace(model)
    assert s[""].output.shape == ("B", 4, "T")
    assert kept_by(model) == set()
    assert {name: repr(value) for name, value in vars(model).items()} == before
    assert ({}, [1], Counter(calls=1), None) == (GLOBAL_DICT, GLOBAL_LIST, GLOBAL_COUNT, GLOBAL_LAST)
    assert (Keeps.on_class, Keeps.last_on_class) == ({}, None)


def test_a_closure_as_forward_is_copied_with_its_cells():
    kept, conv = [], nn.Conv1d(1, 4, 10, 5)
    model = nn.Module()
    model.conv = conv
    model.forward = lambda input_values: [kept.append(input_values), model.conv(input_values[:, None])][1]
    assert symbolic_trace(model)[""].output.shape == ("B", 4, "T") and kept == []


def test_parameters_and_buffers_are_shared_and_everything_else_is_not(tiny):
    copy, notes = isolated_copy(tiny)
    assert notes == [] and copy is not tiny and not any(m.training for m in copy.modules())
    for one, other in zip(tiny.modules(), copy.modules(), strict=True):
        assert type(one) is type(other) and one is not other
    for part in ("named_parameters", "named_buffers"):
        for (name, one), (also, other) in zip(getattr(tiny, part)(), getattr(copy, part)(), strict=True):
            assert name == also and one is other


class Locked(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.lock = nn.Conv1d(1, 4, 10, 5), threading.Lock()

    def forward(self, input_values):
        with self.lock:
            return self.conv(input_values[:, None])


def test_what_cannot_be_copied_is_said_and_state_and_hooks_stay_as_they_were():
    model, called, warned = Locked(), [], [*warnings.filters]
    levels = [logging.getLogger(name).level for name in ("torch.export", "torch.fx", "torch._dynamo")]
    model.conv.register_forward_hook(lambda *a: called.append(1))
    with untouched(model), warnings.catch_warnings():
        warnings.simplefilter("error")
        s = symbolic_trace(model, mask=False)
    assert s[""].output.shape == ("B", 4, "T")
    assert any(note.startswith("lock cannot be copied (TypeError") for note in s.notes), s.notes
    assert called == [] and [*warnings.filters] == warned and model.training
    assert levels == [logging.getLogger(name).level for name in ("torch.export", "torch.fx", "torch._dynamo")]


class LooksAtValues(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


class Stubborn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.gate = nn.Conv1d(1, 4, 10, 5), LooksAtValues()

    def forward(self, input_values):
        warnings.warn("the model's own remark", stacklevel=1)
        return self.gate(self.conv(input_values[:, None]))


def test_a_model_that_cannot_be_exported_is_told_by_its_own_line():
    stubborn = Stubborn()
    gate = pytest.raises(ExportError, match=r"layer 'gate' \(LooksAtValues\)")
    with untouched(stubborn), pytest.warns(UserWarning, match="own remark") as told, gate as caught:
        symbolic_trace(stubborn)
    assert caught.value.layer == "gate" and "if x.sum() > 0" in caught.value.operation
    assert "test_symbolic_isolation.py" in caught.value.operation and "What still works" in str(caught.value)
    assert {warning.filename for warning in told} == {__file__}


def test_whose_a_file_is_does_not_depend_on_the_system():
    assert is_users(__file__) and is_users(torch.__file__.replace("/torch/", "/torchaudio/"))
    assert is_users(str(nn.__file__).replace("/torch/", "/torch_of_mine/"))
    assert not is_users(nn.__file__) and not is_users(functools.__file__) and not is_users(trace.__code__.co_filename)


def test_torchscript_is_refused_in_words():
    script = torch.jit.script(nn.Sequential(nn.Linear(4, 4)))
    with pytest.raises(ExportError, match="TorchScript"):
        symbolic_trace(script, torch.zeros(3, 4))


COMPILED = """
import torch
from torch import nn
from torch.nn.attention.flex_attention import flex_attention
from w2vlearn import pad, trace
from w2vlearn.symbolic import ExportError, symbolic_trace

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
    def __init__(self, how):
        super().__init__()
        self.inner, self.function = Inner(), lambda x: x
        if how == "submodule":
            self.inner = torch.compile(self.inner)
        if how == "in place":
            self.inner.compile()
        if how == "function":
            self.function = torch.compile(lambda x: x * 3)
        if how == "bound method":
            self.function = torch.compile(self.inner.step)
        if how == "global function":
            self.function = lambda x: double(x)
    def forward(self, input_values):
        return self.function(self.inner(input_values))

class Flex(nn.Module):
    def __init__(self, attend):
        super().__init__()
        self.conv, self.attend = nn.Conv1d(1, 16, 10, 5), attend
    def forward(self, input_values):
        x = self.conv(input_values[:, None]).transpose(1, 2)[:, None]
        return self.attend(x, x, x)

for how in ("the model", "submodule", "in place", "function", "bound method", "global function"):
    plain = Model(how).eval()
    model = torch.compile(plain) if how == "the model" else plain
    s = symbolic_trace(model, edges=False)
    assert s[""].output.shape == ("B", 4, "T") and s.formula("T")(L=400) == 79, (how, s[""])
    assert (plain.inner._orig_mod if how == "submodule" else plain.inner).seen == [], how
    with torch.no_grad():
        report = s.check(trace(model, pad([torch.randn(500), torch.randn(450)])))
    assert report.ok, (how, str(report))
for attend in (flex_attention, torch.compile(flex_attention)):
    try:
        s = symbolic_trace(Flex(attend), edges=False)
        assert s[""].output.shape == ("B", 1, "T", 16), s[""]
    except ExportError as error:
        assert "What still works" in str(error)
print("all well")
"""


def test_code_for_the_compiler_runs_without_it():
    """In a process of its own: what fails here would end this one."""
    run = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and run.stdout.endswith("all well\n"), run.stderr[-3000:]
