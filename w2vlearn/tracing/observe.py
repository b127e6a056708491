"""`trace`: run a model once and write down what passed every layer.

The way of a batch: fitted to the forward (`inputs`), followed through the one run by hooks (`hooks`, `axes`, `masks`),
turned into records when the run is over (`assemble`), shown as a table (`w2vlearn.show`). Everything is worked out here
and now; the trace holds no module and no input.
"""

from __future__ import annotations

import random
import re
import sys
import warnings
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from w2vlearn.tracing.assemble import build_records
from w2vlearn.tracing.axes import Axes
from w2vlearn.tracing.hooks import RawCall, RawTensor, Recorder, named_modules, observing
from w2vlearn.tracing.inputs import Inputs, find_inputs, from_batch, is_batch
from w2vlearn.tracing.layers import Trace
from w2vlearn.tracing.letters import CLIPS, UNKNOWN, Length, Merged, frame_index, name_lengths
from w2vlearn.tracing.operations import class_name
from w2vlearn.tracing.records import BatchInfo, TraceData, main_output
from w2vlearn.tracing.uncalled import names_in_text, with_uncalled

__all__ = ["TraceError", "trace"]

_warned: weakref.WeakSet[nn.Module] = weakref.WeakSet()  # models in train mode that were warned about


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
    if is_wrapped or _is_compiled(names):
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
    recorder = Recorder(names, values, axes_of(names, inputs))
    failure = output = broken = None
    with random_state_kept(), buffers_kept(names), eager(), observing(model, recorder=recorder) as calls:
        try:
            output = model(*args, **kwargs)
        except Exception as error:
            failure, broken = error, _where_it_broke(calls, error)
    data = _data(recorder, inputs, notes, aliases, broken)
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


def axes_of(modules: Iterable[nn.Module], inputs: Inputs) -> Axes:
    """What will follow the axes in a model of these modules, told what the axes of the clips are."""
    axes = Axes(modules, inputs.clips, inputs.samples, inputs.lengths)
    for tensor, marks in inputs.marked:
        axes.tag(tensor, [axes.samples if mark == "L" else mark for mark in marks])
    return axes


def _data(
    recorder: Recorder, inputs: Inputs, notes: list[str], aliases: dict[str, str], broken: RawCall | None
) -> TraceData:
    """The content of a trace, from what the hooks wrote down."""
    calls = recorder.calls
    names = _letters_of_lengths(calls, recorder.axes)

    def label(tensor: RawTensor) -> tuple[tuple, tuple[str, ...]]:
        pairs = zip(tensor.axes, tensor.shape, strict=True)
        return tuple(tensor.shape), tuple([_letter(mark, size, names) for mark, size in pairs])

    known = inputs if inputs.samples else Inputs()
    records, constants, mask_notes = build_records(calls, label, known)
    notes = [*notes, *inputs.notes, *mask_notes, *(_unknown(calls) if known.samples else ())]
    if broken is None:
        records, uncalled_notes = with_uncalled(recorder, records)
        notes += uncalled_notes
    else:
        last = next(r for r in records if r.name == broken.name and r.call == broken.call and not r.is_mask_step)
        records = (*(r for r in records if r is not last), last)
    batch, letters = None, {}
    if known.samples:
        batch = BatchInfo(known.clips, known.samples, known.lengths if known.told else None)
        letters = _values_of_letters(known, names)
    return TraceData(records, batch, letters | constants, tuple(dict.fromkeys(notes)), aliases)


def _letters_of_lengths(calls: Sequence[RawCall], axes: Axes) -> dict[Length, str]:
    """A letter for each length, by when it first appears and how many calls give it."""
    main_outputs = [call.outputs[0].axes for call in calls if call.outputs]
    counts = Counter(mark.key for marks in main_outputs for mark in marks if isinstance(mark, Length))
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
    by_key = {length.key: name for length, name in names.items()}
    for length, name in names.items():
        if name == "T":
            values[f"T{frame_index(by_key)}"] = length.size  # the last of the stages, too
        if re.fullmatch(r"T\d*|A\d+", name):
            values[name] = length.size
    return values


def _unknown(calls: Sequence[RawCall]) -> list[str]:
    """A note on the layers whose output has an axis that no rule explains, so that valid positions are unknown."""
    names = []
    for call in calls:
        tensor = main_output(call.outputs)
        if tensor is not None and UNKNOWN in tensor.axes and not any(isinstance(mark, Length) for mark in tensor.axes):
            names.append(call.name or "the model itself")
    if not names:
        return []
    return [
        "an axis is unknown, and so are the valid positions along it (code between the modules changed a length, or "
        f"two lengths have one size), at {names_in_text(dict.fromkeys(names))}"
    ]


def _where_it_broke(calls: Sequence[RawCall], failure: Exception) -> RawCall | None:
    """The innermost call that the exception (or one that it was made from) came out of."""
    chain: list[BaseException] = []
    error: BaseException | None = failure
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return min((call for call in calls if call.error in chain), key=lambda call: call.ended, default=None)


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


# ---------------------------------------------------------------- what a run changes beside its output, put back


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Leave the random states of torch (CPU and each GPU in use), numpy and Python as they were."""
    numpy = sys.modules.get("numpy")
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    kept_numpy, kept_python = numpy.random.get_state() if numpy else None, random.getstate()
    with torch.random.fork_rng(devices=gpus):
        try:
            yield
        finally:
            if numpy:
                numpy.random.set_state(kept_numpy)
            random.setstate(kept_python)


@contextmanager
def buffers_kept(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Undo what a run writes into these modules' buffers (running statistics), and which tensor stands where."""
    kept = [
        (module, dict(module._buffers), {n: b.detach().clone() for n, b in module._buffers.items() if b is not None})
        for module in modules
        if module._buffers and not isinstance(module, torch.jit.ScriptModule)
    ]
    try:
        yield
    finally:
        for module, buffers, contents in kept:
            module._buffers.clear()
            module._buffers.update(buffers)
            for name, content in contents.items():
                buffer = buffers[name]
                with torch.inference_mode() if buffer.is_inference() else torch.no_grad():
                    if buffer.shape != content.shape:
                        buffer.resize_(content.shape)
                    if not buffer.is_meta and not torch.equal(buffer, content):
                        buffer.copy_(content)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; every module's own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def eager() -> Any:
    """A context in which compiled code runs as it is written, so that every call in it can be seen.

    Asked without importing the compiler: where it was never loaded, nothing is compiled.
    """
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _is_compiled(modules: Iterable[nn.Module]) -> bool:
    """Whether torch.compile is at work on one of these modules."""
    if "torch._dynamo" not in sys.modules:
        return False
    return any(hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) is not None for m in modules)
