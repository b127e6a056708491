"""Run a learner's code so that nothing it does reaches the notebook: errors, endless loops, prints, exits, input."""

from __future__ import annotations

import builtins
import contextlib
import copy
import io
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

__all__ = ["Asked", "Outcome", "TooLong", "attempt", "describe_error", "run_source"]

AGAIN = 0.05  # seconds until code that caught `TooLong` is interrupted once more


class TooLong(BaseException):
    """Raised inside code that runs too long; a BaseException, so that ``except Exception`` does not swallow it.

    A bare ``except:`` does. So the next line that runs raises it once more: that line stands outside the ``try``.
    """

    def __init__(self):
        frame = sys._getframe(1)
        while frame is not None and frame.f_code is not attempt.__code__:
            if frame.f_code.co_filename not in (__file__, contextlib.__file__):
                frame.f_trace = _raise_at_next_line
            frame = frame.f_back
        sys.settrace(lambda *_: None)  # switches tracing on, for these frames only; Python ends it when one has raised


def _raise_at_next_line(frame: FrameType, event: str, argument: Any) -> Callable:
    """A trace function, as `sys.settrace` wants it."""
    if event == "line":
        raise TooLong
    return _raise_at_next_line


def _call(function: Callable, arguments: tuple) -> Iterator[Any]:
    """The result, from a generator: Python forgets with it which exception was being handled when a line raised."""
    yield function(*arguments)


class Asked(BaseException):
    """Raised where code asks for keyboard input, which nobody would answer."""


@dataclass(frozen=True)
class Outcome:
    """What a call did.

    Attributes
    ----------
    value : object
        What it returned.
    error : BaseException or None
        What it raised instead.
    printed : str
        What it wrote to standard output.
    arguments : tuple
        The copies that it was called with, as it left them.
    """

    value: Any = None
    error: BaseException | None = None
    printed: str = ""
    arguments: tuple = ()


def attempt(function: Callable, arguments: tuple = (), seconds: float = 10.0) -> Outcome:
    """Call ``function`` with copies of ``arguments``, seeded, silenced and within ``seconds``; never raises.

    What cannot be interrupted: code in C until it returns to Python (a large matrix product; on Linux and macOS a sleep
    can); on Windows and outside the main thread, an endless loop that catches every exception.
    """
    printed, copies = io.StringIO(), tuple(_copied(argument) for argument in arguments)
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(io.StringIO()),
            _nobody_answers(),
            _random_state_kept(),
            _time_limit(seconds),
        ):
            value = next(_call(function, copies))
        return Outcome(value, None, printed.getvalue(), copies)
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: a check never stops the notebook
        return Outcome(None, error, printed.getvalue(), copies)


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
    if isinstance(error, Asked):
        return "it asks for input(); everything that it needs is in its arguments"
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
def _nobody_answers() -> Iterator[None]:
    """``input()`` and ``breakpoint()`` break off instead of waiting for a person."""

    def ask(*_: object, **__: object) -> None:
        raise Asked

    before, builtins.input = builtins.input, ask
    hook, sys.breakpointhook = sys.breakpointhook, ask
    try:
        yield
    finally:
        builtins.input, sys.breakpointhook = before, hook


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    """Every call starts from seed 0, and afterwards torch's random state is as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `TooLong` in the block after ``seconds``, and again until it ends: ``except:`` may catch the first."""
    main, tracer = threading.current_thread() is threading.main_thread(), sys.gettrace()
    try:
        with _alarm(seconds) if main and hasattr(signal, "setitimer") else _watched(seconds):
            yield
    finally:
        sys.settrace(tracer)


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """A signal of the operating system: Linux and macOS, main thread. It ends a sleep, too."""

    over = []

    def stop(number: int, frame: FrameType | None) -> None:
        if not over:
            raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        try:
            over.append(True)  # an alarm may still fall before this line, none after it
        finally:
            over.append(True)
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _watched(seconds: float) -> Iterator[None]:
    """Look at the clock before every step of Python: Windows, and threads other than the main one."""
    deadline = time.monotonic() + seconds

    def watch(frame: FrameType, event: str, argument: Any) -> Callable:
        frame.f_trace_opcodes = True  # ``while True: pass`` is one line that never ends
        if event == "opcode" and time.monotonic() > deadline:
            raise TooLong
        return watch

    sys.settrace(watch)
    yield
