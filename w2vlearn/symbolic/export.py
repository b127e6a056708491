"""Run `torch.export` with a symbolic batch and length, and listen to the layers while it does.

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sympy
import torch
from torch import Tensor, nn

from w2vlearn.symbolic.expressions import from_torch, parse, symbol
from w2vlearn.symbolic.isolation import globals_kept, isolated_copy
from w2vlearn.tracing.hooks import RawCall, observing
from w2vlearn.tracing.run_state import eager, random_state_kept

_LIBRARIES = (Path(torch.__file__).parent, Path(contextlib.__file__).parent, Path(__file__).parents[1] / "tracing")


class ExportError(RuntimeError):
    """`torch.export` cannot follow this model.

    Attributes
    ----------
    layer : str
        Name of the module in whose forward it stopped (``""``: the model itself).
    operation : str
        The line of the model's code, with file and number, or torch's operator.
    """

    def __init__(self, message: str, layer: str = "", operation: str = "") -> None:
        super().__init__(message)
        self.layer = layer
        self.operation = operation


@dataclass(frozen=True)
class Exported:
    """What one export run told.

    Attributes
    ----------
    calls : list of RawCall
        Every call of a module; in the shapes, an int or a sympy expression in B and L for each size.
    ranges : mapping from str to (int, int or None)
        For B and L: the smallest and the largest value for which torch's derivation holds.
    guards : tuple of sympy.Basic
        Every condition on B and L that the run relied on.
    fixed : mapping from str to int
        B or L, if the model's code turned it into a constant.
    notes : tuple of str
        What had to be decided or left out, in words.
    """

    calls: list[RawCall]
    ranges: Mapping[str, tuple[int, int | None]]
    guards: tuple[sympy.Basic, ...]
    fixed: Mapping[str, int]
    notes: tuple[str, ...]


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
    return {name: value for name, value in named.items() if value is not None}


@contextlib.contextmanager
def isolated_run(model: nn.Module) -> Iterator[None]:
    """The code of ``model`` may run on tensors without values: no compiler, no gradients, globals kept."""
    with eager(), random_state_kept(), globals_kept(model), torch.no_grad():
        yield


@contextlib.contextmanager
def _quiet(pass_on: bool = True) -> Iterator[None]:
    """Torch's own remarks about exporting are not for our users; what the model's code warns of passes, once."""
    names = ("torch.export", "torch._export", "torch.fx", "torch._dynamo", "torch._subclasses.fake_tensor")
    loggers = [logging.getLogger(name) for name in names]
    levels = [(logger, logger.level) for logger in loggers]
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)
        for warning in caught:
            if pass_on and is_users(warning.filename):
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def is_users(file: str) -> bool:
    """Whether a file is neither torch's nor of the standard library nor one of the observer's, on any system."""
    path = Path(file)
    if path.is_relative_to(_LIBRARIES[1]) and "site-packages" not in path.parts:
        return False
    return not any(path.is_relative_to(folder) for folder in (_LIBRARIES[0], _LIBRARIES[2], Path(__file__).parent))


def export_calls(model: nn.Module, arguments: Mapping[str, Any], clips: int, samples: int) -> Exported:
    """Export a copy of a model with symbolic batch and length, and note every call of a module.

    Parameters
    ----------
    model : nn.Module
        Not touched.
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

    def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
        first.append({name: tuple(value.shape) for name, value in kwargs.items() if isinstance(value, Tensor)})

    calls: list[RawCall] = []
    try:
        with torch.no_grad():
            body, notes = isolated_copy(model)
        body.register_forward_pre_hook(enter, with_kwargs=True)
        with _quiet(), isolated_run(model), observing(body, keep_fast_path=False) as calls:
            program = torch.export.export(body, (), dict(arguments), dynamic_shapes=dynamic, strict=False)
    except Exception as error:
        entered = [call.name for call in calls if call.error is not None or call.ended is None]
        raise _explained(model, error, entered[-1] if entered else None) from error
    starts = [i for i, call in enumerate(calls) if call.name == ""]
    return _read(calls[starts[-1] :], first[-1], dynamic, arguments, meaning, program, notes)


