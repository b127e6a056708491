"""Train one of the two small digit models in ``w2vlearn/data``, measure it, and write its card. One command:

    python -m training.train_digits --variant group
    python -m training.train_digits --variant layer

Needs espeak-ng (``apt-get install espeak-ng``); flite is optional and only used to measure.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import platform
import re
import shutil
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import soxr
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from tqdm import tqdm

from training.augment import augment
from training.guide import GuideHead, guide_loss, letter_targets, piece_targets, widen
from training.layout import fast_layout
from training.speech import Bank, Clip, compose, record_bank, transcript
from training.vocabulary import BLANK, TOKENS, encode, write_processor
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.model import Wav2Vec2ForCTC

ROOT = Path(__file__).resolve().parents[1]
RECIPE = {  # two stages, each with a warm-up and a cosine of its own; guide and layout: see `train`
    "group": (
        {"steps": 2800, "peak_rate": 8e-4, "guide": "thirds", "fast": False},
        {"steps": 1700, "peak_rate": 5e-4, "guide": "letters", "fast": False},
    ),
    "layer": (
        {"steps": 1800, "peak_rate": 1.2e-3, "guide": "thirds", "fast": False},
        {"steps": 1700, "peak_rate": 8e-4, "guide": "letters", "fast": True},
    ),
}
AUDIO_PER_STEP = 32 * 16_000  # samples in a batch, whatever the length of its clips
CLIP_SAMPLES = (16_000, 51_200)  # 1 to 3.2 s


def digit_config(variant: str) -> Wav2Vec2Config:
    """About a million parameters with BASE's geometry (400 samples, hop 320).

    Parameters
    ----------
    variant : {"group", "layer"}
        "group": GroupNorm, convolutions without bias, post-norm Transformer, as BASE.
        "layer": LayerNorm, convolutions with bias, pre-norm Transformer, as LARGE_LV60.
    """
    layer = variant == "layer"
    return Wav2Vec2Config(
        conv_dim=(64,) * 7,
        feat_extract_norm=variant,
        conv_bias=layer,
        do_stable_layer_norm=layer,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        num_conv_pos_embeddings=64,
        num_conv_pos_embedding_groups=16,
        vocab_size=len(TOKENS),
        pad_token_id=BLANK,
        hidden_dropout=0.0,
        activation_dropout=0.0,
        attention_dropout=0.0,
        final_dropout=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
        mask_time_prob=0.0,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
    )


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over 4 % of the run, then a cosine down to a hundredth of ``peak``."""
    warmup = max(1, steps // 25)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def draw_batch(
    bank: Bank, rng: np.random.Generator, step: int, steps: int, audio: int = AUDIO_PER_STEP
) -> tuple[torch.Tensor, list[Clip]]:
    """One batch of clips of one length: no padding, no mask.

    Returns
    -------
    waves : torch.Tensor
        float32 (B, L), normalised; L is drawn for each batch, short ones only in the first tenth of the run.
        B = audio // L.
    clips : list of Clip
        What each of them says, and where.
    """
    longest = CLIP_SAMPLES[0] if step < steps // 10 else CLIP_SAMPLES[1]
    length = int(rng.integers(CLIP_SAMPLES[0] * 3 // 4, longest + 1))
    composed = [compose(bank, length, rng) for _ in range(max(1, audio // length))]
    return augment(np.stack([clip.samples for clip in composed]), rng), composed


def letter_loss(logits: torch.Tensor, clips: list[Clip]) -> torch.Tensor:
    """CTC loss per label, averaged over the clips. Every clip has all T frames: nothing is padded."""
    labels = [encode(transcript(clip.digits)) for clip in clips]
    return F.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1),  # (B, T, V) -> (T, B, V)
        torch.tensor([i for row in labels for i in row]),
        torch.full((logits.shape[0],), logits.shape[1]),
        torch.tensor([len(row) for row in labels]),
        blank=BLANK,
        zero_infinity=True,
    )


def train(
    model: Wav2Vec2ForCTC,
    bank: Bank,
    steps: int,
    peak_rate: float,
    seed: int,
    audio: int = AUDIO_PER_STEP,
    guide: str = "thirds",
    fast: bool = False,
) -> list[float]:
    """Train ``model`` in place for one stage and return the CTC loss of every step.

    CTC alone spends many steps on finding out that there are words, and that THREE has two E. So the script, which
    knows where it put each word, helps with a second loss, whose weight falls from 1 to 0 over 60 % of the stage.
    ``guide="thirds"`` (for a new model): a second head (`GuideHead`), thrown away afterwards, says for each frame which
    third of which digit is spoken. ``guide="letters"``: the model's own head is told the word's letters, evenly spread.
    ``fast``: `fast_layout`, the same sums in another order.

    The arithmetic of the forward pass is bfloat16 where torch's autocast allows it (1.5 times as fast where the
    processor has it); weights and optimizer stay float32.
    """
    rng = np.random.default_rng(seed)
    head = None
    if guide == "thirds":
        widen(model)
        head = GuideHead(model.config.hidden_size)
    parameters = [*model.parameters(), *(head.parameters() if head else ())]
    decayed = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak_rate, betas=(0.9, 0.98))
    model.train()
    losses = []
    layout = fast_layout(model) if fast else nullcontext()
    with layout, tqdm(total=steps, desc="training", unit="step", mininterval=2) as bar:
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, peak_rate)
            waves, clips = draw_batch(bank, rng, step, steps, audio)
            help_weight = max(0.0, 1 - step / (0.6 * steps))
            with torch.autocast("cpu", torch.bfloat16):
                output = model(waves)
            letters = letter_loss(output.logits, clips)
            loss = letters
            if help_weight:
                frames = output.logits.shape[1]
                if head:
                    targets = torch.stack([piece_targets(clip, frames) for clip in clips])
                    loss = loss + help_weight * head(output.last_hidden_state, targets)
                else:
                    targets = torch.stack([letter_targets(clip, frames) for clip in clips])
                    loss = loss + help_weight * guide_loss(output.logits, targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses.append(float(letters.detach()))
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
            bar.update()
    model.eval()
    return losses


def save(model: Wav2Vec2ForCTC, folder: Path) -> None:
    """Write weights (float32 safetensors), config and processor files as a Hugging Face folder."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    values = {"architectures": ["Wav2Vec2ForCTC"], **model.config.to_dict(), "bos_token_id": 1, "eos_token_id": 2}
    (folder / "config.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    write_processor(folder, padding_mask=model.config.feat_extract_norm == "layer")


def run_stage(model: Wav2Vec2ForCTC, bank: Bank, stage: dict, seed: int, decides: list, cache: Path) -> dict:
    """Train ``model`` for one stage, or take its result from ``cache`` if an earlier run left it there.

    Parameters
    ----------
    decides : list
        Everything that decides the result: it becomes the name of the cached file.

    Returns
    -------
    dict
        The stage with its CTC loss at the end, and minutes by the clock and of processor time.
    """
    file = cache / f"stage-{hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]}.safetensors"
    if file.exists():
        model.load_state_dict(load_file(file))
        return json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    wall, cpu = time.time(), time.process_time()
    losses = train(model, bank, seed=seed, **stage)
    done = {
        **stage,
        "loss_last_100_steps": float(np.mean(losses[-100:])),
        "wall_seconds": time.time() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }
    cache.mkdir(parents=True, exist_ok=True)
    file.with_suffix(".json").write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    save_file({name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}, file)
    return done


def versions() -> dict[str, str]:
    """Versions of what decides the numbers: Python, torch, numpy, soxr, espeak-ng and, where it is installed, flite."""
    found = {"Python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    found["soxr"] = soxr.__version__
    for program in ("espeak-ng", "flite"):
        if shutil.which(program):
            said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
            found[program] = re.search(r"\d+\.\d[\w.]*", said)[0]
    return found


def main(arguments: list[str] | None = None) -> None:
    """Command line: record the voices, train, save, measure, write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", choices=sorted(RECIPE), required=True)
    parser.add_argument("--out", type=Path, help="folder to write (default: w2vlearn/data/digits_VARIANT)")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "digits", help="where recorded voices are kept")
    parser.add_argument("--steps", type=int, help="optimizer steps of each stage (default: the recipe's)")
    parser.add_argument("--voices", type=int, default=1500, help="voices that say each digit once")
    parser.add_argument("--phrases", type=int, default=3000, help="digit strings spoken in one go")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--threads", type=int, default=1, help="another number rounds differently")
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    recipe = [{**stage, **({"steps": options.steps} if options.steps else {})} for stage in RECIPE[options.variant]]
    folder = options.out or ROOT / "w2vlearn" / "data" / f"digits_{options.variant}"

    began = time.time()
    bank = record_bank(options.voices, options.phrases, options.seed, options.cache)
    recorded = time.time()
    model = Wav2Vec2ForCTC(digit_config(options.variant))
    stages = []
    for index, stage in enumerate(recipe, 1):
        decides = [options.variant, recipe[:index], options.seed, options.voices, options.phrases, options.threads]
        stages.append(run_stage(model, bank, stage, options.seed + index, decides, options.cache))
    run = {
        "variant": options.variant,
        "command": f"python -m training.train_digits --variant {options.variant}"
        + (f" --steps {options.steps}" if options.steps else ""),
        "seed": options.seed,
        "voices": options.voices,
        "phrases": options.phrases,
        "threads": options.threads,
        "stages": stages,
        "parameters": sum(p.numel() for p in model.parameters()),
        "recording_wall_seconds": recorded - began,
    }
    save(model, folder)

    from training.card import write_card
    from training.measure import measure

    metrics = {"training": run, **measure(model, options.cache), "versions": versions()}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    write_card(folder, metrics)
    print(f"wrote {folder}: {metrics['word_accuracy']}")


if __name__ == "__main__":
    main()
