from dataclasses import fields
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from typing import Any

import pytest

from fuseboard_aggregator.reprice import RepricedUsage
from fuseboard_aggregator.reprice_store import StoredRequest
from fuseboard_aggregator.scheduler import RETRY_MAX_SECONDS, _compute_backoff_seconds
from fuseboard_aggregator.usage import MEASURES, DailyUsage, add_usage, list_differing_measures
from fuseboard_schema.pricing import Charge

KEY: dict[str, Any] = {
    "day": date(2026, 3, 10),
    "provider": "claude",
    "model": "sonnet",
    "updated_at": datetime(2026, 3, 10, tzinfo=UTC),
}
NOTHING: dict[str, Any] = dict.fromkeys(MEASURES, 0) | {"duration_histogram": [0, 0, 0]}
EMPTY = DailyUsage(**KEY | NOTHING)


def test_usage_is_added_measure_by_measure_and_without_rounding() -> None:
    first = EMPTY._replace(requests=2, cost_usd=Decimal(999999999999999999999), duration_histogram=[1, 0, 2])
    second = EMPTY._replace(requests=3, cost_usd=Decimal("1e-24"), duration_histogram=[0, 5, 1])

    with localcontext(prec=5):
        added = add_usage(first, second)

    assert added == EMPTY._replace(
        requests=5, cost_usd=Decimal("999999999999999999999.000000000000000000000001"), duration_histogram=[1, 5, 3]
    )
    assert add_usage(first, None) == first


@pytest.mark.parametrize("measure", MEASURES)
def test_a_difference_in_one_measure_is_named(measure: str) -> None:
    changed = DailyUsage(**KEY | NOTHING | {measure: [0, 0, 1] if measure == "duration_histogram" else 1})

    assert list_differing_measures(EMPTY, changed) == [measure]
    assert list_differing_measures(changed, None) == [measure]
    assert list_differing_measures(changed, changed._replace(updated_at=datetime.max.replace(tzinfo=UTC))) == []


def test_no_row_is_as_good_as_one_that_says_nothing() -> None:
    assert list_differing_measures(EMPTY, None) == list_differing_measures(None, EMPTY) == []


def test_what_a_reprice_changes_is_counted_before_and_after() -> None:
    usage = RepricedUsage()
    unpriced, unmetered = Charge(None, None, Decimal(3), 1, None), Charge(None, 7, None, None, None)
    priced = Charge(Decimal(1), 7, Decimal(3), 1, Decimal(2))
    noon = datetime(2026, 3, 10, 12, tzinfo=UTC)
    request = make_request(noon)
    for before, after in ((unpriced, priced), (unmetered, priced), (priced, priced), (priced, unpriced)):
        usage.count(before, after, request)

    counted = {field.name: getattr(usage, field.name) for field in fields(usage)}
    assert counted == {
        "examined": 4,
        "changed": 3,
        "unpriced_before": 1,
        "unpriced_after": 1,
        "cost_usd_before": 2,
        "cost_usd_after": 3,
        "savings_usd_before": 4,
        "savings_usd_after": 6,
        "first_unpriced_at": {"standard": noon},
    }


def make_request(occurred_at: datetime) -> StoredRequest:
    fields: dict[str, Any] = dict.fromkeys(StoredRequest._fields)
    return StoredRequest(**fields | {"occurred_at": occurred_at, "service_tier": "auto"})


def test_retries_come_later_and_later_up_to_a_bound() -> None:
    waits = [_compute_backoff_seconds(failures) for failures in (1, 2, 3, 4, 100, 10**9)]

    assert waits == [1, 2, 4, 8, RETRY_MAX_SECONDS, RETRY_MAX_SECONDS]
