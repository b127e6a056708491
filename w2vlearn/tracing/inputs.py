"""What a model is handed: a batch fitted to the forward's signature, and where in any arguments the clips are.

Three conventions are known: Hugging Face (``input_values, attention_mask``; True = valid), torchaudio (``waveforms,
lengths``; a count of samples) and fairseq (``source, padding_mask``; True = padding). Others are taken by the same
rules where their names say enough; where they do not, the error shows how to pass the arguments by hand.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.tracing.inspection import argument_names, tensors_in
from w2vlearn.tracing.marks import CLIPS, CONSTANT, UNKNOWN
from w2vlearn.tracing.masks import LENGTHS, MASK_NAME, TIME_MASK, MaskReader, read

_NOT_WAVEFORMS = re.compile(r"^(input_ids|input_features|pixel_values|tokens|spectrogram|mel)", re.IGNORECASE)
_RELATIVE = re.compile(r"^wav(eform)?s?_len", re.IGNORECASE)  # SpeechBrain: shares of the longest clip, 0 … 1
_WRAPPED = ("module", "base_model", "model", "_orig_mod")  # where DataParallel, PEFT and others keep the model
NO_MASK = "takes no mask and no lengths: it is handed none"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a forward."""

    name: str
    required: bool
    default: Any = None


def is_batch(value: Any) -> bool:
    """Anything with waveforms, lengths and a mask counts as a batch."""
    return not isinstance(value, nn.Module) and all(hasattr(value, name) for name in ("waveforms", "lengths", "mask"))


def parameters_of(model: nn.Module) -> tuple[list[Parameter], bool] | None:
    """The forward's named parameters, and whether it takes ``*args``; None if it has no signature."""
    if isinstance(model, torch.jit.ScriptModule):
        arguments = model.forward.schema.arguments[1:]
        return [Parameter(a.name, not a.has_default_value(), a.default_value) for a in arguments], False
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):
        return None
    parameters, star = [], False
    for p in signature.parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            star = True
        elif p.kind is not p.VAR_KEYWORD:
            parameters.append(Parameter(p.name, p.default is p.empty, None if p.default is p.empty else p.default))
    return parameters, star


def _signature_owner(model: nn.Module) -> nn.Module:
    """The module whose forward says what is taken: of a wrapper that hands everything on, the one inside it."""
    for _ in range(8):
        read_parameters = parameters_of(model)
        if read_parameters is None or read_parameters[0] or isinstance(model, nn.Sequential):
            return model
        inner = [getattr(model, name, None) for name in _WRAPPED]
        inner = [module for module in inner if isinstance(module, nn.Module)]
        children = list(model.children())
        if not inner and len(children) == 1:
            inner = children
        if not inner:
            return model
        model = inner[0]
    return model


