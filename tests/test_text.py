"""Vocabulary and greedy CTC decoding, against transformers' tokenizer; times against the frame grid."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from w2vlearn import FrameGeometry, Wav2Vec2Config
from w2vlearn.checkpoints import CheckpointError
from w2vlearn.checkpoints.vocabulary import Vocabulary
from w2vlearn.transcription.ctc_decoding import collapse
from w2vlearn.transcription.ctc_decoding import ctc_decode as greedy

GEOMETRY = FrameGeometry.from_config(Wav2Vec2Config.base())
ENGLISH = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
FINE_TUNED = (
    "|",
    "a",
    "b",
    "ä",
    "ch",
    "[UNK]",
    "[PAD]",
)  # blank last, a token of two letters, as people's fine-tunes have
CONFIG = dataclasses.replace(Wav2Vec2Config.tiny(), vocab_size=7, pad_token_id=6)


def tokenizer_of(folder, tokens, **special):
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    return transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), bos_token=None, eos_token=None, **special)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Our vocabulary and transformers' tokenizer, for three kinds of vocabulary."""
    made = {}
    for name, tokens, special, ours in (
        ("english", ENGLISH, {}, {}),
        (
            "fine-tuned",
            FINE_TUNED,
            {"pad_token": "[PAD]", "unk_token": "[UNK]"},
            {"blank": "[PAD]", "unknown": "[UNK]"},
        ),
        ("lower", ENGLISH, {"do_lower_case": True}, {"lower": True}),
    ):
        folder = tmp_path_factory.mktemp(name)
        made[name] = (Vocabulary(tokens, **ours), tokenizer_of(folder, tokens, **special))
    return made


def agree(ids, vocabulary, tokenizer):
    """Text, character offsets and word offsets are those of transformers' tokenizer."""
    ours = greedy(ids, vocabulary, GEOMETRY)
    theirs = tokenizer.decode(ids, output_char_offsets=True, output_word_offsets=True)
    assert ours.text == theirs.text
    for pieces, offsets, key in (
        (ours.characters, theirs.char_offsets, "char"),
        (ours.words, theirs.word_offsets, "word"),
    ):
        found = [(piece.text, piece.frames.start, piece.frames.stop) for piece in pieces]
        assert found == [(offset[key], offset["start_offset"], offset["end_offset"]) for offset in offsets]
    return ours


@pytest.mark.parametrize("name", ["english", "fine-tuned", "lower"])
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_text_and_offsets_are_those_of_transformers(name, pairs, data):
    vocabulary, tokenizer = pairs[name]
    few = st.sampled_from([vocabulary.blank_id, vocabulary.tokens.index("|"), 1, 2, len(vocabulary) - 1])
    ids = data.draw(st.lists(few | st.integers(0, len(vocabulary) - 1), max_size=40))
    agree(ids, vocabulary, tokenizer)


def test_random_logits_as_transformers_decodes_them(pairs):
    vocabulary, tokenizer = pairs["english"]
    logits = torch.randn(4, 300, 32, generator=torch.Generator().manual_seed(0))
    logits[..., [0, 4]] += 2.0  # blanks and separators as often as in speech
    texts = [agree(row.argmax(-1).tolist(), vocabulary, tokenizer).text for row in logits]
    assert texts == tokenizer.batch_decode(logits.argmax(-1))
    assert all(len(text) > 50 for text in texts)


def test_the_rules_by_hand():
    vocabulary = Vocabulary(("_", "|", *"HELO"), blank="_")
    ids = [vocabulary.tokens.index(character) for character in "HHE_LL_L_OO||_|HO_"]
    decoded = greedy(ids, vocabulary, GEOMETRY)
    assert decoded.text == "HELLO  HO"  # two separators, kept apart by a blank, are two spaces: as transformers has it
    assert [word.text for word in decoded.words] == ["HELLO", "HO"]
    assert [word.frames for word in decoded.words] == [range(0, 11), range(15, 17)]
    assert collapse(ids, 0)[:2] == [(2, range(0, 2)), (3, range(2, 3))]
    assert greedy([], vocabulary, GEOMETRY) == dataclasses.replace(decoded, text="", characters=(), words=())


def test_times_lie_on_the_frame_grid():
    vocabulary = Vocabulary(("_", "|", "A", "B"), blank="_")
    decoded = greedy([0, 2, 2, 2, 3, 0, 1, 0], vocabulary, GEOMETRY, [0.9, 0.5, 0.7, 0.6, 1.0, 0.9, 0.9, 0.9])
    a, b, space = decoded.characters
    assert (a.frames, a.samples) == (range(1, 4), range(320, 3 * 320 + 400))
    assert (a.start_s, a.end_s) == (0.020, 0.085)  # frames 1 to 3 read 20 ms to 85 ms
    assert b.samples == range(4 * 320, 4 * 320 + 400)
    assert b.centre_s == pytest.approx(GEOMETRY.centre_ms(4) / 1000)
    assert a.end_s - b.start_s == pytest.approx(0.005)  # neighbours share 80 samples
    assert space.text == " "
    (word,) = decoded.words
    text, start_s, end_s = word
    assert (text, start_s, end_s) == ("AB", 0.020, 0.105)
    assert a.confidence == pytest.approx(0.6) and word.confidence == pytest.approx((0.5 + 0.7 + 0.6 + 1.0) / 4)
    assert math.isnan(greedy([2], vocabulary, GEOMETRY).words[0].confidence)


