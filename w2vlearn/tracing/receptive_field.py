"""Which samples a frame really depends on, measured by gradients; `FrameGeometry.span` derives the same."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from w2vlearn.tracing.inputs import tensors_in
from w2vlearn.tracing.observe import buffers_kept, eager, evaluating, random_state_kept

__all__ = ["ReceptiveField", "receptive_field"]


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """The samples that move one frame.

    Attributes
    ----------
    layer : str
        Whose output was measured; "" for the model's own.
    frame : int
        Which frame, 0-based.
    samples : int
        Length of the clip that was measured, in samples.
    span : range
        From the first to the last sample with a gradient, end excluded.
    gaps : int
        Samples inside the span without a gradient; 0 unless a hop is longer than its kernel.
    status : str
        "exact": the span stays the same in a longer clip. "whole input": it grows with the clip, so no window is true.
    gradient : Tensor
        Size of the gradient at each sample. Shape: (L,), float64.
    """

    layer: str
    frame: int
    samples: int
    span: range
    gaps: int
    status: str
    gradient: Tensor

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReceptiveField):
            return NotImplemented
        plain = [f.name for f in fields(self) if f.name != "gradient"]
        return all(getattr(self, n) == getattr(other, n) for n in plain) and torch.equal(self.gradient, other.gradient)

    __hash__ = None

    def share_inside(self, window: range) -> float:
        """Share of the gradient's mass inside ``window``, from 0 to 1: 1 where the window holds all that matters."""
        return float(self.gradient[window.start : window.stop].sum() / self.gradient.sum())

    def __str__(self) -> str:
        where = f"output of {self.layer}" if self.layer else "the model's output"
        verdict = {
            "exact": "exact: the same samples in a longer clip",
            "whole input": "whole input: the span grows with the clip",
        }[self.status]
        gaps = f", {self.gaps} of them without influence" if self.gaps else ""
        return (
            f"frame {self.frame} of {where} depends on samples {self.span.start} … {self.span.stop - 1} "
            f"({len(self.span)} of {self.samples}{gaps}); {verdict}"
        )


def receptive_field(
    model: nn.Module, frame: int = 0, *, samples: int = 4000, at: str | None = None, seed: int = 0
) -> ReceptiveField:
    """Measure which samples influence frame ``frame``, by the gradient of the frame with respect to a noise clip.

    Runs the model twice, forward and backward, on noise.

    Parameters
    ----------
    model : nn.Module
        Takes waveforms (1, L) as its first argument. Run in eval mode, compiled code uncompiled; its mode, buffers,
        gradients and the random states stay as they were.
    frame : int
        0-based.
    samples : int
        Length of the clip in samples; the measurement is repeated on a clip twice as long. Choose it longer than any
        window you expect: what covers the whole of both clips counts as "whole input".
    at : str, optional
        Name of the module whose output is measured. Default: the model's feature encoder (``…feature_extractor``) if
        it has one, else the model's own output; ``""`` asks for the model's own output.
    seed : int
        Seed of the noise.

    Returns
    -------
    ReceptiveField
        ``status`` comes out of the two measurements: "exact" if both give the same span, else "whole input".

    Raises
    ------
    ValueError
        If there is no module of that name, if its output has no time axis, or if the samples are too few for the frame.
    IndexError
        If the frame does not exist.

    Notes
    -----
    Exact zeros count as no influence, with no tolerance: a convolution's gradient is exactly zero outside its window.
    Luo et al. 2016 ("Understanding the effective receptive field"), section 2, for the method.
    """
    if frame < 0:
        raise IndexError(f"frame {frame} does not exist: frames start at 0")
    name = _feature_encoder(model) if at is None else at
    layer = _submodule(model, name)
    clips = [_noise(model, length, seed) for length in (samples, 2 * samples)]
    outputs = [_output(model, layer, clip) for clip in clips]
    axis = _time_axis(*outputs, name)
    short, long = (_gradient(clip, output, axis, frame, seed) for clip, output in zip(clips, outputs, strict=True))
    spans = [_span(gradient, name, frame) for gradient in (short, long)]
    return ReceptiveField(
        layer=name,
        frame=frame,
        samples=samples,
        span=spans[0],
        gaps=len(spans[0]) - int((short > 0).sum()),
        status="exact" if spans[0] == spans[1] else "whole input",
        gradient=short,
    )


def _feature_encoder(model: nn.Module) -> str:
    names = [name for name, _ in model.named_modules() if name.split(".")[-1] == "feature_extractor"]
    return names[0] if names else ""


def _submodule(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError:
        known = ", ".join(child for child, _ in model.named_children())
        raise ValueError(
            f"the model has no module {name!r}; its parts are {known}, print(model) shows the rest"
        ) from None


def _noise(model: nn.Module, samples: int, seed: int) -> Tensor:
    """A noise clip in the model's dtype, on its device. Shape: (1, L)."""
    like = next(model.parameters(), torch.empty(0))
    return torch.randn(1, samples, generator=torch.Generator().manual_seed(seed)).to(like).requires_grad_(True)


def _time_axis(short: Tensor, long: Tensor, name: str) -> int:
    """The axis that grew with the clip."""
    grown = [axis for axis, (one, other) in enumerate(zip(short.shape, long.shape, strict=True)) if one != other]
    if not grown:
        shape = tuple(long.shape)
        raise ValueError(f"the output of {name or 'the model'} has shape {shape} for every length: it has no time axis")
    return grown[0]


def _gradient(clip: Tensor, output: Tensor, axis: int, frame: int, seed: int) -> Tensor:
    """Gradient of a random mix of the frame's features at each sample. Shape: (L,), float64, never negative."""
    if frame >= output.shape[axis]:
        raise IndexError(
            f"frame {frame} does not exist: {clip.shape[1]} samples give {output.shape[axis]} frames here, "
            f"0 to {output.shape[axis] - 1}; ask for one of them, or give more samples"
        )
    features = output.select(axis, frame).flatten()  # all features of one frame
    mix = torch.randn(len(features), generator=torch.Generator().manual_seed(seed)).to(features)
    (gradient,) = torch.autograd.grad(features @ mix, clip)  # (1, L)
    return gradient[0].abs().double().cpu()


def _output(model: nn.Module, layer: nn.Module, waveforms: Tensor) -> Tensor:
    """First tensor that ``layer`` gives for these waveforms, with its gradient graph."""
    seen: list[Tensor] = []

    def keep(module, args, result):
        seen.extend(tensor for _, tensor in tensors_in(result, "output"))

    handle = layer.register_forward_hook(keep)
    try:
        with evaluating(model), buffers_kept(model.modules()), random_state_kept(), eager(), torch.enable_grad():
            model(waveforms)
    finally:
        handle.remove()
    if not seen:
        raise ValueError("that module was not called, or gave no tensor")
    return seen[0]


def _span(gradient: Tensor, name: str, frame: int) -> range:
    touched = gradient.nonzero().flatten()
    if not len(touched):
        raise ValueError(
            f"frame {frame} of {name or 'the output'} has no gradient at any sample: is the path detached?"
        )
    return range(int(touched[0]), int(touched[-1]) + 1)
