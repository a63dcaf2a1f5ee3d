import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from consumers import make_settings
from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.jobs import run_job
from fuseboard_aggregator.locks import hold_snapshot
from fuseboard_aggregator.partitions import Retention, drop_old_partitions, make_partitions_ahead
from fuseboard_aggregator.rebuild import rebuild_daily
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_aggregator.store import drop_request_partition, list_partitions
from fuseboard_schema.database import connect_database
from stored_usage import fetch_usage, fetch_value, make_events, store_events
from waiting import wait_until

Database = Connection[TupleRow]
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WAITING = "SELECT count(*) FROM pg_locks WHERE relation = 'llm_requests'::regclass AND NOT granted"


def list_days(first: date, count: int) -> list[date]:
    return [first + index * DAY for index in range(count)]


def store_ten_days(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events(NOON + index * DAY for index in range(10)))
    fold_deltas(connection)


def read_retained_from(connection: Database) -> datetime:
    retained_from = fetch_value(
        connection, "SELECT value::timestamptz FROM fuseboard_settings WHERE name = 'raw_retained_from'"
    )
    assert isinstance(retained_from, datetime)
    return retained_from


def test_partitions_exist_from_yesterday_to_the_days_ahead(connection: Database) -> None:
    late_in_new_york = datetime.fromisoformat("2026-03-09T23:30:00-05:00")

    made = make_partitions_ahead(connection, 3, late_in_new_york)

    assert made == list_partitions(connection) == list_days(date(2026, 3, 9), 5)


def test_making_partitions_again_makes_only_what_is_new(connection: Database) -> None:
    make_partitions_ahead(connection, 3, NOON)

    assert make_partitions_ahead(connection, 3, NOON) == []
    assert make_partitions_ahead(connection, 3, NOON + DAY) == [date(2026, 3, 14)]


def test_partitions_that_many_make_at_once_are_made_once(database_url: str, connection: Database) -> None:
    together = threading.Barrier(4)

    def make() -> list[date]:
        with connect_database(database_url, application_name="tests") as own:
            together.wait()
            return make_partitions_ahead(own, 5, NOON)

    with ThreadPoolExecutor(4) as pool:
        made = [day for future in [pool.submit(make) for _ in range(4)] for day in future.result()]

    assert sorted(made) == list_partitions(connection) == list_days(date(2026, 3, 9), 7)


def test_days_older_than_the_retention_are_dropped_and_their_daily_rows_stay(
    database_url: str, connection: Database
) -> None:
    store_ten_days(database_url, connection)
    daily = fetch_usage(connection, "llm_costs_daily")

    # at noon of the nineteenth the fifteenth ended three days and a half ago, the sixteenth two and a half
    retention = drop_old_partitions(connection, 3, NOON + 9 * DAY)

    assert retention == Retention(list_days(date(2026, 3, 10), 6), None)
    assert list_partitions(connection) == list_days(date(2026, 3, 16), 4)
    assert read_retained_from(connection) == datetime(2026, 3, 16, tzinfo=UTC)
    assert fetch_usage(connection, "llm_costs_daily") == daily
    assert drop_old_partitions(connection, 3, NOON + 9 * DAY) == Retention([], None)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_a_day_that_does_not_reconcile_is_kept_with_all_after_it(
    database_url: str, connection: Database, zone: str
) -> None:
    rebuild_daily(connection, zone)
    store_ten_days(database_url, connection)
    connection.execute("UPDATE llm_costs_daily SET cost_usd = cost_usd + 1 WHERE day = '2026-03-13'")

    retention = drop_old_partitions(connection, 3, NOON + 9 * DAY)
    reconcile(connection, repair=True)
    after_repair = drop_old_partitions(connection, 3, NOON + 9 * DAY)

    # the neighbours may share hours with the day in another zone
    assert retention.dropped == [date(2026, 3, 10), date(2026, 3, 11)]
    assert retention.problem is not None
    assert "2026-03-13 does not reconcile" in retention.problem
    assert after_repair == Retention(list_days(date(2026, 3, 12), 4), None)
    assert reconcile(connection).is_clean


def test_pending_usage_of_a_dropped_day_is_folded_afterwards(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON, NOON]))

    drop_old_partitions(connection, 3, NOON + 9 * DAY)
    fold_deltas(connection)

    assert [row["requests"] for row in fetch_usage(connection, "llm_costs_daily").values()] == [2]


