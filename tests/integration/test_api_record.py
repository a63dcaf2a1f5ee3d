"""Events over HTTP: into the same queue as every worker's, and an honest answer where there is no place."""

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
from consumers import drain_all, make_settings
from events import make_event
from fuseboard_api.record_schema import EVENTS_MAX
from fuseboard_schema.settings import Settings
from fuseboard_schema.stream import name_event_stream
from queries import fetch_row, fetch_value

SMALL = {"provider": "claude", "model": "claude-sonnet-4-5"}


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, tmp_path: Path) -> Settings:
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))


@pytest.fixture
def api(settings: Settings, connection: Connection[TupleRow]) -> Iterator[ApiClient]:
    with open_client(settings, make_api_token(connection, "write")) as client:
        yield client


def test_one_event_arrives_with_the_id_that_was_told(
    api: ApiClient, redis_client: Redis, settings: Settings, connection: Connection[TupleRow]
) -> None:
    response = api.post("/api/llm/record", json={**SMALL, "prompt_tokens": 1000, "tags": {"team": "search"}})

    assert response.status_code == 202
    (event_id,) = response.json()["event_ids"]
    drain_all(redis_client, settings)
    row = fetch_row(connection, "SELECT event_id::text, status, prompt_tokens, tags FROM llm_requests")
    assert row == {"event_id": event_id, "status": "success", "prompt_tokens": 1000, "tags": {"team": "search"}}


def test_what_was_answered_is_in_the_queue_already(api: ApiClient, redis_client: Redis, namespace: str) -> None:
    api.post("/api/llm/record", json=SMALL)

    assert redis_client.xlen(name_event_stream(namespace)) == 1


def test_an_event_that_is_sent_twice_counts_once(
    api: ApiClient, redis_client: Redis, settings: Settings, connection: Connection[TupleRow]
) -> None:
    event = make_event()

    answers = [api.post("/api/llm/record", json=event).json() for _ in range(2)]

    assert answers == [{"event_ids": [event["event_id"]], "rejected": []}] * 2
    drain_all(redis_client, settings)
    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 1


def test_two_events_of_one_id_both_reach_the_consumer_which_keeps_the_first(
    api: ApiClient, redis_client: Redis, settings: Settings, connection: Connection[TupleRow]
) -> None:
    first = make_event(model="first")

    answer = api.post("/api/llm/record", json=[first, {**first, "model": "second"}]).json()

    assert answer == {"event_ids": [first["event_id"]] * 2, "rejected": []}
    drain_all(redis_client, settings)
    assert fetch_value(connection, "SELECT string_agg(model, ',') FROM llm_requests") == "first"
    assert fetch_value(connection, "SELECT string_agg(reason, ',') FROM llm_rejected_events") == "conflicting_duplicate"


def test_the_worker_is_the_token_unless_the_event_says_another(
    api: ApiClient, redis_client: Redis, settings: Settings, connection: Connection[TupleRow]
) -> None:
    api.post("/api/llm/record", json=[SMALL, {**SMALL, "worker_id": "host-1"}])

    drain_all(redis_client, settings)
    workers = connection.execute("SELECT worker_id FROM llm_requests ORDER BY worker_id").fetchall()
    assert workers == [("api:test",), ("host-1",)]


def test_bad_events_of_a_list_are_named_and_stop_no_other(
    api: ApiClient, redis_client: Redis, settings: Settings, connection: Connection[TupleRow]
) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    good = make_event()
    bad: list[Any] = [{"provider": "claude"}, 17, {**SMALL, "prompt": "secret"}, {**SMALL, "occurred_at": ahead}]

    response = api.post("/api/llm/record", json=[bad[0], good, *bad[1:]])

    assert response.status_code == 202
    assert response.json()["event_ids"] == [good["event_id"]]
    rejected = response.json()["rejected"]
    assert [item["index"] for item in rejected] == [0, 2, 3, 4]
    assert "model" in rejected[0]["detail"]
    assert "prompt" in rejected[2]["detail"]
    assert "a day ahead" in rejected[3]["detail"]
    assert "secret" not in response.text
    drain_all(redis_client, settings)
    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 1


@pytest.mark.parametrize("body", ["{}", "[]", "null", "17", '"text"', '[{"provider": "claude"}]'])
def test_a_body_without_a_good_event_is_refused(body: str, api: ApiClient) -> None:
    response = api.post("/api/llm/record", content=body, headers={"Content-Type": "application/json"})

    expect_problem(response, 422)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_that_does_not_say_that_it_is_json_is_refused_with_what_to_send(kind: str, api: ApiClient) -> None:
    response = api.post("/api/llm/record", content=json.dumps(SMALL), headers={"Content-Type": kind})

    assert "Content-Type: application/json" in expect_problem(response, 415)["detail"]


def test_what_is_no_object_is_no_event(api: ApiClient) -> None:
    problem = expect_problem(api.post("/api/llm/record", json=[17]), 422)

    assert problem["rejected"] == [{"index": 0, "detail": "an event is a JSON object"}]


@pytest.mark.parametrize("body", [b"{", b"\xff", b"", b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(body: bytes, api: ApiClient) -> None:
    response = api.post("/api/llm/record", content=body, headers={"Content-Type": "application/json"})

    assert expect_problem(response, response.status_code)["status"] in {400, 422}


def test_a_list_is_bounded(api: ApiClient) -> None:
    expect_problem(api.post("/api/llm/record", json=[{}] * (EVENTS_MAX + 1)), 422)


def test_without_redis_events_wait_on_the_disk(
    database_url: str, namespace: str, connection: Connection[TupleRow], tmp_path: Path
) -> None:
    settings = make_settings(database_url, "redis://127.0.0.1:1", namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))
    with open_client(settings, make_api_token(connection, "write")) as api:
        assert api.post("/api/llm/record", json=SMALL).status_code == 202

        assert api.app.state.resources.producer.counters.spooled == 1


def test_where_there_is_no_place_the_caller_is_told_to_come_again(
    database_url: str, namespace: str, connection: Connection[TupleRow], tmp_path: Path
) -> None:
    # no directory can be made below a file
    (tmp_path / "file").write_text("")
    spool = str(tmp_path / "file" / "spool")
    settings = make_settings(database_url, "redis://127.0.0.1:1", namespace, FUSEBOARD_SPOOL_DIR=spool)
    event = make_event()
    with open_client(settings, make_api_token(connection, "write")) as api:
        response = api.post("/api/llm/record", json=event)

        assert expect_problem(response, 503)["event_ids"] == [event["event_id"]]
        assert int(response.headers["retry-after"]) > 0
