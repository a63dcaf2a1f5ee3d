"""The `drain` job: from the stream to committed rows, for a bounded time (hops 3 to 7)."""

import logging
import threading
import time
from typing import Final

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from fuseboard_consumer.batch import Batch, BatchStore
from fuseboard_consumer.batch_meter import count_batch
from fuseboard_consumer.circuit_changes import CircuitChanges
from fuseboard_consumer.decode import decode_entries
from fuseboard_consumer.entries import Entry, EntryReader
from fuseboard_consumer.holding import Holding
from fuseboard_consumer.prices import PriceSource
from fuseboard_consumer.provider_names import ProviderNameSource
from fuseboard_consumer.publisher import Publisher
from fuseboard_consumer.rows import build_rows
from fuseboard_schema.database import ReplyTimeoutError, describe_in_line, is_data_fault
from fuseboard_schema.database_clock import DatabaseClock
from fuseboard_schema.settings import Settings

log = logging.getLogger(__name__)

# one job lasts this long, so that RQ sees its worker alive and a lost job costs little
DRAIN_SECONDS: Final = 15.0
# how long an idle drain waits for an entry before it looks whether it should stop
BLOCK_MS: Final = 500
CLAIM_EVERY_SECONDS: Final = 0.5
# a batch in hand is renewed as often within the time after which others may claim it
RENEWALS: Final = 4
FORGET_EVERY_SECONDS: Final = 600.0
# a batch is gathered by size: an event takes about this much
EVENT_BYTES: Final = 400
READ_MAX_ENTRIES: Final = 100
RETRY_FIRST_SECONDS: Final = 0.1
RETRY_MAX_SECONDS: Final = 1.0
# a batch is left to consumers that may reach PostgreSQL when this one has not for so long
LEAVE_AFTER_SECONDS: Final = 2.0


