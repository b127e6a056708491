"""The explorer without a browser: its state, its text, its formulas against runs, and what it says to bad input."""

import io
import json
import random
from functools import cache

import numpy as np
import pytest
import soundfile
import torch
import traitlets
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from tools.store_formulas import measure_leaks
from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2ForCTC, explore, pad, trace
from w2vlearn.audio import example
from w2vlearn.config import PRESETS
from w2vlearn.symbolic import SymbolicTrace
from w2vlearn.symbolic.expressions import evaluate
from w2vlearn.widgets import explorer as explorer_module
from w2vlearn.widgets.explorer import HOUR
from w2vlearn.widgets.explorer_data import geometry_trees, leaks, model_data
from w2vlearn.widgets.explorer_text import sizes

BASE = FrameGeometry.from_config(Wav2Vec2Config.base())
TEXT_PARTS = {"encoder": "left over", "frames": "point at a frame", "masks": "sample mask", "costs": "no length moves"}


def plain(text):
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(("preset", "mask"), [("base", True), ("large", False), ("large_lv60", True), ("tiny", False)])
def test_every_row_equals_an_observed_trace(preset, mask):
    config = Wav2Vec2Config.from_preset(preset)
    told = model_data(SymbolicTrace.preset(preset, mask), config.feat_extract_norm)
    with torch.device("meta"):
        model = Wav2Vec2ForCTC(config).eval()
        waves = torch.empty(3, 23_456)
        arguments = (waves, torch.ones(3, 23_456, dtype=torch.bool)) if mask else (waves,)
    observed = trace(model, *arguments)
    values = sizes(told, 3, 23_456)
    rows = [row for row in told["all_rows"] if row["name"] in observed.names and "mask ->" not in row["name"]]
    assert len(rows) > 50
    for row in rows:
        record = observed[row["name"]]
        assert tuple(values.get(part, part) for part in row["ends"][-1]) == record.output.shape, row["name"]


def test_letters_and_what_is_left_over_equal_the_arithmetic_at_random_lengths_and_edges():
    told = model_data(SymbolicTrace.preset("base"), "group")
    numbers = random.Random(0)
    lengths = [*range(0, 1200), 16_000, 16_080, HOUR, *(numbers.randrange(400, HOUR) for _ in range(300))]
    for length in lengths:
        values = sizes(told, 1, length)
        assert [values[f"T{i}"] for i in range(1, 8)] == BASE.lengths(length), length
        if values["T"]:
            assert [evaluate(step["left"], values) for step in told["encoder"]] == BASE.left_over(length), length


@pytest.mark.parametrize("preset", ["base", "tiny", "large_lv60"])
def test_multiply_adds_are_those_that_torch_counts(preset):
    config = Wav2Vec2Config.from_preset(preset)
    told = model_data(SymbolicTrace.preset(preset), config.feat_extract_norm)
    with torch.device("meta"):
        model = Wav2Vec2ForCTC(config).eval()
        waves, mask = torch.empty(2, 20_000), torch.ones(2, 20_000, dtype=torch.bool)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(waves, mask)
    work = evaluate(told["costs"]["multiply_adds"], sizes(told, 2, 20_000))
    assert work == counter.get_total_flops() / 2  # torch counts a multiply-add as two


def test_memory_is_that_of_the_tensors():
    told = model_data(SymbolicTrace.preset("tiny"), "group")
    model = Wav2Vec2ForCTC(Wav2Vec2Config.tiny()).eval()
    batch = pad([torch.zeros(9000), torch.zeros(700)])
    observed = trace(model, batch, values=True)
    at = {name: evaluate(tree, sizes(told, 2, 9000)) for name, tree in told["costs"].items()}
    assert at["waveforms"] == batch.waveforms.nbytes
    assert at["first_convolution"] == observed["wav2vec2.feature_extractor.conv_layers.0.conv"].value.nbytes
    assert at["hidden_state"] == observed["wav2vec2.encoder.layers.1"].value.nbytes
    assert at["parameters"] == sum(parameter.nbytes for parameter in model.parameters())
    assert at["attention_weights"] == 2 * 4 * 27 * 27 * 4  # B, H, T, T, bytes


def test_stored_leaks_are_what_a_measurement_gives():
    assert leaks() == measure_leaks()


def test_state_moves_the_text():
    explorer = explore(16_000, 23_456, frame=12)
    text = plain(explorer.text)
    assert "16 000 samples = 1.000 s → 49 frames, the last 240 samples unread" in text
    assert "frame 12 of clip 0 reads samples 3840 … 4239: 240.0 … 265.0 ms, centre 252.5 ms" in text
    explorer.lengths = [16_080, 23_456]
    assert "16 080 samples = 1.005 s → 50 frames, every sample read" in plain(explorer.text)
    explorer.frame, explorer.sample = -1, 4000
    assert "sample 4000 of clip 0 (250.0 ms): frame 12 reads it" in explorer.text
    assert repr(explorer) == explorer.text


