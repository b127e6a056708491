"""The recorder in JupyterLab: Chromium's fake microphone beeps, files are chosen, the keyboard is enough."""

from __future__ import annotations

import re

import numpy as np
import soundfile

CELLS = (
    "from w2vlearn import FrameGeometry, Wav2Vec2Config\nfrom w2vlearn.show import waveform_figure\n"
    "from w2vlearn.widgets import record\ngeometry = FrameGeometry.from_config(Wav2Vec2Config.base())\n"
    "recorder = record(draw=lambda clip: waveform_figure(clip[:400_000], geometry))\nrecorder",
    "import ipywidgets\nsaid = ipywidgets.HTML()\n"
    "def tell(_):\n"
    "    wave = recorder.waveform\n"
    "    loud = (wave.abs() > 0.01).float().mean()\n"
    "    said.value = f'heard {recorder.source}: {tuple(wave.shape)} {wave.dtype} loud {loud:.3f}'\n"
    "recorder.observe(tell, 'version')\nsaid",
)


def test_record_upload_choose(page, lab, tmp_path):
    page.open_lesson(lab.add("voice.ipynb", *CELLS))
    page.run_all()
    controls = page.page.get_by_role("group", name="your own voice")
    status = page.page.get_by_role("status").filter(has_text="frames")
    assert status.inner_text().startswith("digits, 2.10 s, 33628 samples")
    page.page.get_by_role("img", name="Waveform of 33628 samples").wait_for()

    # the fake device beeps once a second; the keyboard starts and stops
    button = controls.get_by_role("button", name="Record")
    assert button.get_attribute("aria-pressed") == "false"
    button.focus()
    page.page.keyboard.press("Space")
    controls.get_by_role("button", name="Stop", pressed=True).wait_for()
    page.page.wait_for_timeout(2500)
    page.page.keyboard.press("Enter")
    heard = page.page.get_by_text(re.compile(r"heard microphone"))
    heard.wait_for()
    samples, loud = re.search(r"\((\d+),\) torch.float32 loud ([\d.]+)", heard.inner_text()).groups()
    assert 16_000 < int(samples) < 6 * 16_000
    assert 0.01 < float(loud) < 0.9  # beeps and silence between them
    assert button.get_attribute("aria-pressed") == "false"
    page.page.get_by_role("img", name=f"Waveform of {samples} samples").wait_for()  # the picture follows
    player = page.page.get_by_label("what you recorded or uploaded")
    assert player.is_visible()
    page.page.wait_for_timeout(300)  # what the microphone still sends does not move the meter again
    assert controls.get_by_label("loudness").evaluate("meter => meter.value") == 0

    soundfile.write(tmp_path / "me.wav", np.random.default_rng(0).normal(0, 0.1, (8000 * 300, 2)), 8000)
    controls.get_by_label("or a sound file").set_input_files(tmp_path / "me.wav")  # 9.6 MB, five minutes
    page.page.get_by_text("heard me.wav: (4800000,)").wait_for()

    (tmp_path / "letter.txt").write_text("no sound")
    controls.get_by_label("or a sound file").set_input_files(tmp_path / "letter.txt")
    page.page.get_by_text("letter.txt: not audio").get_by_text("What you have is still: me.wav.").wait_for()
    player.wait_for(state="hidden")  # what cannot be read is not to be heard

    controls.get_by_label("or a built-in clip").select_option("yes")
    page.page.get_by_text("heard yes: (16004,)").wait_for()
