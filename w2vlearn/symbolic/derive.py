"""`symbolic_trace`: every layer's shape and mask as a function of B and L, proved by `torch.export`.

What is added to the export run is names and arithmetic: letters for torch's symbols, the range for which the proof
holds, and runs at the edges that export cannot cover. The lengths themselves come from the model's own operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.symbolic.evaluation import AGREES, Range
from w2vlearn.symbolic.export import Exported, FakeRuns, bind, export_calls
from w2vlearn.symbolic.expressions import compiled, text
from w2vlearn.symbolic.formulas import SymbolicTrace
from w2vlearn.symbolic.size_labels import SizeLabels
from w2vlearn.tracing.assemble import build_records
from w2vlearn.tracing.hooks import RawCall, RawTensor
from w2vlearn.tracing.inputs import from_batch, is_batch, parameters_of
from w2vlearn.tracing.operations import class_name

_CLIPS, _SAMPLES = 3, 40_000  # example sizes for export; any would do, the proof does not depend on them


def derive(model: nn.Module, args: tuple, kwargs: Mapping[str, Any], mask: bool, edges: bool) -> SymbolicTrace:
    """Export the model and state every layer in letters. Parameters as in `w2vlearn.symbolic.symbolic_trace`."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"symbolic_trace takes a torch.nn.Module or the name of a preset, found a {type(model).__name__}"
        )
    model = getattr(model, "_orig_mod", model)
    arguments, masked, notes = _example_arguments(model, args, kwargs, mask)
    clips, samples = _sizes(arguments)
    exported = export_calls(model, arguments, clips, samples)
    runs = _Runs(model, arguments, exported)
    notes += runs.leave_out_masks_made_by_export()
    sizes = SizeLabels(exported.calls)

    def label(call: RawCall, side: str, tensor: RawTensor) -> tuple[tuple, tuple[str, ...]]:
        shape = tuple(map(sizes.label, tensor.shape))
        return shape, tuple(map(str, shape))

    for call in exported.calls:  # a formula holds on every device
        for tensors in (call.inputs, call.outputs):
            tensors[:] = [tensor._replace(device="any") for tensor in tensors]
    records, constants = build_records(exported.calls, label)
    proved = _range(exported, sizes)
    if edges:
        proved = runs.edges(proved)
    unknown = {s.name for expr in sizes.labels.values() for s in expr.free_symbols} - set(sizes.letters)
    notes += [f"the size {name} depends on values, not on B and L alone: no formula" for name in sorted(unknown)]
    return SymbolicTrace(
        model_name=class_name(model),
        records=records,
        letters={name: text(expr) for name, expr in sizes.letters.items()},
        labels={name: text(expr) for name, expr in sizes.labels.items()},
        range=proved,
        masked=masked,
        guards=tuple(map(text, exported.guards)),
        constants=constants,
        notes=(*notes, *exported.notes),
    )


