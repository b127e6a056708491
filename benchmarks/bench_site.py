"""The live page in Chromium: 2 s of speech in 0.5 s, and at most 3.5 MB read before the first transcript.

It measures what ``make site`` has built in build/site.
"""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import sync_playwright

PAGE = Path(__file__).parents[1] / "build" / "site" / "index.html"
ROUNDS = 9
# Another clip each time, so that no answer is remembered; 32 000 samples are 2 s.
RUN = """async ([norm, rounds]) => {
    const times = [];
    for (let i = 0; i < rounds; i++) {
        const clip = Float32Array.from({ length: 32000 }, (_, n) => state.clip[(n + i) % state.clip.length]);
        times.push((await ask(norm, clip, clip.length, null)).milliseconds);
    }
    return times;
}"""


def main() -> None:
    """Print the bytes read, the first time, and the median of the later ones, for both norms."""
    if not PAGE.is_file():
        raise SystemExit(f"{PAGE} is not there: run `make site` first")
    read = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: read.append(urlsplit(request.url)))
        page.goto(PAGE.as_uri())
        page.wait_for_function("Number(document.body.dataset.turn) > 0", timeout=120_000)
        size = sum(Path(unquote(url.path)).stat().st_size for url in read if url.scheme == "file")
        print(f"read before the first transcript and what follows it at once: {size / 1e6:.2f} MB (promised: 3.5)")
        for norm in ("layer", "group"):
            first, *later = page.evaluate(RUN, [norm, ROUNDS + 1])
            median = statistics.median(later)
            print(f"{norm} norm, 2 s of speech (promised: 500 ms): first {first:.0f} ms, then {median:.0f}")
        browser.close()


if __name__ == "__main__":
    main()
