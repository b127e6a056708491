"""The explorer without a kernel, as in a saved page: its front end alone, with the state that Python gave it."""

from __future__ import annotations

import json
import re
from importlib import resources

import pytest

from w2vlearn import explore
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


def said(page):
    """Everything that the page says about its state, in the order of its parts."""
    lines = [f"clip {i + 1}: {line}" for i, line in enumerate(page.locator(".w2v-clip .w2v-said").all_inner_texts())]
    lines.append(page.locator('[data-name="frame-words"]').inner_text())
    lines += page.locator('[data-name="mask-words"] p').all_inner_texts()
    lines.append("padding gets in " + page.locator('[data-name="leak"]').inner_text())
    sizes = page.locator(".w2v-explorer dd").all_inner_texts()  # "68 992 (276 kB)"
    lines += [number for size in sizes for number in re.split(r" ?[()]", size) if number]
    rows = page.evaluate("""() => [...document.querySelectorAll('tr[data-layer]')].map(row =>
        [...row.children].map(cell => cell.textContent))""")
    return lines, [[row[0].strip(), *row[2:]] for row in rows]


def test_every_control_says_what_python_says(alone):
    """The page without a kernel and `explorer.text` are two programs; after every move they must say the same."""
    page, explorer = alone

    def control(name):
        return page.locator(f'[data-name="{name}"]')

    def edge(samples):
        page.locator(f'[data-edge="{samples}"]').click()
        explorer.lengths = [samples, *explorer.lengths[1:]]

    def choose(name, value):
        control(name).select_option(value)
        explorer.set_trait(name, value)

    def tick(name, value):
        control(name).set_checked(value)
        explorer.set_trait(name, value)

    def point(name, value):
        control(name).fill(str(value))
        other = "sample" if name == "frame" else "frame"
        explorer.set_trait(other, -1)
        explorer.set_trait(name, value)

    def add_and_remove():
        control("add").click()
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
        lines, rows = said(page)
        text = explorer.text
        for line in lines:
            assert line.removesuffix(" Δ") in text, (move.__name__, arguments, line)
        table = table_rows(explorer.shown, list(explorer.lengths), explorer.unfold)
        assert rows == [[name.strip(), *cells] for name, *cells in table], (move.__name__, arguments)


def test_axe_finds_nothing_to_complain_about(alone):
    """The rules of axe-core (WCAG) on every control, picture and table of the widget."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core comes with the tests' pins")
    page, _ = alone
    page.get_by_text("custom kernels and strides").click()
    found = axe.Axe().run(page, context=".w2v-explorer").response
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found["violations"]] == []
    assert len(found["passes"]) > 10
