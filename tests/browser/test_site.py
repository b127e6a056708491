"""The site in Chromium: from ``file://`` and from a local server, by mouse, keyboard and a fake microphone."""

from __future__ import annotations

import functools
import http.server
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import driver
import nbformat
import numpy as np
import pytest
import soundfile
import torch
from bs4 import BeautifulSoup

from w2vlearn import load

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 3_500_000  # bytes: most that may be read before the first transcript
NOTHING_FETCHED = {"preload": False}  # axe-core would read style sheets anew, which file:// forbids
WAIT = 120_000  # ms; a busy machine is no failure


sys.path.insert(0, str(ROOT / "site"))
import build  # noqa: E402


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The whole site, built once as ``make site`` does it. Its folder."""
    out = tmp_path_factory.mktemp("site") / "site"
    subprocess.run([sys.executable, ROOT / "site" / "build.py", "--out", out], check=True)
    return out


@pytest.fixture(scope="session")
def server(built):
    """The address of a local server of that folder."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=built)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(scope="session")
def clips():
    return build.stored_clips()


@pytest.fixture(scope="session")
def models():
    return {norm: load(build.DATA / f"digits_{norm}") for norm in build.NORMS}


class Visit(driver.Watched):
    """The live page in a window of its own, and the explorer in it where it is `whole`."""

    def __init__(self, chromium, address: str, **options):
        super().__init__(chromium.new_page(**{"viewport": {"width": 1000, "height": 900}} | options))
        self.page.set_default_timeout(WAIT)
        self.page.goto(address)
        self.settle(0)

    def whole(self) -> Visit:
        """Scroll to the explorer, which comes when a reader comes near."""
        self.page.locator("#explorer").scroll_into_view_if_needed()
        self.page.locator("#explorer-here .w2v-explorer").wait_for()
        return self

    def settle(self, before: int) -> None:
        """Wait until everything is drawn that was asked for after turn ``before``."""
        self.page.wait_for_function(f"Number(document.body.dataset.turn) > {before}")

    def after(self, action) -> None:
        """Do something, and wait until the page has drawn what follows."""
        before = int(self.page.locator("body").get_attribute("data-turn"))
        action()
        self.settle(before)

    def text(self, name: str) -> str:
        return self.page.locator(f"#{name}").inner_text().replace("\u202f", " ")

    def status(self) -> str:
        return self.page.locator("#recorder [role=status]").inner_text().replace("\u202f", " ")

    def says(self, words: str) -> None:
        """Wait until the recorder's status holds these words."""
        self.page.locator("#recorder [role=status]").filter(has_text=words).wait_for()


@pytest.fixture
def visit(chromium, built):
    """The live page opened from its folder. Fails at the end if a request left the machine or the console complains."""
    opened = Visit(chromium, f"file://{built}/index.html")
    yield opened
    opened.close()


def opening(built):
    """What the build chose to open the page with."""
    line = (built / "page.js").read_text(encoding="utf-8").splitlines()[0]
    return json.loads(line.removeprefix("const SITE = ").removesuffix(";"))


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_the_page_opens_with_everything_in_place(chromium, built, server, models, clips, scheme):
    """Text, lengths and table before anything is touched; little is read for it, and nothing from elsewhere."""
    address = f"file://{built}/index.html" if scheme == "file" else f"{server}/index.html"
    visit = Visit(chromium, address)
    first = next(clip for clip in clips if clip.name == opening(built)["first"])
    assert visit.text("heard") == build.transcript(models["layer"], first.waveform, len(first.waveform), None)
    lengths = build.FrameGeometry.from_config(models["layer"].config).lengths(len(first.waveform))
    labels = visit.page.locator("#alone .label").all_inner_texts()
    for index, length in enumerate(lengths):
        assert any(f"T{index + 1} = {length:,}".replace(",", "\u202f") in label for label in labels)
    before = [url for url in visit.asked if not url.endswith(("explorer.js", "explorer.css")) and "blob:" not in url]
    sizes = {url: (built / unquote(urlsplit(url).path.split(built.name + "/")[-1].lstrip("/"))).stat().st_size
             for url in before if "data:" not in url}  # fmt: skip
    assert 2_000_000 < sum(sizes.values()) <= AT_ONCE, sizes
    visit.whole().close()


