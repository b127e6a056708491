"""Lesson 5: one clip, alone and in a batch; four ways in which padding gets into its result."""

from __future__ import annotations

from functools import cache

import torch

from course.common import *
from course.contents import COURSE, exercise
from course.exercise import Case
from course.player import digits_clip as digits_clip  # the notebook takes it from this module
from w2vlearn import Wav2Vec2Model, pad, padding_leak
from w2vlearn.audio import example
from w2vlearn.show import Picture, bar_figure, line_figure
from w2vlearn.show.palette import stage_of
from w2vlearn.show.track_figure import Track, pieces_of, track_figure

LESSON = COURSE[5]

# ---------------------------------------------------------------- what prose computes with

LONG = geometry.samples_for(200).start  # samples of the clip in which neighbourhoods can be seen: 200 frames
PROBE, FRAME = 4000, 3  # samples of the clip, and the frame, whose receptive field is measured
REACHED = KERNEL // 2 - 1  # valid frames that see a padded one through the positional convolution


@cache
def build(norm: str) -> Wav2Vec2Model:
    """TINY with random weights: group norm as in BASE, or layer norm as in LARGE_LV60."""
    return seeded(Wav2Vec2Model, norm, do_stable_layer_norm=norm == "layer")


@cache
def moved_by_batch(norm: str, mask: bool = True) -> float:
    """How far the batch moves the hidden states of “yes please”, beside the question."""
    report = padding_leak(build(norm), [example("yes"), example("question")])
    return (report.with_mask if mask else report.without_mask)["encoder"].per_clip[0]


@cache
def evidence() -> dict[str, dict[str, float]]:
    """Four programs with one leak each: how far the batch moves “yes please” at four places on its way."""
    programs = {  # norm, the row is normalised, mask, only valid rows are averaged
        "A": ("layer", False, False, True),
        "B": ("layer", False, True, False),
        "C": ("layer", True, True, True),
        "D": ("group", False, True, True),
    }
    return {name: _places(*program) for name, program in programs.items()}


@torch.no_grad()
def _places(norm: str, whole_row: bool, mask: bool, valid_only: bool) -> dict[str, float]:
    model, clips = build(norm), [example("yes"), example("question")]
    apart, batch = pad(clips[:1], normalize=True), pad(clips, normalize=not whole_row)
    waveforms = torch.stack([normalised(row) for row in batch.waveforms]) if whole_row else batch.waveforms
    alone, batched = model(apart.waveforms), model(waveforms, batch.mask if mask else None)
    frames = alone.last_hidden_state.shape[1]
    rows = frames if valid_only else batched.last_hidden_state.shape[1]
    return {
        "samples": moved(waveforms[0, :YES], apart.waveforms[0]),
        "features": moved(batched.extract_features[0, :frames], alone.extract_features[0]),
        "hidden state": moved(batched.last_hidden_state[0, :frames], alone.last_hidden_state[0]),
        "one vector": moved(batched.last_hidden_state[0, :rows].mean(0), alone.last_hidden_state[0].mean(0)),
    }


def show_evidence() -> None:
    """Print the table of exercise 5.2."""
    print(f"{'program':9s}" + "".join(f"{place:>14s}" for place in evidence()["A"]))
    for name, places in evidence().items():
        amounts = ["untouched" if amount < 1e-4 else f"{amount:.2f}" for amount in places.values()]
        print(f"{name:9s}" + "".join(f"{amount:>14s}" for amount in amounts))


@cache
def with_masked_norm() -> str:
    """What is left of the leak when exercise 5.3's norm takes the place of the group norm, mask handed."""
    names = {"torch": torch}
    exec(exercise("5.3").solution, names)
    model, clips = seeded(Wav2Vec2Model), [example("yes"), example("question")]
    steps = torch.tensor([geometry.lengths(len(clip))[0] for clip in clips])  # T1 of each clip
    model.feature_extractor.conv_layers[0].layer_norm.register_forward_hook(
        lambda module, inputs, output: names["masked_group_norm"](inputs[0], steps[: len(inputs[0])])
    )
    left = padding_leak(model, clips).with_mask["encoder"].per_clip[0]
    return "nothing but float error" if left < 1e-5 else f"{left:.2f}"


# ---------------------------------------------------------------- what is drawn


