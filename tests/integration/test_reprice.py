from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from events import make_event
from fuseboard_aggregator import reprice
from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.locks import REPRICE_LOCK, hold_lock
from fuseboard_aggregator.partitions import drop_old_partitions
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_aggregator.reprice import RepriceBusyError, reprice_requests
from fuseboard_aggregator.reprice_store import append_usage_corrections
from fuseboard_consumer.batch import BatchStore
from fuseboard_schema.database import connect_database
from fuseboard_schema.pricing import ZERO
from stored_usage import (
    BASELINE,
    Row,
    compute_usage,
    fetch_rows,
    fetch_usage,
    fetch_value,
    make_events,
    repeating,
    store_batch,
    store_events,
)

Database = Connection[TupleRow]
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
# 1000 prompt and 100 completion tokens
CLAUDE_COST = Decimal("0.0045")
NEW_COST = Decimal("0.0012")


def set_price(connection: Database, provider: str, model_pattern: str = "*", valid_from: str = "-infinity") -> None:
    connection.execute(
        "INSERT INTO llm_prices"
        " (provider, model_pattern, input_usd_per_token, output_usd_per_token, valid_from, source)"
        " VALUES (%s, %s, 0.000001, 0.000002, %s, 'test')",
        (provider, model_pattern, valid_from),
    )


def fetch_requests(connection: Database) -> list[Row]:
    return fetch_rows(connection, "SELECT * FROM llm_requests ORDER BY event_id")


def count_unpriced(connection: Database) -> int:
    return int(fetch_value(connection, "SELECT count(*) FROM llm_requests WHERE cost_usd IS NULL"))


def test_a_dry_run_says_what_would_change_and_changes_nothing(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON, NOON, NOON + DAY], provider="mistral"))
    set_price(connection, "mistral")
    requests, usage = fetch_requests(connection), fetch_usage(connection, "llm_costs_current")

    result = reprice_requests(connection, baseline=BASELINE)

    assert result.is_dry_run
    assert (result.examined, result.changed, result.unpriced_before, result.unpriced_after) == (3, 3, 3, 0)
    assert (result.cost_usd_before, result.cost_usd_after) == (ZERO, 3 * NEW_COST)
    assert (result.savings_usd_before, result.savings_usd_after) == (ZERO, 3 * (CLAUDE_COST - NEW_COST))
    assert result.models["mistral", "claude-sonnet-4-5"].changed == 3
    assert (fetch_requests(connection), fetch_usage(connection, "llm_costs_current")) == (requests, usage)


def test_unpriced_requests_get_the_cost_that_new_ones_get(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON], provider="mistral"))
    set_price(connection, "mistral")
    store_events(database_url, make_events([NOON], provider="mistral"))

    reprice_requests(connection, baseline=BASELINE, dry_run=False)

    charges = [
        {name: row[name] for name in ("cost_usd", "price_id", "baseline_cost_usd", "baseline_price_id", "savings_usd")}
        for row in fetch_requests(connection)
    ]
    assert charges[0] == charges[1]
    assert charges[0]["cost_usd"] == NEW_COST


def test_daily_and_pending_usage_are_corrected_to_the_last_digit(database_url: str, connection: Database) -> None:
    for status in ("success", "error"):
        store_events(database_url, make_events([NOON, NOON + DAY], provider="mistral", status=status))
        # half of it is folded, half is pending
        fold_deltas(connection)
        store_events(database_url, make_events([NOON], provider="mistral", status=status))
    set_price(connection, "mistral")

    reprice_requests(connection, baseline=BASELINE, dry_run=False)
    pending = fetch_usage(connection, "llm_costs_current")
    fold_deltas(connection)

    expected = compute_usage(connection)
    assert pending == fetch_usage(connection, "llm_costs_daily") == expected
    assert sum(row["cost_usd"] for row in expected.values()) == 6 * NEW_COST
    assert sum(row["unpriced_requests"] for row in expected.values()) == 0


