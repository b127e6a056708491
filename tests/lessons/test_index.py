"""README, index and glossary lead to sections that exist; one search in the index answers each known question."""

import functools
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from lesson_files import NUMBERS, notebook_of

from course.contents import COURSE
from course.lesson_11 import MESSAGES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INDEX = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
QUESTIONS, MESSAGE_ROWS = INDEX.split("## For those")[0].split("## Messages")
LINK = re.compile(r"\[(\d+ · )?([^\]]+)\]\((\d\d_\w+)\.ipynb#([^)]+)\)")
MOST_ROWS = 4  # that a search may find

# Questions that people ask, each as the word that they search for, and the section (lesson, its beginning) they need.
SEARCHES = {
    "512": (0, "The answer"), "768": (0, "The answer"), "the features": (3, "Which tensor"),
    "extract_features": (3, "Which tensor"), "8 kHz": (1, "Sample rate"), "44.1": (1, "Sample rate"),
    "stereo": (1, "Channels"), "collator": (1, "Batches"), "max_length": (1, "Cut or filled"),
    "truncation": (1, "Cut or filled"), "zero mean": (1, "Normalise what?"), "49 frames": (2, "One second"),
    "shortest clip": (2, "The edges"), "which samples": (2, "Which samples"),
    "time in seconds": (2, "When was frame t?"), "other toolkits": (12, "Why others count"),
    "wav2vec 1.0": (12, "Why others count"), "receptive field": (2, "Which samples"), "465": (12, "Why others count"),
    "s3prl": (12, "Why others count"), "frame grid": (2, "The unread tail"),
    "frame mask": (4, "From samples to frames"), "reshape": (4, "A wrong turn"),
    "padding_mask": (4, "Four conventions"), "key_padding_mask": (4, "Four conventions"),
    "torchaudio": (4, "Four conventions"), "left padding": (4, "Wrong masks"), "inverted": (4, "Wrong masks"),
    "bool": (4, "Bool, additive, None"), "fp16": (4, "Bool, additive, None"), "-1e9": (4, "Bool, additive, None"),
    "SpeechBrain": (4, "A mask that did not arrive"), "padded rows": (4, "From frames to attention"),
    "trim": (4, "From frames to attention"), "batch change": (5, "One clip"), "train mode": (5, "A false alarm"),
    "group norm": (5, "Leak one"), "no mask for base": (5, "“No mask"), "pooling": (5, "Leak four"),
    "SamePad": (6, "A position is a convolution"), "leak through": (6, "A position is a convolution"),
    "maximum length": (6, "No maximum length"), "newly initialized": (10, "A folder"), "flash": (6, "What it costs"),
    "hidden_states": (6, "Hidden states"), "infinite": (7, "The price"), "blank": (7, "Three rules"),
    "-100": (7, "-100 is another mask"), "forced alignment": (7, "Back to time"),
    "labels, 103": (7, "Labels for frames"), "0.065": (8, "What 0.065 means"),
    "short clips": (8, "Clips that are too short"), "feature mask": (13, "Time masks and feature masks"),
    "quantizer": (8, "The quantizer"), "negatives": (8, "Negatives"), "masks on padding": (8, "Negatives"),
    "collapses": (8, "The contrastive loss"), "cropping": (8, "What others do"),
    "cut into pieces": (8, "What others do"), "bucket": (13, "Batches by length"),
    "batch by length": (13, "Batches by length"), "fine-tune": (13, "A folder"), "out of memory": (9, "An hour"),
    "chunk": (9, "A wrong turn"), "breaking words": (9, "A word at a seam"), "split": (9, "A wrong turn"),
    "stream": (9, "Why it does not stream"), "ONNX": (9, "A fixed length"), "fixed length": (9, "A fixed length"),
    "HuBERT, WavLM": (10, "Cousins"), "Data2Vec": (10, "Cousins"), "w2v-BERT": (10, "Where it ends"),
    "adapter": (10, "Adapters"), "FeatureExtractor": (10, "Two things"), "x-vector": (11, "The x-vector head"),
    "video": (12, "Two grids"), "pitch": (12, "A click"), "freezing": (13, "Freeze"),
    "accumulation": (13, "Unequal parts"), "too short": (13, "Every length"), "evaluation": (13, "Measure"),
    "own recordings": (13, "Your own voice"), "interpolate": (12, "Two for one?"),
    "label in seconds": (12, "Labels and units"), "output shape": (0, "The answer"), "librosa": (1, "Sample rate"),
    "mono": (1, "Channels"), "int16": (1, "A clip"), "stride": (2, "Which samples"), "WER": (5, "One clip"),
    "embedding": (5, "Leak four"), "overlap": (9, "A wrong turn"), "vocabulary": (10, "A folder"),
    "trace": (0, "No parameter"), "talking heads": (12, "Two grids"), "spectrogram": (12, "A click"),
}  # fmt: skip


