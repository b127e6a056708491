"""How far padding moves valid positions: each clip alone against the same clip in the batch, layer by layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.batch import Batch, pad
from w2vlearn.shown import Shown
from w2vlearn.tracing.inputs import NO_MASK, in_dtype_of
from w2vlearn.tracing.layers import Trace
from w2vlearn.tracing.masks import MASK_NAME
from w2vlearn.tracing.observe import buffers_kept, eager, evaluating, random_state_kept, trace
from w2vlearn.tracing.operations import class_name
from w2vlearn.tracing.records import LayerRecord, Operation

__all__ = ["LayerLeak", "LeakReport", "padding_leak"]


@dataclass(frozen=True)
class LayerLeak:
    """Padding's effect on one layer's output.

    Attributes
    ----------
    name, type : str
        Which layer, and its class.
    operation : Operation
        What it does.
    mask : str
        Kind of the mask that it was handed, "none" if none.
    absolute : float
        Largest absolute difference at any valid position of any clip.
    relative : float
        Norm of the difference over the norm of the values, worst clip; 0 = untouched.
    per_clip : tuple of float
        ``relative`` of each clip.
    per_frame : tuple of Tensor
        ``relative`` at each position along time, one tensor (T_i,) per clip; empty where the output has no time axis.
    """

    name: str
    type: str
    operation: Operation
    mask: str
    absolute: float
    relative: float
    per_clip: tuple[float, ...]
    per_frame: tuple[Tensor, ...]


@dataclass(frozen=True)
class LeakRun:
    """All layers of one comparison, with or without the mask.

    ``entry`` is the name of the layer that lets padding in first (its inputs are clean, its output is not), None if no
    layer does; ``tolerance`` is the relative difference that still counts as float error.
    """

    masked: bool
    layers: tuple[LayerLeak, ...]
    entry: str | None
    tolerance: float

    def __getitem__(self, name: str) -> LayerLeak:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"no layer called {name!r} in this report; its names are those of trace(model, batch)")

    @property
    def worst(self) -> LayerLeak:
        """The model's own output: the row that matters in the end."""
        return self.layers[0]


@dataclass(frozen=True)
class LeakReport(Shown):
    """Padding's effect on every layer, without a mask and (where the model takes one) with it.

    Prints as a table; ``heat(clip)`` gives the numbers behind the heat map, ``figure(clip)`` draws it. ``model_runs``
    says how often the model ran for it; ``note`` why there is no run with a mask, if there is none.
    """

    model_name: str
    lengths: tuple[int, ...]
    without_mask: LeakRun
    with_mask: LeakRun | None
    model_runs: int
    note: str = ""

    @property
    def runs(self) -> tuple[LeakRun, ...]:
        """The comparisons that were made: without a mask, then with it."""
        return (self.without_mask,) if self.with_mask is None else (self.without_mask, self.with_mask)

    def heat(self, clip: int | None = None, masked: bool = True) -> tuple[list[str], Tensor]:
        """Relative difference of every layer that works on frames, at every valid frame of one clip.

        Parameters
        ----------
        clip : int, optional
            Which clip; the shortest by default, since it has the most padding.
        masked : bool
            With the mask (where there is such a run), or without.

        Returns
        -------
        tuple
            Names of the layers, and a tensor (layers, T_i), float32.

        Raises
        ------
        ValueError
            If no layer's output has a time axis.
        """
        clip, run = self.shortest if clip is None else clip, self.runs[-1 if masked else 0]
        counts = Counter(len(row.per_frame[clip]) for row in run.layers if row.per_frame)
        if not counts:
            raise ValueError("no layer of this model has an output with a time axis: there is nothing to draw")
        frames = max(reversed(counts), key=counts.__getitem__)  # as many as most layers have: T, as in a trace
        # the positional convolution gives one frame too many before its trim, which nobody keeps
        rows = [row for row in run.layers if row.per_frame and len(row.per_frame[clip]) in (frames, frames + 1)]
        return [row.name for row in rows], torch.stack([row.per_frame[clip][:frames] for row in rows])

    @property
    def shortest(self) -> int:
        """Index of the shortest clip."""
        return min(range(len(self.lengths)), key=self.lengths.__getitem__)

    def figure(self, clip: int | None = None, masked: bool = True) -> Any:
        """The heat map over layers and frames, with alt text."""
        return self._show("figure", clip=clip, masked=masked)

    def __repr__(self) -> str:
        return str(self)


