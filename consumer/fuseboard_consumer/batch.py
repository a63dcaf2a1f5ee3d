"""One batch as one transaction: requests, deltas, refused events and health together or not at all (G1, G3)."""

import logging
from datetime import UTC, date, datetime, time
from itertools import groupby
from typing import Any, NamedTuple

import psycopg

from fuseboard_consumer import store
from fuseboard_consumer.decode import Accepted, Rejected, RejectionReason, reject
from fuseboard_consumer.health import MinuteUsage, fold_health
from fuseboard_schema.database import connect_database

log = logging.getLogger(__name__)

# what PostgreSQL says when the data itself is at fault, so that trying again cannot help
REFUSED = (psycopg.DataError, psycopg.IntegrityError)


class Batch(NamedTuple):
    """Accepted events with their rows for the staging table, and what was refused beside them."""

    accepted: list[Accepted]
    rows: list[tuple[Any, ...]]
    rejected: list[Rejected]


class BatchStore:
    """Stores batches over one connection, which it opens when it is needed and drops when it breaks."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: store.Database | None = None
        self._days: set[date] = set()
        self._providers: set[str] = set()

    @property
    def connection(self) -> store.Database:
        """The open connection; raises psycopg.OperationalError while PostgreSQL is down."""
        if self._connection is None or self._connection.closed:
            self._connection = connect_database(self._database_url, application_name="fuseboard consumer")
            store.create_staged_requests(self._connection)
        return self._connection

    def close(self) -> None:
        """Drop the connection and what was known through it."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._days.clear()
        self._providers.clear()

    def store_batch(self, batch: Batch) -> None:
        """Store a batch; an event that PostgreSQL refuses is found by halving and kept as refused.

        Raises psycopg.OperationalError when PostgreSQL is down; nothing of the transaction in hand is stored then.
        """
        try:
            self._store(batch)
        except REFUSED as error:
            # the partition of a day may have been dropped since; the second try makes it again
            self._days.clear()
            if len(batch.accepted) > 1:
                for half in _halve(batch):
                    self.store_batch(half)
            else:
                self._store_alone(batch, error)

    def _store(self, batch: Batch) -> None:
        self._ensure_partitions(batch)
        with self.connection.transaction():
            rejected = list(batch.rejected)
            if batch.accepted:
                providers = self._register_providers(batch)
                store.copy_staged_requests(self.connection, batch.rows)
                minutes = store.insert_requests(self.connection)
                rejected += self._find_conflicts(batch, minutes)
                self._update_health(providers, minutes)
            if rejected:
                store.insert_rejected_events(self.connection, rejected)

    def _store_alone(self, batch: Batch, error: psycopg.Error) -> None:
        try:
            self._store(batch)
        except REFUSED:
            refused = [_refuse(accepted, str(error)) for accepted in batch.accepted]
            log.warning("event_refused_by_database error=%r", str(error))
            self._store(Batch([], [], batch.rejected + refused))

    def _ensure_partitions(self, batch: Batch) -> None:
        days = {accepted.event.occurred_at.astimezone(UTC).date() for accepted in batch.accepted}
        for day in sorted(days - self._days):
            store.ensure_request_partition(self.connection, day)
            self._days.add(day)

    def _register_providers(self, batch: Batch) -> list[str]:
        providers = sorted({accepted.event.provider for accepted in batch.accepted})
        if not self._providers.issuperset(providers):
            store.register_providers(self.connection, providers)
        return providers

    def _find_conflicts(self, batch: Batch, minutes: list[MinuteUsage]) -> list[Rejected]:
        """Find the events whose id is taken by other content: the first stays, the conflict is kept as rejected."""
        duplicates = len(batch.accepted) - sum(minute.requests for minute in minutes)
        if not duplicates:
            return []
        days = [accepted.event.occurred_at.astimezone(UTC).date() for accepted in batch.accepted]
        positions = store.select_conflicting_positions(self.connection, _midnight(min(days)), _midnight(max(days)))
        log.info("duplicate_events duplicates=%d conflicts=%d", duplicates, len(positions))
        return [_reject_conflict(batch.accepted[position]) for position in positions]

    def _update_health(self, providers: list[str], minutes: list[MinuteUsage]) -> None:
        """Lock, fold and write the health rows: last, so that no lock is held while rows are inserted."""
        by_provider = {
            provider: list(group) for provider, group in groupby(sorted(minutes, key=_get_provider), key=_get_provider)
        }
        for health in store.select_health_for_update(self.connection, sorted(by_provider)):
            store.update_health(self.connection, fold_health(health, by_provider[health.provider]))
        self._providers.update(providers)


def _get_provider(minute: MinuteUsage) -> str:
    return minute.provider


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _halve(batch: Batch) -> tuple[Batch, Batch]:
    middle = len(batch.accepted) // 2
    first = Batch(batch.accepted[:middle], batch.rows[:middle], batch.rejected)
    return first, Batch(batch.accepted[middle:], [_move_row(row, -middle) for row in batch.rows[middle:]], [])


def _move_row(row: tuple[Any, ...], by: int) -> tuple[Any, ...]:
    """Give a row the position that its event has in the half."""
    return (row[0] + by, *row[1:])


def _reject_conflict(accepted: Accepted) -> Rejected:
    detail = f"event_id: {accepted.event.event_id} is stored with other content; the first stays"
    return _reject_accepted(accepted, "conflicting_duplicate", detail)


def _refuse(accepted: Accepted, detail: str) -> Rejected:
    return _reject_accepted(accepted, "refused_by_database", detail)


def _reject_accepted(accepted: Accepted, reason: RejectionReason, detail: str) -> Rejected:
    raw = accepted.event.model_dump_json(exclude_unset=True).encode()
    return reject(accepted.entry_id, accepted.entry_index, reason, detail, raw)
