"""The exceptions of real client libraries, asked over HTTP: what they say of a call, and of its provider's circuit."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import anthropic
import anyio
import boto3
import httpx
import openai
import pytest
import requests
import tenacity
from botocore.config import Config
from google import genai

from fuseboard_producer.exceptions import Told, read_exception
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.outcome import Verdict, classify_call

SETTINGS = CircuitSettings()


class Reply(NamedTuple):
    """What the server answers to everything."""

    status: int
    headers: list[tuple[str, str]]
    body: dict[str, Any]


class Server(ThreadingHTTPServer):
    """Refuse every request as told."""

    reply = Reply(400, [], {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def refuse(self, status: int, *headers: tuple[str, str], body: dict[str, Any] | None = None) -> None:
        self.reply = Reply(status, list(headers), body or {"message": "no"})


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        data = json.dumps(self.server.reply.body).encode()
        self.send_response(self.server.reply.status)
        headers = (("content-type", "application/json"), ("content-length", str(len(data))))
        for name, value in (*self.server.reply.headers, *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(call: Callable[[], object]) -> tuple[Told, Verdict]:
    """Call, and read the exception as a worker and the circuit do."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever the client raises
        told = read_exception(error)
    else:
        pytest.fail("the client raised nothing")
    verdict = classify_call(
        told.outcome.status,
        told.error_type,
        told.outcome.http_status,
        told.retry_after_seconds,
        0.3,
        settings=SETTINGS,
    )
    return told, verdict


@pytest.fixture(scope="module")
def bedrock(server: Server) -> Any:  # noqa: ANN401 - boto3 makes its clients' types as it goes
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",  # noqa: S106 - the server does not look
        config=Config(retries={"max_attempts": 1, "mode": "standard"}),
    )


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        ("ValidationException", 400, "neutral"),
        ("ResourceNotFoundException", 404, "neutral"),
        ("SomethingOfTomorrowException", 400, "neutral"),
        ("ThrottlingException", 429, "throttle"),
        ("ModelNotReadyException", 429, "throttle"),
        ("ServiceQuotaExceededException", 400, "throttle"),
        ("AccessDeniedException", 403, "fatal"),
        ("ExpiredTokenException", 403, "fatal"),
        ("UnrecognizedClientException", 403, "fatal"),
        ("ModelTimeoutException", 408, "failure"),
        ("ModelErrorException", 424, "failure"),
        ("InternalServerException", 500, "failure"),
        ("ServiceUnavailableException", 503, "failure"),
    ],
)
def test_bedrocks_errors_are_read(server: Server, bedrock: Any, code: str, status: int, outcome: str) -> None:  # noqa: ANN401 - as above
    server.refuse(status, ("x-amzn-ErrorType", code), ("Retry-After", "7"))

    told, verdict = ask(lambda: bedrock.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "hi"}]}]))

    assert (told.outcome.http_status, told.retry_after_seconds) == (status, 7.0)
    assert verdict.outcome == outcome
    assert (told.outcome.status == "rate_limited") == (status == 429)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (400, {"error": {"type": "invalid_request_error"}}, "neutral"),
        (404, {"error": {"type": "not_found_error"}}, "neutral"),
        (413, {"error": {"type": "request_too_large"}}, "neutral"),
        (401, {"error": {"type": "authentication_error"}}, "fatal"),
        (429, {"error": {"type": "rate_limit_error"}}, "throttle"),
        (429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, "throttle"),
        (500, {"error": {"type": "api_error"}}, "failure"),
        (503, {"error": {"code": 503, "status": "UNAVAILABLE"}}, "failure"),
    ],
)
def test_all_clients_tell_the_same_of_the_same_answer(
    server: Server, status: int, body: dict[str, Any], outcome: str
) -> None:
    server.refuse(status, ("Retry-After", "7"), ("Retry-After", "9"), body=body)
    messages: Any = [{"role": "user", "content": "hi"}]
    gpt = openai.OpenAI(api_key="x", base_url=server.url, max_retries=0)
    claude = anthropic.Anthropic(api_key="x", base_url=server.url, max_retries=0)
    gemini = genai.Client(api_key="x", http_options={"base_url": server.url})
    calls: dict[str, Callable[[], object]] = {
        "openai": lambda: gpt.chat.completions.create(model="m", messages=messages),
        "anthropic": lambda: claude.messages.create(model="m", max_tokens=1, messages=messages),
        "gemini": lambda: gemini.models.generate_content(model="m", contents="hi"),
        "httpx": lambda: httpx.post(server.url).raise_for_status(),
        "requests": lambda: requests.post(server.url, timeout=5).raise_for_status(),
        "urllib": lambda: urllib.request.urlopen(urllib.request.Request(server.url, data=b"{}")),  # noqa: S310 - loopback
    }

    seen = {name: ask(call) for name, call in calls.items()}

    assert {name: told.outcome.http_status for name, (told, _) in seen.items()} == dict.fromkeys(calls, status)
    assert {name: verdict.outcome for name, (_, verdict) in seen.items()} == dict.fromkeys(calls, outcome)
    # a header that came twice asks for the longer time
    assert {name: told.retry_after_seconds for name, (told, _) in seen.items()} == dict.fromkeys(calls, 9.0)


async def post(url: str) -> None:
    async with httpx.AsyncClient() as client:
        (await client.post(url, json={})).raise_for_status()


def post_in_anyio_group(url: str) -> None:
    async def run() -> None:
        async with anyio.create_task_group() as outer, anyio.create_task_group() as group:
            outer.start_soon(anyio.sleep, 60)
            group.start_soon(post, url)

    anyio.run(run)


def post_in_asyncio_group(url: str) -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(post(url))
            group.create_task(asyncio.sleep(60))

    asyncio.run(run())


@tenacity.retry(stop=tenacity.stop_after_attempt(2))
def post_again_and_again(url: str) -> None:
    httpx.post(url).raise_for_status()


def post_and_wrap(url: str) -> None:
    try:
        httpx.post(url).raise_for_status()
    except httpx.HTTPError as error:
        raise RuntimeError("the agent's step failed") from error


def post_and_wrap_by_the_way(url: str) -> None:
    try:
        httpx.post(url).raise_for_status()
    except httpx.HTTPError:
        raise RuntimeError("the agent's step failed")  # noqa: B904 - as people write it


@pytest.mark.parametrize(
    "ask_wrapped",
    [post_in_anyio_group, post_in_asyncio_group, post_again_and_again, post_and_wrap, post_and_wrap_by_the_way],
)
@pytest.mark.parametrize(("status", "outcome"), [(400, "neutral"), (429, "throttle"), (401, "fatal"), (500, "failure")])
def test_what_wraps_an_error_hides_nothing_of_it(
    server: Server, ask_wrapped: Callable[[str], None], status: int, outcome: str
) -> None:
    server.refuse(status, ("Retry-After", "30"))

    told, verdict = ask(lambda: ask_wrapped(server.url))

    assert (told.outcome.http_status, told.error_type) == (status, "HTTPStatusError")
    assert told.retry_after_seconds == 30.0
    assert verdict.outcome == outcome
