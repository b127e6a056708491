"""What a trace claims about every axis, held against runs of each clip alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.tracing import trace
from w2vlearn.tracing.hooks import Recorder, named_modules, observing
from w2vlearn.tracing.inputs import find_inputs
from w2vlearn.tracing.letters import CLIPS, CONSTANT, UNKNOWN, Length, Merged
from w2vlearn.tracing.observe import axes_of
from w2vlearn.tracing.records import main_output


def compared(model: nn.Module, waveforms: Tensor, lengths: Sequence[int], **kwargs: Any) -> tuple[list[str], set[str]]:
    """What is wrong in a trace of padded clips, and the layers whose output has an axis that is unknown.

    Parameters
    ----------
    model : nn.Module
        Takes waveforms and, if ``kwargs`` say so, an ``attention_mask``.
    waveforms : Tensor
        Padded clips. Shape: (B, L) or (B, …, L).
    lengths : sequence of int
        Valid samples per clip.

    Returns
    -------
    list of str, set of str
        Wrong: an axis called clips, constant, or by a length's letter, that has another size when a clip runs alone;
        valid positions that are not those of the clip alone; valid positions unknown, and no note that names the layer.
    """
    with torch.no_grad():
        notes = " ".join(trace(model, waveforms, **kwargs).notes)
        axes = axes_of(model.modules(), find_inputs(model, (waveforms,), kwargs, torch.tensor(lengths)))
        with observing(model, recorder=Recorder(named_modules(model)[0], axes=axes)) as together:
            model(waveforms, **kwargs)
        alone = []
        for clip, length in zip(waveforms, lengths, strict=True):
            own = {name: mask[:1, :length] | True for name, mask in kwargs.items() if isinstance(mask, Tensor)}
            with observing(model) as calls:
                model(clip[None, ..., :length], **own)
            alone.append({(call.name, call.call): (call.inputs, call.outputs) for call in calls})
    wrong: list[str] = []
    unknown: set[str] = set()
    for call in together:
        others = [calls.get((call.name, call.call), ((), ())) for calls in alone]
        for side, tensors in enumerate((call.inputs, call.outputs)):
            if any(len(tensors) != len(other[side]) for other in others):
                continue
            for i, tensor in enumerate(tensors):
                shapes = [tuple(other[side][i].shape) for other in others]
                where = f"{call.name!r} {('in', 'out')[side]} {i} {tuple(tensor.shape)} {tensor.axes}, alone {shapes}"
                if all(len(shape) == len(tensor.shape) for shape in shapes):
                    sizes = zip(tensor.axes, tensor.shape, zip(*shapes, strict=True), strict=True)
                    wrong += [f"{size}: {where}" for mark, size, one in sizes if not _agrees(mark, size, one)]
        main = main_output(call.outputs)
        if main is not None and UNKNOWN in main.axes:
            unknown.add(call.name)
            if "unknown" not in notes and not any(isinstance(mark, Length) for mark in main.axes):
                wrong.append(f"no note: {call.name!r} {main.axes}")
    return wrong, unknown


def _agrees(mark: Any, size: int, alone: tuple[int, ...]) -> bool:
    """Whether an axis that has ``size`` in the batch, and these sizes for each clip alone, is what ``mark`` says."""
    if mark is CONSTANT:
        return all(n == size for n in alone)
    if mark is CLIPS:
        return size == len(alone) and all(n == 1 for n in alone)
    if isinstance(mark, Length):
        return mark.size == size and mark.valid == alone
    if isinstance(mark, Merged) and all(isinstance(part, Length) or part is CLIPS for part in mark.parts):
        whole = math.prod(len(alone) if part is CLIPS else part.size for part in mark.parts)
        times = [part.valid for part in mark.parts if part is not CLIPS]
        return whole == size and tuple(map(math.prod, zip(*times, strict=True))) == alone
    return mark is UNKNOWN or isinstance(mark, Merged)
