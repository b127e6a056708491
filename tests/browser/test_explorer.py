"""The shape explorer in JupyterLab: what a person can do, what the page then says, and that nobody is shut out."""

from __future__ import annotations

import json
import random

import pytest
import torch

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC
from w2vlearn.tracing.hooks import observing

CELLS = ("# Explorer", "from w2vlearn import explore\nw = explore(16_000, 8_000, preset='tiny')\nw", "print(w.text)")

# Moves the first clip and reads the table and the clip's line back, in one call for many lengths.
SWEEP = """(lengths) => {
    const field = document.querySelector('[data-name="field-0"]'), said = [];
    for (const samples of lengths) {
        field.value = String(samples);
        field.dispatchEvent(new Event('change'));
        const shapes = {};
        for (const row of document.querySelectorAll('tr[data-layer]')) {
            shapes[row.dataset.layer] = [row.children[3].textContent, row.children[4].textContent];
        }
        said.push(shapes);
    }
    return said;
}"""


@pytest.fixture
def explorer(page, lab):
    page.open_lesson(lab.add("explorer.ipynb", *CELLS))
    page.run_all()
    page.page.locator(".w2v-explorer").wait_for()
    return page


def part(explorer, name):
    return explorer.page.locator(f'[data-name="{name}"]')


def clip_line(explorer, index=0):
    return explorer.page.locator(".w2v-clip .w2v-said").nth(index).inner_text().replace("\u00a0", " ")


def twin(explorer):
    """The text twin, asked of the kernel after it has heard of everything."""
    explorer.page.wait_for_timeout(300)
    explorer.wait_until_idle()
    explorer.page.evaluate("""() => {
        const panel = [...window.jupyterapp.shell.widgets('main')].find(w => w.isVisible && w.content?.model?.cells);
        panel.content.activeCellIndex = 2;
        return window.jupyterapp.commands.execute('notebook:run-cell');
    }""")
    explorer.wait_until_idle()
    explorer.page.wait_for_timeout(300)
    return explorer.page.locator(".jp-OutputArea-output pre").last.inner_text().replace("\u00a0", " ")


def test_page_says_what_observed_traces_say_over_hundreds_of_lengths(explorer):
    numbers = random.Random(1)
    lengths = [400, 719, 720, 16_000, 16_080, *(numbers.randrange(400, 200_000) for _ in range(300))]
    with torch.device("meta"):
        model = Wav2Vec2ForCTC(Wav2Vec2Config.tiny()).eval()
    said = explorer.page.evaluate(SWEEP, lengths)
    for samples, shapes in zip(lengths, said, strict=True):
        with observing(model) as calls, torch.no_grad():  # what a trace observes, without its table
            model(torch.empty(2, max(samples, 8000), device="meta"))
        observed = {call.name: call.outputs[0].shape for call in calls}
        for name in ("", *(f"wav2vec2.feature_extractor.conv_layers.{i}.conv" for i in range(7)), "lm_head"):
            shape = "×".join(map(str, observed[name]))
            assert shapes[name][0].endswith(f"→ {shape}"), (samples, name)


def test_keys_drag_and_typing_move_everything(explorer):
    slider = part(explorer, "slider-0")
    slider.focus()
    for keys, samples in [
        (["ArrowRight"], 16_001), (["Shift+ArrowRight"], 16_321), (["PageDown"], 16_001), (["ArrowLeft"], 16_000),
        (["Alt+ArrowRight"], 32_000), (["Alt+ArrowLeft"], 16_000),
    ]:  # fmt: skip
        for key in keys:
            slider.press(key)
        assert slider.input_value() == str(samples)
    before = clip_line(explorer)
    box = slider.bounding_box()
    explorer.page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2)
    explorer.page.mouse.down()
    explorer.page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2, steps=5)
    explorer.page.mouse.up()
    assert clip_line(explorer) != before and int(slider.input_value()) > 30_000
    part(explorer, "field-0").fill("719")
    part(explorer, "field-0").press("Enter")
    assert clip_line(explorer).startswith("719 samples = 0.045 s → 1 frame, the last 319 samples unread")
    assert explorer.page.locator(".w2v-moved").count() > 20  # what moved carries a sign
    assert clip_line(explorer) in twin(explorer)


