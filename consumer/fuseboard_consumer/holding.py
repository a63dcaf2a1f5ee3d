"""The sign of life of a consumer with a batch in hand: without it its entries are soon taken over by others."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

log = logging.getLogger(__name__)


class Holding:
    """Calls `renew` every so often, in a thread of its own, while the process has entries in hand.

    A process that is killed or frozen stops calling, so a short time is enough to tell it from one that works long.
    """

    def __init__(self, renew: Callable[[], None], every_seconds: float) -> None:
        self._renew = renew
        self._every_seconds = every_seconds
        self._is_held = threading.Event()
        self._is_closed = threading.Event()
        # a daemon: a Redis that hangs must not hold up the process's end
        self._thread = threading.Thread(target=self._run, name="fuseboard-holding", daemon=True)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Renew until the block ends."""
        if self._thread.ident is None:
            self._thread.start()
        self._is_held.set()
        try:
            yield
        finally:
            self._is_held.clear()

    def close(self) -> None:
        """End the thread."""
        self._is_closed.set()
        self._is_held.set()

    def _run(self) -> None:
        # nearly all batches are done with before the first wait is over
        while self._is_held.wait() and not self._is_closed.wait(self._every_seconds):
            if not self._is_held.is_set():
                continue
            try:
                self._renew()
            except (RedisError, OSError) as error:
                # the drain meets the same, and says it
                log.debug("entries_not_renewed error=%r", str(error))
