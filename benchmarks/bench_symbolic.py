"""What the proof costs: `symbolic_trace` of BASE over the bare export, stored formulas, and all shapes at a new length.

Promised: symbolic trace / bare `torch.export` at most 1.5 in the same run; presets load in at most 0.2 s; every layer's
shapes at a new length in at most 1 ms, one hour of audio included (a run on tensors without values beside it).

    python benchmarks/bench_symbolic.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch
from ratio import compare
from torch.export import Dim

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC
from w2vlearn.symbolic import SymbolicTrace, symbolic_trace
from w2vlearn.symbolic.isolation import FakeRuns


def milliseconds(run: Callable[[], object], times: int) -> float:
    """Median of a few runs."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with torch.device("meta"):
        model = Wav2Vec2ForCTC(Wav2Vec2Config.base()).eval()
    inputs = {
        "input_values": torch.zeros(3, 40_000, device="meta"),
        "attention_mask": torch.ones(3, 40_000, dtype=torch.bool, device="meta"),
    }
    dynamic = {name: {0: Dim.AUTO, 1: Dim.AUTO} for name in inputs}

    def bare():
        return torch.export.export(model, (), inputs, dynamic_shapes=dynamic)

    measured = compare(bare, lambda: symbolic_trace(model), rounds=rounds, warmup=1)
    print(f"symbolic trace of BASE over bare export (at most 1.5): {measured}")
    alone = compare(bare, lambda: symbolic_trace(model, edges=False), rounds=rounds, warmup=0)
    print(f"the same without the runs at B = 1 and T = 1:          {alone}")

    def load():
        SymbolicTrace.preset.cache_clear()
        return symbolic_trace("base")

    print(f"stored formulas of BASE (at most 200 ms): {milliseconds(load, 10):.1f} ms")
    s = load()
    length = itertools.count(57_600_000)
    s.at(B=3, L=next(length))
    every = milliseconds(lambda: s.at(B=3, L=next(length)).records, 50)
    fake = FakeRuns(model, inputs)
    run = milliseconds(lambda: fake.run(3, 20_000), 5)
    print(f"all {len(s)} layers at a new length, an hour of audio (at most 1 ms): {every:.2f} ms")
    print(f"the same by a run without values, 20 000 samples: {run:.0f} ms, {run / every:.0f} times as long")


if __name__ == "__main__":
    main()
