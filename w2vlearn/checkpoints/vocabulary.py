"""Which token each id of a CTC head stands for, and how tokens become text: what a checkpoint's tokenizer files say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from w2vlearn.checkpoints.files import CheckpointError, read_json
from w2vlearn.config import Wav2Vec2Config

__all__ = ["Vocabulary"]

_LETTERS, _PHONEMES = "Wav2Vec2CTCTokenizer", "Wav2Vec2PhonemeCTCTokenizer"
_TOKENIZERS = {_LETTERS: False, "Wav2Vec2Tokenizer": False, _PHONEMES: True}  # class: phonemes?; the second of 2021
_CLEAN_UP = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")  # written without these spaces


@dataclass(frozen=True)
class Vocabulary:
    """Which token each id of the CTC head stands for, and how a text becomes ids and tokens become a text.

    Attributes
    ----------
    tokens : tuple of str
        The token of each id; V of them.
    blank : str
        CTC's blank: the pad token, ``"<pad>"`` or ``"[PAD]"``.
    separator : str, or None
        Stands between words, ``"|"``; None for phonemes without word boundaries.
    unknown : str
        Token for what the vocabulary lacks.
    lower : bool
        Write the text in lower case, read it in upper case (``do_lower_case``).
    space : str
        What a separator becomes in the text (``replace_word_delimiter_char``).
    phonemes : bool
        Tokens are phonemes: the text has a space between any two, and separators are left out of it.
    phonemize : bool
        The checkpoint's tokenizer turns a text into phonemes by another program first (``do_phonemize``).
    clean_up : bool
        No space before punctuation (``clean_up_tokenization_spaces``).
    whole : frozenset of str
        Tokens that are found in a text before it is cut into characters or phonemes; blank, unknown token and, of
        letters, tokens of several characters are always.
    added : frozenset of str
        Those of them that do not stand in ``vocab.json`` but were added to it later: spaces beside them count.

    Raises
    ------
    CheckpointError
        If a token appears twice, or the blank is none of the tokens.

    Notes
    -----
    The rules of transformers' ``Wav2Vec2CTCTokenizer`` and ``Wav2Vec2PhonemeCTCTokenizer``
    (``tokenization_wav2vec2.py``, ``tokenization_wav2vec2_phoneme.py``).
    """

    tokens: tuple[str, ...]
    blank: str = "<pad>"
    separator: str | None = "|"
    unknown: str = "<unk>"
    lower: bool = False
    space: str = " "
    phonemes: bool = False
    phonemize: bool = False
    clean_up: bool = False
    whole: frozenset[str] = frozenset()
    added: frozenset[str] = frozenset()

    def __post_init__(self):
        object.__setattr__(self, "tokens", tuple(self.tokens))
        twice = sorted({token for token in self.tokens if self.tokens.count(token) > 1})
        if twice:
            raise CheckpointError(f"the vocabulary holds {', '.join(map(repr, twice))} more than once")
        if self.blank not in self.tokens:
            raise CheckpointError(
                f"the blank {self.blank!r} is not in the vocabulary ({' '.join(self.tokens)}); CTC needs one that "
                "means 'nothing new': name it with blank="
            )

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def blank_id(self) -> int:
        """Id of the blank."""
        return self.tokens.index(self.blank)

    def ids(self, text: str) -> list[int]:
        """Ids of a text, labels for `ctc_loss`: of its characters, spaces as the separator, or of its phonemes.

        Tokens of several characters are kept whole, the longest first. What is not in the vocabulary becomes
        ``unknown``.

        Parameters
        ----------
        text : str
            Of phonemes: with a space between any two, ``"h ə l oʊ"``.

        Raises
        ------
        ValueError
            If a character is not in the vocabulary and there is no unknown token, or the text would have to be turned
            into phonemes first.
        """
        if self.phonemize:
            raise ValueError(
                "labels of this vocabulary are phonemes, and its tokenizer makes them from a text with the program "
                "phonemizer, which is not used here. For a text of phonemes with spaces between them: "
                "dataclasses.replace(vocabulary, phonemize=False).ids('h ə l oʊ')"
            )
        table = {token: index for index, token in enumerate(self.tokens)}
        pieces = self._pieces(text)
        lost = sorted({piece for piece in pieces if piece not in table})
        if lost and self.unknown not in table:
            raise ValueError(
                f"not in the vocabulary: {' '.join(map(repr, lost))}. It knows {' '.join(self.tokens)} "
                "(upper and lower case differ)"
            )
        return [table.get(piece, table.get(self.unknown)) for piece in pieces]

    def text(self, tokens: Iterable[str]) -> str:
        """The text that collapsed tokens stand for: no blanks among them, neighbours already counted as one."""
        if self.phonemes:
            written = " ".join(token for token in tokens if token != self.separator)
        else:
            written = "".join(self.space if token == self.separator else token for token in tokens)
        written = written.strip()
        if self.lower:
            written = written.lower()
        if self.clean_up:
            for spaced in _CLEAN_UP:
                written = written.replace(spaced, spaced.strip())
        return written

    def _pieces(self, text: str) -> list[str]:
        """A text cut into tokens, known or not."""
        whole = {self.blank, self.unknown, *self.whole, *self.added} & set(self.tokens)
        if not self.phonemes:
            whole |= {token for token in self.tokens if len(token) > 1}
        pattern = "|".join(re.escape(token) for token in sorted(whole, key=len, reverse=True))
        parts = re.split(f"({pattern})", text)  # text, token, text, token, …, text
        pieces: list[str] = []
        # Spaces beside a token of several characters are no words' ends; beside an added one they are.
        strips = [index % 2 == 1 and len(part) > 1 and part not in self.added for index, part in enumerate(parts)]
        for index, part in enumerate(parts):
            if index % 2:
                pieces.append(part)
                continue
            part = part.lstrip() if index > 0 and strips[index - 1] else part
            part = part.rstrip() if index + 1 < len(parts) and strips[index + 1] else part
            if self.phonemes:
                pieces += [phoneme for phoneme in part.strip().split(" ") if phoneme.strip()]
            else:
                pieces += list((part.upper() if self.lower else part).replace(" ", self.separator or " "))
        return pieces

    @classmethod
    def from_folder(cls, folder: Path, config: Wav2Vec2Config) -> Vocabulary | None:
        """Read ``vocab.json`` and what lies beside it; None if there is no ``vocab.json``.

        Raises
        ------
        CheckpointError
            If the file is damaged, its tokenizer has rules of its own, or it does not fit the head: one token for each
            of ``config.vocab_size`` ids, no more and no less.
        """
        folder = Path(folder)
        path = folder / "vocab.json"
        if not path.is_file():
            return None
        settings = _tokenizer_settings(folder)
        phonemes = _TOKENIZERS[settings["tokenizer_class"]]
        table = _token_table(path, settings.get("target_lang"))
        # Tokenizers add <s> and </s> behind the ids of the head, which never scores them.
        named, taken = settings["added"], set(table.values())
        added = {
            token: i for token, i in named.items() if i < config.vocab_size and i not in taken and token not in table
        }
        tokens = _by_id({**added, **table}, config.vocab_size, path)
        usual = (token for token in ("<pad>", "[PAD]") if token in tokens)
        return cls(
            tokens,
            blank=settings.get("pad_token") or next(usual, None) or tokens[config.pad_token_id],
            separator=settings.get("word_delimiter_token", None if phonemes else "|"),
            unknown=settings.get("unk_token") or next((t for t in ("<unk>", "[UNK]") if t in tokens), "<unk>"),
            lower=bool(settings.get("do_lower_case", False)) and not phonemes,
            space=settings.get("replace_word_delimiter_char", " "),
            phonemes=phonemes,
            phonemize=phonemes and bool(settings.get("do_phonemize", True)),
            clean_up=bool(settings.get("clean_up_tokenization_spaces", False)),
            whole=frozenset(settings["whole"]) & set(tokens) - set(added),
            added=frozenset(added),
        )

    def to_files(self) -> dict[str, dict]:
        """Content of the files that `from_folder` and transformers' tokenizer read: file name -> JSON object."""
        table = {token: index for index, token in enumerate(self.tokens)}
        settings = {
            "tokenizer_class": _PHONEMES if self.phonemes else _LETTERS,
            "pad_token": self.blank,
            "unk_token": self.unknown,
            "bos_token": None,
            "eos_token": None,
            "word_delimiter_token": self.separator,
            "clean_up_tokenization_spaces": self.clean_up,
        }
        if self.phonemes:
            settings |= {"do_phonemize": self.phonemize}
        else:
            settings |= {"replace_word_delimiter_char": self.space, "do_lower_case": self.lower}
        if self.whole or self.added:
            flags = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word", "special"), False)
            listed = sorted(self.whole | self.added | {self.blank, self.unknown} & set(self.tokens))
            settings["added_tokens_decoder"] = {str(table[token]): {"content": token, **flags} for token in listed}
        return {
            "vocab.json": {token: index for token, index in table.items() if token not in self.added},
            "tokenizer_config.json": settings,
        }


