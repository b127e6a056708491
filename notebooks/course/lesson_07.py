"""Lesson 7: one row of scores per frame becomes text, and text gets its times back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from statistics import mean

import torch

from course.common import *
from course.contents import COURSE
from course.exercise import Case
from course.finetuning_demo import words_right
from course.player import digits_clip
from w2vlearn import Wav2Vec2ForCTC, pad, transcribe
from w2vlearn.model.ctc import ctc_loss
from w2vlearn.padding_masks import sample_mask
from w2vlearn.show import Picture, waveform_figure
from w2vlearn.transcription.ctc_decoding import ctc_decode

LESSON = COURSE[7]

# ---------------------------------------------------------------- what prose computes with

V = base.vocab_size
SHORT = SECOND // 5  # samples of a clip that is too short for its labels
SHORT_TEXT = "ZERO ONE SIX"
OLD_RATE = 8  # kHz, of the wrong lengths
SAME = (T(SECOND) + 1) // 2  # equal labels that fit into a second
CLIP, BROKEN, BROKEN_TEXT = "telephone", "caribbean", "EIGHT ZERO FOUR"  # half of its mask cuts off half of its text
# By how much a label for every hop begun can exceed T: this repeats with every hop.
MOST_LABELS_TOO_MANY = max(math.ceil(samples / HOP) - T(samples) for samples in range(FIELD, FIELD + 2 * HOP))


def people(figure: str) -> float:
    """How a model hears people whom its training left out, on average in per cent: "exact" or "nearest_digit"."""
    known = metrics("group")
    return 100 * mean(known["people"][name][figure] for name in known["training"]["people"])


def _batch_to_break(model: Wav2Vec2ForCTC, rate: int) -> tuple[torch.Tensor, int]:
    """Logits (T, V) of the broken clip beside the longest one, lengths measured at ``rate`` kHz; its valid frames."""
    batch = pad([digits_clip(BROKEN), digits_clip(CLIP)], normalize=True)
    mask = sample_mask(batch.lengths * rate // MS, batch.waveforms.shape[1])
    with torch.no_grad():
        output = model(batch.waveforms, attention_mask=mask)
    return output.logits[0], int(output.frame_lengths[0])


def words_left() -> int:
    """Words of that clip that are right under the mask of lengths at 8 kHz; layer norm model."""
    logits, valid = _batch_to_break(digit_model("layer"), OLD_RATE)
    vocabulary = digit_model("layer").vocabulary
    return words_right(BROKEN_TEXT, ctc_decode(logits[:valid].argmax(-1), vocabulary, geometry).text)


def letters_on_padding() -> tuple[int, int]:
    """Rows of padding that say something other than blank under the right mask, of how many; random weights."""
    model = seeded(Wav2Vec2ForCTC, "layer")
    logits, valid = _batch_to_break(model, MS)
    return int((logits[valid:].argmax(-1) != model.config.pad_token_id).sum()), len(logits) - valid


def row_of(tokens: Sequence[str]) -> str:
    """Best tokens of all frames as one row: a letter each, ``_`` for the blank."""
    return "".join(token or "_" for token in tokens)


def repeats(labels: Sequence) -> int:
    """Neighbours that are equal: each pair needs a blank between its two."""
    return sum(a == b for a, b in itertools.pairwise(labels))


def ways(labels: Sequence, frames: int) -> int:
    """How many rows of ``frames`` tokens collapse to ``labels``: CTC's sum over paths (Graves et al. 2006, section 4.1).

    If every token has probability 1 in every frame, that sum counts the paths.
    """
    if not frames:
        return int(not labels)
    ids = torch.tensor([[1 + sorted(set(labels)).index(label) for label in labels]], dtype=torch.long)  # (1, U)
    log_probs = torch.zeros(frames, 1, len(set(labels)) + 1, dtype=torch.float64)  # (T, 1, V), 0 is the blank
    lengths = torch.tensor([frames]), torch.tensor([len(labels)])
    loss = torch.nn.functional.ctc_loss(log_probs, ids, *lengths, reduction="sum")
    return round(math.exp(-loss))


def earliest(labels: str, frames: int) -> str:
    """The row that writes every letter as early as it can; empty if there is none."""
    row = ""
    for letter in labels:
        row += ("_" if row.endswith(letter) else "") + letter
    return row + "_" * (frames - len(row)) if len(row) <= frames else ""


def plain_loss(labels: Sequence[int], frames: int) -> float:
    """CTC loss of labels when all V scores are equal in all frames."""
    return float(ctc_loss(torch.zeros(1, frames, V), torch.tensor([list(labels)]), torch.tensor([frames]), base))


def raw_loss(logits: torch.Tensor, labels: torch.Tensor, frame_lengths: torch.Tensor, filling: int) -> torch.Tensor:
    """Torch's own loss of each clip: -100 becomes ``filling``, and every label but -100 is counted. Shape: (B,)."""
    filled = torch.where(labels == -100, filling, labels)  # (B, U)
    log_probs = logits.log_softmax(-1).transpose(0, 1)  # (B, T, V) -> (T, B, V)
    counted = (filled != -100).sum(1)
    return torch.nn.functional.ctc_loss(log_probs, filled, frame_lengths, counted, reduction="none")


