"""Derive every layer's shape and mask as a function of B and L by `torch.export`; `symbolic_trace` calls `derive`.

Export runs the model's own Python code with tensors that have sizes but no values; sizes that come from the batch or
from the clip length are symbols there. The observer's hooks fire during that run and see what each layer was handed,
with symbolic sizes. What is added here is names and arithmetic: letters for torch's symbols, the range for which the
proof holds, and runs at the edges that export cannot cover. Nothing in here knows how a length becomes a number of
frames.
"""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import sympy
import torch
from torch import Tensor, nn

from w2vlearn.symbolic.closed_form import SizeLabels, letters_in
from w2vlearn.symbolic.evaluation import AGREES, Range
from w2vlearn.symbolic.expressions import compiled, from_torch, parse, symbol, text
from w2vlearn.symbolic.formulas import SymbolicTrace
from w2vlearn.symbolic.isolation import ExportError, FakeRuns, is_users, isolated_copy, isolated_run, quiet
from w2vlearn.tracing.assemble import build_records
from w2vlearn.tracing.hooks import RawCall, RawTensor, observing
from w2vlearn.tracing.inputs import from_batch, is_batch, signature_of
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
    exported = _export(model, arguments)
    runs = _Runs(model, arguments, exported)
    notes += runs.leave_out_masks_made_by_export()
    sizes = SizeLabels(exported.calls)

    def label(tensor: RawTensor) -> tuple[tuple, tuple[str, ...]]:
        shape = tuple(map(sizes.label, tensor.shape))
        return shape, tuple(map(str, shape))

    records, constants, _ = build_records(exported.calls, label)
    proved = _range(exported, sizes)
    if edges:
        proved = runs.edges(proved)
    unknown = set().union(*map(letters_in, sizes.labels.values())) - set(sizes.letters)
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


def _sizes(arguments: Mapping[str, Any]) -> tuple[int, int]:
    """The example's B and L: different from each other and from every fixed size of the arguments."""
    main = next(value for value in arguments.values() if isinstance(value, Tensor))
    return main.shape[0], main.shape[-1]


class Exported(NamedTuple):
    """What one export run told."""

    calls: list[RawCall]  # in the shapes, an int or a sympy expression in B and L for each size
    ranges: dict[str, tuple[int, int | None]]  # smallest and largest B and L for which torch's derivation holds
    guards: list[sympy.Basic]  # every condition on B and L that the run relied on
    notes: list[str]  # what had to be decided or left out, in words

    def tensors(self) -> Iterator[tuple[list[RawTensor], int]]:
        """Every call's tensors, by place: ``tensors, i``."""
        for call in self.calls:
            for tensors in (call.inputs, call.outputs):
                yield from ((tensors, i) for i in range(len(tensors)))

    def sizes(self) -> list[sympy.Basic]:
        """Each derived size once."""
        every = dict.fromkeys(size for tensors, i in self.tensors() for size in tensors[i].shape)
        return [size for size in every if not isinstance(size, int)]


def _export(model: nn.Module, arguments: Mapping[str, Any]) -> Exported:
    """Export a copy of a model with B and L as symbols, and note every call of a module; see `ExportError`."""
    letter_of = dict(zip(_sizes(arguments), ("B", "L"), strict=True))
    axes: dict[tuple[str, int], str] = {}
    dynamic: dict[str, dict | None] = dict.fromkeys(arguments)
    for name, value in arguments.items():
        if isinstance(value, Tensor):
            axes |= {(name, axis): letter_of[n] for axis, n in enumerate(value.shape) if n in letter_of}
            dynamic[name] = {axis: torch.export.Dim.AUTO for other, axis in axes if other == name}
    handed: dict[str, tuple] = {}
    calls: list[RawCall] = []

    def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
        handed.update({name: tuple(value.shape) for name, value in kwargs.items() if isinstance(value, Tensor)})

    try:
        with torch.no_grad():
            body, notes = isolated_copy(model)
        body.register_forward_pre_hook(enter, with_kwargs=True)
        with quiet(), isolated_run(model), observing(body, keep_fast_path=False) as calls:
            program = torch.export.export(body, (), dict(arguments), dynamic_shapes=dynamic, strict=False)
    except Exception as error:
        entered = [call.name for call in calls if call.error is not None or call.ended is None]
        raise _explained(model, error, entered[-1] if entered else "") from error
    last = max(i for i, call in enumerate(calls) if call.name == "")  # torch may run the model more than once
    exported = Exported(calls[last:], {"B": (1, None), "L": (1, None)}, [], notes)
    _read(exported, {axis: (letter, handed[axis[0]][axis[1]]) for axis, letter in axes.items()}, program)
    return exported


