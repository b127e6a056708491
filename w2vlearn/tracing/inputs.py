"""What a model is handed: a batch fitted to the forward's signature, and where in any arguments the clips are.

Three conventions are known: Hugging Face (``input_values, attention_mask``; True = valid), torchaudio (``waveforms,
lengths``; a count of samples) and fairseq (``source, padding_mask``; True = padding). Others are taken by the same
rules where their names say enough; where they do not, the error shows how to pass the arguments by hand.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from inspect import Parameter, Signature
from typing import Any

import torch
from torch import Tensor, nn

from w2vlearn.tracing.letters import CLIPS, CONSTANT, UNKNOWN
from w2vlearn.tracing.masks import LENGTHS, MASK_NAME, TIME_MASK, MaskReader, read

PLAIN = (str, int, float, bool, bytes, torch.dtype, torch.device)  # what holds no tensor
NO_MASK = "takes no mask and no lengths: it is handed none"
_DEEPEST = 8  # how deep tensors are looked for in nested values; stops on structures that contain themselves
_STARS = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_NOT_WAVEFORMS = re.compile(r"^(input_ids|input_features|pixel_values|tokens|spectrogram|mel)", re.IGNORECASE)
_OTHER_MASKS = re.compile(r"time|spec|label|target|head|indices")
_MASK_NAMES = (  # which parameter takes the mask or the lengths, the surest first: what of a batch, and what that means
    (r"^attention_mask$", lambda batch: batch.mask, "(B, L) bool, True = valid"),
    (r"padding_mask|pad_mask", lambda batch: ~batch.mask, "(B, L) bool, True = padding (turned round)"),
    (r"^wav(eform)?s?_len", lambda batch: batch.lengths / batch.waveforms.shape[1], "(B,) shares of the longest clip"),
    (r"(^|_)len(gth)?s?$|lens$", lambda batch: batch.lengths, "(B,) counts of valid samples"),
    (r"mask$", lambda batch: batch.mask, "(B, L) bool, True = valid"),
)
_SWITCHES = {  # fairseq
    "mask": (False, "mask=False: no time masks (SpecAugment)"),
    "features_only": (True, "features_only=True: no pre-training head"),
}
_NO_COUNTS = re.compile(r"label|target|class|speaker|(^|_)ids?$", re.IGNORECASE)  # one number per clip, no length
_WRAPPED = ("module", "base_model", "model", "_orig_mod")  # where DataParallel, PEFT and others keep the model


# ---------------------------------------------------------------- names of arguments, tensors inside them


def signature_of(module: nn.Module | type[nn.Module]) -> Signature:
    """The forward's signature, of TorchScript too; ``(*args, **kwargs)`` where there is none to read."""
    if isinstance(module, torch.jit.ScriptModule) and hasattr(module, "forward"):
        arguments = inspect.unwrap(module.forward, stop=lambda forward: hasattr(forward, "schema")).schema.arguments[1:]
        defaults = [a.default_value if a.has_default_value() else Parameter.empty for a in arguments]
        kind = Parameter.POSITIONAL_OR_KEYWORD
        return Signature([Parameter(a.name, kind, default=d) for a, d in zip(arguments, defaults, strict=True)])
    try:
        return inspect.signature(module.forward)
    except (TypeError, ValueError, AttributeError):
        return Signature([Parameter("args", _STARS[0]), Parameter("kwargs", _STARS[1])])


def argument_names(module: nn.Module) -> tuple[str, ...]:
    """Names of the forward's positional parameters, in order; empty where there is no signature to read."""
    if isinstance(module, torch.jit.ScriptModule) or "forward" in vars(module):
        return _positional(module)
    return _positional_of_class(type(module))


def _positional(module: nn.Module | type[nn.Module]) -> tuple[str, ...]:
    parameters = signature_of(module).parameters.values()
    return tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))


@functools.lru_cache(maxsize=1024)
def _positional_of_class(kind: type[nn.Module]) -> tuple[str, ...]:
    return _positional(kind)[1:]  # without self


