"""What a forked child must not inherit half-done."""

import os
from typing import Final

from fuseboard_producer.native import make_lock

FORK_WAIT_SECONDS: Final = 1.0


class ForkGate:
    """Forks wait, for a bounded time, until nobody holds `lock`.

    Held while an event is encoded: pydantic makes parts of itself on first use, behind locks that no fork resets.
    A child forked in that moment would wait for ever as soon as it validated anything.
    """

    def __init__(self) -> None:
        self.lock = make_lock()
        self._is_shut = False
        os.register_at_fork(before=self._shut, after_in_parent=self._open, after_in_child=self._renew)

    def _shut(self) -> None:
        self._is_shut = self.lock.acquire(timeout=FORK_WAIT_SECONDS)

    def _open(self) -> None:
        if self._is_shut:
            self.lock.release()

    def _renew(self) -> None:
        self.lock = make_lock()


FORK_GATE: Final = ForkGate()
