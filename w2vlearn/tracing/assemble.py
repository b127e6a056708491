"""From raw calls to records: letters, masks and mask steps, what is real. Runs when a trace is first looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from w2vlearn.tracing import masks as mask_reading
from w2vlearn.tracing.hooks import RawCall, RawTensor
from w2vlearn.tracing.labels import constant_letters, is_time
from w2vlearn.tracing.record import MASK_STEP, LayerRecord, MaskSeen, TensorInfo
from w2vlearn.tracing.words import class_name, heads_of, mixes_time, what

Label = Callable[[RawCall, str, RawTensor], tuple[tuple, tuple[str, ...]]]
Expect = Callable[[RawCall, str, RawTensor, int | None], tuple[int, ...] | None]


@dataclass
class MaskContext:
    """What is known about masks from outside; the default is enough where masks carry no values (a symbolic trace).

    Attributes
    ----------
    clips, samples : int
        B and L.
    lengths : tuple of int, optional
        Real samples per clip.
    expect : callable, optional
        ``expect(call, "in" | "out", tensor, None)``: what should be real on that tensor's time axis, per clip.
    twin_letters : mapping
        ``(name, call, argument)`` -> letters of the mask that a run on fake tensors handed over there; tells what a
        dropped mask would have been.
    values : bool
        Whether masks have values that may be read.
    """

    clips: int = 0
    samples: int = 0
    lengths: tuple[int, ...] | None = None
    expect: Expect | None = None
    twin_letters: Mapping[tuple[str, int, str], tuple[str, ...]] = field(default_factory=dict)
    values: bool = False
    notes: list[str] = field(default_factory=list)


def build_records(
    calls: Sequence[RawCall], label: Label, context: MaskContext | None = None
) -> tuple[tuple[LayerRecord, ...], dict[str, int]]:
    """Turn raw calls into records, with mask steps in place.

    Parameters
    ----------
    calls : sequence of RawCall
        From `w2vlearn.tracing.observe.observing`, in order; the first is the model itself.
    label : callable
        ``label(call, "in" | "out", tensor) -> (shape, letters)``: the shape to show (numbers, or expressions as text)
        and a letter per axis, lengths and B named, constants as numbers in text. C, D, H and V are filled in here.
    context : MaskContext, optional
        What is known about masks from outside.

    Returns
    -------
    tuple of LayerRecord, dict
        The records, and the values of C, D, H and V where those are clear.
    """
    context = context or MaskContext()
    shapes: dict[tuple[int, str, int], tuple] = {}
    letters: dict[tuple[int, str, int], tuple[str, ...]] = {}
    for i, call in enumerate(calls):
        for side, tensors in (("in", call.inputs), ("out", call.outputs)):
            for j, tensor in enumerate(tensors):
                shapes[i, side, j], letters[i, side, j] = label(call, side, tensor)
    modules = list({id(call.module): call.module for call in calls}.values())
    heads = Counter(n for module in modules if "ttention" in class_name(module) and (n := heads_of(module)) is not None)
    letters, constants = constant_letters(calls, letters, heads.most_common(1)[0][0] if heads else None)

    parameters: dict[int, int] = {}
    chain = _Chain(context, calls)
    mixing = [mixes_time(call.module, letters.get((i, "in", 0), ())) for i, call in enumerate(calls)]
    parents: list[int] = []
    for i, call in enumerate(calls):  # a container mixes if anything that it calls does
        parents = parents[: call.depth]
        if mixing[i]:
            for parent in parents:
                mixing[parent] = True
        parents.append(i)
    records: list[LayerRecord] = []
    for i, call in enumerate(calls):
        infos = {
            side: tuple(
                TensorInfo(
                    t.path, shapes[i, side, j], str(t.dtype).removeprefix("torch."), str(t.device), letters[i, side, j]
                )
                for j, t in enumerate(tensors)
            )
            for side, tensors in (("in", call.inputs), ("out", call.outputs))
        }
        seen = chain.seen(call, infos["in"])
        records += chain.steps(call, seen, infos["in"])
        if id(call.module) not in parameters:
            parameters[id(call.module)] = count_parameters(call.module)
        record = LayerRecord(
            name=call.name,
            call=call.call,
            type=class_name(call.module),
            what=what(call.module),
            depth=call.depth,
            parameters=parameters[id(call.module)],
            inputs=infos["in"],
            outputs=infos["out"],
            mask=next((m.seen for m in seen if m.seen.kind != "time"), seen[0].seen if seen else None),
            masks=tuple(m.seen for m in seen),
            mixes_time=mixing[i],
            values=call.values,
        )
        records.append(replace(record, valid=_valid(call, record, context)))
    return tuple(records), constants


def _valid(call: RawCall, record: LayerRecord, context: MaskContext) -> tuple[int, ...] | None:
    """Real positions on the main output's time axis (the input's, where nothing came out)."""
    if context.expect is None:
        return None
    if record.output is not None:
        tensor = call.outputs[record.outputs.index(record.output)]
        return context.expect(call, "out", tensor, None)
    return context.expect(call, "in", call.inputs[0], None) if call.inputs and call.error is not None else None


def count_parameters(module: nn.Module) -> int:
    """Parameters below a module, shared ones once; lazy ones that do not exist yet count 0."""
    return sum(p.numel() for p in module.parameters() if not isinstance(p, nn.parameter.UninitializedTensorMixin))


@dataclass(frozen=True)
class _Seen:
    seen: MaskSeen
    letters: tuple[str, ...]
    info: TensorInfo | None
    expected: tuple[int, ...] | None


class _Chain:
    """Follows the padding mask from kind to kind through the calls."""

    def __init__(self, context: MaskContext, calls: Sequence[RawCall]) -> None:
        self.context = context
        self.met: dict[tuple, _Seen] = {}
        self.readings: dict[tuple, mask_reading.Reading] = {}
        self.said: set[tuple] = set()
        self.root = calls[0] if calls else None
        self.given: _Seen | None = None

    def seen(self, call: RawCall, infos: Sequence[TensorInfo]) -> list[_Seen]:
        """Every mask that a call was handed, read."""
        found = []
        for tensor, info in zip(call.inputs, infos, strict=True):
            if tensor.ref is not None and (mask := self._read(call, tensor, info, infos)) is not None:
                found.append(mask)
        if call is self.root:
            self.given = next((m for m in found if m.seen.kind in ("sample", "frame", "attention")), None)
        elif self.given is not None and not any(m.seen.kind != "time" for m in found):
            found += [m for name in call.nones if (m := self._dropped(call, name)) is not None][:1]
        return found

    def _read(self, call: RawCall, tensor: RawTensor, info: TensorInfo, infos: Sequence[TensorInfo]) -> _Seen | None:
        context, argument = self.context, info.path.split(".")[-1].split("[")[0]
        kind = mask_reading.kind_of(info.path, info.letters, tensor.dtype)
        if kind is None:
            return None
        is_lengths = len(info.shape) == 1
        expected = context.expect(call, "in", tensor, None) if context.expect else None
        beside = context.expect is not None and expected is None and call.inputs and kind != "time"
        if beside and set(info.letters) & {letter for letter in infos[0].letters if is_time(letter)}:
            expected = context.expect(call, "in", call.inputs[0], None)  # no probe run was handed this mask
        if is_lengths and context.expect is not None and call.inputs:
            expected = context.expect(call, "in", call.inputs[0], None)
        if not context.values or (tensor.ref is not None and tensor.ref.is_meta):  # nothing to read
            form = (
                "lengths"
                if is_lengths
                else "bool"
                if info.dtype == "bool"
                else "additive"
                if "float" in info.dtype
                else "integer"
            )
            if is_lengths and call is not self.root and _frames_in(call, self.root):
                kind = "frame"
            words = _convention_by_name(info.path, form, kind)
            return _Seen(MaskSeen(info.path, kind, form, info.shape, info.dtype, words), info.letters, info, None)
        if is_lengths:
            kind = mask_reading.lengths_kind(tensor.ref, context.lengths, expected, context.samples)
            if kind == "sample":
                expected = context.lengths
        if kind == "sample" and call is self.root:
            expected = context.lengths
        given = call is self.root
        key = (id(tensor.ref), kind, argument, given)
        if key not in self.readings:
            unit = "samples" if kind == "sample" else "frames"
            longest = context.samples
            self.readings[key] = mask_reading.read(
                argument, tensor.ref, kind, context.clips, expected, given, unit, longest
            )
        reading = self.readings[key]
        if kind == "attention" and tensor.dtype.is_floating_point and reading.form != "additive":
            return None  # a bias or a picture, not a mask
        self._compare(call, info, kind, reading, expected, id(tensor.ref))
        seen = MaskSeen(info.path, kind, reading.form, info.shape, info.dtype, reading.convention, reading.real)
        return _Seen(seen, info.letters, info, expected if kind != "time" else None)

    def _compare(
        self,
        call: RawCall,
        info: TensorInfo,
        kind: str,
        reading: mask_reading.Reading,
        expected: tuple[int, ...] | None,
        key: int,
    ) -> None:
        """Say so where the model's own mask marks something else than what is real."""
        where = f"{info.path} handed to {call.name or 'the model'}"
        if reading.inverted and ("inverted", key) not in self.said:
            self.said.add(("inverted", key))
            self.context.notes.append(
                f"{where}: by its name {reading.convention}, but its values look turned round "
                "(or the clips are padded on the left)"
            )
        if kind == "time" or expected is None or reading.real is None or ("wrong", key) in self.said:
            return
        wrong = [i for i, (a, b) in enumerate(zip(expected, reading.real, strict=True)) if a != b]
        if wrong and call is not self.root:
            self.said.add(("wrong", key))
            each = "; ".join(f"clip {i}: expected {expected[i]}, the model marks {reading.real[i]}" for i in wrong)
            self.context.notes.append(f"the {kind} mask is off, {where}: {each}")

    def _dropped(self, call: RawCall, name: str) -> _Seen | None:
        """A mask argument that is None although the model was handed a mask: an all-true one, dropped?"""
        given = self.given.seen
        whole = given.real is not None and self.context.lengths is not None
        if not whole or any(real < self.context.samples for real in given.real):
            return None
        letters = self.context.twin_letters.get((call.name, call.call, name), ())
        kind = mask_reading.kind_of(name, letters, torch.bool) if letters else None
        if kind is None:
            kind = "frame" if mask_reading.PADDING.search(name) else "attention"
            kind = "time" if mask_reading.TIME_MASK.search(name) else kind
        if kind == "time":
            return None
        return _Seen(MaskSeen(name, kind, "none", (), "", mask_reading.DROPPED, None), letters, None, None)

    def steps(self, call: RawCall, seen: Sequence[_Seen], infos: Sequence[TensorInfo]) -> list[LayerRecord]:
        """The mask steps that must have happened before this call: one for each new kind of mask."""
        made = []
        for mask in seen:
            if mask.seen.kind == "time":
                continue
            axis = next((letter for letter in reversed(mask.letters) if is_time(letter)), "")
            key = (mask.seen.kind, axis if mask.seen.kind == "frame" and mask.letters else "")
            if mask.seen.form == "none" and any(kind == mask.seen.kind for kind, _ in self.met):
                continue
            if key in self.met:
                continue
            source = next(reversed(self.met.values()), None)
            self.met[key] = mask
            if call is not self.root:
                made.append(self._step(call, source, mask, axis))
        return made

    def _step(self, call: RawCall, source: _Seen | None, mask: _Seen, axis: str) -> LayerRecord:
        here = _noun(mask.seen)
        there = _noun(source.seen) if source is not None else "no mask"
        if there == here:
            here += f" ({axis})"
        if mask.seen.form == "none":
            text = mask_reading.DROPPED + ", no layer is handed one"
        else:
            sizes = [" x ".join(str(n) for n in m.seen.shape) for m in (source, mask) if m is not None]
            text = f"{' -> '.join(sizes)}, {mask.seen.form}, {mask.seen.convention}"
            if mask.expected is not None and mask.seen.real is not None and mask.expected != mask.seen.real:
                text += f"; expected {_list(mask.expected)}, the model marks {_list(mask.seen.real)}"
        return LayerRecord(
            name=f"{there} -> {here}",
            type=MASK_STEP,
            what=text,
            depth=call.depth,
            inputs=(source.info,) if source is not None and source.info is not None else (),
            outputs=(replace(mask.info, path="output"),) if mask.info is not None else (),
            mask=mask.seen,
            masks=(mask.seen,),
            valid=mask.expected,
        )


def _noun(seen: MaskSeen) -> str:
    return f"{seen.kind} {'lengths' if seen.form == 'lengths' else 'mask'}"


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)


def _frames_in(call: RawCall, root: RawCall | None) -> bool:
    """Lengths without values: frames if they are not the tensor that the model was handed."""
    return root is not None and not any(
        t.ref is not None and any(t.ref is other.ref for other in root.inputs) for t in call.inputs if len(t.shape) == 1
    )


def _convention_by_name(name: str, form: str, kind: str) -> str:
    if form == "lengths":
        return f"count of real {'samples' if kind == 'sample' else 'frames'}"
    if kind == "time":
        return "True = masked"
    if form == "additive":
        return "0 = attend, below 0 = padding"
    word = "True" if form == "bool" else "1"
    return f"{word} = {'padding' if mask_reading.PADDING.search(name) else 'real'}"
