"""Threads and locks of the operating system, also where gevent or eventlet put greenlets in their place (G4).

A lock that one module took before the patching, waited for by a greenlet, stops the whole process. So what is made
here never depends on when something was patched, and whoever waits lets other greenlets run.
"""

import _thread
import sys
import threading
import time
from _queue import Empty, SimpleQueue
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any, Final

POLL_SECONDS: Final = 0.005


def find_original(module: ModuleType, name: str) -> Any:  # noqa: ANN401 - any function
    """Find what a module had under this name before gevent or eventlet replaced it."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module.__name__, name)
    patcher = sys.modules.get("eventlet.patcher")
    return getattr(module if patcher is None else patcher.original(module.__name__), name)


def make_lock() -> _thread.LockType:
    """Make a lock that excludes threads; never to be held where greenlets may switch, unless it is not waited for."""
    lock: _thread.LockType = find_original(_thread, "allocate_lock")()
    return lock


def pause(seconds: float) -> None:
    """Sleep, and let other greenlets run."""
    try:
        time.sleep(seconds)
    except Exception:  # noqa: BLE001 - gevent's own loop, in a signal handler, cannot be switched away from
        find_original(time, "sleep")(seconds)


class Latch:
    """Something that happens once, for threads and greenlets to wait for."""

    def __init__(self) -> None:
        self._is_set = False
        self._tokens: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        """Tell whether it has happened."""
        return self._is_set

    def set(self) -> None:
        """Let it have happened."""
        self._is_set = True
        self._tokens.put(None)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until it has happened; False when that took longer."""
        if find_original(time, "sleep") is time.sleep:
            if not self._is_set:
                with suppress(Empty):
                    self._tokens.get(timeout=max(timeout_seconds, 0.0))
                    # for the others who wait
                    self._tokens.put(None)
            return self._is_set
        deadline = time.monotonic() + timeout_seconds
        while not self._is_set and time.monotonic() < deadline:
            pause(POLL_SECONDS)
        return self._is_set


def _prepare_gevent() -> None:
    """Have gevent import what it does on first use: two threads that do so at once wait for each other for ever."""
    if "gevent.monkey" in sys.modules:
        with suppress(Exception):
            _ = import_module("gevent.hub").get_hub().resolver


class NativeThread:
    """A daemon thread that is none of a patched program's greenlets."""

    def __init__(self, run: Callable[[], object], name: str) -> None:
        self._run = run
        self._name = name
        self._ended = Latch()
        self._thread: threading.Thread | None = None
        self._ident: int | None = None

    def start(self) -> None:
        """Start it; raises RuntimeError where that cannot be (the interpreter is ending)."""
        start_new_thread = find_original(_thread, "start_new_thread")
        if start_new_thread is _thread.start_new_thread:
            self._thread = threading.Thread(target=self._run_and_tell, name=self._name, daemon=True)
            self._thread.start()
        else:
            _prepare_gevent()
            start_new_thread(self._run_and_tell, ())

    def is_current(self) -> bool:
        """Tell whether it is the one that asks."""
        return bool(self._ident == find_original(_thread, "get_ident")())

    def join(self, timeout_seconds: float) -> None:
        """Wait for its end, no longer than this."""
        if self._ended.wait(timeout_seconds) and self._thread is not None and not self.is_current():
            self._thread.join(timeout_seconds)

    def _run_and_tell(self) -> None:
        self._ident = find_original(_thread, "get_ident")()
        try:
            self._run()
        finally:
            self._ended.set()
