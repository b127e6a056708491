"""From one export run to a `SymbolicTrace`: arguments, letters, records, and the edges that export cannot cover."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.tracing.adapters import from_batch, is_batch, parameters_of
from w2vlearn.tracing.assemble import build_records
from w2vlearn.tracing.axes import Axes
from w2vlearn.tracing.export import Exported, HollowRuns, bare_twin, bind, export_calls
from w2vlearn.tracing.expression import Expression, compile_expressions
from w2vlearn.tracing.hooks import RawCall, RawTensor
from w2vlearn.tracing.shapes import Range
from w2vlearn.tracing.symbolic import SymbolicTrace

__all__ = ["derive"]

_CLIPS, _SAMPLES = 3, 40_000  # example sizes for export; any would do, the proof does not depend on them


def derive(model: nn.Module, args: tuple, kwargs: Mapping[str, Any], mask: bool, edges: bool) -> SymbolicTrace:
    """Export the model and state every layer in letters. Parameters as in `symbolic_trace`."""
    arguments, masked, notes = example_arguments(model, args, kwargs, mask)
    clips, samples = _sizes(arguments)
    exported = export_calls(bare_twin(model), arguments, clips, samples)
    runs = _Runs(model, arguments, exported)
    notes += runs.leave_out_masks_made_by_export()
    axes = Axes(exported.calls)

    def label(call: RawCall, side: str, tensor: RawTensor) -> tuple[tuple, tuple[str, ...]]:
        shape = tuple(map(axes.label, tensor.shape))
        return shape, tuple(map(str, shape))

    for call in exported.calls:  # a formula holds on every device
        for tensors in (call.inputs, call.outputs):
            tensors[:] = [t._replace(device="any") for t in tensors]
    records, constants = build_records(exported.calls, label)
    held = _range(exported, axes)
    if edges:
        held = runs.edges(held)
    for name in sorted({n for e in axes.labels.values() for n in e.letters} - set(axes.letters)):
        notes.append(f"the size {name} depends on values, not on B and L alone: no formula")
    notes += exported.notes
    return SymbolicTrace(
        type(model).__name__, records, axes.letters, axes.labels, held, masked, exported.guards, constants, tuple(notes)
    )


def example_arguments(model: nn.Module, args, kwargs, mask: bool) -> tuple[dict[str, Any], bool, list[str]]:
    """Arguments by name, whether there is a mask, and what was decided. Their values play no part."""
    tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
    if tensors:
        named, notes = bind(model, args, kwargs), []
    else:
        weight = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
        batch = SimpleNamespace(
            waveforms=torch.zeros(_CLIPS, _SAMPLES, device=weight.device, dtype=weight.dtype),
            lengths=torch.full((_CLIPS,), _SAMPLES, device=weight.device),
            mask=torch.ones(_CLIPS, _SAMPLES, dtype=torch.bool, device=weight.device),
        )
        rest = args[1:] if args and is_batch(args[0]) else args
        positional, keywords, notes = from_batch(model, batch, dict(kwargs))
        named = bind(model, (*positional, *rest), keywords)
        if not mask:
            required = {p.name for p in (parameters_of(model) or ([],))[0] if p.required}
            masks = [k for k, v in named.items() if isinstance(v, Tensor) and v is not batch.waveforms]
            named = {k: v for k, v in named.items() if k not in masks or k in required}
            notes = [n for n in notes if not any(repr(k) in n for k in masks if k not in named)]
            notes += [f"{k!r} cannot be left out" for k in masks if k in named]
    return named, sum(isinstance(v, Tensor) for v in named.values()) > 1, notes


def _sizes(arguments: Mapping[str, Any]) -> tuple[int, int]:
    main = next(v for v in arguments.values() if isinstance(v, Tensor))
    return main.shape[0], main.shape[-1]


def _range(exported: Exported, axes: Axes) -> Range:
    """What the proof covers: torch's own bounds on its symbols, narrowed and conditioned by the guards beyond them."""
    (b_low, b_high), (l_low, l_high) = exported.ranges["B"], exported.ranges["L"]
    window = range(l_low, min(l_low + 4_000, l_high or l_low + 4_000) + 1)
    far = [l_high or n for n in (57_600_000, 57_600_001, 57_600_323)]
    clips = sorted({b_low, b_high or b_low + 1})
    tried = [*window, *far]
    every = compile_expressions(exported.guards, ("B", "L"))
    failing: dict[int, list[int]] = {}
    for n in tried:
        for held in (every(b, n) for b in clips):
            if not all(held):
                for i, holds in enumerate(held):
                    if not holds:
                        failing.setdefault(i, []).append(n)
    conditions, bound = [], l_low
    for i, fails in failing.items():
        if fails[-1] < l_low + len(window) // 2:
            bound = max(bound, fails[-1] + 1)  # a bound that torch did not fold into its range
        else:
            conditions.append(axes.in_letters(exported.guards[i]))
    sizes = {d for c in exported.calls for t in (*c.inputs, *c.outputs) for d in t.shape if isinstance(d, Expression)}
    lengths = compile_expressions([d for d in sizes if d.letters == {"L"}], ("L",))
    minimum = bound
    while minimum > 1 and "L" not in exported.fixed and _all_positive(lengths, minimum - 1):
        minimum -= 1
    return Range((b_low, b_high), (bound, l_high), tuple(dict.fromkeys(conditions)), minimum)


