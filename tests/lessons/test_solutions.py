"""Every solution against an independent one: a library's function, a real layer, or the definition written out."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from lesson_files import EXERCISES
from torch import nn

from course import contents
from course.checker import answer_of
from course.differences import difference
from course.finetuning_demo import bucketed
from course.lesson_05 import evidence
from course.lesson_07 import ways
from course.lesson_12 import PAIRS_LATE, by_centres, centres, paired, picture_times, short_by, stretched
from w2vlearn import FrameGeometry, Wav2Vec2Config, pad, padding_masks
from w2vlearn.transcription.chunks import plan
from w2vlearn.transcription.ctc_decoding import collapse

BASE = Wav2Vec2Config.base()
GEOMETRY = FrameGeometry.from_config(BASE)
T = GEOMETRY.frame_count


def solution_of(identifier):
    exercise = contents.exercise(identifier)
    return answer_of(exercise, exercise.solution)


def rows(tensor, mask, change):
    """Each row with ``change`` applied to what its mask keeps, zeros elsewhere."""
    result = torch.zeros_like(tensor)
    for row, keep, new in zip(tensor, mask, result, strict=True):
        new[..., keep] = change(row[..., keep])
    return result


def mixes_time(layer, x):
    x = x.clone().requires_grad_()
    gradients = [torch.autograd.grad(layer(x)[:, t].sum(), x, retain_graph=True)[0] for t in range(x.shape[1])]
    return any(bool(g[:, torch.arange(x.shape[1]) != t].abs().max() > 1e-6) for t, g in enumerate(gradients))


def to_valid(given, convention, frames):
    if convention == "lengths":
        return padding_masks.frame_mask(given, frames)
    return {"valid": given == 1, "padding": given != 1, "additive": given > -1}[convention]


def failing_layer(samples):
    x = torch.zeros(1, 1, samples)
    for place, (kernel, stride) in enumerate(zip(BASE.conv_kernel, BASE.conv_stride, strict=True)):
        if x.shape[2] < kernel:
            return place
        x = F.conv1d(x, torch.zeros(1, 1, kernel), stride=stride)
    return None


def attention_weights(query, key, frame_mask):
    frames = key.shape[2]
    value = torch.eye(frames).expand(*key.shape[:2], frames, frames)  # what attention makes of it are its weights
    return F.scaled_dot_product_attention(query, key, value, frame_mask[:, None, None])


def masked_group_norm(features, real):
    keep = torch.arange(features.shape[2]) < real[:, None]
    return rows(features, keep, lambda part: F.group_norm(part[None], len(part))[0])


def my_plan(samples, keep, context):
    chunks = plan(samples, GEOMETRY, keep / 50, context / 50)  # seconds
    edges = [(GEOMETRY.span(chunk.read[0]).start, GEOMETRY.span(chunk.read[-1]).stop) for chunk in chunks]
    return [(chunk.keep.start, chunk.keep.stop, *edge) for chunk, edge in zip(chunks, edges, strict=True)]


def capped(order, lengths, most):
    batches = []
    while order:
        fit = [n for n in range(1, len(order) + 1) if n * max(lengths[i] for i in order[:n]) <= most]
        size = max(fit, default=1)
        batches.append(order[:size])
        order = order[size:]
    return batches


def shares(counts):
    means = torch.zeros(len(counts), requires_grad=True)
    torch.cat([mean.expand(count) for mean, count in zip(means, counts, strict=True)]).mean().backward()
    return means.grad.tolist()


INDEPENDENT = {
    "1.2": lambda recording: torch.from_numpy(recording.numpy().astype("float32").mean(1) / 2**15),
    "1.3": lambda clips: (lambda batch: (batch.waveforms, batch.mask))(pad(clips, minimum_samples=1)),
    "1.4": lambda x, mask: rows(x, mask, lambda part: F.layer_norm(part, part.shape, eps=1e-7)),
    "2.2": T,
    "2.3": lambda frames: (GEOMETRY.samples_for(frames)[0], GEOMETRY.samples_for(frames)[-1]),
    "2.4": failing_layer,
    "2.5": lambda t, samples: (GEOMETRY.start_ms(t), GEOMETRY.centre_ms(t), GEOMETRY.span(t).stop / 16),
    "2.6": lambda n, samples: [t for t in GEOMETRY.frames_at(n) if t < T(samples)],
    "3.1": lambda c, d: sum(p.numel() for p in nn.Sequential(nn.LayerNorm(c), nn.Linear(c, d)).parameters()),
    "3.2": F.linear,
    "3.3": mixes_time,
    "3.4": lambda x: F.layer_norm(x.transpose(1, 2), x.shape[1:2]),
    "4.1": lambda lengths, frames: torch.tensor([[t < T(n) for t in range(frames)] for n in lengths.tolist()]),
    "4.2": padding_masks.attention_mask,
    "4.3": to_valid,
    "4.4": lambda mask: bool((mask.int().diff(dim=1) > 0).any() or not mask.any()),
    "5.1": lambda hidden, mask: torch.stack([h[m].mean(0) for h, m in zip(hidden, mask, strict=True)]),
    "5.3": masked_group_norm,
    "6.1": lambda frames, kernel: nn.Conv1d(1, 1, kernel, padding=kernel // 2)(torch.zeros(1, 1, frames)).shape[2],
    "6.2": attention_weights,
    "6.3": lambda lengths: torch.empty(len(lengths), 12, *[T(max(lengths))] * 2, device="meta").nbytes,
    "7.1": lambda ids, blank: [label for label, _ in collapse(ids, blank)],
    "7.2": lambda labels: next(frames for frames in itertools.count() if ways(labels, frames)),
    "7.3": lambda batch: nn.utils.rnn.pad_sequence([*map(torch.tensor, batch)], batch_first=True, padding_value=-100),
    "7.4": lambda first, last: (0.02 * first, 0.02 * last + 0.025),
    "7.5": lambda samples, words: [
        int(any(a <= c < b for a, b in words)) for c in [(320 * t + 200) / 16_000 for t in range(T(samples))]
    ],
    "8.2": lambda starts, lengths, frames, span: torch.tensor(
        [[any(s <= t < s + span <= n for s in begun) for t in range(frames)] for begun, n in zip(starts, lengths)]  # noqa: B905
    ),
    "8.3": lambda mask, clip, frame: [
        b * mask.shape[1] + t for b, t in mask.nonzero().tolist() if b == clip and t != frame
    ],
    "8.4": lambda predicted, target, negatives, temperature: F.cross_entropy(
        F.normalize(torch.stack([target, *(n for n in negatives if not torch.equal(n, target))]), dim=1)
        @ F.normalize(predicted, dim=0) / temperature,
        torch.tensor(0),
    ),
    "9.1": lambda samples: nn.Conv1d(1, 512, 10, 5, device="meta")(torch.empty(1, 1, samples, device="meta")).nbytes,
    "9.2": lambda first, last, context: (
        GEOMETRY.span(first - min(first, context)).start, GEOMETRY.span(last + context).stop, min(first, context),
    ),
    "9.3": lambda t, keep_start, context: 0.02 * t + 0.02 * keep_start - 0.02 * context,
    "9.4": my_plan,
    "10.2": lambda frames, layers: -(-frames // 2**layers),
    "10.3": lambda g, v: torch._weight_norm(v, g, 2),
    "12.3": lambda seconds, samples: min(range(T(samples)), key=lambda t: abs(GEOMETRY.centre_ms(t) - 1000 * seconds)),
    "13.1": lambda labels, span: next(n for n in itertools.count(400) if T(n) >= span and ways(labels, T(n))),
    "13.2": bucketed,
    "13.3": capped,
    "13.4": shares,
}  # fmt: skip


@pytest.mark.parametrize("identifier", INDEPENDENT)
def test_solution_is_what_an_independent_function_gives(identifier):
    exercise, solution = contents.exercise(identifier), solution_of(identifier)
    for case in exercise.cases() if callable(exercise.cases) else exercise.cases:
        told = difference(solution(*case.arguments), INDEPENDENT[identifier](*case.arguments), exercise.tolerance)
        assert told is None, f"{case.label or case.arguments}: {told}"


def first_moved(places):
    return next(place for place, amount in places.items() if amount > 1e-4)


def hidden_share():
    starts = (torch.rand(400_000, generator=torch.Generator().manual_seed(0)) < 0.04).float()
    return float(F.max_pool1d(starts[None, None], 12, 1).mean())


LEAKS = {"samples": "normalisation", "features": "group norm", "hidden state": "no mask", "one vector": "pooling"}
VALUES = {
    "0.1": lambda: ((3, T(40_000), 768), [T(n) for n in (16_000, 23_456, 40_000)]),
    "1.1": lambda: min(
        range(8_000, 48_001, 50), key=lambda rate: (abs(T(round(9.36 * rate)) - 644), abs(rate - 22_050))
    ),
    "2.1": lambda: (GEOMETRY.hop, GEOMETRY.receptive_field),
    "5.2": lambda: ({name: LEAKS[first_moved(places)] for name, places in evidence().items()}, ["A"]),
    "8.1": lambda: (0.48, hidden_share()),
    "10.1": lambda: (
        2 * 80,
        nn.Sequential(*(nn.Conv1d(1, 1, k, s) for k, s in zip((10, 3, 3, 3, 3, 2), (5, *[2] * 5), strict=True)))(
            torch.zeros(1, 1, 16_000)
        ).shape[2],
    ),
}


@pytest.mark.parametrize("identifier", VALUES)
def test_value_is_what_an_independent_count_gives(identifier):
    exercise = contents.exercise(identifier)
    told = difference(solution_of(identifier), VALUES[identifier](), exercise.tolerance)
    assert told is None, told


@pytest.mark.parametrize("labels", [[], [1], [1, 1], [1, 2], [1, 1, 2], [1, 2, 1], [2, 2, 2]])
def test_ways_counts_the_rows_that_collapse_to_the_labels(labels):
    for frames in range(7):
        rows = itertools.product(range(3), repeat=frames)
        assert ways(labels, frames) == sum([label for label, _ in collapse(row, 0)] == labels for row in rows)


def test_the_models_of_4_5_are_what_their_names_say():
    solution, cases = solution_of("4.5"), contents.exercise("4.5").cases()
    assert [solution(*case.arguments) for case in cases] == [True, False, False, False, False, True, True]


def test_no_solution_is_its_own_reference():
    elsewhere = {"4.5", "12.1", "12.2", "12.4"}  # in tests of their own
    assert {*INDEPENDENT, *VALUES} | elsewhere == {exercise.id for exercise in EXERCISES}


# ---------------------------------------------------------------- lesson 12: grids, and what shortcuts do

LENGTHS = st.integers(GEOMETRY.receptive_field, 12 * 16_000)


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
    for function in (solution_of("12.2"), by_centres):
        torch.testing.assert_close(function(at_zero + slope * clock, times), expected, rtol=1e-9, atol=1e-9)


@given(st.lists(st.integers(0, 3_000), max_size=6))
def test_row_times_are_the_mean_times_of_the_samples_that_each_row_reads(pieces):
    clock = torch.arange(sum(pieces), dtype=torch.float64) + 0.5  # the middle of each sample
    rows = [piece.unfold(0, 400, 320).mean(1) / 16 for piece in clock.split(pieces) if len(piece) >= 400]
    assert solution_of("12.4")(pieces) == pytest.approx(torch.cat([torch.empty(0), *rows]).tolist())


@pytest.mark.parametrize(
    ("window", "hop", "pad"), [(400, 160, 0), (400, 160, 200), (1024, 256, 512), (1024, 256, 384), (400, 320, 40)]
)
def test_a_column_of_a_spectrogram_is_loudest_for_an_impulse_at_its_derived_centre(window, hop, pad):
    samples = 2 * window
    count, first = solution_of("12.1")(samples, window, hop, pad)
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
    torch.testing.assert_close(pairs - times[: len(pairs)], torch.full_like(pairs, PAIRS_LATE))
    inside = (times >= clock[0]) & (times <= clock[-1])
    torch.testing.assert_close(by_centres(clock, times)[inside, 0], times[inside])


@given(samples=st.integers(0, 60_000), window=st.integers(1, 1_100), hop=st.integers(1, 400), pad=st.integers(0, 600))
def test_a_grid_has_as_many_windows_as_torch_unfolds(samples, window, hop, pad):
    padded = torch.empty(samples + 2 * pad, device="meta")
    count, _ = solution_of("12.1")(samples, window, hop, pad)
    assert count == (len(padded.unfold(0, window, hop)) if len(padded) >= window else 0)


@given(samples=st.integers(16_000, 160_000))
def test_other_counts(samples):
    """What the lesson says of tools that are not installed here."""
    grid = solution_of("12.1")
    assert grid(samples, 400, 320, 200)[0] == 1 + samples // 320  # centred
    assert grid(samples, 400, 320, 40)[0] == samples // 320  # units of bshall/hubert
    assert -(-samples // 320) - T(samples) in (1, 2)  # s3prl repeats the last
