"""From samples to frames and back, by integer arithmetic alone.

"Derive" of derive, observe, prove: nothing is run, only kernel sizes and strides are used. This is the one place where
the package computes a length, a span or a count of frames.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["FrameGeometry"]


@dataclass(frozen=True)
class FrameGeometry:
    """How a stack of unpadded convolutions cuts a waveform into frames.

    Parameters
    ----------
    kernels, strides : sequence of int
        One entry per convolution, first layer first.
    sample_rate : int
        Samples per second; used only where a method speaks of milliseconds.

    Raises
    ------
    ValueError
        If the tables differ in length, are empty, or hold a number below 1.
    TypeError
        If an entry is not an integer.

    Examples
    --------
    >>> geometry = FrameGeometry((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
    >>> geometry.receptive_field, geometry.hop  # samples
    (400, 320)
    >>> geometry.frame_count(16_000)  # (16000 - 400) // 320 + 1
    49

    Notes
    -----
    Exact for the convolutions. BASE's GroupNorm lets the *value* of each frame depend on the whole clip; counts and
    spans stay as they are. Source: wav2vec 2.0 paper, section 4.2.
    """

    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    sample_rate: int = 16_000

    def __post_init__(self):
        for name in ("kernels", "strides"):
            sizes = getattr(self, name)
            if not isinstance(sizes, Sequence) or isinstance(sizes, str):
                raise TypeError(f"{name} must be a sequence of integers, found {sizes!r}")
            object.__setattr__(self, name, tuple(_integer(size, f"an entry of {name}") for size in sizes))
        if len(self.kernels) != len(self.strides) or not self.kernels:
            raise ValueError(
                f"each convolution needs one kernel and one stride, found {len(self.kernels)} kernels "
                f"and {len(self.strides)} strides"
            )
        if min(self.kernels + self.strides) < 1:
            raise ValueError(f"kernels and strides must be at least 1, found {self.kernels} and {self.strides}")
        if _integer(self.sample_rate, "sample_rate") < 1:
            raise ValueError(f"sample_rate must be at least 1 Hz, found {self.sample_rate}")

    @classmethod
    def from_config(cls, config) -> FrameGeometry:
        """The geometry of any config with ``conv_kernel`` and ``conv_stride`` (ours or Hugging Face's)."""
        return cls(tuple(config.conv_kernel), tuple(config.conv_stride))

    @property
    def hop(self) -> int:
        """Samples between the starts of neighbouring frames: the product of the strides (320 = 5 * 2**6 for BASE)."""
        return math.prod(self.strides)

    @property
    def receptive_field(self) -> int:
        """Samples that one frame is computed from (400 for BASE = 25 ms at 16 kHz)."""
        return len(self.spans(0)[0])

    def lengths(self, samples: int) -> list[int]:
        """Length after each convolution, T1 … T7, for a clip of ``samples`` samples; 0 once nothing fits."""
        length, lengths = _length(samples), []
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            length = max(0, (length - kernel) // stride + 1)
            lengths.append(length)
        return lengths

    def left_over(self, samples: int) -> list[int]:
        """Positions at the end of each convolution's input that its last kernel does not reach, first layer first.

        >>> geometry = FrameGeometry((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
        >>> geometry.left_over(16_000)[0]  # 16000 - ((3199 - 1) * 5 + 10)
        0
        """
        inputs = [samples, *self.lengths(samples)]
        steps = zip(inputs[:-1], inputs[1:], self.kernels, self.strides, strict=True)
        return [before - ((after - 1) * stride + kernel if after else 0) for before, after, kernel, stride in steps]

    def frame_count(self, samples: int) -> int:
        """Frames T of a clip of ``samples`` samples; 0 below the receptive field.

        Raises
        ------
        TypeError, ValueError
            If ``samples`` is not an integer, or negative.
        """
        return self.lengths(samples)[-1]

    def frame_counts(self, lengths: Any) -> Any:
        """:meth:`frame_count` of many clips at once: floor((L - receptive field) / hop) + 1, or 0.

        Parameters
        ----------
        lengths : integer array or tensor
            Samples per clip. Shape: (B,), as numpy or torch hold it; where it lies decides where it is computed.

        Returns
        -------
        array or tensor
            Frames per clip, never below 0. Shape: (B,).

        Notes
        -----
        One formula in place of one per layer: nested floors collapse, because floor((floor(x / a) - k) / b) =
        floor((x - k a) / (a b)) for integers. Hugging Face ``modeling_wav2vec2.py``
        (``_get_feat_extract_output_lengths``) goes from layer to layer, without the 0, which is torchaudio's.
        """
        return ((lengths - self.receptive_field) // self.hop + 1).clip(min=0)

    def span(self, t: int) -> range:
        """Samples that frame ``t`` is computed from, normalisation left out.

        Parameters
        ----------
        t : int
            Frame index, 0-based.

        Returns
        -------
        range
            Sample positions, end excluded; always ``receptive_field`` long (400 samples = 25 ms for BASE).

        Raises
        ------
        IndexError
            If ``t`` is negative: "frame -1 does not exist: frames start at 0".
        """
        start = _frame(t) * self.hop
        return range(start, start + self.receptive_field)

    def spans(self, t: int) -> list[range]:
        """Positions that frame ``t`` is computed from in the input of each convolution, first layer first.

        Entry 0 is :meth:`span`, in samples; entry i holds positions of the output of convolution i.

        >>> geometry = FrameGeometry((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
        >>> geometry.spans(1)[0], geometry.spans(1)[-1]  # 1 * 2 = 2, and a kernel of 2
        (range(320, 720), range(2, 4))
        """
        start, stop, spans = _frame(t), t + 1, []
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            start, stop = start * stride, (stop - 1) * stride + kernel
            spans.append(range(start, stop))
        return spans[::-1]

    def frames_at(self, sample: int, samples: int | None = None) -> range:
        """Frames that read sample ``sample`` (0-based): one or two for BASE, or none.

        Parameters
        ----------
        sample : int
            Sample index, 0-based.
        samples : int, optional
            Length of the clip. Without it the clip is taken to go on for ever; with it, frames that do not fit are
            left out, so the unread tail gives an empty range.
        """
        sample = _length(sample, "a sample index")
        first = max(0, -((self.receptive_field - 1 - sample) // self.hop))
        last = sample // self.hop
        if samples is not None:
            if sample >= _length(samples):
                raise IndexError(f"sample {sample} does not exist: the clip has {samples} samples, 0 to {samples - 1}")
            last = min(last, self.frame_count(samples) - 1)
        # A hop longer than the receptive field leaves samples between frames that no frame reads.
        return range(first, max(first, last + 1))

    def samples_for(self, frames: int) -> range:
        """Every clip length with exactly ``frames`` frames: ``hop`` lengths (320 for BASE), or all too short for one.

        >>> geometry = FrameGeometry((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
        >>> geometry.samples_for(49)  # (49 - 1) * 320 + 400 = 15760
        range(15760, 16080)
        """
        frames = _length(frames, "a number of frames")
        if frames == 0:
            return range(0, self.receptive_field)
        shortest = (frames - 1) * self.hop + self.receptive_field
        return range(shortest, shortest + self.hop)

    def unread(self, samples: int) -> range:
        """Samples at the clip's end that no frame reads: at most ``hop - 1``, or the whole clip if it is too short."""
        frames = self.frame_count(samples)
        return range(self.span(frames - 1).stop if frames else 0, samples)

    def start_ms(self, t: int) -> float:
        """Start of frame ``t`` in ms: 20 t for BASE at 16 kHz."""
        return self.span(t).start * 1000 / self.sample_rate

    def centre_ms(self, t: int) -> float:
        """Centre of frame ``t`` in ms: 20 t + 12.5 for BASE at 16 kHz (between two samples when the field is even)."""
        return (self.span(t).start + self.receptive_field / 2) * 1000 / self.sample_rate


def _integer(value, name: str) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, found {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, found {value!r} of type {type(value).__name__}") from None


def _length(value, name: str = "a clip's length in samples") -> int:
    value = _integer(value, name)
    if value < 0:
        raise ValueError(f"{name} must be 0 or more, found {value}")
    return value


def _frame(t) -> int:
    t = _integer(t, "a frame index")
    if t < 0:
        raise IndexError(f"frame {t} does not exist: frames start at 0")
    return t
