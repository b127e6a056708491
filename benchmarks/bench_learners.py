"""Twenty learners at once on one machine: none may lose a kernel or get a wrong result.

Twenty kernels are started together, as one Jupyter server would, and run lessons 0, 2, 5 and 7, five of each. Every
output is compared with the stored one. Printed: the time until each lesson was through, the most memory that all
kernels held together and one alone, the slowest cell, and what went wrong, if anything did.

    python benchmarks/bench_learners.py [--learners 20] [--limit 900]

One process starts all kernels on purpose: jupyter_client reserves their ports for a server, and two servers that start
kernels at the same moment may choose the same one. A kernel that lost its port stands still without load; a server
each, as on a hub, is safe in containers of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from tqdm.auto import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]

from tools.lessons import changes, normalise  # noqa: E402

LESSONS = ("00_*", "02_*", "05_*", "07_*")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # as the stored outputs were made


@dataclass
class Learner:
    """One run of one lesson: how long it and its slowest cell took, and what differs from the stored outputs."""

    lesson: Path
    seconds: float = 0.0
    slowest_cell: str = ""
    slowest_seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)


async def learn(learner: Learner, limit: float, bar: tqdm) -> None:
    """Run a lesson in a kernel of its own."""
    stored = nbformat.read(learner.lesson, as_version=4)
    notebook = normalise(stored)
    starts: dict[int, float] = {}

    def begins(cell, cell_index) -> None:
        starts[cell_index] = time.perf_counter()

    def ends(cell, cell_index, **_) -> None:
        took = time.perf_counter() - starts[cell_index]
        if took > learner.slowest_seconds and cell.source.strip():
            learner.slowest_seconds, learner.slowest_cell = took, cell.source.splitlines()[0][:60]

    client = NotebookClient(
        notebook,
        timeout=limit,
        kernel_name="python3",
        resources={"metadata": {"path": str(learner.lesson.parent)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        on_cell_start=begins,
        on_cell_executed=ends,
    )
    start = time.perf_counter()
    try:
        ran = await asyncio.wait_for(client.async_execute(env={**os.environ, **ONE_THREAD}), limit)
        learner.complaints = changes(normalise(stored), normalise(ran))
    except Exception as error:  # a dead kernel, a cell that failed, no end within the limit
        learner.complaints = [f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"]
    learner.seconds = time.perf_counter() - start
    bar.update()


async def watch_memory(peaks: dict[str, int]) -> None:
    """The most memory that all kernels held together, and one of them alone; shared pages are counted once."""
    me = psutil.Process()
    while True:
        sizes = []
        for process in me.children(recursive=True):
            try:
                memory = process.memory_full_info()
                sizes.append(getattr(memory, "pss", memory.rss))
            except psutil.Error:  # it ended meanwhile
                continue
        peaks["together"] = max(peaks["together"], sum(sizes))
        peaks["one"] = max([peaks["one"], *sizes])
        await asyncio.sleep(1.0)


async def together(learners: list[Learner], limit: float) -> dict[str, int]:
    """All of them at once; the peaks of memory, in bytes."""
    peaks = {"together": 0, "one": 0}
    with tqdm(total=len(learners), desc="learners through", unit="lesson") as bar:
        watching = asyncio.create_task(watch_memory(peaks))
        await asyncio.gather(*(learn(learner, limit, bar) for learner in learners))
        watching.cancel()
    return peaks


def main() -> int:
    """Run, print, and fail if any learner lost anything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learners", type=int, default=20)
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for a lesson")
    options = parser.parse_args()
    lessons = [next((ROOT / "notebooks").glob(f"{pattern}.ipynb")) for pattern in LESSONS]
    learners = [Learner(lessons[i % len(lessons)]) for i in range(options.learners)]
    start = time.perf_counter()
    peaks = asyncio.run(together(learners, options.limit))
    took = time.perf_counter() - start
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 2**30
    print(f"{len(learners)} learners at once, {cores} cores, {memory:.0f} GiB: all through after {took:.0f} s")
    print(
        f"memory: at most {peaks['together'] / 2**30:.1f} GiB together, {peaks['one'] / 2**20:.0f} MiB for one kernel"
    )
    slowest = max(learners, key=lambda learner: learner.slowest_seconds)
    print(f"slowest cell: {slowest.slowest_seconds:.1f} s, {slowest.lesson.name}: {slowest.slowest_cell}")
    for lesson in lessons:
        times = [learner.seconds for learner in learners if learner.lesson == lesson]
        if times:
            print(f"  {lesson.name:34s} {min(times):5.0f} to {max(times):.0f} s")
    lost = [learner for learner in learners if learner.complaints]
    for learner in lost:
        print(f"LOST {learner.lesson.name}: {learner.complaints[0]}")
    print(f"{len(learners) - len(lost)} of {len(learners)} with every output as stored")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
