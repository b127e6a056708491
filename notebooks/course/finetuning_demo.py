"""Fine-tuning at the size of a lesson: a folder of recordings in, the small digit model, seconds on a laptop's CPU."""

from __future__ import annotations

import dataclasses
import difflib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from w2vlearn import FrameGeometry, Wav2Vec2Config
from w2vlearn.audio import SAMPLE_RATE, example_clips, read_audio
from w2vlearn.model import Wav2Vec2ForCTC

if TYPE_CHECKING:
    from w2vlearn.checkpoints import Vocabulary
    from w2vlearn.widgets import Recorder

BUILT_IN = Path(__file__).with_name("esperanto")  # somebody who counts in Esperanto; `training/recordings.py` made it
MINE = Path("my_voice")  # beside the notebooks; git does not see it
TEXTS = "texts.tsv"


@dataclass(frozen=True, eq=False)
class Recording:
    """A clip and what it says: its file's name, the waveform (L,) float32 at 16 kHz, and the text in capitals."""

    file: str
    clip: Tensor
    text: str


def read_folder(folder: str | Path) -> list[Recording]:
    """The recordings that ``texts.tsv`` in a folder lists: on each line a file's name, a tab, and its text.

    Raises
    ------
    ValueError
        If the folder has no such file, a line has no tab, or nothing is listed.
    """
    table = Path(folder) / TEXTS
    if not table.is_file():
        raise ValueError(f"{folder} has no {TEXTS}; wanted a line for each recording: file name, tab, text")
    lines = [line for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{table} lists no recording")
    recordings = []
    for number, line in enumerate(lines, 1):
        name, tab, text = line.partition("\t")
        if not tab:
            raise ValueError(f"{table}, line {number}: wanted file name, tab, text; found {line!r}")
        recordings.append(Recording(name, read_audio(Path(folder) / name), text.strip().upper()))
    return recordings


def held_out(recordings: Sequence[Recording], every: int = 4) -> tuple[list[Recording], list[Recording]]:
    """Those to train on, and every fourth, which training must not hear, to measure with."""
    test = list(recordings[every - 1 :: every])
    return [recording for recording in recordings if recording not in test], test


def spread(recordings: Sequence[Recording], count: int) -> list[Recording]:
    """So many of them, from the shortest to the longest, about evenly."""
    ranked = sorted(recordings, key=lambda recording: len(recording.clip))
    return [ranked[place * (len(ranked) - 1) // (count - 1)] for place in range(count)]


def keep(recorder: Recorder, text: str, vocabulary: Vocabulary, folder: str | Path = MINE) -> None:
    """Write what the recorder holds into a folder, with its text, and say what became of it; built-in clips stay out.

    Run again for the same recording, it corrects the text.
    """
    import soundfile

    folder, text = Path(folder), " ".join(text.upper().split())
    strange = sorted(set(text.replace(" ", "")) - set(vocabulary.tokens))
    if recorder.source in example_clips():
        return print(f"not kept: “{recorder.source}” is a built-in clip. Record yourself, or upload a file")
    if strange or not text:
        return print(f"not kept: the model has no letter {', '.join(strange) or 'in common with an empty text'}")
    recordings = read_folder(folder) if (folder / TEXTS).exists() else []
    texts = {recording.file: recording.text for recording in recordings}
    same = [recording.file for recording in recordings if torch.equal(recording.clip, recorder.waveform)]
    name = same[0] if same else f"{len(texts) + 1:02d}.wav"
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / name, recorder.waveform.numpy(), SAMPLE_RATE, subtype="FLOAT")  # bit for bit
    texts[name] = text
    (folder / TEXTS).write_text("".join(f"{file}\t{said}\n" for file, said in texts.items()), encoding="utf-8")
    print(f"{'text corrected' if same else 'kept'}: {folder / name}, “{text}”; {len(texts)} in all")


def bucketed(order: Sequence[int], lengths: Sequence[int], size: int, pool: int) -> list[list[int]]:
    """Batches of ``size`` clips: cut the order into pools of ``pool`` batches, sort each by length, cut it up.

    ``pool`` 1 leaves the batches random, as the order is; one pool for all sorts them. The solution of exercise 13.2.
    """
    batches = []
    for start in range(0, len(order), size * pool):
        near = sorted(order[start : start + size * pool], key=lambda clip: lengths[clip])
        batches += [near[place : place + size] for place in range(0, len(near), size)]
    return batches


def waste(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Share of all samples that is padding: summed up over the batches before it is divided."""
    valid = sum(lengths[clip] for batch in batches for clip in batch)
    return 1 - valid / sum(len(batch) * max(lengths[clip] for clip in batch) for batch in batches)


def of_ten_epochs(lengths: Sequence[int], size: int, pool: int) -> tuple[float, int]:
    """Average share of padding, and how many others clip 0 met, in batches of ten random orders."""
    chance, order, shares, met = random.Random(1), list(range(len(lengths))), [], set()
    for _ in range(10):
        chance.shuffle(order)
        batches = bucketed(order, lengths, size, pool)
        shares.append(waste(lengths, batches))
        met |= set(next(batch for batch in batches if 0 in batch)) - {0}
    return sum(shares) / len(shares), len(met)


def epoch_of(recordings: Sequence[Recording], size: int = 4, pool: int = 2) -> list[list[Recording]]:
    """All recordings in batches of similar length, in a new order, drawn from torch's own generator."""
    lengths = [len(recording.clip) for recording in recordings]
    batches = bucketed(torch.randperm(len(recordings)).tolist(), lengths, size, pool)
    return [[recordings[clip] for clip in batches[place]] for place in torch.randperm(len(batches)).tolist()]


def multiplications(config: Wav2Vec2Config, samples: int) -> tuple[int, int]:
    """Multiplications of one forward pass: feature encoder, and all behind it but the head."""
    lengths = FrameGeometry.from_config(config).lengths(samples)
    channels = [1, *config.conv_dim]
    stack = zip(lengths, channels, channels[1:], config.conv_kernel, strict=False)
    encoder = sum(frames * before * after * kernel for frames, before, after, kernel in stack)
    frames, width = lengths[-1], config.hidden_size
    layer = 4 * width * width + 2 * frames * width + 2 * width * config.intermediate_size  # per frame
    positions = width * width // config.num_conv_pos_embedding_groups * config.num_conv_pos_embeddings
    return encoder, frames * (channels[-1] * width + positions + config.num_hidden_layers * layer)


def with_settings(model: Wav2Vec2ForCTC, **settings) -> Wav2Vec2ForCTC:
    """The same weights in a model with other settings, such as ``mask_time_prob``; a new mask vector is random."""
    other = Wav2Vec2ForCTC(dataclasses.replace(model.config, **settings))
    other.load_state_dict(model.state_dict(), strict=False)
    other.vocabulary, other.processing = model.vocabulary, model.processing
    return other.eval()


def words_right(text: str, heard: str) -> int:
    """Words of the text that were heard, in their order: those of the longest blocks that both have."""
    matcher = difflib.SequenceMatcher(None, text.split(), heard.split(), autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks())
