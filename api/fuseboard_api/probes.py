"""The probes of half-open circuits: how many are out, by the leases in Redis, and how many were good."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from fuseboard_api.rows import CircuitRow, HalfOpenRow
from fuseboard_consumer.circuit_store import read_circuit_settings
from fuseboard_schema.circuit_keys import name_leases
from fuseboard_schema.circuit_projection import Lease, list_live_leases

# people wait for this, and it is the least of what they ask
REDIS_TIMEOUT_SECONDS: Final = 0.5


class Probes:
    """Looks up what the database does not know: the leases that workers hold."""

    def __init__(self, redis: Redis, namespace: str) -> None:
        self._redis = redis
        self._namespace = namespace

    def fill_in(self, circuits: Sequence[CircuitRow], half_open: Sequence[HalfOpenRow]) -> list[CircuitRow]:
        """Say of each half-open circuit how its probes are; probes_out stays None where Redis is away."""
        waiting = {row.provider: row for row in half_open}
        out = self._count_out(half_open)
        return [
            _fill_in(circuit, waiting[circuit.provider], out.get(circuit.provider))
            if circuit.state == "half_open" and circuit.provider in waiting
            else circuit
            for circuit in circuits
        ]

    def _count_out(self, half_open: Sequence[HalfOpenRow]) -> dict[str, int]:
        if not half_open:
            return {}
        try:
            return count_probes_out(self._redis, self._namespace, half_open)
        except (RedisError, OSError):
            # /readyz and the metrics tell that Redis is away
            return {}


def count_probes_out(redis: Redis, namespace: str, half_open: Sequence[HalfOpenRow]) -> dict[str, int]:
    """Count the leases that take a place now, by provider, in one round trip; raises redis.exceptions.RedisError."""
    with redis.pipeline(transaction=False) as pipeline:
        # leases end by the clock of Redis
        pipeline.time()
        for row in half_open:
            pipeline.zrange(name_leases(namespace, row.provider), 0, -1, withscores=True)
        (seconds, microseconds), *found = pipeline.execute()
    now = seconds + microseconds / 1_000_000
    return {
        row.provider: len(list_live_leases([_read_lease(*entry) for entry in entries], row.epoch, now))
        for row, entries in zip(half_open, found, strict=True)
    }


def _read_lease(member: bytes, expires_at_ms: float) -> Lease:
    epoch, _, lease_id = member.decode(errors="replace").partition(":")
    # a member of another form is of no epoch
    return Lease(int(epoch) if epoch.isdecimal() else 0, lease_id, expires_at_ms / 1000)


def _fill_in(circuit: CircuitRow, row: HalfOpenRow, out: int | None) -> CircuitRow:
    settings = read_circuit_settings(row.provider, row.circuit_settings)
    return replace(
        circuit,
        probes_out=out,
        probes_allowed=settings.half_open_max_probes,
        good_probes=row.good_probes,
        good_probes_needed=settings.success_threshold,
    )
