"""Diffs, leak reports and checks as documents: the same in every form, and the same on every processor."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from page_reader import PageReader, check_svg

from w2vlearn.show import render
from w2vlearn.symbolic import CheckReport, Difference
from w2vlearn.tracing.diff import Diff, LayerChange, LetterChange
from w2vlearn.tracing.leak import LayerLeak, LeakReport, LeakRun
from w2vlearn.tracing.records import CALLED, SKIPPED, MaskSeen, Operation

NAMES = ("", "encoder", "encoder.layers.0", "encoder.layers.0.dense", "encoder.dropout")
KINDS = ("module", "module", "module", "linear", "dropout")
TOLERANCE = 7e-5


def leak_report(relative, error=0.0):
    """A report with these differences per layer; ``error`` is what another processor makes of them."""
    layers = []
    for index, (name, kind, value) in enumerate(zip(NAMES, KINDS, relative, strict=True)):
        value = value * (1 + error) + abs(error)
        frames = torch.full((6,), value)
        frames[:2] = abs(error)
        per_clip, operation = (0.0, value), Operation(kind, "Dense", 4, 4, probability=0.1)
        layers.append(
            LayerLeak(name, f"Type{index}", operation, "none", value, value, per_clip, (torch.zeros(9), frames))
        )
    entry = next((layer.name for layer in reversed(layers) if layer.relative > TOLERANCE), None)
    runs = [LeakRun(masked, tuple(layers), entry, TOLERANCE) for masked in (False, True)]
    return LeakReport("Model", (3200, 2000), *runs, model_runs=4)


VALUES = st.one_of(st.just(0.0), st.integers(1, 60).map(lambda n: n / 40), st.integers(1, 90).map(lambda n: n / 1000))


@given(st.lists(VALUES, min_size=5, max_size=5))
@settings(max_examples=25)
def test_a_leak_report_is_the_same_on_every_processor(relative):
    report = leak_report(relative)
    for error in (3e-7, -3e-7):
        other = leak_report(relative, error)
        assert str(other) == str(report) and render(other, "html") == render(report, "html")
        assert other.figure(1).html == report.figure(1).html and str(other.figure(1)) == str(report.figure(1))


def test_a_leak_report_shows_landmarks_and_the_way_in_alike_in_every_form():
    report = leak_report([0.125, 0.5, 1e-7, 0.004, 0])
    text = str(report)
    assert text.startswith("Padding leak of Model: clips of 3200, 2000 samples, each alone against all in one batch")
    assert re.search(r"encoder.layers.0 +Dense +0 +0\n", text) and "encoder.dropout" not in text
    assert re.search(r"encoder.layers.0.dense +linear, 4 → 4 features.*! 4e-03 ← enters here", text)
    assert "without mask: the output is moved by 0.12 of its size; padding gets in at encoder.layers.0.dense" in text
    wording = PageReader(render(report, "html")).text().replace("\u00a0", " ")
    for cell in [str(cell) for row in render(report, "pandas").values for cell in row]:
        assert cell in wording and cell in text.replace("\u00a0", " ") and cell in render(report, "markdown")
    figure = report.figure()
    check_svg(figure.html)
    assert "with mask: 4 layers by 6 valid frames of clip 1 (2000 samples, padded to 3200)" in figure.alt
    assert "about 0.5 at encoder; padding touches 3 layers" in figure.alt


def test_a_diff_names_letters_masks_and_statuses():
    frame = MaskSeen("mask", "frame", "bool", (3, 4), "bool", "padding")
    additive = MaskSeen("mask", "attention", "additive", (), "float32", lowest=-3.4e38)
    changes = (
        LayerChange(("a", "b", "", "c", "d"), "mask", frame, additive),
        LayerChange(("e",), "mask", None, frame),
        LayerChange(("f",), "status", CALLED, SKIPPED),
        LayerChange(("g",), "shape", ("B", "T", "D"), ("B", "T")),
        LayerChange(("h",), "only in the second", None, CALLED),
    )
    diff = Diff("one", "two", (LetterChange("D", 768, 1024), LetterChange("A", None, 3)), changes, 7, ("a note",))
    page = PageReader(render(diff, "html"))
    text, shown = re.sub(r"\s+", " ", str(diff)), re.sub(r"\s+", " ", page.text())
    for wording in ("before: one", "after: two", "D 768 1024 A – 3", "7 layers are the same in letters", "a note",
                  "e mask – frame mask, bool, True = padding", "f status called skipped", "g shape (B, T, D) (B, T)",
                  "h only in the second – there"):  # fmt: skip
        assert wording in text and wording in shown, wording
    row = "a b the model itself … and 2 more mask frame mask, bool, True = padding attention mask, additive, 0 = attend"
    assert f"{row}, -3.4e+38 = padding" in shown and len(page.all("caption")) == 2
    same = Diff("one", "one", (), (), 9)
    assert str(same).endswith("no letter differs\n\n9 layers are the same in letters; nothing else differs")


@pytest.mark.parametrize("many", [0, 1, 25])
def test_a_check_counts_what_it_compared_and_lists_what_differs(many):
    difference = Difference("encoder", 1, "output", (3, 124), (3, 123), ("B", "T"))
    report = CheckReport((difference,) * many, 70, 140, 9, 60, ("for B = 3",))
    text = str(report)
    compared = "70 layer calls, 140 shapes, 9 masks, 60 counts of valid positions compared"
    assert text.startswith(f"differs in {many} place" if many else "agrees: ") and compared in text
    assert len(re.findall(r"encoder \(call 1\) +output +\(3, 124\) = \(B, T\) +\(3, 123\)", text)) == min(many, 20)
    assert ("… and 5 more" in text) == (many == 25) and text.endswith("note: for B = 3")
    PageReader(render(report, "html"))
