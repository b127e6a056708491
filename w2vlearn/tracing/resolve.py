"""Work out what a trace shows: run when it is first looked at, with everything that the run left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.tracing import masks as mask_reading
from w2vlearn.tracing.adapters import parameters_of
from w2vlearn.tracing.assemble import MaskContext, build_records, count_parameters
from w2vlearn.tracing.hooks import MASK_NAME, RawCall, RawTensor
from w2vlearn.tracing.labels import Key, frame_index, merged, name_lengths
from w2vlearn.tracing.record import BatchInfo, LayerRecord, TraceData
from w2vlearn.tracing.valid import Inputs, Probes, Spec, address, brief, inputs_along, probe, specs_in
from w2vlearn.tracing.words import class_name, what


def resolve(
    model: nn.Module,
    calls: Sequence[RawCall],
    arguments: tuple[tuple, dict[str, Any]],
    lengths: Tensor | None,
    notes: tuple[str, ...],
    broken: RawCall | None,
) -> TraceData:
    """The content of a trace, from its raw calls.

    Parameters
    ----------
    model : nn.Module
        The model, for its structure and for running its shapes again.
    calls : sequence of RawCall
        What was observed.
    arguments : tuple
        What the model was called with, as recipes.
    lengths : Tensor, optional
        Real samples per clip, if a batch said so. Shape: (B,).
    notes : tuple of str
        What was decided before the run.
    broken : RawCall, optional
        The call that raised.
    """
    said = list(notes)
    main = _main(arguments)
    inputs, probes, real, told = None, Probes(), None, None
    if main is not None:
        inputs, probes, real, told = _probe(model, arguments, main, lengths, broken is not None)
        said += probes.notes
        if probes.longer is None:
            said.append(
                "real positions and letters are unknown: no axis of the input could be given another length"
                + (f" ({brief(probes.error)})" if probes.error else "")
            )
        elif told is None:
            said.append("no lengths and no mask were given: every clip counts as real over its whole length")
    labels = _Labels(calls, probes, inputs)
    context = MaskContext(
        clips=inputs.clips if inputs else 0,
        samples=inputs.samples if inputs else 0,
        lengths=real,
        expect=(lambda call, side, tensor, _: labels.real(call, side, tensor, real)) if real is not None else None,
        twin_letters=labels.twin_letters(calls),
        values=True,
        notes=said,
    )
    records, constants = build_records(calls, labels.label, context)
    if broken is None:
        records = _with_skipped(model, records, said)
    else:
        last = next(r for r in records if r.name == broken.name and r.call == broken.call and not r.is_mask_step)
        records = (*(r for r in records if r is not last), last)
    seen: dict[nn.Module, str] = {}
    aliases = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if seen.setdefault(module, name) != name:
            aliases[name] = seen[module]
    letters = labels.values() | constants
    batch = BatchInfo(inputs.clips, inputs.samples, told) if inputs is not None and probes.longer is not None else None
    return TraceData(records, batch, letters, tuple(dict.fromkeys(said)), aliases)


def _main(arguments: tuple[tuple, dict[str, Any]]) -> Spec | None:
    """The input that the clips are in: the first floating-point tensor that is no mask, else the first tensor."""
    found = specs_in(list(arguments))
    floats = [spec for spec in found if spec.dtype.is_floating_point and spec.shape]
    return next((s for s in floats if s.mask is None), next(iter(floats or [s for s in found if s.shape]), None))


def _probe(
    model: nn.Module, arguments: tuple, main: Spec, given: Tensor | None, broke: bool
) -> tuple[Inputs, Probes, tuple[int, ...], tuple[int, ...] | None]:
    """Probe runs along the main input's time axis; lengths as assumed; lengths as told (None if nobody did)."""
    read = parameters_of(model)
    defaults = {p.name: bool(MASK_NAME.search(p.name)) for p in (read[0] if read else []) if not p.required}
    ndim = len(main.shape)
    axes = [0] if ndim == 1 else [1] if ndim == 2 else [ndim - 1, *range(1, ndim - 1)]
    if ndim > 2:
        masks = [s.shape[1] for s in specs_in(list(arguments)) if s.mask is not None and len(s.shape) == 2]
        axes.sort(key=lambda axis: main.shape[axis] not in masks)
    tried = None
    for axis in axes:
        inputs = inputs_along(*arguments, main, axis, defaults)
        told = _lengths(arguments, inputs, given)
        lengths = told or (inputs.samples,) * inputs.clips
        found = inputs, probe(model, inputs, lengths, broke), lengths, told
        tried = tried or found
        if found[1].longer is not None:
            return found
    return tried


