"""Lesson 7: one row of scores per frame becomes text, and text gets its times back."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources

import torch

from course.contents import COURSE
from course.exercise import Case
from course.lesson_05 import trained
from course.player import digits_clip
from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2ForCTC, load, pad, transcribe
from w2vlearn.padding_masks import sample_mask
from w2vlearn.show import Picture, waveform_figure
from w2vlearn.transcription.ctc_decoding import ctc_decode

LESSON = COURSE[7]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
geometry = FrameGeometry.from_config(config)
T = geometry.frame_count
SECOND, HOP, FIELD = geometry.sample_rate, geometry.hop, geometry.receptive_field
HOP_MS, FIELD_MS = HOP * 1000 // SECOND, FIELD * 1000 // SECOND
V = config.vocab_size
SHORT = SECOND // 5  # samples of a clip that is too short for its labels
SHORT_TEXT = "ZERO ONE SIX"
WORD = "THREE"
IGNORED = 100  # -100 fills rows of labels up
OLD_RATE = 8  # kHz, of the wrong lengths
SAME = (T(SECOND) + 1) // 2  # equal labels that fit into a second
CLIP = "telephone"

SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config
geometry = FrameGeometry.from_config(Wav2Vec2Config.base())
"""


@cache
def _stored() -> dict[str, dict]:
    """What is known of each example clip: what it says, and what both models wrote when they were stored."""
    file = resources.files("w2vlearn") / "data" / "digits_clips" / "digits.json"
    return json.loads(file.read_text(encoding="utf-8"))


def said(name: str) -> str:
    """What is spoken in such a clip."""
    return _stored()[name]["says"]


def words_right(norm: str) -> float:
    """Per cent of words right, as lesson 5 draws it: voices and accents that training left out, noise at 20 dB."""
    return trained(norm, 1.0, False)


def people_sentence() -> str:
    """How well such a model hears people whom its training left out, as measured when it was trained."""
    file = resources.files("w2vlearn") / "data" / "digits_group" / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8"))
    people = [row for name, row in metrics["people"].items() if name in metrics["training"]["people"]]
    exact, nearest = (100 * sum(row[key] for row in people) / len(people) for key in ("exact", "nearest_digit"))
    return (
        f"It learned from synthetic voices and from {len(people)} people. A model trained without one of these writes "
        f"{exact:.0f} % of that person's single digits letter for letter ({nearest:.0f} % by the nearest digit), so it may "
        "well misunderstand you."
    )


@cache
def transcript(norm: str, name: str):
    """What a digit model hears in an example clip."""
    return transcribe(load(f"digits-{norm}"), digits_clip(name))


