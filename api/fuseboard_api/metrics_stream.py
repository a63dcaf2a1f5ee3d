"""What Redis knows about events on their way, for the metrics."""

from datetime import datetime
from typing import NamedTuple, cast

from redis import Redis
from redis.exceptions import ResponseError

from fuseboard_consumer.batch_meter import BatchCounts, read_batch_counts
from fuseboard_schema.stream import CONSUMER_GROUP, name_event_stream
from fuseboard_schema.stream_reading import (
    CONSUMER_IDLE_MAX_MS,
    read_heartbeat_at,
    read_oldest_entry_at,
    read_redis_time,
)


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
    oldest_entry_at = read_oldest_entry_at(redis, stream)
    heartbeat_at = read_heartbeat_at(redis, namespace)
    members = _read_members(redis, stream)
    entries = redis.xlen(stream)
    batches = read_batch_counts(redis, namespace)
    # last, so that no age is below zero
    now = read_redis_time(redis)
    return StreamReading(
        entries=entries,
        unacknowledged_entries=sum(member["pending"] for member in members),
        oldest_entry_seconds=0.0 if oldest_entry_at is None else _measure_age(oldest_entry_at, now),
        consumers=sum(member["idle"] <= CONSUMER_IDLE_MAX_MS for member in members),
        heartbeat_age_seconds=None if heartbeat_at is None else _measure_age(heartbeat_at, now),
        batches=batches,
    )


def _measure_age(at: datetime, now: datetime) -> float:
    return max(0.0, (now - at).total_seconds())


def _read_members(redis: Redis, stream: str) -> list[dict[str, int]]:
    """Read the members of the consumer group; none before the first consumer has come."""
    try:
        return cast("list[dict[str, int]]", redis.xinfo_consumers(stream, CONSUMER_GROUP))
    except ResponseError as error:
        if str(error).startswith(("no such key", "NOGROUP")):
            return []
        raise
