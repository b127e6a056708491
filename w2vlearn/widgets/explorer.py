"""The shape explorer: sliders in which the whole model moves. Open one with `explore`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import torch
import traitlets
from torch import Tensor

from w2vlearn.audio import SAMPLE_RATE, example, example_clips
from w2vlearn.config import PRESETS, Wav2Vec2Config
from w2vlearn.symbolic import SymbolicTrace, symbolic_trace
from w2vlearn.widgets.explorer_data import facts
from w2vlearn.widgets.explorer_text import explorer_text
from w2vlearn.widgets.recorder import read_upload

__all__ = ["Explorer", "explore"]

HOUR = 3600 * SAMPLE_RATE  # samples: the longest clip
MOST_CLIPS = 6
PEAKS = 160  # points of a drawn waveform
PARTS = ("model", "clips", "batch", "tower", "frames", "masks", "costs", "table")
CONVENTIONS = ("valid", "padding", "additive", "lengths")
_MODEL = ("preset", "norm", "kernels", "strides")  # what the formulas depend on


class Explorer(anywidget.AnyWidget):
    """One picture of the model, moved by sliders; all of its state can be read and set from Python.

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
    convention : {"valid", "padding", "additive", "lengths"}
        How the masks are written.
    kernels, strides : str
        The feature encoder's convolutions, commas between: ``"10, 3, 3, 3, 3, 2, 2"``.
    sources : list of str
        Per clip the name of a built-in clip, or "" for a length alone.
    focus : str
        "all", or the parts to show: "model", "clips", "batch", "tower", "frames", "masks", "costs", "table".
    unfold : bool
        Equal layers in one row each.
    message : str
        What went wrong last, in words; "" if nothing did.
    text : str
        The whole picture in words.

    Raises
    ------
    traitlets.TraitError
        If a value set from Python is not one of these; the state stays as it was.
    """

    _esm = Path(__file__).parent / "explorer.js"
    _css = Path(__file__).parent / "explorer.css"

    lengths = traitlets.List(traitlets.Int(), [16_000]).tag(sync=True)
    clip = traitlets.Int(0, min=0).tag(sync=True)
    frame = traitlets.Int(-1, min=-1).tag(sync=True)
    sample = traitlets.Int(-1, min=-1).tag(sync=True)
    preset = traitlets.Enum(PRESETS, "base").tag(sync=True)
    norm = traitlets.Enum(("group", "layer"), "group").tag(sync=True)
    mask = traitlets.Bool(True).tag(sync=True)
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
    facts = traitlets.Dict().tag(sync=True)

    def __init__(self, **state: Any):
        lengths = state.get("lengths", [16_000])
        clips = {
            "sources": [""] * len(lengths),
            "envelopes": [[] for _ in lengths],
            "examples": sorted(example_clips()),
        }
        state = dict(zip(_MODEL, _usual(state.get("preset", "base")), strict=True)) | clips | state
        self._sounds: set[tuple[int, tuple[float, ...]]] = set()  # (length, envelope) of every sound that was put in
        self._shown_model = tuple(state[name] for name in _MODEL)
        super().__init__(**state, facts=_facts(*self._shown_model))
        self.observe(self._show_model, _MODEL)
        self.observe(self._take_source, "sources")
        self.on_msg(self._take_message)
        self.observe(self._fit_to_clips, "lengths")

    @property
    def text(self) -> str:
        """The whole picture in words; says what the picture says."""
        return explorer_text(self)

    @property
    def shown(self) -> dict[str, Any]:
        """The facts behind what is shown now: with or without the mask."""
        return self.facts["with mask" if self.mask else "without mask"]

    @property
    def model_words(self) -> str:
        """``"BASE, group norm, handed a mask"``."""
        usual = dict(zip(_MODEL, _usual("base"), strict=True))
        changed = [
            f"{name} {value}" for name in ("kernels", "strides") if (value := getattr(self, name)) != usual[name]
        ]
        words = [self.preset.upper(), f"{self.norm} norm", *changed, "handed a mask" if self.mask else "no mask"]
        return ", ".join(words)

    def __repr__(self) -> str:
        return self.text

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
        lengths = change["new"]
        clips = list(zip(self.envelopes, self.sources, strict=False))
        if len(clips) != len(lengths):  # clips were added or removed by their lengths alone: each is known by its own
            before = list(zip(change["old"], clips, strict=False))
            clips = []
            for length in lengths:
                match = next((entry for entry in before if entry[0] == length), (length, ([], "")))
                clips.append(match[1])
                if match in before:
                    before.remove(match)
        kept = [
            clip if (length, tuple(clip[0])) in self._sounds else ([], "")
            for length, clip in zip(lengths, clips, strict=True)
        ]
        with self.hold_sync():
            self.envelopes, self.sources = [peaks for peaks, _ in kept], [name for _, name in kept]
            self.clip = min(self.clip, len(lengths) - 1)

    def _show_model(self, change) -> None:
        """Derive what the picture needs for the chosen model, or say why not and go back."""
        chosen = change["name"] == "preset" and self.preset != self._shown_model[0]
        wanted = _usual(self.preset) if chosen else tuple(getattr(self, name) for name in _MODEL)
        if wanted == self._shown_model:
            return
        try:
            facts, message = _facts(*wanted), ""
        except ValueError as error:
            wanted, facts, message = self._shown_model, self.facts, str(error)
        self._shown_model = wanted
        with self.hold_sync():
            self.facts, self.message = facts, message
            self.preset, self.norm, self.kernels, self.strides = wanted

    def _take_source(self, change) -> None:
        """Put a built-in clip where its name was chosen."""
        for index, name in enumerate(change["new"]):
            if name and (index >= len(change["old"]) or change["old"][index] != name):
                self._put(index, example(name), name)

    def _take_message(self, _, content: dict[str, Any], buffers: list) -> None:
        """Read an uploaded sound file, or say why that was not possible."""
        if content.get("kind") != "upload" or not buffers or not 0 <= content["clip"] < len(self.lengths):
            return
        name = str(content["name"])
        try:
            self._put(content["clip"], read_upload(bytes(buffers[0]), name)[:HOUR], "")
        except ValueError as error:
            self.message = f"{name} could not be read: {error}"

    def _put(self, index: int, waveform: Tensor, source: str) -> None:
        """Put a sound where clip ``index`` is."""
        peaks = _peaks(waveform)
        self._sounds.add((len(waveform), tuple(peaks)))
        with self.hold_sync():
            self.envelopes = [*self.envelopes[:index], peaks, *self.envelopes[index + 1 :]]
            self.sources = [*self.sources[:index], source, *self.sources[index + 1 :]]
            self.lengths = [*self.lengths[:index], len(waveform), *self.lengths[index + 1 :]]
            self.message = ""


def explore(
    *clips: int | Tensor,
    preset: str = "base",
    focus: str | Sequence[str] = "all",
    mask: bool = True,
    **state: Any,
) -> Explorer:
    """Open the shape explorer.

    Parameters
    ----------
    *clips : int or Tensor
        One to six clips: lengths in samples, or waveforms (L_i,) float32 at 16 kHz. Three clips by default.
    preset : {"base", "large", "large_lv60", "tiny"}
    focus : str or sequence of str
        "all", or the parts to show, in the picture's order: "model", "clips", "batch", "tower", "frames", "masks",
        "costs", "table".
    mask : bool
        Whether the model is handed a mask.
    **state
        Any other attribute of `Explorer`, e.g. ``frame=12``.

    Returns
    -------
    Explorer
        A widget; ``print(widget.text)`` says what it shows.

    Raises
    ------
    traitlets.TraitError, ValueError
        If a clip, a preset or a part is not known; said in words.
    """
    clips = clips or (16_000, 23_456, 40_000)
    lengths = [len(clip) if isinstance(clip, Tensor) else clip for clip in clips]
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}: choose one of {', '.join(PRESETS)}")
    chosen = focus if isinstance(focus, str) else " ".join(focus)
    explorer = Explorer(lengths=lengths, preset=preset, focus=chosen, mask=mask, **state)
    for index, clip in enumerate(clips):
        if isinstance(clip, Tensor):
            explorer._put(index, clip, "")
    return explorer


_known: dict[tuple[str, str, str, str], dict[str, Any]] = {}


def _facts(preset: str, norm: str, kernels: str, strides: str) -> dict[str, Any]:
    """Facts with and without the mask: from the stored formulas of a preset, else derived now (seconds)."""
    key = (preset, norm, kernels, strides)
    if key not in _known:
        if key == _usual(preset):
            traces = {mask: SymbolicTrace.preset(preset, mask) for mask in (True, False)}
        else:
            config = Wav2Vec2Config.from_preset(preset)
            traces = _derived(config, norm, _numbers("kernels", kernels), _numbers("strides", strides))
        _known[key] = {("with mask" if mask else "without mask"): facts(s, norm) for mask, s in traces.items()}
    return _known[key]


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


def _numbers(name: str, text: str) -> tuple[int, ...]:
    parts = [part for part in re.split(r"[\s,;]+", text.strip()) if part]
    if not parts or not all(part.isdigit() and 1 <= int(part) <= 1000 for part in parts):
        raise ValueError(f"{name} must be whole numbers from 1 to 1000 with commas between, found {text!r}")
    return tuple(int(part) for part in parts)


def _usual(preset: str) -> tuple[str, str, str, str]:
    """A preset with its own norm, kernels and strides."""
    config = Wav2Vec2Config.from_preset(preset)
    return preset, config.feat_extract_norm, _listed(config.conv_kernel), _listed(config.conv_stride)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _peaks(waveform: Tensor) -> list[float]:
    """Loudest sample in each of 160 stretches, 0 to 1: enough to draw."""
    stretches = waveform.abs().tensor_split(min(PEAKS, max(1, len(waveform))))
    loudest = max(float(waveform.abs().max()), 1e-6)
    return [round(float(stretch.max()) / loudest, 3) for stretch in stretches]