@cache
def _heard(name: str, rate: int = 2 * OLD_RATE, trim: bool = True) -> str:
    """What the layer norm model writes for a stored clip beside the longest one, its mask measured at ``rate`` kHz."""
    batch, model = pad([digits_clip(name), digits_clip(CLIP)], normalize=True), load("digits-layer")
    mask = sample_mask(batch.lengths * rate // (2 * OLD_RATE), batch.waveforms.shape[1])
    with torch.no_grad():
        output = model(batch.waveforms, attention_mask=mask)
    valid = int(output.frame_lengths[0]) if trim else output.logits.shape[1]
    return ctc_decode(output.logits[0, :valid].argmax(-1), model.vocabulary, geometry).text


def _clip_to_break() -> str:
    """The longest stored clip, shorter than `CLIP`, that the layer norm model writes correctly with the right mask."""
    heard = {name: row["heard"]["digits_layer"] for name, row in _stored().items() if name != CLIP}
    right = [name for name, texts in heard.items() if texts["alone"] == texts["padded, mask"] == said(name)]
    return max(right or ["caribbean"], key=lambda name: _stored()[name]["samples"])


BROKEN = _clip_to_break()  # half of its mask cuts off half of its text; `broken_sentence` says how much


def broken_sentence() -> str:
    """How many words of that clip are left under the mask of lengths at 8 kHz."""
    words, left = said(BROKEN).split(), _heard(BROKEN, OLD_RATE).split()
    same = sum(block.size for block in difflib.SequenceMatcher(None, words, left, False).get_matching_blocks())
    return f"only {same} of {len(words)} words {'is' if same == 1 else 'are'} still right"


def untrimmed_sentence() -> str:
    """What the rows of padding say, with the mask handed: in the trained model, and with random weights."""
    same = trained("layer", 4.0, True, "same_as_alone", "all")
    model = build_ctc(dataclasses.replace(Wav2Vec2Config.tiny(), feat_extract_norm="layer", conv_bias=True))
    batch = pad([digits_clip(BROKEN), digits_clip(CLIP)], normalize=True)
    with torch.no_grad():
        output = model(batch.waveforms, attention_mask=batch.mask)
    best = output.logits[0, int(output.frame_lengths[0]) :].argmax(-1)
    letters = int((best != model.config.pad_token_id).sum())
    return (
        f"What they decode to is up to the model. In this one it is {'nothing' if same > 99.9 else 'mostly nothing'}: of the "
        f"strings of lesson 5, in rows four times their length, {same:.1f} % come out as alone though no row is trimmed. "
        f"Nothing guarantees that: with random weights {letters} of {len(best)} rows of padding say something other than blank."
    )


def build_ctc(settings: Wav2Vec2Config) -> Wav2Vec2ForCTC:
    """A CTC model with random weights, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Wav2Vec2ForCTC(settings).eval()


def row_of(tokens: Sequence[str]) -> str:
    """Best tokens of all frames as one row: a letter each, ``_`` for the blank."""
    return "".join(token or "_" for token in tokens)


def repeats(labels: Sequence) -> int:
    """Neighbours that are equal: each pair needs a blank between its two."""
    return sum(a == b for a, b in itertools.pairwise(labels))


def ways(labels: Sequence, frames: int) -> int:
    """How many rows of ``frames`` tokens collapse to ``labels``: CTC's sum over paths (Graves et al. 2006, section 4.1).

    The labels with a blank before, between and after them are a row of states; a path stays, takes one step, or jumps
    over a blank that stands between two different labels.
    """
    states = [None]  # the blank
    for label in labels:
        states += [label, None]
    counts = [1, *([0] * (len(states) - 1))]  # before the first frame, so that a step leads to the first label
    for frame in range(frames):
        after = []
        for state, label in enumerate(states):
            total = counts[state] if frame or not state else 0
            if state:
                total += counts[state - 1]
            if state > 1 and label is not None and label != states[state - 2]:
                total += counts[state - 2] if frame else 0
            after.append(total)
        counts = after
    return sum(counts[-2:]) if frames else int(not labels)


def earliest(labels: str, frames: int) -> str:
    """The row that writes every letter as early as it can; empty if there is none."""
    row = ""
    for letter in labels:
        row += ("_" if row.endswith(letter) else "") + letter
    return row + "_" * (frames - len(row)) if len(row) <= frames else ""


def plain_loss(labels: Sequence[int], frames: int, zero_infinity: bool = False) -> float:
    """CTC loss of labels when all V scores are equal in all frames."""
    from w2vlearn.model.ctc import ctc_loss

    settings = dataclasses.replace(config, ctc_loss_reduction="sum", ctc_zero_infinity=zero_infinity)
    return float(ctc_loss(torch.zeros(1, frames, V), torch.tensor([list(labels)]), torch.tensor([frames]), settings))


def _loss_counts_ways() -> bool:
    ids = [ord(letter) % 20 + 5 for letter in WORD]
    expected = [frames * math.log(V) - math.log(ways(ids, frames)) for frames in (6, 7, 12)]
    return all(math.isclose(plain_loss(ids, n), e, rel_tol=1e-4) for n, e in zip((6, 7, 12), expected, strict=True))


def _enumerated() -> bool:
    from w2vlearn.transcription.ctc_decoding import collapse

    for labels in ([1], [1, 1], [1, 2], [1, 1, 2], [1, 2, 1], [2, 2, 2]):
        for frames in range(1, 7):
            rows = itertools.product(range(3), repeat=frames)
            count = sum([label for label, _ in collapse(row, 0)] == labels for row in rows)
            if count != ways(labels, frames) or (count > 0) != (frames >= len(labels) + repeats(labels)):
                return False
    return True


def raw_loss(logits: torch.Tensor, labels: torch.Tensor, frame_lengths: torch.Tensor, filling: int) -> torch.Tensor:
    """Torch's own loss of each clip: -100 becomes ``filling``, and every label but -100 is counted. Shape: (B,)."""
    filled = torch.where(labels == -100, filling, labels)  # (B, U)
    log_probs = logits.log_softmax(-1).transpose(0, 1)  # (B, T, V) -> (T, B, V)
    counted = (filled != -100).sum(1)
    return torch.nn.functional.ctc_loss(log_probs, filled, frame_lengths, counted, reduction="none")


def _no_gradient() -> bool:
    logits = torch.randn(9, 1, V, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.tensor([[5, 6] * 6])
    arguments = (logits.log_softmax(-1), labels, torch.tensor([9]), torch.tensor([labels.shape[1]]))
    loss = torch.nn.functional.ctc_loss(*arguments, zero_infinity=True)
    loss.backward()
    return loss.item() == 0 and not logits.grad.any()


def _labels_too_many() -> int:
    """By how many a label for every hop begun can exceed T, tried on every length of two hops: it repeats with each."""
    return max(-(-samples // HOP) - T(samples) for samples in range(FIELD, FIELD + 2 * HOP))


MOST_LABELS_TOO_MANY = _labels_too_many()


def stretched_ms(samples: int, t: int) -> float:
    """Where duration / frames puts frame t, in ms."""
    return t * samples / T(samples) * 1000 / SECOND


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

# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {
    "exactly as many rows as `ways` counts": _enumerated,
    "is exactly the logarithm": _loss_counts_ways,
    "its gradient is exactly zero": _no_gradient,
}
