"""After ``make site``: take README's picture of the live page, and write into README what it shows."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PICTURE = "notebooks/images/live.png"
TEXT_AND_JOURNEY = """
    header, footer, #company, #explorer, #yours { display: none }
    h2, #see > :not(#alone), #say > :not(#heard) { display: none !important }
    .journey { margin: 0 }
    main { padding: 12px 16px }"""
FACTS = """() => ({
    text: document.getElementById("heard").textContent, samples: state.clip.length,
    lengths: alone.shown.lengths, features: alone.shown.hiddenStates.length / alone.shown.frames })"""


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 1000}, color_scheme="light")
        page.goto((ROOT / "build" / "site" / "index.html").as_uri())
        page.wait_for_function("Number(document.body.dataset.turn) > 0", timeout=120_000)
        facts = page.evaluate(FACTS)
        # text and journey, without what lies between them
        page.add_style_tag(content=TEXT_AND_JOURNEY)
        page.locator("main").screenshot(path=ROOT / PICTURE)
        browser.close()
    lengths = ", ".join(map(str, facts["lengths"]))
    words = (
        f"The live page has heard {facts['text']}. Rows on one time axis: the waveform of {facts['samples']} samples, "
        f"what seven convolutions leave of it ({lengths} positions), {facts['lengths'][-1]} frames, an image of "
        f"{facts['lengths'][-1]} columns of {facts['features']} features, and the letters where they were heard. "
        "One frame and its 400 samples are lit up in every row."
    )
    readme = ROOT / "README.md"
    text = re.sub(rf"!\[[^]]*\]\({PICTURE}\)", f"![{words}]({PICTURE})", readme.read_text(encoding="utf-8"))
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
