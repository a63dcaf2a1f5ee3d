"""One typed function per statement of the aggregator. None of them opens or ends a transaction."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from psycopg import Connection
from psycopg.rows import TupleRow, class_row, scalar_row

from fuseboard_aggregator.usage import DailyUsage
from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]
Row = TypeVar("Row")
# called with the partitions done and their number
Progress = Callable[[int, int], None]
ONE_DAY = timedelta(days=1)


class FoldedChunk(NamedTuple):
    """What one statement folded."""

    deltas: int
    daily_rows: int


class DaySettings(NamedTuple):
    """How days are formed and which of them have all their raw requests; raw_retained_from is aware."""

    time_zone: str
    raw_retained_from: datetime
    first_whole_day: date


class DailyTotals(NamedTuple):
    """The sums over all daily rows, in USD."""

    daily_rows: int
    requests: int
    cost_usd: Decimal
    baseline_cost_usd: Decimal
    savings_usd: Decimal


def fold_chunk(connection: Database, max_deltas: int) -> FoldedChunk:
    """Move up to `max_deltas` deltas into their daily rows."""
    with connection.cursor(row_factory=class_row(FoldedChunk)) as cursor:
        return _fetch_only(cursor.execute(load_sql(__package__, "fold_deltas"), {"max_deltas": max_deltas}).fetchone())


def select_day_settings(connection: Database) -> DaySettings:
    """Read how days are formed and since when raw requests are kept."""
    with connection.cursor(row_factory=class_row(DaySettings)) as cursor:
        return _fetch_only(cursor.execute(load_sql(__package__, "select_day_settings")).fetchone())


def prefer_hashing(connection: Database) -> None:
    """Make the transaction sum raw requests by hashing, not sorting."""
    connection.execute(load_sql(__package__, "prefer_hashing"))


def list_partitions(connection: Database) -> list[date]:
    """List the UTC days that have a partition, in order."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(load_sql(__package__, "list_partitions")).fetchall()


def delete_expired_rejected(connection: Database, before: datetime, limit: int) -> int:
    """Delete up to `limit` refused events that came before a time (aware); return how many."""
    parameters = {"before": before, "limit": limit}
    return connection.execute(load_sql(__package__, "delete_expired_rejected"), parameters).rowcount


def drop_request_partition(connection: Database, day: date) -> None:
    """Drop the partition of a UTC day; raise psycopg.errors.LockNotAvailable when readers keep it for a second."""
    connection.execute(load_sql(__package__, "drop_request_partition"), {"day": day})


def select_request_usage(connection: Database, partition_day: date, time_zone: str) -> list[DailyUsage]:
    """Sum the raw requests of one UTC day by day of a time zone, provider and model."""
    parameters = {**bound_partition(partition_day), "time_zone": time_zone}
    return _select_usage(connection, "select_request_usage", parameters)


def select_daily_usage(connection: Database, after: date, through: date) -> list[DailyUsage]:
    """Read the daily rows of (after, through]."""
    return _select_usage(connection, "select_daily_usage", {"after": after, "through": through})


def select_pending_usage(connection: Database) -> list[DailyUsage]:
    """Sum what is not folded yet by day, provider and model."""
    return _select_usage(connection, "select_pending_usage", {})


def add_request_usage(
    connection: Database, partition_day: date, time_zone: str, *, sign: int, days: Sequence[date] | None = None
) -> None:
    """Add the raw requests of one UTC day to the daily rows, or take them away; `days` None is all days."""
    parameters = {"time_zone": time_zone, "sign": sign, "days": None if days is None else list(days)}
    statement = load_sql(__package__, "add_request_usage")
    connection.execute(statement, bound_partition(partition_day) | parameters, prepare=False)


def delete_daily_days(connection: Database, days: Sequence[date]) -> None:
    """Delete the daily rows of days."""
    connection.execute(load_sql(__package__, "delete_daily_days"), {"days": list(days)})


def delete_empty_daily_rows(connection: Database) -> None:
    """Delete the daily rows that say nothing."""
    connection.execute(load_sql(__package__, "delete_empty_daily_rows"))


def select_daily_totals(connection: Database) -> DailyTotals:
    """Sum all daily rows."""
    with connection.cursor(row_factory=class_row(DailyTotals)) as cursor:
        return _fetch_only(cursor.execute(load_sql(__package__, "select_daily_totals")).fetchone())


def is_time_zone(connection: Database, time_zone: str) -> bool:
    """Say whether the server knows a time zone."""
    row = connection.execute(load_sql(__package__, "select_time_zone"), {"time_zone": time_zone}).fetchone()
    return row is not None


def update_setting(connection: Database, name: str, value: str) -> None:
    """Set one of the installation's settings."""
    connection.execute(load_sql(__package__, "update_setting"), {"name": name, "value": value})


def bound_partition(day: date) -> dict[str, Any]:
    """Bound a UTC day as the parameters `since` and `until`."""
    since = datetime.combine(day, time.min, UTC)
    return {"since": since, "until": since + ONE_DAY}


def _select_usage(connection: Database, name: str, parameters: dict[str, Any]) -> list[DailyUsage]:
    with connection.cursor(row_factory=class_row(DailyUsage)) as cursor:
        # planned with its values each time, so that no other partition is even locked
        return cursor.execute(load_sql(__package__, name), parameters, prepare=False).fetchall()


def _fetch_only(row: Row | None) -> Row:
    if row is None:
        raise LookupError("the database has no settings rows: run `fuseboard migrate`")
    return row
