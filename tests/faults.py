"""Faults in behaviour, and what must see each: unit tests, a lesson, or both (``make faults`` plants them, tools/faults.py).

A fault takes the place of a function or method of ``w2vlearn``, named without its module, so that moving code breaks no
fault. ``change`` gets the original and returns what runs instead. ``unit`` is a test file, ``lesson`` the number of a
lesson whose outputs change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Function = Callable[..., Any]


@dataclass(frozen=True)
class Fault:
    """``target`` behaves as ``change(original)``."""

    name: str
    target: str
    change: Callable[[Function], Function]
    unit: str = ""
    lesson: int | None = None


def result(change: Function) -> Callable[[Function], Function]:
    """The original's result, changed."""
    return lambda original: lambda *args, **kwargs: change(original(*args, **kwargs))


def argument(place: int, change: Function) -> Callable[[Function], Function]:
    """The original, handed another argument at this place (0 is ``self`` in a method)."""

    def wrap(original: Function) -> Function:
        return lambda *args, **kw: original(*args[:place], change(args[place]), *args[place + 1 :], **kw)

    return wrap


def instead(function: Function) -> Callable[[Function], Function]:
    """Something else altogether."""
    return lambda original: function


def nothing_checked(original: Function) -> Function:
    return lambda *args, **kwargs: None


def shifted(span: range) -> range:
    return range(span.start + 320, span.stop + 320)


def first_of(change: Function) -> Callable[[Function], Function]:
    """The first of several results, changed."""
    return result(lambda values: (change(values[0]), *values[1:]))


def without_mask(original: Function) -> Function:
    """A layer that is never handed its attention mask."""
    return lambda self, hidden_states, attention_mask=None: original(self, hidden_states, None)


def over_padding(original: Function) -> Function:
    def pad(clips, *, normalize=False, **kwargs):
        batch = original(clips, **kwargs)
        if normalize:
            mean, std = batch.waveforms.mean(1, keepdim=True), batch.waveforms.std(1, correction=0, keepdim=True)
            batch.waveforms.sub_(mean).div_(std + 1e-4)
        return batch

    return pad


def counts_padding(original: Function) -> Function:
    def ctc_loss(logits, labels, frame_lengths, config):
        return original(logits, labels, torch.full_like(frame_lengths, logits.shape[1]), config)

    return ctc_loss


GEOMETRY, BATCH, MODEL, PARITY = (f"tests/test_{name}.py" for name in ("geometry", "batch", "model", "parity"))
AUDIO, LEAK, FIELD, TEXT, CHUNKS = (
    f"tests/test_{name}.py" for name in ("audio", "leak", "receptive_field", "ctc_decoding", "chunks")
)

