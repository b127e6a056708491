"""What a trace costs: time and peak memory over a plain forward, beside torchinfo and torchlens, in one run.

Promised: traced / plain at most 1.02 for three clips of 16000, 23456 and 40000 samples, 1.05 for one clip of 24000;
peak memory at most 1.02. BASE with a CTC head, eval mode, no gradients. torchinfo and torchlens run the forward
themselves, on transformers' model with the same weights, since they do not read the dataclasses that ours returns; they
are held against a plain forward of that model.

    python benchmarks/bench_trace.py [--rounds 30] [--preset base] [--skip torchlens] [--device cpu]
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import resource
import warnings

import torch
from ratio import compare

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC, pad
from w2vlearn.tracing import trace

BATCHES = {"3 clips": (16_000, 23_456, 40_000), "1 clip": (24_000,)}
PROMISED = {"3 clips": 1.02, "1 clip": 1.05}
PEERS_BASELINE = "plain, transformers"


def runs(preset: str, lengths: tuple[int, ...], device: str = "cpu") -> dict:
    """What is timed, by name: each runs one forward of the model and returns what it makes of it."""
    torch.manual_seed(0)
    model = Wav2Vec2ForCTC(Wav2Vec2Config.from_preset(preset)).eval().to(device)
    batch = pad([0.1 * torch.randn(length) for length in lengths]).to(device)
    arguments = {"input_values": batch.waveforms, "attention_mask": batch.mask}

    def finish(made):
        if device != "cpu":
            torch.cuda.synchronize()
        return made

    def plain():
        with torch.no_grad():
            return finish(model(**arguments))

    def traced():
        with torch.no_grad():
            return finish(trace(model, batch))

    def traced_and_looked_at():
        with torch.no_grad():
            found = finish(trace(model, batch))
        return len(found.records)

    found = {"plain": plain, "trace": traced, "trace, then looked at": traced_and_looked_at}
    return found | peers(model, arguments, finish)


def peers(model, arguments: dict, finish) -> dict:
    """The same for other people's tools, as far as they are installed, and the plain run that they are held against."""
    try:
        import torchinfo
        import torchlens
        import transformers
    except ImportError as error:
        print(f"{error.name} is not installed: other tools are left out")
        return {}
    values = {key: value for key, value in model.config.to_dict().items() if key != "model_type"}
    theirs = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**values)).eval()
    theirs.load_state_dict(model.state_dict())
    theirs.to(next(model.parameters()).device)
    look = getattr(torchlens, "log_forward_pass", None) or torchlens.trace

    def plain():
        with torch.no_grad():
            return finish(theirs(**arguments))

    def info():
        with torch.no_grad():
            return finish(torchinfo.summary(theirs, input_data=arguments, verbose=0))

    def lens():
        with torch.no_grad():
            return finish(look(theirs, [], dict(arguments)))

    return {PEERS_BASELINE: plain, "torchinfo": info, "torchlens": lens}


def baseline_of(name: str) -> str:
    """Which plain run a tool is held against."""
    return PEERS_BASELINE if name.startswith("torch") or name == PEERS_BASELINE else "plain"


def peak_bytes(preset: str, lengths: tuple[int, ...], name: str, device: str, queue) -> None:
    """Most memory held during one run of ``name``, in a process of its own (the run before warms it up)."""
    warnings.simplefilter("ignore")
    work = runs(preset, lengths, device)
    with torch.no_grad():
        work["plain"]()
    gc.collect()
    if device == "cpu":
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # start the high-water mark anew
        work[name]()
        with open("/proc/self/status") as file:
            kilobytes = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
        queue.put(1024 * kilobytes or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    else:
        torch.cuda.reset_peak_memory_stats()
        work[name]()
        queue.put(torch.cuda.max_memory_allocated())


def peaks(preset: str, lengths: tuple[int, ...], names: list[str], device: str, times: int = 3) -> dict[str, int]:
    """Smallest peak of a few processes, by name; the plain run comes twice, as a control."""
    context = multiprocessing.get_context("spawn")
    found: dict[str, int] = {}
    baselines = ["plain", *sorted({baseline_of(name) for name in names} - {"plain"})]
    for label, name in [("plain again (control)", "plain"), *((n, n) for n in (*baselines, *names))]:
        for _ in range(times):
            queue = context.Queue()
            process = context.Process(target=peak_bytes, args=(preset, lengths, name, device, queue))
            process.start()
            peak = queue.get(timeout=300)
            process.join()
            found[label] = min(found.get(label, peak), peak)
    return found


def main() -> None:
    """Print one line per batch and tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--preset", default="base")
    parser.add_argument("--skip", nargs="*", default=[])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-memory", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for title, lengths in BATCHES.items():
        work = runs(options.preset, lengths, options.device)
        names = [name for name in work if not name.startswith("plain") and name not in options.skip]
        print(f"{options.preset}, {title} ({', '.join(map(str, lengths))} samples): time over a plain forward")
        for name in names:
            rounds = options.rounds if name != "torchlens" else max(5, options.rounds // 4)
            result = compare(work[baseline_of(name)], work[name], rounds=rounds)
            promise = f"   promised: at most {PROMISED[title]}" if name == "trace" else ""
            print(f"  {name:24s} {result}{promise}", flush=True)
        del work
        if not options.no_memory:
            # torchlens refuses to run in a child process, where each peak is measured
            alone = [name for name in names if "looked" not in name and name != "torchlens"]
            measured = peaks(options.preset, lengths, alone, options.device)
            print(f"{options.preset}, {title}: peak memory over a plain forward")
            for name, peak in measured.items():
                promise = "   promised: at most 1.02" if name == "trace" else ""
                ratio = peak / measured[baseline_of(name)]
                print(f"  {name:24s} {ratio:.3f} ({peak / 2**20:.0f} MiB){promise}", flush=True)


if __name__ == "__main__":
    main()
