"""`trace`: run a model once and write down what passed every layer.

The way of a batch: fitted to the forward (`inputs`), followed through the one run by hooks (`hooks`, `axes`, `masks`),
turned into records when the run is over (`assemble`), shown as a table (`w2vlearn.show`). Everything is worked out here
and now; the trace holds no module and no input.
"""

from __future__ import annotations

import warnings
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from w2vlearn.tracing.assemble import MaskContext, build_records, parameter_counts
from w2vlearn.tracing.axes import Axes
from w2vlearn.tracing.hooks import RawCall, RawTensor, Recorder, recording
from w2vlearn.tracing.inputs import Inputs, find_inputs, from_batch, is_batch
from w2vlearn.tracing.inspection import named_modules
from w2vlearn.tracing.layers import Trace
from w2vlearn.tracing.letters import frame_index, name_lengths
from w2vlearn.tracing.marks import CLIPS, UNKNOWN, Length, Merged
from w2vlearn.tracing.operations import class_name, operation_of
from w2vlearn.tracing.records import (
    NOT_CALLED,
    OTHER_THREAD,
    SKIPPED,
    WEIGHTS_USED,
    BatchInfo,
    LayerRecord,
    TraceData,
    main_output,
)
from w2vlearn.tracing.run_state import buffers_kept, eager, is_compiled, random_state_kept

__all__ = ["TraceError", "trace"]

_warned: weakref.WeakSet[nn.Module] = weakref.WeakSet()  # models in train mode that were warned about
_NAMED = 6  # so many layers are named in a note, the others counted


class TraceError(RuntimeError):
    """The model raised during a trace. ``.trace`` is the partial trace; its last record is the layer that broke."""

    def __init__(self, message: str, trace: Trace) -> None:
        super().__init__(message)
        self.trace = trace

    def __reduce__(self) -> tuple:
        return TraceError, (str(self), self.trace)


