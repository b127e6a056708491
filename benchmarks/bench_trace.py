"""What a trace costs, the whole way that a user waits: from the call to the printed table, over a plain forward.

BASE with a CTC head, eval mode, no gradients, processor time. torchinfo goes the same way in the same rounds, on
transformers' model with the same weights (it does not read the dataclasses that ours returns), over that model's own
plain forward. Promised, ratios: see `BATCHES`; peak memory at most 1.02. At most five minutes.

    python benchmarks/bench_trace.py [--rounds 30] [--preset base] [--device cpu] [--seconds 60] [--no-memory]
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import time
import warnings
from collections.abc import Callable

import torch
from ratio import compare_all

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC, pad
from w2vlearn.tracing import trace

TABLE, TRACE, INFO = "call to printed table", "trace alone", "torchinfo, call to printed table"
BATCHES = {  # samples per clip; at most so many times a plain forward
    "3 clips": ((16_000, 23_456, 40_000), {TABLE: 1.03, TRACE: 1.02}),
    "1 clip": ((24_000,), {TABLE: 1.10, TRACE: 1.05}),
    "32 clips of 32 lengths": (tuple(range(4_000, 8_000, 125)), {TABLE: 1.05}),
}
MEMORY = 1.02


def runs(preset: str, lengths: tuple[int, ...], device: str = "cpu") -> tuple[dict[str, Callable], dict[str, str]]:
    """What is timed, by name, and what each is held against: each runs one forward and returns what it makes of it."""
    torch.manual_seed(0)
    model = Wav2Vec2ForCTC(Wav2Vec2Config.from_preset(preset)).eval().to(device)
    batch = pad([0.1 * torch.randn(length) for length in lengths]).to(device)
    arguments = {"input_values": batch.waveforms, "attention_mask": batch.mask}

    def timed(run: Callable) -> Callable:
        def work() -> object:
            with torch.no_grad():
                result = run()
            if device != "cpu":
                torch.cuda.synchronize()
            return result

        return work

    work = {
        "plain": timed(lambda: model(**arguments)),
        TRACE: timed(lambda: trace(model, batch)),
        TABLE: timed(lambda: str(trace(model, batch))),
    }
    against = {TRACE: "plain", TABLE: "plain"}
    try:
        import torchinfo
        import transformers
    except ImportError as error:
        print(f"{error.name} is not installed: torchinfo is left out")
        return work, against
    values = {key: value for key, value in model.config.to_dict().items() if key != "model_type"}
    theirs = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**values)).eval()
    theirs.load_state_dict(model.state_dict())
    theirs.to(device)
    work["plain, transformers"] = timed(lambda: theirs(**arguments))
    work[INFO] = timed(lambda: str(torchinfo.summary(theirs, input_data=arguments, verbose=0)))
    return work, against | {INFO: "plain, transformers"}


def peak_bytes(preset: str, lengths: tuple[int, ...], name: str, device: str, queue: multiprocessing.Queue) -> None:
    """Most memory held during one run of ``name``, in a process of its own (the run before warms it up)."""
    warnings.simplefilter("ignore")
    work, _ = runs(preset, lengths, device)
    work["plain"]()
    gc.collect()
    if device == "cpu":
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # start the high-water mark anew
        work[name]()
        with open("/proc/self/status") as file:
            queue.put(1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM")))
    else:
        torch.cuda.reset_peak_memory_stats()
        work[name]()
        queue.put(torch.cuda.max_memory_allocated())


def peak(preset: str, lengths: tuple[int, ...], name: str, device: str, times: int = 2) -> int:
    """Smallest peak of a few processes, bytes."""
    context = multiprocessing.get_context("spawn")
    peaks = []
    for _ in range(times):
        queue = context.Queue()
        process = context.Process(target=peak_bytes, args=(preset, lengths, name, device, queue))
        process.start()
        peaks.append(queue.get(timeout=300))
        process.join()
    return min(peaks)


def main() -> None:
    """Print one line per batch and measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--preset", default="base")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=60, help="per batch; five rounds are the least")
    parser.add_argument("--no-memory", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    for title, (lengths, promised) in BATCHES.items():
        work, against = runs(options.preset, lengths, options.device)
        if len(lengths) > 3:  # slow rounds: only what is promised
            against = {name: base for name, base in against.items() if name in promised}
        print(
            f"{options.preset}, {title}, {sum(lengths) / 16_000:.1f} s of audio: time over a plain forward", flush=True
        )
        measured = compare_all(work, against, options.rounds, 1, clock, options.seconds)
        for name, ratio in measured.items():
            print(f"  {name:32s} {ratio}{_promise(promised.get(name))}", flush=True)
    if not options.no_memory:
        lengths, _ = BATCHES["3 clips"]
        print(f"{options.preset}, 3 clips: peak memory over a plain forward")
        plain = peak(options.preset, lengths, "plain", options.device)
        for label, name in (("plain again (control)", "plain"), (TABLE, TABLE)):
            size = peak(options.preset, lengths, name, options.device)
            promise = _promise(MEMORY if name == TABLE else None)
            print(f"  {label:32s} {size / plain:.3f} ({size / 2**20:.0f} MiB){promise}", flush=True)


def _promise(ratio: float | None) -> str:
    return f"   promised: at most {ratio}" if ratio else ""


if __name__ == "__main__":
    main()
