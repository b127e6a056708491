"""What a trace promises: one run, true for good, cheap, and nothing of the user's touched."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from trace_helpers import Layer, untouched

from w2vlearn.batch import pad
from w2vlearn.tracing import Trace, TraceError, padding_leak, receptive_field, trace

LENGTHS = (500, 700, 1000)
WORLD: list[Tensor] = []  # a global that a forward writes to


@pytest.fixture
def short():
    return pad([torch.full((n,), 0.1) for n in LENGTHS])


@dataclass
class Cache:
    seen: list[Tensor] = field(default_factory=list)


class Plain:
    def __init__(self) -> None:
        self.seen: list[Tensor] = []


class Talks(nn.Module):
    """Counts its calls, prints, keeps what it sees in every kind of object, draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv1d(1, 4, 10, 5), nn.Linear(4, 4)
        self.calls = 0
        self.caches = {
            "list": [], "default": defaultdict(list), "counter": Counter(), "deque": deque(),
            "space": SimpleNamespace(seen=[]), "dataclass": Cache(), "plain": Plain(),
        }  # fmt: skip
        self.register_buffer("steps", torch.zeros(()))
        self.conv.register_forward_hook(self.hook)
        held: list[Tensor] = []
        own = self.dense.forward

        def closure(x: Tensor) -> Tensor:
            held.append(x)
            return own(x)

        self.dense.forward, self.held = closure, held
        self.hooked: list[Tensor] = []

    def hook(self, module: nn.Module, args: tuple, output: Tensor) -> None:
        self.hooked.append(output)

    def forward(self, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        self.calls += 1
        self.steps += 1
        print("forward of", tuple(x.shape))
        x = self.conv(x[:, None]).transpose(1, 2)
        x = x + torch.rand(1) * float(np.random.rand())
        self.caches["list"].append(x)
        self.caches["default"]["x"].append(x)
        self.caches["counter"]["calls"] += 1
        self.caches["deque"].append(x)
        for name in ("space", "dataclass", "plain"):
            self.caches[name].seen.append(x)
        WORLD.append(x)
        return self.dense(x)

    def kept(self) -> list[list[Tensor]]:
        seen = [self.caches[name].seen for name in ("space", "dataclass", "plain")]
        return [
            self.caches["list"],
            self.caches["default"]["x"],
            list(self.caches["deque"]),
            *seen,
            WORLD,
            self.hooked,
            self.held,
        ]


def read_in_every_way(found: Trace, path) -> None:
    """Everything that can be done with a trace."""
    str(found), repr(found), found._repr_html_(), found._repr_mimebundle_(), found.to_markdown()
    found.records, found.letters, found.notes, found.masks, found.diff(found), found.to_dict()
    str(found.diff(found))
    found.save(path)
    Trace.load(path), pickle.loads(pickle.dumps(found)), copy.copy(found), copy.deepcopy(found)


def test_exactly_one_run_whatever_is_done_with_the_trace(short, capsys, tmp_path):
    model = Talks().eval()
    WORLD.clear()
    with torch.no_grad(), untouched(model):
        found = trace(model, short)
        read_in_every_way(found, tmp_path / "trace.json")
    assert model.calls == 1 and model.caches["counter"]["calls"] == 1 and model.steps == 0
    assert capsys.readouterr().out == "forward of (3, 1000)\n"
    for kept in model.kept():
        assert len(kept) == 1 and type(kept[0]) is Tensor and kept[0].numpy().shape[0] == 3
    assert found[""].valid == (99, 139, 199)


def test_what_happens_after_the_call_changes_nothing(short):
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.drop = nn.Conv1d(1, 8, 10, 5), nn.Dropout(0.5)
            self.layers = nn.ModuleList(Layer() for _ in range(3))

        def forward(self, x, attention_mask=None):
            x = self.first(x[:, None]).transpose(1, 2)
            for layer in self.layers:
                x = layer(self.drop(x))
            return x

    def model():
        torch.manual_seed(0)
        return Stack().eval()

    expected = trace(model(), short)
    changed = model()
    mask = short.mask.clone()
    found = trace(changed, short.waveforms, attention_mask=mask)
    mask[:] = True
    changed.train()
    changed.layers = changed.layers[:1]
    changed.first = nn.Conv1d(1, 8, 3)
    assert found.records == expected.records and found.letters == expected.letters
    assert found[""].mask.valid == LENGTHS and found["layers.2"].valid == (99, 139, 199)


def test_a_mask_edited_in_place_between_two_layers_is_what_each_of_them_saw(short):
    class Edits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.a, self.b = nn.Conv1d(1, 8, 10, 5), Layer(), Layer()

        def forward(self, x, attention_mask):
            x = self.conv(x[:, None]).transpose(1, 2)
            mask = torch.arange(x.shape[1]) < ((attention_mask.sum(1) - 10) // 5 + 1)[:, None]
            x = self.a(x, mask)
            mask[:, :5] = False
            return self.b(x, mask)

    found = trace(Edits().eval(), short)
    assert found["a"].mask.valid == (99, 139, 199) and found["b"].mask.valid == (94, 134, 194)
    blamed = [note for note in found.notes if "expected" in note]
    assert len(blamed) <= 1 and not any("handed to a:" in note for note in blamed)


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


def test_pickles_and_copies_keep_all_but_the_output(short):
    found = trace(Talks().eval(), short, values=True)
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert (
            again == found
            and again.output is None
            and again[""].value is None
            and again["conv"].valid == (99, 139, 199)
        )
    assert copy.copy(found) == found and copy.copy(found).output is found.output
    with pytest.raises(TraceError) as broken:
        trace(nn.Sequential(nn.Conv1d(2, 2, 3)).eval(), torch.zeros(1, 3, 9))
    again = pickle.loads(pickle.dumps(broken.value))
    assert str(again) == str(broken.value) and again.trace == broken.value.trace


COMPILED = """
import torch
from torch import nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from w2vlearn.batch import pad
from w2vlearn.tracing import padding_leak, receptive_field, trace

class Part(nn.Module):
    def __init__(self, way):
        super().__init__()
        self.conv, self.dense, self.after = nn.Conv1d(1, 8, 10, 5), nn.Linear(8, 8), torch.tanh
        if way == "submodule":
            self.dense = torch.compile(self.dense, backend="eager")
        elif way == "in place":
            self.dense.compile(backend="eager")
        elif way == "function":
            self.after = torch.compile(lambda x: torch.tanh(x), backend="eager")
        elif way == "bound method":
            self.after = torch.compile(self.help, backend="eager")
        elif way == "flex attention":
            self.after = self.attend

    def help(self, x):
        return torch.tanh(x)

    def attend(self, x):
        x, n = x[:, None].detach(), x.shape[1]
        mask = create_block_mask(lambda b, h, i, j: j <= i, None, None, n, n, device="cpu")
        return flex_attention(x, x, x, block_mask=mask)[:, 0]

    def forward(self, x, attention_mask=None):
        return self.after(self.dense(self.conv(x[:, None]).transpose(1, 2)))

batch = pad([torch.randn(500), torch.randn(900)])
for way in ("submodule", "in place", "function", "bound method", "the model", "flex attention"):
    model = Part(way).eval()
    if way == "the model":
        model = torch.compile(model, backend="eager")
    with torch.no_grad():
        plain = model(batch.waveforms)
        found = trace(model, batch)
    found.to_dict()
    assert torch.allclose(found.output, plain, atol=1e-6)
    assert found["dense"].valid == (99, 179), found["dense"]
    known = any("compiled" in note for note in found.notes)
    assert known == (way in ("submodule", "in place", "the model")), found.notes
    assert padding_leak(model, batch).model_runs == 4
    assert receptive_field(model, 3, samples=400, at="conv").span == range(15, 25)
    with torch.no_grad():
        assert torch.equal(model(batch.waveforms), plain)
    print(way, flush=True)
"""


def test_the_process_survives_compiled_code_and_flex_attention():
    """In a process of its own: what went wrong here was a segmentation fault."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILED], capture_output=True, text=True)
    survived = done.stdout.split("\n")[:-1]
    assert len(survived) == 6 and done.returncode == 0, (done.returncode, survived, done.stderr[-2000:])


class Buffers(nn.Module):
    """Writes, reassigns and registers buffers whenever it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 10, 5)
        self.norm = nn.BatchNorm1d(4)
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
def test_buffers_are_as_they_were_whatever_ran(short, train):
    model = Buffers().train(train)
    before = {name: buffer.clone() for name, buffer in model.state_dict().items()}
    objects = {name: id(buffer) for name, buffer in model.named_buffers()}
    trace(model, short)
    padding_leak(model, short)
    receptive_field(model, 1, samples=200)
    after = model.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    assert {name: id(buffer) for name, buffer in model.named_buffers()} == objects
