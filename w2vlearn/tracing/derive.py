"""From one export run to a `SymbolicTrace`: arguments, letters, records, and the edges that export cannot cover."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.tracing.axes import Axes, shrinking_convolutions
from w2vlearn.tracing.export import Exported, bind, export_calls, hollow_copy, run_calls
from w2vlearn.tracing.expression import Expression, compile_expressions
from w2vlearn.tracing.observe import RawTensor
from w2vlearn.tracing.record import LayerRecord, TensorInfo
from w2vlearn.tracing.symbolic import Range, SymbolicTrace

__all__ = ["derive"]

_CLIPS, _SAMPLES = 3, 40_000  # example sizes for export; any would do, the proof does not depend on them


def derive(model: nn.Module, args: tuple, kwargs: Mapping[str, Any], mask: bool, edges: bool) -> SymbolicTrace:
    """Export the model and state every layer in letters. Parameters as in `symbolic_trace`."""
    arguments, masked, notes = example_arguments(model, args, kwargs, mask)
    clips, samples = _sizes(arguments)
    exported = export_calls(hollow_copy(model), arguments, clips, samples)
    axes = _letters(exported)
    sizes = {}

    def label(tensor: RawTensor) -> tuple[int | str, ...]:
        return tuple(axes.label(exported.size(d)) for d in tensor.shape)

    records = _records(exported, label)
    sizes = {k: axes.in_lengths(k) for k in axes.labels}
    held = _range(exported, sizes)
    if edges:
        held = _edges(model, arguments, exported, held)
    return SymbolicTrace(
        type(model).__name__, records, axes.letters, axes.labels, held, masked, exported.guards, {}, (*notes, *exported.notes)
    )


def example_arguments(model: nn.Module, args, kwargs, mask: bool) -> tuple[dict[str, Any], bool, list[str]]:
    """Arguments by name on the meta device, whether there is a mask, and what was decided."""
    if args or kwargs:
        named = bind(model, args, kwargs)
    else:
        names = [n for n, p in inspect.signature(model.forward).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        named = {names[0]: torch.empty(_CLIPS, _SAMPLES, device="meta")}
        if mask and "attention_mask" in names:
            named["attention_mask"] = torch.empty(_CLIPS, _SAMPLES, dtype=torch.int64, device="meta")
    named = {k: v.to("meta") if isinstance(v, Tensor) else v for k, v in named.items()}
    return named, len([v for v in named.values() if isinstance(v, Tensor)]) > 1, []


def _sizes(arguments: Mapping[str, Any]) -> tuple[int, int]:
    main = next(v for v in arguments.values() if isinstance(v, Tensor))
    return main.shape[0], main.shape[-1]


def _letters(exported: Exported) -> Axes:
    """T1 … and T for the feature encoder's convolutions, A1 … for an adapter's."""
    axes = Axes()
    encoder, adapter = shrinking_convolutions(exported.calls, exported.size)
    for i, length in enumerate(encoder, 1):
        axes.name(f"T{i}", length)
    if encoder:
        axes.name("T", encoder[-1])
    for i, length in enumerate(adapter, 1):
        axes.name(f"A{i}", length)
    return axes


def _records(exported: Exported, label) -> tuple[LayerRecord, ...]:
    def info(tensor: RawTensor) -> TensorInfo:
        return TensorInfo(tensor.path, label(tensor), str(tensor.dtype).removeprefix("torch."), "any")

    return tuple(
        LayerRecord(
            c.name, c.call, type(c.module).__name__, "", c.depth, sum(p.numel() for p in c.module.parameters()),
            tuple(map(info, c.inputs)), tuple(map(info, c.outputs)),
        )
        for c in exported.calls
    )  # fmt: skip


def _range(exported: Exported, sizes: Mapping[str, Expression]) -> Range:
    """What the proof covers: torch's own bounds on its symbols, and every guard that those bounds do not imply."""
    (b_low, b_high), (l_low, l_high) = exported.ranges["B"], exported.ranges["L"]
    end = min(l_low + 4_000, l_high or l_low + 4_000)
    tried = [(b, n) for b in {b_low, b_low + 1, b_high or b_low + 7} for n in [*range(l_low, end + 1), l_high or 57_600_001]]
    conditions = []
    for guard in exported.guards:
        holds = compile_expressions([guard], ("B", "L"))
        if not all(holds(b, n)[0] for b, n in tried):
            conditions.append(guard)
    lengths = compile_expressions([e for e in sizes.values() if e.letters == {"L"}], ("L",))
    minimum = l_low
    while minimum > 1 and "L" not in exported.fixed and all(n >= 1 for n in lengths(minimum - 1)):
        minimum -= 1
    return Range((b_low, b_high), (l_low, l_high), tuple(conditions), minimum)


def _edges(model: nn.Module, arguments: Mapping[str, Any], exported: Exported, held: Range) -> Range:
    """Run the model, without values, where export had to look away: B = 1, and lengths with a single position."""
    b_low, l_low = held.clips[0], held.samples[0]
    runs: list[tuple[int, int]] = []

    def agrees(points) -> str:
        for b, n in points:
            runs.append((b, n))
            found = _compare_run(model, arguments, exported, b, n)
            if found:
                return f"differs when run at B = {b}, L = {n}: {found}"
        return "agrees"

    short = one_clip = ""
    if held.minimum < l_low and "L" not in exported.fixed:
        middle = (held.minimum + l_low) // 2
        short = agrees([(b_low, held.minimum), (b_low, middle), (b_low, l_low - 1)])
        if short == "agrees" and held.minimum > 1:
            runs.append((b_low, held.minimum - 1))
            if not _compare_run(model, arguments, exported, b_low, held.minimum - 1):
                short = f"the model also runs at L = {held.minimum - 1}, where the formulas leave no position"
    if b_low > 1 and "B" not in exported.fixed:
        one_clip = agrees([(1, n) for n in (held.minimum, l_low) if n >= l_low or short == "agrees"])
    return Range(held.clips, held.samples, held.conditions, held.minimum, short, one_clip, tuple(runs))


def _compare_run(model: nn.Module, arguments: Mapping[str, Any], exported: Exported, clips: int, samples: int) -> str:
    """Empty if every tensor of every call has the size that the formulas say, else the first that has not."""
    b, n = _sizes(arguments)
    new = {b: clips, n: samples}
    given = {
        k: torch.empty([new.get(d, d) for d in v.shape], dtype=v.dtype, device="meta") if isinstance(v, Tensor) else v
        for k, v in arguments.items()
    }
    try:
        calls = run_calls(model, given)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    if [(c.name, c.call) for c in calls] != [(c.name, c.call) for c in exported.calls]:
        return "other layers are called"
    evaluated: dict[Expression, int] = {}
    for run, proof in zip(calls, exported.calls, strict=True):
        for real, said in zip([*run.inputs, *run.outputs], [*proof.inputs, *proof.outputs], strict=False):
            for size, dim in zip(real.shape, said.shape, strict=False):
                expression = exported.size(dim) if not isinstance(dim, int) else Expression(dim)
                if expression not in evaluated:
                    evaluated[expression] = expression(B=clips, L=samples) if expression.letters <= {"B", "L"} else size
                if evaluated[expression] != size:
                    return f"{run.name or 'the model'} ({real.path}) has {tuple(real.shape)}, the formula says {evaluated[expression]}"
    return ""
