"""A provider over real HTTP on loopback: a test changes how it behaves while it runs, and it remembers each call."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Final, Literal

Behaviour = Literal["ok", "slow", "error", "overloaded", "rate_limited", "hang", "drop"]

WORKER_HEADER: Final = "X-Fuseboard-Worker"
ADMISSION_HEADER: Final = "X-Fuseboard-Admission"
EPOCH_HEADER: Final = "X-Fuseboard-Epoch"
LEASE_HEADER: Final = "X-Fuseboard-Lease"
OVERLOADED_STATUS: Final = 529
STATUSES: Final[dict[Behaviour, int]] = {
    "error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "overloaded": OVERLOADED_STATUS,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
}
ANSWER: Final = {"text": "42", "prompt_tokens": 100, "completion_tokens": 10}


@dataclass(slots=True)
class Received:
    """One call as the provider saw it; times are monotonic seconds, ended_at is None while it is not answered."""

    behaviour: Behaviour
    worker_id: str
    admission: str
    epoch: int | None
    lease_id: str | None
    began_at: float
    ended_at: float | None = None


@dataclass
class FakeProvider:
    """A server in threads of this process. `behave` switches it; calls that hang end when it behaves otherwise."""

    name: str
    latency_seconds: float = 0.005
    slow_seconds: float = 1.0
    retry_after_seconds: int = 2
    calls: list[Received] = field(default_factory=list)
    url: str = ""
    # how to treat a call, and what ends those that hang; replaced together
    _mode: tuple[Behaviour, threading.Event] = field(default_factory=lambda: ("ok", threading.Event()))

    def behave(self, behaviour: Behaviour) -> float:
        """Treat all calls from now on like this; returns when that was, in monotonic seconds."""
        (_, changed), self._mode = self._mode, (behaviour, threading.Event())
        changed.set()
        return time.monotonic()

    def list_calls(self, *, since: float = 0.0, **fields: object) -> list[Received]:
        """List the calls that began at or after a time and have these values."""
        return [
            call
            for call in list(self.calls)
            if call.began_at >= since and all(getattr(call, name) == value for name, value in fields.items())
        ]

    def serve(self, request: "Handler") -> None:
        """Note a call, and answer it or not, as this provider behaves now."""
        behaviour, changed = self._mode
        call = _note_call(request, behaviour)
        self.calls.append(call)
        try:
            if behaviour == "hang":
                changed.wait()
                return
            time.sleep(self.slow_seconds if behaviour == "slow" else self.latency_seconds)
            if behaviour != "drop":
                self._answer(request, behaviour)
        finally:
            call.ended_at = time.monotonic()

    def _answer(self, request: "Handler", behaviour: Behaviour) -> None:
        status = STATUSES.get(behaviour, HTTPStatus.OK)
        body = json.dumps(ANSWER if status == HTTPStatus.OK else {"error": {"message": behaviour}}).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        if behaviour == "rate_limited":
            request.send_header("Retry-After", str(self.retry_after_seconds))
        request.end_headers()
        request.wfile.write(body)


class Handler(BaseHTTPRequestHandler):
    """Hand every POST to the provider; one connection per call."""

    provider: ClassVar[FakeProvider]

    def do_POST(self) -> None:
        """Read the request and let the provider serve it."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.provider.serve(self)

    def log_message(self, *_: object) -> None:
        """Say nothing: the calls are remembered."""


class Server(ThreadingHTTPServer):
    """A server whose callers may hang up at any time."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Ignore callers that are gone."""


@contextmanager
def running_provider(name: str) -> Iterator[FakeProvider]:
    """Run a provider until the block ends."""
    provider = FakeProvider(name)
    with Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"provider": provider})) as server:
        provider.url = f"http://127.0.0.1:{server.server_address[1]}/v1/chat"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield provider
        finally:
            provider.behave("ok")
            server.shutdown()
            thread.join()


def _note_call(request: Handler, behaviour: Behaviour) -> Received:
    headers = request.headers
    epoch = headers.get(EPOCH_HEADER)
    return Received(
        behaviour,
        headers.get(WORKER_HEADER, ""),
        headers.get(ADMISSION_HEADER, ""),
        int(epoch) if epoch else None,
        headers.get(LEASE_HEADER) or None,
        time.monotonic(),
    )