def test_repeating_a_reprice_changes_nothing(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON], provider="mistral"))
    set_price(connection, "mistral")
    reprice_requests(connection, baseline=BASELINE, dry_run=False)
    requests = fetch_requests(connection)
    deltas = fetch_rows(connection, "SELECT * FROM llm_usage_deltas ORDER BY delta_id")

    again = reprice_requests(connection, baseline=BASELINE, only_unpriced=False, dry_run=False)

    assert (again.examined, again.changed) == (1, 0)
    assert fetch_requests(connection) == requests
    assert fetch_rows(connection, "SELECT * FROM llm_usage_deltas ORDER BY delta_id") == deltas


def test_priced_requests_change_only_when_asked_for(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON], provider="openai"))
    set_price(connection, "openai", "claude-*")

    unpriced = reprice_requests(connection, baseline=BASELINE, dry_run=False)
    everything = reprice_requests(connection, baseline=BASELINE, only_unpriced=False, dry_run=False)

    assert (unpriced.examined, everything.changed) == (0, 1)
    assert everything.cost_usd_after == NEW_COST
    assert reconcile(connection).is_clean


def test_a_dearer_price_makes_savings_negative(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON], provider="ollama"))
    connection.execute(
        "INSERT INTO llm_prices (provider, model_pattern, input_usd_per_token, output_usd_per_token, source)"
        " VALUES ('ollama', 'claude-*', 1, 0, 'test')"
    )

    result = reprice_requests(connection, baseline=BASELINE, only_unpriced=False, dry_run=False)

    assert (result.savings_usd_before, result.savings_usd_after) == (CLAUDE_COST, CLAUDE_COST - 1000)
    assert fetch_usage(connection, "llm_costs_current") == compute_usage(connection)


def test_a_reported_cost_stays_and_its_baseline_follows_the_setting(database_url: str, connection: Database) -> None:
    store_events(database_url, [make_event(occurred_at=NOON, provider="openai", cost_usd="0.7")])

    result = reprice_requests(connection, baseline=("ollama", "llama"), only_unpriced=False, dry_run=False)

    (request,) = fetch_requests(connection)
    assert (request["cost_usd"], request["price_id"]) == (Decimal("0.7"), None)
    assert (request["baseline_cost_usd"], request["savings_usd"]) == (0, Decimal("-0.7"))
    assert (result.changed, result.savings_usd_after) == (1, Decimal("-0.7"))
    assert reconcile(connection).is_clean


def test_only_the_range_the_provider_and_the_model_asked_for_are_repriced(
    database_url: str, connection: Database
) -> None:
    times = [NOON + index * timedelta(hours=6) for index in range(8)]
    for provider, model in (("mistral", "small"), ("mistral", "large"), ("groq", "small")):
        store_events(database_url, make_events(times, provider=provider, model=model))
    set_price(connection, "mistral")
    set_price(connection, "groq")

    result = reprice_requests(
        connection,
        baseline=BASELINE,
        first=times[1],
        last=times[6],
        provider="mistral",
        model="small",
        dry_run=False,
    )

    assert (result.examined, list(result.models)) == (5, [("mistral", "small")])
    priced = [row for row in fetch_requests(connection) if row["cost_usd"] is not None]
    assert sorted(row["occurred_at"] for row in priced) == times[1:6]
    assert fetch_usage(connection, "llm_costs_current") == compute_usage(connection)


def test_the_price_of_the_time_of_the_call_counts(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON, NOON + DAY], provider="mistral"))
    set_price(connection, "mistral", valid_from="2026-03-11")

    result = reprice_requests(connection, baseline=BASELINE, dry_run=False)

    assert (result.unpriced_before, result.unpriced_after) == (2, 1)
    assert [row["cost_usd"] for row in fetch_requests(connection)] == [None, NEW_COST]