def _lengths(arguments: tuple, inputs: Inputs, given: Tensor | None) -> tuple[int, ...] | None:
    """Real samples per clip: from the batch, else from a sample mask or lengths among the arguments."""
    if given is not None:
        return tuple(int(n) for n in given.tolist())
    args, kwargs = arguments
    named = [(f"args[{i}]", value) for i, value in enumerate(args)] + list(kwargs.items())
    named = [(name, spec) for name, spec in named if not (isinstance(spec, Spec) and _valueless(spec.mask))]
    for name, spec in named:
        if not isinstance(spec, Spec) or spec.mask is None:
            continue
        if spec.shape == (inputs.clips, inputs.samples):
            if spec.dtype.is_floating_point and not MASK_NAME.search(name):
                continue
            read = mask_reading.read(name, spec.mask, "sample", inputs.clips, None, True, "samples", inputs.samples)
            return read.real
        if spec.shape == (inputs.clips,) and spec.dtype is not torch.bool and MASK_NAME.search(name):
            return mask_reading.read(
                name, spec.mask, "sample", inputs.clips, None, True, "samples", inputs.samples
            ).real
    for name, spec in named:  # a positional argument in torchaudio's order: (waveforms, lengths)
        whole = isinstance(spec, Spec) and spec.shape == (inputs.clips,) and spec.mask is not None
        if whole and not spec.dtype.is_floating_point and name == "args[1]":
            counts = tuple(int(n) for n in spec.mask.tolist())
            if max(counts) == inputs.samples and min(counts) > 0:
                return counts
    return None


class _Labels:
    """Letters for lengths and clips, by comparing each tensor's shape with the probe runs'."""

    def __init__(self, calls: Sequence[RawCall], probes: Probes, inputs: Inputs | None) -> None:
        self.probes, self.inputs = probes, inputs
        self.names: dict[Key, str] = {}
        self.short: dict[Key, str] = {}
        if probes.longer is None or inputs is None:
            return
        self.complete = [run for run in probes.alone.values() if run.error is None]
        events = []
        counts: Counter[Key] = Counter()
        for call in calls:
            for side, tensors, moment in (("in", call.inputs, call.began), ("out", call.outputs, call.ended)):
                for j, tensor in enumerate(tensors):
                    for axis in range(len(tensor.shape)):
                        key = self.key(call, side, tensor, axis)
                        if key is not None:
                            events.append((moment, key))
                            counts[key] += side == "out" and j == 0
        events.sort(key=lambda event: event[0])
        whole = {key[:2]: key for key in counts if len(key) > 2}  # where a clip alone did not get to, two sizes must do
        counts = Counter({k: sum(n for o, n in counts.items() if o[:2] == k[:2]) for k in counts})
        events = [(moment, whole.get(key, key) if len(key) == 2 else key) for moment, key in events]
        samples = (inputs.samples, probes.longer.samples, *(run.samples for run in self.complete))
        self.names = name_lengths((key for _, key in events), samples, counts)
        self.short = {key[:2]: name for key, name in reversed(self.names.items())}

    def key(self, call: RawCall, side: str, tensor: RawTensor, axis: int) -> Key | None:
        """What identifies the length on an axis: its sizes in all runs; None if it is no length."""
        place, size = address(call, side, tensor), tensor.shape[axis]
        longer, wider = self.probes.sizes(place, axis, len(tensor.shape))
        if longer is None or longer == size or (wider is not None and wider != size):
            return None
        alone = [run.shapes.get(place) for run in self.complete]
        if any(shape is None or len(shape) != len(tensor.shape) for shape in alone):
            return (size, longer)
        return (size, longer, *(shape[axis] for shape in alone))

    def label(self, call: RawCall, side: str, tensor: RawTensor) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Shape and letters of one observed tensor."""
        shape = tuple(int(size) for size in tensor.shape)
        if self.probes.longer is None and self.probes.wider is None:
            return shape, tuple(str(size) for size in shape)
        place = address(call, side, tensor)
        if tensor.ref is not None and side == "in" and place not in self.probes.longer_shapes:
            return shape, self.beside(call, shape)
        marks = []
        for axis, size in enumerate(shape):
            longer, wider = self.probes.sizes(place, axis, len(shape))
            key = self.key(call, side, tensor, axis)
            mark = None
            if key is not None:
                mark = self.names.get(key) or self.short.get(key[:2])
            elif wider is not None and wider != size:
                mark = self.product(size, longer, wider)
            marks.append(mark or str(size))
        return shape, tuple(marks)

    def beside(self, call: RawCall, shape: tuple[int, ...]) -> tuple[str, ...]:
        """Letters of a mask that no probe run was handed: those of the same sizes in what it came with."""
        main = next((t for t in call.inputs if address(call, "in", t) in self.probes.longer_shapes), None)
        known = dict(zip(*self.label(call, "in", main), strict=True)) if main is not None else {}
        return tuple(known.get(size, str(size)) if size != 1 else "1" for size in shape)

    def product(self, size: int, longer: int | None, wider: int) -> str | None:
        """``"B"``, ``"4*B"``, ``"B*T"`` for an axis that moves with the number of clips."""
        clips = self.inputs.clips
        if longer is None:
            return "B" if (size, wider) == (clips, clips + 1) else None
        lengths = {(k0, k1, k0): name for (k0, k1), name in self.short.items()}
        return merged((size, longer, wider), (clips, clips, clips + 1), lengths)

    def real(self, call: RawCall, side: str, tensor: RawTensor, lengths: Sequence[int]) -> tuple[int, ...] | None:
        """Real positions per clip on a tensor's time axis."""
        place = address(call, side, tensor)
        return self.probes.real(place, self.probes.time_axis(place, tensor.shape), lengths)

    def twin_letters(self, calls: Sequence[RawCall]) -> dict[tuple[str, int, str], tuple[str, ...]]:
        """Letters of the masks that fake runs handed over where the real run handed None."""
        found = {}
        longer, wider = self.probes.longer, self.probes.wider
        if longer is None or wider is None:
            return found
        for call in calls:
            for name in call.nones:
                place = (call.name, call.call, "in", name)
                one, other = longer.shapes.get(place), wider.shapes.get(place)
                if one is not None and other is not None and len(one) == len(other):
                    found[call.name, call.call, name] = tuple(
                        self.short.get((b, a)) or ("B" if (a, b) == (longer.clips, wider.clips) else str(b))
                        for a, b in zip(one, other, strict=True)
                    )
        return found

    def values(self) -> dict[str, int]:
        """Every letter's number in the observed run, in the order of appearance."""
        if self.inputs is None or self.probes.longer is None:
            return {}
        found = {"B": self.inputs.clips, "L": self.inputs.samples}
        for key, name in self.names.items():
            if name.startswith("T") and name[1:].isdigit():
                found[name] = key[0]
        frames = next((key[0] for key, name in self.names.items() if name == "T"), None)
        if frames is not None:
            found |= {f"T{frame_index(self.names)}": frames, "T": frames}
        return found | {name: key[0] for key, name in self.names.items() if name.startswith("A")}


