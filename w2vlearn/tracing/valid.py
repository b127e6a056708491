"""What would each clip have here if it were alone? Found by running the model's shapes, not by a formula.

The model runs on fake tensors (shapes without numbers, no memory), once per distinct clip length with that clip alone,
once with another length and once with another batch size. An axis is a time axis if it changed with the length, and no
axis is ever guessed from its size. Where fake tensors do not get through (code that looks at values), the clips run
alone on zeros if the model is small enough; else the answer stays unknown and a note says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.tracing.hooks import RawCall, RawTensor, observing
from w2vlearn.tracing.masks import TIME_MASK
from w2vlearn.tracing.twin import quietly, twin

CHEAP = 3e12  # parameters times samples of all real runs on zeros together: about a second on a CPU


@dataclass(frozen=True)
class Spec:
    """An input tensor as a recipe: how to make it for another number of clips and another length."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    batched: bool = False  # axis 0 counts clips
    time_axes: tuple[int, ...] = ()  # axes as long as the longest clip
    mask: Tensor | None = None  # masks and lengths keep their values, which real runs need
    is_lengths: bool = False

    def resized(self, clips: int, samples: int, row: int | None) -> tuple[int, ...]:
        """Its shape for so many clips of so many samples."""
        sizes = [samples if axis in self.time_axes else size for axis, size in enumerate(self.shape)]
        if self.batched:
            sizes[0] = clips
        return tuple(sizes)

    def make(self, clips: int, samples: int, row: int | None, real: bool) -> Tensor:
        """The tensor: zeros; of masks the row of the clip alone, drawn out to the new length."""
        shape = self.resized(clips, samples, row)
        if not real or self.mask is None:
            return torch.zeros(shape, dtype=self.dtype, device=self.device)
        value = self.mask
        if self.batched:
            rows = [row] if row is not None else [min(i, len(value) - 1) for i in range(clips)]
            value = value[rows]
        if self.is_lengths and row is None and value.numel():
            value = value.clone()
            value[value == value.max()] = value.max() * samples // max(int(self.mask.max()), 1)
        for axis in self.time_axes:
            length = value.shape[axis]
            index = torch.arange(samples, device=value.device).clamp(max=length - 1)
            value = value.index_select(axis, index)
        return value.clone()


@dataclass
class Inputs:
    """What the model was called with: the call, and the same call for other batches."""

    args: tuple
    kwargs: dict[str, Any]
    clips: int
    samples: int
    droppable: frozenset[str] = frozenset()  # mask-like keyword arguments that the forward can do without
    optional: frozenset[str] = frozenset()  # other tensors by keyword that it can do without

    def call(
        self, clips: int, samples: int, row: int | None, real: bool, without: frozenset[str]
    ) -> tuple[tuple, dict]:
        """Arguments for another batch."""

        def build(value: Any) -> Any:
            if isinstance(value, Spec):
                return value.make(clips, samples, row, real)
            if type(value) in (tuple, list):
                return type(value)(build(item) for item in value)
            if isinstance(value, dict):
                return {key: build(item) for key, item in value.items()}
            return value

        kwargs = {name: build(value) for name, value in self.kwargs.items() if name not in without}
        return tuple(build(value) for value in self.args), kwargs


Address = tuple[str, int, str, str]  # (module, call, "in" | "out", path)


@dataclass
class Run:
    """Shapes of one run: every tensor's, by address, and what broke it, if anything did."""

    clips: int
    samples: int
    shapes: dict[Address, tuple[int, ...]] = field(default_factory=dict)
    error: Exception | None = None