def test_a_sample_is_read_by_the_frames_that_geometry_says():
    explorer = explore(16_000, focus="frames")
    for sample in (0, 319, 320, 399, 400, 4000, 15_759, 15_760, 15_999):
        explorer.sample = sample
        frames = BASE.frames_at(sample, 16_000)
        readers = "no frame reads it: it is in the unread tail"
        if frames:
            readers = f"frames {frames[0]} … {frames[-1]} read it" if frames[1:] else f"frame {frames[0]} reads it"
        assert explorer.text.endswith(f" ms): {readers}"), sample


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (399, "0 frames: it runs out at T7, which gets 1 position and needs 2; 1 sample is missing"),
        (100, "it runs out at T5, which gets 1 position and needs 3; 300 samples are missing"),
        (0, "it runs out at T1, which gets 0 positions and needs 10; 400 samples are missing"),
        (1, "1 sample = 0.000 s → 0 frames"),
        (400, "→ 1 frame, every sample read"),
        (401, "→ 1 frame, the last 1 sample unread"),
        (719, "→ 1 frame, the last 319 samples unread"),
        (720, "→ 2 frames, every sample read"),
        (HOUR, "57 600 000 samples = 3600.000 s → 179 999 frames, the last 240 samples unread"),
    ],
)
def test_edges_are_said(length, words):
    assert words in plain(explore(length, focus="clips").text)


@pytest.mark.parametrize(
    ("convention", "words"),
    [
        ("valid", "clip 1: sample mask True × 8 000, False × 8 000 · frame mask True × 24, False × 25"),
        ("padding", "clip 1: sample mask False × 8 000, True × 8 000 · frame mask False × 24, True × 25"),
        ("additive", "frame mask 0 × 24, −3.4e38 × 25"),
        ("lengths", "frames: [49, 24]"),
    ],
)
def test_masks_in_every_convention(convention, words):
    assert words in plain(explore(16_000, 8000, focus="masks", convention=convention).text)
    assert "no mask is handed" in explore(16_000, 8000, mask=False).text


def test_mask_and_norm_decide_where_padding_gets_in():
    said = {
        (preset, mask): explore(16_000, 8000, preset=preset, mask=mask, focus="costs").text.splitlines()[-1]
        for preset in ("base", "large_lv60")
        for mask in (True, False)
    }
    assert "layer_norm. GroupNorm takes mean" in said["base", True] and "GroupNorm" in said["base", False]
    assert said["large_lv60", True].endswith("nowhere. Valid frames are the same as alone, to float error.")
    assert "pos_conv_embed.conv" in said["large_lv60", False]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_no_switch_of_preset_or_norm_derives_anything(preset, norm, monkeypatch):
    """Deriving takes 10 to 20 s for BASE; the formulas of both norms come with the package."""
    monkeypatch.setattr(explorer_module, "_derived", None)
    explorer = explore(16_000, 8000, preset="tiny")
    explorer.preset = preset
    explorer.norm = norm
    assert explorer.message == "" and f"{preset.upper()}, {norm} norm" in explorer.text
    assert ("GroupNorm takes" in explorer.text) == (norm == "group")


def test_without_padding_nothing_is_reached():
    told = "nowhere yet, for no clip is padded"
    assert told in explore(16_000, 16_000).text and told not in explore(16_000, 8000).text


@pytest.mark.parametrize("length", [0, 399, 400, 719, 16_000, 16_079])
def test_the_question_about_frames_is_answered_by_the_geometry(length):
    question = explore(length, 500).question
    more = int(plain(question["options"][question["answer"]]).replace(" ", ""))
    assert BASE.frame_count(length + more) == BASE.frame_count(length) + 1 == BASE.frame_count(length + more - 1) + 1
    assert question["text"] in explore(length, 500).text


def test_a_question_is_asked_where_moving_answers_it():
    padding = explore(8000, 16_000, preset="large_lv60", question="padding").question
    assert padding["options"][padding["answer"]] == "nowhere"
    assert explore(8000, focus="costs").question == {} == explore(8000, question="").question
    costs = explore(16_000, focus="costs", question="costs").question
    assert costs["options"][costs["answer"]] == "4 times"
    with pytest.raises(ValueError, match="question is one of 'frame', 'padding'"):
        explore(8000, question="colour")


