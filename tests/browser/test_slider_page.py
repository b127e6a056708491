"""The slider in JupyterLab: moved with keys, buttons and a typed number; the picture follows in place."""

from __future__ import annotations

import pytest

CELLS = (
    "from course import slide\nfrom w2vlearn import FrameGeometry, Wav2Vec2Config\n"
    "from w2vlearn.show import waveform_figure\nimport torch\n"
    "geometry = FrameGeometry.from_config(Wav2Vec2Config.base())\n"
    "def draw(L):\n    return waveform_figure(torch.sin(torch.arange(L) / 20), geometry)\n"
    "slide('samples L', range(400, 1_700), draw, start=719, unit='samples', "
    "ask='At how many samples does frame 1 begin?', answer='At 720: 320 + 400.', marks=(719, 720))",
    "slide('norm', ['group', 'layer'], lambda norm: f'norm: {norm}', ask='Which norm?', choices=['group', 'layer'])",
    "from course import compare, progress\ncompare('2.1', 50, 49)\nprogress()",
)


@pytest.mark.parametrize("page", [{"viewport": {"width": 1000, "height": 1200}}], indirect=True)
def test_keys_buttons_and_a_typed_number_move_the_picture(page, lab):
    page.open_lesson(lab.add("slider.ipynb", *CELLS))
    page.run_all()
    group = page.page.get_by_role("group", name="samples L", exact=True)
    picture = lambda samples: group.get_by_role("img", name=f"Waveform of {samples} samples")  # noqa: E731
    picture(719).wait_for()
    handle = group.get_by_role("slider", name="samples L")
    field = group.get_by_role("textbox", name="samples L, as a number")

    # the question comes first; an answer is kept in words
    question = group.get_by_role("group", name="At how many samples does frame 1 begin?")
    question.get_by_role("textbox").fill("800")
    page.page.keyboard.press("Enter")
    question.get_by_text("You said: 800. Now move the slider.").wait_for()
    assert not question.get_by_text("Answer").is_visible()

    handle.focus()
    page.page.keyboard.press("ArrowRight")
    picture(720).wait_for()
    assert handle.get_attribute("aria-valuetext") == "720 samples" and field.input_value() == "720"
    question.get_by_text("Answer").click()
    question.get_by_text("At 720: 320 + 400.").wait_for()

    group.get_by_role("button", name="samples L: last, 1699").click()
    picture(1699).wait_for()
    assert group.get_by_role("button", name="samples L: one step on, +1").is_disabled()
    group.get_by_role("button", name="samples L: one step back").click()
    picture(1698).wait_for()
    group.get_by_role("button", name="samples L: 719").click()
    picture(719).wait_for()

    field.fill("1,040")
    page.page.keyboard.press("Enter")
    picture(1040).wait_for()
    page.page.keyboard.press("ArrowUp")
    picture(1041).wait_for()
    field.fill("100")
    page.page.keyboard.press("Enter")
    group.get_by_role("alert").get_by_text("100 is none of the slider's values; the nearest is 400").wait_for()
    picture(400).wait_for()
    assert field.input_value() == "400"
    group.get_by_text("The picture in words").click()
    assert group.locator("pre").inner_text().startswith("Waveform of 400 samples")

    # a person's kernel keeps its predictions in a file beside the notebooks
    page.page.get_by_text("Kept in progress.json beside the notebooks").wait_for()
    assert '"said": 50' in (lab.notebooks / "progress.json").read_text()

    # a slider over names, moved without a prediction
    norms = page.page.get_by_role("group", name="norm", exact=True)
    norms.get_by_role("slider").focus()
    page.page.keyboard.press("ArrowRight")
    norms.locator("pre:visible").get_by_text("norm: layer").wait_for()
    assert not norms.get_by_role("radio", name="layer").is_visible()
