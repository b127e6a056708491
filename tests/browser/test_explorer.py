"""The shape explorer in Chromium: alone, as in a page without a kernel, and in JupyterLab with one."""

from __future__ import annotations

import json
import random
import re
from importlib import resources

import numpy as np
import pytest
import soundfile
import torch

from w2vlearn import FrameGeometry, Wav2Vec2Config, Wav2Vec2ForCTC, explore
from w2vlearn.show.rows import rows
from w2vlearn.tracing.hooks import observing
from w2vlearn.widgets.explorer import front_end

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>explorer</title><style>%s</style></head>
<body style="margin: 8px"><main id="explorer"></main><script type="module">
%s
window.mounted = mount(document.getElementById("explorer"), %s);
</script></body></html>"""
CELLS = ("# Explorer", "from w2vlearn import explore\nw = explore(16_000, 8_000, preset='tiny')\nw", "print(w.text)")
GEOMETRY = FrameGeometry.from_config(Wav2Vec2Config.tiny())

# Moves the first clip and reads the table back, in one call for many lengths.
SWEEP = """(lengths) => lengths.map((samples) => {
    const field = document.querySelector('[data-name="field-0"]');
    field.value = String(samples);
    field.dispatchEvent(new Event('change'));
    return Object.fromEntries([...document.querySelectorAll('tr[data-layer]')].map(
        (row) => [row.dataset.layer, row.querySelector('[data-cell=numbers]').textContent]));
})"""
# Numbers that are broken over two lines.
BROKEN = """() => [...document.querySelectorAll('tr[data-layer] .w2v-shape span')].flatMap((cell) => {
    const text = cell.firstChild, found = [...(text?.data ?? '').matchAll(/\\d+/g)];
    return found.filter(({ index, 0: number }) => {
        const range = document.createRange();
        range.setStart(text, index);
        range.setEnd(text, index + number.length);
        return range.getClientRects().length > 1;
    }).map(({ 0: number }) => number);
})"""


def set_page(page, explorer, presets=("tiny",)):
    css = (resources.files("w2vlearn") / "widgets" / "explorer.css").read_text(encoding="utf-8")
    code = front_end().replace("export { mount };", "").replace("export default", "const widget =")
    page.set_content(PAGE % (css, code, json.dumps(explorer.page_state(presets))))
    page.locator(".w2v-explorer").wait_for()


@pytest.fixture
def alone(chromium, request):
    """A page that holds the widget and nothing else, with the state that Python gave it; no error may occur."""
    explorer = explore(16_000, 8_000, preset="tiny", frame=12)
    page = chromium.new_page(**{"viewport": {"width": 1000, "height": 900}} | getattr(request, "param", {}))
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    set_page(page, explorer)
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


def plain(text):
    return text.replace("\u00a0", " ")


def clip_line(page, index=0):
    return plain(page.locator('[data-part="text"] li').nth(index).text_content())


def picture(page):
    """The picture's texts, in its order."""
    return [plain(text) for text in page.locator(".w2v-picture text").all_text_contents()]


def unfold_all(page):
    page.evaluate("document.querySelectorAll('.w2v-explorer details').forEach((details) => { details.open = true; })")


def type_into(page, name, text):
    part(page, name).fill(text)
    part(page, name).press("Enter")


# ------------------------------------------------------------------------------------------------------- alone


def shown(page):
    """Everything that the page says about its state, in the order of its parts; and the cells of its table."""
    lines = page.locator('[data-part="text"] li, [data-name="mask-lines"] p').all_text_contents()
    numbers = page.locator(".w2v-explorer dd").all_text_contents()  # "68 992 (276 kB)"
    lines += [number for text in numbers for number in re.split(r" ?[()]", text) if number]
    lines.append(part(page, "leak").text_content().replace("Padding", "padding"))
    rows = page.evaluate("""() => [...document.querySelectorAll('tr[data-layer]')].map(row =>
        [...row.querySelectorAll('[data-cell]')].map(cell => cell.textContent))""")
    return lines, rows


