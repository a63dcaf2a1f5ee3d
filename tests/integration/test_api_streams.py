"""What streams hold, and for whom: who takes nothing, who has gone, whose token is revoked."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from api_tools import ApiClient, expect_problem, make_api_token, open_client
from consumers import make_settings
from fuseboard_api import events, streams
from fuseboard_api.exports import EXPORTS_MAX
from fuseboard_api.token_store import revoke_token
from fuseboard_api.tokens import find_token_id
from fuseboard_schema.settings import Settings
from queries import fetch_value
from waiting import wait_until

SMALL = "/api/llm/export/llm_costs_daily.csv"
EXPORTING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fuseboard api export'"


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, tmp_path: Path) -> Settings:
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))


@pytest.fixture
def token(connection: Connection[TupleRow]) -> str:
    return make_api_token(connection, "read")


@pytest.fixture
def api(settings: Settings, token: str) -> Iterator[ApiClient]:
    with open_client(settings, token) as client:
        yield client


@contextmanager
def ask_without_reading(api: ApiClient, path: str) -> Iterator[None]:
    """Send a request and take nothing of the answer; leaving the block breaks the connection."""
    with socket.create_connection((api.base_url.host, api.base_url.port)) as caller:
        headers = f"Host: x\r\nAuthorization: {api.headers['authorization']}\r\n"
        caller.sendall(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
        yield


@contextmanager
def stalled_exports(api: ApiClient, connection: Connection[TupleRow]) -> Iterator[None]:
    """Take every place there is for an export, of a table that no buffer holds, and read nothing."""
    connection.execute(b"CREATE TABLE llm_large AS SELECT repeat('x', 1000) FROM generate_series(1, 50000)")
    with ExitStack() as callers:
        for _ in range(EXPORTS_MAX):
            callers.enter_context(ask_without_reading(api, "/api/llm/export/llm_large.csv"))
        wait_until(lambda: fetch_value(connection, f"{EXPORTING} AND wait_event = 'ClientWrite'") == EXPORTS_MAX)
        yield


def test_an_export_that_nobody_takes_ends(
    api: ApiClient, connection: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    # long enough that both places are taken meanwhile
    monkeypatch.setattr(streams, "SEND_SECONDS", 3.0)
    with stalled_exports(api, connection):
        expect_problem(api.get(SMALL), 503)

        wait_until(lambda: api.get(SMALL).status_code == 200)


def test_an_export_ends_when_its_caller_has_gone(api: ApiClient, connection: Connection[TupleRow]) -> None:
    with stalled_exports(api, connection):
        pass

    wait_until(lambda: fetch_value(connection, EXPORTING) == 0)

    assert api.get(SMALL).status_code == 200


def test_a_viewer_who_takes_nothing_keeps_no_place(api: ApiClient) -> None:
    viewers = api.app.state.resources.feed._viewers
    with ask_without_reading(api, "/api/llm/events"):
        wait_until(lambda: len(viewers) == 1)

    wait_until(lambda: len(viewers) == 0)


def test_a_stream_of_events_ends_when_its_token_is_revoked(
    api: ApiClient, token: str, connection: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CHECK_SECONDS", 0.1)
    with api.stream("GET", "/api/llm/events") as response:
        lines = response.iter_lines()
        assert next(lines).startswith("retry")

        revoke_token(connection, find_token_id(token) or "")

        # to its end, which there would be none of
        assert list(lines) != []
    expect_problem(api.get("/api/llm/events"), 401)


def test_a_stream_of_events_ends_when_its_session_does(
    settings: Settings, token: str, connection: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CHECK_SECONDS", 0.1)
    with open_client(settings) as api:
        api.post("/login", json={"token": token})
        with api.stream("GET", "/api/llm/events") as response:
            lines = response.iter_lines()
            assert next(lines).startswith("retry")

            connection.execute(b"DELETE FROM fuseboard_sessions")

            assert list(lines) != []
