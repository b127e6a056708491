"""What `import w2vlearn` costs beyond `import torch`: at most 0.15 s is promised.

Each import runs in a fresh Python, which times itself, so that starting Python is not counted.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 15
TORCH = "import torch"
EVERYDAY = "Wav2Vec2Config, Wav2Vec2ForCTC, FrameGeometry, pad, read_audio, trace"
STATEMENTS = {
    "import torch": TORCH,
    "import torch, again (control)": TORCH,
    "import torch, w2vlearn": "import torch, w2vlearn",
    "and its everyday names": f"import torch; from w2vlearn import {EVERYDAY}",
}


def seconds(statement: str) -> float:
    """How long ``statement`` takes in a fresh Python."""
    script = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Interleave the imports and print medians, and what each takes beyond the first."""
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for done in range(ROUNDS + 1):
        for name, statement in STATEMENTS.items():
            taken = seconds(statement)
            if done:  # the first round fills the disk's cache
                times[name].append(taken)
    first = times["import torch"]
    for name, taken in times.items():
        more = statistics.median(b - a for a, b in zip(first, taken, strict=True))
        print(f"{name:32s} {statistics.median(taken):6.3f} s   {more:+.3f} s in the same round, median of {ROUNDS}")


if __name__ == "__main__":
    main()