@pytest.mark.parametrize("norm", build.NORMS)
def test_logits_are_those_of_the_package(visit, models, clips, norm):
    """Every stored clip alone, padded, padded with a mask and with an inverted one: 1e-3 at most."""
    for clip in clips:
        total = len(clip.waveform) * 3 // 2
        for length, mask in ((len(clip.waveform), None), *((total, mask) for mask in build.MASKS)):
            valid = {"on": len(clip.waveform), "inverted": total - len(clip.waveform)}.get(mask)
            numbers = visit.page.evaluate(
                """async ([norm, name, total, valid]) =>
                    Array.from((await ask(norm, await storedClip(name), total, valid)).logits)""",
                [norm, clip.name, length, valid],
            )
            expected = build.logits(models[norm], clip.waveform, length, mask)
            found = torch.tensor(numbers).view(expected.shape)
            torch.testing.assert_close(
                found, expected, atol=1e-3, rtol=0, msg=lambda m, c=clip, k=mask: f"{c.name} {k}: {m}"
            )


def test_padding_and_mask_do_what_lesson_5_says(visit, built, models, clips):
    """Each switch asks for a prediction first; then the page shows the package's text, and says why."""
    first = next(clip for clip in clips if clip.name == opening(built)["first"])
    total = opening(built)["total"]
    texts = build.outcomes(models, first.waveform, total)
    assert visit.text("text-company") == texts["layer", "alone"] and "moved by nothing" in visit.text("text-change")
    switches = [("layer", "off"), ("layer", "inverted"), ("group", "inverted"), ("group", "off"), ("group", "on")]
    for norm, mask in switches:
        for name, value in (("norm", norm), ("mask", mask)):
            radio = visit.page.locator(f"input[name={name}][value={value}]")
            if not radio.is_checked():
                visit.after(radio.check)
                assert visit.page.locator("#outcome").is_hidden(), "the answer was there before the prediction"
                visit.after(lambda: visit.page.get_by_role("button", name="The text changes").press("Enter"))
                assert visit.page.evaluate("document.activeElement.id") == "verdict"
        expected = texts[norm, mask]
        assert visit.text("text-alone") == texts[norm, "alone"]
        assert visit.text("text-company") == (expected or "(no letter)")
        assert ("You predicted that, rightly" in visit.text("verdict")) == (expected != texts[norm, "alone"])
        assert ("No later mask can undo" in visit.text("why")) == (norm == "group")
        if mask == "on":
            assert "moved by up to" in visit.text("text-change")  # group norm: the mask does not repair it


def test_the_row_grows_with_its_slider_and_its_company(visit, clips):
    longest = max(clips, key=lambda clip: len(clip.waveform))
    visit.after(lambda: visit.page.locator("#partner").select_option(longest.name))
    assert f"{len(longest.waveform):,} samples".replace(",", " ") in visit.text("total-value")
    slider = visit.page.locator("#total")
    before = int(slider.input_value())
    visit.after(lambda: slider.press("ArrowRight"))
    assert int(slider.input_value()) - before == pytest.approx(320, abs=319)
    assert visit.page.locator("#padded .padding").count() > 0


def test_by_keyboard_alone_and_by_pointing(visit):
    """Everything can be reached with Tab and moved with arrows; what is pointed at is lit and said in words."""
    reached, name = set(), "(({ id, name, textContent }) => id || name || textContent)(document.activeElement)"
    visit.page.locator("body").press("Home")
    for _ in range(60):
        visit.page.keyboard.press("Tab")
        reached.add(visit.page.evaluate(name))
        if "total" in reached:
            break
    assert {"play", "frame", "sample", "hear", "partner", "total", "Record"} <= reached
    visit.page.locator("#frame").focus()
    visit.page.keyboard.press("Home")
    visit.page.keyboard.press("ArrowRight")
    assert visit.text("pointed").startswith("Frame 1 is computed from samples 320 to 719")
    assert "79, 39, 19, 9, 4, 2 and at last 1" in visit.text("pointed")
    visit.page.locator("#sample").focus()
    visit.page.keyboard.press("Home")
    visit.page.keyboard.press("ArrowRight")
    assert visit.text("pointed") == "Sample 1, at 0.0001 s, is read by frame 0 alone."
    visit.page.evaluate("pointAt('sample', 350)")
    assert "frames 0 and 1" in visit.text("pointed")
    visit.page.locator("#hear").press("Enter")
    for strip, words in (("#alone .strip >> nth=0", "Sample "), ("#alone canvas", "Frame ")):
        visit.page.locator(strip).hover()  # its middle
        assert visit.text("pointed").startswith(words)
    assert visit.page.locator("#alone .highlight").count() == visit.page.locator("#alone .strip:not(.letters)").count()


