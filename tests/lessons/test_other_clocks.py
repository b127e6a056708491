"""Lesson 12: its solution is exact for linear signals; what it says of other tools and of shortcuts holds widely."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course import contents, lesson_12
from course.checker import answer_of
from course.lesson_12 import by_centres, centres, paired, picture_times, short_by, stretched
from w2vlearn import FrameGeometry, Wav2Vec2Config

GEOMETRY = FrameGeometry.from_config(Wav2Vec2Config.base())
LENGTHS = st.integers(GEOMETRY.receptive_field, 12 * 16_000)


def solution(identifier):
    exercise = contents.exercise(identifier)
    return answer_of(exercise, exercise.solution)


GRID, AT_TIMES, ROW_TIMES = solution("12.1"), solution("12.2"), solution("12.4")


@given(
    frames=st.integers(1, 400),
    lines=st.lists(st.tuples(st.floats(-5, 5), st.floats(-1, 1)), min_size=1, max_size=3),
    times=st.lists(st.floats(-100, 9_000), min_size=1, max_size=20),
)
def test_at_times_is_exact_for_linear_signals_and_holds_the_ends(frames, lines, times):
    first, last = GEOMETRY.centre_ms(0), GEOMETRY.centre_ms(frames - 1)
    clock = torch.linspace(first, last, frames, dtype=torch.float64)[:, None]
    times = torch.tensor(times, dtype=torch.float64)
    at_zero, slope = torch.tensor(lines, dtype=torch.float64).T  # (D,) each
    expected = at_zero + slope * times.clamp(first, last)[:, None]
    for function in (AT_TIMES, by_centres):
        torch.testing.assert_close(function(at_zero + slope * clock, times), expected, rtol=1e-9, atol=1e-9)


@given(st.lists(st.integers(0, 3_000), max_size=6))
def test_row_times_are_the_mean_times_of_the_samples_that_each_row_reads(pieces):
    clock = torch.arange(sum(pieces), dtype=torch.float64) + 0.5  # the middle of each sample
    rows = [piece.unfold(0, 400, 320).mean(1) / 16 for piece in clock.split(pieces) if len(piece) >= 400]
    assert ROW_TIMES(pieces) == pytest.approx(torch.cat([torch.empty(0), *rows]).tolist())


@pytest.mark.parametrize(
    ("window", "hop", "pad"), [(400, 160, 0), (400, 160, 200), (1024, 256, 512), (1024, 256, 384), (400, 320, 40)]
)
def test_a_column_of_a_spectrogram_is_loudest_for_an_impulse_at_its_derived_centre(window, hop, pad):
    samples = 2 * window
    count, first = GRID(samples, window, hop, pad)
    impulses = torch.nn.functional.pad(torch.eye(samples), (pad, pad))
    hann = torch.hann_window(window)
    columns = torch.stft(impulses, window, hop, window=hann, center=False, return_complex=True)
    loudest = columns.abs().sum(1).argmax(0)  # (samples, bins, count) -> (count,)
    derived = [first + k * hop for k in range(count)]
    pairs = [(int(found), centre) for found, centre in zip(loudest, derived, strict=True) if centre < samples]
    assert len(pairs) >= 2 and all(found == centre for found, centre in pairs)


@given(samples=LENGTHS, rows=st.integers(1, 3_000))
def test_a_stretch_over_the_whole_clip_is_off_by_less_than_a_window(samples, rows):
    clock, times = centres(samples)[:, None], (torch.arange(rows, dtype=torch.float64) + 0.5) * samples / 16 / rows
    off = (stretched(clock, rows)[:, 0] - times)[(times >= clock[0]) & (times <= clock[-1])]
    assert 5 <= short_by(samples) < 25 and (off.abs() < 25).all()


@given(samples=LENGTHS, pictures=st.integers(1, 400))
def test_pairs_are_shifted_and_centres_are_met(samples, pictures):
    clock, times = centres(samples)[:, None], picture_times(pictures)
    pairs = paired(clock)[:pictures, 0]
    torch.testing.assert_close(pairs - times[: len(pairs)], torch.full_like(pairs, lesson_12.PAIRS_LATE))
    inside = (times >= clock[0]) & (times <= clock[-1])
    torch.testing.assert_close(by_centres(clock, times)[inside, 0], times[inside])


@given(samples=st.integers(16_000, 160_000))
def test_other_counts(samples):
    """What the lesson says of tools that are not installed here."""
    assert GRID(samples, 400, 160, 0)[0] == (samples - 400) // 160 + 1  # Kaldi, snip_edges
    assert GRID(samples, 400, 320, 200)[0] == 1 + samples // 320  # centred
    assert GRID(samples, 400, 320, 40)[0] == samples // 320  # units of bshall/hubert
    assert -(-samples // 320) - GEOMETRY.frame_count(samples) in (1, 2)  # s3prl repeats the last
