"""One typed function per statement on what is summed beside daily usage: fallbacks, tags, and hours.

None of them opens or ends a transaction.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from psycopg.rows import scalar_row

from fuseboard_aggregator.store import Database, bound_partition
from fuseboard_schema.sql import load_sql


def fold_fallback_deltas(connection: Database) -> None:
    """Move what is pending of fallbacks into its daily rows."""
    connection.execute(load_sql(__package__, "fold_fallback_deltas"))


def fold_tag_deltas(connection: Database) -> None:
    """Move what is pending of tags into its daily rows."""
    connection.execute(load_sql(__package__, "fold_tag_deltas"))


def add_request_fallbacks(
    connection: Database, partition_day: date, time_zone: str, *, sign: int, days: Sequence[date] | None = None
) -> None:
    """Add the fallbacks of one UTC day to their daily rows, or take them away; `days` None is all days."""
    parameters = {"time_zone": time_zone, "sign": sign, "days": None if days is None else list(days)}
    statement = load_sql(__package__, "add_request_fallbacks")
    connection.execute(statement, bound_partition(partition_day) | parameters, prepare=False)


def add_request_tags(
    connection: Database,
    partition_day: date,
    time_zone: str,
    *,
    sign: int,
    days: Sequence[date] | None = None,
    tag_key: str | None = None,
) -> None:
    """Add the tagged requests of one UTC day to their daily rows, or take them away; `tag_key` None: of each key."""
    parameters: dict[str, Any] = {"time_zone": time_zone, "sign": sign, "tag_key": tag_key}
    parameters |= {"days": None if days is None else list(days)}
    statement = load_sql(__package__, "add_request_tags")
    connection.execute(statement, bound_partition(partition_day) | parameters, prepare=False)


def delete_fallback_days(connection: Database, days: Sequence[date]) -> None:
    """Delete the fallbacks of days."""
    connection.execute(load_sql(__package__, "delete_fallback_days"), {"days": list(days)})


def delete_empty_fallback_rows(connection: Database) -> None:
    """Delete the daily rows of fallbacks that say nothing."""
    connection.execute(load_sql(__package__, "delete_empty_fallback_rows"))


def delete_tag_days(connection: Database, days: Sequence[date]) -> None:
    """Delete the costs by tag of days."""
    connection.execute(load_sql(__package__, "delete_tag_days"), {"days": list(days)})


def delete_empty_tag_rows(connection: Database) -> None:
    """Delete the daily rows of tags that say nothing."""
    connection.execute(load_sql(__package__, "delete_empty_tag_rows"))


def has_differing_hours(connection: Database, partition_day: date) -> bool:
    """Say whether an hour of a UTC day is not what its raw requests say."""
    statement = load_sql(__package__, "select_differing_hours")
    return connection.execute(statement, bound_partition(partition_day), prepare=False).fetchone() is not None


def list_differing_rollups(connection: Database, day: date, time_zone: str) -> list[str]:
    """List the tables beside daily usage whose rows of a day are not what its raw requests say."""
    parameters = {"day": day, "time_zone": time_zone}
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(load_sql(__package__, "select_differing_rollups"), parameters, prepare=False).fetchall()


def list_rollup_days(connection: Database, first: date, last: date) -> list[date]:
    """List the days between two, both included, that have sums of fallbacks or tags."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(load_sql(__package__, "select_rollup_days"), {"first": first, "last": last}).fetchall()


def sum_hours_again(connection: Database, partition_day: date) -> None:
    """Make the hours of one UTC day what its raw requests say; nothing of it may be pending."""
    bounds = bound_partition(partition_day)
    connection.execute(load_sql(__package__, "delete_hours"), bounds)
    connection.execute(load_sql(__package__, "add_request_hours"), bounds, prepare=False)
