"""Reconciling: are the daily rows and what is pending the sum of the raw requests, to the last digit (G3)?"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.locks import FOLD_LOCK, hold_lock, hold_snapshot
from fuseboard_aggregator.rollup_store import (
    add_request_fallbacks,
    add_request_tags,
    delete_fallback_days,
    delete_tag_days,
    has_differing_hours,
    list_differing_rollups,
    list_rollup_days,
    sum_hours_again,
)
from fuseboard_aggregator.store import (
    ONE_DAY,
    Database,
    DaySettings,
    Progress,
    add_request_usage,
    delete_daily_days,
    list_partitions,
    prefer_hashing,
    select_daily_usage,
    select_day_settings,
    select_pending_usage,
    select_request_usage,
)
from fuseboard_aggregator.usage import DailyUsage, UsageKey, add_usage, list_differing_measures
from fuseboard_schema.pricing import EXACT, ZERO

log = logging.getLogger(__name__)

Usages = dict[UsageKey, DailyUsage]
# a day of any zone lies in at most these days of UTC, and the other way round
NEIGHBOURS: Final = (-ONE_DAY, timedelta(0), ONE_DAY)


class Difference(NamedTuple):
    """A day, provider and model whose rows do not say what its raw requests say; None is no row at all."""

    key: UsageKey
    raw: DailyUsage | None
    # the daily row and what is pending
    counted: DailyUsage | None
    measures: list[str]


class RollupDifference(NamedTuple):
    """A table beside daily usage (hours, fallbacks, tags) that does not say of a day what its raw requests say."""

    rollup: str
    # of UTC for hours, else of the daily rows' zone
    day: date


@dataclass
class Reconciliation:
    """What was compared, and every difference found; money in USD."""

    first_day: date
    last_day: date | None
    raw_requests: int = 0
    daily_requests: int = 0
    pending_requests: int = 0
    raw_cost_usd: Decimal = ZERO
    daily_cost_usd: Decimal = ZERO
    pending_cost_usd: Decimal = ZERO
    difference_requests: int = 0
    difference_usd: Decimal = ZERO
    days: list[Difference] = field(default_factory=list)
    rollups: list[RollupDifference] = field(default_factory=list)
    is_repaired: bool = False

    @property
    def is_clean(self) -> bool:
        """Say whether nothing differs, in any measure."""
        return not self.days and not self.rollups

    @property
    def differing_days(self) -> list[date]:
        """The days of which anything differs, in order."""
        return sorted({found.key.day for found in self.days} | {found.day for found in self.rollups})


def reconcile(
    connection: Database,
    *,
    first_day: date | None = None,
    last_day: date | None = None,
    repair: bool = False,
    progress: Progress | None = None,
) -> Reconciliation:
    """Compare daily rows and pending deltas with the raw requests, in one snapshot; `repair` corrects the daily rows.

    Days are of the zone of the daily rows, both ends included. A day that is not kept whole any more cannot be compared
    and is never touched. The differences returned are those found before the repair, which is one transaction with the
    comparison. Changes nothing without `repair`. The connection must be outside of any transaction.
    """
    with hold_lock(connection, FOLD_LOCK, wait=True) if repair else nullcontext(), hold_snapshot(connection):
        prefer_hashing(connection)
        settings = select_day_settings(connection)
        first = max(first_day or settings.first_whole_day, settings.first_whole_day)
        result = Reconciliation(first, last_day)
        for raw, daily, pending in _walk_days(connection, settings, first, last_day or date.max, progress):
            _compare(result, raw, daily, pending)
        result.rollups = _list_differing_rollups(connection, settings, first, last_day or date.max)
        if repair and not result.is_clean:
            _repair_days(connection, settings, result.differing_days)
            result.is_repaired = True
    return result


def _walk_days(
    connection: Database, settings: DaySettings, first: date, last: date, progress: Progress | None
) -> Iterator[tuple[Usages, Usages, Usages]]:
    """Give raw, daily and pending usage for one run of days after the other, so that few days are in memory.

    Each partition, a UTC day, is read once. It reaches into the day before and the day after of other zones, so what
    lies before it is complete.
    """
    partitions = [day for day in list_partitions(connection) if first - ONE_DAY <= day and day - ONE_DAY <= last]
    pending = {usage.key: usage for usage in select_pending_usage(connection) if first <= usage.day <= last}
    raw: Usages = {}
    done_through = first - ONE_DAY
    for number, partition_day in enumerate(partitions, 1):
        for usage in select_request_usage(connection, partition_day, settings.time_zone):
            if first <= usage.day <= last:
                raw[usage.key] = add_usage(usage, raw.get(usage.key))
        complete_through = min(partition_day - ONE_DAY, last)
        yield _take_days(connection, raw, pending, done_through, complete_through)
        done_through = max(done_through, complete_through)
        if progress:
            progress(number, len(partitions))
    yield _take_days(connection, raw, pending, done_through, last)


def _take_days(
    connection: Database, raw: Usages, pending: Usages, after: date, through: date
) -> tuple[Usages, Usages, Usages]:
    daily = {usage.key: usage for usage in select_daily_usage(connection, after, through)}
    return _pop_days(raw, through), daily, _pop_days(pending, through)


def _pop_days(usages: Usages, through: date) -> Usages:
    return {key: usages.pop(key) for key in list(usages) if key.day <= through}


def _compare(result: Reconciliation, raw: Usages, daily: Usages, pending: Usages) -> None:
    result.raw_requests += _count_requests(raw.values())
    result.daily_requests += _count_requests(daily.values())
    result.pending_requests += _count_requests(pending.values())
    result.raw_cost_usd = _add_costs(result.raw_cost_usd, raw.values())
    result.daily_cost_usd = _add_costs(result.daily_cost_usd, daily.values())
    result.pending_cost_usd = _add_costs(result.pending_cost_usd, pending.values())
    for key in sorted(raw.keys() | daily.keys() | pending.keys()):
        counted = daily.get(key)
        counted = add_usage(counted, pending.get(key)) if counted else pending.get(key)
        measures = list_differing_measures(raw.get(key), counted)
        if measures:
            _note_difference(result, Difference(key, raw.get(key), counted, measures))


def _note_difference(result: Reconciliation, difference: Difference) -> None:
    key, raw, counted, measures = difference
    log.error(
        "usage_differs day=%s provider=%s model=%s measures=%s", key.day, key.provider, key.model, ",".join(measures)
    )
    result.days.append(difference)
    result.difference_requests += abs((raw.requests if raw else 0) - (counted.requests if counted else 0))
    cost = EXACT.subtract(raw.cost_usd if raw else ZERO, counted.cost_usd if counted else ZERO)
    result.difference_usd = EXACT.add(result.difference_usd, EXACT.abs(cost))


def _list_differing_rollups(
    connection: Database, settings: DaySettings, first: date, last: date
) -> list[RollupDifference]:
    partitions = list_partitions(connection)
    # hours are of UTC: those of a day are whole where the day's partition is
    hours = [day for day in partitions if first <= day <= last and has_differing_hours(connection, day)]
    reached = {day + offset for day in partitions for offset in NEIGHBOURS}
    days = sorted({day for day in reached if first <= day <= last} | {*list_rollup_days(connection, first, last)})
    found = [RollupDifference("llm_usage_hourly", day) for day in hours]
    found += [
        RollupDifference(rollup, day)
        for day in days
        for rollup in list_differing_rollups(connection, day, settings.time_zone)
    ]
    for difference in found:
        log.error("rollup_differs rollup=%s day=%s", *difference)
    return found


def _repair_days(connection: Database, settings: DaySettings, days: Sequence[date]) -> None:
    """Sum days again from their raw requests; all that is pending is folded first, so nothing is counted twice."""
    fold_deltas(connection)
    delete_daily_days(connection, days)
    delete_fallback_days(connection, days)
    delete_tag_days(connection, days)
    reached = {day + offset for day in days for offset in NEIGHBOURS}
    for partition_day in list_partitions(connection):
        if partition_day in reached:
            for add in (add_request_usage, add_request_fallbacks, add_request_tags):
                add(connection, partition_day, settings.time_zone, sign=1, days=days)
            sum_hours_again(connection, partition_day)
    log.warning("days_repaired days=%s", ",".join(map(str, days)))


def _count_requests(usages: Iterable[DailyUsage]) -> int:
    return sum(usage.requests for usage in usages)


def _add_costs(total: Decimal, usages: Iterable[DailyUsage]) -> Decimal:
    for usage in usages:
        total = EXACT.add(total, usage.cost_usd)
    return total