def write(path: Path, samples, rate: int = 16_000) -> Path:
    soundfile.write(path, samples, rate)
    return path


def test_bad_input_is_answered_in_words_and_nothing_is_lost(visit, tmp_path):
    """Undecodable, silent and too short files leave the clip as it was; stereo, 8 kHz, ten minutes, drops are taken."""
    page, field = visit.page, visit.page.get_by_label("or a sound file")
    heard = visit.text("heard")
    (tmp_path / "letter.wav").write_text("no sound at all, only letters and more letters")
    bad = {
        tmp_path / "letter.wav": "not a sound that this browser can read",
        write(tmp_path / "silence.wav", np.zeros(16_000)): "is silent",
        write(tmp_path / "short.wav", np.ones(399) / 2): "has 399 samples; one frame needs 400",
    }
    for path, words in bad.items():
        field.set_input_files(path)
        visit.says(words)
        assert "stays." in visit.status() and visit.text("heard") == heard
    for error, words in (
        ("NotFoundError", "no microphone was found"),
        ("NotAllowedError", "not allowed to use the microphone"),
    ):
        refuse = f"async () => {{ throw new DOMException('', '{error}') }}"
        page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refuse} }}")
        page.get_by_role("button", name="Record").click()
        visit.says(words)
        assert visit.text("heard") == heard
    page.evaluate("() => { Object.defineProperty(navigator, 'mediaDevices', { value: undefined }) }")
    page.get_by_role("button", name="Record").click()
    visit.says("localhost or https only")

    noise = np.random.default_rng(0).normal(0, 0.1, (8000, 2))
    visit.after(lambda: field.set_input_files(write(tmp_path / "stereo.wav", noise, 8000)))
    assert "2 channels were averaged" in visit.status() and "8000 samples per second" in visit.status()
    assert "16 000 samples at 16 kHz" in visit.status()
    visit.after(lambda: field.set_input_files(write(tmp_path / "long.wav", np.tile(noise[:, 0], 600), 8000)))
    assert "lasts 600 s; the page takes the first 20" in visit.status()
    assert "999 frames" in visit.text("time")

    dropped = page.evaluate_handle(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "dropped.wav"));
            return data; }""",
        list(write(tmp_path / "dropped.wav", noise).read_bytes()),
    )
    visit.after(lambda: page.dispatch_event("main", "drop", {"dataTransfer": dropped}))
    assert visit.status().startswith("dropped.wav: 0.50 s")


def test_a_microphone_that_speaks_a_stored_clip(chromium, chromium_path, built, models, clips, tmp_path):
    """Chromium's fake microphone plays a file: half a second of silence, the clip, silence."""
    quiet = torch.zeros(8000)
    for clip in clips:  # one whose text a little silence does not move
        around = ((8000, 8000), (5000, 4000), (2000, 8000), (8000, 1000))
        waves = [torch.cat([quiet[:before], clip.waveform, quiet[:after]]) for before, after in around]
        texts = {build.transcript(models["layer"], wave, len(wave), None) for wave in waves}
        if texts == {clip.says}:
            break
    else:
        pytest.skip("no stored clip is recognised with silence around it")
    path = write(tmp_path / "speech.wav", torch.cat([quiet, clip.waveform, torch.zeros(160_000)]).numpy())
    arguments = [*driver.CHROMIUM_ARGUMENTS, f"--use-file-for-fake-audio-capture={path}%noloop"]
    browser = chromium.browser_type.launch(executable_path=chromium_path, args=arguments)
    visit = Visit(browser, f"file://{built}/index.html")
    visit.page.get_by_role("button", name="Record").press("Space")
    visit.page.get_by_role("button", name="Stop").wait_for()
    visit.page.wait_for_timeout(1000 + len(clip.waveform) // 16)
    visit.after(lambda: visit.page.get_by_role("button", name="Stop").press("Enter"))
    assert visit.status().startswith("your recording")
    assert visit.text("heard") == clip.says
    visit.close()
    browser.close()


@pytest.mark.parametrize("options", [
    {"viewport": {"width": 360, "height": 800}, "color_scheme": "dark", "reduced_motion": "reduce"},
    {"viewport": {"width": 1400, "height": 900}, "color_scheme": "light"},
])  # fmt: skip
def test_axe_finds_nothing_and_nothing_sticks_out(chromium, built, options):
    visit = Visit(chromium, f"file://{built}/index.html", **options).whole()
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= options["viewport"]["width"]
    assert not driver.complaints(visit.page, **NOTHING_FETCHED)
    visit.close()


def test_without_scripts_question_answer_and_table_are_there(chromium, built):
    page = chromium.new_page(java_script_enabled=False)
    page.goto(f"file://{built}/index.html")
    words = page.locator("body").inner_text()
    assert "Who turns one into the other?" in words and "The length of a clip only" in words
    assert page.locator("noscript svg").count() and "mask inverted" in words
    page.close()


@pytest.fixture(scope="session")
def pages(built):
    """Every page of the site, parsed: path -> soup."""
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in built.rglob("*.html")}


