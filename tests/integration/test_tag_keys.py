"""Tags whose cost is kept come and go while batches are stored and priced again: no request is missed or doubled."""

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from fuseboard_aggregator import reprice, reprice_store
from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.partitions import drop_old_partitions
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_aggregator.reprice import reprice_requests
from fuseboard_aggregator.tag_keys import add_tag_key, remove_tag_key
from fuseboard_api.read_store import select_tag_keys
from fuseboard_consumer.batch import BatchStore
from fuseboard_schema.database import connect_database
from queries import fetch_value
from stored_rollups import compute_tags, fetch_tags
from stored_usage import BASELINE, Database, fetch_rows, make_events, make_tagged, set_price, store_batch, store_events
from waiting import wait_until

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WAITING_LOCKS = "SELECT count(*) FROM pg_locks WHERE relation = 'llm_tag_deltas'::regclass AND NOT granted"


def add_patiently(connection: Database, tag_key: str) -> None:
    """Add a tag, again where a slow machine did not end its batch in time."""
    while True:
        with suppress(psycopg.errors.LockNotAvailable):
            add_tag_key(connection, tag_key)
            return


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
        adding = threading.Thread(target=add_patiently, args=(adder, "user"))
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


@pytest.mark.parametrize("change", [add_tag_key, remove_tag_key])
def test_tags_change_before_or_after_a_chunk_of_a_reprice_and_never_within(
    change: Callable[[Database, str], object], database_url: str, connection: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag_key = "team" if change is remove_tag_key else "user"
    store_events(
        database_url, make_events([NOON] * 2, provider="nobody-knows", tags={"team": "search", "user": "anna"})
    )
    fold_deltas(connection)
    set_price(connection, "nobody-knows")
    correct, changed = reprice_store.append_usage_corrections, []

    def change_first(*arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passed on
        # it waits for the chunk, in vain here
        with (
            suppress(psycopg.errors.LockNotAvailable),
            connect_database(database_url, application_name="tags") as other,
        ):
            change(other, tag_key)
            changed.append(tag_key)
        correct(*arguments, **options)

    monkeypatch.setattr(reprice, "append_usage_corrections", change_first)
    reprice_requests(connection, baseline=BASELINE, dry_run=False)
    if not changed:
        change(connection, tag_key)
    fold_deltas(connection)

    assert fetch_tags(connection, "llm_tag_costs_daily") == compute_tags(connection)
    assert reconcile(connection).is_clean


def test_a_tag_that_is_being_added_is_no_difference_and_holds_up_no_retention(
    database_url: str, connection: Database
) -> None:
    store_events(database_url, make_tagged(NOON, user="anna") + make_tagged(NOON + DAY, user="anna"))
    connection.execute("INSERT INTO llm_tag_keys (tag_key) VALUES ('user')")
    store_events(database_url, make_tagged(NOON + DAY, user="anna"))
    fold_deltas(connection)

    assert reconcile(connection).is_clean
    assert drop_old_partitions(connection, 1, NOON + 2 * DAY).dropped == [NOON.date()]
