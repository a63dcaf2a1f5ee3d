"""Prices that were set by mistake or too late, on a real database."""

import re
import shlex
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from commands import run_command, run_json, store_events
from consumers import make_settings, shorten_waits
from events import make_event
from fuseboard_cli.command_error import CommandError
from fuseboard_schema.settings import Settings
from queries import Database, fetch_value


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shorten_waits(monkeypatch.setattr)
    return make_settings(database_url, redis_url, namespace)


def set_price(settings: Settings, *options: str) -> int:
    text = run_command(settings, "prices", "set", "mistral", "large", *options).stdout
    found = re.search(r"row (\d+) is in force", text)
    assert found
    return int(found[1])


def test_a_price_that_priced_nothing_is_withdrawn_and_the_one_before_goes_on(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    right = set_price(settings, "--input", "2", "--output", "6", "--from", "2026-01-01")
    wrong = set_price(settings, "--input", "2000", "--output", "6", "--from", "2030-01-01")

    said = run_command(settings, "prices", "withdraw", str(wrong)).stdout
    again = run_command(settings, "prices", "withdraw", str(wrong)).stdout
    store_events(redis_client, settings, [make_event(provider="mistral", model="large")])

    assert f"row {right} goes on" in said
    assert "no other row takes its place" in again
    assert fetch_value(connection, "SELECT price_id FROM llm_requests") == right
    rows = {row["price_id"]: row for row in run_json(settings, "prices", "list", "mistral", "--all")}
    assert (rows[right]["valid_to"], rows[wrong]["valid_from"]) == (None, rows[wrong]["valid_to"])
    with pytest.raises(CommandError, match="were priced by row"):
        run_command(settings, "prices", "withdraw", str(right))
    with pytest.raises(CommandError, match="there is no price 9999"):
        run_command(settings, "prices", "withdraw", "9999")


def test_what_reprice_advises_prices_the_requests_when_followed_to_the_letter(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    earlier = datetime.now(UTC) - timedelta(hours=5)
    store_events(redis_client, settings, [make_event(provider="mistral", model="large", occurred_at=earlier)])
    set_price(settings, "--input", "2", "--output", "6")

    told = run_command(settings, "prices", "reprice", "--apply").stdout
    assert fetch_value(connection, "SELECT cost_usd FROM llm_requests") is None
    advice = re.search(r"`fuseboard (prices set [^`]*)`", told)
    assert advice
    run_command(settings, *shlex.split(advice[1].replace("USD", "2")))
    run_command(settings, "prices", "reprice", "--apply")

    assert fetch_value(connection, "SELECT cost_usd::text FROM llm_requests") == "0.002200"
    assert "--all" in run_command(settings, "prices", "reprice").stdout


def test_what_reprice_advises_is_of_the_tier_that_lacks_a_price(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    store_events(redis_client, settings, [make_event(provider="claude", model="it's new", service_tier="batch")])

    told = run_command(settings, "prices", "reprice").stdout
    advice = re.search(r"`fuseboard (prices set [^`]*)`", told)
    assert advice
    run_command(settings, *shlex.split(advice[1].replace("USD", "2")))
    run_command(settings, "prices", "reprice")

    assert fetch_value(connection, "SELECT cost_usd::text FROM llm_requests") == "0.002200"
