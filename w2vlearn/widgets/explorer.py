"""The shape explorer: a picture of a batch on its way through the model, to be moved. Open one with `explore`.

The front end is plain JavaScript in six files, joined into one module. It needs no kernel: a page calls
``mount(element, state)``, which the module exports, with the state that `Explorer.page_state` gives.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from contextlib import suppress
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import torch
import traitlets
from torch import Tensor

from w2vlearn.audio import SAMPLE_RATE, example, example_clips
from w2vlearn.config import PRESETS, Wav2Vec2Config
from w2vlearn.show.journey import journey
from w2vlearn.symbolic import Shapes, SymbolicTrace, symbolic_trace
from w2vlearn.widgets.explorer_data import model_data
from w2vlearn.widgets.explorer_text import explorer_text, question_of
from w2vlearn.widgets.recorder import read_upload
from w2vlearn.widgets.still import StillPicture, as_html, front_end

__all__ = ["Explorer", "explore"]

HOUR = 3600 * SAMPLE_RATE  # samples: the longest clip
MOST_CLIPS = 6
PEAKS = 160  # points of a drawn waveform
PARTS = ("model", "clips", "batch", "encoder", "frames", "masks", "costs", "table")
CONVENTIONS = ("valid", "padding", "additive", "lengths")
QUESTIONS = ("frame", "padding", "costs", "")
_MODEL = ("preset", "norm", "kernels", "strides")  # what the formulas depend on


class Explorer(StillPicture, anywidget.AnyWidget):
    """One picture of a batch and the model; all of its state can be read and set from Python.

    Attributes
    ----------
    lengths : list of int
        Samples per clip, one to six clips, 0 to 57 600 000 (one hour).
    clip, frame, sample : int
        What is pointed at: frame ``frame`` or sample ``sample`` of clip ``clip``, all 0-based; -1 for neither.
    preset : {"base", "large", "large_lv60", "tiny"}
    norm : {"group", "layer"}
        Normalisation of the feature encoder.
    mask : bool
        Whether the model is handed a mask.
    leak : bool
        Whether the picture shows where padding gets in, and how far it reaches.
    convention : {"valid", "padding", "additive", "lengths"}
        How the masks are written.
    kernels, strides : str
        The feature encoder's convolutions, commas between: ``"10, 3, 3, 3, 3, 2, 2"``. The two belong together: while
        they do not fit each other, `message` says why and the picture stays that of the last model.
    sources : list of str
        Per clip the name of a built-in clip, of an uploaded file, "waveform", or "" for a length alone.
    focus : str
        "all", or the parts to show: "model", "clips", "batch", "encoder", "frames", "masks", "costs", "table".
    unfold : bool
        Equal layers in one row each.
    message : str
        What went wrong last; "" if nothing did.
    question : dict
        What is asked before anything is moved: ``text``, ``options``, ``answer`` (its place), ``reason``; or empty.
    text : str
        The whole picture as text.

    Raises
    ------
    traitlets.TraitError
        If a value set from Python is not one of these; the state stays as it was.
    """

    _esm = front_end("explorer_numbers", "explorer_picture", "explorer_tables", "explorer_controls", "explorer")
    _css = Path(__file__).parent / "explorer.css"

    lengths = traitlets.List(traitlets.Int(), [16_000]).tag(sync=True)
    clip = traitlets.Int(0, min=0).tag(sync=True)
    frame = traitlets.Int(-1, min=-1).tag(sync=True)
    sample = traitlets.Int(-1, min=-1).tag(sync=True)
    preset = traitlets.Enum(PRESETS, "base").tag(sync=True)
    norm = traitlets.Enum(("group", "layer"), "group").tag(sync=True)
    mask = traitlets.Bool(True).tag(sync=True)
    leak = traitlets.Bool(False).tag(sync=True)
    convention = traitlets.Enum(CONVENTIONS, "valid").tag(sync=True)
    kernels = traitlets.Unicode("").tag(sync=True)
    strides = traitlets.Unicode("").tag(sync=True)
    sources = traitlets.List(traitlets.Unicode(), [""]).tag(sync=True)
    envelopes = traitlets.List(traitlets.List(), [[]]).tag(sync=True)
    focus = traitlets.Unicode("all").tag(sync=True)
    unfold = traitlets.Bool(False).tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)
    examples = traitlets.List(traitlets.Unicode()).tag(sync=True)
    sample_rate = traitlets.Int(SAMPLE_RATE).tag(sync=True)
    question = traitlets.Dict().tag(sync=True)
    formulas = traitlets.Dict().tag(sync=True)
    models = traitlets.List().tag(sync=True)  # formulas of further models, which a page without a kernel switches to

    def __init__(self, question: str = "", **state: Any):
        if question not in QUESTIONS:
            raise ValueError(f"question is one of {', '.join(map(repr, QUESTIONS))}, found {question!r}")
        lengths = state.get("lengths", [16_000])
        clips = {
            "sources": [""] * len(lengths),
            "envelopes": [[] for _ in lengths],
            "examples": sorted(example_clips()),
        }
        state = dict(zip(_MODEL, _usual(state.get("preset", "base")), strict=True)) | clips | state
        self._sounds: set[tuple] = set()  # (source, length, envelope) of every sound that was put in
        super().__init__(**state, formulas=_formulas(*(state[name] for name in _MODEL)))
        if question:
            self.question = question_of(question, self.current, self.lengths)
        self.observe(self._show_model, _MODEL)
        self.observe(self._take_source, "sources")
        self.on_msg(self._take_message)
        self.observe(self._fit_to_clips, "lengths")

    @property
    def text(self) -> str:
        """The whole picture as text; says what the picture says."""
        return explorer_text(self)

    @property
    def current(self) -> dict[str, Any]:
        """The formulas behind what is shown now: with or without the mask."""
        return self.formulas["with mask" if self.mask else "without mask"]

    @property
    def model_text(self) -> str:
        """``"BASE, group norm, handed a mask"``: the model that is shown."""
        preset, norm, *convolutions = self.formulas["model"]
        own = zip(_MODEL[2:], convolutions, _usual(preset)[2:], strict=True)
        changed = [f"{name} {value}" for name, value, usual in own if value != usual]
        return ", ".join([preset.upper(), f"{norm} norm", *changed, "handed a mask" if self.mask else "no mask"])

    def page_state(self, presets: Sequence[str] = ()) -> dict[str, Any]:
        """What ``mount(element, state)`` of the front end needs in a page without a kernel, as JSON data.

        Parameters
        ----------
        presets : sequence of str
            Presets whose formulas, with both norms, the page can switch to.
        """
        state = {name: getattr(self, name) for name in Explorer.class_own_traits(sync=True)}
        keys = [(preset, norm, *_usual(preset)[2:]) for preset in presets for norm in ("group", "layer")]
        return state | {"models": [_formulas(*key) for key in keys if list(key) != self.formulas["model"]]}

    def __repr__(self) -> str:
        return self.text

    def shapes(self) -> Shapes:
        """Every layer's shapes at this batch, from the same formulas; a ``ValueError`` where no clip has a frame."""
        symbolic = _traces(*self.formulas["model"])[self.mask]
        return symbolic.at(len(self.lengths), max(self.lengths), self.lengths)

    def still_html(self) -> str:
        """The batch's journey as a still picture; the text where no picture is shown or there is none to draw."""
        with suppress(ValueError):  # no clip has a frame
            if self.focus not in ("model", "costs", "table"):
                return journey(self.shapes())
        return as_html(self.text)

    @traitlets.validate("lengths")
    def _check_lengths(self, proposal):
        lengths = proposal["value"]
        if not 1 <= len(lengths) <= MOST_CLIPS:
            raise traitlets.TraitError(f"lengths takes one to {MOST_CLIPS} clips, found {len(lengths)}")
        for length in lengths:
            if not 0 <= length <= HOUR:
                raise traitlets.TraitError(
                    f"a clip's length goes from 0 to {HOUR} samples (one hour at {SAMPLE_RATE} Hz), found {length}"
                )
        return lengths

    @traitlets.validate("focus")
    def _check_focus(self, proposal):
        wanted = proposal["value"].split()
        if proposal["value"] != "all" and (not wanted or set(wanted) - set(PARTS)):
            raise traitlets.TraitError(f'focus is "all" or some of {", ".join(PARTS)}, found {proposal["value"]!r}')
        return proposal["value"]

    def _fit_to_clips(self, change) -> None:
        """What a clip is made of travels with it; a clip whose length was moved is a length alone."""
        before, lengths = list(zip(self.sources, self.envelopes, strict=False)), change["new"]
        clips = [("", [])] * len(lengths)
        same_clips = [(0, 0, len(lengths))]
        if len(before) != len(lengths):  # clips were added or removed by their lengths alone: each is known by its own
            same_clips = SequenceMatcher(None, change["old"], lengths).get_matching_blocks()
        for old, new, size in same_clips:
            clips[new : new + size] = before[old : old + size]
        clips = [
            clip if self._is_sound(*clip, length) else ("", []) for clip, length in zip(clips, lengths, strict=True)
        ]
        with self.hold_sync(), self.hold_trait_notifications():
            self.sources, self.envelopes = map(list, zip(*clips, strict=True))
            self.clip = min(self.clip, len(lengths) - 1)

    def _is_sound(self, source: str, envelope: list[float], length: int) -> bool:
        return (source, length, tuple(envelope)) in self._sounds

    def _show_model(self, change) -> None:
        """Derive what the picture needs for the chosen model, or say why not; what was chosen stays as it was typed."""
        chosen = change["name"] == "preset" and self.preset != self.formulas["model"][0]
        wanted = _usual(self.preset) if chosen else tuple(getattr(self, name) for name in _MODEL)
        try:
            formulas, message = _formulas(*wanted), ""
        except ValueError as error:
            formulas, message = self.formulas, str(error)
        with self.hold_sync():
            self.formulas, self.message = formulas, message
            self.preset, self.norm, self.kernels, self.strides = wanted

    def _take_source(self, change) -> None:
        """Put a built-in clip where its name was chosen."""
        for index, (name, *sound) in enumerate(zip(change["new"], self.envelopes, self.lengths, strict=False)):
            if name and not self._is_sound(name, *sound):
                self._put(index, example(name), name)

    def _take_message(self, _, content: dict[str, Any], buffers: list) -> None:
        """Read an uploaded sound file, or say why that was not possible."""
        if content.get("kind") != "upload" or not buffers or not 0 <= content["clip"] < len(self.lengths):
            return
        name = str(content["name"])
        source = f"{name} (file)" if name in self.examples else name
        try:
            self._put(content["clip"], read_upload(bytes(buffers[0]), name)[:HOUR], source)
        except ValueError as error:
            self.message = f"{name} could not be read: {error}"

    def _put(self, index: int, waveform: Tensor, source: str) -> None:
        """Put a sound where clip ``index`` is."""
        peaks = _peaks(waveform)
        self._sounds.add((source, len(waveform), tuple(peaks)))
        with self.hold_sync(), self.hold_trait_notifications():
            for name, value in (("sources", source), ("envelopes", peaks), ("lengths", len(waveform))):
                values = getattr(self, name)
                setattr(self, name, [*values[:index], value, *values[index + 1 :]])
            self.message = ""


