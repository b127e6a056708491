"""Modules that a run did not call: what is known of them all the same, and where they would have come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from w2vlearn.tracing.assemble import parameter_counts
from w2vlearn.tracing.hooks import Recorder
from w2vlearn.tracing.operations import class_name, operation_of
from w2vlearn.tracing.records import NOT_CALLED, OTHER_THREAD, SKIPPED, WEIGHTS_USED, LayerRecord

_NAMED = 6  # so many layers are named in a note, the others counted


def with_uncalled(recorder: Recorder, records: Sequence[LayerRecord]) -> tuple[tuple[LayerRecord, ...], list[str]]:
    """Put in the modules that were not called, where they would have come, and say what is known of each.

    Returns
    -------
    tuple of LayerRecord, list of str
        All records, and notes on why some were not called.
    """
    modules = {name: module for module, name in recorder.names.items()}
    called = {call.name for call in recorder.calls}
    missing = [
        name
        for name, module in modules.items()
        if name
        and name not in called
        and (isinstance(module, torch.jit.ScriptModule) or type(module).forward is not nn.Module.forward)
    ]  # ModuleList and its like only hold others
    if missing:
        records, counts = list(records), parameter_counts(modules[""])
        statuses = _statuses(modules, missing, called, recorder.took_part)
        for name in missing:
            place, depth = _place(modules, name, records)
            module = modules[name]
            record = LayerRecord(
                name,
                type=class_name(module),
                operation=operation_of(module),
                depth=depth,
                parameters=counts.get(module, 0),
                status=statuses[name],
            )
            records.insert(place, record)
    return tuple(records), _notes(modules, called, recorder.took_part)


def _notes(modules: Mapping[str, nn.Module], called: set[str], took_part: Mapping[str, str]) -> list[str]:
    notes = []
    if any(isinstance(module, torch.jit.ScriptModule) for module in modules.values()):
        notes.append("TorchScript modules run in their own interpreter: the layers inside them cannot be observed")
    layers = [name for name, m in modules.items() if isinstance(m, nn.TransformerEncoderLayer) and name in called]
    fused = [name for name in layers if f"{name}.norm1".lstrip(".") not in called]
    if fused:
        where = repr(fused[0]) if fused[0] else "the model"
        notes.append(f"{where}: torch computed the whole layer in one fused kernel, without calling its parts")
    elsewhere = sorted(repr(name) for name, how in took_part.items() if how == OTHER_THREAD)
    if elsewhere:
        notes.append(f"called in another thread, where nothing is recorded: {names_in_text(elsewhere)}")
    return notes


def names_in_text(names: Iterable[str]) -> str:
    """A list for a note: the first few, and how many more."""
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _statuses(
    modules: Mapping[str, nn.Module], missing: Sequence[str], called: set[str], took_part: Mapping[str, str]
) -> dict[str, str]:
    """What is known of each module that was not called in this thread."""
    used = {id(p) for name in called if name in modules for p in modules[name]._parameters.values()}
    statuses: dict[str, str] = {}
    for name in missing:  # a module comes before those inside it
        parameters = {id(p) for p in modules[name].parameters()}
        parts = [how for other, how in took_part.items() if other.startswith(f"{name}.")]
        above = statuses.get(name.rpartition(".")[0])
        if name in took_part:
            statuses[name] = took_part[name]
        elif parts or parameters & used:
            statuses[name] = OTHER_THREAD if OTHER_THREAD in parts[:1] else WEIGHTS_USED
        elif any(other.startswith(f"{name}.") for other in called):
            statuses[name] = NOT_CALLED  # what is in it was called by others
        else:
            statuses[name] = SKIPPED if parameters or above == SKIPPED else NOT_CALLED
    return statuses


def _place(modules: Mapping[str, nn.Module], name: str, records: Sequence[LayerRecord]) -> tuple[int, int]:
    """Where a module that was not called would have come, and how deep: behind the one before it in the module that
    holds it, else behind the one around it."""
    parent, _, own = name.rpartition(".")
    above = parent
    places = {record.name: i for i, record in reversed(list(enumerate(records))) if not record.is_mask_step}
    while above and above not in places:
        above = above.rpartition(".")[0]
    depth = records[places[above]].depth + 1 if above in places else 1
    siblings = list(modules[parent]._modules)
    for sibling in reversed(siblings[: siblings.index(own)]):
        path = f"{parent}.{sibling}" if parent else sibling
        inside = [i for i, record in enumerate(records) if f"{record.name}.".startswith(f"{path}.")]
        if inside:
            return inside[-1] + 1, depth
    return places.get(above, 0) + 1, depth
