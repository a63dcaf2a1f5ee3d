"""Browsers: login, session, and what another site could make a browser send."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from api_tools import ApiClient, expect_problem, make_api_token, open_client
from consumers import make_settings
from fuseboard_api import protection
from fuseboard_api.authentication import CSRF_HEADER, SESSION_COOKIE
from fuseboard_api.failures import FAILURES_MAX
from fuseboard_api.protection import BODY_MAX_BYTES
from fuseboard_api.token_store import insert_login_code, revoke_token
from fuseboard_api.tokens import find_token_id, hash_secret, make_secret
from fuseboard_schema.settings import Settings
from queries import fetch_value

ENABLE = "/api/llm/providers/claude/enable"


def come_from_own_page(api: ApiClient) -> dict[str, str]:
    return {"Origin": api.origin, CSRF_HEADER: "1"}


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, tmp_path: Path) -> Settings:
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))


@pytest.fixture
def api(settings: Settings) -> Iterator[ApiClient]:
    with open_client(settings) as client:
        yield client


@pytest.fixture
def token(connection: Connection[TupleRow]) -> str:
    return make_api_token(connection, "admin", name="somebody")


def test_a_token_becomes_a_session_that_the_page_cannot_read(api: ApiClient, token: str) -> None:
    response = api.post("/login", json={"token": token})

    cookie = response.headers["set-cookie"]
    assert response.json()["scope"] == "admin"
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}
    # without a domain no other name of this address has it, also not one that a site of elsewhere turns to here
    assert "domain" not in cookie.lower()
    assert token not in response.text + cookie
    assert api.get("/api/llm/health").status_code == 200
    assert api.get("/session").json()["name"] == "somebody"


def test_a_session_is_stored_as_a_hash_only(api: ApiClient, token: str, connection: Connection[TupleRow]) -> None:
    api.post("/login", json={"token": token})

    stored = fetch_value(connection, "SELECT session_sha256 FROM fuseboard_sessions")

    assert bytes(stored) == hash_secret(api.cookies[SESSION_COOKIE])


def test_a_wrong_token_gives_no_session(api: ApiClient, token: str) -> None:
    response = api.post("/login", json={"token": token + "x"})

    expect_problem(response, 401)
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {CSRF_HEADER: "1"},
        {"Origin": "OWN"},
        {"Origin": "http://elsewhere", CSRF_HEADER: "1"},
        {"Origin": "null", CSRF_HEADER: "1"},
        {"Origin": "http://[", CSRF_HEADER: "1"},
    ],
)
def test_another_site_cannot_use_a_session(
    headers: dict[str, str], api: ApiClient, token: str, connection: Connection[TupleRow]
) -> None:
    api.post("/login", json={"token": token})

    sent = {name: value.replace("OWN", api.origin) for name, value in headers.items()}

    expect_problem(api.post(ENABLE, json={"enabled": False}, headers=sent), 403)

    assert fetch_value(connection, "SELECT enabled FROM llm_providers WHERE name = 'claude'") is True


def test_the_own_page_can_use_a_session(api: ApiClient, token: str, connection: Connection[TupleRow]) -> None:
    api.post("/login", json={"token": token})

    assert api.post(ENABLE, json={"enabled": False}, headers=come_from_own_page(api)).status_code == 200

    assert fetch_value(connection, "SELECT enabled FROM llm_providers WHERE name = 'claude'") is False


def test_another_site_cannot_log_a_browser_in(api: ApiClient, token: str) -> None:
    expect_problem(api.post("/login", json={"token": token}, headers={"Origin": "http://elsewhere"}), 403)


def test_a_session_ends_with_logout(api: ApiClient, token: str) -> None:
    api.post("/login", json={"token": token})
    secret = api.cookies[SESSION_COOKIE]

    assert api.post("/logout", headers=come_from_own_page(api)).status_code == 204

    assert SESSION_COOKIE not in api.cookies
    expect_problem(api.get("/api/llm/health", headers={"Cookie": f"{SESSION_COOKIE}={secret}"}), 401)


def test_another_site_cannot_log_a_browser_out(api: ApiClient, token: str) -> None:
    api.post("/login", json={"token": token})

    expect_problem(api.post("/logout"), 403)

    assert api.get("/api/llm/health").status_code == 200


def test_a_session_ends_with_its_token(api: ApiClient, token: str, connection: Connection[TupleRow]) -> None:
    api.post("/login", json={"token": token})

    revoke_token(connection, find_token_id(token) or "")

    expect_problem(api.get("/api/llm/health"), 401)


def test_a_session_ends_after_its_time(api: ApiClient, token: str, connection: Connection[TupleRow]) -> None:
    api.post("/login", json={"token": token})

    connection.execute("UPDATE fuseboard_sessions SET expires_at = now()")

    expect_problem(api.get("/api/llm/health"), 401)


def test_a_login_link_works_once(api: ApiClient, token: str, connection: Connection[TupleRow]) -> None:
    code = make_secret()
    insert_login_code(connection, hash_secret(code), find_token_id(token) or "", timedelta(minutes=10))

    followed = api.get("/login", params={"code": code}, follow_redirects=False)

    assert (followed.status_code, followed.headers["location"]) == (303, "/")
    assert api.get("/api/llm/health").status_code == 200
    api.cookies.clear()
    expect_problem(api.get("/login", params={"code": code}, follow_redirects=False), 401)


def test_a_login_link_is_over_after_its_time(api: ApiClient, token: str, connection: Connection[TupleRow]) -> None:
    code = make_secret()
    insert_login_code(connection, hash_secret(code), find_token_id(token) or "", timedelta(0))

    expect_problem(api.get("/login", params={"code": code}, follow_redirects=False), 401)


def test_a_page_of_another_site_cannot_make_a_browser_guess(api: ApiClient, token: str) -> None:
    for _ in range(FAILURES_MAX + 1):
        expect_problem(api.get("/login", params={"code": "x"}, headers={"Sec-Fetch-Dest": "image"}), 403)

    assert api.post("/login", json={"token": token}).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/api/llm/health", "/nowhere", "/static/nothing.js"])
def test_every_answer_protects_the_browser(path: str, api: ApiClient) -> None:
    headers = api.get(path).headers

    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers


def test_a_body_that_is_too_large_is_refused(api: ApiClient) -> None:
    body = b'{"token": "' + b"x" * BODY_MAX_BYTES + b'"}'

    expect_problem(api.post("/login", content=body, headers={"Content-Type": "application/json"}), 413)


def test_a_body_that_hides_its_size_is_refused_as_well(api: ApiClient) -> None:
    pieces = (b"x" * 100_000 for _ in range(1 + BODY_MAX_BYTES // 100_000))

    expect_problem(api.post("/login", content=pieces, headers={"Content-Type": "application/json"}), 413)


def test_a_body_that_does_not_come_is_not_waited_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "BODY_SECONDS", 0.1)
    with open_client(settings) as api, socket.create_connection((api.base_url.host, api.base_url.port)) as caller:
        caller.sendall(b'POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"token"')

        # to the end of the connection
        answer = b"".join(iter(lambda: caller.recv(65_536), b""))

        assert answer.startswith(b"HTTP/1.1 408")
        # which itself waits for nothing but its end
        assert api.get("/readyz").status_code == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/login", 405)])
def test_what_is_not_there_is_a_problem_too(method: str, path: str, status: int, api: ApiClient) -> None:
    expect_problem(api.request(method, path), status)


def test_what_fails_inside_tells_nothing(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_address: str, _secret_sha256: bytes) -> float:
        raise RuntimeError("a secret")

    monkeypatch.setattr(api.app.state.resources.failures, "read_wait_seconds", fail)

    response = api.post("/login", json={"token": "x"})

    expect_problem(response, 500)
    assert "secret" not in response.text
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