def explore(
    *clips: int | Tensor,
    preset: str = "base",
    focus: str | Sequence[str] = "all",
    mask: bool = True,
    question: str | None = None,
    **state: Any,
) -> Explorer:
    """Open the shape explorer.

    Parameters
    ----------
    *clips : int or Tensor
        One to six clips: lengths in samples, or waveforms (L_i,) float32 at 16 kHz. Three clips by default.
    preset : {"base", "large", "large_lv60", "tiny"}
    focus : str or sequence of str
        "all", or the parts to show, in the picture's order: "model", "clips", "batch" (the whole picture), "encoder",
        "frames", "masks", "costs", "table".
    mask : bool
        Whether the model is handed a mask.
    question : {"frame", "padding", "costs", ""}, optional
        What is asked before anything is moved; "frame" where the picture is shown, unless given.
    **state
        Any other attribute of `Explorer`, e.g. ``frame=12``.

    Returns
    -------
    Explorer
        A widget; ``print(widget.text)`` says what it shows.

    Raises
    ------
    traitlets.TraitError, ValueError
        If a clip, a preset, a part or a question is not known; names those there are.
    """
    clips = clips or (16_000, 23_456, 40_000)
    lengths = [len(clip) if isinstance(clip, Tensor) else clip for clip in clips]
    chosen = focus if isinstance(focus, str) else " ".join(focus)
    if question is None:
        question = "frame" if chosen == "all" or set(chosen.split()) & {"clips", "batch", "encoder"} else ""
    explorer = Explorer(lengths=lengths, preset=preset, focus=chosen, mask=mask, question=question, **state)
    for index, clip in enumerate(clips):
        if isinstance(clip, Tensor):
            explorer._put(index, clip, "waveform")
    return explorer


