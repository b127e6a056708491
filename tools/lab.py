"""Open JupyterLab on the first lesson (``make lab``) or another (``--lesson 5``). Other arguments go to JupyterLab."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def has_screen() -> bool:
    """Whether a browser window could open here."""
    if os.environ.get("CI") or os.environ.get("SSH_CONNECTION"):
        return False
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def lesson(number: str) -> str | None:
    """The notebook of a lesson, as a path from the top of the project; None if there are no lessons.

    Raises
    ------
    SystemExit
        If there are lessons, but not this one: says which there are.
    """
    names = {str(int(path.name[:2])): path.name for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
    if names and number not in names:
        raise SystemExit(f"there is no lesson {number}; there are {', '.join(names)}")
    return f"notebooks/{names[number]}" if names else None


def command(arguments: list[str], number: str = "0") -> list[str]:
    """The command line of JupyterLab for this machine and this user; what ``arguments`` set goes before our choices."""
    ours = {
        "--ServerApp.root_dir": str(ROOT),  # and not notebooks/: lessons link to the code that they explain
        "--LabApp.app_settings_dir": str(ROOT / "tools" / "lab_settings"),  # no question about news, no update check
        "--Application.log_level": "WARN",  # so that the address is not lost among forty lines of log
        "--KernelManager.transport_encryption": "auto",  # where kernels can; they warn in the terminal otherwise
        # Without this the server drops uploads above 10 MB (a minute of stereo at 44.1 kHz) and says nothing.
        "--ServerApp.tornado_settings": '{"websocket_max_message_size": 209715200}',
    }
    if path := lesson(number):
        ours["--LabApp.default_url"] = f"/lab/tree/{path}"
    given = {argument.partition("=")[0] for argument in arguments}
    line = [sys.executable, "-m", "jupyterlab"]
    line += [f"{name}={value}" for name, value in ours.items() if name not in given]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # in a container; JupyterLab refuses root otherwise
        line += ["--allow-root"]
    if not has_screen():
        line += ["--no-browser"]
    return line + arguments


def main() -> None:
    """Replace this process by JupyterLab, so that Ctrl-C reaches it."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--lesson", default="0", help="number of the lesson to open")
    ours, others = parser.parse_known_args()
    if not has_screen():
        print("No screen here: open the address that JupyterLab prints below (it ends in ?token=...).", flush=True)
    line = command(others, ours.lesson)
    if os.name == "nt":
        import subprocess

        raise SystemExit(subprocess.call(line))
    os.execv(line[0], line)


if __name__ == "__main__":
    main()
