"""The letters of the ten digits as CTC classes, as in wav2vec2-base-960h: blank first, ``|`` between words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETONIHSRUWFGVXZ")
BLANK = 0
IDS = {token: index for index, token in enumerate(TOKENS)}


def encode(text: str) -> list[int]:
    """``"TWO SIX"`` -> ids of ``T W O | S I X``.

    Raises
    ------
    ValueError
        If a letter does not occur in any digit.
    """
    unknown = sorted(set(text) - set(IDS) - {" "})
    if unknown:
        raise ValueError(f"{text!r} holds {unknown}, the vocabulary has only the letters of ZERO … NINE")
    return [IDS["|" if letter == " " else letter] for letter in text]


def greedy(logits: torch.Tensor) -> str:
    """Best class of each frame, repeats merged, blanks dropped: logits (T, V) -> text."""
    best = logits.argmax(dim=-1).unique_consecutive()
    letters = "".join(TOKENS[i] for i in best.tolist() if i == IDS["|"] or i > IDS["|"])
    return " ".join(letters.replace("|", " ").split())


def edits(said: list[str], heard: list[str]) -> tuple[int, int, int]:
    """Words substituted, deleted and inserted on the cheapest way from ``said`` to ``heard`` (Levenshtein)."""
    rows, columns = len(said), len(heard)
    cost = np.zeros((rows + 1, columns + 1), int)
    cost[:, 0], cost[0, :] = np.arange(rows + 1), np.arange(columns + 1)
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            different = said[i - 1] != heard[j - 1]
            cost[i, j] = min(cost[i - 1, j - 1] + different, cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    i, j, counts = rows, columns, [0, 0, 0]
    while i or j:
        if i and j and cost[i, j] == cost[i - 1, j - 1] + (said[i - 1] != heard[j - 1]):
            counts[0] += said[i - 1] != heard[j - 1]
            i, j = i - 1, j - 1
        elif i and cost[i, j] == cost[i - 1, j] + 1:
            counts[1] += 1
            i -= 1
        else:
            counts[2] += 1
            j -= 1
    return tuple(int(c) for c in counts)


def write_processor(folder: Path, padding_mask: bool) -> None:
    """Write what Hugging Face's ``Wav2Vec2Processor`` reads: vocabulary, tokenizer and feature extractor settings.

    Parameters
    ----------
    folder : Path
        Where to.
    padding_mask : bool
        ``return_attention_mask``: False for group norm (as for wav2vec2-base-960h), True for layer norm.
    """
    files = {
        "vocab.json": IDS,
        "preprocessor_config.json": {
            "do_normalize": True,
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": padding_mask,
            "sampling_rate": 16000,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "Wav2Vec2CTCTokenizer",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            "word_delimiter_token": "|",
            "do_lower_case": False,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
