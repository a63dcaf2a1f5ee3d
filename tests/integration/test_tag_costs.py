"""Cost by tag is what the raw requests say, folded or not (G3), also of a tag that is added meanwhile."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.rebuild import rebuild_daily
from fuseboard_aggregator.reconcile import RollupDifference, reconcile
from fuseboard_aggregator.reprice import reprice_requests
from queries import fetch_value
from stored_rollups import compute_tags, fetch_tags
from stored_usage import BASELINE, Database, fetch_rows, make_events, make_tagged, set_price, store_events

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


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
    set_price(connection, "nobody-knows")

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


@pytest.mark.parametrize("day", ["2026-03-10", "2026-01-01"])
@pytest.mark.parametrize(
    "measures", ["1, 1, 0, 0, 0, 0, 0, 0, 0", "0, 0, 0, 0, 0, 5, 0, 0, 0", "0, 0, 0, 0, 0, 0, 0, 0, -5"]
)
def test_sums_of_requests_that_never_were_are_found_and_repaired(
    day: str, measures: str, database_url: str, connection: Database
) -> None:
    store_events(database_url, make_tagged(NOON, team="search"))
    fold_deltas(connection)
    connection.execute(f"INSERT INTO llm_tag_costs_daily VALUES ('{day}', 'team', 'ghost', {measures})".encode())  # noqa: S608 - our own

    assert reconcile(connection, repair=True).rollups == [
        RollupDifference("llm_tag_costs_daily", date.fromisoformat(day))
    ]
    assert reconcile(connection).is_clean
    assert fetch_tags(connection, "llm_tag_costs_daily") == compute_tags(connection)