def prose_of(number):
    return "\n".join(cell.source for cell in notebook_of(number).cells if cell.cell_type == "markdown")


@functools.cache
def headings(number):
    """The headings of a lesson: (anchor, as JupyterLab makes it, text)."""
    texts = [match[1].strip() for match in re.finditer(r"^#+ (.+)$", prose_of(number), re.MULTILINE)]
    return [(re.sub(r"[`*]", "", text).replace(" ", "-"), text) for text in texts]


def rows_of(part):
    return [row for row in part.splitlines() if LINK.search(row)]


def test_readme_lists_every_lesson_with_its_minutes():
    for lesson in COURSE:
        assert f"| [{lesson.number} · {lesson.title}](notebooks/{lesson.file}.ipynb) | {lesson.minutes} |" in README


def test_every_link_of_the_index_leads_to_the_section_that_it_names():
    links = [link for row in rows_of(INDEX) for link in LINK.finditer(row)]
    for link in links:
        number = int(link[3][:2])
        assert COURSE[number].file == link[3] and (unquote(link[4]), link[2]) in headings(number), link[0]
        assert not link[1] or int(link[1].split()[0]) == number, link[0]
    assert {int(link[3][:2]) for link in links} == set(NUMBERS)


@pytest.mark.parametrize("word", SEARCHES)
def test_one_search_in_the_index_leads_to_the_section(word):
    number, section = SEARCHES[word]
    rows = [row for row in rows_of(QUESTIONS) if word.lower() in row.lower()]
    links = [link for row in rows for link in LINK.finditer(row)]
    assert 1 <= len(rows) <= MOST_ROWS, f"{len(rows)} rows of the index hold {word!r}"
    assert any(link[3] == COURSE[number].file and link[2].startswith(section) for link in links), rows


def test_every_section_has_an_anchor_of_its_own():
    twice = [number for number in NUMBERS if len(dict(headings(number))) < len(headings(number))]
    assert not twice, "two sections of one name"


def test_messages_lead_to_sections_that_hold_them():
    rows = rows_of(MESSAGE_ROWS)
    assert all(link[3] == COURSE[11].file for row in rows for link in LINK.finditer(row))
    quoted = [part.strip("`") for row in rows for part in re.findall(r"`[^`]+`", row.split("|")[1])]
    pieces = [piece.strip() for quote in quoted for piece in quote.split("…") if len(piece.strip()) > 12]
    known = prose_of(11).replace("`", "") + " ".join(MESSAGES.values())
    assert [piece for piece in pieces if piece not in known] == ["Kernel size: (5)"]


def test_lesson_11_provokes_each_message():
    outputs = [output for cell in notebook_of(11).cells for output in cell.get("outputs", ())]
    one_line = " ".join("".join(output.text for output in outputs if output.output_type == "stream").split())
    assert [message for message in MESSAGES.values() if " ".join(message.split()) not in one_line] == []


def test_glossary_links_each_term_to_a_lesson():
    glossary = (ROOT / "notebooks" / "glossary.md").read_text(encoding="utf-8")
    rows = [row for row in glossary.split("## Terms")[1].splitlines() if row.startswith("| ") and "term" not in row[:8]]
    linked = [re.search(r"\[(\d+)\]\((\w+)\.ipynb\) \|$", row) for row in rows]
    assert len(rows) > 50 and all(linked)
    assert all(COURSE[int(link[1])].file == link[2] for link in linked)
    terms = [row.split("|")[1].strip().lower() for row in rows]
    assert terms == sorted(terms)
    for row in glossary.split("## Terms")[0].splitlines():
        assert "](" not in row, f"a letter's value is no link: {row}"