FAULTS = (
    # the question, and the frame count
    Fault("frame count: one too high", "FrameGeometry.frame_count", result(lambda frames: frames + 1), GEOMETRY, 0),
    Fault("lengths: rounded up", "FrameGeometry.lengths", argument(1, lambda samples: samples + 319), GEOMETRY, 2),
    Fault("frame mask: inverted", "frame_mask", result(torch.logical_not), MODEL, 4),
    Fault("frame mask: one too many", "frame_mask", argument(0, lambda lengths: lengths + 1), MODEL, 0),
    Fault("frame counts: one too few", "FrameGeometry.frame_counts", result(lambda n: (n - 1).clip(min=0)), BATCH, 0),
    # waveforms and batches
    Fault("pad: normalised over the padding", "pad", over_padding, BATCH, 1),
    Fault("sample mask: one sample too many", "sample_mask", argument(0, lambda lengths: lengths + 1), BATCH, 1),
    Fault("read: twice as loud", "read_audio", result(lambda clip: 2 * clip), AUDIO),
    Fault("read: the last samples lost", "read_audio", result(lambda clip: clip[:-100]), AUDIO),
    Fault("example: another clip", "example", argument(0, lambda name: "hello"), lesson=1),
    # feature encoder
    Fault("span: one hop late", "FrameGeometry.span", result(shifted), GEOMETRY, 2),
    Fault("span: as long as the hop", "FrameGeometry.span", result(lambda span: span[:320]), GEOMETRY, 2),
    Fault("unread: a sample short", "FrameGeometry.unread", result(lambda tail: tail[1:]), GEOMETRY, 2),
    Fault("samples for: one too many", "FrameGeometry.samples_for", result(lambda r: range(r.start, r.stop + 1)), GEOMETRY, 2),
    Fault("centre: at the start", "FrameGeometry.centre_ms", result(lambda ms: ms - 12.5), GEOMETRY, 7),
    Fault("feature encoder: a mean over time", "Wav2Vec2FeatureEncoder.forward", result(lambda x: x - x.mean(2, keepdim=True)), PARITY, 2),
    # feature projection
    Fault("projection: raw features returned", "Wav2Vec2FeatureProjection.forward", lambda f: lambda self, x: (f(self, x)[0], x), PARITY, 3),
    Fault("projection: a mean over time", "Wav2Vec2FeatureProjection.forward", first_of(lambda x: x - x.mean(1, keepdim=True)), PARITY, 3),
    # masks
    Fault("additive mask: the wrong way round", "additive_mask", argument(0, torch.logical_not), BATCH, 4),
    Fault("attention mask: queries, not keys", "attention_mask", result(lambda mask: mask.transpose(2, 3)), MODEL, 4),
    Fault("attention: never handed its mask", "Wav2Vec2Attention.forward", without_mask, MODEL, 4),
    Fault("padding: not zeroed", "zero_padding", instead(lambda hidden_states, frame_mask: hidden_states), MODEL, 5),
    Fault("checks: any mask is let in", "_check_right_padded", nothing_checked, MODEL, 4),
    Fault("checks: any input is let in", "check_input_values", nothing_checked, MODEL, 11),
    # alone or in a batch
    Fault("leak: nothing differs", "_ratio", result(lambda ratio: 0 * ratio), LEAK, 5),
    Fault("receptive field: called exact", "receptive_field", result(lambda f: dataclasses.replace(f, status="exact")), FIELD, 5),
    Fault("mean pool: over padding too", "mean_pool", instead(lambda hidden, mask: hidden.mean(1)), MODEL),
    # positions and attention
    Fault("positions: trimmed at the front", "Wav2Vec2PositionalConvEmbedding.forward", result(lambda x: x.roll(1, 1)), PARITY, 6),
    Fault("attention: scaled by d", "eager_attention", argument(0, lambda query: query / query.shape[-1] ** 0.5), PARITY, 6),
    Fault("attention: heads in another order", "Wav2Vec2Attention._split_heads", result(lambda x: x.flip(1)), PARITY, 6),
    # CTC
    Fault("CTC: padding counted as frames", "ctc_loss", counts_padding, PARITY, 7),
    Fault("collapse: the blank written down", "collapse", argument(1, lambda blank: -1), TEXT, 7),
    Fault("collapse: labels reversed", "collapse", result(lambda labels: labels[::-1]), TEXT, 7),
    # pre-training
    Fault("time mask: one frame too few", "sample_time_mask", result(lambda mask: mask & mask.roll(1, 1)), "tests/test_time_masks.py", 8),
    Fault("time mask: nothing is hidden", "apply_time_mask", instead(lambda hidden, mask, vector: hidden), "tests/test_pretraining.py", 8),
    Fault("negatives: a row further", "sample_negatives", result(lambda rows: rows + 1), "tests/test_pretraining.py", 8),
    Fault("negatives: of the first clip", "sample_negatives", result(lambda rows: rows % rows.shape[1]), "tests/test_pretraining.py", 8),
    Fault("contrastive loss: doubled", "contrastive_loss", result(lambda loss: 2 * loss), "tests/test_pretraining.py", 8),
    Fault("perplexity: of one entry", "perplexity", result(torch.ones_like), "tests/test_pretraining.py", 8),
    # long audio, your own model
    Fault("grid: any size is taken", "on_grid", lambda f: lambda seconds, *rest: round(seconds * 50), CHUNKS, 9),
    Fault("chunks: one frame late", "Chunk.inside", lambda f: property(lambda self: slice(f.fget(self).start + 1, f.fget(self).stop + 1)), CHUNKS),
    Fault("adapter: one frame too many", "Wav2Vec2Adapter.frame_lengths", result(lambda lengths: lengths + 1), MODEL),
    Fault("transcript: shouted backwards", "transcribe", argument(1, lambda clip: clip.flip(0)), "tests/test_transcribe.py", 7),
)  # fmt: skip