def test_trees_say_what_the_geometry_says():
    """The front end evaluates these; here Python does, for BASE and for convolutions that leave gaps between frames."""
    for geometry in (BASE, FrameGeometry((3, 2), (4, 3))):
        trees = geometry_trees(geometry)
        for t in (0, 1, 7):
            assert range(*(evaluate(trees[end], {"t": t}) for end in ("start", "stop"))) == geometry.span(t)
        for sample in range(0, 1200, 7):
            first, last = (evaluate(trees[end], {"n": sample}) for end in ("first", "last"))
            assert range(first, max(first, last + 1)) == geometry.frames_at(sample)
        for length in (400, 719, 720, 16_000):
            T = geometry.frame_count(length)
            assert evaluate(trees["unread"], {"L": length, "T": T}) == len(geometry.unread(length))


def test_every_convolution_knows_where_a_frame_comes_from():
    told = model_data(SymbolicTrace.preset("base"), "group")
    for t in (0, 5):
        spans = [range(*(evaluate(step[end], {"t": t}) for end in ("start", "stop"))) for step in told["encoder"]]
        assert spans == [*BASE.spans(t)[1:], range(t, t + 1)]
    assert [step["hop"] for step in told["encoder"]] == [5, 10, 20, 40, 80, 160, 320]


def test_a_page_without_a_kernel_gets_all_that_it_needs_as_json():
    explorer = explore(16_000, preset="tiny")
    state = json.loads(json.dumps(explorer.page_state(["tiny"])))
    assert state["formulas"]["own"] and [model["model"][:2] for model in state["models"]] == [["tiny", "layer"]]
    assert state["lengths"] == [16_000] and not [name for name in state if name.startswith("_")]
    assert "export { mount }" in explorer_module.front_end()


def test_where_it_is_only_read_the_explorer_is_a_still_picture():
    explorer = explore(16_000, 8000, norm="layer", focus="clips")
    still = explorer.still_html()
    assert still.startswith("<svg") and "T7 = T = 49" in still and "group norm" not in still
    explorer.lengths = [399, 300]
    assert "it runs out at T7" in explorer.still_html() and "<svg" not in explorer.still_html()
    assert explore(399, focus="table").text.splitlines()[2].startswith("L = 399: too short")
    assert "<svg" not in explore(16_000, focus="costs").still_html()


def test_focus_shows_only_what_is_asked_for():
    whole = explore(5000).text
    assert all(words in whole for words in TEXT_PARTS.values())
    for part, words in TEXT_PARTS.items():
        text = explore(5000, focus=part).text
        assert words in text
        assert not any(other in text for key, other in TEXT_PARTS.items() if key != part)


CUSTOM = {"norm": "layer", "kernels": "8, 4", "strides": "4, 2"}


@pytest.fixture(scope="module")
def formulas_of():
    """Formulas of each model that the switches below reach, each with nothing remembered from another."""

    def forget():
        explorer_module._formulas.cache_clear()
        explorer_module._traces.cache_clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explorer_module, "_derived", cache(explorer_module._derived))  # slow, and asked for twice
        formulas_of = {}
        for name, state in (("tiny", {}), ("custom", CUSTOM), ("large_lv60", {"preset": "large_lv60"})):
            forget()
            formulas_of[name] = explore(400, **{"preset": "tiny"} | state).formulas
        forget()
        yield formulas_of


def set_together(explorer, state):
    with explorer.hold_trait_notifications():
        for name, value in state.items():
            setattr(explorer, name, value)


def test_presets_and_custom_convolutions_are_derived(formulas_of):
    explorer = explore(16_000, preset="tiny", focus="encoder")
    explorer.preset = "large_lv60"
    assert (explorer.norm, explorer.current["constants"]["D"]) == ("layer", 1024)
    explorer.preset = "tiny"
    set_together(explorer, CUSTOM)
    assert explorer.message == "" and [step["kernel"] for step in explorer.current["encoder"]] == [8, 4]
    geometry = FrameGeometry((8, 4), (4, 2))
    for length in (19, 20, 21, 500, 16_000):
        assert sizes(explorer.current, 1, length)["T"] == geometry.frame_count(length)
    assert "T = floor((L - 20) / 8) + 1" in explorer.text and "T2 = T = 1998" in explorer.still_html()
    for kernels, strides, words in [
        ("8, 4", "4", "found 2 and 1"),
        ("8, x", "4, 2", "kernels must be whole numbers from 1 to 1000 with commas between, found '8, x'"),
        ("8, 4", "0, 2", "strides must be whole numbers"),
        ("", "4, 2", "found ''"),
    ]:
        set_together(explorer, {"kernels": kernels, "strides": strides})
        assert words in explorer.message and "T = floor((L - 20) / 8) + 1" in explorer.text  # the last model's picture
        assert (explorer.kernels, explorer.strides) == (kernels, strides)  # what was typed stays
    explorer.kernels = "8, 4"
    explorer.strides = "4, 2"  # each by itself: until both fit, the message says what is missing
    assert explorer.message == ""