@dataclass
class Probes:
    """The runs that tell axes apart and say what is real."""

    longer: Run | None = None
    wider: Run | None = None
    alone: dict[int, Run] = field(default_factory=dict)  # by clip length
    notes: list[str] = field(default_factory=list)
    error: Exception | None = None  # why there are no runs

    @property
    def longer_shapes(self) -> dict[Address, tuple[int, ...]]:
        """Shapes of the run at another length; empty if there was none."""
        return self.longer.shapes if self.longer else {}

    def sizes(self, address: Address, axis: int, ndim: int) -> tuple[int | None, int | None]:
        """That axis with another length, and with another number of clips (None: not known)."""
        found = []
        for run in (self.longer, self.wider):
            shape = run.shapes.get(address) if run else None
            found.append(shape[axis] if shape is not None and len(shape) == ndim else None)
        return found[0], found[1]

    def time_axis(self, address: Address, shape: Sequence[int]) -> int | None:
        """The last axis that changes with the length, not with the number of clips (else with both)."""
        both = None
        for axis in reversed(range(len(shape))):
            longer, wider = self.sizes(address, axis, len(shape))
            if longer is not None and longer != shape[axis]:
                if wider is None or wider == shape[axis]:
                    return axis
                both = axis
        return both

    def real(self, address: Address, axis: int | None, lengths: Sequence[int]) -> tuple[int, ...] | None:
        """What each clip has on that axis when it is alone; 0 where it does not get that far."""
        if axis is None or not self.alone:
            return None
        sizes = []
        for length in lengths:
            run = self.alone.get(length)
            shape = run.shapes.get(address) if run else None
            if shape is not None and len(shape) > axis:
                sizes.append(shape[axis])
            elif run is not None and run.error is not None:
                sizes.append(0)
            else:
                return None
        return tuple(sizes)


def shapes_of(calls: Sequence[RawCall]) -> dict[Address, tuple[int, ...]]:
    """Shapes of every tensor by address."""
    found: dict[Address, tuple[int, ...]] = {}
    for call in calls:
        for side, tensors in (("in", call.inputs), ("out", call.outputs)):
            for tensor in tensors:
                found[call.name, call.call, side, tensor.path] = tuple(tensor.shape)
    return found


def address(call: RawCall, side: str, tensor: RawTensor) -> Address:
    """Where a tensor is found again in another run."""
    return call.name, call.call, side, tensor.path


def probe(model: nn.Module, inputs: Inputs, lengths: Sequence[int], broke: bool = False) -> Probes:
    """Run the model's shapes as often as needed; the model itself is not touched.

    Parameters
    ----------
    model : nn.Module
        The traced model.
    inputs : Inputs
        What it was called with.
    lengths : sequence of int
        Real samples per clip.
    broke : bool
        The traced run raised: then runs that raise too are used as far as they get.
    """
    distinct = sorted(set(lengths))
    ways: list[tuple[bool, frozenset[str], str]] = [(False, frozenset(), "")]
    timed = frozenset(name for name in inputs.droppable if TIME_MASK.search(name))
    if timed:  # a time mask, and what goes with it, fits one length only, and shapes do not depend on it
        ways.insert(0, (False, timed | inputs.optional, ""))
    leaner = [w for w in (inputs.droppable, inputs.optional, inputs.droppable | inputs.optional) if w]
    if inputs.optional:
        ways.append((False, inputs.optional, f"without {_names(inputs.optional)}"))
    samples = sum(distinct) + inputs.samples * (3 * inputs.clips + 1)
    if sum(p.numel() for p in model.parameters()) * samples <= CHEAP:
        ways.append((True, frozenset(), "on zeros instead of fake tensors"))
        if inputs.optional:
            ways.append((True, inputs.optional, f"on zeros, without {_names(inputs.optional)}"))
    ways += [(False, without, f"without {_names(without)}") for without in dict.fromkeys(leaner)]
    first_error: Exception | None = None
    for real, without, words in ways:
        try:
            runner = _Runner(model, inputs, real, without)
        except Exception as error:  # a model whose modules cannot be copied, e.g. TorchScript
            first_error = first_error or error
            continue
        with quietly():
            longer = runner.longer(broke)
            if longer is None or (longer.error is not None and not broke):
                first_error = first_error or runner.error
                continue
            wider = runner.run(inputs.clips + 1, inputs.samples)
            probes = Probes(longer, wider if broke or wider.error is None else None)
            for length in distinct:
                probes.alone[length] = runner.run(1, length, row=list(lengths).index(length))
        if words:
            probes.notes.append(
                f"real positions were found by runs {words}, as fake tensors fail ({brief(first_error)})"
            )
        for length, run in probes.alone.items():
            if run.error is not None and not broke:
                probes.notes.append(
                    f"a clip of {length} samples does not get through the model alone ({brief(run.error)})"
                )
        return probes
    return Probes(error=first_error)


