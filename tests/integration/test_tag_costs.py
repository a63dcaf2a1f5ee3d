"""Cost by tag is what the raw requests say, folded or not (G3), also of a tag that is added meanwhile."""

import threading
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.partitions import drop_old_partitions
from fuseboard_aggregator.rebuild import rebuild_daily
from fuseboard_aggregator.reconcile import RollupDifference, reconcile
from fuseboard_aggregator.reprice import reprice_requests
from fuseboard_aggregator.tag_keys import add_tag_key, remove_tag_key
from fuseboard_api.read_store import select_tag_keys
from fuseboard_consumer.batch import BatchStore
from fuseboard_schema.database import connect_database
from queries import fetch_value
from stored_rollups import compute_tags, fetch_tags
from stored_usage import BASELINE, Database, fetch_rows, make_events, store_batch, store_events
from waiting import wait_until

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WAITING_LOCKS = "SELECT count(*) FROM pg_locks WHERE relation = 'llm_tag_deltas'::regclass AND NOT granted"


def make_tagged(at: datetime, count: int = 1, **tags: str) -> list[dict[str, object]]:
    return make_events([at] * count, cost_usd="0.000000000000000001", tags=tags)


def test_cost_by_tag_is_exact_before_and_after_the_fold(database_url: str, connection: Database) -> None:
    store_events(database_url, make_tagged(NOON, 2, team="search", feature="rank") + make_tagged(NOON - DAY, team=""))
    store_events(database_url, make_events([NOON], provider="nobody-knows", status="error", tags={"team": "search"}))
    expected = compute_tags(connection)

    before = fetch_tags(connection)
    fold_deltas(connection)
    store_events(database_url, make_tagged(NOON, team="search"))

    assert before == expected
    assert len(expected) == 3
    assert fetch_tags(connection) == compute_tags(connection)
    fold_deltas(connection)
    assert fetch_tags(connection, "llm_tag_costs_daily") == compute_tags(connection)
    assert fetch_value(connection, "SELECT count(*) FROM llm_tag_deltas") == 0


def test_tags_that_are_not_kept_make_no_rows_and_events_that_come_again_count_once(
    database_url: str, connection: Database
) -> None:
    events = make_tagged(NOON, 3, team="search", user="anna")
    for _ in range(3):
        store_events(database_url, events)
        fold_deltas(connection)
    store_events(database_url, make_events([NOON]) + make_tagged(NOON, user="anna"))

    assert fetch_value(connection, "SELECT count(*) FROM llm_tag_deltas") == 0
    assert {key: row["requests"] for key, row in fetch_tags(connection).items()} == {(NOON.date(), "team", "search"): 3}


def test_the_function_gives_the_values_by_cost_and_what_has_no_tag_as_the_rest(
    database_url: str, connection: Database
) -> None:
    now = datetime.now(UTC)
    store_events(database_url, make_events([now] * 2, tags={"team": "a"}, cost_usd="0.1", status="success"))
    store_events(database_url, make_events([now], tags={"team": "b"}, cost_usd="5", status="error"))
    fold_deltas(connection)
    store_events(database_url, make_events([now] * 3, cost_usd="1"))
    store_events(database_url, make_events([now - 40 * DAY], tags={"team": "old"}, cost_usd="7"))

    rows = fetch_rows(connection, "SELECT * FROM llm_costs_by_tag('team', 30)")
    every = fetch_rows(connection, "SELECT * FROM llm_costs_by_tag('team', NULL)")

    said = [(row["tag_value"], row["requests"], row["successes"], row["success_rate"], row["cost_usd"]) for row in rows]
    assert said == [
        ("b", 1, 0, 0.0, Decimal(5)),
        (None, 3, 3, 100.0, Decimal(3)),
        ("a", 2, 2, 100.0, Decimal("0.2")),
    ]
    assert [row["tag_value"] for row in every] == ["old", "b", None, "a"]
    for measure, of_all in (("cost_usd", "total_cost_usd"), ("savings_usd", "estimated_savings_usd")):
        assert sum(row[measure] for row in every) == fetch_value(connection, f"SELECT {of_all} FROM llm_cost_summary()")  # noqa: S608 - our own names


def test_a_tag_that_is_not_kept_is_refused_with_what_to_do(connection: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedParameter, match="cost by the tag user is not kept") as raised:
        connection.execute("SELECT * FROM llm_costs_by_tag('user')")

    assert "fuseboard tags add user" in str(raised.value.diag.message_hint)


def test_a_tag_is_added_with_what_is_stored_already(database_url: str, connection: Database) -> None:
    store_events(database_url, make_tagged(NOON, 2, user="anna", team="search"))
    fold_deltas(connection)
    store_events(database_url, make_tagged(NOON + DAY, user="bert"))

    add_tag_key(connection, "user")
    store_events(database_url, make_tagged(NOON, user="anna"))

    assert fetch_tags(connection) == compute_tags(connection)
    assert {(day, value) for day, key, value in fetch_tags(connection) if key == "user"} == {
        (NOON.date(), "anna"),
        ((NOON + DAY).date(), "bert"),
    }
    assert [key.tag_key for key in select_tag_keys(connection)] == ["feature", "team", "tenant", "user"]


def test_a_tag_added_while_a_batch_is_stored_waits_for_its_end(database_url: str, connection: Database) -> None:
    with (
        closing(BatchStore(database_url)) as store,
        connect_database(database_url, application_name="adding") as adder,
        closing(connect_database(database_url, application_name="watching")) as watcher,
    ):
        adding = threading.Thread(target=add_tag_key, args=(adder, "user"))
        with store.connection.transaction():
            store_batch(store, make_tagged(NOON, 2, user="anna"))
            adding.start()
            wait_until(lambda: not adding.is_alive() or fetch_value(watcher, WAITING_LOCKS) == 1)
        adding.join()
        store_batch(store, make_tagged(NOON, user="anna"))

    assert fetch_tags(connection) == compute_tags(connection)
    assert [row["requests"] for row in fetch_tags(connection).values()] == [3]


