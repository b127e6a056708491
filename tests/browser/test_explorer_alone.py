"""The explorer without a kernel, as in a saved page: its front end alone, with the state that Python gave it."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from w2vlearn import explore

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


@pytest.fixture
def alone(chromium):
    """A page that holds the widget and nothing else; it must stay without errors."""
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


def test_it_moves_and_says_what_python_says(alone):
    page, explorer = alone
    for samples in (399, 400, 719, 720, 16_000, 16_080):
        page.locator(f'[data-edge="{samples}"]').click()
        explorer.lengths = [samples, 8_000]
        line = page.locator(".w2v-clip .w2v-said").first.inner_text()
        assert f"clip 1: {line}" in explorer.text
        words = page.locator('[data-name="frame-words"]').inner_text()
        assert words in explorer.text
        for said in page.locator('[data-name="mask-words"] p').all_inner_texts():
            assert said in explorer.text


def test_axe_finds_nothing_to_complain_about(alone):
    """The rules of axe-core (WCAG) on every control, picture and table of the widget."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core comes with the tests' pins")
    page, _ = alone
    page.get_by_text("custom kernels and strides").click()
    found = axe.Axe().run(page, context=".w2v-explorer").response
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found["violations"]] == []
    assert len(found["passes"]) > 10
