"""Hours and fallbacks are what the raw requests say, folded or not (G3), whatever happens to days and partitions."""

import threading
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import fuseboard_schema
from events import make_event
from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.partitions import drop_old_partitions
from fuseboard_aggregator.rebuild import rebuild_daily
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_consumer.batch import BatchStore
from fuseboard_schema.database import connect_database
from queries import fetch_value
from stored_rollups import compute_fallbacks, compute_hours, fetch_fallbacks, fetch_hours
from stored_usage import (
    Database,
    fetch_rows,
    make_events,
    repeating,
    store_batch,
    store_events,
    store_every_kind,
)

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MIGRATIONS = Path(fuseboard_schema.__file__).parent / "migrations"


def make_fallbacks(at: datetime, count: int = 1, **fields: object) -> list[dict[str, object]]:
    return make_events([at] * count, **{"is_fallback": True, "original_provider": "ollama", **fields})


def test_hours_are_exact_before_and_after_the_fold(database_url: str, connection: Database) -> None:
    store_every_kind(database_url, connection, NOON, NOON - DAY)
    expected = compute_hours(connection)

    before = fetch_hours(connection)
    fold_deltas(connection)
    store_every_kind(database_url, connection, NOON + timedelta(minutes=5))

    assert before == expected
    assert fetch_hours(connection) == compute_hours(connection)
    fold_deltas(connection)
    assert fetch_hours(connection, "llm_usage_hourly") == compute_hours(connection)
    assert fetch_hours(connection, "llm_usage_hourly_pending") == {}


def test_fallbacks_are_exact_before_and_after_the_fold(database_url: str, connection: Database) -> None:
    store_every_kind(database_url, connection, NOON, NOON - DAY)
    expected = compute_fallbacks(connection)

    before = fetch_fallbacks(connection)
    fold_deltas(connection)
    store_every_kind(database_url, connection, NOON)

    assert before == expected != {}
    assert fetch_fallbacks(connection) == compute_fallbacks(connection)
    fold_deltas(connection)
    assert fetch_fallbacks(connection, "llm_fallbacks_daily") == compute_fallbacks(connection)
    assert fetch_value(connection, "SELECT count(*) FROM llm_fallback_deltas") == 0


def test_events_that_come_again_count_no_hour_and_no_fallback_twice(database_url: str, connection: Database) -> None:
    events = make_fallbacks(NOON, 3)
    for _ in range(3):
        store_events(database_url, events)
        fold_deltas(connection)

    assert fetch_fallbacks(connection) == compute_fallbacks(connection)
    assert sum(row["requests"] for row in fetch_hours(connection).values()) == 3


def test_a_batch_without_fallbacks_writes_no_delta_of_them(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON]))

    assert fetch_value(connection, "SELECT count(*) FROM llm_fallback_deltas") == 0


def test_folds_at_once_count_every_hour_and_fallback_once(database_url: str, connection: Database) -> None:
    def insert(provider: str) -> None:
        with closing(BatchStore(database_url)) as store:
            for index in range(20):
                store_batch(store, make_fallbacks(NOON + timedelta(minutes=7 * index), 5, provider=provider))

    inserters = [threading.Thread(target=insert, args=(provider,)) for provider in ("claude", "openai")]
    with ExitStack() as stack:
        folders = [stack.enter_context(connect_database(database_url, application_name="folding")) for _ in range(3)]
        stack.enter_context(repeating(*(partial(fold_deltas, folder) for folder in folders)))
        for thread in inserters:
            thread.start()
        for thread in inserters:
            thread.join()

    fold_deltas(connection)

    assert fetch_hours(connection, "llm_usage_hourly") == compute_hours(connection)
    assert fetch_fallbacks(connection, "llm_fallbacks_daily") == compute_fallbacks(connection)
    assert sum(requests for requests, _ in fetch_fallbacks(connection).values()) == 200


def test_fallbacks_move_with_the_days_of_another_zone(database_url: str, connection: Database) -> None:
    store_events(database_url, make_fallbacks(NOON + timedelta(hours=11, minutes=45)))
    store_events(database_url, make_fallbacks(NOON, original_provider=None))
    fold_deltas(connection)
    store_events(database_url, make_fallbacks(NOON + timedelta(hours=6, minutes=15)))

    rebuild_daily(connection, "Asia/Kathmandu")

    assert fetch_fallbacks(connection, "llm_fallbacks_daily") == compute_fallbacks(connection, "Asia/Kathmandu")
    assert fetch_value(connection, "SELECT count(*) FROM llm_fallbacks_daily WHERE requests = 0") == 0


def test_a_repair_sums_hours_and_fallbacks_of_its_days_again(database_url: str, connection: Database) -> None:
    store_every_kind(database_url, connection, NOON, NOON - DAY)
    store_events(database_url, make_fallbacks(NOON))
    fold_deltas(connection)
    store_events(database_url, make_fallbacks(NOON))
    for table in ("llm_costs_daily", "llm_usage_hourly", "llm_fallbacks_daily"):
        connection.execute(f"UPDATE {table} SET requests = requests + 1".encode())  # noqa: S608 - our own names

    assert reconcile(connection, repair=True).is_repaired

    assert fetch_hours(connection, "llm_usage_hourly") == compute_hours(connection)
    assert fetch_fallbacks(connection, "llm_fallbacks_daily") == compute_fallbacks(connection)


