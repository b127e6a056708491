"""Does a real run agree with the formulas? Every shape, every mask, every count of real positions, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from w2vlearn.tracing.record import LayerRecord, MaskSeen, TensorInfo, Trace
from w2vlearn.tracing.shapes import Shapes
from w2vlearn.tracing.symbolic import SymbolicTrace

__all__ = ["CheckReport", "Difference", "check"]

_SHOWN = 20


@dataclass(frozen=True)
class Difference:
    """One place at which a run and the formulas disagree.

    Attributes
    ----------
    name, call
        The layer, as in `LayerRecord`; ``""`` is the model itself.
    what : str
        ``"output"``, ``"hidden_states"``, ``"mask attention_mask"``, ``"real positions"``, ``"layer"``, …
    expected, found : object
        What the formulas say, and what was observed.
    formula : tuple of int or str, optional
        The shape in letters.
    """

    name: str
    call: int
    what: str
    expected: Any
    found: Any
    formula: tuple[int | str, ...] | None = None

    def __str__(self) -> str:
        where = (self.name or "the model itself") + (f" (call {self.call})" if self.call else "")
        letters = f" = ({', '.join(map(str, self.formula))})" if self.formula else ""
        return f"{where}, {self.what}: formula {_text(self.expected)}{letters}, observed {_text(self.found)}"


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
        How many calls, tensor shapes, masks and counts of real positions were compared.
    notes : tuple of str
        What could not be compared, and why; and whether the formulas are proved for this batch.
    """

    differences: tuple[Difference, ...] = ()
    layers: int = 0
    tensors: int = 0
    masks: int = 0
    counts: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether everything that was compared agrees, and something was."""
        return not self.differences and self.tensors > 0

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        compared = (
            f"{self.layers} layer calls, {self.tensors} shapes, {self.masks} masks, "
            f"{self.counts} counts of real positions"
        )
        if self.ok:
            lines = [f"agrees: {compared} compared"]
        else:
            n = len(self.differences)
            lines = [f"differs in {n} place{'s' * (n != 1)}: {compared} compared"]
            lines += [f"  {d}" for d in self.differences[:_SHOWN]]
            if n > _SHOWN:
                lines.append(f"  … and {n - _SHOWN} more, see .differences")
        return "\n".join([*lines, *(f"  note: {n}" for n in self.notes)])


def check(s: SymbolicTrace, trace: Trace) -> CheckReport:
    """Compare an observed trace with the formulas; see `SymbolicTrace.check`.

    Parameters
    ----------
    s : SymbolicTrace
    trace : Trace
        Of the same model, with the same arguments (mask or no mask).

    Returns
    -------
    CheckReport
        Never an exception for a run that disagrees.
    """
    batch = trace.batch
    if batch is None:
        return _impossible(
            "the trace does not say what its batch was (B and L), so there is nothing to put into the formulas"
        )
    try:
        said = s.at(B=batch.clips, L=batch.samples, lengths=batch.lengths or (batch.samples,) * batch.clips)
    except (ValueError, TypeError) as error:
        return _impossible(str(error))
    return _Comparison(s, said, trace).report()


def _impossible(why: str) -> CheckReport:
    return CheckReport((Difference("", 0, "batch", "a batch that the formulas hold for", why),))


class _Comparison:
    """One pass over two lists of records."""

    def __init__(self, s: SymbolicTrace, said: Shapes, trace: Trace) -> None:
        self.s, self.said, self.trace = s, said, trace
        self.given = any(r.mask is not None for r in trace.records)
        self.tensors = self.masks = self.counts = self.layers = 0
        self.notes: list[str] = [f"the formulas are {said.status} for B = {said.clips}, L = {said.samples}"]

    def report(self) -> CheckReport:
        differences = tuple(self._all())
        given = self.given
        if given != any(r.mask is not None for r in self.s.records):
            self.notes.append(
                f"the run was handed {'a' if given else 'no'} mask, the formulas were derived with "
                f"{'none' if given else 'one'}: derive them with symbolic_trace(model, mask={given})"
            )
        notes = tuple(dict.fromkeys(self.notes))
        return CheckReport(differences, self.layers, self.tensors, self.masks, self.counts, notes)

    def _all(self) -> Iterator[Difference]:
        met = set()
        for found in self.trace.records:
            key = (found.name, found.call)
            if found.skipped:
                self.notes.append(f"{found.name} was not called in this run")
                continue
            if key not in self.said:
                if found.is_mask_step:
                    yield Difference(*key, "mask step", "no such step", found.what)
                else:
                    yield Difference(*key, "layer", "not called", f"called, {found.type}")
                continue
            met.add(key)
            self.layers += 1
            yield from self._record(self.said[key], self.s[key], found)
        if self.trace.error:
            self.notes.append(f"the run broke off, later layers were not compared: {self.trace.error}")
            return
        for record in self.said.records:
            key = (record.name, record.call)
            if key not in met and not self.trace_skipped(record.name):
                if record.is_mask_step and self._all_real(self.s[key].masks):
                    self.notes.append(f"{record.name}: not in this run, the mask would be all true")
                else:
                    yield Difference(*key, "layer", f"called, {record.type}", "not called")

    def trace_skipped(self, name: str) -> bool:
        """Whether a module, or one above it, was skipped in the run."""
        return any(r.skipped and (name == r.name or name.startswith(f"{r.name}.")) for r in self.trace.records)

    def _all_real(self, masks: Iterable[MaskSeen]) -> bool:
        """Whether such masks (in letters) mark nothing as padding in this batch: a library may then drop them."""
        if not self.given:
            return False
        axes = [next((d for d in reversed(m.shape) if self.said.real_at(d) is not None), None) for m in masks]
        return bool(axes) and all(a is not None and set(self.said.real_at(a)) == {self.said.size_of(a)} for a in axes)

    def _record(self, said: LayerRecord, letters: LayerRecord, found: LayerRecord) -> Iterator[Difference]:
        if found.is_mask_step and found.mask is not None and found.mask.form == "none":
            self.notes.append(f"{found.name}: {found.mask.convention}")
        else:
            yield from self._infos(found, said.inputs, letters.inputs, found.inputs)
            yield from self._infos(found, said.outputs, letters.outputs, found.outputs)
        yield from self._masks(said, letters, found)
        if found.valid is not None and said.valid is not None:
            self.counts += 1
            if tuple(found.valid) != tuple(said.valid):
                yield Difference(found.name, found.call, "real positions", tuple(said.valid), tuple(found.valid))

    def _infos(self, found: LayerRecord, said, letters, observed) -> Iterator[Difference]:
        expected = {t.path: (t, in_letters) for t, in_letters in zip(said, letters, strict=True)}
        for tensor in observed:
            if tensor.path not in expected:
                yield Difference(found.name, found.call, tensor.path, "no such tensor", tensor.shape)
                continue
            stated, in_letters = expected.pop(tensor.path)
            self.tensors += 1
            if not _same(stated, tensor):
                yield Difference(
                    found.name, found.call, tensor.path, stated.shape, tuple(tensor.shape), in_letters.shape
                )
        dropped = {m.argument for m in found.masks if m.form == "none"}
        for path, (stated, in_letters) in expected.items():
            masks = [m for m in self.s[found.name, found.call].masks if m.argument == path]
            if path in dropped or self._all_real(masks):
                self.notes.append(f"the mask {path!r} is all true here, and the library drops it on the way")
            else:
                yield Difference(found.name, found.call, path, stated.shape, "no such tensor", in_letters.shape)

    def _masks(self, said: LayerRecord, letters: LayerRecord, found: LayerRecord) -> Iterator[Difference]:
        stated = {m.argument: (m, n) for m, n in zip(said.masks, letters.masks, strict=True)}
        for mask in found.masks:
            if mask.form == "none":
                continue
            if mask.argument not in stated:
                yield Difference(found.name, found.call, f"mask {mask.argument}", "no mask", f"{mask.kind} mask")
                continue
            expected, in_letters = stated[mask.argument]
            self.masks += 1
            if tuple(mask.shape) != tuple(expected.shape) or mask.kind != expected.kind:
                what = f"mask {mask.argument}"
                kind = f"{expected.kind} mask {_text(tuple(expected.shape))}"
                seen = f"{mask.kind} mask {_text(tuple(mask.shape))}"
                yield Difference(found.name, found.call, what, kind, seen, in_letters.shape)


def _same(stated: TensorInfo, found: TensorInfo) -> bool:
    """Shapes agree; a size that depends on values (no number in the formula) agrees with anything."""
    return len(stated.shape) == len(found.shape) and all(
        a == b or isinstance(a, str) for a, b in zip(stated.shape, found.shape, strict=True)
    )