def test_every_link_anchor_and_image_leads_somewhere_here(built, pages):
    """Nothing is fetched from elsewhere: only links that a reader may follow lead outside."""
    names = {path: {tag["id"] for tag in soup.find_all(id=True)} for path, soup in pages.items()}
    broken = []
    for path, soup in pages.items():
        for tag in soup.find_all(["a", "link", "script", "img", "source", "audio", "video", "iframe", "object", "use"]):
            for attribute in ("href", "src", "data", "poster"):
                address = urlsplit(tag.get(attribute) or "")
                if address.scheme in ("http", "https", "mailto"):
                    if tag.name != "a":
                        broken.append((path.name, "fetched from elsewhere", tag[attribute]))
                elif address.scheme not in ("data", "javascript") and (address.path or address.fragment):
                    target = (path.parent / unquote(address.path)).resolve() if address.path else path
                    known = names.get(target, {unquote(address.fragment)})
                    if not target.is_file() or (address.fragment and unquote(address.fragment) not in known):
                        broken.append((path.name, "leads nowhere", tag[attribute]))
    for sheet in built.rglob("*.css"):
        rules = sheet.read_text(encoding="utf-8")
        fetched = re.findall(r"(?:url\(|@import )['\"]?(https?:[^'\")]+)", rules)
        broken += [(sheet.name, "fetched from elsewhere", url) for url in fetched]
    assert len(pages) > 15 and not broken


def test_the_lessons_are_the_notebooks_own(built, pages):
    """Headings, folds and outputs of each notebook are on its page, and every picture has a text."""
    lessons = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for lesson in lessons:
        soup = pages[built / "lessons" / "notebooks" / f"{lesson.stem}.html"]
        article = soup.find(attrs={"role": "main"})
        notebook = nbformat.read(lesson, as_version=4)
        prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        outside_fences = re.sub(r"^```.*?^```", "", prose, flags=re.M | re.S)
        titles = [re.sub(r"[*`_]", "", title) for title in re.findall(r"^#+ (.+)$", outside_fences, re.M)]
        shown = [re.sub(r"[#*`_¶]", "", tag.get_text()).strip() for tag in article.find_all(re.compile("^h[1-6]$"))]
        assert [title for title in titles if title not in shown] == [], lesson.stem
        assert len(article.find_all("summary")) >= prose.count("<summary>"), lesson.stem
        pictures = article.find_all("img") + article.find_all("svg", attrs={"role": "img"})
        assert all(tag.get("alt") or tag.get("aria-labelledby") or tag.get("aria-label") for tag in pictures), (
            lesson.stem
        )
        assert f"make lab LESSON={int(lesson.stem[:2])}" in article.get_text()
        moving = [
            cell for cell in notebook.cells if re.search(r"^(explore|slide)\(", cell.source, re.M) and cell.outputs
        ]
        assert article.get_text().count("Run this lesson to move it") >= len(moving), lesson.stem
        cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
        assert len(soup.select("div.cell_output")) >= len(cells), lesson.stem


@pytest.mark.parametrize(("scheme", "wide"), [("dark", 360), ("light", 800), ("light", 1400)])
def test_a_lesson_and_the_search_in_the_browser(chromium, built, scheme, wide):
    """From a folder, without a server: nothing is fetched, nothing sticks out, axe-core finds nothing, search works."""
    watched = driver.Watched(chromium.new_page(viewport={"width": wide, "height": 800}, color_scheme=scheme))
    watched.page.goto(f"file://{built}/lessons/notebooks/05_alone_or_in_a_batch.html")
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= wide
    assert not driver.complaints(watched.page, "article", **NOTHING_FETCHED)
    watched.page.goto(f"file://{built}/lessons/search.html?q=receptive+field")
    watched.page.locator("#search-results li a").first.wait_for()
    watched.close()
