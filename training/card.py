"""The model card, written from ``metrics.json`` alone: no number in it is typed by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from training.compose import RATES, SHARES
from training.sources import COMMIT, DATASET

TEMPLATE = """\
---
license: cc-by-sa-4.0
language: en
tags: [speech-recognition, wav2vec2, ctc, teaching]
---

# Spoken digits, {variant} norm

A wav2vec 2.0 of {parameters:,} parameters (float16) that writes down strings of English digits ("THREE ONE FOUR"). It
is made for teaching: its geometry is BASE's (at 16 kHz a frame reads 400 samples and the next one starts 320 later),
and it runs in milliseconds. {norm}.

## Data

* **People**: {recordings:,} recordings of {people} from the Free Spoken Digit Dataset
  (https://github.com/{dataset}, commit {data_commit}), licence
  CC BY-SA 4.0; these weights are under the same licence. {people_share:.0%} of the clips with digits are put together
  from their words: as recorded, or with pitch, formants and tempo changed.
* **Synthetic voices**: espeak-ng (1,500 voices: accents, timbres, speeds; English, and other languages' sounds
  reading the digits) and festival (nine voices made of real people's recordings).
* **Not digits**, to be written as nothing: other words of these synthesisers, telephone prompts by people in four
  languages other than English (Debian's asterisk-core-sounds, CC BY-SA 3.0), invented music, hiss, silence.

Words were put together with pauses of up to some seconds, played faster or slower by {rates[0]} to {rates[1]}, and
sent through rooms, equalisers, telephone bands, noise, gaps and distortion. No recording is part of the project.
Trained **without padding**: the clips of a batch are composed to have exactly the same length. The model met neither
appended zeros nor a padding mask.

## Training

    {command}

Seed {seed}, one thread, AdamW, peak learning rate {rate:g}, running average of the weights ({averaging:g}). It went on
from the weights of commit {start}, which had heard nobody but espeak-ng: {synthetic_steps} steps of about {seconds} s
of speech each on synthetic voices alone, then {steps} with everybody. {minutes:.0f} minutes of processor time,
{wall_minutes:.0f} by the clock, on a machine of 2 cores shared with other work; {judging_minutes:.0f} and
{judging_wall_minutes:.0f} more for judging. {bfloat16} Versions: {versions}.

## People it never heard

{judged}Allison is the voice of Debian's English telephone prompts, which no training heard: ten digits, once each,
measured on this model. Single digits have 0.1 s of silence around; strings of 2 to 6 digits are put together from
words.

{people_table}

## What else it hears

Words right is 1 - (substitutions + deletions + insertions) / words said; a word is right only if every letter
is. None of the clips below was used in training. Held-out voices: timbres never trained on. Held-out accents:
neither accent nor timbre. flite is another synthesiser, with voices built from recordings of people; training used
none of them.

{clean_table}

Words right, by condition:

{accuracy_table}

## When there are no digits

`transcribe` adds a note when nothing was written or the model is unsure. Unsure: the mean confidence of the letters
is below {unsure_below:g} (`unsure_below` in `preprocessor_config.json`). That value was chosen on half of the clips;
the table is of the other half.

{doubt_table}

## What padding does to it

The strings of both held-out espeak-ng sets with noise at 20 dB, alone and with zeros appended (normalised
before padding, as Hugging Face's feature extractor does). "valid": only the clip's own frames are decoded;
"all": those of the padding too.

{padding_table}

## What it cannot do

* Every person: it learned from {people_count} men, all recorded at 8 kHz. The table above says what that means for a
  new one; women's and children's voices it knows from synthesisers only.
* Anything but the ten digits. "oh" for zero, other words and music are to come out as nothing or with a note, and do
  not always.
* Speech outside the conditions above: strong noise, several people at once, very fast or very slow speech.
"""

NORMS = {
    "group": "GroupNorm in the first convolution, convolutions without bias, post-norm Transformer: the layout of BASE",
    "layer": "LayerNorm after each convolution, convolutions with bias, pre-norm Transformer: the layout of LARGE_LV60",
}


KEYS = ("word_accuracy", "word_accuracy_nearest_digit", "exact_strings")  # of a score
JUDGED = """\
{names} were judged by leaving them out: from the model of the synthetic voices, {steps} steps without that
person, measured on that person. """


def percent(share: float) -> str:
    """``0.1234`` -> ``"12.3 %"``."""
    return f"{100 * share:.1f} %"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def score_row(name: str, count: int, score: dict) -> list[str]:
    return [name, str(count), *(percent(score[key]) for key in KEYS)]


def clean_table(metrics: dict) -> str:
    """Scores of clean speech, a row per set."""
    head = ["clean speech", "strings", "words right", "by nearest digit", "whole strings right"]
    rows = metrics["conditions"].items()
    return table(head, [score_row(name, metrics["strings"][name], scores["clean"]) for name, scores in rows])


def condition_table(metrics: dict) -> str:
    """Words right, a row per condition, a column per set."""
    sets = list(metrics["conditions"].values())
    rows = [[name, *(percent(scores[name]["word_accuracy"]) for scores in sets)] for name in sets[0]]
    return table(["condition", *metrics["conditions"]], rows)


def padding_table(metrics: dict) -> str:
    """What padding does, a row for each that `measure_padding` stored; of the clip alone once."""
    return table(
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


def minutes(runs: list[dict], clock: str) -> float:
    """What ``runs`` took by one clock (``"cpu_seconds"`` or ``"wall_seconds"``) together."""
    return sum(run[clock] for run in runs) / 60


def people_table(people: dict, judged: list[str]) -> str:
    """Scores of people the measured model never heard, and the mean of those left out."""
    rows = {
        name: (row["exact"], row["nearest_digit"], *(row["strings"][key] for key in KEYS[:2]))
        for name, row in people.items()
    }
    if judged:
        left_out = zip(*(rows[name] for name in judged), strict=True)
        rows["mean of those left out"] = tuple(sum(column) / len(judged) for column in left_out)
    head = ["never heard", "single digits: exact", "nearest digit", "strings: words right", "by nearest digit"]
    return table(head, [[name, *map(percent, row)] for name, row in rows.items()])


def card(metrics: dict) -> str:
    """The text of the card.

    Parameters
    ----------
    metrics : dict
        What `train_digits` stored: ``training``, ``people``, ``strings``, ``conditions``, ``doubt``, ``padding``,
        ``versions``.
    """
    run, doubt = metrics["training"], metrics["doubt"]
    judged = [name for name in metrics["people"] if name in run["people"]]
    runs = run["runs"]
    final = [runs["synthetic voices"], runs["everybody"]]
    judging = [runs[f"without {name}"] for name in judged]
    doubt_rows = [[name, percent(row["noted"]), str(row["clips"])] for name, row in doubt["sets"].items()]
    doubt_rows += [
        [f"single digits, {name}", percent(row["noted"]), str(row["clips"])] for name, row in metrics["people"].items()
    ]
    return TEMPLATE.format(
        **{key: run[key] for key in ("variant", "parameters", "command", "seed", "start")},
        **{key: run["recipe"][key] for key in ("rate", "averaging")},
        norm=NORMS[run["variant"]],
        recordings=sum(run["people"].values()),
        people=", ".join(run["people"]),
        people_count=len(run["people"]),
        people_share=SHARES["people"],
        rates=RATES,
        dataset=DATASET,
        data_commit=COMMIT,
        synthetic_steps=runs["synthetic voices"]["steps"],
        steps=runs["everybody"]["steps"],
        seconds=run["seconds_per_step"],
        minutes=minutes(final, "cpu_seconds"),
        wall_minutes=minutes(final, "wall_seconds"),
        judging_minutes=minutes(judging, "cpu_seconds"),
        judging_wall_minutes=minutes(judging, "wall_seconds"),
        bfloat16="The forward pass was computed in bfloat16." if run["bfloat16"] else "All arithmetic was float32.",
        versions=", ".join(f"{name} {version}" for name, version in metrics["versions"].items()),
        judged=JUDGED.format(names=", ".join(judged), steps=judging[0]["steps"]) if judged else "",
        people_table=people_table(metrics["people"], judged),
        clean_table=clean_table(metrics),
        accuracy_table=condition_table(metrics),
        unsure_below=doubt["unsure_below"],
        doubt_table=table(["clips of", "with a note", "clips"], doubt_rows),
        padding_table=padding_table(metrics),
    )


def write_card(folder: Path, metrics: dict) -> None:
    """Write ``README.md`` beside the weights."""
    (folder / "README.md").write_text(card(metrics), encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write_card(Path(name), json.loads((Path(name) / "metrics.json").read_text(encoding="utf-8")))