def _read(exported: Exported, axes: Mapping[tuple[str, int], tuple[str, Any]], program: Any) -> None:
    """Turn torch's symbols into B and L, its ranges and guards into conditions; ``axes``: letter and size of each."""
    _, ranges, guards, notes = exported
    letters: dict[sympy.Symbol, sympy.Basic] = {}
    environment = None
    for (name, axis), (letter, size) in axes.items():
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
            raise ExportError(
                f"torch states the size of {name!r}, axis {axis}, as {size.node.expr}: not a multiple of one symbol"
            )
        letters.setdefault(unknown, parse(f"{letter} // {factor}"))
        if factor != 1:
            guards.append(parse(f"{letter} % {factor} == 0"))
        bounds = program.range_constraints.get(unknown)
        if bounds is not None:
            low, high = ranges[letter]
            highs = [int(bounds.upper * factor)] if bounds.upper.is_Integer else []
            highs += [] if high is None else [high]
            ranges[letter] = max(low, int(bounds.lower * factor)), min(highs, default=None)
    for guard in getattr(environment, "guards", ()):
        expr = guard.expr.xreplace(environment.replacements)
        try:
            guards.append(from_torch(expr, letters))
        except (KeyError, ValueError):
            notes.append(f"a condition that the proof relies on could not be stated in B and L: {expr}")
    guards[:] = [guard for guard in dict.fromkeys(guards) if guard is not sympy.true]
    notes[:] = dict.fromkeys(notes)
    known: dict[sympy.Basic, int | sympy.Basic] = {}
    for tensors, i in exported.tensors():
        shape = tuple(_stated(size, letters, known) for size in tensors[i].shape)
        tensors[i] = tensors[i]._replace(shape=shape, device="any")  # a formula holds on every device


def _stated(size: Any, letters: Mapping[sympy.Symbol, sympy.Basic], known: dict) -> int | sympy.Basic:
    """A size in B and L; one that depends on values keeps torch's name."""
    if not isinstance(size, torch.SymInt):
        return int(size)
    expr = size.node.expr
    if expr not in known:
        stated = from_torch(expr, {s: symbol(s.name) for s in expr.free_symbols} | dict(letters))
        known[expr] = int(stated) if stated.is_Integer else stated
    return known[expr]


def _explained(model: nn.Module, error: Exception, layer: str) -> ExportError:
    """Name the layer and the line of the model's code at which torch gave up."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    frames = [frame for e in (error, root) for frame in traceback.extract_tb(e.__traceback__)]
    own = next((frame for frame in reversed(frames) if is_users(frame.filename)), None)
    operation = f"{own.name}, line {own.lineno} of {Path(own.filename).name}: {own.line}" if own else "?"
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


def _range(exported: Exported, sizes: SizeLabels) -> Range:
    """What the proof covers: torch's own bounds on its symbols, narrowed and conditioned by the guards beyond them."""
    (b_low, b_high), (l_low, l_high) = exported.ranges["B"], exported.ranges["L"]
    window = range(l_low, min(l_low + 4_000, l_high or l_low + 4_000) + 1)
    far = [l_high or n for n in (57_600_000, 57_600_001, 57_600_323)]
    every = compiled(tuple(map(text, exported.guards)), ("B", "L"))
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
            conditions.append(text(sizes.in_letters(exported.guards[i])))
    minimum = bound
    lengths = compiled(tuple(text(size) for size in exported.sizes() if letters_in(size) == {"L"}), ("L",))
    with contextlib.suppress(ZeroDivisionError):  # a size that was divided by is 0
        while minimum > 1 and l_low != l_high and min(lengths(minimum - 1), default=1) >= 1:
            minimum -= 1
    return Range((b_low, b_high), (bound, l_high), tuple(dict.fromkeys(conditions)), minimum)


class _Runs:
    """Plain runs without values, beside the proof: where export had to look away, and where it looks different."""

    def __init__(self, model: nn.Module, arguments: Mapping[str, Any], exported: Exported) -> None:
        self.arguments, self.exported = arguments, exported
        self.done: list[tuple[int, int]] = []
        self.fake = FakeRuns(model)
        self.known = [size for size in exported.sizes() if letters_in(size) <= {"B", "L"}]
        self.formulas = compiled(tuple(map(text, self.known)), ("B", "L"))

    def calls(self, clips: int, samples: int) -> list[RawCall]:
        new = dict(zip(_sizes(self.arguments), (clips, samples), strict=True))
        given = dict(self.arguments)
        for name, value in given.items():
            if isinstance(value, Tensor):
                given[name] = torch.empty([new.get(d, d) for d in value.shape], dtype=value.dtype, device="meta")
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
        note = f"{left_out} layers are handed an all-true mask while exporting and None in a run: left out here"
        return [note] if left_out else []

    def edges(self, proved: Range) -> Range:
        """Run the model where export had to look away: B = 1, and lengths with a single position."""
        (b_low, b_high), (l_low, l_high), shortest = proved.clips, proved.samples, proved.minimum
        is_short, is_one = shortest < l_low != l_high, 1 < b_low != b_high
        short = one_clip = both = ""
        if is_short:
            short = self.agrees([(b_low, shortest), (b_low, (shortest + l_low) // 2), (b_low, l_low - 1)])
            if short == AGREES and shortest > 1 and not self.differs(b_low, shortest - 1):
                short = f"the model also runs at L = {shortest - 1}, where the formulas leave no position"
        if is_one:
            one_clip = self.agrees([(1, l_low), (1, max(l_low, _sizes(self.arguments)[1]))])
        if is_short and is_one:
            both = self.agrees([(1, shortest), (1, l_low - 1)])
        return replace(proved, short=short, one_clip=one_clip, short_one_clip=both, runs=tuple(self.done))

    def agrees(self, points: list[tuple[int, int]]) -> str:
        """What `Range` says of these (B, L)."""
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
