from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.partitions import drop_old_partitions
from fuseboard_aggregator.rebuild import rebuild_daily
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_aggregator.usage import MEASURES
from fuseboard_consumer.batch import BatchStore
from fuseboard_schema.database import connect_database
from stored_usage import (
    compute_usage,
    fetch_rows,
    fetch_usage,
    fetch_value,
    make_events,
    repeating,
    store_batch,
    store_events,
    store_every_kind,
)

Database = Connection[TupleRow]
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def test_what_the_consumer_appends_is_what_its_requests_add(database_url: str, connection: Database) -> None:
    store_every_kind(database_url, connection, NOON)
    columns = [row["name"] for row in fetch_rows(connection, COLUMNS_OF_DELTAS)]
    summed = [name for name in columns if name not in ("quarter_start", "provider", "model", "duration_buckets")]
    parts = {
        "sums": sql.SQL(", ").join(sql.SQL("sum({0}) AS {0}").format(sql.Identifier(name)) for name in summed),
        "relation": sql.Identifier("llm_usage_deltas"),
    }

    appended = connection.execute(SUMS_BY_QUARTER.format(**parts)).fetchall()
    added = connection.execute(
        SUMS_BY_QUARTER.format(**parts | {"relation": sql.Identifier("llm_request_usage")})
    ).fetchall()

    assert appended == added
    assert len(appended) > 5
    # a measure that no request of the test adds to would not be compared
    assert all(any(row[index] for row in added) for index in range(3, len(added[0])))


COLUMNS_OF_DELTAS = """
    SELECT attname AS name FROM pg_attribute
    WHERE attrelid = 'llm_usage_deltas'::regclass AND attnum > 0 AND attname <> 'delta_id'"""
SUMS_BY_QUARTER = sql.SQL("""
    SELECT quarter_start, provider, model, {sums}, make_histogram(duration_buckets, 1)
    FROM {relation} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""")


def test_requests_of_every_kind_are_summed_as_their_fields_say(database_url: str, connection: Database) -> None:
    store_every_kind(database_url, connection, NOON)
    fold_deltas(connection)

    daily = fetch_usage(connection, "llm_costs_daily")

    assert daily == compute_usage(connection)
    assert all(any(row[name] for row in daily.values()) for name in MEASURES)
    assert min(row["savings_usd"] for row in daily.values()) < -100


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_exact_usage_is_clean_with_its_totals(database_url: str, connection: Database, zone: str) -> None:
    rebuild_daily(connection, zone)
    store_every_kind(database_url, connection, NOON - DAY)
    fold_deltas(connection)
    store_every_kind(database_url, connection, NOON)

    result = reconcile(connection)

    assert result.is_clean
    assert (result.raw_requests, result.daily_requests, result.pending_requests) == (24, 12, 12)
    assert result.difference_requests == result.difference_usd == 0
    cost = sum(row["cost_usd"] for row in compute_usage(connection, zone).values())
    assert result.raw_cost_usd == cost
    assert result.daily_cost_usd == result.pending_cost_usd == cost / 2


@pytest.mark.parametrize("measure", MEASURES)
def test_a_difference_in_any_measure_is_found_and_repaired(
    database_url: str, connection: Database, measure: str
) -> None:
    store_every_kind(database_url, connection, NOON)
    fold_deltas(connection)
    exact = fetch_usage(connection, "llm_costs_daily")
    column = sql.Identifier(measure)
    changed = sql.SQL("{0}[7] = 5" if measure == "duration_histogram" else "{0} = {0} + 1").format(column)
    connection.execute(sql.SQL("UPDATE llm_costs_daily SET {} WHERE provider = 'claude'").format(changed))

    found = reconcile(connection)
    repaired = reconcile(connection, repair=True)

    assert [(day.key.provider, day.measures) for day in found.days] == [("claude", [measure])]
    assert [day.measures for day in repaired.days] == [[measure]]
    assert (found.is_repaired, repaired.is_repaired) == (False, True)
    assert fetch_usage(connection, "llm_costs_daily") == exact


