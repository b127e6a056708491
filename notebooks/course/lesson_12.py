"""Lesson 12: frames on other clocks, those of video, pitch, spectrograms, labels and units."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from course.common import *
from course.contents import COURSE
from course.exercise import Case
from w2vlearn import FrameGeometry
from w2vlearn.show import Picture, line_figure
from w2vlearn.show.palette import FEATURE_ENCODER, WAVEFORM
from w2vlearn.show.track_figure import Track, track_figure

LESSON = COURSE[12]

# ---------------------------------------------------------------- what prose computes with

FPS, FILM, TV = 25, 24, 30  # pictures per second
NTSC_PICTURES, NTSC_SECONDS = 30_000, 1001  # what "29.97" stands for
NTSC = NTSC_PICTURES / NTSC_SECONDS
KILO = 1000
PICTURE_MS = 1000 / FPS
PITCH, WORLD = 100, 200  # values per second: Kaldi's features; WORLD's pitch, which begins at 0
SHORT_HOP = SECOND // PITCH  # samples
AROUND = 8  # rows before a picture's middle, and as many after it: a window for each picture
MEL_RATE, MEL_WINDOW, MEL_HOP = 22_050, 1024, 256  # a vocoder's spectrogram
MEL_PAD = (MEL_WINDOW - MEL_HOP) // 2  # HiFi-GAN's padding
BOTH_ENDS = OVERLAP // 2  # samples that bshall/hubert adds at either end
OLD = FrameGeometry((10, 8, 4, 4, 4, 1, 1, 1), (5, 4, 2, 2, 2, 1, 1, 1))  # wav2vec 1.0 and vq-wav2vec
STUDIO = 44_100  # Hz
TEN = 10 * SECOND  # samples of the clip that is measured
PICTURES = 10 * FPS
MINUTES = 10  # of the long clip
LIPS_LATE, LIPS_EARLY = 125, 45  # ms of sound behind and before the picture that viewers notice (ITU-R BT.1359-1)
REPEATED = CENTRE - KILO / PITCH / 2  # ms: a frame that stands for two pitch values, against its centre
SLAM = 9  # the second of the click that travels through glued pieces


def grid(samples: int, window: int, hop: int, pad: int) -> tuple[int, float]:
    """Exercise 12.1: how many windows, and the first one's centre in samples."""
    return FrameGeometry((window,), (hop,)).frame_count(samples + 2 * pad), window / 2 - pad


def centres(samples: int) -> Tensor:
    """When each frame of a clip is, in ms. Shape: (T,), float64."""
    return torch.tensor([geometry.centre_ms(t) for t in range(T(samples))], dtype=torch.float64)


def picture_times(pictures: int, fps: float = FPS) -> Tensor:
    """The middle of each picture of a video, in ms. Shape: (n,), float64."""
    return (torch.arange(pictures, dtype=torch.float64) + 0.5) * 1000 / fps


def by_centres(features: Tensor, times_ms: Tensor) -> Tensor:
    """Features (T, D) at other times (n,), by numpy's linear interpolation between the frames' centres. (n, D)."""
    place = geometry.start_ms(1) * np.arange(len(features)) + CENTRE
    columns = [np.interp(times_ms.numpy(), place, column) for column in features.T.numpy()]
    return torch.from_numpy(np.stack(columns, axis=1)).to(features.dtype)


def stretched(features: Tensor, rows: int, corners: bool = False) -> Tensor:
    """The popular ``interpolate(size=rows)``. Shape: (rows, D)."""
    return F.interpolate(features.T[None], size=rows, mode="linear", align_corners=corners)[0].T


