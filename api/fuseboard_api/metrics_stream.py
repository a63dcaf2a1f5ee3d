"""What Redis knows about events on their way, for the metrics."""

from typing import NamedTuple, cast

from redis import Redis
from redis.exceptions import ResponseError

from fuseboard_consumer.batch_meter import BatchCounts, read_batch_counts
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot
from fuseboard_schema.stream import CONSUMER_GROUP, name_event_stream

# a consumer that lives asks for entries every second
CONSUMER_IDLE_MAX_MS = 30_000


class StreamReading(NamedTuple):
    """One reading by Redis's clock. heartbeat_age_seconds is None when consumers never made progress, or long ago."""

    entries: int
    unacknowledged_entries: int
    oldest_entry_seconds: float
    consumers: int
    heartbeat_age_seconds: float | None
    batches: BatchCounts


def read_stream(redis: Redis, namespace: str) -> StreamReading:
    """Read how much waits, since when, and who works on it; raises what Redis raises when it is down."""
    stream = name_event_stream(namespace)
    first = cast("list[tuple[bytes, object]]", redis.xrange(stream, count=1))
    heartbeat_ms = cast("bytes | None", redis.hget(name_snapshot(namespace), HEARTBEAT_FIELD))
    members = _read_members(redis, stream)
    entries = redis.xlen(stream)
    batches = read_batch_counts(redis, namespace)
    # last, so that no age is below zero
    seconds, microseconds = redis.time()
    now = seconds + microseconds / 1e6
    return StreamReading(
        entries=entries,
        unacknowledged_entries=sum(member["pending"] for member in members),
        oldest_entry_seconds=max(0.0, now - int(first[0][0].split(b"-")[0]) / 1000) if first else 0.0,
        consumers=sum(member["idle"] <= CONSUMER_IDLE_MAX_MS for member in members),
        heartbeat_age_seconds=None if heartbeat_ms is None else max(0.0, now - float(heartbeat_ms) / 1000),
        batches=batches,
    )


def _read_members(redis: Redis, stream: str) -> list[dict[str, int]]:
    """Read the members of the consumer group; none before the first consumer has come."""
    try:
        return cast("list[dict[str, int]]", redis.xinfo_consumers(stream, CONSUMER_GROUP))
    except ResponseError as error:
        if str(error).startswith(("no such key", "NOGROUP")):
            return []
        raise