@pytest.mark.parametrize(
    ("change", "requests", "usd"),
    [
        pytest.param("UPDATE llm_costs_daily SET cost_usd = cost_usd - 1e-30", 0, Decimal("1e-30"), id="last digit"),
        pytest.param("DELETE FROM llm_costs_daily", 2, Decimal("0.009"), id="no daily row"),
        pytest.param("UPDATE llm_costs_daily SET day = day + 400", 4, Decimal("0.018"), id="another day"),
        pytest.param("UPDATE llm_costs_daily SET model = 'm'", 4, Decimal("0.018"), id="another model"),
        pytest.param("UPDATE llm_costs_daily SET requests = 0, cost_usd = 9", 2, Decimal("8.991"), id="both"),
    ],
)
def test_differences_add_up_and_the_repair_leaves_what_is_pending(
    database_url: str, connection: Database, change: str, requests: int, usd: Decimal
) -> None:
    store_events(database_url, make_events([NOON, NOON]))
    fold_deltas(connection)
    connection.execute(change.encode())
    store_events(database_url, make_events([NOON]))

    found = reconcile(connection, repair=True)

    assert (found.difference_requests, found.difference_usd) == (requests, usd)
    assert fetch_usage(connection, "llm_costs_current") == compute_usage(connection)
    assert reconcile(connection).is_clean


def test_without_repair_nothing_changes(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON]))
    before = fetch_usage(connection, "llm_costs_current")
    connection.execute("INSERT INTO llm_costs_daily SELECT * FROM llm_costs_pending")

    assert reconcile(connection).difference_requests == 1
    assert reconcile(connection).difference_requests == 1
    assert fetch_usage(connection, "llm_costs_daily") == fetch_usage(connection, "llm_costs_pending") == before


def test_only_the_days_asked_for_are_compared_and_repaired(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events(NOON + index * DAY for index in range(5)))
    fold_deltas(connection)
    connection.execute("UPDATE llm_costs_daily SET cost_usd = 0")
    first, last = date(2026, 3, 11), date(2026, 3, 12)

    found = reconcile(connection, first_day=first, last_day=last, repair=True)

    assert [day.key.day for day in found.days] == [first, last]
    assert found.raw_requests == found.daily_requests == 2
    rest = reconcile(connection)
    assert [day.key.day for day in rest.days] == [date(2026, 3, 10), date(2026, 3, 13), date(2026, 3, 14)]


def test_days_are_compared_one_partition_after_the_other(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON, NOON + DAY, NOON + 9 * DAY]))
    seen: list[tuple[int, int]] = []

    reconcile(connection, progress=lambda done, total: seen.append((done, total)))

    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_after_retention_a_repair_destroys_nothing(database_url: str, connection: Database, zone: str) -> None:
    rebuild_daily(connection, zone)
    store_events(database_url, make_events(NOON + index * timedelta(hours=5) for index in range(30)))
    fold_deltas(connection)
    drop_old_partitions(connection, 2, NOON + 5 * DAY)
    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") < 20
    store_events(database_url, make_events([NOON + 5 * DAY]))

    pending_is_clean = reconcile(connection, repair=True).is_clean
    fold_deltas(connection)
    connection.execute("UPDATE llm_costs_daily SET requests = requests + 7 WHERE day = '2026-03-15'")
    repaired = reconcile(connection, repair=True)

    assert pending_is_clean
    assert [day.key.day for day in repaired.days] == [date(2026, 3, 15)]
    assert sum(row["requests"] for row in fetch_usage(connection, "llm_costs_current").values()) == 31


def test_reconciling_beside_inserts_and_folds_finds_nothing(database_url: str, connection: Database) -> None:
    with (
        closing(BatchStore(database_url)) as store,
        connect_database(database_url, application_name="tests") as folder,
        repeating(lambda: store_batch(store, make_events([NOON, NOON + DAY])), lambda: fold_deltas(folder)),
    ):
        results = [reconcile(connection, repair=index % 2 == 1) for index in range(20)]

    assert all(result.is_clean for result in results)
    assert results[-1].raw_requests > results[0].raw_requests
