"""One sweep: brings Redis to what PostgreSQL has, whatever was lost on the way (part C.8).

Nothing depends on it for being right: a circuit in Redis is only ever late.
"""

import logging
import time
from collections.abc import Callable
from typing import Final, cast

from psycopg import Connection
from psycopg.rows import TupleRow
from redis import Redis

from fuseboard_consumer.projection_store import Revision, expire_circuit_overrides, select_revisions
from fuseboard_consumer.publisher import NO_BASELINE, SNAPSHOT_TTL_SECONDS, Published, Publisher
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot
from fuseboard_schema.lua import load_lua, run_lua
from fuseboard_schema.price_store import select_prices
from fuseboard_schema.pricing import PriceBook
from fuseboard_schema.stream import name_event_stream

log = logging.getLogger(__name__)

FULL_EVERY_SECONDS: Final = 30.0
# a batch that was committed longer ago shows no progress, if events wait
PROGRESS_SECONDS: Final = 10.0


class Sweep:
    """What the one that sweeps remembers between sweeps; begins with everything to be published."""

    def __init__(self, redis: Redis, namespace: str, read_progress: Callable[[], float | None]) -> None:
        self._redis = redis
        self._namespace = namespace
        # when this process was last done with a batch, in monotonic seconds
        self._read_progress = read_progress
        self._publisher = Publisher(redis, namespace)
        self._published: dict[str, int] = {}
        # revisions that Redis had and PostgreSQL, at that time, had not yet
        self._ahead: dict[str, int] = {}
        self._book: PriceBook | None = None
        self._full_at: float | None = None

    def run(self, connection: Connection[TupleRow], *, is_told: bool = False) -> None:
        """Sweep once; `is_told` says that somebody changed something, prices maybe.

        Raises what PostgreSQL and Redis raise.
        """
        expire_circuit_overrides(connection)
        revisions = select_revisions(connection)
        is_full = self._must_publish_all()
        if is_full or is_told or self._book is None:
            self._book = PriceBook(select_prices(connection), NO_BASELINE)
        names = [row.provider for row in revisions if is_full or row.revision > self._published.get(row.provider, -1)]
        self._publish(connection, self._book, names)
        if is_full:
            self._forget_unregistered({row.provider for row in revisions})
            self._full_at = time.monotonic()
        if self._sees_progress(revisions):
            # last, because workers take it to mean that the rest is there
            self._beat([row.provider for row in revisions])

    def _must_publish_all(self) -> bool:
        is_due = self._full_at is None or time.monotonic() - self._full_at >= FULL_EVERY_SECONDS
        return is_due or not self._redis.hexists(name_snapshot(self._namespace), HEARTBEAT_FIELD)

    def _publish(self, connection: Connection[TupleRow], book: PriceBook, names: list[str]) -> None:
        if not names:
            return
        done = self._publisher.publish_each(connection, book, names)
        lost = [published.provider for published in done if self._has_lost_revisions(published)]
        if lost:
            self._redis.hdel(name_snapshot(self._namespace), *lost)
            self._publisher.publish_each(connection, book, lost)
        self._published |= {published.provider: published.revision for published in done}

    def _has_lost_revisions(self, published: Published) -> bool:
        """Say whether PostgreSQL fell behind Redis, as after the restoration of a backup.

        A revision is committed before it is published. So one that Redis had before and PostgreSQL has not yet is lost.
        """
        known = self._ahead.pop(published.provider, -1)
        if published.stored_revision > published.revision:
            self._ahead[published.provider] = published.stored_revision
        if known <= published.revision:
            return False
        log.warning(
            "circuit_revisions_lost provider=%s redis=%d database=%d",
            published.provider,
            known,
            published.revision,
        )
        return True

    def _forget_unregistered(self, registered: set[str]) -> None:
        """Take providers out that were deleted or renamed; one that was just registered is published again."""
        names = cast("list[bytes]", self._redis.hkeys(name_snapshot(self._namespace)))
        fields = {name.decode() for name in names}
        gone = fields - registered - {HEARTBEAT_FIELD}
        if gone:
            self._redis.hdel(name_snapshot(self._namespace), *gone)

    def _sees_progress(self, revisions: list[Revision]) -> bool:
        """Say whether verdicts still come: nothing waits, or a consumer was done with a batch a short while ago."""
        own = self._read_progress()
        ages = [row.idle_seconds for row in revisions] + ([] if own is None else [time.monotonic() - own])
        if min(ages, default=PROGRESS_SECONDS) < PROGRESS_SECONDS:
            return True
        return self._redis.xlen(name_event_stream(self._namespace)) == 0

    def _beat(self, providers: list[str]) -> None:
        """Say that verdicts come, unless one of these is missing in Redis: then the next sweep publishes everything."""
        names = [name for name in providers if name != HEARTBEAT_FIELD]
        keys = [name_snapshot(self._namespace)]
        if run_lua(self._redis, load_lua(__package__, "beat"), keys, [SNAPSHOT_TTL_SECONDS, *names]) == 0:
            self._full_at = None
