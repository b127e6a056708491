"""Install requirements into this Python (``make lab`` calls it for .venv); say before what is downloaded, how large.

    .venv/bin/python tools/install.py requirements.txt

pip shows a bar for each file. On Linux a plain torch is the GPU build of some gigabytes: without an NVIDIA GPU the CPU
build is taken, unless pip is configured to look elsewhere, or a torch is installed already.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

CPU_BUILD = "https://download.pytorch.org/whl/cpu"  # PyTorch's own address for it (pytorch.org/get-started)
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
SECONDS = 15  # for one question to a server


def has_nvidia_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU with a driver."""
    return Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None


def pip_is_configured() -> bool:
    """Whether somebody told pip where packages come from: that is not ours to change."""
    listing = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True).stdout
    return bool(re.search(r"index-url|find-links|no-index", listing))


def wants_cpu_build() -> bool:
    """Whether PyTorch's CPU build must be asked for: other systems get it by default, or want the GPU build."""
    return (
        platform.system() == "Linux"
        and platform.machine() == "x86_64"
        and importlib.util.find_spec("torch") is None
        and not has_nvidia_gpu()
        and not pip_is_configured()
    )


def size(address: str) -> int | None:
    """Bytes of a file to download; None if the server does not say. A file on this machine counts nothing."""
    if urlsplit(address).scheme == "file":
        return 0
    try:
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return int(answer.headers["Content-Length"])
    except (OSError, TypeError, ValueError):
        return None


def downloads(arguments: list[str]) -> list[tuple[str, int | None]]:
    """What pip would download: (name and version, bytes). Empty if pip cannot tell."""
    line = [*PIP, "install", "--dry-run", "--quiet", "--report", "-", *arguments]
    done = subprocess.run(line, capture_output=True, text=True)
    items = [] if done.returncode else json.loads(done.stdout)["install"]
    files = [item for item in items if "dir_info" not in item["download_info"]]  # a folder is this project itself
    names = [f"{item['metadata']['name']} {item['metadata']['version']}" for item in files]
    with ThreadPoolExecutor(16) as pool:
        return list(zip(names, pool.map(size, [item["download_info"]["url"] for item in files]), strict=True))


def announcement(files: list[tuple[str, int | None]]) -> str:
    """What is downloaded, in words: how many packages, how large, the largest three by name."""
    if not files:
        return "Installing; how much there is to download cannot be told beforehand."
    known = sorted(((bytes_, name) for name, bytes_ in files if bytes_ is not None), reverse=True)
    total = sum(bytes_ for bytes_, _ in known) / 1e6
    largest = ", ".join(f"{name} {bytes_ / 1e6:.0f} MB" for bytes_, name in known[:3] if bytes_ >= 1e6)
    unknown = len(files) - len(known)
    return (
        f"Downloading {len(files)} packages, {total:.0f} MB"
        + (f" and {unknown} of unknown size" if unknown else "")
        + (f" (most of it: {largest})" if largest else "")
        + ". Once; later starts take seconds."
    )


def install(arguments: list[str]) -> None:
    """Announce, then install; pip's own words and bars are shown. Where nobody reads it (CI) nothing is announced."""
    if not os.environ.get("CI"):
        print(announcement(downloads(arguments)), flush=True)
    subprocess.run([*PIP, "install", *arguments], check=True)


def reachable(address: str) -> bool:
    """Whether a server answers there."""
    try:
        urllib.request.urlopen(address, timeout=SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def main() -> None:
    requirements = sys.argv[1:]
    print("Looking what is needed ...", flush=True)
    if wants_cpu_build():
        text = "\n".join(Path(path).read_text(encoding="utf-8") for path in requirements)
        torch = re.search(r"^torch==[\w.]+", text, re.M)[0]
        if reachable(CPU_BUILD):
            print("No NVIDIA GPU here: PyTorch in its CPU build, which is ten times smaller.", flush=True)
            install([torch, "--index-url", CPU_BUILD])
        else:
            print(f"{CPU_BUILD} does not answer: PyTorch comes in its default build, some gigabytes.", flush=True)
    install([part for path in requirements for part in ("-r", path)])


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.returncode) from None
