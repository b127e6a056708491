"""Run a learner's code so that nothing it does reaches the notebook: errors, endless loops, prints, exits, input."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import io
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any
from unittest import mock

import torch

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


class Asked(BaseException):
    """Raised where code asks for keyboard input, which nobody would answer."""


def _ask(*_: object, **__: object) -> None:
    raise Asked


@dataclass(frozen=True)
class Outcome:
    """What a call did."""

    value: Any = None  # what it returned
    error: BaseException | None = None  # what it raised instead
    printed: str = ""  # what it wrote to standard output
    arguments: tuple = ()  # the copies that it was called with, as it left them


def attempt(function: Callable, arguments: tuple = (), seconds: float = 10.0) -> Outcome:
    """Call ``function`` with copies of ``arguments``, seeded, silenced and within ``seconds``; never raises.

    ``input()`` and ``breakpoint()`` break off instead of waiting for a person; torch's random state stays as it was.
    What cannot be interrupted: code in C until it returns to Python (a large matrix product; a sleep on Windows and
    outside the main thread).
    """
    printed, copies = io.StringIO(), tuple(_copied(argument) for argument in arguments)
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(io.StringIO()),
            mock.patch("builtins.input", _ask),
            mock.patch("sys.breakpointhook", _ask),
            torch.random.fork_rng(devices=[]),
            _time_limit(seconds),
        ):
            torch.manual_seed(0)
            value = next(_call(function, copies))
        return Outcome(value, None, printed.getvalue(), copies)
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: a check never stops the notebook
        return Outcome(None, error, printed.getvalue(), copies)


def _call(function: Callable, arguments: tuple) -> Iterator[Any]:
    """The result, from a generator: Python forgets with it which exception was being handled when a line raised."""
    yield function(*arguments)


def _copied(argument: Any) -> Any:
    """A copy, so that a function that changes its argument in place does not change the next case."""
    try:
        return copy.deepcopy(argument)
    except Exception:
        return argument


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `TooLong` in the block after ``seconds``, and again until it ends: ``except:`` may catch the first.

    Another thread watches the clock and has Python raise in this one, on every system and in every thread alike. A
    signal, where there are signals, wakes the main thread from a sleep.
    """
    running, tracer, thread = threading.Lock(), sys.gettrace(), ctypes.c_ulong(threading.get_ident())
    running.acquire()
    is_woken = threading.current_thread() is threading.main_thread() and hasattr(signal, "pthread_kill")
    handler = signal.signal(signal.SIGALRM, lambda *_: None) if is_woken else None

    def watch() -> None:
        wait = seconds
        while not running.acquire(timeout=wait):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(TooLong))
            if is_woken:
                signal.pthread_kill(thread.value, signal.SIGALRM)
            wait = AGAIN

    watcher = threading.Thread(target=watch, daemon=True)
    try:
        watcher.start()
        yield
    finally:
        try:
            running.release()  # one call in C, so it happens even where the watcher has just struck
        finally:
            try:
                watcher.join()
            finally:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, None)
                sys.settrace(tracer)
                if is_woken:
                    signal.signal(signal.SIGALRM, handler)


def run_source(source: str) -> dict[str, Any]:
    """Names that a cell defines. Errors are the author's and are raised."""
    namespace: dict[str, Any] = {"__name__": "exercise"}
    exec(compile(source, "<cell>", "exec"), namespace)
    return namespace


TOLD = {
    TooLong: "it did not finish in time (an endless loop?)",
    Asked: "it asks for input(); everything that it needs is in its arguments",
    RecursionError: "it calls itself without end (RecursionError)",
    KeyboardInterrupt: "it was interrupted",
}


def describe_error(error: BaseException) -> str:
    """The error in one line that is the same on every run: ``"ValueError: no clip"``."""
    for kind, told in TOLD.items():
        if isinstance(error, kind):
            return told
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    text = text if len(text) <= 200 else text[:199] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