def test_every_control_says_what_python_says(alone):
    """The page without a kernel and `explorer.text` are two programs; after every move they must say the same."""
    page, explorer = alone
    unfold_all(page)

    def edge(samples):
        page.locator(f'[data-edge="{samples}"]').click()
        explorer.lengths = [samples, *explorer.lengths[1:]]

    def choose(name, value):
        part(page, name).select_option(value)
        explorer.set_trait(name, value)

    def tick(name, value):
        part(page, name).set_checked(value)
        explorer.set_trait(name, value)

    def norm(value):
        page.locator(f'[data-norm="{value}"]').click()
        explorer.norm = value

    def point(name, value):
        part(page, name).fill(str(value))
        explorer.set_trait("sample" if name == "frame" else "frame", -1)
        explorer.set_trait(name, value)

    def add_and_remove():
        part(page, "add").click()
        page.get_by_label("remove clip 0").click()
        explorer.lengths = [*explorer.lengths, 16_000]
        explorer.set_state({"lengths": explorer.lengths[1:], "sources": ["", ""], "envelopes": [[], []], "clip": 0})

    moves = [
        *((edge, samples) for samples in (399, 400, 719, 720, 16_000, 16_080)),
        *((point, "frame", frame) for frame in (0, 48, 500)),
        *((point, "sample", sample) for sample in (0, 4000, 15_999, 16_079)),
        *((choose, "convention", form) for form in ("padding", "additive", "lengths", "valid")),
        (norm, "layer"), (tick, "mask", False), (tick, "unfold", True), (norm, "group"), (tick, "mask", True),
        (tick, "unfold", False), (edge, 399), (add_and_remove,),
    ]  # fmt: skip
    for move, *arguments in moves:
        move(*arguments)
        page.wait_for_timeout(200)  # the end of a long table is filled a little later
        lines, cells = shown(page)
        for line in lines:
            assert line.removesuffix(" Δ") in explorer.text, (move.__name__, arguments, line)
        layers = rows(explorer.shapes(), "all" if explorer.unfold else "layers")
        told = [
            [row.label, row.letters, row.sizes.removeprefix("→ "), row.valid, row.mask.split("\n")[0]] for row in layers
        ]
        assert [row[:-1] for row in cells] == told, (move.__name__, arguments)
        data = explorer.current["all_rows" if explorer.unfold else "rows"]
        assert [row[-1] for row in cells] == ["! reached" if row["reached"] else "–" for row in data]


def test_page_says_what_observed_traces_say_over_many_lengths(alone):
    page, _ = alone
    unfold_all(page)
    numbers = random.Random(1)
    lengths = [400, 719, 720, 16_000, 16_080, *(numbers.randrange(400, 200_000) for _ in range(40))]
    with torch.device("meta"):
        model = Wav2Vec2ForCTC(Wav2Vec2Config.tiny()).eval()
    for samples, shapes in zip(lengths, page.evaluate(SWEEP, lengths), strict=True):
        with observing(model) as calls, torch.no_grad():  # what a trace observes, without its table
            model(torch.empty(2, max(samples, 8000), device="meta"))
        observed = {call.name: call.outputs[0].shape for call in calls}
        for name in ("", *(f"wav2vec2.feature_extractor.conv_layers.{i}.conv" for i in range(7)), "lm_head"):
            assert shapes[name].endswith(f"→ {'×'.join(map(str, observed[name]))}"), (samples, name)