def trace(model: nn.Module, /, *args: Any, values: bool = False, **kwargs: Any) -> Trace:
    """Run a model once and record every module call, every mask step, and what is valid in each.

    Parameters
    ----------
    model : nn.Module
        Any module.
    *args, **kwargs
        A `Batch` (anything with ``waveforms`` (B, L), ``lengths`` (B,), ``mask`` (B, L)), which is fitted to the
        forward's signature and to the type of the weights; or the arguments themselves, as in ``model(*args,
        **kwargs)``. Keywords may be added to a batch.
    values : bool
        Also keep a detached clone of every output (``record.value``, ``record.values``). Costs memory and time.

    Returns
    -------
    Trace
        Its ``output`` is what the model returned, equal to the last bit to an untraced run.

    Raises
    ------
    TraceError
        If the model raises: names the layer, carries the partial trace, and the original error as its cause.
    TypeError
        If ``model`` is no module, or its signature does not say where a batch goes.

    Notes
    -----
    The model runs once, as if it were called, and never again: what the trace says was so at that moment. Compiled
    code runs uncompiled, so that its layers can be seen. Gradients, autocast and mode are the caller's: wrap the call
    in ``torch.no_grad()`` to save memory. Mode, weights, buffers and the random states of torch, numpy and Python are
    afterwards as they were before.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"trace runs a torch.nn.Module, found a {type(model).__name__}; write trace(model, batch)")
    notes: list[str] = []
    model, is_wrapped = getattr(model, "_orig_mod", model), hasattr(model, "_orig_mod")
    names, aliases = named_modules(model)
    if is_wrapped or is_compiled(names):
        notes.append("the model is compiled: traced without the compiler, whose kernels may round differently")
    lengths = None
    if args and is_batch(args[0]):
        if len(args) > 1:
            raise TypeError("beside a batch, pass further arguments by name: trace(model, batch, name=value)")
        lengths = args[0].lengths
        args, kwargs, decided = from_batch(model, args[0], kwargs)
        notes += decided
    if model.training:
        notes.append("train mode: dropout, LayerDrop and time masks make runs differ")
        _warn_of_train_mode(model)
    inputs = find_inputs(model, args, kwargs, lengths)
    axes = _axes(names, inputs)
    failure: Exception | None = None
    output = None
    with random_state_kept(), buffers_kept(names), eager(), recording(model, values, True, axes, names) as recorder:
        try:
            output = model(*args, **kwargs)
        except Exception as error:
            failure = error
    broken = _where_it_broke(recorder.calls, failure) if failure is not None else None
    data = _data(model, recorder, inputs, axes, notes, broken, aliases)
    if failure is None:
        return Trace(data, model_name=class_name(model), output=output)
    raise _error(model, data, failure, broken, args, kwargs) from failure


def _warn_of_train_mode(model: nn.Module) -> None:
    if model not in _warned:
        _warned.add(model)
        warnings.warn(
            f"{type(model).__name__} is in train mode: dropout, LayerDrop and time masks (SpecAugment) make runs "
            "differ, and layers may be skipped; call model.eval() first for a trace that repeats",
            UserWarning,
            stacklevel=3,
        )


def _axes(modules: Iterable[nn.Module], inputs: Inputs | None) -> Axes:
    """What will follow the axes, told what the axes of the clips are."""
    known = inputs or Inputs(0, 0, None, False)
    axes = Axes(modules, known.clips, known.samples, known.lengths)
    for tensor, marks in known.marked:
        axes.tag(tensor, [axes.samples if mark == "L" else mark for mark in marks])
    return axes


def _data(
    model: nn.Module,
    recorder: Recorder,
    inputs: Inputs | None,
    axes: Axes,
    notes: list[str],
    broken: RawCall | None,
    aliases: dict[str, str],
) -> TraceData:
    """The content of a trace, from what the hooks wrote down."""
    calls = recorder.calls
    notes = [*notes, *(inputs.notes if inputs else ())]
    names = _letters_of_lengths(calls, axes)
    known = inputs if inputs is not None and inputs.samples else None

    known_labels: dict[tuple, tuple] = {}

    def label(call: RawCall, side: str, tensor: RawTensor) -> tuple[tuple, tuple[str, ...]]:
        key = (tensor.shape, tensor.axes)
        if key not in known_labels:
            letters = [_letter(mark, size, names) for mark, size in zip(tensor.axes, tensor.shape, strict=True)]
            known_labels[key] = tuple(tensor.shape), tuple(letters)
        return known_labels[key]

    context = MaskContext(known.clips, known.samples, known.lengths, notes) if known else MaskContext(notes=notes)
    records, constants = build_records(calls, label, context)
    if known:
        notes += _unknown(calls)
    if broken is None:
        records = _with_uncalled(model, recorder, records, notes)
    else:
        last = next(r for r in records if r.name == broken.name and r.call == broken.call and not r.is_mask_step)
        records = (*(r for r in records if r is not last), last)
    batch = BatchInfo(known.clips, known.samples, known.lengths if known.told else None) if known else None
    letters = (_values_of_letters(known, names) if known else {}) | constants
    return TraceData(records, batch, letters, tuple(dict.fromkeys(notes)), aliases)


def _letters_of_lengths(calls: Sequence[RawCall], axes: Axes) -> dict[Length, str]:
    """A letter for each length, by when it first appears and how many calls give it."""
    main_outputs = Counter(call.outputs[0].axes for call in calls if call.outputs)
    counts: Counter = Counter()
    for marks, times in main_outputs.items():
        for mark in marks:
            if isinstance(mark, Length):
                counts[mark.key] += times
    names = name_lengths((length.key for length in axes.lengths), axes.samples.key, counts)
    return {length: names[length.key] for length in axes.lengths if length.key in names}


def _letter(mark: Any, size: int, names: dict[Length, str]) -> str:
    if mark is CLIPS:
        return "B"
    if isinstance(mark, Length):
        return names.get(mark, str(size))
    if isinstance(mark, Merged):
        parts = [_letter(part, 0, names) for part in mark.parts]
        return "*".join(parts) if "0" not in parts else str(size)
    return f"?{size}" if mark is UNKNOWN else str(size)


def _values_of_letters(inputs: Inputs, names: dict[Length, str]) -> dict[str, int]:
    """Every letter's number in this run, in the order of appearance."""
    values = {"B": inputs.clips, "L": inputs.samples}
    for length, name in names.items():
        if name.startswith("T") and name[1:].isdigit():
            values[name] = length.size
    frames = next((length.size for length, name in names.items() if name == "T"), None)
    if frames is not None:
        by_key = {length.key: name for length, name in names.items()}
        values |= {f"T{frame_index(by_key)}": frames, "T": frames}
    return values | {name: length.size for length, name in names.items() if name.startswith("A")}