@pytest.mark.parametrize("typed", ["abc", "-5", "", "57600001", "3.5"])
def test_what_is_no_length_is_said_beside_the_field_and_the_last_good_one_stays(explorer, typed):
    field = part(explorer, "field-0")
    field.fill(typed)
    field.press("Enter")
    wrong = explorer.page.locator(".w2v-wrong").first.inner_text().replace("\u00a0", " ")
    assert "wanted a whole number of samples, 0 to 57 600 000 (one hour); kept 16 000" in wrong
    assert field.get_attribute("aria-invalid") == "true" and clip_line(explorer).startswith("16 000")
    field.fill("57600000")
    field.press("Enter")
    assert "179 999 frames" in clip_line(explorer)


def test_pointing_at_frames_and_samples(explorer):
    picture = explorer.page.locator(".w2v-point")
    picture.scroll_into_view_if_needed()
    part(explorer, "frame").fill("12")
    words = part(explorer, "frame-words")
    assert "frame 12 of clip 1 reads samples 3840 … 4239" in words.inner_text()
    box = picture.locator('[data-frame="13"]').bounding_box()
    explorer.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "frame 13 of clip 1 reads samples 4160 … 4559" in words.inner_text()
    area = picture.bounding_box()
    explorer.page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] * 0.18)
    assert words.inner_text().startswith("sample ") and "frame" in words.inner_text()
    assert words.inner_text().replace("\u00a0", " ").removesuffix(" Δ") in twin(explorer)
    part(explorer, "sample").fill("15999")
    assert "no frame reads it: it is in the unread tail" in words.inner_text()


def test_switches_presets_and_custom_kernels(explorer):
    masks = part(explorer, "mask-words")
    assert "frame mask True × 24, False × 25" in masks.inner_text().replace("\u00a0", " ")
    part(explorer, "convention").select_option("padding")
    assert "frame mask False × 24, True × 25" in masks.inner_text().replace("\u00a0", " ")
    part(explorer, "mask").uncheck()
    assert "no mask is handed" in masks.inner_text()
    assert part(explorer, "leak").inner_text().startswith("without a mask: at wav2vec2.feature_extractor")
    part(explorer, "preset").select_option("large_lv60")
    explorer.page.locator("dd", has_text="1024").first.wait_for()
    assert part(explorer, "norm").input_value() == "layer"
    part(explorer, "preset").select_option("tiny")
    explorer.page.get_by_text("custom kernels and strides").click()
    part(explorer, "strides").fill("0, 2")
    part(explorer, "strides").press("Enter")
    explorer.page.get_by_text("strides must be whole numbers from 1 to 1000").first.wait_for()
    part(explorer, "kernels").fill("8, 4")
    part(explorer, "strides").fill("4, 2")
    part(explorer, "strides").press("Enter")
    explorer.page.get_by_text("T = floor((L - 20) / 8) + 1").first.wait_for(timeout=60_000)
    assert "1 998 frames" in clip_line(explorer)


def test_speech_and_an_uploaded_file(explorer, tmp_path):
    import numpy as np
    import soundfile

    part(explorer, "source-0").select_option("yes")
    explorer.page.wait_for_function("document.querySelector('.w2v-explorer path')?.getAttribute('d').length > 100")
    soundfile.write(tmp_path / "mine.wav", np.zeros((5000, 2), "float32"), 8000)
    part(explorer, "upload-1").set_input_files(tmp_path / "mine.wav")
    explorer.page.wait_for_function("document.querySelector('[data-name=\"slider-1\"]').value === '10000'")
    (tmp_path / "broken.wav").write_text("no sound")
    part(explorer, "upload-1").set_input_files(tmp_path / "broken.wav")
    explorer.page.get_by_text("broken.wav could not be read").first.wait_for()


