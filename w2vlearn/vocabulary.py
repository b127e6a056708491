"""Which token each id of a CTC head stands for, as a checkpoint's ``vocab.json`` says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from w2vlearn.checkpoint_files import CheckpointError, read_json

__all__ = ["Vocabulary"]


@dataclass(frozen=True)
class Vocabulary:
    """Which token each id of the CTC head stands for.

    Attributes
    ----------
    tokens : tuple of str
        The token of each id; V of them.
    blank : str
        CTC's blank: the pad token, ``"<pad>"`` or ``"[PAD]"``.
    separator : str
        Stands between words, ``"|"``; becomes a space in the text.
    unknown : str
        Token for what the vocabulary lacks.
    lower : bool
        Write the text in lower case (``do_lower_case``).

    Raises
    ------
    CheckpointError
        If a token appears twice, or the blank is none of the tokens.
    """

    tokens: tuple[str, ...]
    blank: str = "<pad>"
    separator: str = "|"
    unknown: str = "<unk>"
    lower: bool = False

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
        """Ids of a text's characters, spaces as the separator: labels for `ctc_loss`. Others become ``unknown``.

        Raises
        ------
        ValueError
            If a character is not in the vocabulary and there is no unknown token.
        """
        table = {token: index for index, token in enumerate(self.tokens)}
        wanted = [self.separator if character == " " else character for character in text]
        lost = sorted({character for character in wanted if character not in table})
        if lost and self.unknown not in table:
            raise ValueError(
                f"not in the vocabulary: {' '.join(map(repr, lost))}. It knows {' '.join(self.tokens)} "
                "(upper and lower case differ)"
            )
        return [table.get(character, table.get(self.unknown)) for character in wanted]

    @classmethod
    def from_folder(cls, folder: Path, config=None, notes: list[str] | None = None) -> Vocabulary | None:
        """Read ``vocab.json`` and what lies beside it; None if there is no ``vocab.json``.

        Parameters
        ----------
        folder : Path
        config : Wav2Vec2Config, optional
            With it the vocabulary must fit the head: one token for each of ``vocab_size`` ids, no more and no less.
        notes : list of str, optional
            What was assumed is added here, in words.

        Raises
        ------
        CheckpointError
            If the file is damaged, or the vocabulary does not fit the head.
        """
        folder = Path(folder)
        path = folder / "vocab.json"
        if not path.is_file():
            return None
        table = read_json(path)
        if any(isinstance(value, dict) for value in table.values()):
            raise CheckpointError(
                f"{path} holds one vocabulary per language ({', '.join(table)}); wanted one: {{token: id}}"
            )
        if not all(isinstance(index, int) and not isinstance(index, bool) for index in table.values()):
            raise CheckpointError(f'{path} must give each token an integer id, as in {{"<pad>": 0, "A": 1}}')
        added = read_json(folder / "added_tokens.json") if (folder / "added_tokens.json").is_file() else {}
        size = config.vocab_size if config is not None else max(table.values(), default=-1) + 1
        # Tokenizers add <s> and </s> behind the ids of the head, which never scores them.
        table = {**{token: index for token, index in added.items() if index < size}, **table}
        settings = _tokenizer_settings(folder)
        tokens = _by_id(table, size, path)
        blank = settings.get("pad_token") or next(
            (token for token in ("<pad>", "[PAD]") if token in table),
            tokens[config.pad_token_id] if config is not None else "<pad>",
        )
        vocabulary = cls(
            tokens,
            blank=blank,
            separator=settings.get("word_delimiter_token") or "|",
            unknown=settings.get("unk_token") or next((t for t in ("<unk>", "[UNK]") if t in table), "<unk>"),
            lower=bool(settings.get("do_lower_case", False)),
        )
        if config is not None and vocabulary.blank_id != config.pad_token_id and notes is not None:
            notes.append(
                f"config.json calls id {config.pad_token_id} the blank, the vocabulary id {vocabulary.blank_id} "
                f"({vocabulary.blank!r}); decoding follows the vocabulary, the loss the config"
            )
        return vocabulary

    def to_files(self) -> dict[str, dict]:
        """Content of the files that `from_folder` and transformers' tokenizer read: file name -> JSON object."""
        return {
            "vocab.json": {token: index for index, token in enumerate(self.tokens)},
            "tokenizer_config.json": {
                "tokenizer_class": "Wav2Vec2CTCTokenizer",
                "pad_token": self.blank,
                "unk_token": self.unknown,
                "bos_token": None,
                "eos_token": None,
                "word_delimiter_token": self.separator,
                "replace_word_delimiter_char": " ",
                "do_lower_case": self.lower,
            },
        }


def _by_id(table: dict[str, int], size: int, path: Path) -> tuple[str, ...]:
    """Tokens in the order of their ids, if they are exactly 0 … size - 1."""
    by_id = {index: token for token, index in table.items()}
    beyond = sorted(token for token, index in table.items() if not 0 <= index < size)
    without = [index for index in range(size) if index not in by_id]
    shared = sorted({index for index in table.values() if list(table.values()).count(index) > 1})
    if beyond or without or shared:
        raise CheckpointError(
            f"{path} does not fit the head: that scores V = {size} tokens, ids 0 … {size - 1}; named are {len(table)}. "
            + (
                f"Ids without a token: {', '.join(map(str, without[:10]))}{' …' if len(without) > 10 else ''}. "
                if without
                else ""
            )
            + (f"Tokens beyond the head: {', '.join(map(repr, beyond[:10]))}. " if beyond else "")
            + (f"Ids given to two tokens: {', '.join(map(str, shared[:10]))}. " if shared else "")
            + "Take vocab.json and the weights from the same checkpoint"
        )
    return tuple(by_id[index] for index in range(size))


def _tokenizer_settings(folder: Path) -> dict:
    """``tokenizer_config.json`` over ``special_tokens_map.json``; tokens may be strings or objects with "content"."""
    settings: dict = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            settings.update(read_json(folder / name))
    return {
        key: value.get("content") if isinstance(value, dict) and "content" in value else value
        for key, value in settings.items()
    }