def test_a_clips_end_is_dragged_and_all_that_follows_moves(alone):
    page, _ = alone
    slider, before = part(page, "slider-0"), picture(page)
    box = slider.bounding_box()
    end = box["x"] + 6 + (box["width"] - 12) * 16_000 / int(slider.get_attribute("max"))
    page.mouse.move(end, box["y"])
    page.mouse.down()
    page.mouse.move(end - 100, box["y"], steps=4)
    page.mouse.up()
    length = int(slider.input_value())
    assert 8000 < length < 16_000
    words = picture(page)
    for number in (length, *GEOMETRY.lengths(length)[:-1]):
        assert any(f"{number:,}".replace(",", " ") in text for text in words), number
    frames = GEOMETRY.frame_count(length)
    assert f"T7 = T = {frames} Δ" in words and f"clip 0: {frames} of {frames} seen Δ" in words
    assert f"(B, 1, T, T) = (2, 1, {frames}, {frames})" in " ".join(words) and len(words) == len(before)


def test_keys_move_the_clip_and_what_moved_is_marked_and_spoken(alone):
    page, _ = alone
    slider = part(page, "slider-0")
    slider.focus()
    for key, samples in [
        ("ArrowRight", 16_001), ("Shift+ArrowRight", 16_321), ("PageDown", 16_001), ("ArrowLeft", 16_000),
        ("Alt+ArrowRight", 32_000), ("Alt+ArrowLeft", 16_000),
    ]:  # fmt: skip
        slider.press(key)
        assert slider.input_value() == str(samples)
    type_into(page, "field-0", "719")
    sentence = "719 samples = 0.045 s → 1 frame, the last 319 samples unread"
    assert clip_line(page) == f"clip 0: {sentence}" and slider.get_attribute("aria-valuetext") == "719 samples, 1 frame"
    assert "719 samples, 0.045 s Δ" in picture(page)
    page.locator(".w2v-live", has_text=f"clip 0: {sentence}").wait_for(state="attached")


def test_what_is_no_length_is_said_beside_the_field_and_the_last_good_one_stays(alone):
    page, _ = alone
    field = part(page, "field-0")
    for typed in ("abc", "-5", "", "57600001", "3.5", "1,60", "16,0000"):
        type_into(page, "field-0", typed)
        wrong = plain(page.locator(".w2v-clip .w2v-wrong").first.inner_text())
        assert "wanted a whole number of samples, 0 to 57 600 000 (one hour); kept 16 000" in wrong, typed
        assert field.get_attribute("aria-invalid") == "true" and clip_line(page).startswith("clip 0: 16 000"), typed
    for typed in ("16,001", "16 001", "16_001", "16001"):
        type_into(page, "field-0", "720")
        type_into(page, "field-0", typed)
        assert clip_line(page).startswith("clip 0: 16 001 samples") and field.get_attribute("aria-invalid") is None, (
            typed
        )


def test_after_an_hour_the_axis_comes_back(alone):
    page, _ = alone
    slider = part(page, "slider-1")
    before = slider.get_attribute("max")
    type_into(page, "field-0", "57600000")
    assert "179 999 frames" in clip_line(page) and int(slider.get_attribute("max")) > 57_600_000
    type_into(page, "field-0", "16000")
    assert slider.get_attribute("max") == before


def test_a_frame_lights_up_its_samples_through_all_rows(alone):
    page, _ = alone
    box = page.locator('[data-frame="13"]').bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "frame 13 of clip 0 reads samples 4160 … 4559" in part(page, "pointed").inner_text()
    lit = page.locator(".w2v-lit[data-level]").evaluate_all(
        "(marks) => marks.map((mark) => [mark.dataset.level, Number(mark.getAttribute('width'))])"
    )
    assert [name for name, _ in lit] == ["L", "T1", "T2", "T3", "T4", "T5", "T6", "T7"]
    samples, spans, hops = lit[0][1], GEOMETRY.spans(13), [1, 5, 10, 20, 40, 80, 160, 320]
    for (name, width), positions, hop in zip(lit, [*(map(len, spans)), 1], hops, strict=True):
        assert width == pytest.approx(samples * positions * hop / 400, abs=0.02), name
    assert page.locator(".w2v-lit").count() == 10  # and in the whole waveform, and in the whole clip's frames
    row = page.locator('.w2v-lit[data-level="L"]').bounding_box()
    page.mouse.move(row["x"] + row["width"] * 0.5, row["y"] + row["height"] / 2)
    sentence = part(page, "pointed").inner_text()
    sample = int(re.match(r"sample (\d+) of clip 0", sentence)[1])
    frames = GEOMETRY.frames_at(sample, 16_000)
    assert abs(sample - 4360) < 5 and f"frame {frames[0]} reads it" in sentence


