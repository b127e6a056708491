"""What a trace is made of: plain data with fields. No torch, no models, no sentences (`w2vlearn.show` makes those).

A trace is a list of `LayerRecord`, one per call of a module and one per mask step, in the order in which they
happened. Every number in it came from tensors that really passed (or, for a symbolic trace, from `torch.export`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MASK_STEP = "mask step"  # the `type` of a record that is not a module call but the making of a mask

CALLED = "called"
SKIPPED = "skipped"
NOT_CALLED = "not called"
WEIGHTS_USED = "weights used by another layer"
FORWARD_CALLED = "forward() called directly"
OTHER_THREAD = "called in another thread"


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
    """A mask that a layer was handed, read when it was handed over.

    Attributes
    ----------
    argument : str
        Name under which it arrived: ``"attention_mask"``, ``"key_padding_mask"``, ``"lengths"``.
    kind : str
        ``"sample"`` (B, L), ``"frame"`` (B, T), ``"attention"`` (B, 1, T, T) or (B, 1, 1, T), ``"time"``
        (SpecAugment or pre-training; not a padding mask).
    form : str
        ``"bool"``, ``"integer"``, ``"multiplicative"`` (floats, 1 and 0), ``"additive"`` (floats, 0 and far below),
        ``"lengths"`` (a count per clip), ``"shares"`` (of the longest clip), ``"none"`` (an all-true mask was
        dropped on the way), ``"object"`` (no tensor, for example flex attention's ``BlockMask``).
    shape, dtype
        As observed; ``()`` and ``""`` for form ``"none"``; dtype of form ``"object"`` is the name of its class.
    true_means : str
        What True (or 1) stands for: ``"valid"``, ``"padding"``, ``"masked"`` (kind ``"time"``); ``""`` for the forms
        that have no True.
    lowest : float, optional
        What an additive mask adds where nothing is to be seen: -inf, -3.4e38, -10000.
    valid : tuple of int, optional
        Positions that the mask marks valid, per clip (masked ones for kind ``"time"``); None where that is unknown.
    """

    argument: str
    kind: str
    form: str
    shape: tuple[int | str, ...]
    dtype: str
    true_means: str = ""
    lowest: float | None = None
    valid: tuple[int, ...] | None = None


@dataclass(frozen=True)
class BatchInfo:
    """The batch that was traced: clips, samples of the longest, valid samples per clip (None if not told)."""

    clips: int | str
    samples: int | str
    lengths: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Operation:
    """What a layer does, as fields. `w2vlearn.show.sentences.describe` makes the sentence.

    Attributes
    ----------
    kind : str
        ``"convolution"``, ``"transposed convolution"``, ``"pooling"``, ``"linear"``, ``"layer norm"``,
        ``"group norm"``, ``"batch norm"``, ``"instance norm"``, ``"dropout"``, ``"recurrent"``, ``"embedding"``,
        ``"identity"``, ``"activation"``, ``"attention"``, ``"weight norm"``, ``"parametrization"``, ``"module"`` (none
        of these), ``"mask step"``.
    name : str
        Name of the class as written; of an activation the function (``"GELU"``).
    inputs, outputs : int, optional
        Channels or features of one position, in and out. A norm's ``inputs`` is what it normalises (768), an
        embedding's the number of its entries.
    kernel, stride, padding, dilation : tuple of int
        Of convolutions and pooling, one number per axis. ``padding`` counts both ends: ``((64, 64),)``.
    padding_name : str
        ``"same"`` or ``"valid"`` where the module says it in a word.
    output_padding : tuple of int
        Of a transposed convolution.
    ceil : bool
        A pooling that rounds its length up.
    groups : int
        Of a convolution or a group norm.
    weight_norm : bool
        The kernel is computed from its length and direction.
    heads, head_size : int, optional
        Of an attention.
    layers : int
        Of a recurrent module.
    both_directions : bool
        Of a recurrent module.
    probability : float, optional
        Of a dropout.
    training : bool
        Train mode when it was called (dropout, batch norm).
    stored_statistics : bool
        A batch norm that uses its stored statistics.
    parts : int
        Modules directly inside.
    """

    kind: str = "module"
    name: str = ""
    inputs: int | None = None
    outputs: int | None = None
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    padding_name: str = ""
    dilation: tuple[int, ...] = ()
    output_padding: tuple[int, ...] = ()
    ceil: bool = False
    groups: int = 1
    weight_norm: bool = False
    heads: int | None = None
    head_size: int | None = None
    layers: int = 1
    both_directions: bool = False
    probability: float | None = None
    training: bool = False
    stored_statistics: bool = False
    parts: int = 0


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
    operation : Operation
        What it does: kind, kernel, stride, channels, …
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
        Looks along the time axis, so that padding can get into valid positions.
    valid : tuple of int, optional
        Valid positions per clip: how many positions the clip would have here if it were alone. None where the layer
        has no time axis, and where it could not be found out (the trace's notes say so).
    status : str
        ``"called"``; or, for a module that was not: ``"skipped"`` (neither it nor its weights took part: LayerDrop, or
        unused in this run), ``"weights used by another layer"``, ``"forward() called directly"`` (past its hooks),
        ``"called in another thread"``, ``"not called"`` (a module without weights, of which more is not known).
    values : mapping of str to Tensor
        Detached clones of the outputs by path, only with ``trace(..., values=True)``; never saved.
    """

    name: str
    call: int = 0
    type: str = ""
    operation: Operation = Operation()
    depth: int = 0
    parameters: int = 0
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    mask: MaskSeen | None = None
    masks: tuple[MaskSeen, ...] = ()
    mixes_time: bool = False
    valid: tuple[int, ...] | None = None
    status: str = CALLED
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
    def skipped(self) -> bool:
        """The module took no part in the run."""
        return self.status == SKIPPED

    @property
    def is_mask_step(self) -> bool:
        """True for the making of a mask, False for the call of a module."""
        return self.type == MASK_STEP


def main_output(outputs: Sequence[Any]) -> Any:
    """``logits`` or ``last_hidden_state`` where there is one, else the first; None of nothing."""
    if len(outputs) == 1:
        return outputs[0]
    for wanted in ("output.logits", "output.last_hidden_state"):
        for info in outputs:
            if info.path == wanted:
                return info
    return outputs[0] if outputs else None


@dataclass(frozen=True)
class TraceData:
    """Everything that a trace knows and that can be saved."""

    records: tuple[LayerRecord, ...]
    batch: BatchInfo | None = None
    letters: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)  # second names of shared modules -> the name used here
