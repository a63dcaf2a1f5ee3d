"""Usage of one day, provider and model: the measures of a daily row, and how two of them are compared. Pure."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, cast

from fuseboard_schema.pricing import EXACT

Measure = int | Decimal | list[int]


class UsageKey(NamedTuple):
    """What a daily row is about."""

    day: date
    provider: str
    model: str


class DailyUsage(NamedTuple):
    """One row of llm_costs_daily, column by column; durations in seconds, money in USD."""

    day: date
    provider: str
    model: str
    requests: int
    successes: int
    failures: int
    rate_limited: int
    cancelled: int
    fallbacks: int
    unpriced_requests: int
    unmetered_requests: int
    baseline_unknown_requests: int
    prompt_tokens: Decimal
    completion_tokens: Decimal
    cache_read_tokens: Decimal
    cache_write_tokens: Decimal
    cache_write_1h_tokens: Decimal
    reasoning_tokens: Decimal
    cost_usd: Decimal
    baseline_cost_usd: Decimal
    savings_usd: Decimal
    duration_seconds_sum: Decimal
    duration_seconds_count: int
    duration_histogram: list[int]
    updated_at: datetime

    @property
    def key(self) -> UsageKey:
        """Day, provider and model."""
        return UsageKey(self.day, self.provider, self.model)


MEASURES: Final = tuple(name for name in DailyUsage._fields if name not in (*UsageKey._fields, "updated_at"))


def add_usage(first: DailyUsage, second: DailyUsage | None) -> DailyUsage:
    """Add the measures of two rows exactly; None adds nothing."""
    if second is None:
        return first
    sums: dict[str, Any] = {name: _add(getattr(first, name), getattr(second, name)) for name in MEASURES}
    return first._replace(**sums)


def list_differing_measures(raw: DailyUsage | None, counted: DailyUsage | None) -> list[str]:
    """List the measures in which two rows of one key differ; a row that is missing is all zeros."""
    return [name for name in MEASURES if get_measure(raw, name) != get_measure(counted, name)]


def get_measure(usage: DailyUsage | None, name: str) -> Measure:
    """Read a measure; histograms without the zeros at their end, so that none at all equals all zeros."""
    if name == "duration_histogram":
        return _strip_zeros(usage.duration_histogram if usage else [])
    return cast("Measure", getattr(usage, name)) if usage else 0


def _add(first: Measure, second: Measure) -> Measure:
    if isinstance(first, list) and isinstance(second, list):
        return [a + b for a, b in zip(first, second, strict=True)]
    if isinstance(first, int) and isinstance(second, int):
        return first + second
    return EXACT.add(cast("Decimal", first), cast("Decimal", second))


def _strip_zeros(histogram: list[int]) -> list[int]:
    length = max((index for index, counted in enumerate(histogram, 1) if counted), default=0)
    return histogram[:length]
