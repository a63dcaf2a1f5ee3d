"""Warnings that may come thousands a second, thinned to one a minute per subject."""

import logging
import time
from typing import Final

INTERVAL_SECONDS: Final = 60.0
SUBJECTS_MAX: Final = 100


class LimitedLog:
    """Let the first line of a subject through and then one a minute, which says how many were held back."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._subjects: dict[str, tuple[float, int]] = {}

    def warn(self, subject: str, message: str, *values: object) -> None:
        """Log a warning, or count it."""
        now = time.monotonic()
        last, held_back = self._subjects.get(subject, (-INTERVAL_SECONDS, 0))
        if now - last < INTERVAL_SECONDS:
            self._subjects[subject] = (last, held_back + 1)
            return
        if len(self._subjects) >= SUBJECTS_MAX:
            self._subjects.clear()
        self._subjects[subject] = (now, 0)
        self._log.warning(message + " held_back=%d", *values, held_back)
