"""Lesson 5: one clip, alone and in company; four ways in which padding gets into its result."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from importlib import resources

import torch

from course.contents import COURSE, exercise
from course.exercise import Case
from course.player import digits_clip as digits_clip  # the notebook takes it from here
from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2Model, pad
from w2vlearn.audio import example

LESSON = COURSE[5]

# ---------------------------------------------------------------- what prose computes with

config = Wav2Vec2Config.base()
tiny = Wav2Vec2Config.tiny()
geometry = FrameGeometry.from_config(config)
T = geometry.frame_count
SECOND, HOP, FIELD = geometry.sample_rate, geometry.hop, geometry.receptive_field
KERNEL = config.num_conv_pos_embeddings
C, CHANNELS = config.conv_dim[-1], tiny.conv_dim[0]

YES, DIGITS, QUESTION = (len(example(name)) for name in ("yes", "digits", "question"))  # samples
LONG = geometry.samples_for(200).start  # samples of the clip in which neighbourhoods can be seen: 200 frames
PROBE, FRAME = 4000, 3  # samples of the clip, and the frame, whose receptive field is measured
INSIDE = geometry.span(FRAME)
REACHED = T(LONG) - (
    T(LONG) - (KERNEL // 2 - 1)
)  # valid frames that see a padded one through the positional convolution
EPSILON = "1e-5"

SETUP = """
import torch
from w2vlearn import FrameGeometry, Wav2Vec2Config, pad
geometry = FrameGeometry.from_config(Wav2Vec2Config.tiny())
"""


@cache
def build(norm: str):
    """TINY with random weights: group norm as in BASE, or layer norm as in LARGE_LV60."""
    layer = norm == "layer"
    settings = dataclasses.replace(tiny, feat_extract_norm=norm, conv_bias=layer, do_stable_layer_norm=layer)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Wav2Vec2Model(settings).eval()


def _moved(states: torch.Tensor, alone: torch.Tensor) -> float:
    return float((states - alone).norm() / alone.norm())


@cache
def moved(norm: str, mask: bool = True) -> float:
    """How far company moves the hidden states of “yes please”, beside the question."""
    model, clips = build(norm), [example("yes"), example("question")]
    batch = pad(clips)
    with torch.no_grad():
        alone = model(clips[0][None]).last_hidden_state[0]
        together = model(batch.waveforms, batch.mask if mask else None).last_hidden_state[0, : len(alone)]
    return _moved(together, alone)


def _normalised(row: torch.Tensor) -> torch.Tensor:
    return (row - row.mean()) / torch.sqrt(row.var(correction=0) + 1e-7)


@cache
def evidence() -> dict[str, dict[str, float]]:
    """Four programs with one leak each: how far company moves “yes please” at four places on its way."""
    clip, mate = example("yes"), example("question")
    programs = {  # norm, the row is normalised, mask, only valid rows are averaged
        "A": ("layer", False, False, True),
        "B": ("layer", False, True, False),
        "C": ("layer", True, True, True),
        "D": ("group", False, True, True),
    }
    return {name: _places(clip, mate, *program) for name, program in programs.items()}


def _places(clip, mate, norm: str, whole_row: bool, handed: bool, valid_only: bool) -> dict[str, float]:
    model = build(norm)
    apart = pad([clip], normalize=True)
    batch = pad([clip, mate], normalize=not whole_row)
    waveforms = torch.stack([_normalised(row) for row in batch.waveforms]) if whole_row else batch.waveforms
    with torch.no_grad():
        alone = model(apart.waveforms)
        batched = model(waveforms, batch.mask if handed else None)
    frames = alone.last_hidden_state.shape[1]
    rows = frames if valid_only else batched.last_hidden_state.shape[1]
    return {
        "samples": _moved(waveforms[0, : len(clip)], apart.waveforms[0]),
        "features": _moved(batched.extract_features[0, :frames], alone.extract_features[0]),
        "hidden state": _moved(batched.last_hidden_state[0, :frames], alone.last_hidden_state[0]),
        "one vector": _moved(batched.last_hidden_state[0, :rows].mean(0), alone.last_hidden_state[0].mean(0)),
    }


@cache
def trained(norm: str, padded_to: float, mask: bool, figure: str = "word_accuracy") -> float:
    """What was measured for a digit model when it was trained, in per cent (``metrics.json`` beside its weights)."""
    folder = resources.files("w2vlearn") / "data" / f"digits_{norm}"
    rows = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["padding"]
    wanted = {"padded_to": padded_to, "mask": mask, "frames": "valid"}
    return 100 * next(row[figure] for row in rows if wanted.items() <= row.items())


def show_trained() -> None:
    """Print what padding does to both digit models."""
    print(f"{'':28s}{'words right':>18s}{'same text as alone':>22s}")
    print(f"{'':30s}{'group':>8s}{'layer':>8s}{'':6s}{'group':>8s}{'layer':>8s}")
    for name, padded_to, mask in [
        ("alone", 1.0, False),
        *((f"padded to {p:g} x, {'mask' if m else 'no mask'}", p, m) for p in (1.5, 2.0, 4.0) for m in (False, True)),
    ]:
        cells = [
            [trained(n, padded_to, mask, f) for n in ("group", "layer")] for f in ("word_accuracy", "same_as_alone")
        ]
        words, same = ("".join(f"{cell:7.1f}%" for cell in pair) for pair in cells)
        print(f"{name:30s}{words}{'':6s}{same}")


def show_evidence() -> None:
    """Print the table of exercise 5.2."""
    print(f"{'program':9s}" + "".join(f"{place:>14s}" for place in evidence()["A"]))
    for name, places in evidence().items():
        print(f"{name:9s}" + "".join(f"{_amount(value):>14s}" for value in places.values()))


def _amount(value: float) -> str:
    return "untouched" if value < 1e-4 else f"{value:.2f}"


@cache
def with_masked_norm() -> str:
    """What is left of the leak when exercise 5.3's norm takes the place of the group norm, mask handed."""
    from types import SimpleNamespace

    names: dict = {"torch": torch}
    exec(exercise("5.3").solution, names)
    clips = [example("yes"), example("question")]
    batch = pad(clips)
    model = Wav2Vec2Model(tiny).eval()
    kernel, stride = tiny.conv_kernel[0], tiny.conv_stride[0]
    now = SimpleNamespace(lengths=batch.lengths)

    class MaskedNorm(torch.nn.Module):
        def forward(self, features):
            return names["masked_group_norm"](features, (now.lengths - kernel) // stride + 1)

    model.feature_extractor.conv_layers[0].layer_norm = MaskedNorm()
    with torch.no_grad():
        together = model(batch.waveforms, batch.mask).last_hidden_state[0, : T(YES)]
        now.lengths = batch.lengths[:1]
        alone = model(clips[0][None]).last_hidden_state[0]
    return "nothing but float error" if _moved(together, alone) < 1e-5 else f"{_moved(together, alone):.2f}"


# ---------------------------------------------------------------- exercises


def hidden_states() -> list[Case]:
    """Small (B, T, D) tensors with their frame masks."""
    hidden = torch.tensor([[[1.0, 10.0], [3.0, 20.0], [8.0, 60.0]], [[2.0, 4.0], [4.0, 8.0], [6.0, 12.0]]])  # (2, 3, 2)
    short = torch.tensor([[True, True, False], [True, True, True]])
    other = torch.tensor([[True, False, False], [True, True, False]])
    return [
        Case(
            hidden,
            short,
            label="2 clips of 2 and 3 valid frames",
            because="The first clip has two valid rows; its vector is the mean of those, whatever stands in the third.",
        ),
        Case(hidden, other, label="2 clips of 1 and 2 valid frames", because="One valid row is its own mean."),
        Case(hidden[:1], short[1:], label="one clip without padding", because="Without padding it is the plain mean."),
    ]


def channels() -> list[Case]:
    """Small (B, C, T1) tensors with the number of valid positions."""
    generator = torch.Generator().manual_seed(0)
    features = 3 * torch.randn(2, 3, 6, generator=generator) + 1
    return [
        Case(
            features,
            torch.tensor([4, 6]),
            label="(2, 3, 6), 4 and 6 valid positions",
            because="Each channel of each clip has mean 0 and variance 1 over its valid positions; padded ones are 0.",
        ),
        Case(
            features[:1],
            torch.tensor([6]),
            label="(1, 3, 6), all valid",
            because="Without padding it is torch's own group norm, one group for each channel.",
        ),
    ]


CASES = {
    "5.1": hidden_states,
    "5.3": channels,
}


# ---------------------------------------------------------------- sentences with "exactly", "never" or "always"

CLAIMS = {}