def test_a_day_is_repriced_in_chunks(database_url: str, connection: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reprice, "CHUNK_MAX_REQUESTS", 3)
    store_events(database_url, make_events([NOON] * 7 + [NOON + DAY] * 3, provider="mistral"))
    set_price(connection, "mistral")
    seen: list[tuple[int, int]] = []

    result = reprice_requests(
        connection, baseline=BASELINE, dry_run=False, progress=lambda done, total: seen.append((done, total))
    )

    assert (result.changed, count_unpriced(connection)) == (10, 0)
    assert seen == [(1, 2), (2, 2)]
    assert reconcile(connection).is_clean


def test_a_reprice_that_fails_half_way_has_done_whole_chunks(
    database_url: str, connection: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reprice, "CHUNK_MAX_REQUESTS", 3)
    store_events(database_url, make_events([NOON] * 7, provider="mistral"))
    set_price(connection, "mistral")
    calls = 0

    def fail_at_the_fourth(*arguments: object, sign: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise ConnectionError
        append_usage_corrections(*arguments, sign=sign)  # type: ignore[arg-type]

    monkeypatch.setattr(reprice, "append_usage_corrections", fail_at_the_fourth)
    with pytest.raises(ConnectionError):
        reprice_requests(connection, baseline=BASELINE, dry_run=False)
    left = count_unpriced(connection)
    clean_half_way = reconcile(connection).is_clean
    reprice_requests(connection, baseline=BASELINE, dry_run=False)

    assert (left, clean_half_way) == (4, True)
    assert (count_unpriced(connection), reconcile(connection).is_clean) == (0, True)


def test_usage_is_exact_while_requests_are_inserted_folded_and_repriced(
    database_url: str, connection: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reprice, "CHUNK_MAX_REQUESTS", 5)
    set_price(connection, "openai", "claude-*")
    with (
        closing(BatchStore(database_url)) as store,
        connect_database(database_url, application_name="tests") as folder,
        connect_database(database_url, application_name="tests") as checker,
        repeating(
            lambda: store_batch(store, make_events([NOON, NOON + DAY], provider="openai")),
            lambda: fold_deltas(folder),
        ),
    ):
        for baseline in (("ollama", "llama"), ("openai", "gpt")) * 4:
            reprice_requests(connection, baseline=baseline, only_unpriced=False, dry_run=False)
            assert reconcile(checker).is_clean
    fold_deltas(connection)

    assert fetch_usage(connection, "llm_costs_daily") == compute_usage(connection)


def test_health_totals_do_not_change(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON], provider="mistral"))
    set_price(connection, "mistral")
    before = fetch_rows(connection, "SELECT * FROM llm_provider_health ORDER BY provider")

    reprice_requests(connection, baseline=BASELINE, dry_run=False)

    assert fetch_rows(connection, "SELECT * FROM llm_provider_health ORDER BY provider") == before


def test_requests_that_are_gone_are_out_of_reach(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOON, NOON + 5 * DAY], provider="mistral"))
    drop_old_partitions(connection, 2, NOON + 6 * DAY)
    set_price(connection, "mistral")

    result = reprice_requests(connection, baseline=BASELINE, dry_run=False)

    assert (result.changed, result.raw_retained_from) == (1, datetime(2026, 3, 11, tzinfo=UTC))
    unpriced = {key.day: row["unpriced_requests"] for key, row in fetch_usage(connection, "llm_costs_current").items()}
    assert unpriced == {date(2026, 3, 10): 1, date(2026, 3, 15): 0}


def test_a_second_reprice_at_once_is_refused(database_url: str, connection: Database) -> None:
    with (
        connect_database(database_url, application_name="tests") as other,
        hold_lock(other, REPRICE_LOCK),
        pytest.raises(RepriceBusyError, match="another reprice is running"),
    ):
        reprice_requests(connection, baseline=BASELINE)


@pytest.mark.parametrize("bound", ["first", "last"])
def test_a_time_without_a_zone_is_refused(connection: Database, bound: str) -> None:
    naive = NOON.replace(tzinfo=None)

    with pytest.raises(ValueError, match=f"{bound}: .* has no time zone"):
        reprice_requests(
            connection,
            baseline=BASELINE,
            first=naive if bound == "first" else None,
            last=naive if bound == "last" else None,
        )
