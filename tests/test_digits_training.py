"""The training script's parts, without synthesisers and recordings: digits are tones here, each its own pitch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import soundfile
import torch

from training import augment as channel
from training import compose as compose_module
from training import measure, sources
from training.compose import change_rate, compose
from training.layout import fast_layout
from training.measure import nearest_digit, score, strings_of
from training.sources import Bank, read_people
from training.train_digits import draw_batch, has_bfloat16, learning_rate, letter_loss, train
from training.voices import (
    DIGITS,
    FESTIVAL,
    HELD_OUT_ACCENTS,
    HELD_OUT_VARIANTS,
    HELD_OUT_WORDS,
    OTHER_WORDS,
    RESPELLED,
    TRAINING_VARIANTS,
    draw_voice,
)
from w2vlearn.checkpoints import load
from w2vlearn.model import Wav2Vec2ForCTC

RATE = 16_000


def tone(digit: int, samples: int = 4000) -> np.ndarray:
    hertz = 300 + 150 * digit
    return (12_000 * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)).astype(np.int16)


def tone_bank() -> Bank:
    speakers = [[[tone(d, 3000 + 500 * voice)] for d in range(10)] for voice in range(3)]
    strings = [((1, 2), np.concatenate([tone(1), tone(2)])), ((3, 4, 5), np.concatenate([tone(d) for d in (3, 4, 5)]))]
    kinds = ("people", "festival", "espeak-ng")
    return Bank(dict.fromkeys(kinds, speakers), dict.fromkeys(kinds, strings), [tone(20, 9000)])


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ---------------------------------------------------------------- scores


def test_score_counts_words_and_strings():
    found = score([("ONE TWO", "ONE TWO"), ("SIX SIX", "SIX SEX"), ("NINE FOUR", "NINE")])
    assert found == {"word_accuracy": 0.6667, "word_accuracy_nearest_digit": 0.8333, "exact_strings": 0.3333}
    assert score([("ONE", "ONE  TWO THREE")])["word_accuracy"] == -1  # insertions count
    assert score([("ONE", "")])["word_accuracy"] == 0
    assert nearest_digit("SEX") == "SIX"


def test_a_person_is_judged_by_single_digits_and_strings(monkeypatch):
    monkeypatch.setattr(measure, "STRINGS", 3)
    takes = [[tone(digit), tone(digit, 5000)] for digit in range(10)]
    ann = measure.judge(load("digits-group"), takes, unsure_below=1.0)
    assert (ann["clips"], ann["noted"]) == (20, 1.0) and set(ann["strings"]) == set(score([("ONE", "ONE")]))
    assert ann["exact"] <= ann["nearest_digit"] < 1  # tones are no digits


# ---------------------------------------------------------------- speech


def test_what_is_held_out_is_never_drawn_for_training():
    rng = generator()
    drawn = [draw_voice(rng) for _ in range(2000)]
    assert not {v.accent for v in drawn} & set(HELD_OUT_ACCENTS)
    assert {v.variant for v in drawn} == set(TRAINING_VARIANTS)
    assert {v.accent for v in drawn} >= set(RESPELLED) - set(HELD_OUT_ACCENTS)
    kept = [draw_voice(rng, held_out_accent=True, held_out_variant=True) for _ in range(300)]
    assert {v.accent for v in kept} == set(HELD_OUT_ACCENTS)
    assert {v.variant for v in kept} == set(HELD_OUT_VARIANTS)
    assert not (set(OTHER_WORDS) | set(DIGITS)) & set(HELD_OUT_WORDS)
    assert {len(words.split()) for words in [*RESPELLED.values(), *FESTIVAL.values()]} == {10}


def test_people_are_read_from_a_folder_which_must_be_complete(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match=r"7_theo_12\.wav.*--people FOLDER"):
        read_people(tmp_path)
    for digit, take in itertools.product(range(10), range(2)):
        samples = np.pad(tone(digit)[::2] / 32767 / 3, 4000)  # half a second of silence at both ends
        soundfile.write(tmp_path / f"{digit}_ann_{take}.wav", samples, RATE // 2)
    takes = read_people(tmp_path)["ann"]
    assert [len(row) for row in takes] == [2] * 10
    assert takes[3][0].dtype == np.int16 and abs(len(takes[3][0]) - 4000) < 400
    assert abs(np.abs(takes[3][0]).max() - 32767 / 2) < 2
    (tmp_path / "4_ann_0.wav").unlink()
    (tmp_path / "4_ann_1.wav").unlink()
    with pytest.raises(RuntimeError, match=r"ann never says \[4\]"):
        read_people(tmp_path)

    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(sources.urllib.request, "urlopen", no_network)
    with pytest.raises(RuntimeError, match=r"no network.*--people FOLDER"):
        sources.fetch_people(tmp_path)


def test_what_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "PACKAGES", {tmp_path: "nothing-missing", tmp_path / "flute": "flute festvox-flute"})
    with pytest.raises(RuntimeError, match=r"apt-get install flute festvox-flute$"):
        sources.check_programs()


def test_faster_is_shorter_and_higher():
    slow = tone(0, RATE) / np.float32(32767)
    fast = change_rate(slow, 1.25)
    assert abs(len(fast) - RATE / 1.25) <= 2
    peak = np.argmax(np.abs(np.fft.rfft(fast))) * RATE / len(fast)
    assert abs(peak - 300 * 1.25) < 3


@pytest.mark.parametrize("samples", [10_000, 20_001, 72_000])
def test_composed_clips_have_the_asked_length_and_hold_what_they_say(monkeypatch, samples):
    """Words of constant height here, as long as none of the others: each is found again, whole and in its place."""
    monkeypatch.setattr(compose_module, "change_rate", lambda word, factor: word.astype(np.float32))
    texts = {3000 + 100 * digit: (digit,) for digit in range(10)} | {6050: (1, 2), 9050: (3, 4, 5)}
    speaker = [[np.full(3000 + 100 * digit, 9000, np.int16)] for digit in range(10)]
    phrases = [(digits, np.full(length, 9000, np.int16)) for length, digits in texts.items() if len(digits) > 1]
    bank = Bank({"people": [], "festival": [speaker], "espeak-ng": [speaker]},  # the first run hears no people
                {"festival": phrases, "espeak-ng": phrases}, [tone(20, 9000)])  # fmt: skip
    rng, words, silent = generator(samples), 0, 0
    for _ in range(80):
        digits, clip = compose(bank, samples, rng)
        assert clip.shape == (samples,) and clip.dtype == np.float32
        words, silent = words + len(digits), silent + (not digits)
        if digits:
            edges = np.flatnonzero(np.diff(np.r_[0, clip, 0]))
            runs = [(start, end) for start, end in itertools.pairwise(edges) if clip[start]]
            assert sum((texts[end - start] for start, end in runs), ()) == digits
    assert words > 60 and 0 < silent < 40


def test_strings_of_one_person_hold_every_word_once():
    takes = [[np.full(1000, d + 1, np.int16)] for d in range(10)]
    for digits, clip in strings_of(takes, 20):
        edges = np.flatnonzero(np.diff(np.r_[0, clip]) > 0)
        assert tuple(int(clip[edge]) - 1 for edge in edges) == digits and 2 <= len(digits) <= 6
        assert len(clip) >= 1000 * len(digits) + 800 * (len(digits) - 1)


# ---------------------------------------------------------------- augmentation


def test_responses_are_in_decibels():
    hz = np.array([500.0, 1000.0, 2000.0, 4000.0], np.float32)
    np.testing.assert_allclose(20 * np.log10(channel.tilt_response(hz, -3.0)), [3, 0, -3, -6], atol=1e-4)
    gain = channel.band_response(np.array([0, 50, 300, 1000, 3400, 7000], np.float32), 300, 3400)
    assert gain[0] == 0 and gain[1] < 1e-3 and gain[5] < 0.02 and gain[3] > 0.999
    np.testing.assert_allclose(gain[[2, 4]], 0.5**0.5, atol=1e-3)
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


# ---------------------------------------------------------------- training


def test_learning_rate_rises_and_falls():
    rates = [learning_rate(step, 100, 1.0) for step in range(100)]
    assert rates[0] < rates[3] == max(rates) == 1.0
    assert rates[3:] == sorted(rates[3:], reverse=True) and 0.009 < rates[-1] < 0.02


def test_a_batch_has_clips_of_one_length_normalised_after_their_channels():
    rng, lengths = generator(), set()
    for _ in range(6):
        waves, texts = draw_batch(tone_bank(), rng, audio=80_000)
        clips, samples = waves.shape
        assert clips == len(texts) == 80_000 // samples
        torch.testing.assert_close(waves.mean(1), torch.zeros(clips), rtol=0, atol=1e-3)
        torch.testing.assert_close(waves.var(1, correction=0), torch.ones(clips), rtol=0, atol=1e-3)
        lengths.add(samples)
    assert len(lengths) > 2


def test_letters_share_the_loss_and_silence_costs_what_its_blanks_cost_and_no_more():
    model, texts = load("digits-group"), ("THREE THREE", "", "ONE ZERO")
    logits = torch.randn(3, 40, 20, generator=torch.Generator().manual_seed(1))
    labels = [model.vocabulary.ids(text) for text in texts]
    alone = [letter_loss(logits[i : i + 1], labels[i : i + 1], model.config) for i in range(3)]
    torch.testing.assert_close(alone[1], -logits.log_softmax(-1)[1, :, 0].sum())
    expected = (11 * alone[0] + alone[1] + 8 * alone[2]) / 19
    torch.testing.assert_close(letter_loss(logits, labels, model.config), expected)


@pytest.mark.parametrize("feature", ["avx512_bf16", "amx_bf16", "bf16", "avx512_f", "neon"])
def test_bfloat16_is_asked_of_the_processor(monkeypatch, feature):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, feature: True})
    assert has_bfloat16() is ("bf16" in feature)


@pytest.mark.parametrize("variant", ["group", "layer"])
def test_training_repeats_bit_by_bit_and_goes_on_after_a_stop(variant, tmp_path, monkeypatch):
    import training.train_digits as script

    def run(name, seed, stop=None):
        model = load(f"digits-{variant}")
        drawn = itertools.count()

        def stopping(*arguments):
            if next(drawn) == stop:
                raise KeyboardInterrupt
            return draw_batch(*arguments)

        monkeypatch.setattr(script, "draw_batch", stopping)
        train(model, tone_bank(), 5, 1e-3, 0.9, seed, tmp_path / name, audio=40_000, keep_every=2)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    whole, other = run("whole", 1), run("other", 2)
    with pytest.raises(KeyboardInterrupt):
        run("stopped", 1, stop=3)
    assert torch.isfinite(whole).all() and not torch.equal(whole, other)
    assert torch.equal(run("stopped", 1), whole)
    assert torch.equal(run("stopped", 1, stop=0), whole)  # a finished run draws nothing more


def test_the_fast_layout_computes_the_same_and_goes_away():
    waves = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    for variant in ("group", "layer"):
        torch.manual_seed(0)
        model = Wav2Vec2ForCTC(load(f"digits-{variant}").config)
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
