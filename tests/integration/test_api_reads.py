"""The design's reads over HTTP: the same numbers as in SQL and on the command line, to the last digit."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow
from redis import Redis

from api_tools import ApiClient, expect_problem, make_api_token, open_client, read_exactly
from commands import run_json, store_events
from consumers import make_settings
from events import make_event
from fuseboard_schema.settings import Settings
from queries import fetch_row, fetch_value
from waiting import wait_out_midnight


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, tmp_path: Path) -> Settings:
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))


@pytest.fixture
def api(settings: Settings, connection: Connection[TupleRow]) -> Iterator[ApiClient]:
    with open_client(settings, make_api_token(connection, "admin")) as client:
        yield client


@pytest.fixture
def traffic(redis_client: Redis, settings: Settings) -> None:
    """Store calls of one day whose costs have digits that no float keeps."""
    wait_out_midnight()
    events = [
        make_event(provider="claude", prompt_tokens=1 + number, completion_tokens=7, duration_seconds=0.1 * number)
        for number in range(1, 30)
    ]
    events += [make_event(provider="ollama", model="llama3") for _ in range(5)]
    events += [make_event(provider="openai", model="gpt-4o", status="error", error_type="ServerError")]
    events += [
        make_event(provider="claude", cost_usd="0.000000000000000123"),
        make_event(provider="claude", is_fallback=True, original_provider="ollama"),
        make_event(provider="nobody", model="unheard-of"),
    ]
    store_events(redis_client, settings, events)


@pytest.mark.usefixtures("traffic")
def test_costs_are_those_of_sql_and_of_the_command_line(
    api: ApiClient, settings: Settings, connection: Connection[TupleRow]
) -> None:
    told = read_exactly(api, "/api/llm/costs", days=30)
    summary = fetch_row(connection, "SELECT * FROM llm_cost_summary(30)")
    printed = run_json(settings, "costs", "--days", "30")

    assert {name: told[name] for name in summary} == {
        name: Decimal(repr(value)) if isinstance(value, float) else value for name, value in summary.items()
    }
    assert told["total_cost_usd"] == Decimal(printed["total_cost_usd"]) > 0
    assert told["estimated_savings_usd"] == Decimal(printed["estimated_savings_usd"])
    raw = fetch_value(connection, "SELECT sum(cost_usd) FROM llm_requests")
    assert sum(provider["cost_usd"] or 0 for provider in told["providers"]) == told["total_cost_usd"] == raw
    assert {provider["name"] for provider in told["providers"]} == {"claude", "ollama", "openai", "nobody"}


@pytest.mark.usefixtures("traffic")
def test_providers_have_the_names_that_callers_rely_on(api: ApiClient) -> None:
    found = {provider["name"]: provider for provider in read_exactly(api, "/api/llm/providers")["providers"]}

    assert list(found)[:4] == ["ollama", "localai", "claude", "openai"]
    assert {name: found["ollama"][name] for name in ("display_name", "provider_type", "is_available")} == {
        "display_name": "Ollama",
        "provider_type": "local",
        "is_available": True,
    }
    assert (found["ollama"]["circuit_state"], found["ollama"]["status"]) == ("closed", "healthy")
    assert (found["claude"]["total_requests"], found["claude"]["successful_requests"]) == (31, 31)
    assert (found["claude"]["success_rate"], found["openai"]["success_rate"]) == (100, 0)
    assert found["claude"]["avg_response_time_ms"] > 0
    assert (found["localai"]["status"], found["localai"]["success_rate"]) == ("no_data", None)


@pytest.mark.usefixtures("traffic")
def test_metrics_are_of_one_provider_or_of_each(api: ApiClient, connection: Connection[TupleRow]) -> None:
    each = read_exactly(api, "/api/llm/metrics")["providers"]
    (claude,) = read_exactly(api, "/api/llm/metrics", provider="claude", days=1)["providers"]

    assert {row["provider"] for row in each} >= {"ollama", "localai", "claude", "openai", "nobody"}
    assert claude["requests"] == 31
    assert claude["total_tokens"] == fetch_value(
        connection, "SELECT sum(prompt_tokens + completion_tokens) FROM llm_requests WHERE provider = 'claude'"
    )
    assert claude["p50_response_time_ms"] <= claude["p95_response_time_ms"] <= claude["p99_response_time_ms"]
    assert claude["fallbacks"] == 1
    expect_problem(api.get("/api/llm/metrics", params={"provider": "nowhere"}), 404)


@pytest.mark.usefixtures("traffic")
def test_trends_add_up_to_the_costs(api: ApiClient) -> None:
    trends = read_exactly(api, "/api/llm/trends", days=2)["trends"]
    costs = read_exactly(api, "/api/llm/costs", days=2)

    assert sum(row["requests"] for row in trends) == costs["total_requests"] == 38
    assert sum(row["cost_usd"] or 0 for row in trends) == costs["total_cost_usd"]


@pytest.mark.usefixtures("traffic")
def test_hours_add_up_to_the_costs(api: ApiClient) -> None:
    hours = read_exactly(api, "/api/llm/trends/hourly", hours=3)["trends"]
    costs = read_exactly(api, "/api/llm/costs", days=2)

    assert sum(row["requests"] for row in hours) == 38
    assert sum(row["cost_usd"] or 0 for row in hours) == costs["total_cost_usd"]


def test_cost_by_tag_is_that_of_sql_and_of_the_command_line(
    api: ApiClient, settings: Settings, connection: Connection[TupleRow], redis_client: Redis
) -> None:
    events = [make_event(tags={"team": team}, cost_usd=cost) for team, cost in (("a", "0.1"), ("b", "2"), ("b", "0"))]
    store_events(redis_client, settings, [*events, make_event(cost_usd="1.000000000000000001")])

    told = read_exactly(api, "/api/llm/tags/team", days=2)
    first = read_exactly(api, "/api/llm/tags/team", days=2, limit=1)
    printed = run_json(settings, "tags", "costs", "team", "--days", "2")

    assert [(row["tag_value"], row["requests"], row["cost_usd"]) for row in told["costs"]] == [
        ("b", 2, 2),
        (None, 1, Decimal("1.000000000000000001")),
        ("a", 1, Decimal("0.1")),
    ]
    assert [Decimal(row["cost_usd"]) for row in printed] == [row["cost_usd"] for row in told["costs"]]
    raw = fetch_value(connection, "SELECT sum(savings_usd) FROM llm_requests WHERE tags ->> 'team' = 'b'")
    assert told["costs"][0]["savings_usd"] == raw == Decimal(printed[0]["savings_usd"])
    assert (told["is_cut"], first["is_cut"], first["costs"]) == (False, True, told["costs"][:1])
    assert [tag["tag_key"] for tag in read_exactly(api, "/api/llm/tags")["tags"]] == ["feature", "team", "tenant"]
    expect_problem(api.get("/api/llm/tags/user"), 404)


@pytest.mark.usefixtures("traffic")
def test_health_is_of_the_whole(api: ApiClient) -> None:
    health = read_exactly(api, "/api/llm/health")

    # openai has failed, and nobody has a price
    assert (health["status"], health["requests"], health["successes"]) == ("degraded", 38, 37)
    assert (health["open_circuits"], health["unpriced_requests"], health["rejected_events"]) == (0, 1, 0)
    assert health["cost_today_usd"] == read_exactly(api, "/api/llm/costs", days=1)["total_cost_usd"]


def test_without_any_data_every_read_answers(api: ApiClient) -> None:
    assert read_exactly(api, "/api/llm/costs")["total_cost_usd"] == 0
    assert read_exactly(api, "/api/llm/costs")["savings_percentage"] is None
    assert read_exactly(api, "/api/llm/trends")["trends"] == []
    assert read_exactly(api, "/api/llm/trends/hourly")["trends"] == []
    assert read_exactly(api, "/api/llm/health")["status"] == "no_data"
    assert read_exactly(api, "/api/llm/unpriced")["unpriced"] == []
    assert read_exactly(api, "/api/llm/fallbacks")["fallbacks"] == []
    assert read_exactly(api, "/api/llm/requests") == {"requests": [], "next_cursor": None}
    assert read_exactly(api, "/api/llm/rejected") == {"rejected": [], "next_cursor": None}
    assert len(read_exactly(api, "/api/llm/providers")["providers"]) == 4


@pytest.mark.parametrize("days", ["0", "366", "-1", "week", "1e3", "9" * 40])
@pytest.mark.parametrize("path", ["metrics", "costs", "trends", "fallbacks", "tags/team"])
def test_days_are_bounded(path: str, days: str, api: ApiClient) -> None:
    problem = expect_problem(api.get(f"/api/llm/{path}", params={"days": days}), 422)

    assert problem["errors"][0]["place"] == "query.days"


@pytest.mark.usefixtures("traffic")
def test_what_to_act_on_is_listed(api: ApiClient, redis_client: Redis, settings: Settings) -> None:
    store_events(redis_client, settings, [{"provider": "claude"}])

    (unpriced,) = read_exactly(api, "/api/llm/unpriced")["unpriced"]
    (fallback,) = read_exactly(api, "/api/llm/fallbacks", days=1)["fallbacks"]
    (rejected,) = read_exactly(api, "/api/llm/rejected")["rejected"]

    assert (unpriced["provider"], unpriced["model"]) == ("nobody", "unheard-of")
    assert fallback == {
        "original_provider": "ollama",
        "provider": "claude",
        "requests": 1,
        "successes": 1,
        "success_rate": 100,
    }
    assert (rejected["reason"], json.loads(rejected["raw_text"])) == ("invalid_event", {"provider": "claude"})
