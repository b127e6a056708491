"""The model card, written from ``metrics.json`` alone: no number in it is typed by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from training.train_digits import AUDIO_PER_STEP

TEMPLATE = """\
---
license: mit
language: en
tags: [speech-recognition, wav2vec2, ctc, teaching]
---

# Spoken digits, {variant} norm

A wav2vec 2.0 of {parameters:,} parameters that writes down strings of English digits ("THREE ONE FOUR"). It is
made for teaching: its geometry is BASE's (at 16 kHz a frame reads 400 samples and the next one starts 320
later), and it runs in milliseconds. {norm}. Trained from scratch with CTC on letters; there was no pre-
training.

## Data

Synthetic speech only: espeak-ng, {voices:,} voices that said each digit once and {phrases:,} strings spoken in
one go (a voice is an accent, a timbre, a speed and a pitch; English accents, and other languages' sounds
reading the digits). Words were put together with pauses, played faster or slower by 0.78 to 1.28, and sent
through rooms, equalisers, telephone bands, noise and distortion. See `training/voices.py`, `training/speech.py`
and `training/augment.py`.

Trained **without padding**: the clips of a batch are composed to have exactly the same length, pauses filled
with background noise. The model met neither appended zeros nor a padding mask.

## Training

    {command}

Seed {seed}, threads: {threads}, {steps} steps of about {seconds_per_step} s of speech in two stages (peak learning
rates {rates}), AdamW. The steps took {processor_minutes:.1f} minutes of processor time and {wall_minutes:.1f}
minutes by the clock, on a machine of 2 cores shared with other work. Versions: {versions}.
The forward pass is computed in bfloat16 where autocast allows it: another kind of processor rounds otherwise
and gives slightly different weights. In each stage a helping loss, which fades out, tells frames what they hear
(`training/guide.py`); the end of each stage is CTC alone.

## What it hears

Words right is 1 - (substitutions + deletions + insertions) / words said; a word is right only if every letter
is. None of the clips below was used in training. Held-out voices: timbres never trained on. Held-out accents:
neither accent nor timbre. flite is another synthesiser, with voices built from recordings of people.

{clean_table}

Words right, by condition:

{accuracy_table}

## What padding does to it

The strings of both held-out espeak-ng sets with noise at 20 dB, alone and with zeros appended (normalised
before padding, as Hugging Face's feature extractor does). "real": only the clip's own frames are decoded;
"all": those of the padding too.

{padding_table}

## What it cannot do

* People: nothing here was measured on recordings of people. Two earlier trials of models like this one, outside
  this project, got 18 % and 47 % of the words right on such recordings.
* Anything but the ten digits: other words, "oh" for zero, and music come out as digits or letter salad.
* Speech outside the conditions above: strong noise, several people at once, very fast or very slow speech,
  children.
* The double E of THREE: CTC needs a blank between the two, and THRE is the most frequent error of all. That is why the
  column "by nearest digit" is so much better than "words right".
* Another synthesiser's voices, far worse than held-out voices of espeak-ng: what is held out here is still espeak-ng.
"""

NORMS = {
    "group": "GroupNorm in the first convolution, convolutions without bias, post-norm Transformer: the layout of BASE",
    "layer": "LayerNorm after each convolution, convolutions with bias, pre-norm Transformer: the layout of LARGE_LV60",
}


def percent(share: float) -> str:
    """``0.1234`` -> ``"12.3 %"``."""
    return f"{100 * share:.1f} %"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def card(metrics: dict) -> str:
    """The text of the card.

    Parameters
    ----------
    metrics : dict
        What `train_digits` stored: ``training``, ``word_accuracy``, ``strings``, ``conditions``, ``padding``,
        ``versions``.
    """
    run, conditions = metrics["training"], metrics["conditions"]
    sets = list(conditions)
    accuracy = table(
        ["condition", *sets],
        [[name, *(percent(conditions[s][name]["word_accuracy"]) for s in sets)] for name in conditions[sets[0]]],
    )
    clean = table(
        ["clean speech", "strings", "words right", "by nearest digit", "whole strings right"],
        [
            [
                s,
                str(metrics["strings"][s]),
                percent(conditions[s]["clean"]["word_accuracy"]),
                percent(conditions[s]["clean"]["word_accuracy_nearest_digit"]),
                percent(conditions[s]["clean"]["exact_strings"]),
            ]
            for s in sets
        ],
    )
    padding = table(
        ["padded to", "padding mask", "frames decoded", "words right", "transcript as alone"],
        [
            [
                "alone" if row["padded_to"] == 1 else f"{row['padded_to']:g} x its length",
                "-" if row["padded_to"] == 1 else "yes" if row["mask"] else "no",
                row["frames"],
                percent(row["word_accuracy"]),
                percent(row["same_as_alone"]),
            ]
            for row in metrics["padding"]
            if not (row["padded_to"] == 1 and row["frames"] == "all")
        ],
    )
    return TEMPLATE.format(
        **run,
        norm=NORMS[run["variant"]],
        steps=" + ".join(str(stage["steps"]) for stage in run["stages"]),
        rates=" and ".join(f"{stage['peak_rate']:g}" for stage in run["stages"]),
        wall_minutes=sum(stage["wall_seconds"] for stage in run["stages"]) / 60,
        processor_minutes=sum(stage["cpu_seconds"] for stage in run["stages"]) / 60,
        seconds_per_step=AUDIO_PER_STEP // 16_000,
        versions=", ".join(f"{name} {version}" for name, version in metrics["versions"].items()),
        clean_table=clean,
        accuracy_table=accuracy,
        padding_table=padding,
    )


def write_card(folder: Path, metrics: dict) -> None:
    """Write ``README.md`` beside the weights."""
    (folder / "README.md").write_text(card(metrics), encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write_card(Path(name), json.loads((Path(name) / "metrics.json").read_text(encoding="utf-8")))
