"""Bodies of requests: who may not is refused before any is read, and what is wrong is answered briefly."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from api_tools import ApiClient, bear, expect_problem, list_routes, make_api_token, open_client
from consumers import make_settings
from fuseboard_api.application import create_app
from fuseboard_api.problems import ERRORS_MAX
from fuseboard_api.tokens import make_token
from fuseboard_schema.settings import Settings

RECORD = ("POST", "/api/llm/record")
APP = create_app(Settings(DATABASE_URL="postgresql://nowhere/x", REDIS_URL="redis://nowhere"))
ORDERS = sorted(route for route in list_routes(APP) if route[0] == "POST" and "/claude/" in route[1])


@pytest.fixture
def api(database_url: str, redis_url: str, namespace: str, tmp_path: Path) -> Iterator[ApiClient]:
    with open_client(make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))) as client:
        yield client


class Withheld:
    """A body that is announced and never comes: whoever reads it waits."""

    def __init__(self, api: ApiClient) -> None:
        self._socket = socket.create_connection((api.base_url.host, api.base_url.port or 80), timeout=20)

    def ask(self, method: str, path: str, *headers: str, announced_bytes: int = 900_000) -> bytes:
        """Send all but the body; returns the answer's first line."""
        lines = (f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers)
        self._socket.sendall("\r\n".join((*lines, f"Content-Length: {announced_bytes}", "", "")).encode())
        with self._socket:
            return self._socket.recv(4096).partition(b"\r\n")[0]


def test_who_may_not_is_refused_before_a_body_is_read(api: ApiClient, connection: Connection[TupleRow]) -> None:
    reader = f"Authorization: Bearer {make_api_token(connection, 'read')}"
    unknown = f"Authorization: Bearer {make_token().token}"
    for method, path in [RECORD, *ORDERS]:
        assert b" 401 " in Withheld(api).ask(method, path), path
        assert b" 403 " in Withheld(api).ask(method, path, reader), path
    assert b" 401 " in Withheld(api).ask("POST", "/api/llm/record", unknown)


def test_a_body_beyond_the_limit_of_its_endpoint_is_refused_before_it_is_read(
    api: ApiClient, connection: Connection[TupleRow]
) -> None:
    admin = f"Authorization: Bearer {make_api_token(connection, 'admin')}"
    assert b" 413 " in Withheld(api).ask("POST", "/login", announced_bytes=4_001)
    for method, path in ORDERS:
        assert b" 413 " in Withheld(api).ask(method, path, admin, announced_bytes=16_001), path
    assert b" 413 " in Withheld(api).ask("POST", "/api/llm/record", admin, announced_bytes=10**12)

    def send_in_chunks() -> Iterator[bytes]:
        yield from [b" " * 1000] * 5

    expect_problem(api.post("/login", content=send_in_chunks(), headers={"Content-Type": "application/json"}), 413)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({f"k{number}": 1 for number in range(300)}),
        json.dumps({"x" * 3000: 1}),
        "[" * 3999,
        "1" * 3999,
        '{"token": "' + "\\u0000" * 500 + '"}',
        "",
    ],
)
def test_a_wrong_login_is_answered_briefly(api: ApiClient, body: str) -> None:
    response = api.post("/login", content=body, headers={"Content-Type": "application/json"})

    assert 1 <= len(expect_problem(response, 422)["errors"]) <= ERRORS_MAX
    assert len(response.content) < 5000


def test_an_event_of_unknown_fields_is_answered_briefly(api: ApiClient, connection: Connection[TupleRow]) -> None:
    headers = bear(make_api_token(connection, "write"))
    for body in ({f"k{number}": 1 for number in range(60_000)}, [{f"k{number}": 1 for number in range(99)}] * 500):
        response = api.post("/api/llm/record", json=body, headers=headers)
        expect_problem(response, 422)
        assert len(response.content) < 600 * 500
    expect_problem(api.post("/api/llm/record", content="[" * 100_000, headers=headers), 422)
