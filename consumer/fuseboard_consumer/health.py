"""Provider health from real traffic: what a batch adds to a provider's row. Pure: values and now in, values out."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

# figures are called rolling over this many minutes before the newest request
ROLLING_MINUTES = 10
MICROSECONDS = 1_000_000


class Health(NamedTuple):
    """The part of llm_provider_health that requests change."""

    provider: str
    total_requests: int
    successful_requests: int
    failed_requests: int
    failure_count: int
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error_type: str | None
    # by minute as epoch seconds: calls that succeeded or failed, successes, microseconds of timed successes, and these
    rolling_minutes: dict[str, list[int]]
    # successes by minute and bucket of duration
    rolling_durations: dict[str, dict[str, int]]
    rolling_success_rate: Decimal | None
    rolling_avg_response_seconds: Decimal | None


class MinuteUsage(NamedTuple):
    """What the requests just inserted add to one provider's minute; times are aware, sums in seconds."""

    provider: str
    minute_start: datetime
    requests: int
    successes: int
    failures: int
    success_seconds_sum: Decimal
    success_seconds_count: int
    last_success_at: datetime | None
    # of each failure: its type and, at the same place, its time
    error_types: list[str | None] | None
    failed_at: list[datetime] | None
    # of each success of known duration, its bucket
    duration_buckets: list[int] | None = None
    # of each request its id and, at the same place, its time; only where some were there already
    event_ids: list[UUID] | None = None
    event_times: list[datetime] | None = None
    # of the failures
    rate_limited: int = 0


def fold_health(health: Health, minutes: list[MinuteUsage]) -> Health:
    """Add minutes of one provider to its health.

    Totals and times are sums and maxima, so the order of batches does not matter. failure_count is the failures newer
    than the newest success, as far as events have arrived.
    """
    last_success_at = _latest(health.last_success_at, *(minute.last_success_at for minute in minutes))
    failures = [
        failure for minute in minutes for failure in zip(minute.failed_at or (), minute.error_types or (), strict=True)
    ]
    known = (health.last_failure_at, health.last_error_type)
    last_failure_at, last_error_type = max([known, *failures], key=lambda failure: _sort_key(failure[0]))
    rolling = _roll(health.rolling_minutes, minutes)
    requests, successes, success_microseconds, timed = (sum(column) for column in zip(*rolling.values(), strict=True))
    return health._replace(
        total_requests=health.total_requests + sum(minute.requests for minute in minutes),
        successful_requests=health.successful_requests + sum(minute.successes for minute in minutes),
        failed_requests=health.failed_requests + sum(minute.failures for minute in minutes),
        failure_count=_count_failures(health, failures, last_success_at),
        last_success_at=last_success_at,
        last_failure_at=last_failure_at,
        last_error_type=last_error_type,
        rolling_minutes=rolling,
        rolling_durations=_roll_durations(health.rolling_durations, minutes, rolling),
        rolling_success_rate=_divide(100 * successes, requests, 2),
        rolling_avg_response_seconds=_divide(success_microseconds, timed * MICROSECONDS, 6),
    )


def _count_failures(
    health: Health, failures: list[tuple[datetime, str | None]], last_success_at: datetime | None
) -> int:
    """Count failures after the newest success; those counted before stand unless a newer success has come."""
    kept = health.failure_count if last_success_at == health.last_success_at else 0
    return kept + sum(1 for at, _ in failures if last_success_at is None or at > last_success_at)


def _roll(rolling: dict[str, list[int]], minutes: list[MinuteUsage]) -> dict[str, list[int]]:
    counts = {int(minute): list(values) for minute, values in rolling.items()}
    for minute in minutes:
        added = (
            # a call that its caller gave up says nothing about the provider, and a throttle is shown as what it is
            minute.successes + minute.failures - minute.rate_limited,
            minute.successes,
            int(minute.success_seconds_sum * MICROSECONDS),
            minute.success_seconds_count,
        )
        known = counts.get(int(minute.minute_start.timestamp()), [0, 0, 0, 0])
        counts[int(minute.minute_start.timestamp())] = [a + b for a, b in zip(known, added, strict=True)]
    oldest = max(counts) - 60 * (ROLLING_MINUTES - 1)
    return {str(minute): counts[minute] for minute in sorted(counts) if minute >= oldest}


def _roll_durations(
    durations: dict[str, dict[str, int]], minutes: list[MinuteUsage], kept: Iterable[str]
) -> dict[str, dict[str, int]]:
    counts = {minute: Counter(buckets) for minute, buckets in durations.items()}
    for minute in minutes:
        if minute.duration_buckets:
            known = counts.setdefault(str(int(minute.minute_start.timestamp())), Counter())
            known.update(map(str, minute.duration_buckets))
    return {minute: dict(counts[minute]) for minute in kept if minute in counts}


def _divide(numerator: int, denominator: int, decimals: int) -> Decimal | None:
    return None if denominator == 0 else round(Decimal(numerator) / Decimal(denominator), decimals)


def _latest(*times: datetime | None) -> datetime | None:
    return max((at for at in times if at is not None), default=None)


def _sort_key(at: datetime | None) -> float:
    return float("-inf") if at is None else at.timestamp()
