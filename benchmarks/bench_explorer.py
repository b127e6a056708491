"""How fast the shape explorer answers in JupyterLab (headless Chromium), beside an `interact` slider with matplotlib.

Promised, every folded part opened, full table of BASE shown: from input event to changed picture at most 30 ms
(median) and 50 ms (95 %), for keys and drags, also with the kernel asleep; at least 28 pictures in a burst of 30 keys;
open within 0.5 s in a warm kernel.

    python benchmarks/bench_explorer.py [--moves 30]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "browser"))
import driver
from playwright.sync_api import sync_playwright

EXPLORER = (
    "# Explorer",
    "from w2vlearn import explore\nimport time",
    "start = time.perf_counter()\nw = explore(16_000, 23_456, 40_000, unfold=True)\ndisplay(w)\n"
    "took = time.perf_counter() - start",
    "print(f'{1000 * took:.0f}')",
)
INTERACT = (
    "# Interact",
    "import matplotlib.pyplot as plt, ipywidgets\nfrom w2vlearn import FrameGeometry, Wav2Vec2Config\n"
    "geometry = FrameGeometry.from_config(Wav2Vec2Config.base())",
    "def draw(samples=16_000):\n    plt.figure(figsize=(7, 2))\n"
    "    plt.barh(range(8), [samples, *geometry.lengths(samples)])\n"
    "    plt.xscale('log')\n    plt.show()\n_ = ipywidgets.interact(draw, samples=(400, 80_000, 1))",
)
SLEEP = """() => {
    const panel = [...window.jupyterapp.shell.widgets('main')].find(w => w.isVisible && w.content?.model?.cells);
    panel.sessionContext.session.kernel.requestExecute({code: 'import time; time.sleep(20)'});
}"""
# From the event (captured first of all) to the frame that shows what it changed: mutation, then the frame is painted.
WATCH = """([input, picture]) => {
    window.times = []; window.shown = new Set();
    const source = document.querySelector(input), target = document.querySelector(picture);
    let begun = null;
    const begin = () => { if (begun === null) begun = performance.now(); };
    for (const kind of ['keydown', 'input', 'pointermove']) source.addEventListener(kind, begin, true);
    new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => {
        if (begun !== null) { window.times.push(performance.now() - begun); begun = null; }
    }))).observe(target, { childList: true, subtree: true, characterData: true, attributes: true });
    const look = () => {
        window.shown.add(target.textContent || target.innerHTML.length + target.innerHTML.slice(-400));
        requestAnimationFrame(look);
    };
    look();
}"""


def summary(name: str, values: list[float]) -> str:
    if len(values) < 2:
        return f"{name}: nothing changed"
    slow = statistics.quantiles(values, n=20, method="inclusive")[-1]
    return f"{name}: median {statistics.median(values):.0f} ms, 95 % {slow:.0f} ms ({len(values)} changes)"


def keys(page, moves: int, pause: int) -> list[float]:
    page.evaluate("window.times = []")
    for _ in range(moves):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(pause)
    return page.evaluate("window.times")


def burst(page, moves: int) -> int:
    """Different new pictures seen while a held key repeats up to 30 times a second."""
    page.wait_for_timeout(300)
    known = set(page.evaluate("[...window.shown]"))
    for _ in range(moves):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(33)
    page.wait_for_timeout(500)
    return len(set(page.evaluate("[...window.shown]")) - known)


def drags(page, selector: str, moves: int) -> list[float]:
    slider = page.locator(selector)
    box = slider.bounding_box()
    middle, share = box["y"] + box["height"] / 2, int(slider.input_value()) / int(slider.get_attribute("max"))
    page.mouse.move(box["x"] + 6 + (box["width"] - 12) * share, middle)  # the handle: a clip's end
    page.mouse.down()
    page.evaluate("window.times = []")
    for step in range(moves):
        page.mouse.move(box["x"] + box["width"] * (0.3 + 0.6 * step / moves), middle)
        page.wait_for_timeout(60)
    page.mouse.up()
    return page.evaluate("window.times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=30)
    moves = parser.parse_args().moves
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        print("no Chromium here: nothing measured")
        return
    with tempfile.TemporaryDirectory() as folder, driver.Lab(Path(folder)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=driver.CHROMIUM_ARGUMENTS)
        opened = driver.LabPage(browser.new_page(viewport={"width": 1280, "height": 1000}), lab)
        opened.open_lesson(lab.add("explorer.ipynb", *EXPLORER))
        opened.run_all()
        took = opened.page.locator(".jp-OutputArea-output pre").last.inner_text().strip()
        print(f"explorer, opening in a warm kernel: {took} ms")
        page, slider = opened.page, '[data-name="slider-0"]'
        page.evaluate("document.querySelectorAll('.w2v-explorer details').forEach((part) => { part.open = true; })")
        page.evaluate(WATCH, [slider, ".w2v-picture"])
        page.locator(slider).focus()
        print(summary("explorer, keys", ours := keys(page, moves, 100)))
        print(summary("explorer, drags", drags(page, slider, moves)))
        page.locator(slider).focus()
        print(f"explorer, pictures in a burst of {moves} keys: {burst(page, moves)}")
        page.evaluate(SLEEP)
        print(summary("explorer, keys, kernel asleep", keys(page, moves, 100)))
        lab.stop_kernels()
        opened = driver.LabPage(browser.new_page(viewport={"width": 1280, "height": 1600}), lab)
        opened.open_lesson(lab.add("interact.ipynb", *INTERACT))
        opened.run_all()
        page = opened.page
        page.locator(".widget-interact .jp-OutputArea-output img").wait_for()
        page.evaluate(WATCH, [".widget-slider .noUi-handle", ".widget-interact .jp-OutputArea"])
        page.locator(".widget-slider .noUi-handle").focus()
        theirs = keys(page, moves, 500)
        print(summary("interact with matplotlib, keys", theirs))
        print(f"interact, pictures in a burst of {moves} keys: {burst(page, moves)}")
        if ours and theirs:
            print(f"ratio of the medians: {statistics.median(ours) / statistics.median(theirs):.2f}")
        browser.close()


if __name__ == "__main__":
    main()