def from_batch(model: nn.Module, batch: Any, given: dict[str, Any]) -> tuple[tuple, dict[str, Any], list[str]]:
    """The arguments for a batch.

    Parameters
    ----------
    model : nn.Module
        The model whose forward decides; of a wrapper whose forward is ``(*args, **kwargs)``, the model inside.
    batch : Batch
        Anything with ``waveforms`` (B, L), ``lengths`` (B,) and ``mask`` (B, L) bool, True = valid.
    given : dict
        Keyword arguments that the caller passes beside the batch; they win.

    Returns
    -------
    tuple, dict, list of str
        Positional arguments, keyword arguments, and what was decided, in words. Waveforms are in the dtype of the
        model's weights.

    Raises
    ------
    TypeError
        If the signature does not say where the waveforms go, or asks for more.
    """
    owner = _signature_owner(model)
    parameters_read = parameters_of(owner)
    kind = type(model).__name__
    if parameters_read is None:
        raise TypeError(_by_hand(model, "its forward has no signature to read"))
    waveforms, notes = in_dtype_of(model, batch.waveforms)
    parameters, star = parameters_read
    free = [p for p in parameters if p.name not in given]
    if not free:
        if not star:
            raise TypeError(_by_hand(model, "its forward names no parameter that could take the waveforms"))
        notes.append(
            f"{kind}.forward(*args) does not say what its mask is called: waveforms are handed over alone; pass the "
            "mask by the name that the model inside knows: trace(model, batch, attention_mask=batch.mask)"
            if not any(MASK_NAME.search(name) for name in given)
            else f"{kind}.forward(*args): waveforms are handed over by position"
        )
        return (waveforms,), dict(given), notes
    source = free[0]
    if _NOT_WAVEFORMS.search(source.name):
        raise TypeError(
            _by_hand(model, f"its first argument is called {source.name!r}: that is no waveform of shape (B, L)")
        )
    kwargs: dict[str, Any] = {source.name: waveforms}
    notes.append(f"waveforms go to {source.name!r}")
    mask = _mask_parameter(free[1:])
    if mask is None:
        wanted = next((name for name in given if re.search(r"mask|len", name)), None)
        notes.append(f"{wanted!r} was passed by the caller" if wanted else f"{kind}.forward {NO_MASK}")
    else:
        value, words = _mask_value(mask.name, batch)
        kwargs[mask.name] = value
        notes.append(f"the mask goes to {mask.name!r} as {words}")
    for p in free[1:]:
        if p.name == "mask" and isinstance(p.default, bool):
            kwargs[p.name] = False
            notes.append("mask=False: no time masks (SpecAugment)")
        elif p.name == "features_only" and isinstance(p.default, bool):
            kwargs[p.name] = True
            notes.append("features_only=True: no pre-training head")
    missing = [p.name for p in free if p.required and p.name not in kwargs]
    if missing:
        raise TypeError(_by_hand(model, f"it also needs {', '.join(map(repr, missing))}, which a batch does not have"))
    if isinstance(owner, nn.Sequential) or not _takes_keyword(owner, source.name):
        return (kwargs.pop(source.name),), kwargs | given, notes
    return (), kwargs | given, notes


def in_dtype_of(model: nn.Module, waveforms: Tensor) -> tuple[Tensor, list[str]]:
    """Waveforms in the floating-point type of the model's weights, and a note if that is another."""
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    if weight is None or weight.dtype == waveforms.dtype or not waveforms.is_floating_point():
        return waveforms, []
    dtype = str(weight.dtype).removeprefix("torch.")
    return waveforms.to(weight.dtype), [f"waveforms are handed over as {dtype}, the type of the model's weights"]


def _mask_parameter(parameters: list[Parameter]) -> Parameter | None:
    """The parameter that takes the padding mask or the lengths."""

    def usable(p: Parameter) -> bool:
        return not isinstance(p.default, bool) and not re.search(r"time|spec|label|target|head|indices", p.name)

    for pattern in (r"^attention_mask$", r"padding_mask|pad_mask", r"(^|_)len(gth)?s?$|lens$", r"mask$"):
        for p in parameters:
            if usable(p) and re.search(pattern, p.name):
                return p
    return None


def _mask_value(name: str, batch: Any) -> tuple[Tensor, str]:
    if re.search(r"pad", name):
        return ~batch.mask, "(B, L) bool, True = padding (turned round)"
    if re.search(r"len", name):
        if _RELATIVE.search(name):
            return batch.lengths / batch.waveforms.shape[-1], "(B,) shares of the longest clip"
        return batch.lengths, "(B,) counts of valid samples"
    return batch.mask, "(B, L) bool, True = valid"


def _takes_keyword(model: nn.Module, name: str) -> bool:
    if isinstance(model, torch.jit.ScriptModule):
        return True
    parameter = inspect.signature(model.forward).parameters.get(name)
    return parameter is not None and parameter.kind is not parameter.POSITIONAL_ONLY


