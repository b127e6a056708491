"""What does this model call its input and its mask, and which way round is the mask? Read from the forward's signature.

Three conventions are known: Hugging Face (``input_values, attention_mask``; True = real), torchaudio (``waveforms,
lengths``; a count of samples) and fairseq (``source, padding_mask``; True = padding). Others are taken by the same
rules where their names say enough; where they do not, the error shows how to pass the arguments by hand.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_NOT_WAVEFORMS = re.compile(r"^(input_ids|input_features|pixel_values|tokens|spectrogram|mel)", re.IGNORECASE)
_RELATIVE = re.compile(r"^wav(eform)?s?_len", re.IGNORECASE)  # SpeechBrain: shares of the longest clip, 0 … 1


@dataclass(frozen=True)
class Parameter:
    """One parameter of a forward."""

    name: str
    required: bool
    default: Any = None


def is_batch(value: Any) -> bool:
    """Anything with waveforms, lengths and a mask counts as a batch."""
    return not isinstance(value, nn.Module) and all(hasattr(value, name) for name in ("waveforms", "lengths", "mask"))


def parameters_of(model: nn.Module) -> tuple[list[Parameter], bool, bool] | None:
    """The forward's named parameters, and whether it takes ``*args`` and ``**kwargs``; None if it has no signature."""
    if isinstance(model, torch.jit.ScriptModule):
        arguments = model.forward.schema.arguments[1:]
        found = [Parameter(a.name, not a.has_default_value(), a.default_value) for a in arguments]
        return found, False, False
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):
        return None
    found, star, stars = [], False, False
    for p in signature.parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            star = True
        elif p.kind is p.VAR_KEYWORD:
            stars = True
        else:
            found.append(Parameter(p.name, p.default is p.empty, None if p.default is p.empty else p.default))
    return found, star, stars


def from_batch(model: nn.Module, batch: Any, given: dict[str, Any]) -> tuple[tuple, dict[str, Any], list[str]]:
    """The arguments for a batch.

    Parameters
    ----------
    model : nn.Module
        The model whose forward decides.
    batch : Batch
        Anything with ``waveforms`` (B, L), ``lengths`` (B,) and ``mask`` (B, L) bool, True = real.
    given : dict
        Keyword arguments that the caller passes beside the batch; they win.

    Returns
    -------
    tuple, dict, list of str
        Positional arguments, keyword arguments, and what was decided, in words.

    Raises
    ------
    TypeError
        If the signature does not say where the waveforms go, or asks for more.
    """
    read = parameters_of(model)
    kind = type(model).__name__
    if read is None:
        raise TypeError(_by_hand(model, "its forward has no signature to read"))
    parameters, star, _ = read
    free = [p for p in parameters if p.name not in given]
    if not free:
        if not star:
            raise TypeError(_by_hand(model, "its forward names no parameter that could take the waveforms"))
        return (batch.waveforms,), dict(given), [f"{kind}.forward(*args): waveforms handed over alone, without a mask"]
    source = free[0]
    if _NOT_WAVEFORMS.search(source.name):
        raise TypeError(
            _by_hand(model, f"its first argument is called {source.name!r}: that is no waveform of shape (B, L)")
        )
    kwargs: dict[str, Any] = {source.name: batch.waveforms}
    notes = [f"waveforms go to {source.name!r}"]
    mask = _mask_parameter(free[1:])
    if mask is None:
        wanted = next((name for name in given if re.search(r"mask|len", name)), None)
        notes.append(
            f"{wanted!r} was passed by the caller"
            if wanted
            else f"{kind}.forward takes no mask and no lengths: it is handed none"
        )
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
    if isinstance(model, nn.Sequential) or not _takes_keyword(model, source.name):
        return (kwargs.pop(source.name),), kwargs | given, notes
    return (), kwargs | given, notes


def _mask_parameter(parameters: list[Parameter]) -> Parameter | None:
    """The parameter that takes the padding mask or the lengths."""

    def usable(p: Parameter) -> bool:
        return not isinstance(p.default, bool) and not re.search(r"time|spec|label|target|head|indices", p.name)

    for pattern in (r"^attention_mask$", r"padding_mask|pad_mask", r"(^|_)len(gth)?s?$|lens$", r"mask$"):
        for p in parameters:
            if usable(p) and re.search(pattern, p.name):
                return p
    return None


def _mask_value(name: str, batch: Any) -> tuple[torch.Tensor, str]:
    if re.search(r"pad", name):
        return ~batch.mask, "(B, L) bool, True = padding (turned round)"
    if re.search(r"len", name):
        if _RELATIVE.search(name):
            return batch.lengths / batch.waveforms.shape[-1], "(B,) shares of the longest clip"
        return batch.lengths, "(B,) counts of real samples"
    return batch.mask, "(B, L) bool, True = real"


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
        "trace(model, batch.waveforms, name_of_its_mask=batch.mask) if True means real, "
        "~batch.mask if True means padding, or batch.lengths for samples per clip"
    )
