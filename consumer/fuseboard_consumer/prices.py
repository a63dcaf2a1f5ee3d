"""The price book in force, read again from the table so that an edit takes effect without a restart."""

import time

from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_schema.price_store import select_prices
from fuseboard_schema.pricing import PriceBook


class PriceSource:
    """Hands out the price book, at most refresh_seconds old."""

    def __init__(self, baseline: tuple[str, str], refresh_seconds: float) -> None:
        self._baseline = baseline
        self._refresh_seconds = refresh_seconds
        self._book: PriceBook | None = None
        self._read_at = 0.0

    def read_book(self, connection: Connection[TupleRow]) -> PriceBook:
        """Return the book, read again when it is stale; raises psycopg.OperationalError while PostgreSQL is down."""
        if self._book is None or time.monotonic() - self._read_at > self._refresh_seconds:
            self._book = PriceBook(select_prices(connection), self._baseline)
            self._read_at = time.monotonic()
        return self._book