def _token_table(path: Path, language: str | None) -> dict[str, int]:
    """``vocab.json``: token -> id; of one vocabulary per language the one that the tokenizer names."""
    table = read_json(path)
    if any(isinstance(value, dict) for value in table.values()):
        if language not in table:
            raise CheckpointError(
                f"{path} holds one vocabulary per language ({', '.join(table)}); wanted one: {{token: id}}, or the "
                'language as "target_lang" in tokenizer_config.json'
            )
        table = table[language]
    if not all(isinstance(index, int) and not isinstance(index, bool) for index in table.values()):
        raise CheckpointError(f'{path} must give each token an integer id, as in {{"<pad>": 0, "A": 1}}')
    return table


def _by_id(table: dict[str, int], size: int, path: Path) -> tuple[str, ...]:
    """Tokens in the order of their ids, if they are exactly 0 … size - 1."""
    by_id = {index: token for token, index in table.items()}
    ids = list(table.values())
    complaints = {
        "Ids without a token": [index for index in range(size) if index not in by_id],
        "Tokens beyond the head": sorted(token for token, index in table.items() if not 0 <= index < size),
        "Ids given to two tokens": sorted({index for index in ids if ids.count(index) > 1}),
    }
    if any(complaints.values()):
        listed = [
            f"{what}: {', '.join(map(repr, items[:10]))}{' …' if len(items) > 10 else ''}. "
            for what, items in complaints.items()
            if items
        ]
        raise CheckpointError(
            f"{path} does not fit the head: that scores V = {size} tokens, ids 0 … {size - 1}; named are {len(table)}. "
            f"{''.join(listed)}Take vocab.json and the weights from the same checkpoint"
        )
    return tuple(by_id[index] for index in range(size))


