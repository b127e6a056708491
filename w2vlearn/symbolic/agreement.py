"""Does a real run agree with the formulas? Everything that both state, layer by layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from w2vlearn.shown import Shown
from w2vlearn.tracing.records import CALLED, SKIPPED, LayerRecord, MaskSeen, Operation, TensorInfo

if TYPE_CHECKING:
    from w2vlearn.symbolic.evaluation import Shapes
    from w2vlearn.tracing.hooks import RawCall
    from w2vlearn.tracing.layers import Trace

_MASKS_OF_ONES = {"bool", "integer", "multiplicative"}
# What a run may have otherwise than the export run, without disagreeing with any formula.
NOT_COMPARED = {
    TensorInfo: {"dtype", "device"},  # the caller's precision and place
    MaskSeen: {"dtype", "lowest"},
    Operation: {"training", "stored_statistics"},  # formulas are derived in eval mode
    LayerRecord: {"values"},
}


@dataclass(frozen=True)
class Difference:
    """One place at which a run and the formulas disagree.

    Attributes
    ----------
    name, call
        The layer, as in `LayerRecord`; ``""`` is the model itself.
    field : str
        ``"output"``, ``"letters of hidden_states"``, ``"mask attention_mask, kind"``, ``"valid"``, ``"status"``, …
    expected, observed : object
        What the formulas say, and what was observed.
    formula : tuple of int or str, optional
        The shape in letters.
    """

    name: str
    call: int
    field: str
    expected: Any
    observed: Any
    formula: tuple[int | str, ...] | None = None


@dataclass(frozen=True)
class CheckReport(Shown):
    """The outcome of `SymbolicTrace.check`; true in a condition if all agrees.

    Attributes
    ----------
    differences : tuple of Difference
        Empty if the run agrees with the formulas.
    layers, tensors, masks, counts : int
        How many calls, tensor shapes, masks and counts of valid positions were compared.
    notes : tuple of str
        What could not be compared, and why; and whether the formulas are proved for this batch.
    """

    differences: tuple[Difference, ...] = ()
    layers: int = 0
    tensors: int = 0
    masks: int = 0
    counts: int = 0
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything that was compared agrees, and something was."""
        return not self.differences and self.tensors > 0

    def __bool__(self) -> bool:
        return self.ok


def compare(shapes: Shapes, trace: Trace) -> CheckReport:
    """Compare an observed trace with the formulas at its batch; never an exception for a run that disagrees."""
    return _Comparison(shapes, trace).report()