def padding_leak(model: nn.Module, clips: Sequence[Tensor] | Batch, **kwargs: Any) -> LeakReport:
    """Run each clip alone and all of them in one padded batch; report how far padding moved the valid positions.

    Runs the model once per clip and twice on the batch (without a mask, and with it where it takes one).

    Parameters
    ----------
    model : nn.Module
        Any model that `w2vlearn.trace` can hand a batch to. Run in eval mode without gradients, compiled code
        uncompiled; its mode, buffers and the random states stay as they were.
    clips : sequence of Tensor, or Batch
        Waveforms of different length. Shapes: (L_i,), float32; handed over in the type of the model's weights.
    **kwargs
        For every run. Where a wrapper hides what its mask is called, name it with the batch's mask:
        ``padding_leak(model, batch, attention_mask=batch.mask)``; the runs without a mask leave it out.

    Returns
    -------
    LeakReport
        Per layer the largest absolute and the relative difference, without and with the mask, the first layer that
        lets padding in, and why.

    Raises
    ------
    ValueError
        If there is only one clip, or all are equally long: then there is no padding and nothing to see.

    Notes
    -----
    All layers' outputs of both runs are kept while they are compared: memory about twice that of the activations.
    """
    batch = clips if isinstance(clips, Batch) else pad(clips)
    lengths = tuple(batch.lengths.tolist())
    if len(lengths) < 2:
        raise ValueError("padding_leak compares clips of different length, found one clip: alone it has no padding")
    if len(set(lengths)) == 1:
        raise ValueError(
            f"all {len(lengths)} clips have {lengths[0]} samples: no padding, nothing to see; shorten one of them"
        )
    masks = {name: value for name, value in kwargs.items() if MASK_NAME.search(name)}
    others = {name: value for name, value in kwargs.items() if name not in masks}
    with evaluating(model), torch.no_grad(), random_state_kept(), buffers_kept(model.modules()), eager():
        alone = []  # of each clip, every layer's output
        for i, clip in enumerate(batch.clips()):
            own = {name: m[i : i + 1, : len(clip)] if m.ndim == 2 else m[i : i + 1] for name, m in masks.items()}
            single = trace(model, Batch(clip[None], torch.tensor([len(clip)])), values=True, **others, **own)
            alone.append({(record.name, record.call): record.value for record in single})
        masked = trace(model, batch, values=True, **kwargs)
        is_masked = any(mask.form != "none" for mask in masked.records[0].masks)
        with_mask = _compare(masked, alone, True) if is_masked else None
        note = "" if is_masked else _why_no_mask(masked.notes)
        del masked  # one run's values at a time
        unmasked = trace(model, in_dtype_of(model, batch.waveforms)[0], values=True, **others)
        without_mask = _compare(unmasked, alone, False)
    return LeakReport(class_name(model), lengths, without_mask, with_mask, len(lengths) + 2, note)


def _why_no_mask(notes: Sequence[str]) -> str:
    if any(NO_MASK in note for note in notes):
        return "this model takes no mask: there is only one way to run it"
    return (
        "this model does not say what its mask is called: name it, for example "
        "padding_leak(model, batch, attention_mask=batch.mask)"
    )


def _compare(together: Trace, alone: list[dict[tuple[str, int], Tensor | None]], masked: bool) -> LeakRun:
    compared = []
    for record in together.records:
        leak = _leak(record, [outputs.get((record.name, record.call)) for outputs in alone])
        if leak is not None:
            compared.append((record, leak))
    tolerance = float(torch.finfo(together.records[0].value.dtype).eps ** 0.6)  # 7e-5 for float32, 4e-10 for float64
    return LeakRun(masked, tuple(leak for _, leak in compared), _entry(compared, tolerance), tolerance)


def _leak(record: LayerRecord, alone: list[Tensor | None]) -> LayerLeak | None:
    """What padding did to one layer's output, given its output for each clip alone; None where that cannot be said."""
    together = record.value
    if together is None or not together.is_floating_point() or any(output is None for output in alone):
        return None
    parts = [_valid_part(together, output, clip) for clip, output in enumerate(alone)]
    if any(part is None for part in parts):
        return None
    differences = [(part - output).double() for part, output in zip(parts, alone, strict=True)]
    alone = [output.double() for output in alone]
    pairs = list(zip(differences, alone, strict=True))
    relative = tuple(_ratio(difference.norm(), output.norm()) for difference, output in pairs)
    times = [axis for axis in range(1, together.ndim) if len({output.shape[axis] for output in alone}) > 1]
    return LayerLeak(
        name=record.name,
        type=record.type,
        operation=record.operation,
        mask=f"{record.mask.kind} mask" if record.mask else "none",
        absolute=max(float(difference.abs().max()) for difference in differences),
        relative=max(relative),
        per_clip=relative,
        per_frame=tuple(_per_frame(*pair, times[0]) for pair in pairs) if times else (),
    )


def _valid_part(together: Tensor, alone: Tensor, clip: int) -> Tensor | None:
    """The clip's valid part of the batch's tensor: padding is at the right."""
    if together.ndim != alone.ndim:
        return None
    axis = next((axis for axis in range(alone.ndim) if alone.shape[axis] == 1 != together.shape[axis]), None)
    if axis is None or clip >= together.shape[axis]:
        return None
    own = together.narrow(axis, clip, 1)[tuple(map(slice, alone.shape))]
    return own if own.shape == alone.shape else None


def _ratio(difference: Tensor, size: Tensor) -> float:
    return float(difference / size) if float(size) > 0 else float(difference)


def _per_frame(difference: Tensor, alone: Tensor, axis: int) -> Tensor:
    others = [other for other in range(difference.ndim) if other != axis]
    size = alone.pow(2).sum(others).sqrt()
    return (difference.pow(2).sum(others).sqrt() / size.clamp(min=size.max() * 1e-6 + 1e-30)).float()


def _entry(compared: list[tuple[LayerRecord, LayerLeak]], tolerance: float) -> str | None:
    """The first layer whose output differs; where it only passes the difference on, the part around it that mixes."""
    records = [record for record, _ in compared]
    leaking = [record for record, leak in compared if leak.relative > tolerance]
    leaves = [record for record in leaking if not any(_is_below(other.name, record.name) for other in records)]
    if not leaves:
        return leaking[-1].name if leaking else None
    first = leaves[0]
    around = [record.name for record in records if record.mixes_time and _is_below(first.name, record.name)]
    return around[-1] if around and not first.mixes_time else first.name


def _is_below(name: str, other: str) -> bool:
    return name != other and (not other or name.startswith(other + "."))
