"""The program of a worker under faults: journals an event, then records it, until SIGTERM.

python -m chaos.recorder '{"journal": ..., "redis_url": ..., "uses_router": false, ...}'
"""

import json
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from chaos.fleet import NAMESPACE
from chaos.journal import Entry, Journal
from fuseboard_producer import Attempt, NoProviderAvailable, Producer, Request, Router
from fuseboard_schema.identifiers import make_event_id

PROVIDERS: Final = ("claude", "openai", "ollama")
MODELS: Final = ("small", "large")
TEAMS: Final = ("search", "billing", None)
STATUSES: Final = ("success", "error", "timeout")
STATUS_WEIGHTS: Final = (94, 3, 3)
SAY_DROPS_EVERY_SECONDS: Final = 0.25
CLOSE_SECONDS: Final = 30.0


class CallFailedError(Exception):
    """A provider that fails, for the Router to fail over."""


@dataclass
class Recorder:
    """What one worker does: it journals each event and then records it, itself or through a Router."""

    producer: Producer
    journal: Journal
    randomness: random.Random

    def make_entry(self, provider: str, model: str) -> Entry:
        """Make an event that ends now."""
        now = datetime.now(UTC)
        status = self.randomness.choices(STATUSES, STATUS_WEIGHTS)[0]
        served = status == "success"
        is_reported = served and self.randomness.random() < 0.1
        return Entry(
            event_id=make_event_id(now),
            at=now.timestamp(),
            provider=provider,
            model=model,
            status=status,
            prompt_tokens=self.randomness.randrange(5000) if served else None,
            completion_tokens=self.randomness.randrange(900) if served else None,
            reported_cost_usd=f"0.{self.randomness.randrange(10**12):012d}" if is_reported else None,
            team=self.randomness.choice(TEAMS),
        )

    def record_once(self) -> Entry:
        """Record one event."""
        entry = self.make_entry(self.randomness.choice(PROVIDERS), self.randomness.choice(MODELS))
        self.journal.note_event(entry)
        fields = make_fields(entry)
        self.producer.record(
            entry.provider, entry.model, fields.pop("status"), duration_seconds=self.randomness.random(), **fields
        )
        return entry

    def call_router(self, router: Router) -> None:
        """Make one call, whose attempts are journalled as they are made."""
        model = self.randomness.choice(MODELS)

        def ask(attempt: Attempt) -> str:
            entry = self.make_entry(attempt.provider, model)
            self.journal.note_event(entry)
            fields = make_fields(entry)
            is_served = fields.pop("status") == "success"
            attempt.set_fields(**fields)
            if not is_served:
                raise CallFailedError
            return entry.model

        with suppress(CallFailedError, NoProviderAvailable):
            router.call(Request(model=model), dict.fromkeys(PROVIDERS, ask))


def make_fields(entry: Entry) -> dict[str, Any]:
    """Make what `record()` takes as keywords, from what the journal holds."""
    return {
        "event_id": entry.event_id,
        "occurred_at": datetime.fromtimestamp(entry.at, UTC),
        "status": entry.status,
        "prompt_tokens": entry.prompt_tokens,
        "completion_tokens": entry.completion_tokens,
        "cost_usd": entry.reported_cost_usd,
        "tags": {"team": entry.team} if entry.team else None,
    }


class Prober:
    """A producer that nothing is done to: what it records after a fault shows when all is well again."""

    def __init__(self, producer: Producer, journal: Journal) -> None:
        self._producer = producer
        self._recorder = Recorder(producer, journal, random.Random(0))  # noqa: S311 - traffic
        self._journal = journal

    @classmethod
    @contextmanager
    def run(cls, redis_url: str, folder: Path) -> Iterator[Self]:
        """Make one that reaches Redis past all links."""
        with Producer(
            redis_url, namespace=NAMESPACE, spool_dir=folder / "prober.spool", worker_id="prober"
        ) as producer:
            yield cls(producer, Journal(folder / "prober.journal"))

    def record(self) -> str:
        """Record an event; returns its id."""
        return self._recorder.record_once().event_id

    def close(self) -> None:
        """Hand over everything."""
        self._producer.close(30)
        self._journal.note_drops(self._producer.counters.dropped)


def run_recorder(orders: dict[str, Any]) -> None:
    """Record at a steady rate until SIGTERM, then hand over everything."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    producer = Producer(
        orders["redis_url"],
        namespace=orders["namespace"],
        spool_dir=orders["spool_dir"],
        worker_id=orders["name"],
    )
    recorder = Recorder(producer, Journal(Path(orders["journal"])), random.Random(orders["seed"]))  # noqa: S311
    router = Router(producer, providers=PROVIDERS) if orders["uses_router"] else None
    pause_seconds = 1 / orders["per_second"]
    said_at = time.monotonic()
    while not stopping:
        if router:
            recorder.call_router(router)
        else:
            recorder.record_once()
        time.sleep(pause_seconds)
        if time.monotonic() - said_at > SAY_DROPS_EVERY_SECONDS:
            said_at = time.monotonic()
            recorder.journal.note_drops(producer.counters.dropped)
    if router:
        router.close()
    producer.close(CLOSE_SECONDS)
    recorder.journal.note_drops(producer.counters.dropped)


if __name__ == "__main__":
    run_recorder(json.loads(sys.argv[1]))