def _tokenizer_settings(folder: Path) -> dict:
    """The tokenizer's settings as transformers reads them, with three entries more or always there.

    ``"tokenizer_class"``; ``"added"``: token -> id; ``"whole"``: the added ones and the special ones.
    ``tokenizer_config.json`` holds all since 2023 (``added_tokens_decoder``). Before, ``special_tokens_map.json``
    overrode it and ``added_tokens.json`` held what was added.
    """

    def stored(name: str) -> dict:
        return read_json(folder / name) if (folder / name).is_file() else {}

    settings = stored("tokenizer_config.json")
    if "added_tokens_decoder" in settings:
        added = {token["content"]: int(index) for index, token in settings["added_tokens_decoder"].items()}
    else:
        settings |= stored("special_tokens_map.json")
        added = stored("added_tokens.json")
    settings = {
        key: value["content"] if isinstance(value, dict) and "content" in value else value
        for key, value in settings.items()
    }
    name = settings.get("tokenizer_class") or stored("config.json").get("tokenizer_class") or _LETTERS
    if name not in _TOKENIZERS:
        raise CheckpointError(
            f"{folder} has a tokenizer of its own, {name}; known are the rules of {', '.join(_TOKENIZERS)}. "
            "load(…, head='plain') loads the encoder without it"
        )
    special = [settings.get("bos_token", "<s>"), settings.get("eos_token", "</s>")]
    return {**settings, "tokenizer_class": name, "added": added, "whole": {*added, *special} - {None}}
