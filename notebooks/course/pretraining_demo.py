"""Pre-training at the size of a lesson: TINY, six clips, seconds on a laptop's CPU.

Thirteen seconds of speech teach nobody to understand speech. What the run shows is the mechanism: the loss falls below
a guess, the right answer gets picked out more often, and the codebook stays in use, thanks to the diversity loss.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from w2vlearn.audio import example, example_clips
from w2vlearn.batch import pad
from w2vlearn.config import Wav2Vec2Config
from w2vlearn.model import Wav2Vec2ForPreTraining, sample_task

__all__ = ["PretrainingRecord", "pretrain_tiny"]

LEARNING_RATE, WARM_UP = 3e-3, 20  # Adam; the rate rises linearly over the first steps
COOLEST = 0.5  # Gumbel temperature at the last step; the paper goes from 2 to 0.5, too, in 400 000 steps


@dataclass(frozen=True)
class PretrainingRecord:
    """What happened, step by step."""

    contrastive_loss: tuple[float, ...]  # per hidden frame, in nats; `guess` is what a guess costs
    diversity_loss: tuple[float, ...]  # per hidden frame: the share of the codebook that is not in use, 0 … 1
    accuracy: tuple[float, ...]  # share of hidden frames whose own target is more similar than all K negatives
    perplexity: tuple[float, ...]  # codebook entries in use, 2 … `entries`
    hidden: tuple[int, ...]  # hidden frames, of all clips together
    negatives: int  # K
    entries: int  # G * E
    model: Wav2Vec2ForPreTraining = field(repr=False, compare=False)  # as it was after the last step

    @property
    def guess(self) -> float:
        """Loss per frame of a model that finds the positive and the K negatives equally likely: log(1 + K)."""
        return math.log(1 + self.negatives)

    def __len__(self) -> int:
        return len(self.contrastive_loss)

    def __str__(self) -> str:
        every = max(1, len(self) // 5)
        rows = sorted({*range(0, len(self), every), len(self) - 1})
        lines = ["step   loss per frame   accuracy   entries in use"]
        lines += [
            f"{step:>4}   {self.contrastive_loss[step]:>14.2f}   {self.accuracy[step]:>8.0%}   "
            f"{self.perplexity[step]:>7.1f} of {self.entries}"
            for step in rows
        ]
        return "\n".join([*lines, f"A guess among {1 + self.negatives} costs {self.guess:.2f} per frame."])


def pretrain_tiny(
    clips: Sequence[Tensor] | None = None,
    steps: int = 100,
    seed: int = 0,
    diversity_loss_weight: float = 0.1,
    progress: bool = True,
) -> PretrainingRecord:
    """Pre-train TINY on a handful of clips, all of them in every step.

    Parameters
    ----------
    clips : sequence of Tensor, optional
        Waveforms, 16 kHz. Shapes: (L_i,), float32, 10 frames (3280 samples) at least. Default: the built-in clips.
    steps : int
        Updates, at least 1.
    seed : int
        With the same seed (and machine) the same record, bit for bit: it runs on one thread, which for so small a model
        is as fast as several and keeps its pace on a busy machine. Torch's own generator is left as it was.
    diversity_loss_weight : float
        0.1 in the paper. With 0 the codebook falls out of use; try it.
    progress : bool
        Show a progress bar.

    Returns
    -------
    PretrainingRecord

    Raises
    ------
    ValueError
        If ``steps`` is below 1, or a clip is too short for a span of hidden frames.
    """
    from tqdm.auto import trange

    if steps < 1:
        raise ValueError(f"pre-training needs at least one step, found steps = {steps}")
    clips = [example(name) for name in example_clips()] if clips is None else clips
    batch = pad(clips, normalize=True)
    # So short a run needs neither dropout nor LayerDrop.
    none = dict.fromkeys(("hidden_dropout", "activation_dropout", "attention_dropout", "layerdrop"), 0.0)
    config = dataclasses.replace(Wav2Vec2Config.tiny(), diversity_loss_weight=diversity_loss_weight, **none)
    rows = []
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        model = Wav2Vec2ForPreTraining(config).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / WARM_UP))
        with trange(steps, desc="pre-training", unit="step", disable=not progress) as bar:
            for step in bar:
                model.quantizer.temperature = 2.0 * (COOLEST / 2.0) ** (step / steps)
                time_mask, negatives = sample_task(config, batch.lengths)  # (B, T), (B, T, K): new ones in every step
                result = model(batch.waveforms, batch.mask, time_mask, negatives)
                hidden = int(time_mask.sum())
                optimizer.zero_grad()
                (result.loss / hidden).backward()  # the losses are sums over hidden frames
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                sums = (result.contrastive_loss / hidden, result.diversity_loss / hidden)
                rows.append(
                    [value.item() for value in (*sums, result.accuracy, result.codevector_perplexity)] + [hidden]
                )
                bar.set_postfix(loss=f"{rows[-1][0]:.2f}", accuracy=f"{rows[-1][2]:.0%}", refresh=False)
    entries = config.num_codevector_groups * config.num_codevectors_per_group
    return PretrainingRecord(
        *zip(*rows, strict=True), negatives=config.num_negatives, entries=entries, model=model.eval()
    )


@contextlib.contextmanager
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
