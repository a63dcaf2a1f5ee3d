import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from events import make_event
from fuseboard_aggregator import fold
from fuseboard_aggregator.fold import Folded, fold_deltas
from fuseboard_aggregator.locks import FOLD_LOCK, hold_lock
from fuseboard_consumer.batch import BatchStore
from fuseboard_schema.database import connect_database
from stored_usage import (
    compute_usage,
    fetch_usage,
    fetch_value,
    make_events,
    repeating,
    store_batch,
    store_events,
    sum_exactly,
)
from waiting import wait_until

Database = Connection[TupleRow]
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
RUN_FOLD = """
import sys
from fuseboard_aggregator.fold import fold_deltas
from fuseboard_schema.database import connect_database
fold_deltas(connect_database(sys.argv[1], application_name="folding"))
"""


def count_deltas(connection: Database) -> int:
    return int(fetch_value(connection, "SELECT count(*) FROM llm_usage_deltas"))


def set_zone(connection: Database, zone: str) -> None:
    connection.execute("UPDATE fuseboard_settings SET value = %s WHERE name = 'day_time_zone'", (zone,))


def test_a_fold_moves_every_delta_into_its_daily_row(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON, NOON + timedelta(minutes=1)], duration_seconds=0.004))
    store_events(database_url, make_events([NOON + timedelta(hours=1)], status="timeout", provider="openai"))
    expected = compute_usage(connection)
    before = fetch_usage(connection, "llm_costs_pending")

    folded = fold_deltas(connection)

    assert (before, folded) == (expected, Folded(2, 2))
    assert fetch_usage(connection, "llm_costs_daily") == expected
    assert count_deltas(connection) == 0


def test_daily_and_pending_usage_are_read_together(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON], duration_seconds=0.5))
    fold_deltas(connection)
    store_events(database_url, make_events([NOON, NOON], duration_seconds=7))

    assert fetch_usage(connection, "llm_costs_current") == compute_usage(connection)


def test_sums_are_exact_for_tiny_and_huge_costs(database_url: str, connection: Database) -> None:
    costs = ["0.000000000000000001", "999999999.999999999999999999", "0.0000000001", "123456789.1"] * 25
    for part in (costs[:50], costs[50:]):
        store_events(database_url, [make_event(occurred_at=NOON, cost_usd=cost) for cost in part])
        fold_deltas(connection)

    total = fetch_value(connection, "SELECT sum(cost_usd) FROM llm_costs_daily")

    assert total == sum_exactly(map(Decimal, costs))
    assert total == Decimal("28086419727.5000000025")


def test_folding_twice_changes_nothing(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON]))
    fold_deltas(connection)
    daily = fetch_usage(connection, "llm_costs_daily")

    assert fold_deltas(connection) == Folded(0, 0)
    assert fetch_usage(connection, "llm_costs_daily") == daily


def test_more_deltas_than_one_statement_takes_are_folded(
    database_url: str, connection: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold, "CHUNK_MAX_DELTAS", 2)
    store_events(database_url, make_events(NOON + timedelta(minutes=15 * index) for index in range(5)))

    assert fold_deltas(connection) == Folded(5, 3)
    assert fetch_usage(connection, "llm_costs_daily") == compute_usage(connection)


def test_folds_at_once_beside_inserts_count_every_event_once(database_url: str, connection: Database) -> None:

    def insert(provider: str) -> None:
        with closing(BatchStore(database_url)) as store:
            for index in range(30):
                store_batch(store, make_events([NOON + timedelta(hours=index)] * 5, provider=provider))

    inserters = [threading.Thread(target=insert, args=(provider,)) for provider in ("claude", "ollama")]
    with ExitStack() as stack:
        folders = [stack.enter_context(connect_database(database_url, application_name="folding")) for _ in range(3)]
        stack.enter_context(repeating(*(partial(fold_deltas, folder) for folder in folders)))
        for thread in inserters:
            thread.start()
        for thread in inserters:
            thread.join()

    fold_deltas(connection)

    daily = fetch_usage(connection, "llm_costs_daily")
    assert daily == compute_usage(connection)
    assert sum(row["requests"] for row in daily.values()) == 300


def test_a_fold_beside_a_session_that_changes_daily_rows_is_left_out(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON]))

    with connect_database(database_url, application_name="tests") as other, hold_lock(other, FOLD_LOCK) as held:
        assert held
        assert fold_deltas(connection) is None

    assert fold_deltas(connection) == Folded(1, 1)