def test_a_tag_cannot_be_added_while_a_batch_does_not_end(database_url: str, connection: Database) -> None:
    with closing(BatchStore(database_url)) as store, store.connection.transaction():
        store_batch(store, make_tagged(NOON, user="anna"))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            add_tag_key(connection, "user")

    assert "user" not in [key.tag_key for key in select_tag_keys(connection)]


def test_an_addition_that_was_killed_half_way_is_refused_until_the_next_one_ends_it(
    database_url: str, connection: Database
) -> None:
    store_events(database_url, make_tagged(NOON, user="anna"))
    # what its first step leaves
    connection.execute("INSERT INTO llm_tag_keys (tag_key) VALUES ('user')")
    store_events(database_url, make_tagged(NOON, user="anna"))
    with pytest.raises(psycopg.errors.UndefinedParameter):
        connection.execute("SELECT * FROM llm_costs_by_tag('user')")

    add_tag_key(connection, "user")

    assert fetch_tags(connection) == compute_tags(connection)
    assert fetch_value(connection, "SELECT requests FROM llm_costs_by_tag('user', NULL)") == 2


def test_adding_a_tag_again_keeps_days_whose_raw_requests_are_gone(database_url: str, connection: Database) -> None:
    store_events(database_url, make_tagged(NOON, team="search") + make_tagged(NOON + DAY, team="search"))
    fold_deltas(connection)
    kept = fetch_tags(connection)
    drop_old_partitions(connection, 1, NOON + 2 * DAY)

    add_tag_key(connection, "team")

    assert fetch_tags(connection) == kept
    assert len(kept) == 2


def test_a_tag_added_after_days_were_dropped_begins_with_the_first_whole_day(
    database_url: str, connection: Database
) -> None:
    store_events(database_url, make_tagged(NOON, user="anna") + make_tagged(NOON + DAY, user="anna"))
    fold_deltas(connection)
    drop_old_partitions(connection, 1, NOON + 2 * DAY)

    add_tag_key(connection, "user")

    (key,) = (key for key in select_tag_keys(connection) if key.tag_key == "user")
    assert key.whole_from == date(2026, 3, 11)
    rows = fetch_rows(connection, "SELECT tag_value, requests FROM llm_costs_by_tag('user', NULL)")
    # the dropped day is not taken for requests without the tag
    assert [(row["tag_value"], row["requests"]) for row in rows] == [("anna", 1)]


def test_a_tag_is_removed_with_its_sums(database_url: str, connection: Database) -> None:
    store_events(database_url, make_tagged(NOON, team="search", feature="rank"))
    fold_deltas(connection)
    store_events(database_url, make_tagged(NOON, team="search"))

    assert remove_tag_key(connection, "team")

    assert {key for _, key, _ in fetch_tags(connection)} == {"feature"}
    assert not remove_tag_key(connection, "team")


def test_tags_move_with_the_days_of_another_zone(database_url: str, connection: Database) -> None:
    store_events(database_url, make_tagged(NOON + timedelta(hours=11, minutes=45), team="search"))
    fold_deltas(connection)
    store_events(database_url, make_tagged(NOON + timedelta(hours=6, minutes=15), team="search"))

    rebuild_daily(connection, "Asia/Kathmandu")

    assert fetch_tags(connection, "llm_tag_costs_daily") == compute_tags(connection, "Asia/Kathmandu")
    assert fetch_value(connection, "SELECT count(*) FROM llm_tag_costs_daily WHERE requests = 0") == 0


def test_a_reprice_corrects_cost_by_tag(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON] * 2, provider="nobody-knows", tags={"team": "search"}))
    fold_deltas(connection)
    connection.execute(
        "INSERT INTO llm_prices (provider, model_pattern, input_usd_per_token, output_usd_per_token, source)"
        " VALUES ('nobody-knows', '*', 0.25, 0.25, 'test')"
    )

    reprice_requests(connection, baseline=BASELINE, dry_run=False)

    expected = compute_tags(connection)
    assert fetch_tags(connection) == expected
    assert [(row["unpriced_requests"], row["cost_usd"] > 0) for row in expected.values()] == [(0, True)]


def test_reconcile_finds_and_repairs_what_is_summed_beside_daily_usage(database_url: str, connection: Database) -> None:
    fallbacks = make_events([NOON], is_fallback=True, original_provider="ollama")
    store_events(database_url, make_tagged(NOON, team="search") + make_tagged(NOON + DAY, team="search") + fallbacks)
    fold_deltas(connection)
    assert reconcile(connection).is_clean
    for table in ("llm_usage_hourly", "llm_fallbacks_daily", "llm_tag_costs_daily"):
        connection.execute(f"UPDATE {table} SET requests = requests + 1".encode())  # noqa: S608 - our own names

    found = reconcile(connection, repair=True)

    today, tomorrow = NOON.date(), (NOON + DAY).date()
    assert set(found.rollups) == {
        RollupDifference("llm_usage_hourly", today),
        RollupDifference("llm_usage_hourly", tomorrow),
        RollupDifference("llm_fallbacks_daily", today),
        RollupDifference("llm_tag_costs_daily", today),
        RollupDifference("llm_tag_costs_daily", tomorrow),
    }
    assert not found.days
    assert not found.is_clean
    assert reconcile(connection).is_clean
    assert fetch_tags(connection, "llm_tag_costs_daily") == compute_tags(connection)