def _unknown(calls: Sequence[RawCall]) -> list[str]:
    """A note on the layers whose output has an axis that no rule explains, so that valid positions are unknown."""
    names = []
    for call in calls:
        tensor = main_output(call.outputs)
        if tensor is None or UNKNOWN not in tensor.axes or any(isinstance(mark, Length) for mark in tensor.axes):
            continue
        names.append(call.name or "the model itself")
    names = list(dict.fromkeys(names))
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [
        "an axis is unknown, and so are the valid positions along it (code between the modules changed a length, or "
        f"two lengths have one size), at {', '.join(names[:_NAMED])}{more}"
    ]


def _with_uncalled(
    model: nn.Module, recorder: Recorder, records: tuple[LayerRecord, ...], notes: list[str]
) -> tuple[LayerRecord, ...]:
    """Put in the modules that were not called, where they would have come, and say what is known of each."""
    called = {call.name for call in recorder.calls}
    took_part = recorder.took_part
    result = list(records)
    modules = {name: module for module, name in recorder.names.items()}
    scripted = [name for name, module in modules.items() if isinstance(module, torch.jit.ScriptModule)]
    if scripted:
        notes.append("TorchScript modules run in their own interpreter: the layers inside them cannot be observed")
    layers = [name for name, m in modules.items() if isinstance(m, nn.TransformerEncoderLayer) and name in called]
    fused = [name for name in layers if f"{name}.norm1".lstrip(".") not in called]
    if fused:
        where = repr(fused[0]) if fused[0] else "the model"
        notes.append(f"{where}: torch computed the whole layer in one fused kernel, without calling its parts")
    elsewhere = sorted(name for name, how in took_part.items() if how == OTHER_THREAD)
    if elsewhere:
        more = f" and {len(elsewhere) - _NAMED} more" if len(elsewhere) > _NAMED else ""
        notes.append(
            f"called in another thread, where nothing is recorded: {', '.join(map(repr, elsewhere[:_NAMED]))}{more}"
        )
    missing = [
        name
        for name, module in modules.items()
        if name
        and name not in called
        and not any(name.startswith(f"{script}.") or not script for script in scripted)
        and (isinstance(module, torch.jit.ScriptModule) or type(module).forward is not nn.Module.forward)
    ]  # ModuleList and its like only hold others
    if not missing:
        return records
    counts = parameter_counts(model)
    statuses = _statuses(modules, missing, called, took_part)
    for name in missing:
        parent = _nearest(name.rpartition(".")[0], result)
        depth = next((r.depth for r in result if r.name == parent and not r.is_mask_step), 0) + 1
        record = LayerRecord(
            name,
            type=class_name(modules[name]),
            operation=operation_of(modules[name]),
            depth=depth,
            parameters=counts.get(modules[name], 0),
            status=statuses[name],
        )
        result.insert(_place(model, name, result), record)
    return tuple(result)


