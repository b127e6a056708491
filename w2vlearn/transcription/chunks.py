"""Long audio in overlapping chunks on the frame grid: as many frames as in one pass, and memory that does not grow.

    frames kept      |-- chunk 0 --|-- chunk 1 --|-- chunk 2 --|
    frames computed  |-- chunk 0 -----|
                                |---- chunk 1 ------|            each with context at both sides
                                              |---- chunk 2 ---|

Chunks begin and end on frames (multiples of the hop), so frame t is the same 400 samples in a chunk as in one pass.
What stays exact and what does not:

* layer norm, feature encoder: frame t reads those 400 samples only, so it is the same up to rounding;
* the positional convolution looks 64 frames (1.28 s) back and 63 ahead: with less context, frames near a seam see an
  edge;
* attention looks at everything there is: in a chunk that is less. Equal to one pass it cannot be, only close, also far
  from the seams; context takes away what is special about them (the course's lesson 9 draws it);
* group norm takes its statistics over whatever it is given: every frame of a chunk differs, also far from the seams.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from w2vlearn.geometry import FrameGeometry

__all__ = ["CHUNK_S", "CONTEXT_S", "Chunk", "chunk_outputs", "frame_outputs", "on_grid", "plan"]

CHUNK_S = 20.0  # LARGE was trained on clips of up to 20 s, BASE of 15.6 s (fairseq, max_sample_size)
CONTEXT_S = 2.0  # more than the 1.28 s that the positional convolution looks back, and the 1.26 s that it looks ahead


@dataclass(frozen=True)
class Chunk:
    """Frames kept, frames computed to get them, and the samples those read; all numbered as in the whole clip."""

    keep: range
    read: range
    samples: range

    @property
    def inside(self) -> slice:
        """Where the kept frames lie among the computed ones."""
        return slice(self.keep.start - self.read.start, self.keep.stop - self.read.start)


def on_grid(seconds: float, geometry: FrameGeometry, name: str = "chunk_s") -> int:
    """Seconds as a whole number of frames; ValueError, which names the nearest, off the grid (20 ms)."""
    hop_s = geometry.hop / geometry.sample_rate
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{name} must be a number of seconds, 0 or more, found {seconds!r}")
    frames = round(seconds / hop_s)
    if abs(seconds / hop_s - frames) > 1e-6:
        below = math.floor(seconds / hop_s)
        raise ValueError(
            f"{name} = {seconds} s is off the frame grid: a frame comes every {hop_s * 1000:g} ms; "
            f"take {below * hop_s:g} or {(below + 1) * hop_s:g}"
        )
    return frames


def plan(samples: int, geometry: FrameGeometry, chunk_s: float = CHUNK_S, context_s: float = CONTEXT_S) -> list[Chunk]:
    """The chunks of a clip, without computing any.

    Parameters
    ----------
    samples : int
        L.
    geometry : FrameGeometry
    chunk_s : float
        Seconds of frames kept per chunk; a multiple of the hop, or ``math.inf`` for one pass.
    context_s : float
        Seconds of frames computed besides, at each side where there are any; a multiple of the hop.

    Returns
    -------
    list of Chunk
        Their ``keep`` are 0 … T - 1, each frame once. Empty if the clip is too short for one frame.

    Raises
    ------
    TypeError, ValueError
        If a size is off the grid, or ``samples`` no length.
    """
    geometry.frame_count(samples)  # refuses what is no length
    waveform = torch.empty(samples, device="meta")  # without memory
    return [chunk for chunk, _ in chunk_waveforms([waveform], geometry, chunk_s, context_s)]


def chunk_waveforms(
    blocks: Iterable[Tensor], geometry: FrameGeometry, chunk_s: float = CHUNK_S, context_s: float = CONTEXT_S
) -> Iterator[tuple[Chunk, Tensor]]:
    """Cut a waveform, given in pieces (n,) of any length, into the chunks of `plan`, each with its samples.

    No more than about one chunk is held at a time. Shapes: (len(chunk.samples),).
    """
    frames = 2**62 if chunk_s == math.inf else on_grid(chunk_s, geometry, "chunk_s")
    context = on_grid(context_s, geometry, "context_s")
    if frames < 1:
        hop_s = geometry.hop / geometry.sample_rate
        raise ValueError(f"chunk_s must be at least one frame, {hop_s:g} s, found {chunk_s}")
    held, first = torch.empty(0), 0  # the samples still needed, and the number of the first of them
    total, index = 0, 0
    for block in itertools.chain(blocks, [None]):
        ended = block is None
        if not ended:
            held = torch.cat([held, block]) if len(held) else block  # a clip in one piece is not copied
            total += len(block)
        known = geometry.frame_count(total)
        while index * frames < known:
            # One frame beyond the kept ones must be there, or this may be the only chunk, which also gets the tail.
            if not ended and known < (index + 1) * frames + max(context, 1):
                break
            keep = range(index * frames, min((index + 1) * frames, known))
            read = range(max(0, keep.start - context), min(keep.stop + context, known))
            samples = range(geometry.span(read.start).start, geometry.span(read.stop - 1).stop)
            if ended and keep == range(known):
                samples = range(total)  # the only chunk is the whole clip, tail included: one pass
            yield Chunk(keep, read, samples), held[samples.start - first : samples.stop - first]
            index += 1
            start = max(0, index * frames - context) * geometry.hop  # where the next chunk begins to read
            held, first = held[start - first :], start


def frame_outputs(model: nn.Module, waveform: Tensor) -> Tensor:
    """One pass over one clip: logits (T, V), or last_hidden_state (T, D) of a model without a head. Shape: (L,)."""
    outputs = model(waveform[None].to(next(model.parameters()).device))  # (L,) -> (1, L) -> (1, T, …)
    logits = getattr(outputs, "logits", None)
    return (outputs.last_hidden_state if logits is None else logits)[0]


@torch.no_grad()
def chunk_outputs(
    model: nn.Module,
    blocks: Iterable[Tensor],
    geometry: FrameGeometry,
    chunk_s: float = CHUNK_S,
    context_s: float = CONTEXT_S,
    frame_count: int | None = None,
    progress: bool = True,
    mean: float = 0.0,
    scale: float = 1.0,
) -> Iterator[tuple[Chunk, Tensor, Tensor]]:
    """Run a model chunk by chunk. ``torch.cat([outputs for *_, outputs in chunk_outputs(…)])`` is as long as one pass.

    Parameters
    ----------
    model : Module
        In eval mode, or ValueError: chance would change every chunk.
    blocks : iterable of Tensor
        The waveform in pieces, as of `AudioStream`, or ``[waveform]``. Shapes: (n,), float32.
    chunk_s, context_s : float
        As in `plan`.
    frame_count : int, optional
        Frames to come, for the progress bar, which shows itself after 2 s.

    Yields
    ------
    Chunk, Tensor, Tensor
        The chunk, its samples, and what the model makes of ``(samples - mean) / scale`` in the kept frames, on the CPU.
        Shapes: (len(chunk.samples),), (len(chunk.keep), V) or (len(chunk.keep), D).
    """
    from tqdm.auto import tqdm

    check_model(model)
    with tqdm(total=frame_count, unit="frame", unit_scale=True, delay=2, disable=not progress, desc="frames") as bar:
        for chunk, samples in chunk_waveforms(blocks, geometry, chunk_s, context_s):
            yield chunk, samples, frame_outputs(model, (samples - mean) / scale)[chunk.inside].cpu()
            bar.update(len(chunk.keep))


def check_model(model: nn.Module) -> None:
    """Raise if the model's frames are not those of the grid, or its output depends on chance."""
    if model.training:
        raise ValueError(
            "the model is in train mode: dropout and LayerDrop make each output another one; call model.eval() first"
        )
    if getattr(model.config, "add_adapter", False):
        raise ValueError("the model has an adapter, whose frames are fewer than the grid has; chunks do not join")