def test_speech_and_uploads_bring_their_length_and_shape():
    explorer = explore(16_000, 8000, focus="clips")
    explorer.sources = ["", "yes"]
    assert explorer.lengths == [16_000, len(example("yes"))] and len(explorer.envelopes[1]) == 160
    explorer.lengths = [16_000, 5000]
    assert explorer.sources == ["", ""] and explorer.envelopes[1] == []
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(24_000) / 20).astype("float32"), 8000, format="WAV")
    send = explorer._handle_custom_msg  # what a message from the front end comes in by
    send({"kind": "upload", "name": "mine.wav", "clip": 0}, [memoryview(file.getvalue())])
    assert explorer.lengths[0] == 48_000 and explorer.message == "" and len(explorer.envelopes[0]) == 160
    assert explorer.sources[0] == "mine.wav"
    explorer.lengths = [48_000, 6000]
    assert explorer.sources == ["mine.wav", ""]
    send({"kind": "upload", "name": "broken.wav", "clip": 0}, [memoryview(b"not a sound at all")])
    assert explorer.message.startswith("broken.wav could not be read") and "/" not in explorer.message
    assert explorer.lengths[0] == 48_000 and "⚠ broken.wav" in explorer.text


def removed(explorer, index):
    """What the front end sends when a clip's button "remove" is pressed."""
    state = {name: list(getattr(explorer, name)) for name in ("lengths", "sources", "envelopes")}
    for values in state.values():
        del values[index]
    explorer.set_state(state | {"clip": 0})


@given(
    st.lists(st.sampled_from(["yes", "hello", 500, 16_004]), min_size=2, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=4),
)
@settings(max_examples=25, deadline=None)
def test_what_a_clip_is_made_of_travels_with_it(clips, removals):
    """Whichever clips are removed, by the front end or by their lengths, the others keep their sound, and no more."""

    def explorer_of(clips):
        return explore(*[example(clip) if isinstance(clip, str) else clip for clip in clips], focus="clips")

    explorer = explorer_of(clips)
    for index, by_button in removals[: len(clips) - 1]:
        index %= len(clips)
        if by_button:
            removed(explorer, index)
        elif len(set(explorer.lengths)) == len(clips):  # else it is open which one goes
            explorer.lengths = [length for other, length in enumerate(explorer.lengths) if other != index]
        else:
            continue
        clips = clips[:index] + clips[index + 1 :]
        fresh = explorer_of(clips)
        assert (explorer.lengths, explorer.envelopes) == (fresh.lengths, fresh.envelopes)
        assert explorer.sources == ["waveform" if isinstance(clip, str) else "" for clip in clips]


@given(st.lists(st.sampled_from(["custom", "mask", "preset", "wrong kernels"]), max_size=8))
@settings(max_examples=25, deadline=None)
def test_after_any_switches_the_formulas_are_those_of_a_fresh_explorer(formulas_of, switches):
    explorer, model = explore(16_000, 8_000, preset="tiny"), "tiny"
    usual = {name: getattr(explorer, name) for name in CUSTOM}
    for switch in switches:
        if switch == "mask":
            explorer.mask = not explorer.mask
        elif switch == "preset":
            explorer.preset = model = {"tiny": "large_lv60", "custom": "large_lv60", "large_lv60": "tiny"}[model]
        elif switch == "wrong kernels":
            kernels, explorer.kernels = explorer.kernels, "8, x"
            assert "kernels must be" in explorer.message and explorer.formulas == formulas_of[model]
            explorer.kernels = kernels
        elif model != "large_lv60":  # other convolutions of a large model are as right, and slow to derive
            set_together(explorer, CUSTOM if model == "tiny" else usual)
            model = {"tiny": "custom", "custom": "tiny"}[model]
        assert explorer.formulas == formulas_of[model]
        assert explorer.current["masked"] == explorer.mask and explorer.model_text in explorer.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lengths": []}, "one to 6 clips, found 0"),
        ({"lengths": [1] * 7}, "one to 6 clips, found 7"),
        ({"lengths": [-1]}, "from 0 to 57600000 samples .* found -1"),
        ({"lengths": [HOUR + 1]}, "one hour"),
        ({"lengths": ["x"]}, "int"),
        ({"focus": "everything"}, 'focus is "all" or some of model, clips'),
        ({"preset": "huge"}, "huge"),
        ({"convention": "other"}, "other"),
    ],
)
def test_state_that_cannot_be_is_refused_and_the_last_one_stays(change, words):
    explorer = explore(16_000)
    before = explorer.text
    with pytest.raises(traitlets.TraitError, match=words):
        explorer.set_trait(*next(iter(change.items())))
    assert explorer.text == before