def _all_positive(sizes: Callable[..., tuple[int, ...]], length: int) -> bool:
    try:
        return all(n >= 1 for n in sizes(length))
    except ZeroDivisionError:  # a size that was divided by is 0
        return False


class _Runs:
    """Plain runs without values, beside the proof: where export had to look away, and where it looks different."""

    def __init__(self, model: nn.Module, arguments: Mapping[str, Any], exported: Exported) -> None:
        self.arguments, self.exported = arguments, exported
        self.done: list[tuple[int, int]] = []
        self.hollow = HollowRuns(model)

    def calls(self, clips: int, samples: int) -> list[RawCall]:
        b, n = _sizes(self.arguments)
        new = {b: clips, n: samples}
        given = {
            k: torch.empty([new.get(d, d) for d in v.shape], dtype=v.dtype, device="meta")
            if isinstance(v, Tensor)
            else v
            for k, v in self.arguments.items()
        }
        return self.hollow.run(given)

    def leave_out_masks_made_by_export(self) -> list[str]:
        """Some libraries make an all-true mask while exporting that a run without a mask has not: take it out again."""
        try:
            seen = {(c.name, c.call): {t.path for t in c.inputs} for c in self.calls(*_sizes(self.arguments))}
        except Exception as error:
            return [f"a plain run without values failed, so what export adds could not be told apart: {_brief(error)}"]
        left_out = 0
        for call in self.exported.calls:
            paths = seen.get((call.name, call.call))
            extra = [t for t in call.inputs if paths is not None and t.path not in paths]
            call.inputs[:] = [t for t in call.inputs if t not in extra]
            call.nones += [t.path for t in extra]
            left_out += bool(extra)
        if not left_out:
            return []
        return [f"{left_out} layers are handed an all-true mask while exporting and None in a run: left out here"]

    def edges(self, held: Range) -> Range:
        """Run the model where export had to look away: B = 1, and lengths with a single position."""
        exported, b_low, l_low = self.exported, held.clips[0], held.samples[0]
        short = one_clip = both = ""
        is_short, is_one = held.minimum < l_low and "L" not in exported.fixed, b_low > 1 and "B" not in exported.fixed
        if is_short:
            middle = (held.minimum + l_low) // 2
            short = self.agrees([(b_low, held.minimum), (b_low, middle), (b_low, l_low - 1)])
            if short == "agrees" and held.minimum > 1 and not self.differs(b_low, held.minimum - 1):
                short = f"the model also runs at L = {held.minimum - 1}, where the formulas leave no position"
        if is_one:
            one_clip = self.agrees([(1, l_low), (1, max(l_low, _sizes(self.arguments)[1]))])
        if is_short and is_one:
            both = self.agrees([(1, held.minimum), (1, l_low - 1)])
        return replace(held, short=short, one_clip=one_clip, short_one_clip=both, runs=tuple(self.done))

    def agrees(self, points: Sequence[tuple[int, int]]) -> str:
        for clips, samples in points:
            if found := self.differs(clips, samples):
                return f"differs when run at B = {clips}, L = {samples}: {found}"
        return "agrees"

    def differs(self, clips: int, samples: int) -> str:
        """Empty if every tensor of every call has the size that the formulas say, else the first that has not."""
        self.done.append((clips, samples))
        try:
            calls = self.calls(clips, samples)
        except Exception as error:
            return _brief(error)
        if [(c.name, c.call) for c in calls] != [(c.name, c.call) for c in self.exported.calls]:
            return "other layers are called"

        @cache
        def value(size: int | Expression) -> int | None:
            if isinstance(size, int):
                return size
            return size(B=clips, L=samples) if size.letters <= {"B", "L"} else None

        for run, proof in zip(calls, self.exported.calls, strict=True):
            for found, stated in ((run.inputs, proof.inputs), (run.outputs, proof.outputs)):
                said = {t.path: tuple(map(value, t.shape)) for t in stated}
                for tensor in found:
                    expected = said.get(tensor.path)
                    if expected is None or len(expected) != len(tensor.shape):
                        return f"{run.name or 'the model'} has another {tensor.path}"
                    if any(e not in (None, n) for e, n in zip(expected, tensor.shape, strict=True)):
                        where = f"{run.name or 'the model'}, {tensor.path}"
                        return f"{where}: {tuple(tensor.shape)}, the formula says {expected}"
        return ""


def _brief(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:200] if text else ''}"