def tensors_in(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested tuples, lists, dicts and dataclasses, with its path: ``output.hidden_states[3]``."""
    if isinstance(value, Tensor):
        yield path, value
    elif value is None or depth > _DEEPEST or isinstance(value, PLAIN):
        return
    elif isinstance(value, Mapping):
        for key, item in value.items():
            named = isinstance(key, str) and key.isidentifier()
            yield from tensors_in(item, f"{path}.{key}" if named else f"{path}[{key!r}]", depth + 1)
    elif isinstance(value, (tuple, list)):
        names = getattr(value, "_fields", None)  # a namedtuple
        for index, item in enumerate(value):
            yield from tensors_in(item, f"{path}.{names[index]}" if names else f"{path}[{index}]", depth + 1)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            yield from tensors_in(getattr(value, part.name, None), f"{path}.{part.name}", depth + 1)


# ---------------------------------------------------------------- a batch fitted to a forward


def is_batch(value: Any) -> bool:
    """Anything with waveforms, lengths and a mask counts as a batch."""
    return not isinstance(value, nn.Module) and all(hasattr(value, name) for name in ("waveforms", "lengths", "mask"))


def _signature_owner(model: nn.Module) -> nn.Module:
    """The module whose forward says what is taken: of a wrapper that hands everything on, the one inside it."""
    for _ in range(8):
        named = [p for p in signature_of(model).parameters.values() if p.kind not in _STARS]
        if named or isinstance(model, nn.Sequential):
            break
        inner = [part for name in _WRAPPED if isinstance(part := getattr(model, name, None), nn.Module)]
        children = list(model.children())
        if not inner and len(children) != 1:
            break
        model = (inner or children)[0]
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
    owner, kind = _signature_owner(model), type(model).__name__
    parameters = signature_of(owner).parameters.values()
    free = [p for p in parameters if p.kind not in _STARS and p.name not in given]
    waveforms, notes = in_dtype_of(model, batch.waveforms)
    if not free:
        if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
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
    usable = [p.name for p in free[1:] if not isinstance(p.default, bool) and not _OTHER_MASKS.search(p.name)]
    for pattern, value, meaning in _MASK_NAMES:
        if name := next((name for name in usable if re.search(pattern, name)), None):
            kwargs[name] = value(batch)
            notes.append(f"the mask goes to {name!r} as {meaning}")
            break
    else:
        name = next((name for name in given if re.search(r"mask|len", name)), None)
        notes.append(f"{name!r} was passed by the caller" if name else f"{kind}.forward {NO_MASK}")
    for p in free[1:]:
        if p.name in _SWITCHES and isinstance(p.default, bool):
            kwargs[p.name], note = _SWITCHES[p.name]
            notes.append(note)
    missing = [p.name for p in free if p.default is p.empty and p.name not in kwargs]
    if missing:
        raise TypeError(_by_hand(model, f"it also needs {', '.join(map(repr, missing))}, which a batch does not have"))
    if isinstance(owner, nn.Sequential) or source.kind is source.POSITIONAL_ONLY:
        return (kwargs.pop(source.name),), kwargs | given, notes
    return (), kwargs | given, notes


def in_dtype_of(model: nn.Module, waveforms: Tensor) -> tuple[Tensor, list[str]]:
    """Waveforms in the floating-point type of the model's weights, and a note if that is another."""
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    if weight is None or weight.dtype == waveforms.dtype or not waveforms.is_floating_point():
        return waveforms, []
    dtype = str(weight.dtype).removeprefix("torch.")
    return waveforms.to(weight.dtype), [f"waveforms are handed over as {dtype}, the type of the model's weights"]


def _by_hand(model: nn.Module, why: str) -> str:
    """The error for a signature that says too little: what it is, and how to pass the arguments oneself."""
    signature = str(signature_of(model))
    if len(signature) > 300:
        signature = signature[:300] + "…"
    return (
        f"cannot hand a batch to {type(model).__name__}: {why}. Its forward is {signature}. "
        "Pass the arguments yourself, as you would call the model: "
        "trace(model, batch.waveforms, name_of_its_mask=batch.mask) if True means valid, "
        "~batch.mask if True means padding, or batch.lengths for samples per clip"
    )


# ---------------------------------------------------------------- where the clips are


@dataclass(frozen=True)
class Inputs:
    """Where the clips are in the arguments of a call.

    Attributes
    ----------
    clips, samples : int
        B, and L of the longest clip; 0 where it is not known which axis is time.
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

    clips: int = 0
    samples: int = 0
    lengths: tuple[int, ...] | None = None
    told: bool = False
    marked: tuple[tuple[Tensor, tuple], ...] = ()
    notes: tuple[str, ...] = ()


def find_inputs(model: nn.Module, args: tuple, kwargs: Mapping[str, Any], given: Tensor | None) -> Inputs:
    """Find clips, their lengths and their mask in any arguments, however nested.

    Parameters
    ----------
    model : nn.Module
        Gives the arguments their names.
    args, kwargs
        As the model is called.
    given : Tensor, optional
        Valid samples per clip, where a batch said so. Shape: (B,).
    """
    names = argument_names(_signature_owner(model))
    named = [(names[i] if i < len(names) else f"args[{i}]", value) for i, value in enumerate(args)]
    tensors = [pair for name, value in (*named, *kwargs.items()) for pair in tensors_in(value, name)]
    clips = [(path, t) for path, t in tensors if t.ndim and not _is_mask(path, t) and not LENGTHS.search(_last(path))]
    if not clips:
        return Inputs()
    path, main = next(((p, t) for p, t in clips if t.is_floating_point()), clips[0])
    if main.ndim == 1 and "[" in path:
        family = [t for p, t in clips if _family(p) == _family(path) and t.ndim == 1]
        lengths = tuple(len(t) for t in family)
        marked = tuple((t, ("L",)) for t in family if len(t) == max(lengths))
        return Inputs(len(family), max(lengths), lengths, True, marked)
    axis = _time_axis(model, main, tensors)
    if axis is None:
        note = f"letters are unknown: no axis of {path} {tuple(main.shape)} is known to be time"
        return Inputs(main.shape[0], notes=(note,))
    count, samples = (main.shape[0] if main.ndim > 1 else 1), main.shape[axis]
    axes = [CONSTANT if main.ndim > 2 else UNKNOWN] * main.ndim
    axes[0] = CLIPS
    axes[axis] = "L"
    if given is not None:
        lengths, notes = tuple(int(n) for n in given.tolist()), ()
    else:
        others = [pair for pair in tensors if pair[1] is not main]
        lengths, notes = _told_lengths(others, count, samples)
    told = lengths is not None
    if not told and not notes:
        lengths = (samples,) * count
        notes = ("no lengths and no mask were given: every clip counts as valid over its whole length",)
    return Inputs(count, samples, lengths, told, ((main, tuple(axes)),), notes)


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
    if main.ndim != 3 or main.shape[1] == main.shape[2]:
        return None
    for module in model.modules():
        channels, features = getattr(module, "in_channels", None), getattr(module, "in_features", None)
        features = features or getattr(module, "input_size", None) or getattr(module, "embed_dim", None)
        shape = getattr(module, "normalized_shape", None)
        features = shape[0] if isinstance(shape, tuple) and len(shape) == 1 else features
        if isinstance(channels, int):
            return 2 if main.shape[1] == channels else None
        if isinstance(features, int):
            return 1 if main.shape[2] == features else None
    return None


def _told_lengths(
    tensors: Sequence[tuple[str, Tensor]], clips: int, samples: int
) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    """Valid samples per clip by a mask or lengths among the arguments; notes on what was given and does not fit.

    Numbers under another name count as lengths only where their largest is the longest clip's.
    """
    notes: list[str] = []
    for path, tensor in tensors:
        name, shape = _last(path), tuple(tensor.shape)
        by_name = MASK_NAME.search(name) or LENGTHS.search(name)
        if _NO_COUNTS.search(name):
            continue
        if TIME_MASK.search(name) or not (by_name or tensor.dtype is torch.bool):
            is_count = not (tensor.is_floating_point() or tensor.dtype is torch.bool or tensor.is_meta)
            counts = tuple(tensor.tolist()) if is_count and shape == (clips,) else (0,)
            if clips > 1 and 0 < min(counts) <= max(counts) <= samples:
                if max(counts) == samples:
                    return counts, ()
                notes.append(
                    f"{path} {shape} was given and not understood: lengths would count up to the {samples} samples "
                    "of the longest clip; pass lengths or a mask by name"
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