def _statuses(
    modules: dict[str, nn.Module], missing: Sequence[str], called: set[str], took_part: dict[str, str]
) -> dict[str, str]:
    """What is known of each module that was not called in this thread."""
    used = {id(p) for name in called if name in modules for p in modules[name]._parameters.values()}
    statuses: dict[str, str] = {}
    for name in missing:  # a module comes before those inside it
        inside = [part for other, part in modules.items() if other == name or other.startswith(f"{name}.")]
        parameters = [p for part in inside for p in part._parameters.values() if p is not None]
        parts = [took_part[other] for other in took_part if other == name or other.startswith(f"{name}.")]
        above = statuses.get(name.rpartition(".")[0])
        if name in took_part:
            statuses[name] = took_part[name]
        elif parts or any(id(p) in used for p in parameters):
            statuses[name] = parts[0] if parts and parts[0] == OTHER_THREAD else WEIGHTS_USED
        elif any(other.startswith(f"{name}.") for other in called):
            statuses[name] = NOT_CALLED  # what is in it was called by others
        elif parameters or above == SKIPPED:
            statuses[name] = SKIPPED
        else:
            statuses[name] = NOT_CALLED
    return statuses


def _nearest(parent: str, records: Sequence[LayerRecord]) -> str:
    """The closest module above that has a record."""
    names = {record.name for record in records}
    while parent and parent not in names:
        parent = parent.rpartition(".")[0]
    return parent


def _place(model: nn.Module, name: str, records: Sequence[LayerRecord]) -> int:
    """Where a module that was not called would have come: after the one before it, else after the one around it."""
    parent, _, own = name.rpartition(".")
    earlier = []
    for sibling in model.get_submodule(parent)._modules:
        if sibling == own:
            break
        earlier.append(f"{parent}.{sibling}" if parent else sibling)
    for sibling in reversed(earlier):
        inside = [i for i, r in enumerate(records) if r.name == sibling or r.name.startswith(f"{sibling}.")]
        if inside:
            return inside[-1] + 1
    above = _nearest(parent, records)
    return next((i for i, r in enumerate(records) if r.name == above and not r.is_mask_step), 0) + 1


def _where_it_broke(calls: Sequence[RawCall], failure: Exception) -> RawCall | None:
    """The innermost call that the exception (or one that it was made from) came out of."""
    chain: list[BaseException] = []
    error: BaseException | None = failure
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    raised = [call for call in calls if call.error is not None and any(call.error is e for e in chain)]
    if raised:
        return min(raised, key=lambda call: call.ended)
    unfinished = [call for call in calls if call.ended is None]
    return unfinished[-1] if unfinished else (calls[0] if calls else None)


def _error(
    model: nn.Module, data: TraceData, failure: Exception, broken: RawCall | None, args: tuple, kwargs: dict
) -> TraceError:
    """The error for a model that raised, with what passed up to there."""
    layer = f"layer {broken.name!r}" if broken is not None and broken.name else "the model itself"
    kind = type(broken.module if broken is not None else model).__name__
    raised = f"{type(failure).__name__}: {failure}"
    partial = Trace(data, model_name=class_name(model), error=f"{layer} ({kind}) raised {raised}")
    handed = ", ".join(f"{t.path} {tuple(t.shape)}" for t in broken.inputs) if broken is not None else ""
    return TraceError(
        f"{layer} ({kind}) raised {raised}"
        + (f"\nIt was handed {handed}." if handed else "")
        + _advice(model, (*args, *kwargs.values()))
        + "\nWhat passed up to there is in this error's .trace: print(error.trace)",
        partial,
    )


def _advice(model: nn.Module, values: Sequence[Any]) -> str:
    """What to do about an input of another kind than the model's weights."""
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    for value in values:
        if type(value).__module__ == "numpy" and hasattr(value, "astype"):
            shape = tuple(value.shape)
            return (
                f"\nA numpy array {shape} was handed over: a module takes tensors, "
                'torch.from_numpy(array.astype("float32")).'
            )
        if isinstance(value, torch.Tensor) and value.is_floating_point() and weight is not None:
            if value.dtype != weight.dtype:
                wanted, got = (str(t.dtype).removeprefix("torch.") for t in (weight, value))
                return f"\nThe weights are {wanted}, the input is {got}: hand over input.to(torch.{wanted})."
            return ""
    return ""
