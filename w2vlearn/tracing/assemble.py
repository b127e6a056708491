"""From raw calls to records: letters, masks, mask steps, valid positions. Runs after the run; keeps no module."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from w2vlearn.tracing import masks as mask_reading
from w2vlearn.tracing.hooks import RawCall, RawTensor
from w2vlearn.tracing.inputs import Inputs
from w2vlearn.tracing.letters import constant_letters, is_time, valid_along
from w2vlearn.tracing.operations import mixes_time
from w2vlearn.tracing.records import MASK_STEP, LayerRecord, MaskSeen, Operation, TensorInfo, main_output

Label = Callable[[RawTensor], tuple[tuple, tuple[str, ...]]]


def build_records(
    calls: Sequence[RawCall], label: Label, inputs: Inputs | None = None
) -> tuple[tuple[LayerRecord, ...], dict[str, int], list[str]]:
    """Turn raw calls into records, with mask steps in place.

    Parameters
    ----------
    calls : sequence of RawCall
        From `w2vlearn.tracing.hooks`, in order; the first is the model itself.
    label : callable
        ``label(tensor) -> (shape, letters)``, asked once for equal shapes with equal axes: the shape to show (numbers,
        or expressions as text) and a letter per axis, lengths and B named, constants as numbers in text, unknown axes
        with a "?" before the number (it is taken away here). C, D, H, V and N are filled in here.
    inputs : Inputs, optional
        The clips and their lengths, which masks are held against; not needed where masks carry no values (a symbolic
        trace).

    Returns
    -------
    tuple of LayerRecord, dict, list of str
        The records, the values of C, D, H and V or N where those are clear, and notes on the masks.
    """
    shapes: dict[tuple[int, str, int], tuple] = {}
    letters: dict[tuple[int, str, int], tuple[str, ...]] = {}
    labels: dict[tuple, tuple[tuple, tuple[str, ...]]] = {}
    for i, call in enumerate(calls):
        for side, tensors in (("in", call.inputs), ("out", call.outputs)):
            for j, tensor in enumerate(tensors):
                key = (tensor.shape, tensor.axes)
                if key not in labels:
                    labels[key] = label(tensor)
                shapes[i, side, j], letters[i, side, j] = labels[key]
    modules = {id(call.module): call for call in calls}.values()
    heads = Counter(call.operation.heads for call in modules if call.operation.heads)
    letters, constants = constant_letters(calls, letters, heads.most_common(1)[0][0] if heads else None)

    parameters = parameter_counts(calls[0].module) if calls else {}
    masks = _Masks(inputs or Inputs(), calls)
    mixing = _mixing(calls, letters)
    known: dict[tuple, TensorInfo] = {}
    records: list[LayerRecord] = []
    for i, call in enumerate(calls):
        taken, given = (
            tuple([_info(t, shapes[i, side, j], letters[i, side, j], known) for j, t in enumerate(tensors)])
            for side, tensors in (("in", call.inputs), ("out", call.outputs))
        )
        handed = masks.handed(call, taken)
        if handed:
            records += masks.steps(call, handed)
        seen = tuple([mask.seen for mask in handed])
        records.append(
            LayerRecord(
                name=call.name,
                call=call.call,
                type=call.type,
                operation=call.operation,
                depth=call.depth,
                parameters=parameters.get(call.module, 0),
                inputs=taken,
                outputs=given,
                mask=next((mask for mask in seen if mask.kind != "time"), seen[0] if seen else None),
                masks=seen,
                mixes_time=mixing[i],
                valid=_valid(call),
                values=call.values,
            )
        )
    return tuple(records), constants, masks.notes


def _info(tensor: RawTensor, shape: tuple, letters: tuple[str, ...], known: dict[tuple, TensorInfo]) -> TensorInfo:
    """What a record says of a tensor; equal ones share it."""
    key = (tensor.path, shape, tensor.dtype, tensor.device, letters)
    if key not in known:
        letters = tuple([letter.removeprefix("?") for letter in letters])
        known[key] = TensorInfo(tensor.path, shape, _name(tensor.dtype), _name(tensor.device), letters)
    return known[key]


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
class _Handed:
    """A mask that a call was handed: as read, its tensor if it is one, and what it should mark valid."""

    seen: MaskSeen
    info: TensorInfo | None = None
    expected: tuple[int, ...] | None = None

    @property
    def noun(self) -> str:
        return f"{self.seen.kind} {'lengths' if self.seen.form in ('lengths', 'shares') else 'mask'}"


class _Masks:
    """Follows the padding mask from kind to kind through the calls; ``notes`` say what is wrong with one."""

    def __init__(self, inputs: Inputs, calls: Sequence[RawCall]) -> None:
        self.inputs = inputs
        self.root = calls[0] if calls else None
        self.notes: list[str] = []
        self.met: dict[tuple, _Handed] = {}
        self.noted: set[tuple] = set()
        self.readings: dict[tuple, mask_reading.Reading] = {}  # the calls keep the values alive that are keys here
        self.all_true = False  # the model was handed a mask that marks everything valid

    def handed(self, call: RawCall, infos: Sequence[TensorInfo]) -> list[_Handed]:
        """Every mask that a call was handed, read."""
        candidates = [pair for pair in zip(call.inputs, infos, strict=True) if pair[0].may_be_mask]
        if not (candidates or call.objects or call.nones):
            return []  # most calls
        read = [self._read(call, tensor, info) for tensor, info in candidates]
        masks = [mask for mask in read if mask is not None]
        masks += [_Handed(MaskSeen(name, "attention", "object", shape, kind)) for name, kind, shape in call.objects]
        padding = next((mask.seen for mask in masks if mask.seen.kind != "time"), None)
        if call is self.root:
            known = padding is not None and padding.valid is not None and self.inputs.lengths is not None
            self.all_true = known and min(padding.valid) >= self.inputs.samples
        elif self.all_true and padding is None:  # None where an all-true mask was dropped on the way
            names = [name for name in call.nones if not mask_reading.TIME_MASK.search(name)]
            if names:
                on_frames = any(kind == "frame" for kind, _ in self.met)
                kind = "attention" if on_frames and not mask_reading.PADDING.search(names[0]) else "frame"
                masks.append(_Handed(MaskSeen(names[0], kind, "none", (), "")))
        return masks

    def _read(self, call: RawCall, tensor: RawTensor, info: TensorInfo) -> _Handed | None:
        inputs, is_lengths, given = self.inputs, len(info.shape) == 1, call is self.root
        kind = mask_reading.kind_of(info.path, info.letters, tensor.dtype)
        if kind is None:
            return None
        if tensor.values is None:
            return self._unread(tensor, info, "frame" if is_lengths and not self._is_given(tensor) else kind)
        source = call.inputs[0].axes if is_lengths else tensor.axes
        expected = valid_along(source) if source is not None else None
        if is_lengths:
            kind = mask_reading.lengths_kind(tensor.values.numbers.tolist(), inputs.lengths, expected, inputs.samples)
        if kind == "sample" and (given or is_lengths):
            expected = inputs.lengths
        argument = info.path.split(".")[-1].split("[")[0]
        key = (id(tensor.values), argument, kind, expected, given)
        if key not in self.readings:
            self.readings[key] = mask_reading.read(
                argument, tensor.values, kind, inputs.clips, expected, given, inputs.samples
            )
        reading = self.readings[key]
        if kind == "attention" and tensor.dtype.is_floating_point and reading.form != "additive":
            return None  # a bias or a picture, not a mask
        seen = MaskSeen(
            info.path, kind, reading.form, info.shape, info.dtype, reading.true_means, reading.lowest, reading.valid
        )
        mask = _Handed(seen, info, expected if kind != "time" else None)
        self._compare(call, mask, reading.inverted, tensor.identity)
        return mask

    def _unread(self, tensor: RawTensor, info: TensorInfo, kind: str) -> _Handed:
        """A mask without values (symbolic, or on the meta device): form and meaning by type and name."""
        if len(info.shape) == 1:
            return _Handed(MaskSeen(info.path, kind, "lengths", info.shape, info.dtype), info)
        form = "bool" if info.dtype == "bool" else "additive" if "float" in info.dtype else "integer"
        true_means = "padding" if mask_reading.PADDING.search(info.path) else "valid"
        true_means = "masked" if kind == "time" else "" if form == "additive" else true_means
        return _Handed(MaskSeen(info.path, kind, form, info.shape, info.dtype, true_means), info)

    def _is_given(self, tensor: RawTensor) -> bool:
        """Whether these lengths are the very tensor that the model was handed (then they count samples)."""
        return any(tensor.identity == other.identity for other in self.root.inputs if other.may_be_mask)

    def _compare(self, call: RawCall, mask: _Handed, inverted: bool, identity: int) -> None:
        """Say so where the model's own mask marks something else than what is valid."""
        seen, expected = mask.seen, mask.expected
        where = f"{seen.argument} handed to {call.name or 'the model'}"
        if inverted and ("inverted", identity) not in self.noted:
            self.noted.add(("inverted", identity))
            self.notes.append(
                f"{where}: by its name {'True' if seen.form == 'bool' else '1'} = {seen.true_means}, but its values "
                "look turned round (or the clips are padded on the left)"
            )
        if call is self.root or expected is None or seen.valid is None or ("wrong", identity) in self.noted:
            return
        wrong = [(i, *pair) for i, pair in enumerate(zip(expected, seen.valid, strict=True)) if pair[0] != pair[1]]
        if wrong:
            self.noted.add(("wrong", identity))
            each = "; ".join(f"clip {i}: expected {valid}, the model marks {marked}" for i, valid, marked in wrong)
            self.notes.append(f"the {seen.kind} mask is off, {where}: {each}")

    def steps(self, call: RawCall, handed: Sequence[_Handed]) -> list[LayerRecord]:
        """The mask steps that must have happened before this call: one for each new kind of mask."""
        steps = []
        for mask in handed:
            kind, letters = mask.seen.kind, mask.info.letters if mask.info else ()
            axis = next((letter for letter in reversed(letters) if is_time(letter)), "")
            key = (kind, axis if kind == "frame" else "")
            if kind == "time" or key in self.met:
                continue
            if mask.seen.form == "none" and any(kind == other for other, _ in self.met):
                continue
            source = next(reversed(self.met.values()), None)
            self.met[key] = mask
            if call is self.root:
                continue
            origin, target = source.noun if source else "no mask", mask.noun
            steps.append(
                LayerRecord(
                    name=f"{origin} -> {target}" + (f" ({axis})" if origin == target else ""),
                    type=MASK_STEP,
                    operation=Operation(MASK_STEP),
                    depth=call.depth,
                    inputs=(source.info,) if source and source.info else (),
                    outputs=(replace(mask.info, path="output"),) if mask.info else (),
                    mask=mask.seen,
                    masks=(mask.seen,),
                    valid=mask.expected,
                )
            )
        return steps
