"""Rebuilding: daily rows as days of another time zone, exactly."""

import logging
from typing import NamedTuple

from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.locks import FOLD_LOCK, hold_lock, hold_snapshot
from fuseboard_aggregator.rollup_store import (
    add_request_fallbacks,
    add_request_tags,
    delete_empty_fallback_rows,
    delete_empty_tag_rows,
)
from fuseboard_aggregator.store import (
    DailyTotals,
    Database,
    DaySettings,
    Progress,
    add_request_usage,
    delete_empty_daily_rows,
    is_time_zone,
    list_partitions,
    prefer_hashing,
    select_daily_totals,
    select_day_settings,
    update_setting,
)

log = logging.getLogger(__name__)


class Rebuild(NamedTuple):
    """The zones, and the sums over all daily rows before and after, which are the same to the last digit."""

    time_zone_before: str
    time_zone: str
    before: DailyTotals
    after: DailyTotals


def rebuild_daily(connection: Database, time_zone: str, *, progress: Progress | None = None) -> Rebuild:
    """Make daily rows days of `time_zone` (an IANA name), in one transaction; pending deltas are folded with it.

    Days whose raw requests are gone stay the days they were, with all that they say. Safe to repeat. The connection
    must be outside of any transaction. Raises ValueError for a zone that PostgreSQL does not know.
    """
    if not is_time_zone(connection, time_zone):
        raise ValueError(f"time zone {time_zone!r} is not known to PostgreSQL: use an IANA name such as Europe/Berlin")
    with hold_lock(connection, FOLD_LOCK, wait=True), hold_snapshot(connection):
        prefer_hashing(connection)
        fold_deltas(connection)
        settings = select_day_settings(connection)
        before = select_daily_totals(connection)
        if settings.time_zone != time_zone:
            _move_requests(connection, settings, time_zone, progress)
        result = Rebuild(settings.time_zone, time_zone, before, select_daily_totals(connection))
    log.info("daily_rebuilt time_zone_before=%s time_zone=%s", settings.time_zone, time_zone)
    return result


def _move_requests(connection: Database, settings: DaySettings, time_zone: str, progress: Progress | None) -> None:
    """Take the raw requests out of the days of the old zone and add them to those of the new one."""
    partitions = list_partitions(connection)
    for number, partition_day in enumerate(partitions, 1):
        for move in (add_request_usage, add_request_fallbacks, add_request_tags):
            move(connection, partition_day, settings.time_zone, sign=-1)
            move(connection, partition_day, time_zone, sign=1)
        if progress:
            progress(number, len(partitions))
    delete_empty_daily_rows(connection)
    delete_empty_fallback_rows(connection)
    delete_empty_tag_rows(connection)
    # a day that retention has cut keeps the hours whose requests are gone
    update_setting(connection, "whole_days_from", settings.first_whole_day.isoformat())
    update_setting(connection, "day_time_zone", time_zone)
