"""Ending in time."""

import os
import threading
from typing import Final

STOP_WITHIN_SECONDS: Final = 4.5


def arm_exit_backstop() -> None:
    """End this process STOP_WITHIN_SECONDS from now, should a PostgreSQL or Redis that hangs hold up its stop.

    What is not finished by then is rolled back by PostgreSQL, or waits in Redis unacknowledged.
    """
    backstop = threading.Timer(STOP_WITHIN_SECONDS, os._exit, (0,))
    backstop.daemon = True
    backstop.start()
