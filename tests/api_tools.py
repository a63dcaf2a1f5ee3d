"""The HTTP API for tests: served by a thread of this process."""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.routing import APIRoute
from psycopg import Connection
from psycopg.rows import TupleRow
from starlette.routing import Mount

from fuseboard_api.application import create_app
from fuseboard_api.token_store import insert_token
from fuseboard_api.tokens import Scope, make_token
from fuseboard_schema.settings import Settings
from openapi import find_answer_faults
from waiting import wait_until

# what stands for a parameter of a path
PATH_VALUES = {"provider:path": "claude", "provider": "claude", "table": "llm_providers"}
ANONYMOUS = {"/healthz", "/readyz"}
# how one gets in, what has no figures in it, and how one gets out
ENTRANCES = {"/login", "/logout", "/"}


def make_api_token(
    connection: Connection[TupleRow], scope: Scope, *, lasting: timedelta | None = None, name: str = "test"
) -> str:
    """Make a token as `fuseboard tokens create` does."""
    made = make_token()
    insert_token(connection, made, name=name, scope=scope, lasting=lasting)
    return made.token


def bear(token: str) -> dict[str, str]:
    """Make the header that presents a token."""
    return {"Authorization": f"Bearer {token}"}


def expect_declared(response: httpx.Response) -> None:
    """Check an answer in JSON by the OpenAPI document, whatever is asked and by whichever test."""
    media_type = response.headers.get("content-type", "").partition(";")[0]
    request = response.request
    if media_type.endswith("json") and request.method != "HEAD":
        response.read()
        path = request.url.path
        assert find_answer_faults(request.method, path, response.status_code, media_type, response.json()) == [], path


class ApiClient(httpx.Client):
    """A client of an API that runs in a thread of this process."""

    def __init__(self, app: FastAPI, url: str, token: str | None) -> None:
        super().__init__(
            base_url=url,
            headers=bear(token) if token else None,
            timeout=30,
            trust_env=False,
            event_hooks={"response": [expect_declared]},
        )
        self.app = app
        self.origin = url


@contextmanager
def open_client(settings: Settings, token: str | None = None) -> Iterator[ApiClient]:
    """Serve the application at a free port of this machine, and give a client that may have a token."""
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        with ApiClient(app, f"http://127.0.0.1:{port}", token) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def read_exactly(api: ApiClient, path: str, **parameters: object) -> Any:  # noqa: ANN401 - any JSON document
    """Read an answer with its numbers as they are written."""
    response = api.get(path, params={name: str(value) for name, value in parameters.items()})
    assert response.status_code == 200, response.text
    return json.loads(response.text, parse_float=Decimal, parse_int=Decimal)


def list_routes(app: FastAPI) -> list[tuple[str, str]]:
    """List method and path of every endpoint, with values for the parameters of its path."""
    found = [
        (method, fill_path(route.path)) for route in walk_routes(app.routes) for method in sorted(route.methods or ())
    ]
    assert ("GET", "/api/llm/providers") in found
    return found


def walk_routes(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """Give every endpoint, also those of routers that were included."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from walk_routes(route.original_router.routes)
        else:
            # anything else is served without the tests of access that go through the endpoints
            assert (type(route), route.path) == (Mount, "/static"), route


def fill_path(path: str) -> str:
    """Put values in for the parameters of a path."""
    for name, value in PATH_VALUES.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def expect_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check that an answer is a problem of this status; returns its document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert {"type", "title", "detail"} <= set(document)
    assert "Traceback" not in response.text
    return document
