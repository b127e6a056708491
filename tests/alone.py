"""What a trace claims about every axis, held against runs of each clip alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.tracing import Trace, trace
from w2vlearn.tracing.hooks import Recorder, named_modules, observing
from w2vlearn.tracing.inputs import find_inputs
from w2vlearn.tracing.marks import CLIPS, CONSTANT, UNKNOWN, Length, Merged
from w2vlearn.tracing.observe import axes_of
from w2vlearn.tracing.records import main_output


def compared(
    model: nn.Module, waveforms: Tensor, lengths: Sequence[int], **kwargs: Any
) -> tuple[Trace, list[str], set[str]]:
    """A trace of padded clips, what is wrong in it, and the layers whose output has an axis that is unknown.

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
    Trace, list of str, set of str
        Wrong: an axis called clips, constant, or by a length's letter, that has another size when a clip runs alone;
        valid positions that are not those of the clip alone; valid positions unknown, and no note that names the layer.
    """
    told = torch.tensor(lengths)
    with torch.no_grad():
        traced = trace(model, waveforms, **kwargs)
        inputs = find_inputs(model, (waveforms,), kwargs, told)
        names, _ = named_modules(model)
        with observing(model, recorder=Recorder(names, axes=axes_of(model, inputs))) as together:
            model(waveforms, **kwargs)
        alone = []
        for clip, length in zip(waveforms, lengths, strict=True):
            own = {name: mask[:1, :length] | True for name, mask in kwargs.items() if isinstance(mask, Tensor)}
            with observing(model) as calls:
                model(clip[None, ..., :length], **own)
            alone.append({(call.name, call.call): call for call in calls})
    wrong: list[str] = []
    unknown: set[str] = set()
    notes = " ".join(traced.notes)
    for call in together:
        others = [one.get((call.name, call.call)) for one in alone]
        for side in ("inputs", "outputs"):
            if None in others or any(len(getattr(o, side)) != len(getattr(call, side)) for o in others):
                continue
            for i, tensor in enumerate(getattr(call, side)):
                shapes = [tuple(getattr(o, side)[i].shape) for o in others]
                where = f"{call.name!r} {side}[{i}] {tuple(tensor.shape)} {tensor.axes}, alone {shapes}"
                if any(len(shape) != len(tensor.shape) for shape in shapes):
                    continue
                for axis, mark in enumerate(tensor.axes):
                    sizes = tuple(shape[axis] for shape in shapes)
                    if not _agrees(mark, tensor.shape[axis], sizes, len(lengths)):
                        wrong.append(f"axis {axis}: {where}")
                if side == "outputs" and tensor is main_output(call.outputs) and UNKNOWN in tensor.axes:
                    unknown.add(call.name)
                    has_length = any(isinstance(mark, Length) for mark in tensor.axes)
                    if not has_length and "unknown" not in notes:
                        wrong.append(f"no note: {where}")
    return traced, wrong, unknown


def _agrees(mark: Any, size: int, alone: tuple[int, ...], clips: int) -> bool:
    if mark is UNKNOWN:
        return True
    if mark is CONSTANT:
        return all(n == size for n in alone)
    if mark is CLIPS:
        return size == clips and all(n == 1 for n in alone)
    if isinstance(mark, Length):
        return mark.size == size and mark.valid == alone
    if isinstance(mark, Merged):
        if all(isinstance(part, Length) or part is CLIPS for part in mark.parts):
            whole, each = 1, [1] * len(alone)
            for part in mark.parts:
                whole *= clips if part is CLIPS else part.size
                each = [n * (1 if part is CLIPS else part.valid[i]) for i, n in enumerate(each)]
            return whole == size and tuple(each) == alone
        return True
    return False