def _by_hand(model: nn.Module, why: str) -> str:
    """The error for a signature that says too little: what it is, and how to pass the arguments oneself."""
    try:
        signature = str(inspect.signature(model.forward))
    except (TypeError, ValueError):
        signature = "(…)"
    if len(signature) > 300:
        signature = signature[:300] + "…"
    return (
        f"cannot hand a batch to {type(model).__name__}: {why}. Its forward is {signature}. "
        "Pass the arguments yourself, as you would call the model: "
        "trace(model, batch.waveforms, name_of_its_mask=batch.mask) if True means valid, "
        "~batch.mask if True means padding, or batch.lengths for samples per clip"
    )


@dataclass(frozen=True)
class Inputs:
    """Where the clips are in the arguments of a call.

    Attributes
    ----------
    clips, samples : int
        B, and L of the longest clip.
    lengths : tuple of int, optional
        Valid samples per clip, as told; the whole length of each if nobody told; None where a mask was given that does
        not fit the clips.
    told : bool
        A batch, a mask, lengths, or clips of their own length said so.
    marked : tuple
        Tensors of the clips, and the axes of each with "L" where the samples are.
    notes : tuple of str
        What was not told, or not understood.
    """

    clips: int
    samples: int
    lengths: tuple[int, ...] | None
    told: bool
    marked: tuple[tuple[Tensor, tuple], ...] = ()
    notes: tuple[str, ...] = field(default=())


def find_inputs(model: nn.Module, args: tuple, kwargs: Mapping[str, Any], given: Tensor | None) -> Inputs | None:
    """Find clips, their lengths and their mask in any arguments, however nested.

    Parameters
    ----------
    model : nn.Module
        Gives the arguments their names.
    args, kwargs
        As the model is called.
    given : Tensor, optional
        Valid samples per clip, where a batch said so. Shape: (B,).

    Returns
    -------
    Inputs or None
        None where there is no tensor that could hold clips.
    """
    names = argument_names(_signature_owner(model))
    named = [(names[i] if i < len(names) else f"args[{i}]", value) for i, value in enumerate(args)]
    tensors = [pair for name, value in (*named, *kwargs.items()) for pair in tensors_in(value, name)]
    clips = [(path, t) for path, t in tensors if t.ndim and not _is_mask(path, t) and not LENGTHS.search(_last(path))]
    path, main = next(((p, t) for p, t in clips if t.is_floating_point()), clips[0] if clips else ("", None))
    if main is None:
        return None
    if main.ndim == 1 and "[" in path:
        family = [t for p, t in clips if _family(p) == _family(path) and t.ndim == 1]
        lengths = tuple(len(t) for t in family)
        marked = tuple((t, ("L",)) for t in family if len(t) == max(lengths))
        return Inputs(len(family), max(lengths), lengths, True, marked)
    axis = _time_axis(model, main, tensors)
    if axis is None:
        note = f"letters are unknown: no axis of {path} {tuple(main.shape)} is known to be time"
        return Inputs(main.shape[0], 0, None, False, (), (note,))
    count, samples = (main.shape[0] if main.ndim > 1 else 1), main.shape[axis]
    axes = tuple(
        "L" if i == axis else CLIPS if i == 0 and main.ndim > 1 else CONSTANT if main.ndim > 2 else UNKNOWN
        for i in range(main.ndim)
    )
    marked = ((main, axes),)
    if given is not None:
        return Inputs(count, samples, tuple(int(n) for n in given.tolist()), True, marked)
    whole = (samples,) * count
    others = [pair for pair in tensors if pair[1] is not main]
    lengths, notes = _told_lengths(others, count, samples, {name for name, _ in named})
    if lengths is not None:
        return Inputs(count, samples, lengths, True, marked, notes)
    if notes:
        return Inputs(count, samples, None, False, marked, notes)
    note = "no lengths and no mask were given: every clip counts as valid over its whole length"
    return Inputs(count, samples, whole, False, marked, (note,))


def _last(path: str) -> str:
    """The last name in a path, indices left out: ``"batch[0].input_values"`` -> ``"input_values"``."""
    return re.sub(r"\[[^\]]*\]", "", path).split(".")[-1]


