"""Routers in tests: one whose clock, snapshot and Redis are made up, and circuits written into a real Redis by hand."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from redis import Redis

from fuseboard_producer import Attempt, Producer, Request, Router
from fuseboard_producer.circuit_scripts import Grant
from fuseboard_producer.counters import LockFreeCounter
from fuseboard_producer.leases import Release
from fuseboard_producer.snapshot import ProviderView, Snapshot, sort_views
from fuseboard_producer.snapshot_poller import Duty, Hint
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot
from selection_tools import NOW, make_rng

NOWHERE = "unix:///nonexistent/redis.sock"
Mode = Literal["sync", "async"]


class RecordingProducer(Producer):
    """Keep the events instead of sending them."""

    def __init__(self, spool_dir: Path) -> None:
        super().__init__(NOWHERE, spool_dir=spool_dir)
        self.events: list[dict[str, Any]] = []

    def record(self, *_: Any, **fields: Any) -> None:  # noqa: ANN401 - any field
        self.events.append(fields)


class StillPoller:
    """Stand for the background: the snapshot changes when the test says so."""

    thread = True
    awaits_first_poll = False

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.polls, self.poll_errors = LockFreeCounter(), LockFreeCounter()
        self.duties: list[Duty] = []
        self.hurries = 0

    def send(self, duty: Duty) -> None:
        self.duties.append(duty)

    def hurry(self) -> None:
        self.hurries += 1


class APIError(Exception):
    """What a client of an LLM raises."""

    def __init__(self, status_code: int | None = 503, message: str = "", retry_after: str | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.headers = {} if retry_after is None else {"retry-after": retry_after}


class RateLimitError(APIError):
    """As clients name a 429."""


class OverloadedError(APIError):
    """As clients name a 529."""


def answer(attempt: Attempt) -> str:
    """Answer as a provider that is well: with its name."""
    return attempt.provider


def fail_with(error: BaseException) -> Callable[[Attempt], str]:
    """Make a function that fails in one way."""

    def fail(_: Attempt) -> str:
        raise error

    return fail


@dataclass
class Rig:
    """A router whose surroundings the test makes: nothing here does I/O or waits.

    grants: what Redis answers to those who ask for a lease, in turn; an exception is raised.
    """

    producer: RecordingProducer
    router: Router
    poller: StillPoller
    now: float = NOW
    sleeps: list[float] = field(default_factory=list)
    grants: list[Grant | Exception] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.producer.events

    @property
    def providers(self) -> list[str]:
        """Whom events tell of, in order."""
        return [event["provider"] for event in self.events]

    @property
    def hints(self) -> list[Duty]:
        return [duty for duty in self.poller.duties if isinstance(duty, Hint)]

    @property
    def releases(self) -> list[Duty]:
        return [duty for duty in self.poller.duties if isinstance(duty, Release)]

    def show(self, *views: ProviderView) -> None:
        """Replace the snapshot."""
        self.poller.snapshot = Snapshot(sort_views(views), self.now)

    def call(
        self,
        mode: Mode,
        functions: Mapping[str, Callable[[Attempt], str]],
        request: Request | None = None,
        **options: Any,  # noqa: ANN401 - any option of `call`
    ) -> str:
        """Make a request in one of the two ways, which are the same but for their colour."""
        served: str
        if mode == "sync":
            served = self.router.call(request, functions, **options)
            return served

        def colour(function: Callable[[Attempt], str]) -> Callable[[Attempt], Any]:
            async def ask(attempt: Attempt) -> str:
                return function(attempt)

            return ask

        coloured = {name: colour(function) for name, function in functions.items()}
        served = asyncio.run(self.router.acall(request, coloured, **options))
        return served


def make_rig(monkeypatch: pytest.MonkeyPatch, spool_dir: Path, *views: ProviderView, seed: int = 1) -> Rig:
    """Make a router that knows these providers, since this moment."""
    producer = RecordingProducer(spool_dir)
    router = Router(producer)
    state = router._state
    state.poller.stop()
    poller = StillPoller(Snapshot(sort_views(views), NOW))
    rig = Rig(producer, router, poller)
    monkeypatch.setattr(state, "poller", poller)
    monkeypatch.setattr(state, "now", lambda: rig.now)
    monkeypatch.setattr(state, "rng", make_rng(seed))
    monkeypatch.setattr(state.leases, "_send", poller.send)

    def sleep(seconds: float) -> None:
        rig.sleeps.append(seconds)
        rig.now += seconds

    async def sleep_async(seconds: float) -> None:
        sleep(seconds)

    def acquire(_redis: Redis, _namespace: str, provider: str, _lease_id: str) -> Grant:
        rig.asked.append(provider)
        grant = rig.grants.pop(0)
        if isinstance(grant, Exception):
            raise grant
        return grant

    monkeypatch.setattr("fuseboard_producer.router.sleep", sleep)
    monkeypatch.setattr("fuseboard_producer.router.sleep_async", sleep_async)
    monkeypatch.setattr("fuseboard_producer.leases.acquire_probe", acquire)
    return rig


def publish(redis: Redis, namespace: str, **entries: dict[str, Any]) -> None:
    """Write entries as consumers do; `til_in` and `thr_in` are seconds from now by Redis's clock."""
    clock: Any = redis.time()
    now_ms = clock[0] * 1000 + clock[1] // 1000
    fields: dict[str | bytes, str | int] = {HEARTBEAT_FIELD: now_ms}
    for name, entry in entries.items():
        part: dict[str, Any] = {"r": 1, "v": 1, "st": "closed", "ep": 1, "c": {}} | entry
        for key in ("til", "thr"):
            if f"{key}_in" in part:
                part[key] = now_ms + int(part.pop(f"{key}_in") * 1000)
        fields[name] = json.dumps(part)
    redis.hset(name_snapshot(namespace), mapping=fields)  # type: ignore[arg-type]
