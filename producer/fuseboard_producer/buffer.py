"""The bounded buffer between callers, who never wait, and the flusher, who sleeps until there is work."""

from _queue import Empty, SimpleQueue
from collections import deque
from contextlib import suppress
from typing import Any, Final

from fuseboard_producer.native import Latch

Fields = dict[str, Any]
NEVER: Final = 1 << 62


class Mark(Latch):
    """A place in the buffer; set once everything before it has left."""


class Buffer:
    """Any number of threads add, one takes.

    Adding takes no lock: `deque.append` is one step of the interpreter, and `SimpleQueue.put` may even interrupt
    itself (a signal handler that records). The taker announces by `_wake_at` at which length it wants to be woken,
    so that a burst wakes it once and not once per event.
    """

    def __init__(self, max_events: int) -> None:
        self.max_events = max_events
        self._items: deque[Fields | Mark] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._wake_at = 1
        self._is_hurried = False

    def __len__(self) -> int:
        return len(self._items)

    def add(self, fields: Fields) -> bool:
        """Add one event; return False when the buffer is full."""
        items = self._items
        if len(items) >= self.max_events:
            return False
        items.append(fields)
        if len(items) >= self._wake_at:
            # always followed by a put, so the taker cannot sleep through it
            self._wake_at = NEVER
            self._wake.put(None)
        return True

    def add_mark(self) -> Mark:
        """Mark the present end and wake the taker, who does not linger then."""
        mark = Mark()
        self._items.append(mark)
        self.hurry()
        return mark

    def hurry(self) -> None:
        """Wake the taker."""
        self._is_hurried = True
        self._wake.put(None)

    def wait(self, *, idle_seconds: float | None, linger_seconds: float, linger_max_events: int) -> None:
        """Sleep until something is there, then linger for more of it, unless somebody is in a hurry."""
        self._sleep(1, idle_seconds)
        if self._items and linger_seconds > 0:
            self._sleep(linger_max_events, linger_seconds)
        self._is_hurried = False

    def take(self, max_events: int) -> tuple[list[Fields], Mark | None]:
        """Take the oldest events, up to and with the next mark."""
        events: list[Fields] = []
        # another thread may take as well when this process is ending
        with suppress(IndexError):
            while len(events) < max_events:
                item = self._items.popleft()
                if isinstance(item, Mark):
                    return events, item
                events.append(item)
        return events, None

    def _sleep(self, wake_at: int, timeout_seconds: float | None) -> None:
        while not self._wake.empty():
            self._wake.get_nowait()
        # emptied before this line, looked at after it: an event added in between is seen or has put a token
        self._wake_at = wake_at
        if len(self._items) < wake_at and not self._is_hurried:
            with suppress(Empty):
                self._wake.get(timeout=timeout_seconds)
        self._wake_at = NEVER
