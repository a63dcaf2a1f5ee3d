"""Partitions of raw requests: made ahead of time, dropped when they are older than the retention."""

import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from psycopg.errors import LockNotAvailable

from fuseboard_aggregator.reconcile import reconcile
from fuseboard_aggregator.store import (
    ONE_DAY,
    Database,
    bound_partition,
    drop_request_partition,
    list_partitions,
    select_day_settings,
)
from fuseboard_schema.partition_store import ensure_request_partition

log = logging.getLogger(__name__)


class Retention(NamedTuple):
    """Days dropped, and what keeps the first expired day that was not; None when there is none."""

    dropped: list[date]
    problem: str | None


def make_partitions_ahead(connection: Database, days: int, now: datetime) -> list[date]:
    """Make the partitions from yesterday (UTC) to `days` days ahead that are missing; return those made."""
    today = now.astimezone(UTC).date()
    wanted = [today + timedelta(days=offset) for offset in range(-1, days + 1)]
    made = [day for day in wanted if ensure_request_partition(connection, day)]
    if made:
        log.info("partitions_made first_day=%s last_day=%s", made[0], made[-1])
    return made


def drop_old_partitions(connection: Database, retention_days: int, now: datetime) -> Retention:
    """Drop the partitions of whole UTC days that ended `retention_days` ago or earlier, the oldest first.

    Stops at a day that does not reconcile, because its raw requests are what a repair needs, and at one that is being
    read: dropping it would hold up inserts. Both are tried again at the next run. The connection must be outside of any
    transaction.
    """
    last_expired = now.astimezone(UTC).date() - timedelta(days=retention_days + 1)
    expired = [day for day in list_partitions(connection) if day <= last_expired]
    differing = _find_differing_days(connection, expired)
    dropped: list[date] = []
    for day in expired:
        problem = _check_droppable(connection, day, differing) or _drop(connection, day)
        if problem:
            return Retention(dropped, problem)
        dropped.append(day)
    return Retention(dropped, None)


def _find_differing_days(connection: Database, expired: Sequence[date]) -> set[date]:
    if not expired:
        return set()
    found = reconcile(connection, first_day=expired[0] - ONE_DAY, last_day=expired[-1] + ONE_DAY)
    return set(found.differing_days)


def _check_droppable(connection: Database, day: date, differing: set[date]) -> str | None:
    """Say what keeps a partition: a differing day of the daily rows' zone that it may have a part in."""
    if bound_partition(day)["since"] < select_day_settings(connection).raw_retained_from:
        # a late event's day, which was dropped before and cannot be compared
        return None
    differing_here = sorted(differing & {day - ONE_DAY, day, day + ONE_DAY})
    if not differing_here:
        return None
    log.error("partition_kept day=%s reason=usage_differs action=run `fuseboard reconcile --repair`", day)
    return f"raw requests of {day} kept: {differing_here[0]} does not reconcile; run `fuseboard reconcile --repair`"


def _drop(connection: Database, day: date) -> str | None:
    try:
        drop_request_partition(connection, day)
    except LockNotAvailable:
        log.warning("partition_kept day=%s reason=in_use", day)
        return f"raw requests of {day} kept: they are being read"
    log.info("partition_dropped day=%s", day)
    return None
