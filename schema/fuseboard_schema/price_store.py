"""Price rows as they stand in the database."""

import logging
from datetime import time
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow, dict_row

from fuseboard_schema.pricing import Price, Window
from fuseboard_schema.sql import load_sql

log = logging.getLogger(__name__)


def select_prices(connection: Connection[TupleRow]) -> list[Price]:
    """Read all price rows; one with malformed windows_utc is logged and left out: what it priced is then unpriced."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(load_sql(__package__, "select_prices")).fetchall()
    return [price for price in map(_parse_row, rows) if price is not None]


def _parse_row(row: dict[str, Any]) -> Price | None:
    try:
        return Price(**{**row, "windows_utc": parse_windows(row["windows_utc"])})
    except (KeyError, TypeError, ValueError) as error:
        log.error("price_row_malformed price_id=%d column=windows_utc error=%r", row["price_id"], error)
        return None


def parse_windows(windows: list[dict[str, Any]] | None) -> tuple[Window, ...]:
    """Parse the JSON form, a list of {"weekdays": [1-7], "hours": [["HH:MM", "HH:MM"]]}."""
    return tuple(
        Window(
            frozenset(window["weekdays"]),
            tuple((time.fromisoformat(start), time.fromisoformat(end)) for start, end in window["hours"]),
        )
        for window in windows or ()
    )
