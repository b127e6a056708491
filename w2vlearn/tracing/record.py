"""What a trace is made of: pure data, readable without torch.

A trace is a list of `LayerRecord`, one per call of a module and one per mask step, in the order in which they
happened. Every number in it came from tensors that really passed (or, for a symbolic trace, from `torch.export`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

MASK_STEP = "mask step"  # the `type` of a record that is not a module call but the making of a mask


@dataclass(frozen=True)
class TensorInfo:
    """Shape, type and place of one tensor, and where it travelled.

    Attributes
    ----------
    path : str
        ``"hidden_states"`` (the argument's name), ``"args[0]"`` only where the argument has no name, ``"output"``,
        ``"output.logits"``, ``"output[0]"``, ``"output.hidden_states[3]"``.
    shape : tuple of int or str
        Numbers when observed; letters or expressions when symbolic: ``("B", "T", 768)``.
    dtype, device : str
        ``"float32"``, ``"cpu"``.
    letters : tuple of str
        One per axis: the letter where one is known, else the number as text: ``("B", "3", "T+1")``.
    """

    path: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"
    device: str = "cpu"
    letters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.letters) != len(self.shape):
            object.__setattr__(self, "letters", tuple(str(size) for size in self.shape))


@dataclass(frozen=True)
class MaskSeen:
    """A mask that a layer was handed.

    Attributes
    ----------
    argument : str
        Name under which it arrived: ``"attention_mask"``, ``"key_padding_mask"``, ``"lengths"``.
    kind : str
        ``"sample"`` (B, L), ``"frame"`` (B, T), ``"attention"`` (B, 1, T, T) or (B, 1, 1, T), ``"time"``
        (SpecAugment or pre-training; not a padding mask).
    form : str
        ``"bool"``, ``"additive"``, ``"integer"``, ``"lengths"``, ``"none"`` (an all-true mask was dropped).
    shape, dtype
        As observed; ``()`` and ``""`` for form ``"none"``.
    convention : str
        How to read it: ``"True = real"``, ``"True = padding"``, ``"0 = attend, -3.4e+38 = padding"``,
        ``"count of real samples"``, ``"None: the library dropped an all-true mask"``.
    real : tuple of int, optional
        Positions that the mask marks real, per clip (masked ones for kind ``"time"``); None where there are no values.
    """

    argument: str
    kind: str
    form: str
    shape: tuple[int | str, ...]
    dtype: str
    convention: str
    real: tuple[int, ...] | None = None


@dataclass(frozen=True)
class BatchInfo:
    """The batch that was traced: how many clips, samples of the longest, real samples per clip (None if not told)."""

    clips: int | str
    samples: int | str
    lengths: tuple[int, ...] | None = None


@dataclass(frozen=True)
class LayerRecord:
    """One call of one module, or one mask step.

    Attributes
    ----------
    name : str
        The module's name, ``"wav2vec2.encoder.layers.0"``; ``""`` for the model itself. Mask steps:
        ``"sample mask -> frame mask"``, ``"frame mask -> attention mask"``.
    call : int
        0 for the first call of that module, 1 for the second, …
    type : str
        Class name; ``"mask step"`` for mask steps.
    what : str
        In words: ``"convolution, kernel 10, stride 5, 1 -> 512 channels"``.
    depth : int
        0 for the model itself, 1 for what it calls, 2 for what that calls, …
    parameters : int
        Number of parameters below this module, shared ones once (0 for a mask step).
    inputs, outputs : tuple of TensorInfo
        Every tensor that went in and came out, however nested.
    mask : MaskSeen, optional
        The padding mask that it was handed (a time mask if that is the only one); None: handed none.
    masks : tuple of MaskSeen
        All masks that it was handed.
    mixes_time : bool
        Looks along the time axis, so that padding can get into real positions.
    valid : tuple of int, optional
        Real positions per clip: how many positions the clip would have here if it were alone. None where the layer has
        no time axis, and where it could not be found out (the trace's notes say so).
    skipped : bool
        The module exists but was not called (LayerDrop, or unused in this run).
    values : mapping of str to Tensor
        Detached clones of the outputs by path, only with ``trace(..., values=True)``; never saved.
    """

    name: str
    call: int = 0
    type: str = ""
    what: str = ""
    depth: int = 0
    parameters: int = 0
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    mask: MaskSeen | None = None
    masks: tuple[MaskSeen, ...] = ()
    mixes_time: bool = False
    valid: tuple[int, ...] | None = None
    skipped: bool = False
    values: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def input(self) -> TensorInfo | None:
        """The first tensor that went in, None if there was none."""
        return self.inputs[0] if self.inputs else None

    @property
    def output(self) -> TensorInfo | None:
        """The main tensor that came out: ``logits`` or ``last_hidden_state`` where there is one, else the first."""
        return main_output(self.outputs)

    @property
    def value(self) -> Any:
        """The clone of the main output (`values`), None unless the trace was taken with ``values=True``."""
        return self.values.get(self.output.path) if self.values and self.output else None

    @property
    def is_mask_step(self) -> bool:
        """True for the making of a mask, False for the call of a module."""
        return self.type == MASK_STEP


def main_output(outputs: tuple[TensorInfo, ...]) -> TensorInfo | None:
    """``logits`` or ``last_hidden_state`` where there is one, else the first; None of nothing."""
    for wanted in ("output.logits", "output.last_hidden_state"):
        for info in outputs:
            if info.path == wanted:
                return info
    return outputs[0] if outputs else None


@dataclass(frozen=True)
class TraceData:
    """Everything that a trace knows and that can be saved; what `Trace` works out when it is first looked at."""

    records: tuple[LayerRecord, ...]
    batch: BatchInfo | None = None
    letters: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)  # second names of shared modules -> the name used here


class Trace:
    """The layers of one forward pass, in order, with shapes and masks.

    Build one with `w2vlearn.trace`. ``trace["wav2vec2.encoder"]`` is that module's first call, ``trace["name", 1]`` its
    second, ``trace[0]`` the first record; iterating gives every `LayerRecord`.

    Parameters
    ----------
    data : TraceData or callable
        The content, or a function that works it out when the trace is first looked at (called once, then dropped).
    model_name : str
        Class name of the model.
    output : object
        What the model returned; None for a trace that was loaded or that broke.
    error : str, optional
        For a partial trace: where and how the model broke.
    """

    def __init__(
        self,
        data: TraceData | Callable[[], TraceData],
        *,
        model_name: str = "",
        output: Any = None,
        error: str | None = None,
    ) -> None:
        self._data = data
        self.model_name = model_name
        self.output = output
        self.error = error

    @property
    def data(self) -> TraceData:
        """The whole content, worked out now if it has not been."""
        if not isinstance(self._data, TraceData):
            self._data = self._data()
        return self._data

    @property
    def records(self) -> tuple[LayerRecord, ...]:
        """Every module call and mask step, in the order in which they began."""
        return self.data.records

    @property
    def batch(self) -> BatchInfo | None:
        """Clips, samples and lengths of the batch; None where the model's input was no batch of clips."""
        return self.data.batch

    @property
    def letters(self) -> dict[str, int]:
        """What each letter stands for in this run: ``{"B": 3, "L": 40000, "T1": 7999, …, "T": 124, "D": 768}``."""
        return dict(self.data.letters)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided about arguments and masks, and what could not be found out, in words."""
        return self.data.notes

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all records, each once, in order."""
        return tuple(dict.fromkeys(record.name for record in self.records))

    @property
    def masks(self) -> tuple[LayerRecord, ...]:
        """The mask steps and every layer that was handed a mask, in order."""
        return tuple(record for record in self.records if record.is_mask_step or record.mask is not None)

    def calls(self, name: str) -> tuple[LayerRecord, ...]:
        """All records of one module (or mask step), in order; empty if there is none of that name."""
        name = self.data.aliases.get(name, name)
        return tuple(record for record in self.records if record.name == name)

    def __iter__(self) -> Iterator[LayerRecord]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.calls(name))

    def __getitem__(self, key: str | tuple[str, int] | int | slice) -> LayerRecord | tuple[LayerRecord, ...]:
        if isinstance(key, (int, slice)):
            return self.records[key]
        name, call = key if isinstance(key, tuple) else (key, 0)
        found = self.calls(name)
        if not found:
            raise KeyError(
                f"no layer called {name!r} in this trace of {self.model_name or 'a model'}{_near(name, self.names)}"
            )
        for record in found:
            if record.call == call:
                return record
        raise KeyError(
            f"{name!r} was called {len(found)} time(s) in this trace: there is no call {call} (calls count from 0)"
        )

    def diff(self, other: Trace) -> Any:
        """What differs between this trace and another, by letter; see `w2vlearn.tracing.diff`."""
        from w2vlearn.tracing.diff import diff

        return diff(self, other)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain dicts and lists that JSON can hold (the output object and the values left out)."""
        from w2vlearn.tracing.save import to_dict

        return to_dict(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dict` as JSON."""
        from w2vlearn.tracing.save import save

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read what `save` wrote; equal to the saved trace in everything but the output object and the values."""
        from w2vlearn.tracing.save import load

        return load(path)

    def to_markdown(self) -> str:
        """A Markdown table, one row per record."""
        from w2vlearn.tracing.save import to_markdown

        return to_markdown(self)

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``, one row per record (pandas must be installed)."""
        from w2vlearn.tracing.save import to_pandas

        return to_pandas(self)

    def __str__(self) -> str:
        from w2vlearn.show.text import table

        return table(self)

    def __repr__(self) -> str:
        return f"<Trace of {self.model_name or 'a model'}{', broken' if self.error else ''}>"

    def _repr_html_(self) -> str:
        from w2vlearn.show.html import html

        return html(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}


def _near(name: str, names: tuple[str, ...]) -> str:
    """' (did you mean …?)' for an error message, or nothing."""
    import difflib

    close = (
        difflib.get_close_matches(name, names, n=3) or [known for known in names if known.endswith(name) and known][:3]
    )
    return f"; did you mean {', '.join(map(repr, close))}?" if close else f"; it has {len(names)} names, see `.names`"
