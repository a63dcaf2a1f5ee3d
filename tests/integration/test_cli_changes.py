from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from commands import run_command, run_json, store_events
from consumers import make_settings, shorten_waits
from events import make_event
from fuseboard_cli.command_error import CommandError
from fuseboard_schema.settings import Settings
from queries import Database, fetch_value

RATES = ("--input", "3", "--output", "15", "--source", "price list")


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shorten_waits(monkeypatch.setattr)
    return make_settings(database_url, redis_url, namespace)


def list_prices(settings: Settings, provider: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run_json(settings, "prices", "list", provider, "--all")
    return rows


def test_a_new_price_ends_the_old_row_and_overwrites_nothing(settings: Settings) -> None:
    [old] = list_prices(settings, "claude")

    command = ("prices", "set", "claude", "*", "--input", "0.0000001", "--output", "2.5", "--source", "new list")
    text = run_command(settings, *command, "--cache-read", "0.3", "--from", "2025-05-01T00:00:00Z").stdout

    ended, new = list_prices(settings, "claude")
    assert ended == old | {"valid_to": "2025-05-01T00:00:00+00:00"}
    assert (new["valid_from"], new["valid_to"]) == ("2025-05-01T00:00:00+00:00", None)
    assert (new["input_usd_per_token"], new["output_usd_per_token"]) == ("0.0000000000001", "0.0000025")
    assert (new["cache_read_usd_per_token"], new["cache_write_usd_per_token"]) == ("0.0000003", None)
    assert new["source"] == "new list"
    assert f"row {old['price_id']} ended" in text
    assert "prices reprice --provider claude --from 2025-05-01T00:00:00Z" in text


def test_prices_are_readable_at_80_columns_with_every_rate_and_condition(
    settings: Settings, connection: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rates = ("--input", "3", "--output", "15.125", "--cache-read", "0.30", "--cache-write", "3.75")
    bounds = ("--cache-write-1h", "6", "--tier", "batch", "--above-input-tokens", "200000", "--from", "2025-05-01")
    run_command(settings, "prices", "set", "claude", "claude-sonnet-*", *rates, *bounds, "--source", "price list")
    connection.execute("UPDATE llm_prices SET multiplier = 1.1 WHERE model_pattern = 'claude-sonnet-*'")

    lines = run_command(settings, "prices", "list").stdout.splitlines()

    [at] = [number for number, line in enumerate(lines) if "claude claude-sonnet-*" in line]
    cells = [cell.strip() for cell in lines[at].strip("│").split("│")]
    assert cells[1:] == ["claude claude-sonnet-*", "3", "15.125", "0.3", "3.75", "6", "1.1"]
    below = [line.split("│")[2].strip() for line in lines[at + 1 : at + 5]]
    assert below == ["tier batch", "> 200,000 input tokens", "from 2025-05-01", "price list"]
    assert max(map(len, lines)) <= 80


def test_a_price_from_before_a_later_one_ends_where_that_begins(settings: Settings) -> None:
    for at in ("2025-06-01", "2025-04-01"):
        run_command(settings, "prices", "set", "claude", "*", *RATES, "--from", at)

    bounds = [(row["valid_from"], row["valid_to"]) for row in list_prices(settings, "claude")]

    assert bounds == [
        (None, "2025-04-01T00:00:00+00:00"),
        ("2025-04-01T00:00:00+00:00", "2025-06-01T00:00:00+00:00"),
        ("2025-06-01T00:00:00+00:00", None),
    ]


def test_a_price_set_twice_from_the_same_time_leaves_one_in_force(settings: Settings, connection: Database) -> None:
    for rate in ("1", "2"):
        rates = ("--input", rate, "--output", rate, "--source", "s")
        run_command(settings, "prices", "set", "claude", "*", *rates, "--from", "2025-05-01")

    at = "valid_from <= '2025-05-02' AND valid_to > '2025-05-02' AND provider = 'claude'"
    assert fetch_value(connection, f"SELECT count(*) FROM llm_prices WHERE {at}") == 1  # noqa: S608 - no input
    assert fetch_value(connection, "SELECT count(*) FROM llm_prices WHERE provider = 'claude'") == 3


def test_a_price_of_a_tier_or_above_a_threshold_ends_no_other(settings: Settings) -> None:
    run_command(settings, "prices", "set", "claude", "*", *RATES, "--tier", "batch")
    run_command(settings, "prices", "set", "claude", "*", *RATES, "--above-input-tokens", "200000")
    run_command(settings, "prices", "set", "claude", "claude-x*", *RATES)

    assert [row["valid_to"] for row in list_prices(settings, "claude")] == [None] * 4
    assert [row["above_input_tokens"] for row in list_prices(settings, "claude")] == [None, None, 200_000, None]


def test_a_price_of_an_unknown_provider_is_kept_with_a_remark(settings: Settings) -> None:
    result = run_command(settings, "prices", "set", "newcomer", "*", *RATES)

    assert "no provider newcomer is registered yet" in result.stderr
    assert len(list_prices(settings, "newcomer")) == 1


def test_only_prices_in_force_are_listed_unless_asked(settings: Settings) -> None:
    run_command(settings, "prices", "set", "claude", "*", *RATES, "--from", "2020-05-01")
    run_command(settings, "prices", "set", "claude", "*", *RATES, "--from", "2999-05-01")

    assert len(run_json(settings, "prices", "list", "claude")) == 1
    assert len(list_prices(settings, "claude")) == 3
    assert "3/15 USD" not in run_command(settings, "prices", "list", "claude").stdout


def test_reprice_shows_what_it_would_do_and_then_does_it_exactly(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    store_events(redis_client, settings, [make_event(provider="newcomer", model="m") for _ in range(3)])
    run_command(settings, "prices", "set", "newcomer", "*", *RATES, "--from", "2025-01-01")

    planned = run_json(settings, "prices", "reprice", "--dry-run")
    assert (planned["dry_run"], planned["changed_requests"], planned["cost_usd_after"]) == (True, 3, "0.0135")
    assert fetch_value(connection, "SELECT count(*) FROM llm_requests WHERE cost_usd IS NULL") == 3
    done = run_json(settings, "prices", "reprice", "--apply")
    assert (done["dry_run"], done["unpriced_requests_before"], done["unpriced_requests_after"]) == (False, 3, 0)
    assert done["models"][0]["provider"] == "newcomer"
    costs = run_json(settings, "costs")
    assert (costs["total_cost_usd"], costs["unpriced_requests"]) == ("0.0135", 0)
    assert run_json(settings, "reconcile")["difference_usd"] == "0"


def test_reprice_of_a_range_also_looks_at_requests_that_have_a_cost(settings: Settings, redis_client: Redis) -> None:
    store_events(redis_client, settings, [make_event()])
    run_command(settings, "prices", "set", "claude", "*", "--input", "0", "--output", "10", "--source", "s",
                "--from", "2025-01-01")  # fmt: skip

    assert run_json(settings, "prices", "reprice", "--apply")["examined_requests"] == 0
    text = run_command(settings, "prices", "reprice", "--from", "2025-01-01", "--apply").stdout
    assert "repriced: 1;" in text
    assert "claude/claude-sonnet-4-5" in text
    costs = run_json(settings, "costs")
    # the baseline is of the same price
    assert costs["total_cost_usd"] == costs["hypothetical_claude_cost_usd"] == "0.001"


def test_reprice_with_nothing_to_do_changes_nothing(settings: Settings) -> None:
    assert "nothing was changed" in run_command(settings, "prices", "reprice", "--apply").stdout


def test_a_provider_is_disabled_enabled_and_moved(settings: Settings) -> None:
    run_command(settings, "providers", "disable", "ollama")
    run_command(settings, "providers", "priority", "ollama", "99")

    *_, last = run_json(settings, "providers", "list")
    assert (last["name"], last["priority"], last["enabled"]) == ("ollama", 99, False)
    run_command(settings, "providers", "enable", "ollama")
    assert all(provider["enabled"] for provider in run_json(settings, "providers", "list"))
    assert "ollama" in run_command(settings, "providers", "list").stdout


def test_an_unknown_provider_is_refused_with_those_that_are_known(settings: Settings) -> None:
    with pytest.raises(CommandError, match="no provider nobody: known are ollama, localai, claude, openai"):
        run_command(settings, "providers", "enable", "nobody")


def test_only_the_database_is_needed_to_read_costs(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.model_validate({"DATABASE_URL": database_url})

    assert run_json(settings, "costs")["total_requests"] == 0
    assert list(tmp_path.iterdir()) == []
