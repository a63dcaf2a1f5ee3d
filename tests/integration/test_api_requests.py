"""Raw requests by the page, whole tables, and changes as they happen."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow
from redis import Redis

from api_tools import ApiClient, expect_problem, make_api_token, open_client
from commands import store_events
from consumers import make_settings
from events import make_event
from fuseboard_api import request_store
from fuseboard_schema.settings import Settings
from queries import fetch_value

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, tmp_path: Path) -> Settings:
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))


@pytest.fixture
def api(settings: Settings, connection: Connection[TupleRow]) -> Iterator[ApiClient]:
    with open_client(settings, make_api_token(connection, "admin")) as client:
        yield client


@pytest.fixture
def stored(redis_client: Redis, settings: Settings) -> list[str]:
    """Store requests over three days, in the order of their time; returns their ids."""
    events = [
        make_event(
            occurred_at=NOON - timedelta(hours=5 * number),
            provider="ollama" if number % 3 else "claude",
            model="m",
            status="error" if number == 7 else "success",
            tags={"team": "search", "feature": "ask"} if number % 5 == 0 else {"team": "other"},
        )
        for number in range(12)
    ]
    store_events(redis_client, settings, events)
    return [event["event_id"] for event in events]


def read_pages(api: ApiClient, **parameters: Any) -> list[list[str]]:  # noqa: ANN401 - any parameter
    """Follow the cursors to the end; returns the ids of each page."""
    pages: list[list[str]] = []
    cursor: str | None = None
    while True:
        response = api.get("/api/llm/requests", params={**parameters, **({"cursor": cursor} if cursor else {})})
        assert response.status_code == 200, response.text
        document = response.json()
        pages.append([row["event_id"] for row in document["requests"]])
        cursor = document["next_cursor"]
        if cursor is None:
            return pages


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 500])
def test_pages_hold_every_request_once_newest_first(limit: int, api: ApiClient, stored: list[str]) -> None:
    pages = read_pages(api, limit=limit)

    assert [event_id for page in pages for event_id in page] == stored
    assert max(len(page) for page in pages) <= limit


def test_requests_are_found_by_what_they_are(api: ApiClient, stored: list[str]) -> None:
    def find(**parameters: Any) -> list[str]:  # noqa: ANN401 - any parameter
        return [event_id for page in read_pages(api, limit=2, **parameters) for event_id in page]

    assert find(provider="claude") == stored[::3]
    assert find(status="error") == [stored[7]]
    assert find(status=["timeout", "error"]) == [stored[7]]
    assert find(status=["success", "error"]) == stored
    assert find(tag="team=search") == stored[::5]
    assert find(tag=["team=search", "feature=ask"], provider="claude") == [stored[0]]
    assert find(tag="team=nobody") == []
    bounds = {"from": (NOON - timedelta(hours=20)).isoformat(), "to": NOON.isoformat()}
    assert find(**bounds) == stored[1:5]


def test_a_search_goes_on_where_it_stopped_looking(
    api: ApiClient, stored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_store, "SCAN_MAX_REQUESTS", 3)

    pages = read_pages(api, tag="feature=ask")

    assert [event_id for page in pages for event_id in page] == stored[::5]
    assert len(pages) > 3


def test_a_partition_of_another_name_is_no_day_and_no_failure(
    api: ApiClient, stored: list[str], connection: Connection[TupleRow]
) -> None:
    connection.execute("CREATE TABLE llm_requests_archive (LIKE llm_requests INCLUDING ALL)")
    connection.execute(
        "ALTER TABLE llm_requests ATTACH PARTITION llm_requests_archive"
        " FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')"
    )

    assert read_pages(api, limit=500) == [stored]


def test_a_failure_is_found_at_once_however_many_requests_succeeded_since(
    api: ApiClient, stored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_store, "SCAN_MAX_REQUESTS", 3)

    assert read_pages(api, status="error") == [[stored[7]]]
    assert read_pages(api, status="timeout") == [[]]


def test_a_request_has_its_exact_cost(api: ApiClient, redis_client: Redis, settings: Settings) -> None:
    store_events(redis_client, settings, [make_event(cost_usd="0.123456789012345678")])

    text = api.get("/api/llm/requests").text

    assert json.loads(text, parse_float=Decimal)["requests"][0]["cost_usd"] == Decimal("0.123456789012345678")


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("name", ["from", "to"])
def test_times_beyond_all_requests_are_bounds_too(name: str, at: str, api: ApiClient, stored: list[str]) -> None:
    found = [row["event_id"] for row in api.get("/api/llm/requests", params={name: at}).json()["requests"]]

    assert found == (stored if (name == "from") == at.startswith("0001") else [])


@pytest.mark.parametrize(
    "parameters",
    [
        {"cursor": "x"}, {"cursor": "2026-01-01.x"}, {"cursor": "2026-13-01.00000000-0000-0000-0000-000000000000"},
        {"tag": "x"}, {"tag": "=x"}, {"from": "2026-01-01"}, {"status": "fine"}, {"limit": "0"}, {"limit": "501"},
        {"from": "2026-01-02T00:00:00Z", "to": "2026-01-02T00:00:00Z"}, {"provider": "\x00"}, {"tag": "a=\x00"},
    ],
)  # fmt: skip
def test_a_wrong_search_is_refused(parameters: dict[str, str], api: ApiClient) -> None:
    expect_problem(api.get("/api/llm/requests", params=parameters), 422)


def test_requests_of_a_provider_that_nobody_knows_are_not_searched_for(api: ApiClient) -> None:
    expect_problem(api.get("/api/llm/requests", params={"provider": "nowhere"}), 404)


def test_rejected_events_come_in_pages(api: ApiClient, redis_client: Redis, settings: Settings) -> None:
    store_events(redis_client, settings, [{"number": number} for number in range(5)])

    first = api.get("/api/llm/rejected", params={"limit": 3}).json()
    second = api.get("/api/llm/rejected", params={"limit": 3, "cursor": first["next_cursor"]}).json()

    raw = [json.loads(row["raw_text"])["number"] for row in [*first["rejected"], *second["rejected"]]]
    assert (raw, second["next_cursor"]) == ([4, 3, 2, 1, 0], None)


def test_a_table_is_exported_as_it_is(api: ApiClient, stored: list[str], connection: Connection[TupleRow]) -> None:
    response = api.get("/api/llm/export/llm_requests.csv")

    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert {row["event_id"] for row in rows} == set(stored)
    total = sum(Decimal(row["cost_usd"]) for row in rows if row["cost_usd"])
    assert total == fetch_value(connection, "SELECT sum(cost_usd) FROM llm_requests")
    assert api.get("/api/llm/export/llm_costs_current.csv").text.startswith("day,provider,model")


@pytest.mark.parametrize("table", ["fuseboard_tokens", "pg_authid", "llm_nothing", "llm_requests_20260101"])
def test_no_other_table_is_exported(table: str, api: ApiClient) -> None:
    expect_problem(api.get(f"/api/llm/export/{table}.csv"), 404)


def read_events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Give the events of a stream: name and document."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_changes_are_told_as_they_happen(api: ApiClient) -> None:
    with api.stream("GET", "/api/llm/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = read_events(response)
        first = dict([next(events), next(events)])
        assert set(first) == {"circuits", "health"}
        assert {row["state"] for row in first["circuits"]["circuits"]} == {"closed"}

        api.post("/api/llm/circuits/claude/force-open", json={"reason": "a test"})

        changed = next(document for name, document in events if name == "circuits")
        states = {row["provider"]: row["state"] for row in changed["circuits"]}
        assert states["claude"] == "forced_open"