def frame_figure(heard, clip: torch.Tensor) -> Callable[[int], Picture]:
    """A transcript read up to a frame: the samples of that frame, its token, and the text so far."""
    row = row_of(heard.tokens)

    def draw(frame: int) -> Picture:
        text = "".join(piece.text for piece in heard.characters if piece.frames.start <= frame)
        span = geometry.span(frame)
        told = (
            f"frame {frame} reads samples {span.start} to {span.stop - 1} and names {row[frame]}; text so far: {text}"
        )
        picture = waveform_figure(clip, geometry, highlight=[frame], title=told, alt=f"Waveform; {told}.")
        return Picture(picture.html, picture.alt)

    return draw


# ---------------------------------------------------------------- exercises

CASES = {
    "7.1": (
        Case([7, 7, 0, 5, 5, 5], 0, because="Neighbours that are equal count as one, and the blank goes."),
        Case([7, 0, 7], 0, because="A blank between two equal letters keeps both."),
        Case([7, 5, 7], 0, because="Equal letters that are no neighbours are two letters."),
        Case([0, 0, 0], 0, because="A row of blanks is an empty text."),
        Case([3, 3, 1, 3], 3, because="Here the blank is {{3}}, not 0."),
        Case([], 0, because="No frame, no label."),
    ),
    "7.2": (
        Case([5, 6, 7], because="Three different letters need three frames and no blank."),
        Case([10, 6, 12, 5, 5], because="THREE: five letters, and one blank between E and E."),
        Case([5, 5, 5], because="Two pairs of equal neighbours: two blanks."),
        Case([5, 6, 5], because="The two equal labels are no neighbours; nothing merges."),
        Case([], because="Nothing fits into no frame."),
    ),
    "7.3": (
        Case([[7, 8, 5], [11, 9]], because="The short row is filled up with -{{IGNORED}}."),
        Case([[7], [8, 5, 5, 4]], because="Every row is as long as the longest."),
        Case([[7, 8], [5, 6]], because="Nothing to fill up here."),
    ),
    "7.4": (
        Case(0, 0, because="Frame 0 reads the first {{FIELD}} samples, {{FIELD_MS}} ms."),
        Case(48, 48, because="The last frame of a second begins {{T(SECOND) - 1}} hops after its start."),
        Case(16, 20, because="From the start of the first frame to the end of the last."),
        Case(100, 149, because="A window is longer than a hop."),
    ),
    "7.5": (
        Case(
            2000,
            [(0.02, 0.07)],
            because="Five frames hold, as `frame_count` says, the first centre at {{geometry.centre_ms(0)}} ms, then one every {{HOP_MS}} ms.",
        ),
        Case(
            1720,
            [(0.0, 0.0125), (0.0525, 1.0)],
            because="A centre at the very end of a word is outside, at its start inside.",
        ),
        Case(3200, [], because="No words: zeros for all frames."),
        Case(399, [(0.0, 1.0)], because="Too short for a frame: no labels."),
        Case(4000, [(0.045, 0.051)], because="A short sound that lies on no centre marks no frame."),
        Case(70_000, [(4.01, 4.014)], because="Four seconds later the centres still lie {{HOP_MS}} ms apart."),
    ),
}


# ---------------------------------------------------------------- what sentences say of the trained models


def _written(norm: str, name: str) -> str:
    return transcribe(digit_model(norm), digits_clip(name)).text


CLAIMS = {
    "what the model wrote is what was said": lambda: (
        [_written("group", name) for name in (CLIP, "scotland")] == ["ONE SIX SIX ZERO FIVE", "THREE THREE"]
    ),
    "the clip that a mask breaks is right alone": lambda: _written("layer", BROKEN) == BROKEN_TEXT,
    "only 1 word of them is still right": lambda: words_left() == 1,
    "rows of padding decode to nothing": lambda: trained("layer", 4.0, True, "same_as_alone", "all") > 99.9,
    "with random weights to something": lambda: letters_on_padding()[0] > 0,
    "may well misunderstand you": lambda: people("exact") < 90,
}