def _family(path: str) -> str:
    return re.sub(r"\[\d+\]", "", path)


def _is_mask(path: str, tensor: Tensor) -> bool:
    return tensor.dtype is torch.bool or bool(MASK_NAME.search(_last(path)))


def _time_axis(model: nn.Module, main: Tensor, tensors: Sequence[tuple[str, Tensor]]) -> int | None:
    """Which axis of the main input is time; None where neither its rank, a mask, nor the first layer says so."""
    if main.ndim <= 2:
        return main.ndim - 1
    options = [axis for axis in range(1, main.ndim) if main.shape[axis] != 1]
    if len(options) == 1:
        return options[0]
    widths = {t.shape[1] for path, t in tensors if t is not main and _is_mask(path, t) and t.ndim == 2}
    fitting = [axis for axis in options if main.shape[axis] in widths]
    if len(fitting) == 1:
        return fitting[0]
    if main.ndim != 3:
        return None
    for module in model.modules():
        channels, features = getattr(module, "in_channels", None), getattr(module, "in_features", None)
        features = features or getattr(module, "input_size", None) or getattr(module, "embed_dim", None)
        shape = getattr(module, "normalized_shape", None) or getattr(module, "weight_shape", None)
        features = features or (shape[-1] if isinstance(shape, tuple) and len(shape) == 1 else None)
        if isinstance(channels, int) and main.shape[1] != main.shape[2]:
            return 2 if main.shape[1] == channels else None
        if isinstance(features, int) and main.shape[1] != main.shape[2]:
            return 1 if main.shape[2] == features else None
    return None


def _told_lengths(
    tensors: Sequence[tuple[str, Tensor]], clips: int, samples: int, positional: set[str]
) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    """Valid samples per clip by a mask or lengths among the arguments; notes on what was given and does not fit.

    Numbers by position (names in ``positional``) count as lengths only where their largest is the longest clip's.
    """
    notes: list[str] = []
    for path, tensor in tensors:
        name, shape = _last(path), tuple(tensor.shape)
        by_name = bool(MASK_NAME.search(name)) or bool(LENGTHS.search(name))
        if not (by_name or tensor.dtype is torch.bool) or TIME_MASK.search(name) or re.search(r"label", name):
            counts = _counts(tensor) if path in positional and shape == (clips,) and clips > 1 else None
            if counts is not None and 0 < min(counts) <= max(counts) <= samples and "label" not in name:
                if max(counts) == samples:
                    return counts, ()
                notes.append(
                    f"{path} {shape} was given and not understood: lengths by position would count up to the {samples} "
                    "samples of the longest clip; pass lengths or a mask by name"
                )
            continue
        values = MaskReader().read(tensor)
        if values is None:
            if not tensor.is_meta:
                notes.append(f"{path} {shape} was given and has no values to read")
            continue
        if shape == (clips,) and tensor.dtype is not torch.bool:
            valid = read(name, values, "sample", clips, None, True, samples).valid
            if all(0 <= n <= samples for n in valid):
                return valid, ()
            notes.append(
                f"{path} was given and does not fit: it counts up to {max(valid)} samples, the clips have {samples}"
            )
        elif tensor.is_floating_point() and not MASK_NAME.search(name):
            continue
        elif shape[:1] == (clips,) and samples in shape[1:] and shape[-1] in (1, samples):
            kind = "attention" if len(shape) > 3 or (len(shape) == 3 and 1 not in shape[1:]) else "sample"
            return read(name, values, kind, clips, None, True, samples).valid, ()
        else:
            notes.append(
                f"{path} {shape} was given and does not fit the clips: a sample mask would be ({clips}, {samples}), "
                f"lengths ({clips},); valid positions are unknown"
            )
    return None, tuple(notes)


def _counts(tensor: Tensor) -> tuple[int, ...] | None:
    if tensor.is_floating_point() or tensor.dtype is torch.bool or tensor.is_meta:
        return None
    return tuple(int(n) for n in tensor.tolist())