@contextmanager
def holding_the_daily_row(database_url: str) -> Iterator[None]:
    """Make a fold wait in the middle of its statement, its deltas deleted and its daily rows not yet written."""
    with connect_database(database_url, application_name="tests") as other, other.transaction():
        other.execute("SELECT FROM llm_costs_daily FOR UPDATE")
        yield


def is_folding(connection: Database) -> bool:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'folding' AND wait_event_type = 'Lock'"
    )
    return bool(fetch_value(connection, waiting))


def store_half_folded(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON]))
    fold_deltas(connection)
    store_events(database_url, make_events([NOON] * 3))


def test_a_fold_whose_session_is_terminated_half_way_loses_nothing(database_url: str, connection: Database) -> None:
    store_half_folded(database_url, connection)
    terminated = threading.Event()

    def fold_until_terminated() -> None:
        with connect_database(database_url, application_name="folding") as own:
            try:
                fold_deltas(own)
            except psycopg.OperationalError:
                terminated.set()

    thread = threading.Thread(target=fold_until_terminated)
    with holding_the_daily_row(database_url):
        thread.start()
        wait_until(lambda: is_folding(connection))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'folding'"
        )
        thread.join()

    assert terminated.is_set()
    assert count_deltas(connection) == 1
    assert fold_deltas(connection) == Folded(1, 1)
    assert fetch_usage(connection, "llm_costs_daily") == compute_usage(connection)


def test_a_fold_whose_process_is_killed_half_way_counts_nothing_twice(database_url: str, connection: Database) -> None:
    store_half_folded(database_url, connection)
    with holding_the_daily_row(database_url):
        process = subprocess.Popen([sys.executable, "-c", RUN_FOLD, database_url])
        wait_until(lambda: is_folding(connection))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    # the server goes on with the statement of a client that is gone, and may or may not commit it
    wait_until(lambda: not is_folding(connection) and fold_deltas(connection) is not None)

    assert count_deltas(connection) == 0
    assert fetch_usage(connection, "llm_costs_daily") == compute_usage(connection)


def test_a_late_event_reaches_its_own_day(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON]))
    fold_deltas(connection)
    store_events(database_url, make_events([NOON - timedelta(days=40)]))

    fold_deltas(connection)

    days = {key.day: row["requests"] for key, row in fetch_usage(connection, "llm_costs_daily").items()}
    assert days == {date(2026, 1, 29): 1, date(2026, 3, 10): 1}


@pytest.mark.parametrize(
    ("zone", "midnight_utc", "quarters_of_days"),
    [
        pytest.param("UTC", datetime(2026, 3, 28, tzinfo=UTC), [96, 96, 96], id="utc"),
        pytest.param("Europe/Berlin", datetime(2026, 3, 27, 23, tzinfo=UTC), [96, 92, 96], id="berlin, 23 hours"),
        pytest.param("Europe/Berlin", datetime(2026, 10, 23, 22, tzinfo=UTC), [96, 100, 96], id="berlin, 25 hours"),
        pytest.param("America/New_York", datetime(2026, 3, 7, 5, tzinfo=UTC), [96, 92, 96], id="new york, 23 hours"),
        pytest.param("America/New_York", datetime(2026, 10, 31, 4, tzinfo=UTC), [96, 100, 96], id="new york, 25 hours"),
        pytest.param("Asia/Kathmandu", datetime(2026, 3, 27, 18, 15, tzinfo=UTC), [96, 96, 96], id="kathmandu, +5:45"),
        # the clock goes back at one in the morning, so midnight comes twice
        pytest.param(
            "America/Havana", datetime(2026, 10, 31, 4, tzinfo=UTC), [96, 100, 96], id="havana, two midnights"
        ),
    ],
)
def test_days_begin_at_midnight_of_the_zone(
    database_url: str, connection: Database, zone: str, midnight_utc: datetime, quarters_of_days: list[int]
) -> None:
    set_zone(connection, zone)
    quarters = (midnight_utc + timedelta(minutes=15 * index) for index in range(sum(quarters_of_days)))
    # the last microsecond of a quarter belongs to it
    store_events(database_url, make_events(at + timedelta(minutes=15, microseconds=-1) for at in quarters))

    fold_deltas(connection)

    daily = fetch_usage(connection, "llm_costs_daily")
    assert [daily[key]["requests"] for key in sorted(daily)] == quarters_of_days
    assert daily == compute_usage(connection, zone)
