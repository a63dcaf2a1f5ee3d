"""Sweepers for tests, in threads of this process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from consumers import make_settings
from fuseboard_consumer import sweeper as sweeper_module
from fuseboard_consumer.sweeper import SWEEP_EVERY_SECONDS, Sweeper


def know_no_progress() -> None:
    """Tell of no batch, as in a process that has not had one."""
    return


@contextmanager
def sweeping(
    database_url: str, redis_url: str, namespace: str, every_seconds: float = SWEEP_EVERY_SECONDS
) -> Iterator[Callable[[], None]]:
    """Run a sweeper's thread; yields what stops it."""
    stopping = threading.Event()
    sweeper = Sweeper(make_settings(database_url, redis_url, namespace), stopping, know_no_progress)

    def stop() -> None:
        stopping.set()
        sweeper.join()

    with patch.object(sweeper_module, "SWEEP_EVERY_SECONDS", every_seconds):
        sweeper.start()
        try:
            yield stop
        finally:
            stop()