def test_it_answers_while_the_kernel_is_asleep(explorer):
    explorer.page.evaluate("""() => {
        const panel = [...window.jupyterapp.shell.widgets('main')].find(w => w.isVisible && w.content?.model?.cells);
        panel.sessionContext.session.kernel.requestExecute({code: 'import time; time.sleep(3)'});
    }""")
    explorer.page.wait_for_timeout(200)
    explorer.page.locator('[data-edge="719"]').click()
    assert explorer.lab.kernel_state("explorer.ipynb") == "busy"
    assert clip_line(explorer).startswith("719 samples")
    explorer.wait_until_idle()


NAMELESS = """() => [...document.querySelectorAll('.w2v-explorer :is(input, select, button)')]
    .filter(control => !(control.getAttribute('aria-label') || control.labels?.length || control.textContent.trim()))
    .map(control => control.outerHTML)"""


def test_every_control_has_a_name_and_changes_are_announced(explorer):
    nameless = explorer.page.evaluate(NAMELESS)
    assert nameless == []
    pictures = explorer.page.evaluate("""() => [...document.querySelectorAll('.w2v-explorer svg[role=img]')]
        .filter(s => !(s.getAttribute('aria-label') || s.querySelector('title')?.textContent)).length""")
    assert pictures == 0
    explorer.page.locator('[data-edge="16080"]').click()
    explorer.page.wait_for_timeout(700)
    spoken = explorer.page.locator(".w2v-live").inner_text().replace("\u00a0", " ")
    assert "clip 1: 16 080 samples = 1.005 s → 50 frames, every sample read" in spoken


def test_the_keyboard_alone_suffices(explorer):
    """Tab reaches every control of the open parts, in the page's order."""
    part(explorer, "preset").focus()
    reached = set()
    for _ in range(60):
        reached |= set(explorer.page.evaluate("Object.values(document.activeElement?.dataset ?? {})"))
        explorer.page.keyboard.press("Tab")
    controls = "preset norm mask slider-0 field-0 source-0 slider-1 add range 399 16080 frame sample convention unfold"
    wanted = set(controls.split())
    assert wanted <= reached, wanted - reached


@pytest.mark.parametrize(
    "page",
    [{"color_scheme": "dark"}, {"viewport": {"width": 640, "height": 900}}, {"device_scale_factor": 2}],
    indirect=True,
    ids=["dark", "narrow", "200 %"],
)
def test_themes_zoom_and_narrow_windows(explorer):
    """Nothing sticks out of the widget sideways, and text stands out from its background at 4.5 : 1."""
    wide = explorer.page.evaluate("""() => { const root = document.querySelector('.w2v-explorer');
        return root.scrollWidth - root.clientWidth; }""")
    assert wide <= 1
    colours = explorer.page.evaluate("""() => { const root = document.querySelector('.w2v-explorer'); let back = root;
        while (back && getComputedStyle(back).backgroundColor === 'rgba(0, 0, 0, 0)') back = back.parentElement;
        return [getComputedStyle(root).color, getComputedStyle(back ?? document.body).backgroundColor]; }""")

    def luminance(colour):
        values = [float(v) / 255 for v in colour[colour.index("(") + 1 :].rstrip(")").split(",")[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    lighter, darker = sorted(map(luminance, colours), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5, json.dumps(colours)


def test_a_held_key_loses_no_step_to_the_kernels_echo(explorer):
    slider = part(explorer, "slider-0")
    slider.focus()
    for _ in range(40):
        slider.press("ArrowRight")
        explorer.page.wait_for_timeout(20)
    assert slider.input_value() == "16040"
    assert "16 040 samples" in twin(explorer)


def test_terms_of_what_stays_and_grows_keep_to_one_line(explorer):
    """JupyterLab's own style for lists would break them after every word."""
    tall = explorer.page.evaluate("""() => [...document.querySelectorAll('.w2v-explorer dt')]
        .filter(term => term.getBoundingClientRect().height > 30).map(term => term.textContent)""")
    assert tall == []
