"""The training script's parts, without espeak-ng: digits are tones here, each digit a pitch of its own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from training import augment as channel
from training import speech
from training.guide import GuideHead, guide_loss, letter_targets, piece_targets
from training.layout import fast_layout
from training.measure import hear, nearest_digit, score
from training.speech import Bank, Clip, change_rate, compose, trim
from training.train_digits import digit_config, draw_batch, learning_rate, letter_loss, run_stage, train
from training.vocabulary import BLANK, IDS, TOKENS, edits, encode, greedy
from training.voices import DIGITS, HELD_OUT_ACCENTS, HELD_OUT_VARIANTS, RESPELLED, TRAINING_VARIANTS, draw_voice
from w2vlearn.model import Wav2Vec2ForCTC

RATE = 16_000


def tone(digit: int, samples: int = 4000) -> np.ndarray:
    hertz = 300 + 150 * digit
    return (12_000 * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)).astype(np.int16)


def tone_bank() -> Bank:
    words = [[tone(d, 3000 + 500 * voice) for d in range(10)] for voice in range(3)]
    phrases = [((1, 2), np.concatenate([tone(1), tone(2)])), ((3, 4, 5), np.concatenate([tone(d) for d in (3, 4, 5)]))]
    return Bank(words, phrases, [draw_voice(np.random.default_rng(0)) for _ in range(3)])


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ---------------------------------------------------------------- letters


def test_letters_there_and_back():
    text = " ".join(DIGITS).upper()
    ids = encode(text)
    assert BLANK not in ids and IDS["<unk>"] not in ids
    frames = [i for pair in zip(ids, itertools.repeat(BLANK)) for i in pair]  # a blank after each letter
    logits = torch.nn.functional.one_hot(torch.tensor(frames), len(TOKENS)).float()
    assert greedy(logits) == text


def test_a_double_letter_needs_a_blank_between():
    def text_of(*tokens):
        return greedy(torch.nn.functional.one_hot(torch.tensor([IDS[t] for t in tokens]), len(TOKENS)).float())

    assert text_of("T", "H", "R", "E", "<pad>", "E") == "THREE"
    assert text_of("T", "H", "R", "E", "E") == "THRE"
    assert text_of("|", "T", "W", "O", "|", "|", "<pad>", "|", "S", "I", "X", "|") == "TWO SIX"


def test_a_letter_of_no_digit_is_refused():
    with pytest.raises(ValueError, match="'Q'"):
        encode("QUEEN")


@pytest.mark.parametrize(
    ("said", "heard", "wanted"),
    [
        ("A B C", "A B C", (0, 0, 0)),
        ("A B C", "A X C", (1, 0, 0)),
        ("A B C", "A C", (0, 1, 0)),
        ("A", "A B C", (0, 0, 2)),
    ],
)
def test_edits(said, heard, wanted):
    assert edits(said.split(), heard.split()) == wanted


def test_score_counts_words_and_strings():
    found = score([("ONE TWO", "ONE TWO"), ("SIX SIX", "SIX SEX"), ("NINE FOUR", "NINE")])
    assert found == {"word_accuracy": 0.6667, "word_accuracy_nearest_digit": 0.8333, "exact_strings": 0.3333}
    assert nearest_digit("SEX") == "SIX"


# ---------------------------------------------------------------- speech


def test_held_out_voices_are_never_drawn_for_training():
    rng = generator()
    drawn = [draw_voice(rng) for _ in range(2000)]
    assert not {v.accent for v in drawn} & set(HELD_OUT_ACCENTS)
    assert {v.variant for v in drawn} == set(TRAINING_VARIANTS)
    assert {v.accent for v in drawn} >= set(RESPELLED) - set(HELD_OUT_ACCENTS)
    kept = [draw_voice(rng, held_out_accent=True, held_out_variant=True) for _ in range(300)]
    assert {v.accent for v in kept} == set(HELD_OUT_ACCENTS)
    assert {v.variant for v in kept} == set(HELD_OUT_VARIANTS)


def test_trim_keeps_ten_milliseconds_around_the_sound():
    clip = np.zeros(8000, np.float32)
    clip[3000:5000] = 0.1
    assert len(trim(clip)) == 2000 + 2 * 160
    assert len(trim(np.zeros(10, np.float32))) == 10


def test_faster_is_shorter_and_higher():
    slow = tone(0, RATE) / np.float32(32767)
    fast = change_rate(slow, 1.25)
    assert abs(len(fast) - RATE / 1.25) <= 2
    peak = np.argmax(np.abs(np.fft.rfft(fast))) * RATE / len(fast)
    assert abs(peak - 300 * 1.25) < 3


@pytest.mark.parametrize("samples", [8_000, 16_001, 40_000])
def test_composed_clips_have_the_asked_length_and_hold_what_they_say(samples):
    bank, rng = tone_bank(), generator(samples)
    said = 0
    for _ in range(60):
        clip = compose(bank, samples, rng)
        assert clip.samples.shape == (samples,) and clip.samples.dtype == np.float32
        ends = [end for _, end, _ in clip.marks]
        starts = [start for start, _, _ in clip.marks]
        assert all(a <= b for a, b in zip(ends[:-1], starts[1:], strict=True)), "words overlap"
        assert not clip.marks or (starts[0] >= 0 and ends[-1] <= samples)
        names = [digit for _, _, digit in clip.marks if digit is not None]
        assert clip.digits[len(clip.digits) - len(names) :] == tuple(names)
        outside = clip.samples.copy()
        for start, end, _ in clip.marks:
            assert np.abs(clip.samples[start:end]).max() > 0.1
            outside[start:end] = 0
        assert not outside.any()
        said += len(clip.digits)
    assert said > 20


def test_frames_are_told_which_third_of_which_digit_they_hear():
    clip = Clip(np.zeros(6400, np.float32), (4, 9, 9), [(320, 1280, 4), (2000, 4000, None)])
    targets = piece_targets(clip, 19)
    # centres at 200, 520, 840, 1160, 1480, ...: the word's thirds begin at 320, 640 and 960
    assert targets[:5].tolist() == [0, 13, 14, 15, 0]
    assert (targets[6:12] == -100).all() and targets[12] == 0


def test_guide_ignores_frames_without_a_target():
    head, hidden = GuideHead(8), torch.randn(2, 5, 8)
    targets = torch.full((2, 5), -100)
    assert head(hidden, targets).item() == 0
    targets[0, 0] = 3
    wanted = torch.nn.functional.cross_entropy(head.linear(hidden[0, :1]), targets[0, :1])
    torch.testing.assert_close(head(hidden, targets), wanted)
    assert guide_loss(torch.randn(1, 2, 4), torch.full((1, 2), -100)).item() == 0


def test_frames_are_told_letters_evenly_spread_with_a_blank_in_the_double_e():
    def told(frames, *marks):
        classes = letter_targets(Clip(np.zeros(1, np.float32), (), list(marks)), frames).tolist()
        return "".join("?" if c == -100 else "." if c == BLANK else TOKENS[c] for c in classes)

    assert told(26, (640, 5440, 3), (6400, 8320, 3)) == "...T..H..R..E..E.|..THR.E."[:26]
    assert told(12, (320, 1920, 3)) == ".THRE.E....."  # too short to spread: the blank between the E stays
    assert told(30, (0, 3000, 8), (3000, 6000, None), (7000, 9000, 2)) == "E.I.G.H.???????????.|.T.W.O..."


def test_told_letters_decode_to_the_words():
    rng = generator(5)
    bank = tone_bank()
    bank.phrases.clear()
    for _ in range(40):
        clip = compose(bank, 40_000, rng)
        classes = letter_targets(clip, 124)
        text = greedy(torch.nn.functional.one_hot(classes, len(TOKENS)).float())
        assert text.replace(" ", "") == "".join(DIGITS[d] for d in clip.digits).upper()


# ---------------------------------------------------------------- augmentation


def test_tilt_is_in_decibels_per_octave():
    hz = np.array([500.0, 1000.0, 2000.0, 4000.0], np.float32)
    np.testing.assert_allclose(20 * np.log10(channel.tilt_response(hz, -3.0)), [3, 0, -3, -6], atol=1e-4)


def test_band_edges_are_at_minus_three_decibels():
    gain = channel.band_response(np.array([0, 50, 300, 1000, 3400, 7000], np.float32), 300, 3400)
    assert gain[0] == 0 and gain[1] < 1e-3 and gain[5] < 0.02
    np.testing.assert_allclose(gain[[2, 4]], 0.5**0.5, atol=1e-3)
    assert gain[3] > 0.999


def test_equaliser_goes_through_its_points():
    hz = np.geomspace(100, 8000, 5).astype(np.float32)
    np.testing.assert_allclose(20 * np.log10(channel.equaliser_response(hz, np.arange(5.0))), np.arange(5), atol=1e-3)


def test_a_room_rings_down_by_sixty_decibels():
    impulse = channel.room_impulse(generator(), 0.3, 6.0)
    assert impulse[0] == 1 and not impulse[1:16].any()
    assert abs(10 * np.log10(np.sum(impulse[1:] ** 2)) + 6.0) < 0.01
    early, late = (np.sqrt(np.mean(impulse[a : a + 800] ** 2)) for a in (800, 2400))  # 0.1 s apart: 20 dB
    assert abs(20 * np.log10(early / late) - 20) < 2


def test_noise_comes_at_the_asked_ratio():
    clips = np.stack([np.tile(tone(d, 4000), 4) / np.float32(32767) for d in (0, 5)])
    size = channel.fft_size(clips.shape[1])
    bins = len(channel.frequencies(size))
    noise = (generator().standard_normal((2, bins)) + 0j).astype(np.complex64)
    ones = np.ones((1, bins), np.float32)
    clean, noisy = (
        channel.apply_channel(clips, ones, noise, np.full(2, snr), ones).numpy().astype(np.float64) for snr in (200, 10)
    )
    np.testing.assert_allclose(noisy.mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(noisy.std(1), 1, atol=1e-3)
    match = (clean * noisy).mean(1, keepdims=True)  # both have unit power: the clean part's share
    ratio = 10 * np.log10(match**2 / (1 - match**2))
    # noise is spread over the room's tail too, so within the clip there is a little less of it than asked
    assert (np.abs(ratio - 10) < 2).all()


def test_augmented_clips_are_normalised_and_never_digitally_silent():
    bank, rng = tone_bank(), generator(3)
    clips = np.stack([compose(bank, 16_000, rng).samples for _ in range(40)])
    waves = channel.augment(clips, rng)
    assert waves.shape == (40, 16_000) and torch.isfinite(waves).all()
    torch.testing.assert_close(waves.var(1, correction=0), torch.ones(40), rtol=0, atol=1e-3)
    assert (waves == 0).float().mean() < 1e-3
    assert (clips == 0).mean() > 0.2  # where augment had silence to fill


# ---------------------------------------------------------------- training


def test_learning_rate_rises_and_falls():
    rates = [learning_rate(step, 100, 1.0) for step in range(100)]
    assert rates[0] < rates[3] == max(rates) == 1.0
    assert rates[3:] == sorted(rates[3:], reverse=True) and 0.009 < rates[-1] < 0.02


def test_a_batch_has_clips_of_one_length():
    rng = generator()
    lengths = set()
    for step in (0, 50, 50, 50):
        waves, clips = draw_batch(tone_bank(), rng, step, 100, audio=60_000)
        assert waves.shape == (60_000 // waves.shape[1], waves.shape[1])
        assert all(clip.samples.shape == waves.shape[1:] for clip in clips)
        lengths.add(waves.shape[1])
    assert len(lengths) == 4


def test_letter_loss_is_that_of_the_model():
    """F.ctc_loss on equal lengths equals the model's own loss, which takes lengths from the mask."""
    torch.manual_seed(0)
    model = Wav2Vec2ForCTC(digit_config("group")).eval()
    waves, clips = torch.randn(2, 16_000), [Clip(None, (3, 3), []), Clip(None, (1, 0), [])]
    labels = torch.full((2, 12), -100)
    for row, text in enumerate(("THREE THREE", "ONE ZERO")):
        labels[row, : len(text)] = torch.tensor(encode(text))
    with torch.no_grad():
        output = model(waves, labels=labels)
    torch.testing.assert_close(letter_loss(output.logits, clips), output.loss)


