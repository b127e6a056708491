"""Derive every layer's shape and mask as a function of B and L by `torch.export`; `symbolic_trace` calls `derive`.

Export runs the model's own Python code with tensors that have sizes but no values; sizes that come from the batch or
from the clip length are symbols there. The observer's hooks fire during that run and see what each layer was handed,
with symbolic sizes. What is added here is names and arithmetic: letters for torch's symbols, the range for which the
proof holds, and runs at the edges that export cannot cover. Nothing in here knows how a length becomes a number of
frames.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import sympy
import torch
from torch import Tensor, nn
from torch.utils._sympy.functions import FloorDiv

from w2vlearn.symbolic.agreement import by_place, same_sizes
from w2vlearn.symbolic.evaluation import AGREES, Range, Shapes
from w2vlearn.symbolic.expressions import compiled, letters_of, tidy
from w2vlearn.symbolic.formulas import SymbolicTrace
from w2vlearn.symbolic.isolation import ExportError, FakeRuns, example_sizes, is_users, isolated_copy, isolated_run
from w2vlearn.symbolic.sizes import from_torch, in_letters, name_sizes
from w2vlearn.tracing.assemble import build_records
from w2vlearn.tracing.hooks import RawCall, RawTensor, observing
from w2vlearn.tracing.inputs import from_batch, is_batch, signature_of
from w2vlearn.tracing.operations import class_name
from w2vlearn.tracing.records import BatchInfo

_CLIPS, _SAMPLES = 3, 40_000  # example sizes for export; any would do, the proof does not depend on them


def derive(model: nn.Module, args: tuple, kwargs: Mapping[str, Any], mask: bool, edges: bool) -> SymbolicTrace:
    """Export the model and state every layer in letters. Parameters as in `w2vlearn.symbolic.symbolic_trace`."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"symbolic_trace takes a torch.nn.Module or the name of a preset, found a {type(model).__name__}"
        )
    model = getattr(model, "_orig_mod", model)
    arguments, masked, notes = _example_arguments(model, args, kwargs, mask)
    exported = _export(model, arguments)
    runs = FakeRuns(model, arguments)
    notes += _leave_out_masks_made_by_export(exported.calls, runs)
    letters, labels = name_sizes(exported.calls)

    def label(tensor: RawTensor) -> tuple[tuple, tuple[str, ...]]:
        shape = tuple(labels.get(size, size) for size in tensor.shape)
        return shape, tuple(map(str, shape))

    records, constants, _ = build_records(exported.calls, label)
    formulas = {name: tidy(name) for name in labels.values()}
    unknown = set().union(*map(letters_of, formulas.values())) - set(letters)
    notes += [f"the size {name} depends on values, not on B and L alone: no formula" for name in sorted(unknown)]
    s = SymbolicTrace(
        model_name=class_name(model),
        records=records,
        letters=letters,
        labels=formulas,
        range=_range(exported, letters),
        masked=masked,
        guards=exported.guards,
        constants=constants,
        notes=(*notes, *exported.notes),
    )
    return replace(s, range=_with_edges(s, runs)) if edges else s


