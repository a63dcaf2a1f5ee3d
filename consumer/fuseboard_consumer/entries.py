"""The event stream as a consumer sees it: read, claim back from the dead, acknowledge."""

import logging
from typing import NamedTuple, cast

from redis import Redis
from redis.exceptions import ResponseError

from fuseboard_schema.stream import CONSUMER_GROUP, ENTRY_FIELD, name_event_stream

log = logging.getLogger(__name__)

# a consumer that has been silent this long and owes nothing is forgotten
FORGET_CONSUMER_IDLE_MS = 3_600_000


class Entry(NamedTuple):
    """One flush of one producer: its id in the stream and its payload, a JSON array of events."""

    entry_id: str
    payload: bytes


class EntryReader:
    """Reads the stream for one consumer of the group; nothing read is lost until it is acknowledged (G2)."""

    def __init__(self, redis: Redis, namespace: str, consumer: str, claim_idle_seconds: float) -> None:
        self._redis = redis
        self._stream = name_event_stream(namespace)
        self._consumer = consumer
        self._claim_idle_ms = int(claim_idle_seconds * 1000)

    def read(self, count: int, block_ms: int) -> list[Entry]:
        """Read up to `count` new entries, waiting up to `block_ms` for the first."""
        try:
            reply = self._redis.xreadgroup(
                CONSUMER_GROUP, self._consumer, {self._stream: ">"}, count=count, block=block_ms or None
            )
        except ResponseError as error:
            self._create_group_if_missing(error)
            return []
        return [entry for entries in dict(reply or {}).values() for entry in _unpack_entries(entries)]

    def claim(self, count: int) -> list[Entry]:
        """Take over up to `count` entries whose consumer has not acknowledged them for claim_idle_seconds."""
        try:
            reply = self._redis.xautoclaim(
                self._stream, CONSUMER_GROUP, self._consumer, self._claim_idle_ms, count=count
            )
        except ResponseError as error:
            self._create_group_if_missing(error)
            return []
        entries = _unpack_entries(cast("list[object]", reply[1]))
        if entries:
            log.info("entries_claimed entries=%d", len(entries))
        return entries

    def acknowledge(self, entry_ids: list[str]) -> None:
        """Acknowledge and delete entries whose events are committed."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.xack(self._stream, CONSUMER_GROUP, *entry_ids)
            pipeline.xdel(self._stream, *entry_ids)
            pipeline.execute()

    def forget_dead_consumers(self) -> None:
        """Remove group members that owe nothing and have been silent for an hour."""
        try:
            members = self._redis.xinfo_consumers(self._stream, CONSUMER_GROUP)
        except ResponseError as error:
            self._create_group_if_missing(error)
            return
        for member in cast("list[dict[str, object]]", members):
            if member["pending"] == 0 and cast("int", member["idle"]) > FORGET_CONSUMER_IDLE_MS:
                self._redis.xgroup_delconsumer(self._stream, CONSUMER_GROUP, cast("str", member["name"]))

    def _create_group_if_missing(self, error: ResponseError) -> None:
        """A new or emptied Redis has no group: make it, from the first entry on, so that none is skipped."""
        if not str(error).startswith(("NOGROUP", "UNBLOCKED", "no such key")):
            raise error
        try:
            self._redis.xgroup_create(self._stream, CONSUMER_GROUP, id="0", mkstream=True)
            log.info("consumer_group_created stream=%s", self._stream)
        except ResponseError as created:
            if not str(created).startswith("BUSYGROUP"):
                raise


def _unpack_entries(entries: object) -> list[Entry]:
    """Unpack redis-py's reply; an entry without our field is a poison entry with an empty payload."""
    field = ENTRY_FIELD.encode()
    pairs = cast("list[tuple[bytes, dict[bytes, bytes] | None]]", entries)
    # an entry that was deleted while pending comes back without fields
    return [Entry(entry_id.decode(), fields.get(field, b"")) for entry_id, fields in pairs if fields is not None]
