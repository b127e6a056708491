"""Make the folder of recordings that lesson 13 learns from: a voice that counts in Esperanto, and English texts.

    python -m training.recordings            # needs espeak-ng

The digit models know English digits; these words they cannot know, so what they hear before and after training differs
whatever their weights.
"""

from __future__ import annotations

import soundfile

from training.compose import transcript
from training.sources import ROOT, speak
from training.voices import Voice
from w2vlearn.audio import SAMPLE_RATE

FOLDER = ROOT / "notebooks" / "course" / "esperanto"
WORDS = ("nul", "unu", "du", "tri", "kvar", "kvin", "ses", "sep", "ok", "naŭ")
SPEEDS, PITCHES = (120, 140, 160, 175, 150, 130, 165), (43, 50, 57, 49, 56)  # nobody says a word twice alike

STRINGS = (  # the last column is for testing: all ten digits, in strings that training does not have
    *("0", "73", "123", "149"),
    *("980", "45", "6281", "3360"),
    *("30759", "564", "8419", "8257"),
    *("2", "06", "792435", "09162"),
    *("158", "6037", "42", "54"),
    *("965", "1083", "529", "783"),
)


def main() -> None:
    """Write the clips and ``texts.tsv``."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = []
    for place, string in enumerate(STRINGS):
        digits = tuple(map(int, string))
        voice = Voice("eo", "m3", SPEEDS[place % len(SPEEDS)], PITCHES[place % len(PITCHES)])
        name = f"{place + 1:02d}.flac"
        soundfile.write(FOLDER / name, speak(" ".join(WORDS[d] for d in digits), voice), SAMPLE_RATE, subtype="PCM_16")
        lines.append(f"{name}\t{transcript(digits)}\n")
    (FOLDER / "texts.tsv").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
