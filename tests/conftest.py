"""What all tests share: no network, fixed seeds, the three clips of the documentation, models built once."""

from __future__ import annotations

import os
import socket

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything reads it: no test fetches a model

import pytest
import torch
from hypothesis import HealthCheck, settings

# The same examples on every run and machine, and no time limit per example: a busy machine is no failure.
settings.register_profile("w2vlearn", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("w2vlearn")

LENGTHS = (16_000, 23_456, 40_000)  # the clips that issue, README and lesson 00 use


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """Connecting to another machine is an error: the course works offline."""
    connect = socket.socket.connect

    def guarded(self, address):
        local = self.family == getattr(socket, "AF_UNIX", None) or (
            isinstance(address, tuple) and address[0] in ("127.0.0.1", "::1", "localhost")
        )
        if not local:
            raise RuntimeError(f"a test tried to connect to {address}: tests run offline")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same random state, whichever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def clips() -> list[torch.Tensor]:
    """Three clips of noise of 16000, 23456 and 40000 samples. Do not change them in place."""
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(length, generator=generator) for length in LENGTHS]


@pytest.fixture(scope="session")
def batch(clips):
    """The three clips, padded: waveforms (3, 40000)."""
    from w2vlearn.batch import pad

    return pad(clips)


def _ctc(preset: str):
    """Our model of a preset, seeded, in eval mode."""
    from w2vlearn.config import Wav2Vec2Config
    from w2vlearn.model import Wav2Vec2ForCTC

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Wav2Vec2ForCTC(Wav2Vec2Config.from_preset(preset)).eval()


@pytest.fixture(scope="session")
def tiny():
    """TINY with a CTC head, random weights, eval mode. Shared: leave weights and mode as they are."""
    return _ctc("tiny")


@pytest.fixture(scope="session")
def base():
    """BASE with a CTC head, random weights, eval mode. Shared: leave weights and mode as they are."""
    return _ctc("base")
