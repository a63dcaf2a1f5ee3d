"""What operators and metrics both read of Redis: its clock, how long the oldest entry waits, the heartbeat."""

from datetime import UTC, datetime
from typing import Final, cast

from redis import Redis

from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot

# a consumer that lives asks for entries every second; who has been silent for longer than this is taken to be gone
CONSUMER_IDLE_MAX_MS: Final = 30_000


def read_redis_time(redis: Redis) -> datetime:
    """Read the clock of Redis."""
    seconds, microseconds = redis.time()
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)


def read_oldest_entry_at(redis: Redis, stream: str) -> datetime | None:
    """Read when Redis took the oldest entry of a stream; None where none is."""
    entries = cast("list[tuple[bytes, object]]", redis.xrange(stream, count=1))
    return _read_milliseconds(entries[0][0].split(b"-")[0]) if entries else None


def read_heartbeat_at(redis: Redis, namespace: str) -> datetime | None:
    """Read when consumers last said that they make progress; None where they never did, or long ago."""
    heartbeat = cast("bytes | None", redis.hget(name_snapshot(namespace), HEARTBEAT_FIELD))
    return None if heartbeat is None else _read_milliseconds(heartbeat)


def _read_milliseconds(text: bytes) -> datetime:
    return datetime.fromtimestamp(float(text) / 1000, UTC)
