"""Waiting for something that another process does, or for a better time."""

import time
from collections.abc import Callable
from typing import Final

DAY_SECONDS: Final = 86_400


def wait_until(condition: Callable[[], object], timeout_seconds: float = 30.0) -> None:
    """Return once `condition()` is true; fail the test when that takes longer than a generous bound."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true within {timeout_seconds} s"
        time.sleep(0.02)


def wait_out_midnight(margin_seconds: float = 60.0) -> None:
    """Return at once, or after a midnight of UTC that is close: what is of today stays so until the test has ended."""
    left_seconds = DAY_SECONDS - time.time() % DAY_SECONDS
    if left_seconds < margin_seconds:
        # and a moment for a server whose clock is behind
        time.sleep(left_seconds + 0.5)
