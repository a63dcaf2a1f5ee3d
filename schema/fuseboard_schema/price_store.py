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
    """Parse the JSON form, a list of {"weekdays": [1-7], "hours": [["HH:MM", "HH:MM"]]}, in UTC.

    Raises ValueError, TypeError or KeyError for any other form, and for hours that run over midnight.
    """
    return tuple(
        Window(
            frozenset(_check_weekday(day) for day in window["weekdays"]),
            tuple(_parse_hours(start, end) for start, end in window["hours"]),
        )
        for window in windows or ()
    )


def _check_weekday(day: object) -> int:
    if isinstance(day, int) and day in range(1, 8):
        return day
    raise ValueError(f"weekdays: {day!r} is none of 1 (Monday) to 7 (Sunday)")


def _parse_hours(start: str, end: str) -> tuple[time, time]:
    hours = time.fromisoformat(start), time.fromisoformat(end)
    if any(hour.tzinfo for hour in hours):
        raise ValueError(f"hours: {start} to {end}: hours are in UTC and carry no offset")
    if hours[1] not in (time.min, max(hours)) or hours[0] == hours[1] != time.min:
        raise ValueError(f"hours: {start} to {end}: hours over midnight are two windows, the first one to 00:00")
    return hours
