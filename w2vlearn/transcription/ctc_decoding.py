"""From one row of logits per frame to text with times: greedy CTC decoding.

Three rules (Graves et al. 2006, section 3.1; wav2vec 2.0, section 3.3): take each frame's best token; let neighbouring
frames with the same token count as one; drop the blank. "HHE_LL_L_OO" is "HELLO": the blank keeps the double L apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from w2vlearn.checkpoints.vocabulary import Vocabulary
from w2vlearn.geometry import FrameGeometry

__all__ = ["Decoded", "Piece", "collapse", "ctc_decode"]


@dataclass(frozen=True)
class Piece:
    """A character, a phoneme or a word, and when it was heard. Unpacks as ``text, start_s, end_s``.

    Attributes
    ----------
    text : str
    frames : range
        The frames whose best token it was, end excluded; for a word from its first character to its last.
    samples : range
        All samples that these frames read: from ``span(first).start`` to ``span(last).stop``, normalisation and
        attention left out.
    sample_rate : int
    confidence : float
        Mean over its non-blank frames of the best token's probability.

    Notes
    -----
    Neighbouring frames share samples (400 read, 320 onward), so a piece ends 5 ms (80 samples) after the next may
    begin. Hugging Face's offsets are ``frames.start`` and ``frames.stop``; times made from them (frame * 320 / 16000)
    begin equally and end those 5 ms earlier.
    """

    text: str
    frames: range
    samples: range
    sample_rate: int
    confidence: float

    @property
    def start_s(self) -> float:
        """Start of the first frame's span, in seconds."""
        return self.samples.start / self.sample_rate

    @property
    def end_s(self) -> float:
        """End of the last frame's span, in seconds."""
        return self.samples.stop / self.sample_rate

    def __iter__(self):
        return iter((self.text, self.start_s, self.end_s))


@dataclass(frozen=True)
class Decoded:
    """What greedy decoding makes of a clip.

    Attributes
    ----------
    text : str
    characters : tuple of Piece
        Of letters: separators included, written as spaces. Of phonemes: separators left out.
    words : tuple of Piece
        What stands between separators; of phonemes without separators each is a piece of its own.
    """

    text: str
    characters: tuple[Piece, ...]
    words: tuple[Piece, ...]


def collapse(ids: Iterable[int], blank_id: int) -> list[tuple[int, range]]:
    """CTC's rules on a row of ids: neighbours that repeat become one, blanks go.

    Parameters
    ----------
    ids : iterable of int
        Best token per frame. Length: T.
    blank_id : int

    Returns
    -------
    list of (int, range)
        Token id and the frames it stood on.

    Examples
    --------
    >>> collapse([7, 7, 0, 7, 5, 5], blank_id=0)
    [(7, range(0, 2)), (7, range(3, 4)), (5, range(4, 6))]
    """
    runs, frame = [], 0
    for token_id, group in itertools.groupby(int(token_id) for token_id in ids):
        length = sum(1 for _ in group)
        if token_id != blank_id:
            runs.append((token_id, range(frame, frame + length)))
        frame += length
    return runs


def ctc_decode(
    ids: Sequence[int] | Tensor,
    vocabulary: Vocabulary,
    geometry: FrameGeometry,
    confidence: Sequence[float] | Tensor | None = None,
) -> Decoded:
    """Greedy decoding of one clip: text, characters and words on the frame grid.

    Parameters
    ----------
    ids : sequence of int, or Tensor
        Best token of each *valid* frame (``logits.argmax(-1)[:frame_length]``). Shape: (T,), integer.
    vocabulary : Vocabulary
    geometry : FrameGeometry
        Turns frames into samples and seconds.
    confidence : sequence of float, or Tensor, optional
        Probability of the best token. Shape: (T,). Without it all confidences are NaN.

    Returns
    -------
    Decoded

    Raises
    ------
    ValueError
        If an id has no token, or ``ids`` is not one row.

    Notes
    -----
    The same text and offsets as transformers' ``Wav2Vec2CTCTokenizer.decode`` (``output_char_offsets``,
    ``output_word_offsets``) and ``Wav2Vec2PhonemeCTCTokenizer.decode``, special tokens included.
    """
    ids = torch.as_tensor(ids, dtype=None if len(ids) else torch.long)
    if ids.ndim != 1 or ids.is_floating_point():
        raise ValueError(f"ids must be integers, shape (T,), found {ids.dtype} {tuple(ids.shape)}; decode clip by clip")
    ids = ids.tolist()
    beyond = [index for index in ids if not 0 <= index < len(vocabulary)]
    if beyond:
        raise ValueError(
            f"id {beyond[0]} has no token: the vocabulary holds {len(vocabulary)}, ids 0 to {len(vocabulary) - 1}. "
            "It does not fit this head"
        )
    scores = [float("nan")] * len(ids) if confidence is None else [float(score) for score in confidence]
    runs = [(vocabulary.tokens[token_id], frames) for token_id, frames in collapse(ids, vocabulary.blank_id)]

    def piece(text: str, runs: list[tuple[str, range]]) -> Piece:
        frames = range(runs[0][1].start, runs[-1][1].stop)
        samples = range(geometry.span(frames.start).start, geometry.span(frames.stop - 1).stop)
        heard = [scores[frame] for _, run_frames in runs for frame in run_frames]
        return Piece(text, frames, samples, geometry.sample_rate, sum(heard) / len(heard))

    separator, phonemes = vocabulary.separator, vocabulary.phonemes
    characters = tuple(
        piece(vocabulary.space if token == separator else token, [(token, frames)])
        for token, frames in runs
        if not (phonemes and token == separator)
    )
    if phonemes and separator is None:
        words = [[run] for run in runs]
    else:
        between = {separator} if phonemes else {separator, vocabulary.space}
        groups = itertools.groupby(runs, key=lambda run: run[0] in between)
        words = [list(group) for is_separator, group in groups if not is_separator]
    joint = " " if phonemes else ""
    return Decoded(
        vocabulary.text(token for token, _ in runs),
        characters,
        tuple(piece(joint.join(token for token, _ in word), word) for word in words),
    )