def test_hours_go_with_their_raw_requests_and_fallbacks_stay(database_url: str, connection: Database) -> None:
    store_events(database_url, make_fallbacks(NOON) + make_fallbacks(NOON + DAY))
    fold_deltas(connection)
    fallbacks = fetch_fallbacks(connection)

    drop_old_partitions(connection, 1, NOON + 2 * DAY)

    assert {hour for hour, _ in fetch_hours(connection)} == {NOON + DAY}
    assert fetch_fallbacks(connection) == fallbacks
    assert len(fallbacks) == 2


def test_hourly_trends_end_with_this_hour_and_know_what_is_not_folded(database_url: str, connection: Database) -> None:
    # now() stands still, so that no hour ends in between; what others commit is seen
    with connection.transaction(), connect_database(database_url, application_name="folding") as folder:
        now = fetch_value(connection, "SELECT date_trunc('hour', now())")
        store_events(database_url, make_events([now], cost_usd="0.25", duration_seconds=2))
        fold_deltas(folder)
        store_events(database_url, [make_event(occurred_at=now, status="error", cost_usd="0")])
        store_events(database_url, make_events([now - timedelta(hours=2)], provider="ollama"))
        two, three = (fetch_rows(connection, f"SELECT * FROM llm_hourly_trends({hours})") for hours in (2, 3))  # noqa: S608 - a number

    assert [(row["hour_start"], row["provider"]) for row in three] == [
        (now - timedelta(hours=2), "ollama"),
        (now, "claude"),
    ]
    assert two == three[1:]
    assert (two[0]["requests"], two[0]["successes"], two[0]["success_rate"]) == (2, 1, 50.0)
    assert (str(two[0]["cost_usd"]), two[0]["avg_response_time_ms"]) == ("0.25", 2000.0)
    assert two[0]["total_tokens"] == 2200


def test_a_day_begins_at_its_midnight_in_the_zone_of_days(connection: Database) -> None:
    rebuild_daily(connection, "Europe/Berlin")

    begins = [fetch_value(connection, f"SELECT llm_day_start('{day}')") for day in ("2026-03-10", "2026-07-10")]

    assert begins == [datetime(2026, 3, 9, 23, tzinfo=UTC), datetime(2026, 7, 9, 22, tzinfo=UTC)]


def test_hours_whose_raw_requests_are_gone_are_not_shown_in_part(database_url: str, connection: Database) -> None:
    now = datetime.now(UTC)
    store_events(database_url, make_events([now - 3 * DAY, now]))
    fold_deltas(connection)
    drop_old_partitions(connection, 1, now)

    store_events(database_url, make_events([now - 3 * DAY]))

    assert len(fetch_rows(connection, "SELECT * FROM llm_hourly_trends(200)")) == 1


def test_fallback_flows_say_who_served_whose_requests(database_url: str, connection: Database) -> None:
    now = datetime.now(UTC)
    store_events(database_url, make_fallbacks(now, 3) + make_fallbacks(now, status="error"))
    fold_deltas(connection)
    store_events(database_url, make_fallbacks(now, provider="openai", original_provider=None))
    store_events(database_url, make_fallbacks(now, provider="openai") + make_fallbacks(now - 40 * DAY, 9))

    rows = fetch_rows(connection, "SELECT * FROM llm_fallback_flows(30)")

    assert [tuple(row.values()) for row in rows] == [
        ("ollama", "claude", 4, 3, 75.0),
        ("ollama", "openai", 1, 1, 100.0),
        (None, "openai", 1, 1, 100.0),
    ]
    assert fetch_value(connection, "SELECT sum(requests) FROM llm_fallback_flows(NULL)") == 15


def test_the_migration_counts_what_was_folded_before_it(database_url: str, connection: Database) -> None:
    store_every_kind(database_url, connection, NOON, NOON - DAY)
    fold_deltas(connection)
    store_every_kind(database_url, connection, NOON + timedelta(minutes=1))
    # as if the tables had not been there when the requests came
    connection.execute(
        b"DROP VIEW llm_usage_hourly_current, llm_usage_hourly_pending, llm_fallbacks_current;"
        b"DROP FUNCTION llm_hourly_trends, llm_fallback_flows, llm_costs_by_tag, name_hour;"
        b"DROP FUNCTION sum_request_hours, sum_request_fallbacks;"
        b"DROP TABLE llm_usage_hourly, llm_fallback_deltas, llm_fallbacks_daily"
    )

    with connection.transaction():
        connection.execute((MIGRATIONS / "0015_usage_rollups.sql").read_bytes())

    assert fetch_hours(connection) == compute_hours(connection)
    assert fetch_fallbacks(connection) == compute_fallbacks(connection)
    fold_deltas(connection)
    assert fetch_hours(connection, "llm_usage_hourly") == compute_hours(connection)
