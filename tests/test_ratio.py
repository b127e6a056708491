"""The ruler of the benchmarks, with a clock that tests wind by hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from benchmarks.ratio import compare, compare_all


class Clock:
    """Time that passes only when work is done, on a machine of changing speed."""

    def __init__(self, slowness=lambda: 1.0):
        self.now, self.slowness = 0.0, slowness

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float):
        def run():
            self.now += seconds * self.slowness()

        return run


def test_a_ratio_is_found():
    clock = Clock()
    measured = compare(clock.work(0.010), clock.work(0.012), clock=clock)
    assert measured.ratio == pytest.approx(1.2)
    assert measured.control == pytest.approx(1.0)
    assert measured.low == pytest.approx(measured.high)
    assert measured.baseline_ms == pytest.approx(10) and measured.candidate_ms == pytest.approx(12)
    assert "1.200" in str(measured) and "A/A control 1.000" in str(measured)


def test_a_machine_that_slows_down_does_not_matter():
    count = itertools.count()
    clock = Clock(lambda: 1 + next(count) // 3 * 0.5)  # each round half again as slow as the first
    assert compare(clock.work(1), clock.work(1.1), clock=clock).ratio == pytest.approx(1.1)


def test_the_order_within_a_round_changes():
    """A slot in the round that is always slow (the first, say) must not fall to one of them alone."""
    order = []
    compare(lambda: order.append("A"), lambda: order.append("B"), rounds=30, warmup=0)
    assert {order[3 * n : 3 * n + 3].index("B") for n in range(30)} == {0, 1, 2}


def test_several_are_timed_in_the_same_rounds_each_over_its_own_baseline():
    clock = Clock()
    work = {"A": clock.work(1), "B": clock.work(2), "a": clock.work(1.5), "b": clock.work(5)}
    measured = compare_all(work, {"a": "A", "b": "B"}, clock=clock, seconds=0)
    assert {name: round(ratio.ratio, 6) for name, ratio in measured.items()} == {"a": 1.5, "b": 2.5}
    assert measured["a"].rounds == 5, "no time left, but 5 rounds are the least"


def test_the_benchmark_of_the_trace_runs(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    monkeypatch.setattr("sys.argv", ["bench_trace.py", *["--preset", "tiny", "--rounds", "5", "--no-memory"]])
    from benchmarks import bench_trace

    bench_trace.main()
    printed = capsys.readouterr().out
    for title, (_, promised) in bench_trace.BATCHES.items():
        assert title in printed and all(name in printed for name in promised)
