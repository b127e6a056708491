"""How many times as long B takes as A, fairly: interleaved, in random order, with A against itself as a control.

A busy or throttled machine slows whatever runs at that moment. So each round runs A, A again, and B, in an order drawn
anew, and what counts is the ratio within a round. The control A/A has the true value 1: what it shows beside 1 is
noise, and a ratio B/A that differs from 1 by no more than that has not been measured.

Neither pyperf nor torch.utils.benchmark does this: pyperf times one benchmark after the other, each in processes of its
own, and torch.utils.benchmark one statement after the other; both compare what they have afterwards, so that a machine
that slows down in between shows as a difference, and neither runs A against A.
"""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_FEWEST = 5  # rounds


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
    """Time ``candidate`` over ``baseline``, interleaved, with an A/A control; as `compare_all`, for two."""
    work = {"baseline": baseline, "candidate": candidate}
    return compare_all(work, {"candidate": "baseline"}, rounds, warmup, clock)["candidate"]


def compare_all(
    work: Mapping[str, Callable[[], object]],
    against: Mapping[str, str],
    rounds: int = 30,
    warmup: int = 3,
    clock: Callable[[], float] = time.perf_counter,
    seconds: float = math.inf,
) -> dict[str, Ratio]:
    """Time several things, each over its baseline, all interleaved.

    Parameters
    ----------
    work : mapping of str to callable
        They take nothing; what they return is dropped. On a GPU they must wait for it themselves.
    against : mapping of str to str
        Candidate -> its baseline.
    rounds : int
        Rounds that count, at least 5; each runs every baseline twice and every candidate once.
    warmup : int
        Rounds before, not counted.
    clock : callable
        Seconds; ``time.process_time`` counts what this process computed, whatever else the machine does.
    seconds : float
        No round begins after so many seconds on the wall, once 5 were counted.

    Returns
    -------
    dict of str to Ratio
        For each candidate, medians of the ratios within a round, with intervals.
    """
    if rounds < _FEWEST:
        raise ValueError(f"wanted at least {_FEWEST} rounds, got {rounds}: the median of fewer says nothing.")
    order = random.Random(0)
    runs = {name: work[name] for name in dict.fromkeys([*against.values(), *against])}
    runs |= {f"{name} again": work[name] for name in against.values()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    collecting, end = gc.isenabled(), time.monotonic() + seconds
    for done in range(-warmup, rounds):
        if done >= _FEWEST and time.monotonic() > end:
            break
        names = list(runs)
        order.shuffle(names)
        gc.collect(1)
        gc.disable()  # so that what one leaves behind is not swept up on another's time
        try:
            for name in names:
                start = clock()
                runs[name]()
                if done >= 0:
                    times[name].append(clock() - start)
        finally:
            if collecting:
                gc.enable()
    return {name: _ratio(times[base], times[f"{base} again"], times[name]) for name, base in against.items()}


def _ratio(baseline: list[float], again: list[float], candidate: list[float]) -> Ratio:
    """Both ratios divide by the same runs of the baseline, so that control and measurement suffer the same noise."""
    ratios = [b / a for a, b in zip(baseline, candidate, strict=True)]
    controls = [b / a for a, b in zip(baseline, again, strict=True)]
    return Ratio(
        statistics.median(ratios),
        *_interval(ratios),
        statistics.median(controls),
        *_interval(controls),
        1000 * statistics.median(baseline),
        1000 * statistics.median(candidate),
        len(baseline),
    )


def _interval(values: list[float], draws: int = 2_000) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median."""
    generator = random.Random(0)
    medians = sorted(statistics.median(generator.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]