class Drain:
    """Drains the stream for one consumer process. Holds connections and prices, but no events between batches."""

    def __init__(self, redis: Redis, settings: Settings, consumer: str, stopping: threading.Event) -> None:
        self._redis = redis
        self._namespace = settings.namespace
        self._reader = EntryReader(redis, settings.namespace, consumer, settings.claim_idle_seconds)
        self._holding = Holding(self._renew, settings.claim_idle_seconds / RENEWALS)
        self._store = BatchStore(settings.database_url or "")
        self._publisher = Publisher(redis, settings.namespace)
        self._clock = DatabaseClock()
        self._prices = PriceSource(
            (settings.baseline_provider, settings.baseline_model), settings.price_refresh_seconds
        )
        self._names = ProviderNameSource(settings.price_refresh_seconds)
        timeout_seconds = redis.connection_pool.connection_kwargs.get("socket_timeout") or float("inf")
        # a URL may ask for less patience than we have
        self._block_max_ms = timeout_seconds * 500
        self._batch_bytes = settings.batch_max_events * EVENT_BYTES
        self._entry_bytes = self._batch_bytes
        self._stopping = stopping
        self._claim_at = self._forget_at = 0.0
        # since when PostgreSQL has not been well, in monotonic seconds
        self._down_since: float | None = None
        # when a batch was last done with, in monotonic seconds: another thread reads it
        self.progressed_at: float | None = None

    def run(self, seconds: float = DRAIN_SECONDS) -> None:
        """Drain until so many seconds have passed or a stop is asked for.

        Raises what Redis raises when it is down: the worker waits for it and queues the next job.
        """
        started = time.monotonic()
        deadline = started + seconds
        events = 0
        while time.monotonic() < deadline and not self._stopping.is_set():
            events += self._handle_batch(deadline)
        if events:
            log.info("drain_done events=%d seconds=%.1f", events, time.monotonic() - started)

    def _handle_batch(self, deadline: float) -> int:
        """Take one batch from the stream to committed rows; returns how many events it had."""
        if not self._reaches_database():
            return 0
        entries = self._gather_entries()
        if not entries:
            return 0
        with self._holding.hold():
            return self._store_entries(entries, deadline)

    def _store_entries(self, entries: list[Entry], deadline: float) -> int:
        started = time.monotonic()
        batch = self._prepare_batch(entries, deadline)
        if batch is None or not self._write_batch(batch, deadline):
            log.warning("batch_left_in_stream entries=%d", len(entries))
            self._reader.release()
            return 0
        self._publish_changes(self._store.take_changes())
        self._reader.acknowledge([entry.entry_id for entry in entries])
        self.progressed_at = time.monotonic()
        count_batch(self._redis, self._namespace, entries, len(batch.rows), self.progressed_at - started)
        return len(batch.rows)

    def close(self) -> None:
        """Close the database connection and say nothing more for what is in hand."""
        self._holding.close()
        self._store.close()

    def close_session(self) -> None:
        """Close the database connection; the next batch opens another one."""
        self._store.close()

    def _renew(self) -> None:
        """Keep what is in hand; let others have it while this consumer looks for PostgreSQL in vain."""
        is_cut_off = self._down_since is not None and not self._store.is_connected
        if is_cut_off and time.monotonic() > (self._down_since or 0.0) + LEAVE_AFTER_SECONDS:
            # opening a connection may take long, and they may have one
            self._reader.release()
        else:
            self._reader.hold()

    def _reaches_database(self) -> bool:
        """Say whether a batch that is read now could be stored; waits a little where PostgreSQL is still not well."""
        if self._down_since is None:
            return True
        try:
            self._clock.read(self._store.connection)
        except psycopg.Error as error:
            self._reader.show_presence()
            self._wait_for_database(error, RETRY_MAX_SECONDS)
            return False
        self._down_since = None
        return True

    def _gather_entries(self) -> list[Entry]:
        """Gather about one batch: first what a dead consumer left, then what is new."""
        entries = self._claim_entries()
        while (size := sum(len(entry.payload) for entry in entries)) < self._batch_bytes:
            # as many as fit, by the size of the last ones: few when they are large, so that memory stays bounded
            count = max(1, min(READ_MAX_ENTRIES, (self._batch_bytes - size) // self._entry_bytes))
            fresh = self._reader.read(count, 0 if entries else int(min(BLOCK_MS, self._block_max_ms)))
            entries += fresh
            if len(fresh) < count:
                break
            self._entry_bytes = max(1, sum(len(entry.payload) for entry in fresh) // len(fresh))
        return entries

    def _claim_entries(self) -> list[Entry]:
        now = time.monotonic()
        if now >= self._forget_at:
            self._forget_at = now + FORGET_EVERY_SECONDS
            self._reader.forget_dead_consumers()
        if now < self._claim_at:
            return []
        count = max(1, min(READ_MAX_ENTRIES, self._batch_bytes // self._entry_bytes))
        entries = self._reader.read_own(count) or self._reader.claim(count)
        # a full hand means that there is more to take over
        self._claim_at = 0.0 if entries else now + CLAIM_EVERY_SECONDS
        return entries

    def _prepare_batch(self, entries: list[Entry], deadline: float) -> Batch | None:
        """Decode and price; None when PostgreSQL, which has the clock and the prices, did not come back in time."""
        wait_seconds = RETRY_FIRST_SECONDS
        while True:
            began = time.monotonic()
            try:
                now = self._clock.read(self._store.connection)
                book = self._prices.read_book(self._store.connection)
                names = self._names.read_names(self._store.connection)
            except psycopg.Error as error:
                if self._gives_up(deadline, began, error):
                    return None
                self._wait_for_database(error, wait_seconds)
                wait_seconds = min(wait_seconds * 2, RETRY_MAX_SECONDS)
            else:
                decoded = decode_entries(entries, now)
                accepted = names.rename(decoded.accepted)
                return Batch(accepted, build_rows(accepted, book), decoded.rejected)

    def _write_batch(self, batch: Batch, deadline: float) -> bool:
        """Commit (only then is anything acknowledged, G2); False when PostgreSQL did not come back in time."""
        wait_seconds = RETRY_FIRST_SECONDS
        while True:
            began = time.monotonic()
            try:
                self._store.store_batch(batch)
                self._down_since = None
            except psycopg.Error as error:
                if self._gives_up(deadline, began, error):
                    return False
                self._wait_for_database(error, wait_seconds)
                wait_seconds = min(wait_seconds * 2, RETRY_MAX_SECONDS)
            else:
                return True

    def _publish_changes(self, changes: CircuitChanges) -> None:
        """Tell workers what the commit changed; what cannot be told now is left to the next sweep."""
        try:
            if changes.providers:
                book = self._prices.read_book(self._store.connection)
                self._publisher.publish(self._store.connection, book, sorted(changes.providers))
            if changes.released:
                self._publisher.release(changes.released)
        except (RedisError, OSError, psycopg.Error) as error:
            if isinstance(error, psycopg.Error) and not is_data_fault(error):
                self._store.close()
            log.warning(
                "circuit_publish_failed providers=%s error=%r", ",".join(sorted(changes.providers)), str(error)[:300]
            )

    def _gives_up(self, deadline: float, began: float, error: psycopg.Error) -> bool:
        """Stop trying, at a stop, or after a while: what is unacknowledged is claimed by whoever gets on."""
        now = time.monotonic()
        if self._down_since is None:
            # where no reply came the while has been waited for already
            self._down_since = began if isinstance(error, ReplyTimeoutError) else now
        return self._stopping.is_set() or now > min(deadline, self._down_since + LEAVE_AFTER_SECONDS)

    def _wait_for_database(self, error: psycopg.Error, seconds: float) -> None:
        log.warning("database_unavailable retry_in_seconds=%.1f error=%s", seconds, describe_in_line(error))
        self._store.close()
        self._clock.forget()
        self._stopping.wait(seconds)
