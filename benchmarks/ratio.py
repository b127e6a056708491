"""How many times as long B takes as A, fairly: interleaved, in random order, with A against itself as a control.

A busy or throttled machine slows whatever runs at that moment. So each round runs A, A again, and B, in an order drawn
anew, and what counts is the ratio within a round. The control A/A has the true value 1: what it shows beside 1 is
noise, and a ratio B/A that differs from 1 by no more than that has not been measured.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """What `compare` measured.

    Attributes
    ----------
    ratio, low, high : float
        Median over the rounds of time(B) / time(A), and its 95 % bootstrap interval.
    control, control_low, control_high : float
        The same for A against itself.
    baseline_ms, candidate_ms : float
        Median times, milliseconds.
    rounds : int
        Rounds that were counted.
    """

    ratio: float
    low: float
    high: float
    control: float
    control_low: float
    control_high: float
    baseline_ms: float
    candidate_ms: float
    rounds: int

    def __str__(self) -> str:
        return (
            f"{self.ratio:.3f} (95 %: {self.low:.3f} to {self.high:.3f}; "
            f"A/A control {self.control:.3f}, {self.control_low:.3f} to {self.control_high:.3f}; "
            f"{self.baseline_ms:.2f} -> {self.candidate_ms:.2f} ms, {self.rounds} rounds)"
        )


def compare(
    baseline: Callable[[], object],
    candidate: Callable[[], object],
    rounds: int = 30,
    warmup: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> Ratio:
    """Time ``candidate`` over ``baseline``, interleaved, with an A/A control.

    Parameters
    ----------
    baseline, candidate : callable
        Take nothing; what they return is dropped. On a GPU they must wait for it themselves.
    rounds : int
        Rounds that count, at least 5; each runs the baseline twice and the candidate once.
    warmup : int
        Rounds before, not counted.
    clock : callable
        Seconds; replaced in tests.

    Returns
    -------
    Ratio
        Medians of the ratios within a round, with intervals.
    """
    if rounds < 5:
        raise ValueError(f"wanted at least 5 rounds, got {rounds}: the median of fewer says nothing.")
    order = random.Random(0)
    times: dict[str, list[float]] = {"A": [], "A again": [], "B": []}
    work = {"A": baseline, "A again": baseline, "B": candidate}
    collecting = gc.isenabled()
    for done in range(warmup + rounds):
        names = list(work)
        order.shuffle(names)
        gc.collect(1)
        gc.disable()  # so that what one leaves behind is not swept up on another's time
        try:
            for name in names:
                start = clock()
                work[name]()
                if done >= warmup:
                    times[name].append(clock() - start)
                else:
                    clock()
        finally:
            if collecting:
                gc.enable()
    # Both ratios divide by the same runs of A, so that control and measurement suffer the same noise.
    ratios = [b / a for a, b in zip(times["A"], times["B"], strict=True)]
    controls = [again / a for a, again in zip(times["A"], times["A again"], strict=True)]
    return Ratio(
        statistics.median(ratios),
        *_interval(ratios),
        statistics.median(controls),
        *_interval(controls),
        1000 * statistics.median(times["A"]),
        1000 * statistics.median(times["B"]),
        rounds,
    )


def _interval(values: list[float], draws: int = 2_000) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median."""
    generator = random.Random(0)
    medians = sorted(statistics.median(generator.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]
