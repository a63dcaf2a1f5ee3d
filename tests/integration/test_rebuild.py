from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.partitions import drop_old_partitions
from fuseboard_aggregator.rebuild import rebuild_daily
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_consumer.batch import BatchStore
from fuseboard_schema.database import connect_database
from stored_usage import compute_usage, fetch_usage, make_events, repeating, store_batch, store_events, store_every_kind

Database = Connection[TupleRow]
# the night to summer time in New York, four days before that in Europe
START = datetime(2026, 3, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


def store_three_weeks(database_url: str, connection: Database) -> None:
    """Store something in every hour, and every measure at many hours of the day."""
    store_events(database_url, make_events(START + index * HOUR for index in range(500)))
    store_every_kind(database_url, connection, *(START + index * 11 * HOUR for index in range(40)))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Pacific/Kiritimati"])
def test_daily_rows_become_days_of_the_zone_and_come_back_identical(
    database_url: str, connection: Database, zone: str
) -> None:
    store_three_weeks(database_url, connection)
    fold_deltas(connection)
    before = fetch_usage(connection, "llm_costs_daily")

    there = rebuild_daily(connection, zone)
    in_zone = fetch_usage(connection, "llm_costs_daily")
    back = rebuild_daily(connection, "UTC")

    assert in_zone == compute_usage(connection, zone) != before
    assert fetch_usage(connection, "llm_costs_daily") == before
    assert (there.time_zone_before, there.time_zone, back.time_zone) == ("UTC", zone, "UTC")
    assert there.before == back.after
    assert there.after._replace(daily_rows=0) == there.before._replace(daily_rows=0)


def test_what_is_pending_and_what_comes_later_is_of_the_new_zone(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([START + 23 * HOUR]))
    rebuild_daily(connection, "Europe/Berlin")
    store_events(database_url, make_events([START + 23 * HOUR]))
    fold_deltas(connection)

    usage = fetch_usage(connection, "llm_costs_daily")

    assert [(key.day, row["requests"]) for key, row in usage.items()] == [(date(2026, 3, 7), 2)]


def test_the_same_zone_changes_nothing(database_url: str, connection: Database) -> None:
    store_three_weeks(database_url, connection)
    fold_deltas(connection)
    before = fetch_usage(connection, "llm_costs_daily")

    result = rebuild_daily(connection, "UTC")

    assert result.before == result.after
    assert fetch_usage(connection, "llm_costs_daily") == before


@pytest.mark.parametrize("zone", ["Mars/Olympus", "UTC+3", "", "europe/berlin; --"])
def test_an_unknown_zone_is_refused(connection: Database, zone: str) -> None:
    with pytest.raises(ValueError, match="IANA name such as Europe/Berlin"):
        rebuild_daily(connection, zone)


@pytest.mark.parametrize(("before", "after"), [("UTC", "Asia/Kathmandu"), ("Europe/Berlin", "UTC")])
def test_days_whose_requests_are_gone_keep_their_rows_and_every_sum_stays(
    database_url: str, connection: Database, before: str, after: str
) -> None:
    rebuild_daily(connection, before)
    store_three_weeks(database_url, connection)
    fold_deltas(connection)
    drop_old_partitions(connection, 10, START + timedelta(days=21))
    kept = fetch_usage(connection, "llm_costs_daily")

    result = rebuild_daily(connection, after)

    rebuilt = fetch_usage(connection, "llm_costs_daily")
    old_days = {key: row for key, row in kept.items() if key.day < date(2026, 3, 15)}
    assert old_days
    assert old_days.items() <= rebuilt.items()
    assert result.before._replace(daily_rows=0) == result.after._replace(daily_rows=0)
    # an hour of the day that retention cut is in a row whose requests are not all there: a repair must leave it alone
    assert reconcile(connection, repair=True).is_clean
    assert fetch_usage(connection, "llm_costs_daily") == rebuilt


def test_rebuilding_beside_inserts_and_folds_loses_nothing(database_url: str, connection: Database) -> None:
    with (
        closing(BatchStore(database_url)) as store,
        connect_database(database_url, application_name="tests") as folder,
        repeating(lambda: store_batch(store, make_events([START + 23 * HOUR, START])), lambda: fold_deltas(folder)),
    ):
        for zone in ("Europe/Berlin", "America/New_York", "UTC", "Asia/Kathmandu") * 2:
            rebuild_daily(connection, zone)
    fold_deltas(connection)

    assert fetch_usage(connection, "llm_costs_daily") == compute_usage(connection, "Asia/Kathmandu")
