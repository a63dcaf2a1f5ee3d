"""Waiting for something that another process does."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], timeout_seconds: float = 30.0) -> None:
    """Return once `condition()` is true; fail the test when that takes longer than a generous bound."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true within {timeout_seconds} s"
        time.sleep(0.02)
