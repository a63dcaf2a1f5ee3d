"""A Redis that is away or refuses: told once, tried again after waits that grow."""

import logging
import threading
import time
from typing import Final

log = logging.getLogger(__name__)

RETRY_FIRST_SECONDS: Final = 0.2
RETRY_MAX_SECONDS: Final = 3.0


class Outage:
    """What a consumer knows of the outage it is in, if it is in one. Belongs to one thread."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._began_at: float | None = None
        self._failed_at = 0.0
        self._wait_seconds = RETRY_FIRST_SECONDS

    @property
    def is_on(self) -> bool:
        """Whether one has been told of that has not ended."""
        return self._began_at is not None

    def tell(self, error: Exception) -> None:
        """Say in one line that it began; what comes after is the same outage."""
        if self._began_at is None:
            self._began_at = time.monotonic()
            log.warning("redis_unavailable action=waiting error=%r", str(error)[:300])

    def wait(self) -> None:
        """Wait before the next try: longer each time, and shortly again after a good while."""
        if time.monotonic() - self._failed_at > 2 * RETRY_MAX_SECONDS:
            self._wait_seconds = RETRY_FIRST_SECONDS
        self._stopping.wait(self._wait_seconds)
        self._failed_at = time.monotonic()
        self._wait_seconds = min(self._wait_seconds * 2, RETRY_MAX_SECONDS)

    def end(self) -> None:
        """Say that it is over, if there was one."""
        if self._began_at is not None:
            log.info("redis_resumed seconds=%.1f", time.monotonic() - self._began_at)
        self._began_at = None
