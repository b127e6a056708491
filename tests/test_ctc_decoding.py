"""Vocabularies and greedy CTC decoding, against transformers' tokenizers; times against the frame grid."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import tempfile
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from w2vlearn import FrameGeometry, Wav2Vec2Config
from w2vlearn.checkpoints import CheckpointError, Vocabulary
from w2vlearn.transcription.ctc_decoding import collapse, ctc_decode

GEOMETRY = FrameGeometry.from_config(Wav2Vec2Config.base())
ENGLISH = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
FINE_TUNED = ("|", "a", "b", "ä", "ch", "[UNK]", "[PAD]")  # blank last, a token of two letters
CONFIG = dataclasses.replace(Wav2Vec2Config.tiny(), vocab_size=7, pad_token_id=6)
TWO_TOKENS = dataclasses.replace(CONFIG, vocab_size=2, pad_token_id=0)


# ------------------------------------------------------------------------------------- the same as transformers


LETTERS = {
    "do_lower_case": st.booleans(),
    "word_delimiter_token": st.sampled_from(["|", "#", "_"]),
    "replace_word_delimiter_char": st.sampled_from([" ", " ", "_", ""]),
    "clean_up_tokenization_spaces": st.booleans(),
}
PHONEMES = {"do_phonemize": st.just(False), "word_delimiter_token": st.sampled_from([None, "|", "#"])}
LETTER_TOKENS = st.sampled_from([*"abAB|_.' ", "ch", "aɪ", "a b", "ab", "abA", "ß", "É", "#"])
PHONEME_TOKENS = st.sampled_from([*"abɪə|#", "aɪ", "tʃ", "oʊ"])


@st.composite
def tokenizers(draw):
    """Whether of phonemes, the tokens of vocab.json, what else a tokenizer is built from, tokens added, the layout."""
    phonemes, layout = draw(st.booleans()), draw(st.sampled_from(["new", "old"]))
    special = {"pad_token": st.sampled_from(["<pad>", "[PAD]"]), "unk_token": st.sampled_from(["<unk>", "?"])}
    special |= dict.fromkeys(("bos_token", "eos_token"), st.none()) if draw(st.booleans()) else {}
    special = draw(st.fixed_dictionaries(special))
    tokens = draw(st.lists(PHONEME_TOKENS if phonemes else LETTER_TOKENS, unique=True, min_size=2, max_size=9))
    tokens = draw(st.permutations([*tokens, *(token for token in special.values() if token)]))
    options = special | draw(st.fixed_dictionaries(PHONEMES if phonemes else LETTERS))
    added = draw(st.lists(st.sampled_from(["new", "b", "ü", "zz"]), unique=True, max_size=2))
    if layout == "old":  # which did not say that a token of vocab.json had been added once more
        added = [token for token in added if token not in tokens]
    return phonemes, tokens, options, added, layout


def store(folder: Path, phonemes: bool, tokens: list[str], options: dict, added: list[str], layout: str):
    """Write a tokenizer as transformers does, or did until 2023. Returns transformers' object.

    Not that which it loads again: 5.23 forgets a word delimiter other than "|" on the way.
    """
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    kind = transformers.Wav2Vec2PhonemeCTCTokenizer if phonemes else transformers.Wav2Vec2CTCTokenizer
    tokenizer = kind(str(folder / "vocab.json"), **options)
    tokenizer.add_tokens(added)
    tokenizer.save_pretrained(folder)
    if layout == "old":
        path = folder / "tokenizer_config.json"
        values = json.loads(path.read_text())
        decoder = values.pop("added_tokens_decoder")
        special = {key: values.pop(key) for key in ("pad_token", "unk_token", "bos_token", "eos_token")}
        as_object = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
        special["pad_token"] = {"content": special["pad_token"], **as_object}
        (folder / "special_tokens_map.json").write_text(json.dumps(special))
        path.write_text(json.dumps({**values, "pad_token": "[overridden]"}))
        beyond = {row["content"]: int(index) for index, row in decoder.items() if int(index) >= len(tokens)}
        (folder / "added_tokens.json").write_text(json.dumps(beyond))
    return tokenizer


def agree(ids, vocabulary, *references):
    """Text, character offsets and word offsets are those of transformers' tokenizers."""
    ours = ctc_decode(ids, vocabulary, GEOMETRY)
    if vocabulary.phonemes and not ids:  # theirs fails
        assert (ours.text, ours.characters, ours.words) == ("", (), ())
        return
    options = {} if vocabulary.phonemes else {"output_word_offsets": True}
    for reference in references:
        theirs = reference.decode(ids, output_char_offsets=True, **options)
        assert ours.text == theirs.text
        rows = [(ours.characters, theirs.char_offsets, "char")]
        rows += [] if vocabulary.phonemes else [(ours.words, theirs.word_offsets, "word")]
        for pieces, offsets, key in rows:
            placed = [(piece.text, piece.frames.start, piece.frames.stop) for piece in pieces]
            assert placed == [(offset[key], offset["start_offset"], offset["end_offset"]) for offset in offsets]


