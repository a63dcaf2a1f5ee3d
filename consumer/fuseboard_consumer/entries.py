"""The event stream as a consumer sees it: read, claim back from the dead, acknowledge."""

import logging
from typing import Final, NamedTuple, cast

from redis import Redis
from redis.exceptions import ResponseError

from fuseboard_schema.lua import load_lua, run_lua
from fuseboard_schema.stream import CONSUMER_GROUP, ENTRY_FIELD, name_event_stream

log = logging.getLogger(__name__)

# a consumer that has been silent this long and owes nothing is forgotten
FORGET_CONSUMER_IDLE_MS: Final = 3_600_000
# longer than anybody waits
RELEASED_IDLE_MS: Final = 3_600_000
# not the largest id there can be, after which Redis up to 7.0 does not look
ENTRY_ID_LATE: Final = f"{2**63}-0"
CLAIM_START: Final = b"0-0"
# of one claim, where the entries of consumers that live, or that are gone from the stream, stand in front
CLAIM_SCANS: Final = 1000
FIELD: Final = ENTRY_FIELD.encode()

# as redis-py has it: ids with their fields
Found = list[tuple[bytes | None, dict[bytes, bytes] | None]]


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
        self._claim_from = CLAIM_START
        # deleted by somebody while they were pending
        self._gone: list[bytes] = []

    def read(self, count: int, block_ms: int) -> list[Entry]:
        """Read up to `count` new entries, waiting up to `block_ms` for the first."""
        return self._read(">", count, block_ms)

    def read_own(self, count: int) -> list[Entry]:
        """Read up to `count` entries again that this consumer has read and not acknowledged: a reply was lost.

        Also shows this consumer to be here: before Redis 7.2 nothing else does that finds nothing to read.
        """
        entries = self._read("0", count, 0)
        self._tell_gone()
        return entries

    def show_presence(self) -> None:
        """Be seen in the group without taking anything."""
        self._read(ENTRY_ID_LATE, 1, 0)

    def claim(self, count: int) -> list[Entry]:
        """Take over up to `count` entries whose consumer has not acknowledged or held them for claim_idle_seconds."""
        try:
            for _ in range(CLAIM_SCANS):
                reply = self._redis.xautoclaim(
                    self._stream,
                    CONSUMER_GROUP,
                    self._consumer,
                    self._claim_idle_ms,
                    # Redis looks at ten times as many entries, and goes on from there
                    start_id=cast("str", self._claim_from),
                    count=count,
                )
                self._claim_from = cast("bytes", reply[0])
                found = cast("Found", reply[1])
                # up to 6.2 one that is not in the stream any more has no id here, and is this consumer's now
                entries = self._read("0", count, 0) if any(name is None for name, _ in found) else self._unpack(found)
                if entries:
                    log.info("entries_claimed entries=%d", len(entries))
                if entries or self._claim_from == CLAIM_START:
                    return entries
        except ResponseError as error:
            self._create_group_if_missing(error)
        finally:
            self._tell_gone()
        return []

    def hold(self) -> None:
        """Say that this consumer works on what it has read, so that nobody claims it."""
        self._set_idle(0)

    def release(self) -> None:
        """Let any consumer claim what this one has read, at once."""
        self._set_idle(RELEASED_IDLE_MS)

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

    def _read(self, after: str, count: int, block_ms: int) -> list[Entry]:
        try:
            reply = self._redis.xreadgroup(
                CONSUMER_GROUP, self._consumer, {self._stream: after}, count=count, block=block_ms or None
            )
        except ResponseError as error:
            self._create_group_if_missing(error)
            return []
        return [entry for found in dict(reply or {}).values() for entry in self._unpack(found)]

    def _unpack(self, found: object) -> list[Entry]:
        """Unpack redis-py's reply; what was deleted while it was pending has no fields, and is acknowledged."""
        pairs = [(name, fields or {}) for name, fields in cast("Found", found) if name is not None]
        gone = [name for name, fields in pairs if not fields]
        if gone:
            self._redis.xack(self._stream, CONSUMER_GROUP, *gone)
            self._gone += gone
        # an entry without our field is a poison entry with an empty payload
        return [Entry(name.decode(), fields.get(FIELD, b"")) for name, fields in pairs if fields]

    def _tell_gone(self) -> None:
        if self._gone:
            log.warning("entries_gone entries=%d first=%s", len(self._gone), self._gone[0].decode())
        self._gone.clear()

    def _set_idle(self, idle_ms: int) -> None:
        script = load_lua(__package__, "hold")
        run_lua(self._redis, script, [self._stream], [CONSUMER_GROUP, self._consumer, idle_ms])

    def _create_group_if_missing(self, error: ResponseError) -> None:
        """A new or emptied Redis has no group: make it, from the first entry on, so that none is skipped."""
        if not str(error).startswith(("NOGROUP", "UNBLOCKED", "no such key")):
            raise error
        try:
            run_lua(self._redis, load_lua(__package__, "create_group"), [self._stream], [CONSUMER_GROUP])
            log.info("consumer_group_created stream=%s", self._stream)
        except ResponseError as created:
            if not str(created).startswith("BUSYGROUP"):
                raise
