"""The proving road: run `torch.export` with a symbolic batch and length, and listen to the layers while it does.

Export runs the model's own Python code with tensors that have sizes but no values; sizes that come from the batch or
from the clip length are symbols there. The observer's hooks fire during that run and see what each layer was handed,
with symbolic sizes. Nothing in here knows how a length becomes a number of frames.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.tracing.expression import Expression
from w2vlearn.tracing.from_sympy import from_sympy
from w2vlearn.tracing.hooks import RawCall, observing
from w2vlearn.tracing.twin import quietly, random_state_kept, twin

__all__ = ["ExportError", "Exported", "HollowRuns", "bare_twin", "bind", "export_calls"]


class ExportError(RuntimeError):
    """`torch.export` cannot follow this model.

    Attributes
    ----------
    layer : str
        Name of the module in whose forward it stopped (``""``: the model itself).
    operation : str
        The line of the model's code, with file and number, or torch's operator.
    """

    def __init__(self, message: str, layer: str = "", operation: str = ""):
        super().__init__(message)
        self.layer = layer
        self.operation = operation


@dataclass(frozen=True)
class Exported:
    """What one export run told.

    Attributes
    ----------
    calls : list of RawCall
        Every call of a module; in the shapes, numbers and an `Expression` in B and L for each symbolic size.
    ranges : mapping from str to (int, int or None)
        For B and L: the smallest and the largest value for which torch's derivation holds.
    guards : tuple of Expression
        Every condition on B and L that the run relied on.
    fixed : mapping from str to int
        B or L, if the model's code turned it into a constant.
    notes : tuple of str
        What had to be decided or left out, in words.
    """

    calls: list[RawCall]
    ranges: Mapping[str, tuple[int, int | None]]
    guards: tuple[Expression, ...]
    fixed: Mapping[str, int]
    notes: tuple[str, ...]


def bare_twin(model: nn.Module, convert: Callable[[Tensor], Tensor] = lambda tensor: tensor) -> nn.Module:
    """A second body for a module: in eval mode, without users' hooks; by default on the same tensors, so at no cost.

    Export reads sizes and types of parameters and never writes to them; what a forward stores in its modules lands
    in the twin.
    """

    def converted(tensor: Tensor) -> Tensor:
        new = convert(tensor)
        if isinstance(tensor, nn.Parameter) and not isinstance(new, nn.Parameter):
            new = nn.Parameter(new, tensor.requires_grad)
        return new

    with torch.no_grad():
        return twin(model, converted)


def bind(model: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments by name, as `torch.export` wants them for its table of dynamic sizes."""
    signature = inspect.signature(model.forward)
    bound = signature.bind(*args, **kwargs).arguments
    named: dict[str, Any] = {}
    for name, value in bound.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            named |= value
        elif kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
            raise ValueError(
                f"{type(model).__name__}.forward takes {name!r} by position only; wrap the model in a module whose "
                "forward names its arguments"
            )
        else:
            named[name] = value
    return {k: v for k, v in named.items() if v is not None}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Torch's own remarks about exporting are not for our users; what the model's code warns of passes."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._export", "torch.fx", "torch._dynamo")]
    levels = [(log, log.level) for log in loggers]
    library = Path(contextlib.__file__).parent  # Python's own; torch warns from inside `contextlib` too
    ours = (str(Path(torch.__file__).parent), *(str(library / name) for name in ("contextlib.py", "copy.py")))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for log in loggers:
            log.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for log, level in levels:
                log.setLevel(level)
    for w in caught:
        if not w.filename.startswith(ours):
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)


def export_calls(model: nn.Module, arguments: Mapping[str, Any], clips: int, samples: int) -> Exported:
    """Export a model with symbolic batch and length, and note every call of a module.

    Parameters
    ----------
    model : nn.Module
        Best a `bare_twin`; hooks go on it and off again.
    arguments : mapping from str to object
        Arguments of its forward by name. Each tensor axis of size ``clips`` becomes B, each of size ``samples`` L.
    clips, samples : int
        Example sizes: different from each other and from every fixed size of the arguments.

    Returns
    -------
    Exported

    Raises
    ------
    ExportError
        If torch cannot follow the model's code: names layer and operation, and says what still works.
    """
    meaning = {clips: "B", samples: "L"}
    dynamic = {
        name: {axis: torch.export.Dim.AUTO for axis, size in enumerate(value.shape) if size in meaning}
        if isinstance(value, Tensor)
        else None
        for name, value in arguments.items()
    }  # fmt: skip
    first: list[dict[str, tuple]] = []
    entered: list[str] = []

    def enter(module, args, kwargs):
        first.append({k: tuple(v.shape) for k, v in kwargs.items() if isinstance(v, Tensor)})

    handle = model.register_forward_pre_hook(enter, with_kwargs=True)
    try:
        with _quiet(), random_state_kept(), torch.no_grad(), observing(model, keep_fast_path=False) as calls:
            program = torch.export.export(model, (), dict(arguments), dynamic_shapes=dynamic, strict=False)
    except Exception as error:
        entered = [c.name for c in calls if c.error is not None or c.ended is None]
        raise _explain(model, error, entered[-1] if entered else None) from error
    finally:
        handle.remove()
    starts = [i for i, c in enumerate(calls) if c.name == ""]
    return _read(calls[starts[-1] :], first[-1], dynamic, arguments, meaning, program)