def paired(features: Tensor) -> Tensor:
    """Means of two frames each; an odd frame at the end is dropped. Shape: (T // 2, D)."""
    return features[: len(features) // 2 * 2].unflatten(0, (-1, 2)).mean(dim=1)


def signed(ms: float) -> str:
    """``"+2.5"``, ``"-17.5"``; what float error alone leaves is ``"+0.0"``."""
    return f"{round(float(ms), 1) + 0.0:+.1f}"


def click_change(encoder: Callable[[Tensor], Tensor], clip: Tensor, sample: int) -> Tensor:
    """How much a click at ``sample`` changes each frame of the feature encoder. Shape: (T, 1)."""
    clicked = clip.clone()
    clicked[sample] += 5
    with torch.no_grad():
        before, after = encoder(torch.stack([clip, clicked]))  # (C, T) each
    return (after - before).norm(dim=0)[:, None]


def columns(waveform: Tensor, window: int, hop: int, centred: bool) -> int:
    """How many columns torch's spectrogram has. Shape of the waveform: (1, L)."""
    hann = torch.hann_window(window)
    return torch.stft(waveform, window, hop, window=hann, center=centred, return_complex=True).shape[-1]


def arrival_ms(activity: Tensor, times_ms: Tensor) -> float:
    """When something happens: the mean time, each row weighted by its activity. Shapes: (n,) both."""
    return float((activity * times_ms).sum() / activity.sum())


# What interpolate(size=n) does to ten seconds: by how many ms the first row is read too late, the last too early.
_OFF = (stretched(centres(TEN)[:, None], PICTURES)[:, 0] - picture_times(PICTURES)).tolist()
FIRST_LATE, LAST_EARLY = _OFF[0], -_OFF[-1]
PAIRS_LATE = float((paired(centres(TEN)[:, None])[:, 0] - picture_times(PICTURES - 1))[0])
NTSC_DRIFT = 1000 * 60 * MINUTES * (1 - NTSC / TV)  # ms in ten minutes


def short_by(samples: int) -> float:
    """By how much T hops are shorter than the clip, in ms: what `interpolate(size=n)` stretches away."""
    return (samples - T(samples) * HOP) * 1000 / SECOND


# ---------------------------------------------------------------- figures


def grid_figure(grids: Sequence[tuple[str, float, float, float]], until_ms: float = 120) -> Picture:
    """Grids (name, first centre, step, width), all in ms, on one time axis; a width of 0 draws the centres only.

    Dashed lines lead from the centres of the first grid through all of them.
    """
    tracks = []
    for place, (name, first, step, width) in enumerate(grids):
        centres_ms = [round(first + k * step, 2) for k in range(int((until_ms - first) / step + 1e-9) + 1)]
        ends = [(max(0.0, centre - width / 2), min(until_ms, centre + width / 2)) for centre in centres_ms if width]
        boxes = [(float(round(start)), float(round(stop)), "valid") for start, stop in ends]
        tracks.append(Track(name, boxes, marks=centres_ms, stage=WAVEFORM if place else FEATURE_ENCODER))
    return track_figure(
        tracks,
        title=f"The first {until_ms:g} ms",
        x_label="time in ms",
        limits=(0, until_ms),
        seams=tracks[0].marks,
        words={"valid": "boxes: windows"},
        mark="centre",
    )


def shortcut_figure(pictures: int) -> Picture:
    """Ten seconds of sound and a video of so many pictures: how far off each way reads, over time."""
    times, clock = picture_times(pictures), centres(TEN)[:, None]
    pairs = paired(clock)[:pictures, 0]
    rows = {
        "interpolate(size=n)": stretched(clock, pictures)[:, 0],
        "interpolate, align_corners": stretched(clock, pictures, corners=True)[:, 0],
        "pairs": torch.cat([pairs, torch.full((pictures - len(pairs),), torch.nan, dtype=torch.float64)]),
        "by centres": by_centres(clock, times)[:, 0].masked_fill(times > KILO * TEN / SECOND, torch.nan),
    }
    return line_figure(
        (times / 1000).tolist(),
        {name: (row - times).tolist() for name, row in rows.items()},
        title=f"10 s of sound, {pictures} pictures ({pictures / FPS:.2f} s of video)",
        x_label="time of the picture in s",
        y_label="ms read too late",
        alt=_shortcut_alt(pictures, times, rows),
    )


def _shortcut_alt(pictures: int, times: Tensor, rows: dict[str, Tensor]) -> str:
    told = []
    for name, row in rows.items():
        off = (row - times)[~row.isnan()]
        told.append(f"{name} from {signed(off[0])} to {signed(off[-1])} ms, {len(off)} rows")
    return f"Ten seconds of sound, {pictures} pictures: {'; '.join(told)}. Plus: read too late, minus: too early."


# ---------------------------------------------------------------- exercises


def _feature_cases() -> list[Case]:
    """Frames that can be read with the eye, and ten seconds of random ones."""
    few = torch.tensor([[0.0, 10.0], [2.0, 30.0], [4.0, 20.0]])
    noise = torch.randn(T(TEN), 3, generator=torch.Generator().manual_seed(0))

    def case(features: Tensor, times: Sequence[float], because: str, name: str = "") -> Case:
        told = name or "torch.tensor([" + ", ".join(f"{time:g}" for time in times) + "])"
        label = f"features {tuple(features.shape)}, {told}"
        return Case(features, torch.tensor(times), because=because, label=label)

    return [
        case(few, [12.5, 32.5, 52.5], "At the centres of the frames the frames themselves come out."),
        case(few, [22.5, 42.5], "Midway between two centres: half of each."),
        case(few, [17.5, 47.5], "A quarter of the way, and three quarters."),
        case(few, [-3.0, 0.0, 12.0], "Before the first centre there is only the first frame."),
        case(few, [53.0, 60.0, 200.0], "After the last centre there is only the last frame."),
        case(few[:1], [0.0, 12.5, 40.0], "One frame is all there is, at any time."),
        case(noise, picture_times(PICTURES).tolist(), "Ten seconds, and the pictures of a video.", "25 a second"),
        case(noise, picture_times(10 * TV, NTSC).tolist(), "Pictures at another rate.", "29.97 a second"),
    ]


CASES = {
    "12.1": (
        Case(
            SECOND, FIELD, HOP, 0, because="wav2vec 2.0 itself: {{T(SECOND)}} windows, the first from 0 to {{FIELD}}."
        ),
        Case(SECOND, FIELD, SHORT_HOP, 0, because="Kaldi's windows of {{FIELD_MS}} ms every {{KILO // PITCH}} ms."),
        Case(SECOND, FIELD, HOP, BOTH_ENDS, because="Window 0 begins {{BOTH_ENDS}} samples before the clip."),
        Case(
            MEL_RATE,
            MEL_WINDOW,
            MEL_HOP,
            MEL_WINDOW // 2,
            because="A centred spectrogram: its window 0 lies on sample 0.",
        ),
        Case(MEL_RATE, MEL_WINDOW, MEL_HOP, MEL_PAD),
        Case(SECOND, 465, SHORT_HOP, 0, because="wav2vec 1.0: an odd window has its centre on half a sample."),
        Case(399, FIELD, HOP, 0, because="No full window fits."),
        Case(
            100, MEL_WINDOW, MEL_HOP, 0, because="Far too short, and there is no such thing as fewer than no windows."
        ),
    ),
    "12.2": _feature_cases,
    "12.3": (
        Case(0.0125, SECOND, because="The centre of frame 0."),
        Case(0.0219, SECOND, because="Frame 1 has its centre at {{CENTRE + HOP_MS}} ms; frame 0 is nearer."),
        Case(0.0231, SECOND, because="Now frame 1 is nearer."),
        Case(0.0, SECOND, because="No frame is earlier than frame 0."),
        Case(0.9999, SECOND, because="The last frame of a second is {{T(SECOND) - 1}}."),
        Case(0.5051, SECOND),
        Case(59.031, 60 * SECOND, because="A minute later the grid is still the same."),
        Case(9.98, 10 * SECOND),
    ),
    "12.4": (
        Case([SECOND, SECOND], because="The second piece begins a second later, at {{KILO}} ms."),
        Case([SECOND, SECOND // 2, SECOND], because="Pieces may differ in length."),
        Case([FIELD, 300, 720], because="The second piece gives no frame, but it takes its time."),
        Case([], because="No piece, no row."),
    ),
}
