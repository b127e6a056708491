"""The shape explorer in Chromium: alone, as in a saved page without a kernel, and in JupyterLab with one."""

from __future__ import annotations

import json
import random
import re
from importlib import resources

import numpy as np
import pytest
import soundfile
import torch

from w2vlearn import Wav2Vec2Config, Wav2Vec2ForCTC, explore
from w2vlearn.tracing.hooks import observing
from w2vlearn.widgets.explorer_text import table_rows

FOLDER = resources.files("w2vlearn") / "widgets"
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>explorer</title><style>%s</style></head>
<body><main id="here"></main><script type="module">
%s
const state = %s, listeners = {};
const model = {
  get: (name) => state[name],
  set: (name, value) => { state[name] = value; (listeners["change:" + name] ?? []).forEach((run) => run()); },
  on: (event, run) => { (listeners[event] ??= []).push(run); },
  off: () => {}, save_changes: () => {}, send: () => {},
};
widget.render({ model, el: document.getElementById("here") });
</script></body></html>"""
CELLS = ("# Explorer", "from w2vlearn import explore\nw = explore(16_000, 8_000, preset='tiny')\nw", "print(w.text)")

# Moves the first clip and reads the table back, in one call for many lengths.
SWEEP = """(lengths) => lengths.map((samples) => {
    const field = document.querySelector('[data-name="field-0"]');
    field.value = String(samples);
    field.dispatchEvent(new Event('change'));
    return Object.fromEntries([...document.querySelectorAll('tr[data-layer]')].map(
        (row) => [row.dataset.layer, row.children[3].textContent]));
})"""


@pytest.fixture
def alone(chromium):
    """A page that holds the widget and nothing else, with the state that Python gave it; no error may occur."""
    explorer = explore(16_000, 8_000, preset="tiny", frame=12)
    names = [name for name in explorer.traits(sync=True) if not name.startswith("_") and name != "layout"]
    state = {
        name: value for name in names if isinstance(value := getattr(explorer, name), str | int | bool | list | dict)
    }
    code = (FOLDER / "explorer.js").read_text(encoding="utf-8").replace("export default", "const widget =")
    page = chromium.new_page(viewport={"width": 1000, "height": 900})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.set_content(PAGE % ((FOLDER / "explorer.css").read_text(encoding="utf-8"), code, json.dumps(state)))
    page.locator(".w2v-explorer").wait_for()
    yield page, explorer
    page.close()
    assert not errors


@pytest.fixture
def lab_page(page, lab):
    """The widget in JupyterLab, its kernel running."""
    page.open_lesson(lab.add("explorer.ipynb", *CELLS))
    page.run_all()
    page.page.locator(".w2v-explorer").wait_for()
    return page


def part(page, name):
    return page.locator(f'[data-name="{name}"]')


def plain(locator):
    return locator.inner_text().replace("\u00a0", " ")


def clip_line(page, index=0):
    return plain(page.locator(".w2v-clip .w2v-said").nth(index))


# ------------------------------------------------------------------------------------------------------- alone


def shown(page):
    """Everything that the page says about its state, in the order of its parts; and the cells of its table."""
    lines = [f"clip {i + 1}: {line}" for i, line in enumerate(page.locator(".w2v-clip .w2v-said").all_inner_texts())]
    lines.append(part(page, "frame-words").inner_text())
    lines += page.locator('[data-name="mask-words"] p').all_inner_texts()
    lines.append("padding gets in " + part(page, "leak").inner_text())
    sizes = page.locator(".w2v-explorer dd").all_inner_texts()  # "68 992 (276 kB)"
    lines += [number for size in sizes for number in re.split(r" ?[()]", size) if number]
    rows = page.evaluate("""() => [...document.querySelectorAll('tr[data-layer]')].map(row =>
        [...row.children].map(cell => cell.textContent))""")
    return lines, [[row[0].strip(), *row[2:]] for row in rows]


def test_every_control_says_what_python_says(alone):
    """The page without a kernel and `explorer.text` are two programs; after every move they must say the same."""
    page, explorer = alone

    def edge(samples):
        page.locator(f'[data-edge="{samples}"]').click()
        explorer.lengths = [samples, *explorer.lengths[1:]]

    def choose(name, value):
        part(page, name).select_option(value)
        explorer.set_trait(name, value)

    def tick(name, value):
        part(page, name).set_checked(value)
        explorer.set_trait(name, value)

    def point(name, value):
        part(page, name).fill(str(value))
        explorer.set_trait("sample" if name == "frame" else "frame", -1)
        explorer.set_trait(name, value)

    def add_and_remove():
        part(page, "add").click()
        page.get_by_label("remove clip 1").click()
        explorer.lengths = [*explorer.lengths, 16_000]
        explorer.set_state({"lengths": explorer.lengths[1:], "sources": ["", ""], "envelopes": [[], []], "clip": 0})

    moves = [
        *((edge, samples) for samples in (399, 400, 719, 720, 16_000, 16_080)),
        *((point, "frame", frame) for frame in (0, 48, 500)),
        *((point, "sample", sample) for sample in (0, 4000, 15_999, 16_079)),
        *((choose, "convention", form) for form in ("padding", "additive", "lengths", "valid")),
        (tick, "mask", False), (tick, "unfold", True), (tick, "mask", True), (tick, "unfold", False), (add_and_remove,),
    ]  # fmt: skip
    for move, *arguments in moves:
        move(*arguments)
        page.wait_for_timeout(200)  # rows of the table that are not seen are filled a little later
        lines, rows = shown(page)
        for line in lines:
            assert line.removesuffix(" Δ") in explorer.text, (move.__name__, arguments, line)
        table = table_rows(explorer.shown, list(explorer.lengths), explorer.unfold)
        assert rows == [[name.strip(), *cells] for name, *cells in table], (move.__name__, arguments)


def test_page_says_what_observed_traces_say_over_many_lengths(alone):
    numbers = random.Random(1)
    lengths = [400, 719, 720, 16_000, 16_080, *(numbers.randrange(400, 200_000) for _ in range(40))]
    with torch.device("meta"):
        model = Wav2Vec2ForCTC(Wav2Vec2Config.tiny()).eval()
    for samples, shapes in zip(lengths, alone[0].evaluate(SWEEP, lengths), strict=True):
        with observing(model) as calls, torch.no_grad():  # what a trace observes, without its table
            model(torch.empty(2, max(samples, 8000), device="meta"))
        observed = {call.name: call.outputs[0].shape for call in calls}
        for name in ("", *(f"wav2vec2.feature_extractor.conv_layers.{i}.conv" for i in range(7)), "lm_head"):
            assert shapes[name].endswith(f"→ {'×'.join(map(str, observed[name]))}"), (samples, name)


def test_keys_drag_and_typing_move_the_clip_and_what_moved_is_marked_and_spoken(alone):
    page, _ = alone
    slider, field = part(page, "slider-0"), part(page, "field-0")
    slider.focus()
    for key, samples in [
        ("ArrowRight", 16_001), ("Shift+ArrowRight", 16_321), ("PageDown", 16_001), ("ArrowLeft", 16_000),
        ("Alt+ArrowRight", 32_000), ("Alt+ArrowLeft", 16_000),
    ]:  # fmt: skip
        slider.press(key)
        assert slider.input_value() == str(samples)
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert int(slider.input_value()) > 30_000
    field.fill("719")
    field.press("Enter")
    words = "719 samples = 0.045 s → 1 frame, the last 319 samples unread"
    assert clip_line(page).startswith(words) and page.locator(".w2v-moved").count() > 20
    page.locator(".w2v-live", has_text=f"clip 1: {words}").wait_for(state="attached")


def test_what_is_no_length_is_said_beside_the_field_and_the_last_good_one_stays(alone):
    page, _ = alone
    field = part(page, "field-0")
    for typed in ("abc", "-5", "", "57600001", "3.5"):
        field.fill(typed)
        field.press("Enter")
        wrong = plain(page.locator(".w2v-wrong").first)
        assert "wanted a whole number of samples, 0 to 57 600 000 (one hour); kept 16 000" in wrong, typed
        assert field.get_attribute("aria-invalid") == "true" and clip_line(page).startswith("16 000"), typed
    field.fill("57600000")
    field.press("Enter")
    assert "179 999 frames" in clip_line(page) and field.get_attribute("aria-invalid") is None


def test_pointing_at_frames_and_samples(alone):
    page, _ = alone
    picture, words = page.locator(".w2v-point"), part(page, "frame-words")
    picture.scroll_into_view_if_needed()
    box = picture.locator('[data-frame="13"]').bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "frame 13 of clip 1 reads samples 4160 … 4559" in words.inner_text()
    area = picture.bounding_box()
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] * 0.18)
    assert words.inner_text().startswith("sample ") and "frame" in words.inner_text()


def test_the_keyboard_alone_suffices(alone):
    """Tab reaches every control of the open parts, in the page's order."""
    page, _ = alone
    part(page, "preset").focus()
    reached = set()
    for _ in range(60):
        reached |= set(page.evaluate("Object.values(document.activeElement?.dataset ?? {})"))
        page.keyboard.press("Tab")
    controls = "preset norm mask slider-0 field-0 source-0 slider-1 add range 399 16080 frame sample convention unfold"
    assert set(controls.split()) <= reached, set(controls.split()) - reached


