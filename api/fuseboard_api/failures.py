"""Bounding how often one address may present secrets that nobody has."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

FAILURES_MAX: Final = 20
WINDOW_SECONDS: Final = 60.0
ADDRESSES_MAX: Final = 10_000


class FailureLimiter:
    """Counts failures per address in windows, in this process; beyond ADDRESSES_MAX the longest known are forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def read_wait_seconds(self, address: str) -> float:
        """Say how long this address has to wait before it may try another secret; 0 for not at all."""
        with self._lock:
            started_at, failures = self._windows.get(address, (0.0, 0))
        left_seconds = started_at + WINDOW_SECONDS - self._clock()
        return max(0.0, left_seconds) if failures >= FAILURES_MAX else 0.0

    def note_failure(self, address: str) -> None:
        """Count one."""
        now = self._clock()
        with self._lock:
            started_at, failures = self._windows.get(address, (now, 0))
            if now - started_at >= WINDOW_SECONDS:
                started_at, failures = now, 0
            self._windows[address] = started_at, failures + 1
            self._windows.move_to_end(address)
            if len(self._windows) > ADDRESSES_MAX:
                self._windows.popitem(last=False)