def _with_skipped(model: nn.Module, records: tuple[LayerRecord, ...], notes: list[str]) -> tuple[LayerRecord, ...]:
    """Put in the modules that were not called (LayerDrop), where they would have come."""
    called = {record.name for record in records if not record.is_mask_step}
    result = list(records)
    scripted = [name for name, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule)]
    if scripted:
        notes.append("TorchScript modules run in their own interpreter: the layers inside them cannot be observed")
    layers = [name for name, m in model.named_modules() if isinstance(m, nn.TransformerEncoderLayer) and name in called]
    fused = [name for name in layers if f"{name}.norm1".lstrip(".") not in called]
    if fused:
        where = repr(fused[0]) if fused[0] else "the model"
        notes.append(f"{where}: torch computed the whole layer in one fused kernel, without calling its parts")
    for name, module in model.named_modules():
        if name in called or not name or any(name.startswith(f"{script}.") or not script for script in scripted):
            continue
        if not isinstance(module, torch.jit.ScriptModule) and type(module).forward is nn.Module.forward:
            continue  # ModuleList and its like only hold others
        parent, _, _ = name.rpartition(".")
        place = _after(model, name, result)
        depth = next((r.depth for r in result if r.name == _nearest(parent, result) and not r.is_mask_step), 0) + 1
        record = LayerRecord(
            name,
            type=class_name(module),
            what=what(module),
            depth=depth,
            parameters=count_parameters(module),
            skipped=True,
        )
        result.insert(place, record)
    return tuple(result)


def _nearest(parent: str, records: Sequence[LayerRecord]) -> str:
    """The closest module above that has a record."""
    names = {record.name for record in records}
    while parent and parent not in names:
        parent = parent.rpartition(".")[0]
    return parent


def _after(model: nn.Module, name: str, records: Sequence[LayerRecord]) -> int:
    """Where a module that was not called belongs: after its elder sibling's records, else after its parent's own."""
    parent, _, own = name.rpartition(".")
    elder = []
    for sibling in model.get_submodule(parent)._modules:
        if sibling == own:
            break
        elder.append(f"{parent}.{sibling}" if parent else sibling)
    for sibling in reversed(elder):
        last = max(
            (i for i, r in enumerate(records) if r.name == sibling or r.name.startswith(f"{sibling}.")), default=None
        )
        if last is not None:
            return last + 1
    above = _nearest(parent, records)
    return next((i for i, r in enumerate(records) if r.name == above and not r.is_mask_step), 0) + 1


def _valueless(mask: Tensor | None) -> bool:
    """Whether a mask is on the meta device, where there is nothing to count."""
    return mask is not None and mask.is_meta
