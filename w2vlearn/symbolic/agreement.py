"""Does a real run agree with the formulas? Everything that both state, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from w2vlearn.symbolic.evaluation import Shapes
from w2vlearn.tracing.records import CALLED, SKIPPED, LayerRecord, MaskSeen, Operation, TensorInfo

if TYPE_CHECKING:
    from w2vlearn.tracing.layers import Layers, Trace

_SHOWN = 20
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

    def __str__(self) -> str:
        where = (self.name or "the model itself") + (f" (call {self.call})" if self.call else "")
        letters = f" = ({', '.join(map(str, self.formula))})" if self.formula else ""
        return f"{where}, {self.field}: formula {_text(self.expected)}{letters}, observed {_text(self.observed)}"


def _text(value: Any) -> str:
    return f"({', '.join(map(str, value))})" if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class CheckReport:
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

    @classmethod
    def impossible(cls, why: str) -> CheckReport:
        """The report where there is nothing to compare with."""
        return cls((Difference("", 0, "batch", "a batch that the formulas hold for", why),))

    @property
    def ok(self) -> bool:
        """Whether everything that was compared agrees, and something was."""
        return not self.differences and self.tensors > 0

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        compared = (
            f"{self.layers} layer calls, {self.tensors} shapes, {self.masks} masks, "
            f"{self.counts} counts of valid positions"
        )
        if self.ok:
            lines = [f"agrees: {compared} compared"]
        else:
            n = len(self.differences)
            lines = [f"differs in {n} place{'s' * (n != 1)}: {compared} compared"]
            lines += [f"  {difference}" for difference in self.differences[:_SHOWN]]
            if n > _SHOWN:
                lines.append(f"  … and {n - _SHOWN} more, see .differences")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def compare(symbolic: Layers, shapes: Shapes, trace: Trace) -> CheckReport:
    """Compare an observed trace with the formulas; see `SymbolicTrace.check`.

    Parameters
    ----------
    symbolic : SymbolicTrace
        Records in letters.
    shapes : Shapes
        The same records at the trace's batch.
    trace : Trace

    Returns
    -------
    CheckReport
        Never an exception for a run that disagrees.
    """
    return _Comparison(symbolic, shapes, trace).report()


class _Comparison:
    """One pass over two lists of records."""

    def __init__(self, symbolic: Layers, shapes: Shapes, trace: Trace) -> None:
        self.symbolic, self.shapes, self.trace = symbolic, shapes, trace
        self.given = any(record.mask is not None for record in trace.records)
        self.tensors = self.masks = self.counts = self.layers = 0
        self.notes = [f"the formulas are {shapes.status} for B = {shapes.batch.clips}, L = {shapes.batch.samples}"]
        roots = [layers.records[0].masks if layers.records else () for layers in (shapes, trace)]
        # a caller may hand over 1 and 0 where the export handed over True and False: not the model's doing
        self.forms = {
            (one.form, other.form) for one, other in zip(*roots, strict=False)
            if {one.form, other.form} <= {"bool", "integer", "multiplicative"}
        }  # fmt: skip

    def report(self) -> CheckReport:
        differences = tuple(self._all())
        if self.given != any(record.mask is not None for record in self.symbolic.records):
            self.notes.append(
                f"the run was handed {'a' if self.given else 'no'} mask, the formulas were derived with "
                f"{'none' if self.given else 'one'}: derive them with symbolic_trace(model, mask={self.given})"
            )
        notes = tuple(dict.fromkeys(self.notes))
        return CheckReport(differences, self.layers, self.tensors, self.masks, self.counts, notes)

    def _all(self) -> Iterator[Difference]:
        for letter, value in self.trace.letters.items():
            if self.shapes.letters.get(letter, value) != value:
                yield Difference("", 0, f"letter {letter}", self.shapes.letters[letter], value)
        compared = set()
        for observed in self.trace.records:
            key = (observed.name, observed.call)
            if key not in self.shapes:
                if observed.is_mask_step:
                    yield Difference(*key, "mask step", "no such step", "a mask was made")
                elif observed.status == CALLED:
                    yield Difference(*key, "layer", "not called", f"called, {observed.type}")
                continue
            compared.add(key)
            self.layers += 1
            yield from self._record(self.shapes[key], self.symbolic[key], observed)
        if self.trace.error:
            self.notes.append(f"the run broke off, later layers were not compared: {self.trace.error}")
            return
        for record in self.shapes.records:
            key = (record.name, record.call)
            if key in compared or self._skipped(record.name):
                continue
            if record.is_mask_step and self._all_valid(self.symbolic[key].masks):
                self.notes.append(f"{record.name}: not in this run, the mask would be all true")
            else:
                yield Difference(*key, "layer", f"called, {record.type}", "not called")

    def _skipped(self, name: str) -> bool:
        """Whether a module above was skipped in the run: said there."""
        return any(r.status == SKIPPED and name.startswith(f"{r.name}.") for r in self.trace.records)

    def _all_valid(self, masks: Iterable[MaskSeen]) -> bool:
        """Whether such masks (in letters) mark nothing as padding in this batch: a library may then drop them."""
        if not self.given:
            return False
        axes = [next((d for d in reversed(m.shape) if self.shapes.valid_at(d) is not None), None) for m in masks]
        return bool(axes) and all(
            axis is not None and set(self.shapes.valid_at(axis)) == {self.shapes.size_of(axis)} for axis in axes
        )

    def _record(self, stated: LayerRecord, letters: LayerRecord, observed: LayerRecord) -> Iterator[Difference]:
        key = (observed.name, observed.call)
        if stated.status != observed.status:
            yield Difference(*key, "status", stated.status, observed.status)
            return
        for name in ("type", "depth", "parameters", "mixes_time"):
            if getattr(stated, name) != getattr(observed, name):
                yield Difference(*key, name, getattr(stated, name), getattr(observed, name))
        for part in fields(Operation):
            one, other = (getattr(record.operation, part.name) for record in (stated, observed))
            if part.name not in NOT_COMPARED[Operation] and one != other:
                yield Difference(*key, f"operation, {part.name}", one, other)
        if observed.is_mask_step and observed.mask is not None and observed.mask.form == "none":
            self.notes.append(f"{observed.name}: the library dropped an all-true mask")
        else:
            yield from self._tensors(key, observed, stated.inputs, letters.inputs, observed.inputs)
            yield from self._tensors(key, observed, stated.outputs, letters.outputs, observed.outputs)
        yield from self._masks(key, stated, letters, observed)
        if observed.valid is not None and stated.valid is not None:
            self.counts += 1
            if observed.valid != stated.valid:
                yield Difference(*key, "valid", stated.valid, observed.valid)

    def _tensors(
        self, key: tuple[str, int], record: LayerRecord, stated: tuple, letters: tuple, observed: tuple
    ) -> Iterator[Difference]:
        expected = {info.path: (info, in_letters) for info, in_letters in zip(stated, letters, strict=True)}
        for info in observed:
            if info.path not in expected:
                yield Difference(*key, info.path, "no such tensor", info.shape)
                continue
            one, in_letters = expected.pop(info.path)
            self.tensors += 1
            if not _same_sizes(one.shape, info.shape):
                yield Difference(*key, info.path, one.shape, info.shape, in_letters.shape)
            elif any(a != b and not b.isdigit() for a, b in zip(one.letters, info.letters, strict=True)):
                yield Difference(*key, f"letters of {info.path}", one.letters, info.letters)
        dropped = {mask.argument for mask in record.masks if mask.form == "none"}
        for path, (one, in_letters) in expected.items():
            if path in dropped or self._all_valid(m for m in self.symbolic[key].masks if m.argument == path):
                self.notes.append(f"the mask {path!r} is all true here, and the library drops it on the way")
            else:
                yield Difference(*key, path, one.shape, "no such tensor", in_letters.shape)

    def _masks(
        self, key: tuple[str, int], stated: LayerRecord, letters: LayerRecord, observed: LayerRecord
    ) -> Iterator[Difference]:
        in_letters = {mask.argument: mask.shape for mask in letters.masks}
        masks = {mask.argument: mask for mask in stated.masks}
        for mask in observed.masks:
            if mask.form == "none":
                continue
            one = masks.pop(mask.argument, None)
            if one is None:
                yield Difference(*key, f"mask {mask.argument}", "no mask", f"{mask.kind} mask")
                continue
            self.masks += 1
            yield from self._mask(key, one, mask, in_letters[mask.argument])
        dropped = {mask.argument for mask in observed.masks if mask.form == "none"}
        for argument, one in masks.items():
            if argument not in dropped and not self._all_valid(m for m in letters.masks if m.argument == argument):
                yield Difference(*key, f"mask {argument}", f"{one.kind} mask", "no mask")
        if observed.mask is not None and observed.mask not in observed.masks and stated.mask is not None:
            yield from self._mask(key, stated.mask, observed.mask, in_letters[stated.mask.argument])
        elif observed.mask is None and observed.masks:
            yield Difference(*key, "mask", stated.mask and stated.mask.argument, None)

    def _mask(self, key: tuple[str, int], stated: MaskSeen, observed: MaskSeen, letters: tuple) -> Iterator[Difference]:
        if (stated.form, observed.form) in self.forms:
            stated = replace(stated, form=observed.form)
        for part in fields(MaskSeen):
            one, other = getattr(stated, part.name), getattr(observed, part.name)
            if part.name in NOT_COMPARED[MaskSeen] or one == other:
                continue
            if part.name == "valid" and None in (one, other):  # not both state it
                continue
            if part.name == "shape" and _same_sizes(one, other):
                continue
            formula = letters if part.name == "shape" else None
            yield Difference(*key, f"mask {stated.argument}, {part.name}", one, other, formula)


def _same_sizes(stated: tuple, observed: tuple) -> bool:
    """Shapes agree; a size that depends on values (no number in the formula) agrees with anything."""
    return len(stated) == len(observed) and all(
        a == b or isinstance(a, str) for a, b in zip(stated, observed, strict=True)
    )