def test_a_day_that_is_being_read_is_kept_until_the_next_run(database_url: str, connection: Database) -> None:
    store_ten_days(database_url, connection)

    with connect_database(database_url, application_name="tests") as reader, reader.transaction():
        reader.execute("SELECT FROM llm_requests")
        kept = drop_old_partitions(connection, 3, NOON + 9 * DAY)
        retained_from = read_retained_from(connection)
    dropped = drop_old_partitions(connection, 3, NOON + 9 * DAY).dropped

    assert kept == Retention([], "raw requests of 2026-03-10 kept: they are being read")
    assert retained_from == datetime(2020, 1, 1, tzinfo=UTC)
    assert dropped == list_days(date(2026, 3, 10), 6)


def test_no_day_is_dropped_under_a_snapshot_that_is_to_read_it(database_url: str, connection: Database) -> None:
    store_ten_days(database_url, connection)

    with connect_database(database_url, application_name="tests") as reader, hold_snapshot(reader):
        kept = drop_old_partitions(connection, 3, NOON + 9 * DAY)

        assert kept.dropped == []
        assert fetch_value(reader, "SELECT count(*) FROM llm_requests") == 10


def test_what_comes_again_after_its_day_was_dropped_is_kept_as_rejected_and_counted_once(
    database_url: str, connection: Database
) -> None:
    store_ten_days(database_url, connection)
    early, late = make_events([NOON - DAY, NOON])
    store_events(database_url, [early])
    drop_old_partitions(connection, 3, NOON + 9 * DAY)
    first_kept = make_events([NOON + 6 * DAY])

    for _ in range(2):
        store_events(database_url, [early, late, *first_kept])
        drop_old_partitions(connection, 3, NOON + 9 * DAY)
    fold_deltas(connection)

    assert list_partitions(connection)[0] == date(2026, 3, 16)
    assert read_retained_from(connection) == datetime(2026, 3, 16, tzinfo=UTC)
    assert sum(row["requests"] for row in fetch_usage(connection, "llm_costs_daily").values()) == 12
    assert fetch_value(connection, "SELECT sum(total_requests) FROM llm_provider_health") == 12
    kept = connection.execute("SELECT reason, raw_text::jsonb ->> 'event_id' FROM llm_rejected_events").fetchall()
    assert sorted(kept) == sorted(("older_than_retention", event["event_id"]) for event in (early, late))


def test_a_batch_that_waits_for_the_drop_of_its_day_does_not_count_it_again(
    database_url: str, connection: Database
) -> None:
    events = make_events([NOON, NOON + DAY])
    store_events(database_url, events)
    fold_deltas(connection)
    with ThreadPoolExecutor(1) as pool, connection.transaction():
        drop_request_partition(connection, NOON.date())
        again = pool.submit(store_events, database_url, events)
        wait_until(lambda: fetch_value(connection, WAITING) == 1)
    again.result()

    assert fetch_value(connection, "SELECT array_agg(reason) FROM llm_rejected_events") == ["older_than_retention"]
    assert fetch_value(connection, "SELECT sum(requests) FROM llm_costs_current") == 2


def test_the_partition_of_an_event_that_came_late_is_dropped_and_nothing_moves_back(
    database_url: str, connection: Database
) -> None:
    store_events(database_url, make_events([NOON - 30 * DAY, NOON + 9 * DAY]))
    fold_deltas(connection)

    assert drop_old_partitions(connection, 3, NOON + 9 * DAY) == Retention([date(2026, 2, 8)], None)
    assert read_retained_from(connection) == datetime(2026, 2, 9, tzinfo=UTC)
    assert sum(row["requests"] for row in fetch_usage(connection, "llm_costs_daily").values()) == 2


def test_rejected_events_expire_whatever_became_of_them(
    database_url: str, connection: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fuseboard_aggregator.rejected.CHUNK_ROWS", 2)
    connection.execute(
        b"INSERT INTO llm_rejected_events (entry_id, entry_index, reason, detail, raw_text, raw_bytes, received_at)"
        b" SELECT '1-1', days, 'not_json', '', '', 0, now() - days * interval '1 day' FROM generate_series(0, 9) days"
    )
    connection.execute(b"UPDATE llm_rejected_events SET dismissed_at = now() WHERE entry_index % 2 = 0")

    settings = make_settings(database_url, "", "unused", FUSEBOARD_REJECTED_RETENTION_DAYS="4")
    summary = run_job("partitions", settings).summary

    assert "6 rejected events expired" in summary
    left = fetch_value(connection, "SELECT array_agg(entry_index ORDER BY entry_index) FROM llm_rejected_events")
    assert left == [0, 1, 2, 3]
    assert "expired" not in run_job("partitions", settings).summary
