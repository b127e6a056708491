"""From raw calls to records: letters, masks, mask steps, valid positions. Runs after the run; keeps no module."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from w2vlearn.tracing import masks as mask_reading
from w2vlearn.tracing.hooks import RawCall, RawTensor
from w2vlearn.tracing.letters import constant_letters, is_time
from w2vlearn.tracing.marks import valid_along
from w2vlearn.tracing.operations import mixes_time
from w2vlearn.tracing.records import MASK_STEP, LayerRecord, MaskSeen, Operation, TensorInfo, main_output

Label = Callable[[RawCall, str, RawTensor], tuple[tuple, tuple[str, ...]]]


@dataclass
class MaskContext:
    """What is known about masks from outside; the default is enough where masks carry no values (a symbolic trace).

    Attributes
    ----------
    clips, samples : int
        B and L.
    lengths : tuple of int, optional
        Valid samples per clip.
    notes : list of str
        What is noticed is added here.
    """

    clips: int = 0
    samples: int = 0
    lengths: tuple[int, ...] | None = None
    notes: list[str] = field(default_factory=list)


def build_records(
    calls: Sequence[RawCall], label: Label, context: MaskContext | None = None
) -> tuple[tuple[LayerRecord, ...], dict[str, int]]:
    """Turn raw calls into records, with mask steps in place.

    Parameters
    ----------
    calls : sequence of RawCall
        From `w2vlearn.tracing.hooks`, in order; the first is the model itself.
    label : callable
        ``label(call, "in" | "out", tensor) -> (shape, letters)``: the shape to show (numbers, or expressions as text)
        and a letter per axis, lengths and B named, constants as numbers in text, unknown axes with a "?" before the
        number (it is taken away here). C, D, H, V and N are filled in here.
    context : MaskContext, optional
        What is known about masks from outside.

    Returns
    -------
    tuple of LayerRecord, dict
        The records, and the values of C, D, H and V or N where those are clear.
    """
    shapes: dict[tuple[int, str, int], tuple] = {}
    letters: dict[tuple[int, str, int], tuple[str, ...]] = {}
    for i, call in enumerate(calls):
        for side, tensors in (("in", call.inputs), ("out", call.outputs)):
            for j, tensor in enumerate(tensors):
                shapes[i, side, j], letters[i, side, j] = label(call, side, tensor)
    modules = {id(call.module): call for call in calls}.values()
    heads = Counter(call.operation.heads for call in modules if call.operation.heads)
    letters, constants = constant_letters(calls, letters, heads.most_common(1)[0][0] if heads else None)

    parameters = parameter_counts(calls[0].module) if calls else {}
    chain = _MaskChain(context or MaskContext(), calls)
    mixing = _mixing(calls, letters)
    known: dict[tuple, TensorInfo] = {}
    records: list[LayerRecord] = []
    for i, call in enumerate(calls):
        inputs, outputs = (
            tuple([_info(t, shapes[i, side, j], letters[i, side, j], known) for j, t in enumerate(tensors)])
            for side, tensors in (("in", call.inputs), ("out", call.outputs))
        )
        seen = chain.seen(call, inputs) if call.has_masks else ()
        if seen:
            records += chain.steps(call, seen)
        masks = tuple([m.seen for m in seen])
        records.append(
            LayerRecord(
                name=call.name,
                call=call.call,
                type=call.type,
                operation=call.operation,
                depth=call.depth,
                parameters=parameters.get(call.module, 0),
                inputs=inputs,
                outputs=outputs,
                mask=next((m for m in masks if m.kind != "time"), masks[0] if masks else None),
                masks=masks,
                mixes_time=mixing[i],
                valid=_valid(call),
                values=call.values,
            )
        )
    return tuple(records), constants


def _info(tensor: RawTensor, shape: tuple, letters: tuple[str, ...], known: dict[tuple, TensorInfo]) -> TensorInfo:
    """What a record says of a tensor; equal ones share it."""
    key = (tensor.path, shape, tensor.dtype, tensor.device, letters)
    info = known.get(key)
    if info is None:
        marks = tuple([mark.removeprefix("?") for mark in letters])
        info = known[key] = TensorInfo(tensor.path, shape, _name(tensor.dtype), _name(tensor.device), marks)
    return info


@functools.lru_cache(maxsize=256)
def _name(of: object) -> str:
    """Name of a dtype or a device."""
    return str(of).removeprefix("torch.")


def _mixing(calls: Sequence[RawCall], letters: Mapping) -> list[bool]:
    """Which calls look along time; a container does if anything that it calls does."""
    mixing = [mixes_time(call.module, call.operation, letters.get((i, "in", 0), ())) for i, call in enumerate(calls)]
    parents: list[int] = []
    for i, call in enumerate(calls):
        parents = parents[: call.depth]
        if mixing[i]:
            for parent in parents:
                mixing[parent] = True
        parents.append(i)
    return mixing


def _valid(call: RawCall) -> tuple[int, ...] | None:
    """Valid positions on the main output's time axis (the input's, where the call broke before anything came out)."""
    tensor = main_output(call.outputs)
    if tensor is None and call.error is not None and call.inputs:
        tensor = call.inputs[0]
    return valid_along(tensor.axes) if tensor is not None and tensor.axes is not None else None


def parameter_counts(model: nn.Module) -> dict[nn.Module, int]:
    """Parameters below each module, shared ones once; packed ones of quantised layers too, lazy ones as 0."""
    below: dict[nn.Module, dict[int, int]] = {}  # of each module, its parameters by id, and how many numbers each has

    def collect(module: nn.Module) -> dict[int, int]:
        if module not in below:
            below[module] = own = {}
            for parameter in module._parameters.values():
                if parameter is not None and not isinstance(parameter, nn.parameter.UninitializedTensorMixin):
                    own[id(parameter)] = parameter.numel()
            if not own and callable(getattr(type(module), "weight", None)):
                own[id(module)] = _packed(module)
            for child in module._modules.values():
                if child is not None:
                    own.update(collect(child))
        return below[module]

    collect(model)
    return {module: sum(sizes.values()) for module, sizes in below.items()}


def _packed(module: nn.Module) -> int:
    """Weight and bias of a quantised layer, which hands them out by a call."""
    try:
        bias = module.bias() if callable(getattr(module, "bias", None)) else None
        return module.weight().numel() + (bias.numel() if bias is not None else 0)
    except Exception:
        return 0


@dataclass(frozen=True)
class _Seen:
    seen: MaskSeen
    letters: tuple[str, ...]
    info: TensorInfo | None
    expected: tuple[int, ...] | None


class _MaskChain:
    """Follows the padding mask from kind to kind through the calls."""

    def __init__(self, context: MaskContext, calls: Sequence[RawCall]) -> None:
        self.context = context
        self.met: dict[tuple, _Seen] = {}
        self.noted: set[tuple] = set()
        self.readings: dict[tuple, mask_reading.Reading] = {}  # the calls keep the values alive that are keys here
        self.root = calls[0] if calls else None
        self.given: _Seen | None = None

    def seen(self, call: RawCall, infos: Sequence[TensorInfo]) -> list[_Seen]:
        """Every mask that a call was handed, read."""
        seen = []
        for tensor, info in zip(call.inputs, infos, strict=True):
            if tensor.may_be_mask and (mask := self._read(call, tensor, info)) is not None:
                seen.append(mask)
        for name, kind, shape in call.objects:
            seen.append(_Seen(MaskSeen(name, "attention", "object", shape, kind), (), None, None))
        if call is self.root:
            self.given = next((m for m in seen if m.seen.kind in ("sample", "frame", "attention")), None)
        elif self.given is not None and not any(m.seen.kind != "time" for m in seen):
            seen += [m for name in call.nones if (m := self._dropped(call, name)) is not None][:1]
        return seen

    def _read(self, call: RawCall, tensor: RawTensor, info: TensorInfo) -> _Seen | None:
        context, argument, given = self.context, info.path.split(".")[-1].split("[")[0], call is self.root
        kind = mask_reading.kind_of(info.path, info.letters, tensor.dtype)
        if kind is None:
            return None
        is_lengths = len(info.shape) == 1
        if tensor.values is None:
            return self._unread(call, tensor, info, kind)
        source = call.inputs[0].axes if is_lengths else tensor.axes
        expected = valid_along(source) if source is not None else None
        if is_lengths:
            kind = mask_reading.lengths_kind(tensor.values.numbers.tolist(), context.lengths, expected, context.samples)
        if kind == "sample" and (given or is_lengths):
            expected = context.lengths
        key = (id(tensor.values), argument, kind, expected, given)
        if key not in self.readings:
            self.readings[key] = mask_reading.read(
                argument, tensor.values, kind, context.clips, expected, given, context.samples
            )
        reading = self.readings[key]
        if kind == "attention" and tensor.dtype.is_floating_point and reading.form != "additive":
            return None  # a bias or a picture, not a mask
        self._compare(call, info, kind, reading, expected, tensor.identity)
        lowest, valid = reading.lowest, reading.valid
        seen = MaskSeen(info.path, kind, reading.form, info.shape, info.dtype, reading.true_means, lowest, valid)
        return _Seen(seen, info.letters, info, expected if kind != "time" else None)

    def _unread(self, call: RawCall, tensor: RawTensor, info: TensorInfo, kind: str) -> _Seen:
        """A mask without values (symbolic, or on the meta device): form and meaning by type and name."""
        if len(info.shape) == 1:
            if call is not self.root and not _was_given(tensor, self.root):
                kind = "frame"
            return _Seen(MaskSeen(info.path, kind, "lengths", info.shape, info.dtype), info.letters, info, None)
        form = "bool" if info.dtype == "bool" else "additive" if "float" in info.dtype else "integer"
        true_means = "padding" if mask_reading.PADDING.search(info.path) else "valid"
        true_means = "masked" if kind == "time" else "" if form == "additive" else true_means
        return _Seen(MaskSeen(info.path, kind, form, info.shape, info.dtype, true_means), info.letters, info, None)

    def _compare(
        self,
        call: RawCall,
        info: TensorInfo,
        kind: str,
        reading: mask_reading.Reading,
        expected: tuple[int, ...] | None,
        identity: int,
    ) -> None:
        """Say so where the model's own mask marks something else than what is valid."""
        where = f"{info.path} handed to {call.name or 'the model'}"
        if reading.inverted and ("inverted", identity) not in self.noted:
            self.noted.add(("inverted", identity))
            true = "True" if reading.form == "bool" else "1"
            self.context.notes.append(
                f"{where}: by its name {true} = {reading.true_means}, but its values look turned round "
                "(or the clips are padded on the left)"
            )
        if kind == "time" or expected is None or reading.valid is None or ("wrong", identity) in self.noted:
            return
        wrong = [i for i, (a, b) in enumerate(zip(expected, reading.valid, strict=True)) if a != b]
        if wrong and call is not self.root:
            self.noted.add(("wrong", identity))
            each = "; ".join(f"clip {i}: expected {expected[i]}, the model marks {reading.valid[i]}" for i in wrong)
            self.context.notes.append(f"the {kind} mask is off, {where}: {each}")

    def _dropped(self, call: RawCall, name: str) -> _Seen | None:
        """A mask argument that is None although the model was handed a mask: an all-true one, dropped?"""
        given = self.given.seen
        whole = given.valid is not None and self.context.lengths is not None
        if not whole or any(count < self.context.samples for count in given.valid):
            return None
        if mask_reading.TIME_MASK.search(name):
            return None
        frames_met = any(kind == "frame" for kind, _ in self.met)
        kind = "attention" if frames_met and not mask_reading.PADDING.search(name) else "frame"
        return _Seen(MaskSeen(name, kind, "none", (), ""), (), None, None)

    def steps(self, call: RawCall, seen: Sequence[_Seen]) -> list[LayerRecord]:
        """The mask steps that must have happened before this call: one for each new kind of mask."""
        steps = []
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
                steps.append(self._step(call, source, mask, axis))
        return steps

    def _step(self, call: RawCall, source: _Seen | None, mask: _Seen, axis: str) -> LayerRecord:
        target = _noun(mask.seen)
        origin = _noun(source.seen) if source is not None else "no mask"
        if origin == target:
            target += f" ({axis})"
        return LayerRecord(
            name=f"{origin} -> {target}",
            type=MASK_STEP,
            operation=Operation(MASK_STEP),
            depth=call.depth,
            inputs=(source.info,) if source is not None and source.info is not None else (),
            outputs=(replace(mask.info, path="output"),) if mask.info is not None else (),
            mask=mask.seen,
            masks=(mask.seen,),
            valid=mask.expected,
        )


def _noun(seen: MaskSeen) -> str:
    return f"{seen.kind} {'lengths' if seen.form in ('lengths', 'shares') else 'mask'}"


def _was_given(tensor: RawTensor, root: RawCall | None) -> bool:
    """Whether these lengths are the very tensor that the model was handed (then they count samples)."""
    return root is not None and any(tensor.identity == other.identity for other in root.inputs if other.may_be_mask)