def test_the_keyboard_moves_the_frame_that_is_lit(alone):
    page, _ = alone
    slider = part(page, "frame-slider")
    assert slider.get_attribute("aria-label") == "frame of clip 0 that is lit"
    slider.press("ArrowRight")
    assert part(page, "pointed").inner_text().startswith("frame 13 of clip 0 reads samples 4160 … 4559")
    assert slider.get_attribute("aria-valuetext").startswith("frame 13 of clip 0")


@pytest.mark.parametrize("length", [400, 720, 8000])
def test_frame_boxes_are_whole_and_the_axis_says_where_it_ends(alone, length):
    page, _ = alone
    type_into(page, "field-0", str(length))
    frames = GEOMETRY.frame_count(length)
    area = page.locator(".w2v-picture").bounding_box()
    for frame in sorted({0, frames - 1}):
        part(page, "frame").fill(str(frame))
        boxes = page.locator("[data-frame]").evaluate_all(
            "(boxes) => boxes.map((box) => box.getBoundingClientRect().toJSON())"
        )
        assert boxes and page.locator(f'[data-frame="{frame}"]').count()
        assert len({round(box["width"]) for box in boxes}) == 1 and min(box["left"] for box in boxes) >= area["x"] + 130
        heading = next(text for text in picture(page) if text.startswith("feature encoder"))
        assert re.search(r"samples [\d ]+ … [\d ]+ of clip 0, magnified", heading)


STAIN = "() => document.querySelectorAll('.w2v-stain').length"


def test_padding_spreads_from_where_it_gets_in(alone):
    """Clip 1 is padded: its rows of the feature encoder, its frames and five blocks with group norm; less elsewhere."""
    page, _ = alone
    part(page, "clip").select_option("1")
    assert page.evaluate(STAIN) == 0  # until it is asked for
    part(page, "leak-shown").check()
    assert page.evaluate(STAIN) == 7 + 1 + 5
    page.locator('[data-norm="layer"]').click()
    assert page.evaluate(STAIN) == 0 and "nowhere" in part(page, "leak").inner_text()
    page.locator(".w2v-picture [data-action=mask]").first.click()  # the mask itself is a switch
    assert not part(page, "mask").is_checked()
    assert page.evaluate(STAIN) == 3 + 1  # positions, Transformer, head; and the keys that are padding
    page.locator('[data-norm="group"]').click()
    type_into(page, "field-1", "16000")
    assert page.evaluate(STAIN) == 0 and "no clip is padded" in part(page, "leak").inner_text()


@pytest.mark.parametrize(
    ("alone", "name"),
    [({"reduced_motion": "reduce"}, "none"), ({"reduced_motion": "no-preference"}, "w2v-spread")],
    indirect=["alone"],
)
def test_the_stain_moves_only_for_who_wants_motion(alone, name):
    page, _ = alone
    part(page, "leak-shown").check()
    assert page.locator(".w2v-stain").first.evaluate("(mark) => getComputedStyle(mark).animationName") == name


def test_squares_show_what_stands_in_the_mask(alone):
    page, _ = alone
    drawn = {}
    for convention in ("valid", "padding", "additive", "lengths"):
        part(page, "convention").select_option(convention)
        drawn[convention] = page.locator("[data-action=mask]").all_text_contents()
    assert drawn == {
        "valid": ["True", "TrueFalse"], "padding": ["False", "FalseTrue"], "additive": ["0", "0−3.4e38"],
        "lengths": ["49", "24"],
    }  # fmt: skip


