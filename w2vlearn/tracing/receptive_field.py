"""Which samples a frame really depends on, measured by gradients; `FrameGeometry.span` derives the same."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from w2vlearn.tracing.inputs import tensors_in
from w2vlearn.tracing.observe import buffers_kept, eager, evaluating, random_state_kept

__all__ = ["ReceptiveField", "receptive_field"]


@dataclass(frozen=True)
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
        Size of the gradient at each sample. Shape: (L,), float64. Left out where two of these are compared.
    """

    layer: str
    frame: int
    samples: int
    span: range
    gaps: int
    status: str
    gradient: Tensor = field(compare=False)

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
    if at is None:
        at = next((name for name, _ in model.named_modules() if name.split(".")[-1] == "feature_extractor"), "")
    try:
        layer = model.get_submodule(at)
    except AttributeError:
        known = ", ".join(child for child, _ in model.named_children())
        raise ValueError(
            f"the model has no module {at!r}; its parts are {known}, print(model) shows the rest"
        ) from None
    clips = [_noise(model, length, seed) for length in (samples, 2 * samples)]
    outputs = [_output(model, layer, clip) for clip in clips]
    shapes = [tuple(output.shape) for output in outputs]
    grown = [axis for axis, (short, long) in enumerate(zip(*shapes, strict=True)) if short != long]
    if not grown:
        raise ValueError(
            f"the output of {at or 'the model'} has shape {shapes[0]} for every length: it has no time axis"
        )
    frames = shapes[0][grown[0]]
    if frame >= frames:
        raise IndexError(
            f"frame {frame} does not exist: {samples} samples give {frames} frames here, 0 to {frames - 1}; "
            "ask for one of them, or give more samples"
        )
    of_frame = [output.select(grown[0], frame).flatten() for output in outputs]
    gradients = [_gradient(features, clip, seed) for features, clip in zip(of_frame, clips, strict=True)]
    touched = [gradient.nonzero().flatten().tolist() for gradient in gradients]
    if not all(touched):
        raise ValueError(f"frame {frame} of {at or 'the output'} has no gradient at any sample: is the path detached?")
    spans = [range(positions[0], positions[-1] + 1) for positions in touched]
    return ReceptiveField(
        layer=at,
        frame=frame,
        samples=samples,
        span=spans[0],
        gaps=len(spans[0]) - len(touched[0]),
        status="exact" if spans[0] == spans[1] else "whole input",
        gradient=gradients[0],
    )


def _noise(model: nn.Module, samples: int, seed: int) -> Tensor:
    """A noise clip in the model's dtype, on its device. Shape: (1, L)."""
    like = next(model.parameters(), torch.empty(0))
    return torch.randn(1, samples, generator=torch.Generator().manual_seed(seed)).to(like).requires_grad_(True)


def _gradient(features: Tensor, clip: Tensor, seed: int) -> Tensor:
    """Gradient of a random mix of the features at each sample. Shape: (L,), float64, never negative."""
    mix = torch.randn(len(features), generator=torch.Generator().manual_seed(seed)).to(features)
    (gradient,) = torch.autograd.grad(features @ mix, clip)  # (1, L)
    return gradient[0].abs().double().cpu()


def _output(model: nn.Module, layer: nn.Module, waveforms: Tensor) -> Tensor:
    """First tensor that ``layer`` gives for these waveforms, with its gradient graph."""
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(
        lambda module, args, result: seen.extend(tensor for _, tensor in tensors_in(result, "output"))
    )
    try:
        with evaluating(model), buffers_kept(model.modules()), random_state_kept(), eager(), torch.enable_grad():
            model(waveforms)
    finally:
        handle.remove()
    if not seen:
        raise ValueError("that module was not called, or gave no tensor")
    return seen[0]
