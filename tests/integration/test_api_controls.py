"""What operators change over HTTP, and that workers are told."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow
from redis import Redis

from api_tools import ApiClient, expect_problem, make_api_token, open_client
from consumers import make_settings
from fuseboard_schema.circuit_keys import name_snapshot
from queries import fetch_row, fetch_value


@pytest.fixture
def api(
    database_url: str, redis_url: str, namespace: str, tmp_path: Path, connection: Connection[TupleRow]
) -> Iterator[ApiClient]:
    settings = make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))
    with open_client(settings, make_api_token(connection, "admin", name="ann")) as client:
        yield client


def read_projection(redis: Redis, namespace: str, provider: str) -> dict[str, Any]:
    """Read what workers see of a provider."""
    found = redis.hget(name_snapshot(namespace), provider)
    assert isinstance(found, bytes)
    projection: dict[str, Any] = json.loads(found)
    return projection


def test_a_provider_that_is_switched_off_is_published_so(
    api: ApiClient, connection: Connection[TupleRow], redis_client: Redis, namespace: str
) -> None:
    response = api.post("/api/llm/providers/ollama/enable", json={"enabled": False})

    assert response.json() == {"name": "ollama", "enabled": False, "is_published": True}
    assert fetch_value(connection, "SELECT enabled FROM llm_providers WHERE name = 'ollama'") is False
    off = read_projection(redis_client, namespace, "ollama")
    api.post("/api/llm/providers/ollama/enable", json={"enabled": True})
    on = read_projection(redis_client, namespace, "ollama")
    assert off["r"] < on["r"]
    assert off != {**on, "r": off["r"]}
    found = {row["name"]: row for row in api.get("/api/llm/providers").json()["providers"]}
    assert (found["ollama"]["enabled"], found["ollama"]["is_available"]) == (True, True)


def test_a_circuit_that_is_forced_open_is_published_and_told_with_who_did_it(
    api: ApiClient, redis_client: Redis, namespace: str
) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)

    done = api.post(
        "/api/llm/circuits/claude/force-open", json={"reason": "its status page", "until": until.isoformat()}
    ).json()

    assert (done["from_state"], done["to_state"], done["is_published"]) == ("closed", "forced_open", True)
    assert read_projection(redis_client, namespace, "claude")["ov"] == "forced_open"
    circuits = {row["provider"]: row for row in api.get("/api/llm/circuits").json()["circuits"]}
    assert circuits["claude"]["state"] == "forced_open"
    assert circuits["claude"]["override_by"].startswith("ann (token ")
    assert datetime.fromisoformat(circuits["claude"]["override_until"]) == until
    history = api.get("/api/llm/circuits/claude/history").json()["history"]
    assert [(row["to_state"], row["note"], row["lasted_seconds"]) for row in history] == [
        ("forced_open", "its status page", None)
    ]


@pytest.mark.parametrize(
    ("order", "state"),
    [("disable", "disabled"), ("clear", "closed"), ("reset", "closed"), ("reset-throttle", "closed")],
)
def test_every_order_reaches_the_circuit(
    order: str, state: str, api: ApiClient, connection: Connection[TupleRow]
) -> None:
    done = api.post(f"/api/llm/circuits/openai/{order}", json={"reason": "a test"})

    assert (done.status_code, done.json()["to_state"]) == (200, state)
    row = fetch_row(connection, "SELECT provider, note FROM llm_circuit_transitions")
    assert row == {"provider": "openai", "note": "a test"}


@pytest.mark.parametrize("order", ["force-open", "disable", "clear", "reset", "reset-throttle"])
def test_an_order_needs_a_reason_and_a_provider(order: str, api: ApiClient) -> None:
    expect_problem(api.post(f"/api/llm/circuits/claude/{order}", json={}), 422)
    expect_problem(api.post(f"/api/llm/circuits/claude/{order}", json={"reason": " "}), 422)
    expect_problem(api.post(f"/api/llm/circuits/nobody/{order}", json={"reason": "a test"}), 404)


def test_an_order_cannot_end_before_it_begins(api: ApiClient) -> None:
    body = {"reason": "a test", "until": "2020-01-01T00:00:00Z"}

    problem = expect_problem(api.post("/api/llm/circuits/claude/force-open", json=body), 422)

    assert "lies in the past" in problem["detail"]


def test_only_a_known_provider_can_be_enabled_and_only_by_true_or_false(api: ApiClient) -> None:
    expect_problem(api.post("/api/llm/providers/nobody/enable", json={"enabled": True}), 404)
    expect_problem(api.get("/api/llm/circuits/nobody/history"), 404)
    bodies: list[Any] = [{}, {"enabled": "yes"}, {"enabled": None}, {"enabled": True, "more": 1}, []]
    for body in bodies:
        expect_problem(api.post("/api/llm/providers/claude/enable", json=body), 422)


def test_a_provider_whose_name_has_a_slash_can_be_named(api: ApiClient, connection: Connection[TupleRow]) -> None:
    connection.execute(
        "INSERT INTO llm_providers (name, display_name, provider_type) VALUES ('a/history/b c', 'AB', 'remote')"
    )

    assert api.post("/api/llm/providers/a%2Fhistory%2Fb%20c/enable", json={"enabled": False}).status_code == 200

    assert fetch_value(connection, "SELECT enabled FROM llm_providers WHERE name = 'a/history/b c'") is False


def test_a_change_stands_where_redis_is_away(
    database_url: str, namespace: str, connection: Connection[TupleRow], tmp_path: Path
) -> None:
    settings = make_settings(database_url, "redis://127.0.0.1:1", namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))
    with open_client(settings, make_api_token(connection, "admin")) as api:
        response = api.post("/api/llm/providers/claude/enable", json={"enabled": False})

        assert response.json()["is_published"] is False
        assert fetch_value(connection, "SELECT enabled FROM llm_providers WHERE name = 'claude'") is False
        expect_problem(api.get("/readyz"), 503)