def test_kernels_and_strides_are_checked_together_and_typing_stays(alone):
    page, _ = alone
    unfold_all(page)
    problem = page.locator(".w2v-bar .w2v-wrong").first
    part(page, "kernels").fill("8, 4, 2")
    assert "found 3 kernels and 7 strides" in problem.inner_text()
    page.locator('[data-edge="720"]').click()  # a drawing in between
    part(page, "strides").fill("4, 2")
    part(page, "strides").press("Enter")
    assert "found 3 kernels and 2 strides" in problem.inner_text()
    assert (part(page, "kernels").input_value(), part(page, "strides").input_value()) == ("8, 4, 2", "4, 2")
    part(page, "strides").fill("4, 2, 0")
    assert "strides must be whole numbers from 1 to 1000" in problem.inner_text()
    part(page, "strides").fill("4, 2, 1")
    part(page, "strides").press("Enter")
    assert not problem.is_visible()
    page.get_by_text("This page has no kernel to derive the formulas").wait_for()
    assert page.locator(".w2v-explorer.w2v-stale").count() == 1  # the old picture is greyed
    part(page, "preset").select_option("tiny")
    page.locator(".w2v-explorer:not(.w2v-stale)").wait_for()
    assert part(page, "kernels").input_value() == "10, 3, 3, 3, 3, 2, 2"


def test_a_question_is_asked_before_and_answered_by_moving(alone):
    page, _ = alone
    question = page.locator(".w2v-question")
    assert "how many samples longer must clip 0 (16 000) be" in plain(question.inner_text())
    question.get_by_role("button", name="320").click()
    assert "You say: 320. Now move it and see." in question.inner_text()
    part(page, "slider-0").press("Shift+ArrowRight")
    assert "You said 320: it is 80. From 16 080 samples on there are 50 frames" in plain(question.inner_text())


SMALL = [
    {"viewport": {"width": 400, "height": 900}},
    {"viewport": {"width": 640, "height": 900}, "device_scale_factor": 2},
]


@pytest.mark.parametrize("alone", SMALL, indirect=True, ids=["400 px", "200 %"])
def test_a_narrow_page_keeps_its_text_readable_and_its_buttons_small(alone):
    page, _ = alone
    unfold_all(page)
    wide, smallest = page.evaluate("""() => {
        const sizes = [...document.querySelectorAll('.w2v-picture text')].map((text) => {
            const { a, b } = text.getScreenCTM();
            return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(a, b);
        });
        return [document.documentElement.scrollWidth - innerWidth, Math.min(...sizes)]; }""")
    assert wide <= 0 and smallest >= 12
    assert page.get_by_label("remove clip 0").bounding_box()["width"] < 40
    right = page.locator(".w2v-picture").bounding_box()
    edges = page.locator(".w2v-picture text").evaluate_all(
        "(all) => all.map((text) => text.getBoundingClientRect().right)"
    )
    assert max(edges) <= right["x"] + right["width"] + 1


@pytest.mark.parametrize("alone", [{"viewport": {"width": 900, "height": 900}}], indirect=True)  # a notebook at 1280 px
def test_the_table_of_layers_fits_and_breaks_no_number(alone):
    page, _ = alone
    unfold_all(page)
    type_into(page, "field-0", "57600000")
    table = page.get_by_role("region", name="table of all layers")
    assert table.evaluate("(box) => box.scrollWidth - box.clientWidth") <= 1
    assert page.evaluate(BROKEN) == []


def test_the_keyboard_alone_suffices(alone):
    """Tab reaches every control of the open parts, in the page's order."""
    page, _ = alone
    unfold_all(page)
    part(page, "preset").focus()
    reached = set()
    for _ in range(60):
        reached |= set(page.evaluate("Object.values(document.activeElement?.dataset ?? {})"))
        page.keyboard.press("Tab")
    controls = "preset kernels slider-0 field-0 slider-1 add 399 16080 frame-slider leak-shown group layer mask "
    controls += "convention clip frame sample unfold"
    assert set(controls.split()) <= reached, set(controls.split()) - reached


