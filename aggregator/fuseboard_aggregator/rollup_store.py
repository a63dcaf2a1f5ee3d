"""One typed function per statement on what is summed beside daily usage: fallbacks, and hours.

None of them opens or ends a transaction.
"""

from collections.abc import Sequence
from datetime import date

from fuseboard_aggregator.store import Database, bound_partition
from fuseboard_schema.sql import load_sql


def fold_fallback_deltas(connection: Database) -> None:
    """Move what is pending of fallbacks into its daily rows."""
    connection.execute(load_sql(__package__, "fold_fallback_deltas"))


def add_request_fallbacks(
    connection: Database, partition_day: date, time_zone: str, *, sign: int, days: Sequence[date] | None = None
) -> None:
    """Add the fallbacks of one UTC day to their daily rows, or take them away; `days` None is all days."""
    parameters = {"time_zone": time_zone, "sign": sign, "days": None if days is None else list(days)}
    statement = load_sql(__package__, "add_request_fallbacks")
    connection.execute(statement, bound_partition(partition_day) | parameters, prepare=False)


def delete_fallback_days(connection: Database, days: Sequence[date]) -> None:
    """Delete the fallbacks of days."""
    connection.execute(load_sql(__package__, "delete_fallback_days"), {"days": list(days)})


def delete_empty_fallback_rows(connection: Database) -> None:
    """Delete the daily rows of fallbacks that say nothing."""
    connection.execute(load_sql(__package__, "delete_empty_fallback_rows"))


def sum_hours_again(connection: Database, partition_day: date) -> None:
    """Make the hours of one UTC day what its raw requests say; nothing of it may be pending."""
    bounds = bound_partition(partition_day)
    connection.execute(load_sql(__package__, "delete_hours"), bounds)
    connection.execute(load_sql(__package__, "add_request_hours"), bounds, prepare=False)
