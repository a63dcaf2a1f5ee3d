"""Providers under other names: aliases, merging and removing, on real servers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from commands import run_command, run_json, store_events
from consumers import drain_all, is_drained, make_settings, running_drain, shorten_waits
from events import add_entry, make_event
from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.provider_merge import merge_provider
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_cli.circuit_checks import check_disabled
from fuseboard_cli.command_error import CommandError
from fuseboard_cli.status import select_provider_status
from fuseboard_schema.settings import Settings
from queries import Database, fetch_row, fetch_value
from stored_usage import compute_usage, fetch_usage
from waiting import wait_until

TOTALS = "SELECT sum(requests) requests, sum(cost_usd) cost, sum(savings_usd) savings FROM llm_costs_current"


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shorten_waits(monkeypatch.setattr)
    monkeypatch.setattr("fuseboard_cli.provider_names.BATCH_SECONDS", 0.1)
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_PRICE_REFRESH_SECONDS="0.1")


def test_case_blanks_and_usual_synonyms_are_one_provider(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    said = ["claude", "Claude", " ANTHROPIC ", "anthropic", "OpenAI", "local-ai", "Ollama", "Mistral", "mistral"]
    events = [make_event(provider=name, is_fallback=True, original_provider="Anthropic") for name in said]
    store_events(redis_client, settings, events)

    stored = connection.execute("SELECT provider, count(*) FROM llm_requests GROUP BY 1 ORDER BY 1").fetchall()
    assert stored == [("claude", 4), ("localai", 1), ("mistral", 2), ("ollama", 1), ("openai", 1)]
    assert fetch_value(connection, "SELECT array_agg(DISTINCT original_provider) FROM llm_requests") == ["claude"]
    registered = fetch_value(connection, "SELECT array_agg(name ORDER BY name) FROM llm_providers")
    assert registered == ["claude", "localai", "mistral", "ollama", "openai"]
    assert fetch_value(connection, "SELECT count(*) FROM llm_requests WHERE cost_usd IS NULL") == 2
    run_command(settings, "providers", "disable", "Anthropic")
    assert fetch_value(connection, "SELECT enabled FROM llm_providers WHERE name = 'claude'") is False


def test_an_event_that_comes_again_after_an_alias_was_added_is_no_conflict(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    run_command(settings, "providers", "alias", "add", "Kluade", "claude")
    run_command(settings, "providers", "alias", "remove", "kluade")
    events = [make_event(provider="kluade"), make_event(provider="claude")]
    store_events(redis_client, settings, events)
    connection.execute("INSERT INTO llm_provider_aliases (alias, provider) VALUES ('kluade', 'claude')")
    store_events(redis_client, settings, events)

    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 2
    assert fetch_value(connection, "SELECT count(*) FROM llm_rejected_events") == 0
    assert {"alias": "kluade", "provider": "claude"}.items() <= next(
        row.items() for row in run_json(settings, "providers", "aliases") if row["alias"] == "kluade"
    )


def make_mixed(count: int) -> list[dict[str, object]]:
    now = datetime.now(UTC)
    return [
        make_event(
            provider=("claude", "cluade")[index % 2],
            occurred_at=(now - timedelta(days=1), now)[index % 3 == 0],
            status=("success", "error")[index % 5 == 0],
            is_fallback=index % 4 == 0,
            original_provider=("ollama", "cluade")[index % 8 == 0] if index % 4 == 0 else None,
            cost_usd="0.01" if index % 7 else None,
        )
        for index in range(count)
    ]


@contextmanager
def adding_entries(redis_client: Redis, settings: Settings) -> Iterator[list[int]]:
    """Add entries until the block ends; gives how many events each had."""
    stopping = threading.Event()
    added: list[int] = []

    def add() -> None:
        while not stopping.wait(0.05):
            add_entry(redis_client, settings.namespace, make_mixed(20))
            added.append(20)

    thread = threading.Thread(target=add)
    thread.start()
    try:
        yield added
    finally:
        stopping.set()
        thread.join()


def test_a_provider_is_merged_under_load_and_every_sum_stays(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    first = make_mixed(60)
    store_events(redis_client, settings, first)
    fold_deltas(connection)
    sent = len(first)
    with running_drain(redis_client, settings):
        with adding_entries(redis_client, settings) as added:
            run_command(settings, "providers", "merge", "cluade", "claude")
        add_entry(redis_client, settings.namespace, [make_event(provider="Cluade")])
        wait_until(lambda: is_drained(redis_client, settings.namespace))
    sent += sum(added) + 1

    for _ in range(2):
        assert fetch_value(connection, "SELECT array_agg(DISTINCT provider) FROM llm_requests") == ["claude"]
        assert fetch_usage(connection, "llm_costs_current") == compute_usage(connection)
        assert reconcile(connection).is_clean
        fold_deltas(connection)
    totals = fetch_row(connection, TOTALS)
    raw = "SELECT count(*) requests, sum(cost_usd) cost, sum(savings_usd) savings FROM llm_requests"
    assert totals == fetch_row(connection, raw)
    assert totals["requests"] == sent
    health = "SELECT provider, total_requests FROM llm_provider_health WHERE total_requests > 0"
    assert connection.execute(health).fetchall() == [("claude", sent)]
    assert fetch_value(connection, "SELECT count(*) FROM llm_providers WHERE name = 'cluade'") == 0
    # what was done is not done again
    merge_provider(connection, "cluade", "claude", wait_seconds=0)
    assert fetch_row(connection, TOTALS) == totals


def test_only_a_provider_without_requests_is_removed(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    add_entry(redis_client, settings.namespace, [make_event(provider="used")])
    drain_all(redis_client, settings)
    connection.execute(
        "INSERT INTO llm_providers (name, display_name, provider_type) VALUES ('typo', 'typo', 'remote')"
    )

    run_command(settings, "providers", "remove", "typo")
    with pytest.raises(CommandError, match="has requests"):
        run_command(settings, "providers", "remove", "used")

    known = {row["name"] for row in run_json(settings, "providers", "list")}
    assert known & {"typo", "used"} == {"used"}


def test_a_disabled_provider_that_is_called_says_so(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    run_command(settings, "providers", "disable", "openai")

    store_events(redis_client, settings, [make_event(provider="claude"), make_event(provider="newcomer")])
    assert check_disabled(select_provider_status(connection)).level == "ok"
    store_events(redis_client, settings, [make_event(provider="openai")])

    by_name = {row["name"]: row for row in run_json(settings, "status")["providers"]}
    assert by_name["openai"]["is_called_though_disabled"] is True
    assert by_name["claude"]["is_called_though_disabled"] is False
    assert "openai" in check_disabled(select_provider_status(connection)).text