@settings(max_examples=60)
@given(tokenizer=tokenizers(), data=st.data())
def test_every_tokenizer_that_transformers_saves_reads_writes_and_is_stored_alike(tokenizer, data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference = store(folder, *tokenizer)
        size = len(reference)
        config = dataclasses.replace(CONFIG, vocab_size=size, pad_token_id=0)
        vocabulary = Vocabulary.from_folder(folder, config)
        for file in folder.iterdir():
            file.unlink()
        for file, content in vocabulary.to_files().items():
            (folder / file).write_text(json.dumps(content))
        again = Vocabulary.from_folder(folder, config)
        theirs = type(reference).from_pretrained(folder)
    theirs._word_delimiter_token = reference._word_delimiter_token
    assert dataclasses.replace(again, whole=vocabulary.whole) == vocabulary
    _, tokens, _, added, _ = tokenizer
    texts = [" ".join(vocabulary.tokens) + "xA".join(vocabulary.tokens)]
    agree([*range(size)] * 2, vocabulary, reference, theirs)
    for _ in range(3):
        agree(data.draw(st.lists(st.integers(0, size - 1), max_size=25)), vocabulary, reference, theirs)
        pieces = st.sampled_from([*tokens, *added, " ", " ", "x", "A", "a", "é", "ß"])
        texts.append("".join(data.draw(st.lists(pieces, max_size=12))))
    for text in texts:
        assert vocabulary.ids(text) == again.ids(text) == reference(text).input_ids == theirs(text).input_ids, text


def test_labels_that_another_program_must_make_are_refused(tmp_path):
    (tmp_path / "vocab.json").write_text('{"<pad>": 0, "h": 1}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer"}')
    vocabulary = Vocabulary.from_folder(tmp_path, TWO_TOKENS)
    with pytest.raises(ValueError, match="phonemizer") as caught:
        vocabulary.ids("hello")
    assert "replace(vocabulary, phonemize=False)" in str(caught.value)
    assert dataclasses.replace(vocabulary, phonemize=False).ids("h h") == [1, 1]


# ----------------------------------------------------------------------------------------------- rules and times


def test_times_lie_on_the_frame_grid():
    vocabulary = Vocabulary(("_", "|", "A", "B"), blank="_")
    decoded = ctc_decode([0, 2, 2, 2, 3, 0, 1, 0], vocabulary, GEOMETRY, [0.9, 0.5, 0.7, 0.6, 1.0, 0.9, 0.9, 0.9])
    a, b, space = decoded.characters
    assert (a.frames, a.samples) == (range(1, 4), range(320, 3 * 320 + 400))
    assert (a.start_s, a.end_s) == (0.020, 0.085)  # frames 1 to 3 read 20 ms to 85 ms
    assert b.samples == range(4 * 320, 4 * 320 + 400)
    assert a.end_s - b.start_s == pytest.approx(0.005)  # neighbours share 80 samples
    assert space.text == " "
    (word,) = decoded.words
    assert tuple(word) == ("AB", 0.020, 0.105)
    assert a.confidence == pytest.approx(0.6) and word.confidence == pytest.approx((0.5 + 0.7 + 0.6 + 1.0) / 4)
    assert math.isnan(ctc_decode([2], vocabulary, GEOMETRY).words[0].confidence)


@given(st.lists(st.integers(0, 3), max_size=60))
def test_collapse_keeps_every_frame_that_is_no_blank(ids):
    runs = collapse(ids, 0)
    assert [frame for _, frames in runs for frame in frames] == [frame for frame, token in enumerate(ids) if token]
    assert all(ids[frame] == token for token, frames in runs for frame in frames)
    for (token, frames), (following, after) in itertools.pairwise(runs):
        assert token != following or after.start > frames.stop


@pytest.mark.parametrize(
    "ids, message",
    [
        ([0, 4], "id 4 has no token"),
        (torch.zeros(2, 3, dtype=torch.long), "clip by clip"),
        (torch.zeros(3), "must be integers"),
    ],
)
def test_ids_that_cannot_be_decoded(ids, message):
    with pytest.raises(ValueError, match=message):
        ctc_decode(ids, Vocabulary(("<pad>", "|", "a", "b")), GEOMETRY)


def test_a_text_that_the_vocabulary_cannot_write():
    with pytest.raises(ValueError, match="'1' 'x'"):
        Vocabulary(("_", "a"), blank="_").ids("a1x")
    assert Vocabulary(ENGLISH).ids("Hé") == [11, 3]


# ------------------------------------------------------------------------------------------------ vocabularies on disk


def folder_of(folder, tokens=FINE_TUNED, **files):
    table = tokens if isinstance(tokens, dict) else {token: index for index, token in enumerate(tokens)}
    for name, content in {"vocab": table, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_which_tokens_count_and_which_is_the_blank(tmp_path):
    folder_of(tmp_path, added_tokens={"<s>": 7, "</s>": 8})
    assert Vocabulary.from_folder(tmp_path, CONFIG).tokens == FINE_TUNED  # what lies beyond the head is left out
    vocabulary = Vocabulary.from_folder(tmp_path, dataclasses.replace(CONFIG, vocab_size=9))
    assert vocabulary.tokens == (*FINE_TUNED, "<s>", "</s>") and vocabulary.blank == "[PAD]"
    vocabulary = Vocabulary.from_folder(folder_of(tmp_path, added_tokens={"<s>": 0, "x": 7}), CONFIG)
    assert vocabulary.tokens == FINE_TUNED and not vocabulary.added  # vocab.json counts first
    assert Vocabulary.from_folder(tmp_path, dataclasses.replace(CONFIG, pad_token_id=0)).blank_id == 6
    config = dataclasses.replace(CONFIG, vocab_size=3, pad_token_id=0)
    folder_of(tmp_path, ("<blank>", "|", "a"), added_tokens={})
    assert Vocabulary.from_folder(tmp_path, config).blank == "<blank>"


def test_the_class_may_stand_in_the_models_config_and_the_language_in_the_tokenizers(tmp_path):
    assert Vocabulary.from_folder(tmp_path, CONFIG) is None
    folder_of(tmp_path, config={"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer"})
    assert Vocabulary.from_folder(tmp_path, CONFIG).phonemes
    folder_of(
        tmp_path, {"de": {"<pad>": 0, "ß": 1}, "fr": {"<pad>": 0}}, tokenizer_config={"target_lang": "de"}, config={}
    )
    assert Vocabulary.from_folder(tmp_path, TWO_TOKENS).tokens == ("<pad>", "ß")


@pytest.mark.parametrize(
    "tokens, size, message",
    [
        (FINE_TUNED, 9, "Ids without a token: 7, 8"),
        (FINE_TUNED, 5, r"Tokens beyond the head: '\[PAD\]', '\[UNK\]'"),
        ({"<pad>": 0, "a": 1, "b": 1}, 2, "two tokens: 1"),
        ({"<pad>": 0, "a": -1}, 2, "beyond the head: 'a'"),
        ({"<pad>": "0"}, 1, "integer id"),
        ({"de": {"<pad>": 0}, "fr": {"<pad>": 0}}, 1, r"per language \(de, fr\)"),
    ],
)
def test_a_vocabulary_that_does_not_fit_the_head(tmp_path, tokens, size, message):
    config = dataclasses.replace(CONFIG, vocab_size=size, pad_token_id=0)
    with pytest.raises(CheckpointError, match=message):
        Vocabulary.from_folder(folder_of(tmp_path, tokens), config)


def test_vocabularies_that_are_none(tmp_path):
    with pytest.raises(CheckpointError, match="'a' more than once"):
        Vocabulary(("<pad>", "a", "a"))
    with pytest.raises(CheckpointError, match="blank '<pad>' is not"):
        Vocabulary(("a", "b"))
    with pytest.raises(CheckpointError, match="SpeechT5Tokenizer"):
        Vocabulary.from_folder(folder_of(tmp_path, tokenizer_config={"tokenizer_class": "SpeechT5Tokenizer"}), CONFIG)
