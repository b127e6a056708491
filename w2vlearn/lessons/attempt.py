"""Run a learner's code so that nothing it does reaches the notebook: errors, endless loops, prints, exits."""

from __future__ import annotations

import contextlib
import copy
import io
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Outcome", "attempt", "describe_error", "run_source"]


class TooLong(BaseException):
    """Raised inside code that runs too long; a BaseException, so that ``except Exception`` does not swallow it."""


@dataclass(frozen=True)
class Outcome:
    """What a call did: returned ``value``, or raised ``error``; and what it printed."""

    value: Any = None
    error: BaseException | None = None
    printed: str = ""


def attempt(function: Callable, arguments: tuple = (), seconds: float = 10.0) -> Outcome:
    """Call ``function`` with copies of ``arguments``, seeded, silenced and within ``seconds``; never raises."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), _random_state_kept(), _time_limit(seconds):
            value = function(*(_copied(argument) for argument in arguments))
        return Outcome(value, None, printed.getvalue())
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: a check never stops the notebook
        return Outcome(None, error, printed.getvalue())


def run_source(source: str, setup: str = "") -> dict[str, Any]:
    """Names that a cell defines, its setup run before it. Errors are the author's and are raised."""
    namespace: dict[str, Any] = {"__name__": "exercise"}
    exec(compile(setup, "<setup>", "exec"), namespace)
    exec(compile(source, "<cell>", "exec"), namespace)
    return namespace


def describe_error(error: BaseException) -> str:
    """The error in one line that is the same on every run: ``"ValueError: no clip"``."""
    if isinstance(error, TooLong):
        return "it did not finish in time (an endless loop?)"
    if isinstance(error, RecursionError):
        return "it calls itself without end (RecursionError)"
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    text = text if len(text) <= 200 else text[:199] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _copied(argument: Any) -> Any:
    """A copy, so that a function that changes its argument in place does not change the next case."""
    try:
        return copy.deepcopy(argument)
    except Exception:
        return argument


@contextlib.contextmanager
def _random_state_kept():
    """Every call starts from seed 0, and afterwards torch's random state is as it was."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    try:
        yield
    finally:
        torch.random.set_rng_state(state)


@contextlib.contextmanager
def _time_limit(seconds: float):
    """Stop the block after ``seconds``; without effect on Windows and outside the main thread."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
