"""What a producer counts."""

from dataclasses import dataclass
from itertools import count

from fuseboard_producer.native import make_lock


@dataclass(frozen=True, slots=True)
class Counters:
    """One reading, in events of this process unless said otherwise.

    recorded: given to `record()`. sent: taken by Redis straight from the buffer. spooled: written to the spool.
    spool_drained: sent from the spool, whichever process had written them. dropped: lost because buffer and spool
    were full or unusable, or the producer was closed. bad: refused by the event's rules, and sent all the same.
    buffer_events: waiting in memory now. spool_bytes: waiting in the spool now, of all processes.
    """

    recorded: int
    sent: int
    spooled: int
    spool_drained: int
    dropped: int
    bad: int
    buffer_events: int
    spool_bytes: int


class LockFreeCounter:
    """Count from any thread, signal handlers included, without a lock and without losing one."""

    def __init__(self) -> None:
        self._count = count()
        self._readings = 0
        self._reading = make_lock()

    def increment(self) -> None:
        """Add one: a single step of the interpreter, which nothing can interrupt."""
        next(self._count)

    def read(self) -> int:
        """Return how often `increment` was called."""
        with self._reading:
            # a reading is a step of the counter as well
            value = next(self._count) - self._readings
            self._readings += 1
        return value


class Tally:
    """Count what became of events once they have left the buffer; not used by `record()`."""

    def __init__(self) -> None:
        self._lock = make_lock()
        self.sent = self.spooled = self.spool_drained = self.dropped = self.bad = 0

    def add(self, *, sent: int = 0, spooled: int = 0, spool_drained: int = 0, dropped: int = 0, bad: int = 0) -> None:
        """Add to any of the counts."""
        with self._lock:
            self.sent += sent
            self.spooled += spooled
            self.spool_drained += spool_drained
            self.dropped += dropped
            self.bad += bad
