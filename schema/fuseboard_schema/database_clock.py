"""The time by PostgreSQL, for whoever needs it more often than it is worth a question."""

import time
from datetime import datetime, timedelta
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_schema.database import select_clock

REFRESH_SECONDS: Final = 10.0


class DatabaseClock:
    """Asks PostgreSQL every REFRESH_SECONDS and counts on in between; the clock of this host is not looked at."""

    def __init__(self) -> None:
        self._read: datetime | None = None
        self._read_at = 0.0

    def read(self, connection: Connection[TupleRow]) -> datetime:
        """Return the time, aware; raises what PostgreSQL raises."""
        if self._read is None or time.monotonic() - self._read_at > REFRESH_SECONDS:
            self._read = select_clock(connection)
            self._read_at = time.monotonic()
        return self._read + timedelta(seconds=time.monotonic() - self._read_at)

    def forget(self) -> None:
        """Ask again the next time, as after the session ended: this host may have slept."""
        self._read = None
