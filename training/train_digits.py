"""Train one of the two small digit models in ``w2vlearn/data``, measure it, and write its card. One command:

    python -m training.train_digits --variant layer --people FOLDER

It goes on from weights that heard nobody but espeak-ng, which it reads from this repository's history (``git show`` of
commit `START`, so it needs a clone with history). First it trains on synthetic voices alone. From there it goes on
three times without one of the people, to measure what is heard of somebody new, and once with everybody. Stopped runs
go on where they were. What must be installed, it says.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import hashlib
import json
import math
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from training.augment import augment
from training.card import write_card
from training.compose import compose, transcript
from training.layout import fast_layout
from training.measure import judge, measure, measure_doubt, prompts_speaker
from training.sources import (
    ROOT,
    Bank,
    check_programs,
    fetch_people,
    read_people,
    record_bank,
    with_people,
)
from w2vlearn.audio import SAMPLE_RATE
from w2vlearn.checkpoints import load, save
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.model import Wav2Vec2ForCTC
from w2vlearn.model.ctc import ctc_loss

START = "88dd5b3"  # the commit whose training/ made the weights to start from, on synthetic speech alone
CLIP_SAMPLES = (8_000, 11_000, 16_000, 24_000, 40_000, 72_000)  # 0.5 to 4.5 s; each batch has one of these lengths
AUDIO_PER_STEP = 16 * 16_000  # samples in a batch, whatever the length of its clips


@dataclass(frozen=True)
class Recipe:
    """Optimizer steps on synthetic voices, then with everybody, or with one person left out; highest learning rate;
    averaging of the weights."""

    synthetic_steps: int
    steps: int
    judged_steps: int
    rate: float
    averaging: float = 0.998


RECIPES = {"group": Recipe(2400, 3400, 1700, 8e-4), "layer": Recipe(2400, 3400, 1700, 9e-4)}


def has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16 itself (x86 or ARM); where it is imitated, float32 is quicker."""
    processor = torch.cpu.get_capabilities()
    return any(processor.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def starting_model(variant: str, cache: Path) -> Wav2Vec2ForCTC:
    """The model of commit `START`, read from this repository's history.

    Raises
    ------
    RuntimeError
        If there is no history here.
    """
    folder = cache / f"start-{variant}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "preprocessor_config.json", "tokenizer_config.json", "vocab.json", "model.safetensors"):
        path = f"{START}:w2vlearn/data/digits_{variant}/{name}"
        run = subprocess.run(["git", "show", path], cwd=ROOT, capture_output=True)
        if run.returncode:
            raise RuntimeError(
                f"training starts from {path}; it needs a clone with history, not an archive of the code"
            )
        (folder / name).write_bytes(run.stdout)
    return load(folder)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over 4 % of the run, then a cosine down to a hundredth of ``peak``."""
    warmup = max(1, steps // 25)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def draw_batch(bank: Bank, rng: np.random.Generator, audio: int = AUDIO_PER_STEP) -> tuple[torch.Tensor, list[str]]:
    """One batch of clips of one length: no padding, no mask.

    Returns
    -------
    waves : torch.Tensor
        float32 (B, L), normalised; B = audio // L.
    texts : list of str
        What each of them says.
    """
    length = int(rng.choice(CLIP_SAMPLES))
    clips = [compose(bank, length, rng) for _ in range(max(1, audio // length))]
    return augment(np.stack([samples for _, samples in clips]), rng), [transcript(digits) for digits, _ in clips]


def letter_loss(logits: torch.Tensor, labels: list[list[int]], config: Wav2Vec2Config) -> torch.Tensor:
    """CTC loss of logits (B, T, V), summed over the clips and divided by the labels of all of them.

    A clip without labels counts with the sum over its frames, like any other: a mean per clip would let silence push
    the blank into every word. No clip is padded: each has all T frames.
    """
    rows = pad_sequence([torch.tensor(row, dtype=torch.int64) for row in labels], batch_first=True, padding_value=-100)
    frame_lengths = torch.full((len(rows),), logits.shape[1])
    total = ctc_loss(logits, rows, frame_lengths, dataclasses.replace(config, ctc_loss_reduction="sum"))
    return total / max(1, sum(map(len, labels)))


def train(
    model: Wav2Vec2ForCTC,
    bank: Bank,
    steps: int,
    rate: float,
    averaging: float,
    seed: int,
    file: Path,
    audio: int = AUDIO_PER_STEP,
    keep_every: int = 200,
) -> dict:
    """Train ``model`` in place; it ends with the running average of its weights.

    Parameters
    ----------
    file : Path
        Where the run is kept every ``keep_every`` steps and at its end, to go on from after a stop.

    Returns
    -------
    dict
        ``steps``, ``loss`` (CTC, mean of the last 100 steps), ``wall_seconds``, ``cpu_seconds``.
    """
    vocabulary = model.vocabulary
    rng = np.random.default_rng(seed)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.98)
    )
    average = copy.deepcopy(model.state_dict())
    first, losses, wall, cpu = 0, [], 0.0, 0.0
    if file.exists():
        stored = torch.load(file, weights_only=False)
        first, losses, wall, cpu = stored["step"], stored["losses"], stored["wall"], stored["cpu"]
        model.load_state_dict(stored["model"])
        optimizer.load_state_dict(stored["optimizer"])
        average, rng.bit_generator.state = stored["average"], stored["rng"]
    wall, cpu = time.time() - wall, time.process_time() - cpu
    model.train()
    with fast_layout(model), tqdm(total=steps, initial=first, desc=file.stem, unit="step", mininterval=5) as bar:
        for step in range(first, steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, rate)
            waves, texts = draw_batch(bank, rng, audio)
            with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
                logits = model(waves).logits
            loss = letter_loss(logits, [vocabulary.ids(text) for text in texts], model.config)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            keep = min(averaging, (1 + step) / (10 + step))
            for name, value in model.state_dict().items():
                average[name].lerp_(value, 1 - keep)
            losses.append(float(loss.detach()))
            bar.set_postfix(loss=f"{np.mean(losses[-100:]):.3f}", refresh=False)
            bar.update()
            if (step + 1) % keep_every == 0 or step + 1 == steps:
                state = {"step": step + 1, "losses": losses, "wall": time.time() - wall, "rng": rng.bit_generator.state}
                state |= {"cpu": time.process_time() - cpu, "model": model.state_dict(), "average": average}
                file.parent.mkdir(parents=True, exist_ok=True)
                torch.save({**state, "optimizer": optimizer.state_dict()}, file.with_suffix(".new"))
                os.replace(file.with_suffix(".new"), file)  # never half a file under the real name
    model.load_state_dict(average)
    model.eval()
    times = {"wall_seconds": time.time() - wall, "cpu_seconds": time.process_time() - cpu}
    return {"steps": steps, "loss": float(np.mean(losses[-100:])), **times}


def run_file(folder: Path, variant: str, run: str, decides: tuple) -> Path:
    """Where a run is kept: the name holds a hash of all that decides its result."""
    return folder / f"{variant}-{run}-{hashlib.sha256(repr(decides).encode()).hexdigest()[:8]}.pt"


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    numbers = {"Python": platform.python_version()}
    numbers |= {name: version(name) for name in ("torch", "numpy", "soxr", "praat-parselmouth")}
    for program in ("espeak-ng", "flite", "festival"):
        if shutil.which(program):
            answer = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
            numbers[program] = re.search(r"\d+\.\d[\w.]*", answer)[0]
    return numbers


def main(arguments: list[str] | None = None) -> None:
    """Command line: record the voices, train, save, measure, write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", choices=sorted(RECIPES), required=True)
    parser.add_argument("--people", type=Path, help="folder of recordings (default: fetched from the public data set)")
    parser.add_argument("--out", type=Path, help="folder to write (default: w2vlearn/data/digits_VARIANT)")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "digits", help="where speech and runs are kept")
    parser.add_argument("--steps", type=int, help="optimizer steps of every run (default: the recipe's)")
    parser.add_argument("--judge", nargs="*", metavar="NAME", help="people to leave out, one at a time (default: each)")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args(arguments)

    check_programs()
    torch.set_num_threads(1)  # another number rounds differently
    torch.manual_seed(options.seed)
    people = options.people or fetch_people(options.cache)
    recorded, recipe = read_people(people), RECIPES[options.variant]
    decides = (START, options.steps, recipe, options.seed, sorted(recorded))
    synthetic = record_bank(options.seed, options.cache)
    runs, judged = {}, {}

    def run(name: str, model: Wav2Vec2ForCTC, without: Collection[str], steps: int) -> Path:
        file = run_file(options.cache / "runs", options.variant, name, decides)
        heard = {person: takes for person, takes in recorded.items() if person not in without}
        bank = with_people(synthetic, heard, options.seed, options.cache)
        steps = options.steps or steps
        runs[name] = train(model, bank, steps, recipe.rate, recipe.averaging, options.seed, file)
        return file

    base = starting_model(options.variant, options.cache)
    run("synthetic voices", base, recorded, recipe.synthetic_steps)
    for person in sorted(recorded) if options.judge is None else options.judge:
        model = copy.deepcopy(base)
        scores = run(f"without {person}", model, (person,), recipe.judged_steps).with_suffix(".json")
        if not scores.exists():
            unsure_below = measure_doubt(model, options.cache)["unsure_below"]
            scores.write_text(json.dumps(judge(model, recorded[person], unsure_below)))
        judged[person] = json.loads(scores.read_text())
    model = base
    run("everybody", model, (), recipe.steps)
    folder = options.out or ROOT / "w2vlearn" / "data" / f"digits_{options.variant}"
    save(model, folder, dtype=torch.float16)
    training = {
        "variant": options.variant,
        "command": f"python -m training.train_digits --variant {options.variant}"
        + ("" if options.judge is None else " ".join([" --judge", *options.judge])),
        "seed": options.seed,
        "start": START,
        "recipe": dataclasses.asdict(recipe),
        "seconds_per_step": AUDIO_PER_STEP // SAMPLE_RATE,
        "bfloat16": has_bfloat16(),
        "people": {name: sum(map(len, takes)) for name, takes in recorded.items()},
        "runs": runs,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    stored = load(folder)  # measured as it is stored, rounded to float16
    metrics = {"training": training, "people": judged, **measure(stored, options.cache), "versions": versions()}
    unsure_below = metrics["doubt"]["unsure_below"]
    judged["Allison"] = judge(stored, prompts_speaker(), unsure_below)
    model.processing = dataclasses.replace(model.processing, unsure_below=unsure_below)
    save(model, folder, dtype=torch.float16)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    write_card(folder, metrics)


if __name__ == "__main__":
    main()