def padded_row_figure(longest: int) -> Picture:
    """“yes please” in a row of ``longest`` samples: the derived factor, the measured one, and how far states move."""
    clip = example("yes")
    row = torch.nn.functional.pad(clip, (0, longest - len(clip)))[None]  # (1, L)
    mask = (torch.arange(longest) < len(clip))[None]
    convolution = build("group").feature_extractor.conv_layers[0].conv
    change = {}
    with torch.no_grad():
        alone, padded = (convolution(x[None]) for x in (clip[None], row))  # (1, C, T1)
        for norm in ("group", "layer"):
            reference = build(norm)(clip[None]).last_hidden_state[0]
            change[norm] = moved(build(norm)(row, mask).last_hidden_state[0, : len(reference)], reference)
    bars = {
        "factor, derived": (longest / len(clip)) ** 0.5,
        "factor, measured": float(alone.std(2).mean() / padded.std(2).mean()),
        "hidden state moved, group norm": change["group"],
        "hidden state moved, layer norm": change["layer"] if change["layer"] > 1e-5 else 0.0,
    }
    title = f"{longest - len(clip)} samples of padding, mask handed"
    return bar_figure(list(bars), list(bars.values()), title=title, value_label="factor or share", limits=(0, 2.5))


def trained_figure() -> Picture:
    """How many words both digit models get right when zeros are appended, with the mask and without it."""
    rows = [1.0, 1.5, 2.0, 4.0]  # times the clip's own length
    lines = {
        f"{norm} norm, {'mask' if mask else 'no mask'}": [trained(norm, row, mask) for row in rows]
        for norm in ("group", "layer")
        for mask in (False, True)
    }
    return line_figure(
        rows,
        lines,
        title="What padding does to two trained models",
        x_label="length of the row, in lengths of the clip",
        y_label="words right, %",
        limits=(50, 100),
    )


SPREADS = [f"{norm} norm, {mask}" for norm in ("group", "layer") for mask in ("no mask", "mask")]
_ROWS = {
    "first convolution": "feature_extractor.conv_layers.0.conv",
    "its norm": "feature_extractor.conv_layers.0.layer_norm",
    "feature encoder": "feature_extractor",
    "projection": "feature_projection",
    "positions": "encoder.pos_conv_embed",
    "attention": "encoder.layers.0.attention",
    "layer 0": "encoder.layers.0",
    "layer 1": "encoder.layers.1",
}


@cache
def _spread(norm: str):
    speech = torch.cat([example(name) for name in ("question", "digits", "yes")])
    return padding_leak(build(norm), [speech[:LONG], speech[: LONG + SECOND]])


def spread_figure(case: str) -> Picture:
    """Which positions of a clip padding has moved, layer by layer; ``case`` is one of `SPREADS`."""
    norm, masked = case.split()[0], not case.endswith("no mask")
    report = _spread(norm)
    run = report.with_mask if masked else report.without_mask
    clip_s, row_s = LONG / SECOND, (LONG + SECOND) / SECOND
    tracks = [Track("waveform", [(0, clip_s, "empty"), (clip_s, row_s, "padding")])]
    for name, module in _ROWS.items():
        flags = (run[module].per_frame[0] > 1e-4).tolist()
        scale = clip_s / len(flags)
        pieces = [(start * scale, stop * scale, kind) for start, stop, kind in pieces_of(flags, "touched", "empty")]
        note = f"{100 * sum(flags) / len(flags):.0f} %"
        tracks.append(Track(name, [*pieces, (clip_s, row_s, "padding")], note, stage=stage_of(module)))
    return track_figure(tracks, x_label="seconds", title=f"{case}: what padding moved")


# ---------------------------------------------------------------- exercises


def _hidden_states() -> list[Case]:
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


def _channels() -> list[Case]:
    """Small (B, C, T1) tensors with the number of valid positions."""
    features = 3 * torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0)) + 1
    mixed = "Each channel of each clip has mean 0 and variance 1 over its valid positions; padded ones are 0."
    plain = "Without padding it is torch's own group norm, one group for each channel."
    return [
        Case(features, torch.tensor([4, 6]), label="(2, 3, 6), 4 and 6 valid positions", because=mixed),
        Case(features[:1], torch.tensor([6]), label="(1, 3, 6), all valid", because=plain),
    ]


CASES = {"5.1": _hidden_states, "5.3": _channels}


# ---------------------------------------------------------------- what sentences say of the trained models

CLAIMS = {
    "layer norm: with the mask the texts are those of the clips alone": lambda: (
        trained("layer", 4.0, True, "same_as_alone") > 99.9
    ),
    "without the mask only some are": lambda: trained("layer", 4.0, False, "same_as_alone") < 90,
    "group norm: the mask helps": lambda: trained("group", 4.0, True) > trained("group", 4.0, False) + 1,
    "though it cannot repair": lambda: trained("group", 4.0, True, "same_as_alone") < 90,
}
