"""Pages of Chromium that are watched, and JupyterLab driven as a learner would: open a notebook, run it, look at it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "w2vlearn-test"
CHROMIUM_ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",  # a microphone that beeps
    "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip


class Lab:
    """A JupyterLab server of its own, as `make lab` starts it, on a free port, settings and files in ``folder``."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.notebooks = folder / "work" / "notebooks"
        self.log = folder / "jupyterlab.log"
        self.url = ""

    def __enter__(self) -> Lab:
        shutil.copytree(ROOT / "notebooks", self.notebooks, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        own = {
            name: str(self.folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
        }
        line = [sys.executable, str(ROOT / "tools" / "lab.py"), "--no-browser", f"--ServerApp.port={port}"]
        line += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}", "--ServerApp.ip=127.0.0.1"]
        line += [f"--ServerApp.root_dir={self.folder / 'work'}", "--LabApp.default_url=/lab"]
        line += ["--LabApp.expose_app_in_browser=True"]  # window.jupyterapp, for `LabPage.prompts`
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(line, stdout=log, stderr=log, env={**os.environ, **own}, cwd=self.folder)
        try:
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._process.terminate()  # the server shuts its kernels down
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_up(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(requests.RequestException):
                self.api("status")
                return
            time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not come up in {seconds} s:\n{self.log.read_text()[-3000:]}")

    def api(self, path: str, method: str = "GET"):
        """What the server's REST interface answers to ``/api/path``, parsed."""
        answer = requests.request(method, f"{self.url}/api/{path}", params={"token": TOKEN}, timeout=20)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def kernel_state(self, name: str) -> str | None:
        """What the kernel of notebook ``name`` does ("idle", "busy", ...); None if nobody is connected to one."""
        for session in self.api("sessions"):
            if session["path"] == f"notebooks/{name}" and session["kernel"]["connections"]:
                return session["kernel"]["execution_state"]
        return None

    def stop_kernels(self) -> None:
        """End every kernel, so that the next test starts from nothing."""
        for session in self.api("sessions"):
            with contextlib.suppress(requests.HTTPError):
                self.api(f"sessions/{session['id']}", "DELETE")

    def add(self, name: str, *cells: str) -> str:
        """Write a notebook; a cell that starts with '#' is markdown, others are code. Returns its name."""
        notebook = nbformat.v4.new_notebook(
            metadata={"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
        )
        for source in cells:
            new = nbformat.v4.new_markdown_cell if source.startswith("#") else nbformat.v4.new_code_cell
            notebook.cells.append(new(source))
        nbformat.write(notebook, self.notebooks / name)
        return name


class Watched:
    """One page: Playwright's own as ``.page``, the addresses it ``asked`` for, and the ``errors`` of its console."""

    def __init__(self, page):
        self.page = page
        self.asked: list[str] = []
        self.errors: list[str] = []
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))

    @property
    def outside(self) -> list[str]:
        """What was asked of another machine."""
        inside = ("data", "blob", "about", "file")
        addresses = [(url, urlsplit(url)) for url in self.asked]
        return [
            url for url, at in addresses if at.scheme not in inside and at.hostname not in ("127.0.0.1", "localhost")
        ]

    def close(self) -> None:
        """Close the page; it must have stayed quiet and at home."""
        self.page.close()
        assert not self.outside, f"requests that left this machine: {self.outside}"
        assert not self.errors, f"errors in the browser's console: {self.errors}"


def complaints(page, context: str | None = None, **options) -> list:
    """What axe-core (WCAG: names, roles, contrast) does not like on a page, each with the elements' HTML."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core comes with the tests' pins")
    report = axe.Axe().run(page, context=context, options=options).response
    assert len(report["passes"]) > 10
    return [(rule["id"], [node["html"][:200] for node in rule["nodes"]][:3]) for rule in report["violations"]]


class LabPage(Watched):
    """One page of JupyterLab."""

    def __init__(self, page, lab: Lab):
        super().__init__(page)
        self.lab = lab
        self.name: str | None = None
        page.set_default_timeout(30_000)

    def open_lesson(self, name: str, seconds: float = 60) -> None:
        """Open ``notebooks/name`` alone in a fresh workspace and wait until its kernel is idle and connected."""
        self.name = name
        self.page.goto(f"{self.lab.url}/lab/workspaces/auto-t{time.time_ns()}/tree/notebooks/{name}?token={TOKEN}")
        self.page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell")
        self.wait_until_idle(seconds)
        self.page.wait_for_timeout(500)  # the front end hears of it a little later than the server

    def wait_until_idle(self, seconds: float = 60) -> None:
        """Wait until the notebook's kernel has nothing to do."""
        end = time.monotonic() + seconds
        while self.lab.kernel_state(self.name) != "idle":
            if time.monotonic() > end:
                raise TimeoutError(f"the kernel of {self.name} is {self.lab.kernel_state(self.name)} after {seconds} s")
            self.page.wait_for_timeout(100)

    def run_all(self, seconds: float = 120) -> None:
        """Run > Run All Cells, and wait until the last code cell has its number."""

        def click() -> None:
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

        end, quiet = time.monotonic() + seconds, 0
        click()
        while not (prompts := self.prompts()) or not all(map(str.isdigit, prompts)):
            if time.monotonic() > end:
                raise TimeoutError(f"not all cells of {self.name} ran in {seconds} s: {prompts}")
            quiet = quiet + 1 if self.lab.kernel_state(self.name) == "idle" and "*" not in prompts else 0
            if quiet == 50:  # 5 s of an idle kernel and nothing waiting: the click came before the page was ready
                click()
            self.page.wait_for_timeout(100)
        self.wait_until_idle(seconds)
        self.page.wait_for_timeout(300)  # outputs are drawn a frame after the kernel falls silent

    def prompts(self) -> list[str]:
        """What stands in the brackets beside each code cell that holds something: "", "*" or a number."""
        # JupyterLab draws only the cells in view, so this asks its model and not the page.
        return self.in_notebook("""panel.content.widgets
            .filter(cell => cell.model.type === 'code' && cell.model.sharedModel.getSource().trim())
            .map(cell => cell.model.executionState === 'running' ? '*' : String(cell.model.executionCount ?? ''))""")

    def in_notebook(self, script: str, argument: str | None = None):
        """The value of a JavaScript expression in ``panel``, the notebook that is seen, and ``argument``."""
        panels = "[...window.jupyterapp.shell.widgets('main')]"
        return self.page.evaluate(
            f"""(argument) => {{
                const panel = {panels}.find(w => w.isVisible && w.content?.model?.cells);
                return panel ? {script} : [];
            }}""",
            argument,
        )
