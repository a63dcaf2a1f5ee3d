"""A real client's streams through a router: a provider that is down is left before the first token."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

from fuseboard_producer import Attempt, Router
from router_tools import RecordingProducer

MESSAGES: Any = [{"role": "user", "content": "hi"}]
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def make_chunk(text: str, usage: dict[str, int] | None = None) -> bytes:
    choices = [] if usage else [{"index": 0, "delta": {"content": text}, "finish_reason": None}]
    chunk = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        "usage": usage,
    }
    return b"data: %s\n\n" % json.dumps(chunk).encode()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        is_down = self.path.startswith("/down")
        self.send_response(503 if is_down else 200)
        self.send_header("content-type", "application/json" if is_down else "text/event-stream")
        self.end_headers()
        self.wfile.write(b"{}" if is_down else b"".join([make_chunk("one"), make_chunk("two"), make_chunk("", USAGE)]))
        self.wfile.write(b"" if is_down else b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def expect_failover(producer: RecordingProducer) -> None:
    failed, served = producer.events
    assert (failed["provider"], failed["status"], failed["http_status"]) == ("down", "error", 503)
    assert (served["provider"], served["prompt_tokens"], served["completion_tokens"]) == ("up", 7, 2)
    assert served["duration_seconds"] >= served["time_to_first_token_seconds"] > 0


def test_a_stream_of_openai_fails_over_and_is_recorded_with_its_usage(url: str, tmp_path: Path) -> None:
    producer = RecordingProducer(tmp_path)

    def ask(attempt: Attempt) -> Any:  # noqa: ANN401 - openai's own stream
        with openai.OpenAI(api_key="x", base_url=f"{url}/{attempt.provider}", max_retries=0) as client:
            for chunk in client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
                if chunk.usage:
                    attempt.set_usage(
                        prompt_tokens=chunk.usage.prompt_tokens, completion_tokens=chunk.usage.completion_tokens
                    )
                yield chunk

    with Router(producer, providers=["down", "up"], first_snapshot_wait_seconds=0) as router:
        chunks = list(router.call(None, {"down": ask, "up": ask}))

    assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices] == ["one", "two"]
    expect_failover(producer)


async def test_an_asynchronous_stream_of_openai_is_given_on_as_it_is(url: str, tmp_path: Path) -> None:
    producer = RecordingProducer(tmp_path)

    async with openai.AsyncOpenAI(api_key="x", base_url=f"{url}/up", max_retries=0) as client:

        async def ask(_: Attempt) -> Any:  # noqa: ANN401 - openai's own stream
            return await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)

        with Router(producer, providers=["up"], first_snapshot_wait_seconds=0) as router:
            answer: Any = await router.acall(None, {"up": ask})
            assert answer.response.status_code == 200
            async with answer as stream:
                texts = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]

    assert texts == ["one", "two"]
    assert [event.get("status") for event in producer.events] == [None]
