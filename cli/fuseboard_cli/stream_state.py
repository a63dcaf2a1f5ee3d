"""The event stream as an operator sees it: how much waits, since when, and who works on it."""

import time
from datetime import datetime
from typing import Final, NamedTuple

from redis import Redis
from redis.exceptions import ResponseError

from fuseboard_schema.stream import CONSUMER_GROUP, name_event_stream
from fuseboard_schema.stream_reading import CONSUMER_IDLE_MAX_MS, read_oldest_entry_at, read_redis_time

# a consumer that lives asks for entries every second
LIFE_SIGN_SECONDS: Final = 1.5
LIFE_SIGN_POLL_SECONDS: Final = 0.1
# between two readings of a silent consumer's idle time, which the network makes uneven
IDLE_SLACK_MS: Final = 50.0


class StreamState(NamedTuple):
    """One reading. Entries are flushes of producers; what is committed leaves the stream."""

    entries: int
    # not yet given to any consumer; None where Redis cannot tell
    undelivered_entries: int | None
    # given to a consumer and not yet acknowledged
    unacknowledged_entries: int
    oldest_entry_at: datetime | None
    live_consumers: int
    now: datetime

    @property
    def oldest_entry_seconds(self) -> float:
        """How long the oldest entry has been waiting; 0 where none is."""
        return 0.0 if self.oldest_entry_at is None else max(0.0, (self.now - self.oldest_entry_at).total_seconds())


def read_stream_state(redis: Redis, namespace: str) -> StreamState:
    """Read the state of the event stream; one that does not exist yet is empty."""
    stream = name_event_stream(namespace)
    oldest_entry_at = read_oldest_entry_at(redis, stream)
    group = _read_group(redis, stream)
    entries = redis.xlen(stream)
    return StreamState(
        entries=entries,
        undelivered_entries=group.get("lag", entries),
        unacknowledged_entries=group.get("pending") or 0,
        oldest_entry_at=oldest_entry_at,
        live_consumers=count_live_consumers(redis, stream) if group else 0,
        now=read_redis_time(redis),
    )


def count_live_consumers(redis: Redis, stream: str) -> int:
    """Count the consumers that give a sign of life within a second and a half.

    Watched, because a restart of Redis makes those that are long gone look as if they had just been there.
    """
    started = time.monotonic()
    # who has been silent for longer is not waited for
    silent = {name: idle for name, idle in _read_idle_ms(redis, stream).items() if idle <= CONSUMER_IDLE_MAX_MS}
    known = len(silent)
    while silent and time.monotonic() < started + LIFE_SIGN_SECONDS:
        time.sleep(LIFE_SIGN_POLL_SECONDS)
        elapsed_ms = (time.monotonic() - started) * 1000
        now = _read_idle_ms(redis, stream)
        silent = {
            name: idle
            for name, idle in silent.items()
            if now.get(name, float("inf")) + IDLE_SLACK_MS >= idle + elapsed_ms
        }
    return known - len(silent)


def _read_idle_ms(redis: Redis, stream: str) -> dict[bytes, int]:
    members = redis.xinfo_consumers(stream, CONSUMER_GROUP)
    return {member["name"]: member["idle"] for member in members}


def _read_group(redis: Redis, stream: str) -> dict[str, int | None]:
    """Read the consumer group; empty before the first consumer has come."""
    try:
        groups = redis.xinfo_groups(stream)
    except ResponseError as error:
        if str(error).startswith("no such key"):
            return {}
        raise
    return next((group for group in groups if group["name"] == CONSUMER_GROUP.encode()), {})