@given(st.lists(st.integers(0, 3), max_size=60))
def test_collapse_keeps_every_frame_that_is_no_blank(ids):
    runs = collapse(ids, 0)
    assert [frame for _, frames in runs for frame in frames] == [frame for frame, token in enumerate(ids) if token]
    assert all(ids[frame] == token for token, frames in runs for frame in frames)
    for (token, frames), (following, after) in itertools.pairwise(runs):
        assert token != following or after.start > frames.stop


def test_labels_and_back(pairs):
    vocabulary, tokenizer = pairs["english"]
    assert vocabulary.ids("HELLO YOU") == tokenizer("HELLO YOU").input_ids
    assert vocabulary.ids("Hé") == [11, 3]
    with pytest.raises(ValueError, match="'1' 'x'"):
        Vocabulary(("_", "a"), blank="_").ids("a1x")


def test_ids_that_have_no_token():
    with pytest.raises(ValueError, match="id 4 has no token"):
        greedy([0, 4], Vocabulary(("<pad>", "|", "a", "b")), GEOMETRY)
    with pytest.raises(ValueError, match="clip by clip"):
        greedy(torch.zeros(2, 3, dtype=torch.long), Vocabulary(("<pad>",)), GEOMETRY)
    with pytest.raises(ValueError, match="must be integers"):
        greedy(torch.zeros(3), Vocabulary(("<pad>",)), GEOMETRY)


# ------------------------------------------------------------------------------------------------ vocabularies on disk


def stored(folder, tokens=FINE_TUNED, **files):
    table = tokens if isinstance(tokens, dict) else {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(table))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_a_folder_by_transformers(tmp_path):
    tokenizer_of(tmp_path, FINE_TUNED, pad_token="[PAD]", unk_token="[UNK]", do_lower_case=True).save_pretrained(
        tmp_path
    )
    expected = Vocabulary(FINE_TUNED, blank="[PAD]", unknown="[UNK]", lower=True)
    assert Vocabulary.from_folder(tmp_path, CONFIG) == expected


def test_a_tokenizer_of_2021_whose_special_tokens_lie_beyond_the_head(tmp_path):
    token = {"content": "[PAD]", "single_word": False}
    stored(tmp_path, added_tokens={"<s>": 7, "</s>": 8}, special_tokens_map={"pad_token": token, "unk_token": "[UNK]"})
    vocabulary = Vocabulary.from_folder(tmp_path, CONFIG)
    assert len(vocabulary) == 7 and vocabulary.blank == "[PAD]"


def test_special_tokens_that_the_head_does_score(tmp_path):
    stored(tmp_path, added_tokens={"<s>": 7, "</s>": 8})
    vocabulary = Vocabulary.from_folder(tmp_path, dataclasses.replace(CONFIG, vocab_size=9))
    assert vocabulary.tokens == (*FINE_TUNED, "<s>", "</s>")


def test_the_blank_without_any_settings(tmp_path):
    assert Vocabulary.from_folder(stored(tmp_path), CONFIG).blank == "[PAD]"
    assert (
        Vocabulary.from_folder(
            stored(tmp_path, ("<blank>", "|", "a")), dataclasses.replace(CONFIG, vocab_size=3, pad_token_id=0)
        ).blank
        == "<blank>"
    )


def test_two_opinions_about_the_blank_are_noted(tmp_path):
    notes = []
    vocabulary = Vocabulary.from_folder(stored(tmp_path), dataclasses.replace(CONFIG, pad_token_id=0), notes)
    assert vocabulary.blank_id == 6
    assert "id 0 the blank, the vocabulary id 6" in notes[0]


def test_no_vocabulary(tmp_path):
    assert Vocabulary.from_folder(tmp_path, CONFIG) is None


@pytest.mark.parametrize(
    "tokens, size, words",
    [
        (FINE_TUNED, 9, "Ids without a token: 7, 8"),
        (FINE_TUNED, 5, r"Tokens beyond the head: '\[PAD\]', '\[UNK\]'"),
        ({"<pad>": 0, "a": 1, "b": 1}, 2, "two tokens: 1"),
        ({"<pad>": 0, "a": -1}, 2, "beyond the head: 'a'"),
        ({"<pad>": "0"}, 1, "integer id"),
        ({"de": {"<pad>": 0}, "fr": {"<pad>": 0}}, 1, r"per language \(de, fr\)"),
        ({"a": 0, "b": 1}, 2, None),
    ],
)
def test_a_vocabulary_that_does_not_fit_the_head(tmp_path, tokens, size, words):
    config = dataclasses.replace(CONFIG, vocab_size=size, pad_token_id=0)
    stored(tmp_path, tokens)
    if words is None:  # no pad token by name: the config's pad_token_id is the blank
        assert Vocabulary.from_folder(tmp_path, config).blank == "a"
        return
    with pytest.raises(CheckpointError, match=words):
        Vocabulary.from_folder(tmp_path, config)


def test_vocabularies_that_are_none():
    with pytest.raises(CheckpointError, match="'a' more than once"):
        Vocabulary(("<pad>", "a", "a"))
    with pytest.raises(CheckpointError, match="blank '<pad>' is not"):
        Vocabulary(("a", "b"))