def _example_arguments(
    model: nn.Module, args: tuple, kwargs: Mapping[str, Any], mask: bool
) -> tuple[dict[str, Any], bool, list[str]]:
    """Arguments by name, whether there is a mask, and what was decided. Their values play no part."""
    if any(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
        named, notes = _by_name(model, args, kwargs), []
    else:
        weight = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
        batch = SimpleNamespace(
            waveforms=torch.zeros(_CLIPS, _SAMPLES, device=weight.device, dtype=weight.dtype),
            lengths=torch.full((_CLIPS,), _SAMPLES, device=weight.device),
            mask=torch.ones(_CLIPS, _SAMPLES, dtype=torch.bool, device=weight.device),
        )
        others = args[1:] if args and is_batch(args[0]) else args
        positional, keywords, notes = from_batch(model, batch, dict(kwargs))
        named = _by_name(model, (*positional, *others), keywords)
        if not mask:
            required = {p.name for p in signature_of(model).parameters.values() if p.default is p.empty}
            masks = [k for k, v in named.items() if isinstance(v, Tensor) and v is not batch.waveforms]
            named = {k: v for k, v in named.items() if k not in masks or k in required}
            notes = [note for note in notes if not any(repr(k) in note for k in masks if k not in named)]
            notes += [f"{k!r} cannot be left out" for k in masks if k in named]
    return named, sum(isinstance(value, Tensor) for value in named.values()) > 1, notes


def _by_name(model: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments by name, as `torch.export` wants them for its table of dynamic sizes."""
    signature = inspect.signature(model.forward)
    named: dict[str, Any] = {}
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        kind = signature.parameters[name].kind
        if kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
            raise ValueError(
                f"{type(model).__name__}.forward takes {name!r} by position only; wrap the model in a module whose "
                "forward names its arguments"
            )
        named |= value if kind is inspect.Parameter.VAR_KEYWORD else {name: value}
    return {name: value for name, value in named.items() if value is not None}


class Exported(NamedTuple):
    """What one export run told."""

    calls: list[RawCall]  # in the shapes, an int or an expression in B and L for each size
    ranges: dict[str, tuple[int, int | None]]  # smallest and largest B and L for which torch's derivation holds
    guards: tuple[str, ...]  # every condition on B and L that the run relied on
    notes: tuple[str, ...]  # what had to be decided or left out, in words

    @property
    def sizes(self) -> list[str]:
        """Each derived size once."""
        tensors = (tensor for call in self.calls for side in (call.inputs, call.outputs) for tensor in side)
        return list(dict.fromkeys(size for tensor in tensors for size in tensor.shape if isinstance(size, str)))


def _export(model: nn.Module, arguments: Mapping[str, Any]) -> Exported:
    """Export a copy of a model with B and L as symbols, and note every call of a module; see `ExportError`."""
    letter_of = dict(zip(example_sizes(arguments), ("B", "L"), strict=True))
    axes = {
        name: {axis: letter_of[n] for axis, n in enumerate(value.shape) if n in letter_of}
        for name, value in arguments.items()
        if isinstance(value, Tensor)
    }
    dynamic = {name: dict.fromkeys(axes[name], torch.export.Dim.AUTO) if name in axes else None for name in arguments}
    calls: list[RawCall] = []
    try:
        with torch.no_grad():
            body, notes = isolated_copy(model)
        with isolated_run(model, warn=True), observing(body, keep_fast_path=False) as calls:
            program = torch.export.export(body, (), dict(arguments), dynamic_shapes=dynamic, strict=False)
    except Exception as error:
        entered = [call.name for call in calls if call.error is not None or call.ended is None]
        raise _explained(model, error, entered[-1] if entered else "") from error
    last = max(i for i, call in enumerate(calls) if call.name == "")  # torch may run the model more than once
    handed = {tensor.path: tensor.shape for tensor in calls[last].inputs}
    sizes = [(letter, handed[name][axis]) for name, letters in axes.items() for axis, letter in letters.items()]
    return _in_letters(calls[last:], sizes, program.range_constraints, notes)


def _in_letters(
    calls: list[RawCall], sizes: Sequence[tuple[str, Any]], constraints: Mapping[sympy.Symbol, Any], notes: list[str]
) -> Exported:
    """Turn torch's symbols into B and L, its ranges and guards into conditions; ``sizes``: letter and size of each."""
    ranges: dict[str, tuple[int, int | None]] = {"B": (1, None), "L": (1, None)}
    guards: list[str] = []
    letters: dict[sympy.Symbol, sympy.Basic] = {}
    environment = None
    for letter, size in sizes:
        if not isinstance(size, torch.SymInt) or size.node.expr.is_Integer:
            ranges[letter] = (int(size), int(size))
            what = {"B": "batch size", "L": "length"}[letter]
            notes.append(
                f"the model's code turned the {what} into a constant: everything below holds for {letter} = {size} only"
            )
            continue
        environment = size.node.shape_env
        factor, unknown = size.node.expr.as_coeff_Mul()
        if not unknown.is_Symbol:
            raise ExportError(f"torch states {letter} as {size.node.expr}: not a multiple of one symbol")
        letters.setdefault(unknown, FloorDiv(sympy.Symbol(letter, integer=True, positive=True), factor))
        if factor != 1:
            guards.append(f"{letter} % {factor} == 0")
        if unknown in constraints:
            (low, high), bounds = ranges[letter], constraints[unknown]
            highs = [int(bounds.upper * factor)] if bounds.upper.is_Integer else []
            highs += [] if high is None else [high]
            ranges[letter] = max(low, int(bounds.lower * factor)), min(highs, default=None)
    for guard in getattr(environment, "guards", ()):
        expr = guard.expr.xreplace(environment.replacements)
        try:
            guards.append(from_torch(expr, letters))
        except (KeyError, ValueError):
            notes.append(f"a condition that the proof relies on could not be stated in B and L: {expr}")
    stated = functools.cache(lambda expr: from_torch(expr, {s: s for s in expr.free_symbols} | letters))
    for call in calls:
        for tensors in (call.inputs, call.outputs):  # a size that depends on values keeps torch's name
            for i, tensor in enumerate(tensors):
                shape = [stated(size.node.expr) if isinstance(size, torch.SymInt) else size for size in tensor.shape]
                shape = tuple(int(size) if str(size).isdigit() else size for size in shape)
                tensors[i] = tensor._replace(shape=shape, device="any")  # a formula holds on every device
    conditions = tuple(guard for guard in dict.fromkeys(guards) if guard != "True")
    return Exported(calls, ranges, conditions, tuple(dict.fromkeys(notes)))


def _explained(model: nn.Module, error: Exception, layer: str) -> ExportError:
    """Name the layer and the line of the model's code at which torch gave up."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    frames = [pair for e in (error, root) for pair in traceback.walk_tb(e.__traceback__)]
    users = [pair for pair in frames if is_users(pair[0].f_globals.get("__name__"))]
    operation = "?"
    for line in traceback.StackSummary.extract(iter(users[-1:])):
        operation = f"{line.name}, line {line.lineno} of {Path(line.filename).name}: {line.line}"
    module = dict(model.named_modules()).get(layer, model)
    where = f"{f'layer {layer!r}' if layer else 'the model itself'} ({type(module).__name__})"
    reason = (str(root).strip() or type(root).__name__).splitlines()[0][:300]
    return ExportError(
        f"torch.export cannot follow {type(model).__name__}: it stops in {where}, at {operation}\n"
        f"  torch says: {type(root).__name__}: {reason}\n"
        "  So no formula for every length can be proved for this model. What still works: w2vlearn.trace(model, batch) "
        "observes the same layers, shapes and masks on a real run.",
        layer,
        operation,
    )


def _range(exported: Exported, letters: Mapping[str, str]) -> Range:
    """What the proof covers: torch's own bounds on its symbols, narrowed and conditioned by the guards beyond them."""
    (b_low, b_high), (l_low, l_high) = exported.ranges["B"], exported.ranges["L"]
    window = range(l_low, min(l_low + 4_000, l_high or l_low + 4_000) + 1)
    far = [l_high or n for n in (57_600_000, 57_600_001, 57_600_323)]
    every = compiled(exported.guards, ("B", "L"))
    last_failing: dict[int, int] = {}  # guard -> the largest L tried for which it fails
    for n in [*window, *far]:
        for outcome in (every(b, n) for b in sorted({b_low, b_high or b_low + 1})):
            if not all(outcome):
                last_failing |= {i: n for i, holds in enumerate(outcome) if not holds}
    conditions, bound = [], l_low
    for i, n in last_failing.items():
        if n < l_low + len(window) // 2:
            bound = max(bound, n + 1)  # a bound that torch did not fold into its range
        else:
            conditions.append(in_letters(exported.guards[i], letters))
    minimum = bound
    lengths = compiled(tuple(size for size in exported.sizes if letters_of(size) == {"L"}), ("L",))
    with contextlib.suppress(ZeroDivisionError):  # a size that was divided by is 0
        while minimum > 1 and l_low != l_high and min(lengths(minimum - 1), default=1) >= 1:
            minimum -= 1
    return Range((b_low, b_high), (bound, l_high), tuple(dict.fromkeys(conditions)), minimum)


def _leave_out_masks_made_by_export(calls: list[RawCall], runs: FakeRuns) -> list[str]:
    """Some libraries make an all-true mask while exporting that a run without a mask has not: take it out again."""
    try:
        seen = {(call.name, call.call): {t.path for t in call.inputs} for call in runs.run(*runs.example)}
    except Exception as error:
        return [f"a plain run without values failed, so what export adds could not be told apart: {_brief(error)}"]
    left_out = 0
    for call in calls:
        paths = seen.get((call.name, call.call))
        extra = [t for t in call.inputs if paths is not None and t.path not in paths]
        call.inputs[:] = [t for t in call.inputs if t not in extra]
        call.nones += [t.path for t in extra]
        left_out += bool(extra)
    note = f"{left_out} layers are handed an all-true mask while exporting and None in a run: left out here"
    return [note] if left_out else []


def _with_edges(s: SymbolicTrace, runs: FakeRuns) -> Range:
    """Run the model where export had to look away: B = 1, and lengths with a single position."""
    (b_low, b_high), (l_low, l_high), shortest = s.range.clips, s.range.samples, s.range.minimum
    is_short, is_one = shortest < l_low != l_high, 1 < b_low != b_high
    short = one_clip = both = ""
    done: list[tuple[int, int]] = []

    def agrees(*points: tuple[int, int]) -> str:
        for clips, samples in points:
            done.append((clips, samples))
            if difference := _difference(s, runs, clips, samples):
                return f"differs when run at B = {clips}, L = {samples}: {difference}"
        return AGREES

    if is_short:
        short = agrees((b_low, shortest), (b_low, (shortest + l_low) // 2), (b_low, l_low - 1))
        if short == AGREES and shortest > 1 and agrees((b_low, shortest - 1)) == AGREES:
            short = f"the model also runs at L = {shortest - 1}, where the formulas leave no position"
    if is_one:
        one_clip = agrees((1, l_low), (1, max(l_low, runs.example[1])))
    if is_short and is_one:
        both = agrees((1, shortest), (1, l_low - 1))
    return replace(s.range, short=short, one_clip=one_clip, short_one_clip=both, runs=tuple(done))


def _difference(s: SymbolicTrace, runs: FakeRuns, clips: int, samples: int) -> str:
    """Empty if every tensor of every call has the size that the formulas say, else the first that has not."""
    try:
        calls = runs.run(clips, samples)
        records = [record for record in Shapes(s, BatchInfo(clips, samples), "run") if not record.is_mask_step]
    except Exception as error:
        return _brief(error)
    if [(call.name, call.call) for call in calls] != [(record.name, record.call) for record in records]:
        return "other layers are called"
    for call, record in zip(calls, records, strict=True):
        stated = by_place(record)
        for place, tensor in by_place(call).items():
            where = f"{call.name or 'the model'}, {tensor.path}"
            if place not in stated:
                return f"{where}: no such tensor in the formulas"
            if not same_sizes(stated[place].shape, tensor.shape):
                return f"{where}: {tuple(tensor.shape)}, the formula says {stated[place].shape}"
    return ""


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"
