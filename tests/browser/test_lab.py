"""JupyterLab, as `make lab` starts it: a notebook opens, runs and shows its outputs; nothing leaves the machine."""

from __future__ import annotations

CELLS = (
    "# A toy\n\nWith words.",
    "import w2vlearn\nprint(6 * 7, w2vlearn.__name__)",
    "import ipywidgets\nslider = ipywidgets.IntSlider(7, max=9, description='frames')\nslider",
    "print('slider at', slider.value)",
)


def test_a_notebook_opens_runs_and_answers(page, lab):
    page.open_lesson(lab.add("toy.ipynb", *CELLS))
    assert page.prompts() == ["", "", ""]
    page.run_all()
    assert page.prompts() == ["1", "2", "3"]
    outputs = page.page.locator(".jp-OutputArea-output")
    assert outputs.nth(0).inner_text().strip() == "42 w2vlearn"
    assert outputs.nth(2).inner_text().strip() == "slider at 7"
    handle = page.page.locator(".widget-slider .noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    readout = page.page.locator(".widget-readout")
    assert readout.inner_text() == "8"
    assert not page.page.get_by_text("Would you like to").count()  # no question about news
    page.run_all()
    assert page.prompts() == ["4", "5", "6"]


def test_a_large_upload_arrives(page, lab, tmp_path):
    """Twelve megabytes: JupyterLab's own limit is 10, above which the file is lost without a word."""
    upload = "import ipywidgets\nupload = ipywidgets.FileUpload()\nupload"
    told = "said = ipywidgets.HTML()\ndef tell(_): said.value = f'{upload.value[0].size} bytes'\n"
    told += "upload.observe(tell, 'value')\nsaid"
    (tmp_path / "long.wav").write_bytes(bytes(12_000_000))
    page.open_lesson(lab.add("upload.ipynb", upload, told))
    page.run_all()
    with page.page.expect_file_chooser() as chooser:
        page.page.locator(".jupyter-button", has_text="Upload").click()
    chooser.value.set_files(tmp_path / "long.wav")
    page.page.get_by_text("12000000 bytes").wait_for()