def test_axe_finds_nothing_to_complain_about(alone):
    """The rules of axe-core (WCAG) on every control, picture and table of the widget: names, roles, contrast."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core comes with the tests' pins")
    page, _ = alone
    page.get_by_text("custom kernels and strides").click()
    report = axe.Axe().run(page, context=".w2v-explorer").response
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in report["violations"]] == []
    assert len(report["passes"]) > 10


# ------------------------------------------------------------------------------------------------ in JupyterLab


def kernel_text(lab_page):
    """`explorer.text`, asked of the kernel after it has heard of everything."""
    lab_page.page.wait_for_timeout(300)
    lab_page.wait_until_idle()
    lab_page.page.evaluate("""() => {
        const panel = [...window.jupyterapp.shell.widgets('main')].find(w => w.isVisible && w.content?.model?.cells);
        panel.content.activeCellIndex = 2;
        return window.jupyterapp.commands.execute('notebook:run-cell');
    }""")
    lab_page.wait_until_idle()
    lab_page.page.wait_for_timeout(300)
    return plain(lab_page.page.locator(".jp-OutputArea-output pre").last)


def test_the_kernel_hears_of_every_move_and_need_not_be_awake(lab_page, tmp_path):
    page = lab_page.page
    tall = page.evaluate("""() => [...document.querySelectorAll('.w2v-explorer dt')]
        .filter(term => term.getBoundingClientRect().height > 30).map(term => term.textContent)""")
    assert tall == []  # JupyterLab's own style for lists would break terms after every word
    slider = part(page, "slider-0")
    slider.focus()
    for _ in range(40):  # a held key: no step is lost to the kernel's echo
        slider.press("ArrowRight")
        page.wait_for_timeout(20)
    part(page, "sample").fill("15999")
    text = kernel_text(lab_page)
    assert slider.input_value() == "16040" and "16 040 samples" in text
    assert plain(part(page, "frame-words")).removesuffix(" Δ") in text and "unread tail" in text
    asleep, awake = tmp_path / "asleep", tmp_path / "awake"
    sleep = f"import pathlib, time\npathlib.Path({str(asleep)!r}).touch()\n"
    sleep += f"while not pathlib.Path({str(awake)!r}).exists(): time.sleep(0.1)"
    page.evaluate(
        """(code) => {
        const panel = [...window.jupyterapp.shell.widgets('main')].find(w => w.isVisible && w.content?.model?.cells);
        panel.sessionContext.session.kernel.requestExecute({code});
    }""",
        sleep,
    )
    while not asleep.exists():
        page.wait_for_timeout(50)
    page.locator('[data-edge="719"]').click()
    assert clip_line(page).startswith("719 samples")
    awake.touch()
    assert "719 samples" in kernel_text(lab_page)


def test_presets_custom_kernels_speech_and_uploads_are_the_kernels_work(lab_page, tmp_path):
    page = lab_page.page
    part(page, "preset").select_option("large_lv60")
    page.locator("dd", has_text="1024").first.wait_for()
    assert part(page, "norm").input_value() == "layer"
    part(page, "preset").select_option("tiny")
    page.get_by_text("custom kernels and strides").click()
    part(page, "strides").fill("0, 2")
    part(page, "strides").press("Enter")
    page.get_by_text("strides must be whole numbers from 1 to 1000").first.wait_for()
    part(page, "kernels").fill("8, 4")
    part(page, "strides").fill("4, 2")
    part(page, "strides").press("Enter")
    page.get_by_text("T = floor((L - 20) / 8) + 1").first.wait_for(timeout=60_000)
    assert "1 998 frames" in clip_line(page)
    part(page, "source-0").select_option("yes")
    page.wait_for_function("document.querySelector('.w2v-explorer path')?.getAttribute('d').length > 100")
    soundfile.write(tmp_path / "mine.wav", np.zeros((5000, 2), "float32"), 8000)
    part(page, "upload-1").set_input_files(tmp_path / "mine.wav")
    page.wait_for_function("document.querySelector('[data-name=\"slider-1\"]').value === '10000'")
    (tmp_path / "broken.wav").write_text("no sound")
    part(page, "upload-1").set_input_files(tmp_path / "broken.wav")
    page.get_by_text("broken.wav could not be read").first.wait_for()


@pytest.mark.parametrize("page", [{"color_scheme": "dark", "viewport": {"width": 640, "height": 900}}], indirect=True)
def test_a_dark_theme_and_a_narrow_window(lab_page):
    """Nothing sticks out sideways, and text stands out from its background at 4.5 : 1."""
    page = lab_page.page
    wide, *colours = page.evaluate("""() => {
        const root = document.querySelector('.w2v-explorer');
        let back = root;
        while (back && getComputedStyle(back).backgroundColor === 'rgba(0, 0, 0, 0)') back = back.parentElement;
        return [root.scrollWidth - root.clientWidth, getComputedStyle(root).color,
            getComputedStyle(back ?? document.body).backgroundColor]; }""")
    assert wide <= 1

    def luminance(colour):
        values = [float(v) / 255 for v in colour[colour.index("(") + 1 :].rstrip(")").split(",")[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    lighter, darker = sorted(map(luminance, colours), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5, colours