class _Comparison:
    """One pass over two lists of records."""

    def __init__(self, shapes: Shapes, trace: Trace) -> None:
        self.shapes, self.trace = shapes, trace
        self.given = any(record.mask is not None for record in trace.records)
        self.compared: Counter[str] = Counter()
        self.notes = [f"the formulas are {shapes.status} for B = {shapes.batch.clips}, L = {shapes.batch.samples}"]
        roots = [layers.records[0].masks if layers.records else () for layers in (shapes, trace)]
        # a caller may hand over 1 and 0 where the export handed over True and False: not the model's doing
        self.forms = {(a.form, b.form) for a, b in zip(*roots, strict=False) if {a.form, b.form} <= _MASKS_OF_ONES}

    def report(self) -> CheckReport:
        differences = tuple(self._all())
        if self.given != any(record.mask is not None for record in self.shapes.symbolic):
            self.notes.append(
                f"the run was handed {'a' if self.given else 'no'} mask, the formulas were derived with "
                f"{'none' if self.given else 'one'}: derive them with symbolic_trace(model, mask={self.given})"
            )
        return CheckReport(differences, **self.compared, notes=tuple(dict.fromkeys(self.notes)))

    def _all(self) -> Iterator[Difference]:
        for letter, value in self.trace.letters.items():
            if self.shapes.letters.get(letter, value) != value:
                yield Difference("", 0, f"letter {letter}", self.shapes.letters[letter], value)
        stated = {(record.name, record.call): record for record in self.shapes.records}
        for observed in self.trace.records:
            key = (observed.name, observed.call)
            if key in stated:
                self.compared["layers"] += 1
                yield from self._record(key, stated.pop(key), observed)
            elif observed.is_mask_step:
                yield Difference(*key, "mask step", "no such step", "a mask was made")
            elif observed.status == CALLED:
                yield Difference(*key, "layer", "not called", f"called, {observed.type}")
        if self.trace.error:
            self.notes.append(f"the run broke off, later layers were not compared: {self.trace.error}")
            return
        skipped = tuple(f"{record.name}." for record in self.trace.records if record.status == SKIPPED)
        for key, record in stated.items():
            if record.is_mask_step and record.masks and all(map(self._all_valid, record.masks)):
                self.notes.append(f"{record.name}: not in this run, the mask would be all true")
            elif not record.name.startswith(skipped):  # below a skipped module: said there
                yield Difference(*key, "layer", f"called, {record.type}", "not called")

    def _all_valid(self, mask: MaskSeen) -> bool:
        """Whether such a mask marks nothing as padding in this batch: a library may then drop it."""
        return self.given and mask.valid is not None and set(mask.valid) <= set(mask.shape[-1:])

    def _record(self, key: tuple[str, int], stated: LayerRecord, observed: LayerRecord) -> Iterator[Difference]:
        if stated.status != observed.status:
            yield Difference(*key, "status", stated.status, observed.status)
            return
        yield from self._fields(key, stated, observed, "", ("type", "depth", "parameters", "mixes_time", "valid"))
        yield from self._fields(key, stated.operation, observed.operation, "operation, ")
        self.compared["counts"] += stated.valid is not None and observed.valid is not None
        dropped = {mask.argument for mask in observed.masks if mask.form == "none"}
        optional = dropped | {mask.argument for mask in stated.masks if self._all_valid(mask)}
        if observed.is_mask_step and observed.mask is not None and observed.mask.form == "none":
            self.notes.append(f"{observed.name}: the library dropped an all-true mask")
        else:
            yield from self._tensors(key, stated, observed, optional)
        yield from self._masks(key, stated, observed, optional)

    def _fields(
        self, key: tuple[str, int], stated: Any, observed: Any, prefix: str, names: Sequence[str] = ()
    ) -> Iterator[Difference]:
        """The fields that differ; of all that are compared, or of these."""
        for name in names or [f.name for f in fields(stated) if f.name not in NOT_COMPARED[type(stated)]]:
            one, other = getattr(stated, name), getattr(observed, name)
            if one == other or (name == "valid" and None in (one, other)):  # not both state it
                continue
            if (name == "form" and (one, other) in self.forms) or (name == "shape" and same_sizes(one, other)):
                continue
            yield Difference(*key, f"{prefix}{name}", one, other)

    def _tensors(
        self, key: tuple[str, int], stated: LayerRecord, observed: LayerRecord, optional: set[str]
    ) -> Iterator[Difference]:
        symbolic, expected, seen = map(by_place, (self.shapes.symbolic[key], stated, observed))
        for place in dict.fromkeys([*seen, *expected]):
            one, info, (_, path) = expected.get(place), seen.get(place), place
            if one is None:
                yield Difference(*key, path, "no such tensor", info.shape)
            elif info is None and path in optional:
                self.notes.append(f"the mask {path!r} is all true here, and the library drops it on the way")
            elif info is None or not same_sizes(one.shape, info.shape):
                found = "no such tensor" if info is None else info.shape
                yield Difference(*key, path, one.shape, found, symbolic[place].shape)
            elif any(a != b and not b.isdigit() for a, b in zip(one.letters, info.letters, strict=True)):
                yield Difference(*key, f"letters of {path}", one.letters, info.letters)
            self.compared["tensors"] += place in expected and place in seen

    def _masks(
        self, key: tuple[str, int], stated: LayerRecord, observed: LayerRecord, optional: set[str]
    ) -> Iterator[Difference]:
        expected = {mask.argument: mask for mask in stated.masks}
        seen = {mask.argument: mask for mask in observed.masks if mask.form != "none"}
        for argument in dict.fromkeys([*seen, *expected]):
            one, mask = expected.get(argument), seen.get(argument)
            if one is not None and mask is not None:
                self.compared["masks"] += 1
                yield from self._fields(key, one, mask, f"mask {argument}, ")
            elif one is None or argument not in optional:
                kinds = (f"{each.kind} mask" if each else "no mask" for each in (one, mask))
                yield Difference(*key, f"mask {argument}", *kinds)
        if observed.mask is None and observed.masks:
            yield Difference(*key, "mask", stated.mask and stated.mask.argument, None)


def by_place(record: LayerRecord | RawCall) -> dict[tuple[str, str], Any]:
    """The tensors of one call by side and path; an argument, too, may be called "output"."""
    return {(side, tensor.path): tensor for side in ("inputs", "outputs") for tensor in getattr(record, side)}


def same_sizes(stated: tuple, observed: tuple) -> bool:
    """Shapes agree; a size that depends on values (no number in the formula) agrees with anything."""
    return len(stated) == len(observed) and all(
        a == b or isinstance(a, str) for a, b in zip(stated, observed, strict=True)
    )