def _read(calls, first, dynamic, arguments, meaning, program) -> Exported:
    """Turn torch's symbols into B and L, its ranges and guards into conditions on them."""
    letters: dict[Any, Any] = {}
    fixed: dict[str, int] = {}
    notes: list[str] = []
    ranges: dict[str, tuple[int, int | None]] = {}
    divisible: list[Expression] = []
    environment = None
    for name, axes in dynamic.items():
        for axis in axes or ():
            letter = meaning[arguments[name].shape[axis]]
            size = first[name][axis]
            if not isinstance(size, torch.SymInt):
                fixed[letter] = int(size)
                continue
            environment = size.node.shape_env
            expr = size.node.expr
            if expr.is_Integer:
                fixed[letter] = int(expr)
                continue
            (symbol,) = expr.free_symbols if len(expr.free_symbols) == 1 else (None,)
            factor, rest = expr.as_coeff_Mul()
            if symbol is None or rest != symbol:
                raise ExportError(
                    f"torch states the size of {name!r}, axis {axis}, as {expr}: not a multiple of one symbol"
                )
            letters.setdefault(symbol, letter if factor == 1 else ("//", letter, int(factor)))
            if factor != 1:
                divisible.append(Expression(("==", ("%", letter, int(factor)), 0)))
            found = program.range_constraints.get(symbol)
            if found is not None:
                low = int(found.lower) * int(factor)
                high = int(found.upper) * int(factor) if found.upper.is_Integer else None
                before = ranges.get(letter, (1, None))
                highs = [h for h in (before[1], high) if h is not None]
                ranges[letter] = (max(low, before[0]), min(highs) if highs else None)
    for letter, value in fixed.items():
        ranges[letter] = (value, value)
        thing = {"B": "batch size", "L": "length"}[letter]
        notes.append(
            f"the model's code turned the {thing} into a constant: everything below holds for {letter} = {value} only"
        )
    guards, missed = _guards(environment, letters)
    notes += missed
    for letter in ("B", "L"):
        ranges.setdefault(letter, (1, None))
    _state_sizes(calls, letters)
    return Exported(calls, ranges, tuple(dict.fromkeys([*divisible, *guards])), fixed, tuple(notes))


def _guards(environment, letters) -> tuple[list[Expression], list[str]]:
    """Conditions that torch noted on the way, in B and L; and a remark for each that has no such form."""
    guards, missed = [], []
    for guard in getattr(environment, "guards", ()):
        expr = guard.expr.xreplace(environment.replacements)
        try:
            condition = from_sympy(expr, letters)
        except (KeyError, ValueError):
            missed.append(f"a condition that the proof relies on could not be stated in B and L: {expr}")
            continue
        if condition.tree is not True:
            guards.append(condition)
    return guards, list(dict.fromkeys(missed))


def _state_sizes(calls: list[RawCall], letters: Mapping[Any, Any]) -> None:
    """Put expressions in B and L in the place of torch's symbols; a size that depends on values keeps torch's name."""
    known: dict[Any, int | Expression] = {}

    def size(dim: Any) -> int | Expression:
        if not isinstance(dim, torch.SymInt):
            return int(dim)
        expr = dim.node.expr
        if expr not in known:
            unknown = {symbol: f"{symbol}" for symbol in expr.free_symbols if symbol not in letters}
            stated = from_sympy(expr, {**letters, **unknown})
            known[expr] = stated if stated.value is None else stated.value
        return known[expr]

    for call in calls:
        for tensors in (call.inputs, call.outputs):
            tensors[:] = [t._replace(shape=tuple(map(size, t.shape))) for t in tensors]


class HollowRuns:
    """Runs of a model on tensors that have sizes and no values (fake tensors): what each call's shapes are at plain
    numbers.

    Parameters
    ----------
    model : nn.Module
        Gets a hollow twin, once; not touched.
    """

    def __init__(self, model: nn.Module) -> None:
        from torch._subclasses.fake_tensor import FakeTensorMode  # no public name yet; only these checks need it

        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._body = bare_twin(model, self._hollow)

    def _hollow(self, tensor: Tensor) -> Tensor:
        with self._mode:
            return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")

    def run(self, arguments: Mapping[str, Any]) -> list[RawCall]:
        """Every call of a module; tensors in ``arguments`` stand for their shapes and types."""
        inputs = {k: self._hollow(v) if isinstance(v, Tensor) else v for k, v in arguments.items()}
        with quietly(), self._mode, observing(self._body, keep_fast_path=False) as calls:
            self._body(**inputs)
        return calls


def _explain(model: nn.Module, error: Exception, layer: str | None) -> ExportError:
    """Name the layer and the line of the model's code at which torch gave up."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    frames = [f for e in (error, root) for f in traceback.extract_tb(e.__traceback__)]
    own = [
        f
        for f in frames
        if "/torch/" not in f.filename and not f.filename.endswith(("tracing/export.py", "observe.py"))
    ]
    operation = (
        f"{own[-1].name}, line {own[-1].lineno} of {own[-1].filename.rsplit('/', 1)[-1]}: {own[-1].line}"
        if own
        else "?"
    )
    module = dict(model.named_modules()).get(layer or "", model)
    where = f"layer {layer!r} ({type(module).__name__})" if layer else f"the model itself ({type(module).__name__})"
    said = (str(root).strip() or type(root).__name__).splitlines()[0][:300]
    return ExportError(
        f"torch.export cannot follow {type(model).__name__}: it stops in {where}, at {operation}\n"
        f"  torch says: {type(root).__name__}: {said}\n"
        "  So no formula for every length can be proved for this model. What still works: w2vlearn.trace(model, batch) "
        "observes the same layers, shapes and masks on a real run.",
        layer or "",
        operation,
    )