@pytest.mark.parametrize("variant", ["group", "layer"])
def test_three_steps_of_training_repeat_bit_by_bit(variant):
    def run(seed):
        torch.manual_seed(seed)
        model = Wav2Vec2ForCTC(digit_config(variant))
        losses = train(model, tone_bank(), steps=3, peak_rate=1e-3, seed=seed, audio=40_000)
        return losses, model

    (first, model), (again, twin), (other, _) = run(1), run(1), run(2)
    assert np.isfinite(first).all() and first == again != other
    assert not model.training
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    text, _ = hear(model, torch.randn(16_000))
    assert set(text) <= set("".join(TOKENS[5:])) | {" "}


def test_the_fast_layout_computes_the_same_and_goes_away():
    torch.manual_seed(0)
    waves = torch.randn(2, 8000)
    for variant in ("group", "layer"):
        model = Wav2Vec2ForCTC(digit_config(variant))
        plain = model(waves).logits
        plain.square().sum().backward()
        wanted = [p.grad.clone() for p in model.parameters()]
        model.zero_grad()
        with fast_layout(model):
            assert ("forward" in vars(model.wav2vec2.feature_extractor)) == (variant == "layer")
            found = model(waves).logits
        found.square().sum().backward()
        torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)
        for parameter, gradient in zip(model.parameters(), wanted, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-3)
        assert "forward" not in vars(model.wav2vec2.feature_extractor)


def test_a_stage_is_taken_up_where_an_earlier_run_left_it(tmp_path):
    stage = {"steps": 2, "peak_rate": 1e-3, "guide": "letters", "fast": True}
    runs = []
    for _ in range(2):
        model = Wav2Vec2ForCTC(digit_config("layer"))
        runs.append((run_stage(model, tone_bank(), stage, 5, ["layer", [stage]], tmp_path), model))
    (first, model), (second, twin) = runs
    assert first == second and len(list(tmp_path.glob("*.safetensors"))) == 1
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    assert {key: first[key] for key in stage} == stage
    run_stage(model, tone_bank(), {**stage, "steps": 1}, 5, ["layer", [{**stage, "steps": 1}]], tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_speaking_without_espeak_says_what_to_install(monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError("espeak-ng")

    monkeypatch.setattr(speech.subprocess, "run", missing)
    with pytest.raises(RuntimeError, match="apt-get install espeak-ng"):
        speech.speak("three", draw_voice(generator()))