def _read(
    calls: list[RawCall],
    first: Mapping[str, tuple],
    dynamic: Mapping[str, Any],
    arguments: Mapping[str, Any],
    meaning: Mapping[int, str],
    program: Any,
    notes: list[str],
) -> Exported:
    """Turn torch's symbols into B and L, its ranges and guards into conditions on them."""
    letters: dict[sympy.Symbol, sympy.Basic] = {}
    fixed: dict[str, int] = {}
    ranges: dict[str, tuple[int, int | None]] = {}
    guards: list[sympy.Basic] = []
    environment = None
    for name, axes in dynamic.items():
        for axis in axes or ():
            letter = meaning[arguments[name].shape[axis]]
            size = first[name][axis]
            if not isinstance(size, torch.SymInt) or size.node.expr.is_Integer:
                fixed[letter] = int(size)
                continue
            environment = size.node.shape_env
            expr = size.node.expr
            factor, unknown = expr.as_coeff_Mul()
            if not unknown.is_Symbol:
                raise ExportError(
                    f"torch states the size of {name!r}, axis {axis}, as {expr}: not a multiple of one symbol"
                )
            letters.setdefault(unknown, parse(f"{letter} // {factor}"))
            if factor != 1:
                guards.append(parse(f"{letter} % {factor} == 0"))
            bounds = program.range_constraints.get(unknown)
            if bounds is not None:
                low = int(bounds.lower) * int(factor)
                high = int(bounds.upper) * int(factor) if bounds.upper.is_Integer else None
                before = ranges.get(letter, (1, None))
                highs = [h for h in (before[1], high) if h is not None]
                ranges[letter] = (max(low, before[0]), min(highs) if highs else None)
    for letter, value in fixed.items():
        ranges[letter] = (value, value)
        axis = {"B": "batch size", "L": "length"}[letter]
        notes.append(
            f"the model's code turned the {axis} into a constant: everything below holds for {letter} = {value} only"
        )
    for guard in getattr(environment, "guards", ()):
        expr = guard.expr.xreplace(environment.replacements)
        try:
            guards.append(from_torch(expr, letters))
        except (KeyError, ValueError):
            notes.append(f"a condition that the proof relies on could not be stated in B and L: {expr}")
    for letter in ("B", "L"):
        ranges.setdefault(letter, (1, None))
    _state_sizes(calls, letters)
    guards = [guard for guard in dict.fromkeys(guards) if guard is not sympy.true]
    return Exported(calls, ranges, tuple(guards), fixed, tuple(dict.fromkeys(notes)))


def _state_sizes(calls: list[RawCall], letters: Mapping[sympy.Symbol, sympy.Basic]) -> None:
    """Put expressions in B and L in the place of torch's symbols; a size that depends on values keeps torch's name."""
    known: dict[sympy.Basic, int | sympy.Basic] = {}

    def size(dim: Any) -> int | sympy.Basic:
        if not isinstance(dim, torch.SymInt):
            return int(dim)
        expr = dim.node.expr
        if expr not in known:
            unknown = {s: symbol(s.name) for s in expr.free_symbols if s not in letters}
            stated = from_torch(expr, {**letters, **unknown})
            known[expr] = int(stated) if stated.is_Integer else stated
        return known[expr]

    for call in calls:
        for tensors in (call.inputs, call.outputs):
            tensors[:] = [tensor._replace(shape=tuple(map(size, tensor.shape))) for tensor in tensors]


class FakeRuns:
    """Runs of a model on tensors that have sizes and no values: what each call's shapes are at plain numbers.

    Parameters
    ----------
    model : nn.Module
        Copied once; not touched.
    """

    def __init__(self, model: nn.Module) -> None:
        from torch._subclasses.fake_tensor import FakeTensorMode  # no public name yet; only these runs need it

        self._model = model
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        with torch.no_grad():
            self._body, _ = isolated_copy(model, self._fake)

    def _fake(self, tensor: Tensor) -> Tensor:
        with self._mode:
            return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")

    def run(self, arguments: Mapping[str, Any]) -> list[RawCall]:
        """Every call of a module; tensors in ``arguments`` stand for their shapes and types."""
        inputs = {k: self._fake(v) if isinstance(v, Tensor) else v for k, v in arguments.items()}
        listening = observing(self._body, keep_fast_path=False)
        with _quiet(pass_on=False), isolated_run(self._model), self._mode, listening as calls:
            self._body(**inputs)
        return calls


def _explained(model: nn.Module, error: Exception, layer: str | None) -> ExportError:
    """Name the layer and the line of the model's code at which torch gave up."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    frames = [frame for e in (error, root) for frame in traceback.extract_tb(e.__traceback__)]
    own = next((frame for frame in reversed(frames) if is_users(frame.filename)), None)
    operation = f"{own.name}, line {own.lineno} of {Path(own.filename).name}: {own.line}" if own else "?"
    module = dict(model.named_modules()).get(layer or "", model)
    where = f"layer {layer!r} ({type(module).__name__})" if layer else f"the model itself ({type(module).__name__})"
    reason = (str(root).strip() or type(root).__name__).splitlines()[0][:300]
    return ExportError(
        f"torch.export cannot follow {type(model).__name__}: it stops in {where}, at {operation}\n"
        f"  torch says: {type(root).__name__}: {reason}\n"
        "  So no formula for every length can be proved for this model. What still works: w2vlearn.trace(model, batch) "
        "observes the same layers, shapes and masks on a real run.",
        layer or "",
        operation,
    )
