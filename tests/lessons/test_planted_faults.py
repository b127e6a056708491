"""Faults planted in a copy of the package: none goes unseen by both unit tests and lessons.

The quick form: a fault's unit test, and only if that stays green, its lesson. ``make faults`` tries both for every
fault.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from faults import FAULTS, Fault

from tools.lessons import ROOT

SCRIPT = str(ROOT / "tools" / "faults.py")


@pytest.fixture(scope="module")
def results() -> dict[str, dict]:
    if not hasattr(os, "fork"):
        pytest.skip("planting faults needs os.fork")
    line = [sys.executable, SCRIPT, "--quick", "--json"]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=1200)
    lines = [json.loads(row) for row in ran.stdout.splitlines()]
    assert len(lines) == len(FAULTS), ran.stderr
    return {result["name"]: result for result in lines}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_seen(fault, results):
    result = results[fault.name]
    assert "seen" in (result["unit"], result["lesson"]), f"nobody sees it.\n{result['log']}"


def test_the_list():
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
    assert all(fault.unit or fault.lesson is not None for fault in FAULTS)
    assert len(FAULTS) >= 15


def test_no_fault_is_not_seen(tmp_path):
    """A fault that changes nothing is reported as unseen, and one that no longer applies as such."""
    from tools import faults as tool

    harmless = Fault("a comment", "w2vlearn/batch.py", "# [(L_i,)] -> (B, L)", "# [(L_i,)] to (B, L)", unit="x")
    with tool.scratch_copy() as folder:
        with tool.planted(harmless, folder):
            assert "to (B, L)" in (folder / harmless.file).read_text(encoding="utf-8")
        assert "to (B, L)" not in (folder / harmless.file).read_text(encoding="utf-8")
        with (
            pytest.raises(ValueError, match="stands 0 times"),
            tool.planted(Fault("gone", "w2vlearn/batch.py", "no such line", ""), folder),
        ):
            pass
    assert not tool.is_seen({"unit": "unseen", "lesson": None})
    assert not tool.is_seen({"unit": "broken", "lesson": None})
    assert tool.is_seen({"unit": "seen", "lesson": "seen"})
