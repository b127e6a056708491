"""JupyterLab in Chromium, for tests: `lab` is the server, `page` a page of it that must stay quiet and at home."""

from __future__ import annotations

import os
import shutil

import driver
import pytest


def _chromium() -> str | None:
    """The browser: W2VLEARN_CHROMIUM if set, else the first that is installed."""
    named = os.environ.get("W2VLEARN_CHROMIUM")
    candidates = [named] if named else ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    return next(filter(None, map(shutil.which, candidates)), None)


def pytest_collection_modifyitems(items):
    """Everything below this folder carries the mark `browser` (pytest -m "not browser" leaves it out)."""
    for item in items:
        if "browser" in item.path.parent.parts:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser's executable. Without one installed: skipped on a learner's machine, a failure under CI."""
    executable = _chromium()
    if executable is None:
        message = (
            "NO BROWSER: JupyterLab goes untested. Install Chromium (apt install chromium) or set W2VLEARN_CHROMIUM."
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return executable


@pytest.fixture(scope="session")
def chromium(chromium_path):
    """A Chromium without windows."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=driver.CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    """A running JupyterLab (`driver.Lab`) with a copy of the lessons in ``notebooks/``; `lab.add` adds more."""
    with driver.Lab(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture
def page(chromium, lab, request):
    """A fresh page (`driver.LabPage`). The test fails if the console shows an error or a request leaves this machine.

    ``@pytest.mark.parametrize("page", [{"color_scheme": "dark"}], indirect=True)`` hands options to Playwright's
    ``new_context`` (``color_scheme``, ``viewport``, ...).
    """
    options = {"viewport": {"width": 1280, "height": 1600}, **getattr(request, "param", {})}
    context = chromium.new_context(**options)
    opened = driver.LabPage(context.new_page(), lab)
    yield opened
    context.close()
    lab.stop_kernels()
    opened.close()
