"""What looks after events while the flusher is held up, so that a process killed then takes few with it (G2)."""

from _queue import Empty, SimpleQueue
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

from fuseboard_producer.native import NativeThread

# a Redis that takes longer to answer may as well be gone; noticed after one to two of these besides
HELD_UP_SECONDS: Final = 0.2
CHECK_SECONDS: Final = 0.1


class Watchdog:
    """Call `rescue` again and again while one step of the flusher takes longer than HELD_UP_SECONDS.

    Costs the flusher an assignment a step, and a thread that sleeps while there is nothing to do.
    """

    def __init__(self, rescue: Callable[[], None]) -> None:
        self._rescue = rescue
        self._step = 0
        self._is_busy = self._is_over = False
        self._is_asleep = False
        self._begun: SimpleQueue[None] = SimpleQueue()
        self._stopped: SimpleQueue[None] = SimpleQueue()
        NativeThread(self._watch, "fuseboard-watchdog").start()

    def begin(self) -> None:
        """Begin a step, and end the one before."""
        self._step += 1
        self._is_busy = True
        if self._is_asleep:
            self._begun.put(None)

    def rest(self) -> None:
        """Note that the flusher waits for events, for as long as it likes."""
        self._is_busy = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let the thread end; returns at once."""
        self._is_over = True
        self._begun.put(None)
        self._stopped.put(None)

    def _watch(self) -> None:
        seen, held_up_seconds = -1, 0.0
        while not self._is_over:
            if not self._is_busy:
                self._is_asleep = True
                # looked at after that line: a step that begins in between is seen or has put a token
                if not self._is_busy:
                    self._begun.get()
                self._is_asleep = False
            held_up_seconds = held_up_seconds + CHECK_SECONDS if self._is_busy and self._step == seen else 0.0
            seen = self._step
            if held_up_seconds >= HELD_UP_SECONDS:
                self._rescue()
            with suppress(Empty):
                self._stopped.get(timeout=CHECK_SECONDS)