@cache
def _formulas(preset: str, norm: str, kernels: str, strides: str) -> dict[str, Any]:
    """What the front end is told of a model, with and without the mask."""
    key = (preset, norm, kernels, strides)
    data = {("with mask" if mask else "without mask"): model_data(s, norm) for mask, s in _traces(*key).items()}
    return data | {"model": list(key), "own": key == _usual(preset)}


@cache
def _traces(preset: str, norm: str, kernels: str, strides: str) -> dict[bool, SymbolicTrace]:
    """Formulas with and without the mask: stored ones where only the norm may be another, else derived (seconds)."""
    config = Wav2Vec2Config.from_preset(preset)
    sizes = _sizes("kernels", kernels), _sizes("strides", strides)
    if sizes == (tuple(config.conv_kernel), tuple(config.conv_stride)):
        return {mask: SymbolicTrace.preset(preset, mask, norm) for mask in (True, False)}
    return _derived(config, norm, *sizes)


def _derived(config: Wav2Vec2Config, norm: str, kernels: tuple[int, ...], strides: tuple[int, ...]) -> dict:
    from w2vlearn.model import Wav2Vec2ForCTC

    if len(kernels) != len(strides):
        raise ValueError(f"each convolution needs a kernel and a stride: found {len(kernels)} and {len(strides)}")
    if len(kernels) > 12:
        raise ValueError(f"at most 12 convolutions, found {len(kernels)}")
    config = dataclasses.replace(
        config,
        feat_extract_norm=norm,
        conv_kernel=kernels,
        conv_stride=strides,
        conv_dim=(config.conv_dim[0],) * len(kernels),
    )
    with torch.device("meta"):
        model = Wav2Vec2ForCTC(config).eval()
    traces = {mask: symbolic_trace(model, mask=mask) for mask in (True, False)}
    if any(s.formula("T").closed is None for s in traces.values()):
        raise ValueError("these kernels and strides give no closed form for T; try others")
    return traces


def _sizes(name: str, text: str) -> tuple[int, ...]:
    parts = [part for part in re.split(r"[\s,;]+", text.strip()) if part]
    if not parts or not all(part.isdigit() and 1 <= int(part) <= 1000 for part in parts):
        raise ValueError(f"{name} must be whole numbers from 1 to 1000 with commas between, found {text!r}")
    return tuple(int(part) for part in parts)


def _usual(preset: str) -> tuple[str, str, str, str]:
    """A preset with its own norm, kernels and strides."""
    config = Wav2Vec2Config.from_preset(preset)
    kernels, strides = (", ".join(map(str, sizes)) for sizes in (config.conv_kernel, config.conv_stride))
    return preset, config.feat_extract_norm, kernels, strides


def _peaks(waveform: Tensor) -> list[float]:
    """Loudest sample in each of 160 stretches, 0 to 1: enough to draw."""
    stretches = waveform.abs().tensor_split(min(PEAKS, max(1, len(waveform))))
    loudest = max(float(waveform.abs().max()), 1e-6)
    return [round(float(stretch.max()) / loudest, 3) for stretch in stretches]