def _example_arguments(
    model: nn.Module, args: tuple, kwargs: Mapping[str, Any], mask: bool
) -> tuple[dict[str, Any], bool, list[str]]:
    """Arguments by name, whether there is a mask, and what was decided. Their values play no part."""
    if any(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
        named, notes = bind(model, args, kwargs), []
    else:
        weight = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
        batch = SimpleNamespace(
            waveforms=torch.zeros(_CLIPS, _SAMPLES, device=weight.device, dtype=weight.dtype),
            lengths=torch.full((_CLIPS,), _SAMPLES, device=weight.device),
            mask=torch.ones(_CLIPS, _SAMPLES, dtype=torch.bool, device=weight.device),
        )
        others = args[1:] if args and is_batch(args[0]) else args
        positional, keywords, notes = from_batch(model, batch, dict(kwargs))
        named = bind(model, (*positional, *others), keywords)
        if not mask:
            required = {p.name for p in (parameters_of(model) or ([],))[0] if p.required}
            masks = [k for k, v in named.items() if isinstance(v, Tensor) and v is not batch.waveforms]
            named = {k: v for k, v in named.items() if k not in masks or k in required}
            notes = [note for note in notes if not any(repr(k) in note for k in masks if k not in named)]
            notes += [f"{k!r} cannot be left out" for k in masks if k in named]
    return named, sum(isinstance(value, Tensor) for value in named.values()) > 1, notes


def _sizes(arguments: Mapping[str, Any]) -> tuple[int, int]:
    main = next(value for value in arguments.values() if isinstance(value, Tensor))
    return main.shape[0], main.shape[-1]


def _range(exported: Exported, sizes: SizeLabels) -> Range:
    """What the proof covers: torch's own bounds on its symbols, narrowed and conditioned by the guards beyond them."""
    (b_low, b_high), (l_low, l_high) = exported.ranges["B"], exported.ranges["L"]
    window = range(l_low, min(l_low + 4_000, l_high or l_low + 4_000) + 1)
    far = [l_high or n for n in (57_600_000, 57_600_001, 57_600_323)]
    clips = sorted({b_low, b_high or b_low + 1})
    every = compiled(tuple(map(text, exported.guards)), ("B", "L"))
    failing: dict[int, list[int]] = {}
    for n in [*window, *far]:
        for outcome in (every(b, n) for b in clips):
            if not all(outcome):
                for i, holds in enumerate(outcome):
                    if not holds:
                        failing.setdefault(i, []).append(n)
    conditions, bound = [], l_low
    for i, fails in failing.items():
        if fails[-1] < l_low + len(window) // 2:
            bound = max(bound, fails[-1] + 1)  # a bound that torch did not fold into its range
        else:
            conditions.append(text(sizes.in_letters(exported.guards[i])))
    dims = {d for c in exported.calls for t in (*c.inputs, *c.outputs) for d in t.shape if not isinstance(d, int)}
    lengths = compiled(tuple(sorted(text(d) for d in dims if {s.name for s in d.free_symbols} == {"L"})), ("L",))
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
        self.fake = FakeRuns(model)
        dims = {d for c in exported.calls for t in (*c.inputs, *c.outputs) for d in t.shape if not isinstance(d, int)}
        self.known = [d for d in dims if {s.name for s in d.free_symbols} <= {"B", "L"}]
        self.formulas = compiled(tuple(map(text, self.known)), ("B", "L"))

    def calls(self, clips: int, samples: int) -> list[RawCall]:
        b, n = _sizes(self.arguments)
        new = {b: clips, n: samples}
        given = {
            name: torch.empty([new.get(d, d) for d in value.shape], dtype=value.dtype, device="meta")
            if isinstance(value, Tensor)
            else value
            for name, value in self.arguments.items()
        }
        return self.fake.run(given)

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

    def edges(self, proved: Range) -> Range:
        """Run the model where export had to look away: B = 1, and lengths with a single position."""
        exported, b_low, l_low = self.exported, proved.clips[0], proved.samples[0]
        short = one_clip = both = ""
        is_short, is_one = proved.minimum < l_low and "L" not in exported.fixed, b_low > 1 and "B" not in exported.fixed
        if is_short:
            middle = (proved.minimum + l_low) // 2
            short = self.agrees([(b_low, proved.minimum), (b_low, middle), (b_low, l_low - 1)])
            if short == AGREES and proved.minimum > 1 and not self.differs(b_low, proved.minimum - 1):
                short = f"the model also runs at L = {proved.minimum - 1}, where the formulas leave no position"
        if is_one:
            one_clip = self.agrees([(1, l_low), (1, max(l_low, _sizes(self.arguments)[1]))])
        if is_short and is_one:
            both = self.agrees([(1, proved.minimum), (1, l_low - 1)])
        return replace(proved, short=short, one_clip=one_clip, short_one_clip=both, runs=tuple(self.done))

    def agrees(self, points: Sequence[tuple[int, int]]) -> str:
        for clips, samples in points:
            if difference := self.differs(clips, samples):
                return f"differs when run at B = {clips}, L = {samples}: {difference}"
        return AGREES

    def differs(self, clips: int, samples: int) -> str:
        """Empty if every tensor of every call has the size that the formulas say, else the first that has not."""
        self.done.append((clips, samples))
        try:
            calls = self.calls(clips, samples)
        except Exception as error:
            return _brief(error)
        if [(c.name, c.call) for c in calls] != [(c.name, c.call) for c in self.exported.calls]:
            return "other layers are called"
        values = dict(zip(self.known, self.formulas(clips, samples), strict=True))
        for run, proof in zip(calls, self.exported.calls, strict=True):
            for tensors, stated in ((run.inputs, proof.inputs), (run.outputs, proof.outputs)):
                shapes = {t.path: tuple(d if isinstance(d, int) else values.get(d) for d in t.shape) for t in stated}
                for tensor in tensors:
                    where, expected = f"{run.name or 'the model'}, {tensor.path}", shapes.get(tensor.path)
                    if expected is None or len(expected) != len(tensor.shape):
                        return f"{where}: no such tensor in the formulas"
                    if any(e not in (None, n) for e, n in zip(expected, tensor.shape, strict=True)):
                        return f"{where}: {tuple(tensor.shape)}, the formula says {expected}"
        return ""


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"
