"""A circuit's projection as it is in Redis: the real scripts on a real server, in the time of a case."""

import atexit
import os
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final
from uuid import uuid4

from redis import Redis

from fuseboard_cli.embedded_files import make_socket_folder
from fuseboard_cli.embedded_redis import make_redis_url, plan_redis
from fuseboard_cli.embedded_server import Server
from fuseboard_consumer.projection_rows import ProjectionRow, compose_publication
from fuseboard_consumer.publisher import Publisher
from fuseboard_producer.circuit_scripts import Grant, acquire_probe, release_lease
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_hints, name_leases, name_snapshot
from fuseboard_schema.circuit_projection import Projected
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.pricing import PriceBook
from fuseboard_schema.redis_client import connect_redis
from stopped_clock import stopped_clock

PROVIDER: Final = "case"
NO_PRICES: Final = PriceBook([], ("", ""))
# cases begin at 0, which in Redis says that there is no deadline
FIRST_SECOND: Final = 1_000_000.0


@cache
def open_redis() -> Redis:
    """Connect to FUSEBOARD_TEST_REDIS_URL or else to a server of our own, started now and ended with this process."""
    stack = ExitStack()
    atexit.register(stack.close)
    url = os.environ.get("FUSEBOARD_TEST_REDIS_URL")
    if not url:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuseboard-vectors-")))
        server = Server(plan_redis(root, make_socket_folder(root)), root)
        stack.callback(server.stop)
        server.start()
        url = make_redis_url(server.plan)
    client = connect_redis(url)
    stack.callback(client.close)
    return client


class CircuitRedis:
    """What Redis holds of one circuit, under names of its own. Times are seconds of the case."""

    def __init__(self) -> None:
        self._namespace = f"vectors{uuid4().hex[:12]}"
        self._keys = (
            name_snapshot(self._namespace),
            name_hints(self._namespace),
            name_leases(self._namespace, PROVIDER),
        )
        self._epochs: dict[str, int] = {}

    def publish(
        self, circuit: Projected, settings: CircuitSettings, now: float, throttle_reset_revision: int = 0
    ) -> bool:
        """Publish a circuit; False when Redis has one that is as new."""
        row = ProjectionRow(
            PROVIDER,
            enabled=True,
            provider_type="remote",
            priority=100,
            weight=None,
            context_tokens=None,
            capabilities=[],
            models={},
            circuit_settings=settings,
            revision=circuit.revision,
            version=circuit.revision,
            state=circuit.state,
            epoch=circuit.epoch,
            override=circuit.override,
            throttle_reset_revision=throttle_reset_revision,
            open_ms=measure_ms(now, circuit.open_until),
            throttle_ms=measure_ms(now, circuit.throttle_until),
            rolling_minutes={},
            rolling_durations={},
            clock=datetime.now(UTC),
        )
        with stopped_clock(FIRST_SECOND + now):
            (published,) = Publisher(open_redis(), self._namespace).send([compose_publication(row, None, NO_PRICES)])
        return published.is_applied

    def acquire(self, lease_id: str, now: float, dead_after_seconds: float, heartbeat_at: float | None) -> Grant:
        """Ask for one call, with the consumers' last heartbeat as given."""
        redis, snapshot = open_redis(), self._keys[0]
        if heartbeat_at is None:
            redis.hdel(snapshot, HEARTBEAT_FIELD)
        else:
            redis.hset(snapshot, HEARTBEAT_FIELD, f"{(FIRST_SECOND + heartbeat_at) * 1000:.0f}")
        with stopped_clock(FIRST_SECOND + now):
            grant = acquire_probe(redis, self._namespace, PROVIDER, lease_id, dead_after_seconds)
        if grant.admission == "probe" and grant.epoch is not None:
            self._epochs[lease_id] = grant.epoch
        return grant

    def release(self, lease_id: str, epoch: int | None = None) -> bool:
        """Give a lease back; False when it was not held."""
        before = open_redis().zcard(self._keys[2])
        held_in = self._epochs.get(lease_id) if epoch is None else epoch
        release_lease(open_redis(), self._namespace, PROVIDER, held_in or 0, lease_id)
        return open_redis().zcard(self._keys[2]) < before

    def lose(self) -> None:
        """Lose it all, as a Redis that was emptied."""
        open_redis().delete(*self._keys)


def measure_ms(now: float, until: float | None) -> float | None:
    """Measure what is left of a deadline, to the microsecond; None without one."""
    return None if until is None else round((until - now) * 1000, 3)