class _Runner:
    """Runs a twin of the model on fake tensors, or on zeros."""

    def __init__(self, model: nn.Module, inputs: Inputs, real: bool, without: frozenset[str]) -> None:
        self.inputs, self.is_real, self.without = inputs, real, without
        self.error: Exception | None = None
        if real:
            self.mode = None
            parameters = {id(p) for p in model.parameters()}

            def convert(tensor: Tensor) -> Tensor:
                return tensor if id(tensor) in parameters else tensor.detach().clone()  # buffers may be written to
        else:
            from torch._subclasses.fake_tensor import FakeTensorMode

            self.mode = FakeTensorMode(allow_non_fake_inputs=True)

            def convert(tensor: Tensor) -> Tensor:
                return self.mode.from_tensor(tensor, static_shapes=True)

        with torch.no_grad():
            self.model = twin(model, convert, scripts=real)

    def run(self, clips: int, samples: int, row: int | None = None) -> Run:
        """One run; an exception ends it and is kept."""
        run = Run(clips, samples)
        calls: list[RawCall] = []
        try:
            with observing(self.model, keep_fast_path=False) as calls:
                if self.mode is None:
                    args, kwargs = self.inputs.call(clips, samples, row, True, self.without)
                    self.model(*args, **kwargs)
                else:
                    with self.mode:
                        args, kwargs = self.inputs.call(clips, samples, row, False, self.without)
                        self.model(*args, **kwargs)
        except Exception as error:
            run.error = self.error = error
        run.shapes = shapes_of(calls)
        return run

    def longer(self, broke: bool) -> Run | None:
        """A run at another length, the first of several that gets through (a model may have a longest length)."""
        samples = self.inputs.samples
        best = None
        for other in (2 * samples + 1601, samples + samples // 2 + 161, samples + 1, 2 * samples // 3, samples // 2):
            if other in (0, samples):
                continue
            run = self.run(self.inputs.clips, other)
            if run.error is None:
                return run
            if broke and (best is None or len(run.shapes) > len(best.shapes)):
                best = run
        return best


def _names(arguments: frozenset[str]) -> str:
    return ", ".join(sorted(arguments))


def brief(error: BaseException | None) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:120]}{'…' if len(text) > 120 else ''}"


def recipes(
    args: tuple, kwargs: dict[str, Any], is_mask: Callable[[str, Tensor], bool]
) -> tuple[tuple, dict[str, Any]]:
    """The arguments with every tensor replaced by a `Spec`; only masks and lengths keep their tensor."""

    def spec(name: str, value: Any) -> Any:
        if isinstance(value, Tensor):
            mask = is_mask(name, value)
            shape = tuple(value.shape)
            return Spec(
                shape,
                value.dtype,
                value.device,
                mask=value.detach() if mask else None,
                is_lengths=mask and len(shape) == 1,
            )
        if type(value) in (tuple, list):
            return type(value)(spec(name, item) for item in value)
        if type(value) is dict:
            return {key: spec(f"{name}.{key}", item) for key, item in value.items()}
        return value

    positional = tuple(spec(f"args[{i}]", value) for i, value in enumerate(args))
    return positional, {name: spec(name, value) for name, value in kwargs.items()}


def specs_in(value: Any) -> list[Spec]:
    """Every recipe in nested arguments, in order."""
    if isinstance(value, Spec):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [spec for part in parts for spec in specs_in(part)]


def inputs_along(args: tuple, kwargs: dict[str, Any], main: Spec, axis: int, defaults: dict[str, bool]) -> Inputs:
    """The call as a function of clips and length, if ``axis`` of ``main`` is the time axis.

    ``defaults`` names the keyword arguments that the forward can do without, and says of each whether it is a mask.
    """
    batched = len(main.shape) > 1
    clips, samples = (main.shape[0] if batched else 1), main.shape[axis]

    def place(value: Any) -> Any:
        if isinstance(value, Spec):
            shape = value.shape
            start = 1 if batched else 0
            axes = (axis,) if value is main else tuple(a for a in range(start, len(shape)) if shape[a] == samples)
            return replace(value, batched=batched and bool(shape) and shape[0] == clips, time_axes=axes)
        if type(value) in (tuple, list):
            return type(value)(place(item) for item in value)
        if type(value) is dict:
            return {key: place(item) for key, item in value.items()}
        return value

    given = {name for name, value in kwargs.items() if specs_in(value) and value is not main}
    return Inputs(
        tuple(place(value) for value in args),
        {name: place(value) for name, value in kwargs.items()},
        clips,
        samples,
        droppable=frozenset(name for name in given if defaults.get(name) is True),
        optional=frozenset(name for name in given if defaults.get(name) is False),
    )
