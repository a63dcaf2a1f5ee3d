"""Who may use the API: every endpoint, every wrong token."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from api_tools import ANONYMOUS, ENTRANCES, ApiClient, bear, expect_problem, list_routes, make_api_token, open_client
from consumers import make_settings
from fuseboard_api.application import create_app
from fuseboard_api.authentication import SESSION_COOKIE
from fuseboard_api.document import list_scopes
from fuseboard_api.failures import FAILURES_MAX
from fuseboard_api.token_store import revoke_token, select_tokens
from fuseboard_api.tokens import Scope, find_token_id, make_token
from fuseboard_schema.settings import Settings
from openapi import find_operation
from queries import fetch_value

ROUTES = [
    route
    for route in list_routes(create_app(Settings(DATABASE_URL="postgresql://nowhere/x", REDIS_URL="redis://nowhere")))
    if route[1] not in ANONYMOUS | ENTRANCES
]
# what each endpoint that is not here needs is to read
WRITES = {("POST", "/api/llm/record")}
ADMIN_ORDERS = ("force-open", "disable", "clear", "reset", "reset-throttle")
ADMINS = {("POST", "/api/llm/providers/claude/enable")} | {
    ("POST", f"/api/llm/circuits/claude/{order}") for order in ADMIN_ORDERS
}


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, tmp_path: Path) -> Settings:
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))


@pytest.fixture
def api(settings: Settings) -> Iterator[ApiClient]:
    with open_client(settings) as client:
        yield client


def find_needed_scope(method: str, path: str) -> Scope:
    if (method, path) in ADMINS:
        return "admin"
    return "write" if (method, path) in WRITES else "read"


def test_what_changes_something_needs_more_than_to_read() -> None:
    assert {route for route in ROUTES if route[0] != "GET"} == WRITES | ADMINS


def test_every_endpoint_refuses_who_brings_no_token(api: ApiClient) -> None:
    for method, path in ROUTES:
        response = api.request(method, path)

        expect_problem(response, 401)
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_no_other_way_to_write_a_request_gets_round_the_token(api: ApiClient) -> None:
    for method, path in ROUTES:
        encoded = path.replace("/", "%2F").replace("%2F", "/", 1)
        for other in (f"{path}/", f"/{path}", path.replace("/", "//"), f"/static/..{path}", encoded, path.upper()):
            assert api.request(method, httpx.URL(api.origin + other)).status_code in {401, 404, 405}, (method, other)
        for other in ("HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "get"):
            assert api.request(other, path).status_code in {401, 404, 405}, (other, path)


@pytest.mark.parametrize("kind", ["wrong", "garbled", "expired", "revoked"])
def test_every_endpoint_refuses_a_token_that_does_not_hold(
    kind: str, settings: Settings, connection: Connection[TupleRow]
) -> None:
    token = make_bad_token(kind, connection)
    with open_client(settings, token) as api:
        for method, path in ROUTES:
            # else the address would have to wait
            api.app.state.resources.failures._windows.clear()

            expect_problem(api.request(method, path), 401)


def make_bad_token(kind: str, connection: Connection[TupleRow]) -> str:
    if kind == "garbled":
        return "fuseboard__"
    token = make_api_token(connection, "admin", lasting=timedelta(microseconds=1) if kind == "expired" else None)
    if kind == "revoked":
        revoke_token(connection, find_token_id(token) or "")
    # of a known id, with another secret
    return token[:-1] + ("A" if token[-1] != "A" else "B") if kind == "wrong" else token


def test_every_endpoint_refuses_a_token_of_a_lesser_scope(settings: Settings, connection: Connection[TupleRow]) -> None:
    lesser: dict[Scope, list[Scope]] = {"read": [], "write": ["read"], "admin": ["read", "write"]}
    tokens = {scope: make_api_token(connection, scope) for scope in ("read", "write")}
    with open_client(settings) as api:
        for method, path in ROUTES:
            for scope in lesser[find_needed_scope(method, path)]:
                body = {"enabled": False} if path.endswith("enable") else {"reason": "a test"}

                problem = expect_problem(api.request(method, path, json=body, headers=bear(tokens[scope])), 403)

                assert find_needed_scope(method, path) in problem["detail"]
    assert fetch_value(connection, "SELECT bool_and(enabled) FROM llm_providers") is True
    assert fetch_value(connection, "SELECT count(*) FROM llm_circuit_transitions") == 0


def test_the_document_says_which_scope_is_needed() -> None:
    said = {}
    for method, path in ROUTES:
        operation = find_operation(method, path)
        assert operation is not None, path
        # /session needs no more than that the token holds, as every one of scope read does
        said[method, path] = list_scopes(operation.body) or ["read"]

    assert said == {route: [find_needed_scope(*route)] for route in ROUTES}


def test_nothing_but_liveness_is_told_to_strangers(api: ApiClient) -> None:
    assert api.get("/healthz").json() == {"status": "ok"}
    assert api.get("/readyz").json() == {"status": "ok"}


def test_a_token_may_do_what_its_scope_includes(settings: Settings, connection: Connection[TupleRow]) -> None:
    with open_client(settings, make_api_token(connection, "admin")) as api:
        assert api.get("/api/llm/health").status_code == 200
        assert api.post("/api/llm/record", json={"provider": "claude", "model": "m"}).status_code == 202
        assert api.post("/api/llm/providers/claude/enable", json={"enabled": True}).status_code == 200


def test_the_last_use_of_a_token_is_noted(settings: Settings, connection: Connection[TupleRow]) -> None:
    token = make_api_token(connection, "read")
    assert select_tokens(connection)[0].last_used_at is None

    with open_client(settings, token) as api:
        api.get("/api/llm/health")

    assert select_tokens(connection)[0].last_used_at is not None


def test_no_secret_is_stored(connection: Connection[TupleRow]) -> None:
    token = make_api_token(connection, "read")

    stored = fetch_value(connection, "SELECT string_agg(fuseboard_tokens::text, ' ') FROM fuseboard_tokens")

    assert token.split("_", 2)[2] not in stored


def test_an_address_that_tries_too_many_tokens_has_to_wait(
    settings: Settings, connection: Connection[TupleRow]
) -> None:
    good = make_api_token(connection, "read")
    with open_client(settings) as api:
        for _ in range(FAILURES_MAX):
            expect_problem(api.get("/api/llm/health", headers=bear(make_token().token)), 401)

        limited = api.get("/api/llm/health", headers=bear(good))

        expect_problem(limited, 429)
        assert 0 < int(limited.headers["retry-after"]) <= 60
        expect_problem(api.post("/login", json={"token": good}), 429)


def test_an_expired_token_in_a_script_does_not_lock_its_address_out(
    settings: Settings, connection: Connection[TupleRow]
) -> None:
    expired = make_bad_token("expired", connection)
    with open_client(settings) as api:
        for _ in range(FAILURES_MAX + 1):
            expect_problem(api.get("/api/llm/health", headers=bear(expired)), 401)


def test_a_page_whose_session_is_over_does_not_lock_its_address_out(
    settings: Settings, connection: Connection[TupleRow]
) -> None:
    with open_client(settings) as api:
        for _ in range(FAILURES_MAX + 1):
            expect_problem(api.get("/api/llm/health", headers={"Cookie": f"{SESSION_COOKIE}=over"}), 401)

        assert api.post("/login", json={"token": make_api_token(connection, "read")}).status_code == 200


def test_who_is_in_does_not_wait_for_those_who_guess_from_the_same_address(
    settings: Settings, connection: Connection[TupleRow]
) -> None:
    good, other = (make_api_token(connection, "read") for _ in range(2))
    with open_client(settings) as api:
        api.get("/api/llm/health", headers=bear(good))
        api.post("/login", json={"token": other})
        for _ in range(FAILURES_MAX):
            api.get("/api/llm/health", headers=bear(make_token().token))

        expect_problem(api.get("/api/llm/health", headers=bear(make_token().token)), 429)
        assert api.get("/api/llm/health", headers=bear(good)).status_code == 200
        # by its session
        assert api.get("/api/llm/health").status_code == 200


def test_an_address_cannot_be_left_for_another_one_of_the_same_network(api: ApiClient) -> None:
    def guess(address: str) -> int:
        headers = {**bear(make_token().token), "X-Forwarded-For": address}
        return api.get("/api/llm/health", headers=headers).status_code

    assert {guess(f"2001:db8::{number:x}") for number in range(FAILURES_MAX)} == {401}
    assert guess("2001:db8::ffff:1") == 429
    assert guess("2001:db8:0:1::1") == 401
    for number in range(FAILURES_MAX):
        guess("x" * 64 + str(number))
    assert guess("x" * 60_000) == 429


def test_a_parameter_that_an_endpoint_does_not_know_is_refused_by_name(
    api: ApiClient, connection: Connection[TupleRow]
) -> None:
    headers = bear(make_api_token(connection, "admin"))
    for method, path in ROUTES:
        detail = expect_problem(api.request(method, f"{path}?dyas=7", headers=headers), 422)["detail"]
        assert detail.startswith("query.dyas: there is no such parameter"), (method, path, detail)

    wrong = {
        "/api/llm/costs?dyas=7": "query.dyas: there is no such parameter: did you mean days?",
        "/api/llm/costs?from=2026-11-01": "query.from: there is no such parameter: this takes days",
        "/api/llm/costs?days=7&days=30": "query.days: given 2 times, and it is taken once",
        "/api/llm/providers?x": "query.x: there is no such parameter: this takes none",
    }
    for path, detail in wrong.items():
        assert expect_problem(api.get(path, headers=headers), 422)["detail"] == detail
    assert api.get("/api/llm/requests?status=error&status=timeout", headers=headers).status_code == 200