def test_axe_finds_nothing_to_complain_about(alone):
    """The rules of axe-core (WCAG) on every control, picture and table of the widget: names, roles, contrast."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core comes with the tests' pins")
    page, _ = alone
    unfold_all(page)
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
    return plain(lab_page.page.locator(".jp-OutputArea-output pre").last.inner_text())


def test_the_kernel_hears_of_every_move_and_need_not_be_awake(lab_page, tmp_path):
    page = lab_page.page
    unfold_all(page)
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
    assert plain(part(page, "pointed").inner_text()) in text and "unread tail" in text
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
    assert clip_line(page).startswith("clip 0: 719 samples")
    awake.touch()
    assert "719 samples" in kernel_text(lab_page)


def test_presets_custom_kernels_speech_and_uploads_are_the_kernels_work(lab_page, tmp_path):
    page = lab_page.page
    unfold_all(page)
    part(page, "preset").select_option("large_lv60")
    page.locator("dd", has_text="1024").first.wait_for()
    assert page.locator('[data-norm="layer"]').get_attribute("aria-pressed") == "true"
    part(page, "preset").select_option("tiny")
    part(page, "kernels").fill("8, 4")
    part(page, "strides").fill("4, 2")
    part(page, "strides").press("Enter")
    page.get_by_text("Deriving the formulas of this model").wait_for()  # seconds: something must be said meanwhile
    assert "floor((L - 400) / 320)" in part(page, "formula").inner_text() and page.locator(".w2v-stale").count() == 1
    page.get_by_text("T = floor((L - 20) / 8) + 1").first.wait_for(timeout=90_000)
    assert "1 998 frames" in clip_line(page) and page.locator(".w2v-stale").count() == 0
    part(page, "source-0").select_option("yes")
    page.wait_for_function("document.querySelector('.w2v-picture path[d*=Z]')?.getAttribute('d').length > 1000")
    soundfile.write(tmp_path / "mine.wav", np.zeros((5000, 2), "float32"), 8000)
    part(page, "upload-1").set_input_files(tmp_path / "mine.wav")
    page.wait_for_function("document.querySelector('[data-name=\"slider-1\"]').value === '10000'")
    assert part(page, "source-1").locator("option:checked").inner_text() == "mine.wav"
    assert part(page, "source-0").locator("option:checked").inner_text() == "speech: yes"
    (tmp_path / "broken.wav").write_text("no sound")
    part(page, "upload-1").set_input_files(tmp_path / "broken.wav")
    page.get_by_text("broken.wav could not be read").first.wait_for()


@pytest.mark.parametrize("page", [{"viewport": {"width": 640, "height": 900}}], indirect=True)
def test_a_dark_theme_and_a_narrow_window(lab_page):
    """Nothing sticks out sideways, and text stands out from its background at 4.5 : 1."""
    page = lab_page.page
    switch = "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
    page.evaluate(switch, "JupyterLab Dark")
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    wide, *colours = page.evaluate("""() => {
        const root = document.querySelector('.w2v-explorer');
        let back = root;
        while (back && getComputedStyle(back).backgroundColor === 'rgba(0, 0, 0, 0)') back = back.parentElement;
        return [root.scrollWidth - root.clientWidth, getComputedStyle(root).color,
            getComputedStyle(back ?? document.body).backgroundColor]; }""")
    page.evaluate(switch, "JupyterLab Light")  # the server remembers it, for other tests too
    assert wide <= 1

    def luminance(colour):
        values = [float(v) / 255 for v in colour[colour.index("(") + 1 :].rstrip(")").split(",")[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    assert luminance(colours[0]) > luminance(colours[1])  # light on dark
    lighter, darker = sorted(map(luminance, colours), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5, colours
