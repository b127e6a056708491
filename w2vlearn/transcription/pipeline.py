"""Clip in, text and times out: read, normalise as the checkpoint wants it, run, decode."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from w2vlearn.audio import AudioStream
from w2vlearn.batch import Batch, pad
from w2vlearn.checkpoints import Processing, Vocabulary, load
from w2vlearn.geometry import FrameGeometry
from w2vlearn.transcription.chunks import CHUNK_S, CONTEXT_S, check_model, chunk_outputs
from w2vlearn.transcription.ctc_decoding import ctc_decode
from w2vlearn.transcription.transcript import Transcript

__all__ = ["transcribe"]

LONGEST_S = 30.0  # up to here one pass; BASE's first convolution alone fills 400 bytes per sample and copy
QUIET = 1e-3  # loudest sample, of 1: below this a recording is silence
UNSURE_BELOW = 0.7  # where none is stored; built-in: 0.71 to 0.92 on digits never heard, 0.59 to 0.80 on other speech


def transcribe(
    model: nn.Module | str | Path,
    clip: str | os.PathLike[str] | Tensor | Batch | Sequence,
    *,
    chunk_s: float | None = None,
    context_s: float = CONTEXT_S,
    mask: bool | None = None,
    progress: bool = True,
) -> Transcript | list[Transcript]:
    """Write down what is said, with times.

    Parameters
    ----------
    model : Module, str or Path
        A `Wav2Vec2ForCTC` in eval mode with a ``.vocabulary``, or what `load` takes: ``"digits-group"``.
    clip : path, Tensor, Batch, or a list of paths and Tensors
        * a sound file, of any sample rate and number of channels, read block by block: hours fit;
        * a waveform. Shape: (L,), float32, mono, at the model's sample rate (16 kHz), as `read_audio` gives it;
        * a list of these: each is transcribed alone, so that no clip's padding can touch another;
        * a `Batch` of `pad`: one padded pass, which is the same for layer norm with a mask, and not for group norm.
    chunk_s : float, optional
        Seconds per chunk; ``math.inf`` for one pass whatever the length. Default: one pass up to 30 s, then 20 s.
    context_s : float
        Seconds computed besides at each side of a chunk.
    mask : bool, optional
        For a Batch: hand its sample mask to the model. Default: as the checkpoint wants it (group norm: no).
    progress : bool
        Show a bar when it takes more than 2 s.

    Returns
    -------
    Transcript, or list of Transcript
        A list for a list and for a Batch.

    Raises
    ------
    TypeError, ValueError
        If the model cannot write (no CTC head, no vocabulary, one that does not fit, train mode), or the clip cannot be
        read or is too short for one frame; the message says what to do.
    """
    if isinstance(model, (str, os.PathLike)):
        model = load(model)
    vocabulary = _checked_vocabulary(model)
    processing = getattr(model, "processing", None) or Processing.for_config(model.config)
    geometry = FrameGeometry(model.config.conv_kernel, model.config.conv_stride, processing.sampling_rate)
    unsure_below = UNSURE_BELOW if processing.unsure_below is None else processing.unsure_below
    if mask is not None and not isinstance(clip, Batch):
        raise ValueError("mask says what to do with padding, and only a Batch is padded: give pad([clip, …])")
    if isinstance(clip, Batch):
        mask = processing.return_attention_mask if mask is None else mask
        clips = _in_a_batch(model, clip, geometry, processing.do_normalize, mask)
    else:
        clips = (
            _alone(model, each, geometry, processing.do_normalize, chunk_s, context_s, progress)
            for each in (clip if isinstance(clip, (list, tuple)) else [clip])
        )
    transcripts = [_transcript(*frames, vocabulary, geometry, unsure_below) for frames in clips]
    return transcripts if isinstance(clip, (Batch, list, tuple)) else transcripts[0]


def _checked_vocabulary(model: nn.Module) -> Vocabulary:
    head = getattr(model, "lm_head", None)
    if head is None:
        raise TypeError(f"a {type(model).__name__} has no CTC head, so it cannot write: load a CTC checkpoint")
    check_model(model)
    vocabulary = getattr(model, "vocabulary", None)
    if vocabulary is None:
        raise ValueError(
            f"the model has no vocabulary: nothing says which letter each of the {head.out_features} logits means. "
            "Load a checkpoint that has a vocab.json, or set model.vocabulary = Vocabulary(tokens)"
        )
    if len(vocabulary) != head.out_features:
        raise ValueError(
            f"the vocabulary does not fit the head: {len(vocabulary)} tokens, V = {head.out_features} logits. "
            "Take vocab.json and the weights from the same checkpoint"
        )
    return vocabulary


_Frames = tuple[Tensor, Tensor, Tensor, int, list[str]]  # of one clip, valid frames only: best tokens (T,), their
# probability (T,), envelope (T, 4, 2); the clip's samples; notes


def _alone(model, clip, geometry, normalize: bool, chunk_s, context_s, progress) -> _Frames:
    """Any clip alone: in one pass, or chunk by chunk from the file."""
    if isinstance(clip, (str, os.PathLike)):
        stream = AudioStream(clip, geometry.sample_rate)
    else:
        stream = [pad([clip], minimum_samples=geometry.receptive_field).waveforms[0]]  # checks it, in words
    length, mean, scale, blocks = _statistics(stream, round(LONGEST_S * geometry.sample_rate))
    frame_count = geometry.frame_count(length)
    if not frame_count:
        raise ValueError(
            f"the clip has {length} samples, a frame needs {geometry.receptive_field}: "
            "record a longer one, or pad it with silence"
        )
    if not normalize:
        mean, scale = 0.0, 1.0
    if chunk_s is None:
        chunk_s = CHUNK_S if length > LONGEST_S * geometry.sample_rate else math.inf
    parts = []
    chunks = chunk_outputs(model, blocks, geometry, chunk_s, context_s, frame_count, progress, mean, scale)
    for chunk, waveform, logits in chunks:
        confidence, ids = logits.softmax(dim=-1).max(dim=-1)  # (len(keep), V) -> (len(keep),)
        offset = chunk.keep.start * geometry.hop - chunk.samples.start
        parts.append((ids, confidence, _envelope(waveform[offset:], len(chunk.keep), geometry.hop)))
    notes = list(getattr(stream, "notes", []))
    if len(parts) > 1:
        notes.append(f"computed in {len(parts)} chunks of {chunk_s:g} s with {context_s:g} s of context at each side")
        if model.config.feat_extract_norm == "group":
            notes[-1] += "; group norm takes each chunk's own statistics, so every frame differs a little from one pass"
    ids, confidence, envelope = (torch.cat(column) for column in zip(*parts, strict=True))
    return ids, confidence, envelope, length, notes


def _in_a_batch(model, batch: Batch, geometry, normalize: bool, mask: bool) -> Iterator[_Frames]:
    """All clips in one padded pass."""
    waveforms, clips = batch.waveforms, batch.clips()
    if normalize:  # over the valid samples, whatever the mask; the padding stays 0
        normalized = pad(clips, normalize=True, minimum_samples=geometry.receptive_field).waveforms
        waveforms = torch.zeros_like(waveforms)  # may be longer than its longest clip
        waveforms[:, : normalized.shape[1]] = normalized
    device = next(model.parameters()).device
    with torch.no_grad():
        outputs = model(waveforms.to(device), attention_mask=batch.mask.to(device) if mask else None)
    confidence, ids = outputs.logits.softmax(dim=-1).max(dim=-1)  # (B, T, V) -> (B, T)
    for row, clip in enumerate(clips):
        frames = geometry.frame_count(len(clip))  # the clip's own, not the longest one's
        envelope = _envelope(clip, frames, geometry.hop)
        yield ids[row, :frames].cpu(), confidence[row, :frames].cpu(), envelope, len(clip), []


def _transcript(
    ids: Tensor,
    confidence: Tensor,
    envelope: Tensor,
    samples: int,
    notes: list[str],
    vocabulary: Vocabulary,
    geometry: FrameGeometry,
    unsure_below: float,
) -> Transcript:
    """Decode the best tokens of one clip."""
    decoded = ctc_decode(ids, vocabulary, geometry, confidence)
    transcript = Transcript(
        **vars(decoded),
        tokens=tuple("" if i == vocabulary.blank_id else vocabulary.tokens[i] for i in ids.tolist()),
        confidence=tuple(confidence.tolist()),
        envelope=envelope,
        samples=samples,
        geometry=geometry,
    )
    loudest = float(envelope.abs().max())
    if loudest < QUIET:
        notes.append(f"the clip is silent: its loudest sample is {loudest:.5f} of 1")
    if not decoded.words:
        notes.append(f"no words: in all {transcript.frames} frames the best token is the blank or a separator")
    elif transcript.mean_confidence < unsure_below:
        notes.append(
            f"the model is unsure (mean confidence {transcript.mean_confidence:.2f}): perhaps this is no speech, "
            "or speech unlike what it was trained on"
        )
    return dataclasses.replace(transcript, notes=tuple(notes))


def _statistics(blocks: Iterable[Tensor], most: int) -> tuple[int, float, float, Iterable[Tensor]]:
    """Samples; mean and scale that bring them to mean 0, variance 1 (eps 1e-7, as in Hugging Face), in float64; blocks.

    Up to ``most`` samples the blocks are held, so that only a longer file is decoded twice.
    """
    held, count, total, squares = [], 0, 0.0, 0.0
    for block in blocks:
        count += len(block)
        held = [*held, block] if count <= most else []
        block = block.double()
        total, squares = total + float(block.sum()), squares + float(block.square().sum())
    mean = total / max(1, count)
    return count, mean, math.sqrt(max(0.0, squares / max(1, count) - mean * mean) + 1e-7), held or blocks


def _envelope(waveform: Tensor, frames: int, hop: int) -> Tensor:
    """Lowest and highest sample of each quarter of each hop. Shape: at least (frames * hop,) -> (frames, 4, 2)."""
    parts = 4 if hop % 4 == 0 else 1
    # A frame reads more than a hop, so all of these samples exist.
    rows = waveform[: frames * hop].reshape(frames, parts, hop // parts)
    return torch.stack([rows.amin(dim=2), rows.amax(dim=2)], dim=2).cpu()
