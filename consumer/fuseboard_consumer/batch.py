"""One batch as one transaction: requests, deltas, refused events and health together or not at all (G1, G3)."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Any, NamedTuple

import psycopg

from fuseboard_consumer import circuit_store, store
from fuseboard_consumer.circuit_changes import CircuitChanges, merge_changes
from fuseboard_consumer.circuit_fold import FoldedHealth, fold_provider, group_inserted
from fuseboard_consumer.decode import Accepted, Rejected, RejectionReason, reject_event
from fuseboard_consumer.health import MinuteUsage
from fuseboard_consumer.patience import Patience
from fuseboard_schema.database import DATA_FAULTS, Session, connect_database
from fuseboard_schema.partition_store import ensure_request_partition

log = logging.getLogger(__name__)

SECONDS_PER_DAY = 86_400

# is told in the batch's transaction what was refused; a replay keeps it in another way
KeepRejected = Callable[[store.Database, Sequence[Rejected]], None]


class Batch(NamedTuple):
    """Accepted events with their rows for the staging table, and what was refused beside them."""

    accepted: Accepted
    rows: list[tuple[Any, ...]]
    rejected: list[Rejected]


class _NotAllNewError(Exception):
    """Something of a batch was left out, so what was inserted must be told."""


class BatchStore:
    """Stores batches over one connection, which it opens when it is needed and drops when it breaks."""

    def __init__(self, database_url: str, keep_rejected: KeepRejected = store.insert_rejected_events) -> None:
        self._database_url = database_url
        self._keep_rejected = keep_rejected
        self._connection: Session | None = None
        self._patience = Patience()
        self._days: set[date] = set()
        self._providers: set[str] = set()
        self._changes = CircuitChanges()

    @property
    def connection(self) -> Session:
        """The open connection, set up whole; raises psycopg.Error while PostgreSQL is down."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    @property
    def is_connected(self) -> bool:
        """Whether there is an open connection, which is not asked whether it works."""
        connection = self._connection
        return connection is not None and not connection.closed

    def _connect(self) -> Session:
        connection = connect_database(
            self._database_url,
            application_name="fuseboard consumer",
            statement_timeout_seconds=self._patience.seconds,
            may_be_pooled=True,
        )
        try:
            # behind a pooler each transaction makes its own
            if connection.transaction_settings is None:
                store.create_staged_requests(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Drop the connection and what was known through it."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._days.clear()
        self._providers.clear()

    def store_batch(self, batch: Batch) -> None:
        """Store a batch; an event that PostgreSQL refuses is found by halving and kept as refused.

        Raises psycopg.Error when PostgreSQL is down, read-only or another than it was: the connection is dropped, and
        nothing of the transaction in hand is stored.
        """
        started = time.monotonic()
        try:
            self._store_batch(batch)
        except psycopg.Error as error:
            if isinstance(error, psycopg.errors.QueryCanceled):
                self._patience.note_timeout()
            self.close()
            raise
        before = self._patience.seconds
        self._patience.note_done(time.monotonic() - started)
        if self._patience.seconds != before:
            self.connection.limit_statements(self._patience.seconds)

    def _store_batch(self, batch: Batch) -> None:
        try:
            self._store_once(batch)
        except DATA_FAULTS as error:
            # the partition of a day may have been dropped since; the second try makes it again
            self._days.clear()
            if len(batch.rows) > 1:
                for half in _halve(batch):
                    self._store_batch(half)
            else:
                self._store_alone(batch, error)

    def take_changes(self) -> CircuitChanges:
        """Take what commits have changed of the circuits since the last call, also those before a failure."""
        changes, self._changes = self._changes, CircuitChanges()
        return changes

    def _store_once(self, batch: Batch) -> None:
        """Store each event that is not stored yet; nearly always that is all of them, so that is tried first."""
        try:
            self._store(batch, all_new=True)
        except (psycopg.errors.UniqueViolation, _NotAllNewError):
            self._store(batch, all_new=False)

    def _store(self, batch: Batch, *, all_new: bool) -> None:
        self._ensure_partitions(batch)
        providers = {event.provider for event in batch.accepted.events}
        folded: list[FoldedHealth] = []
        with self.connection.transaction():
            rejected = list(batch.rejected)
            if batch.rows:
                # first: a process that is frozen while it copies holds nothing that another could want
                self._stage(batch.rows)
                if not self._providers.issuperset(providers):
                    store.register_providers(self.connection, sorted(providers))
                minutes = store.insert_requests(self.connection, all_new=all_new)
                left_out = len(batch.rows) - sum(minute.requests for minute in minutes)
                if left_out and all_new:
                    raise _NotAllNewError
                rejected += self._find_conflicts(batch, left_out) if left_out else []
                folded = self._update_health(batch, minutes)
            if rejected:
                self._keep(rejected)
        # known once it is committed, and not before
        self._providers |= providers
        self._tell(folded)

    def _stage(self, rows: list[tuple[Any, ...]]) -> None:
        if self.connection.transaction_settings is not None:
            store.create_staged_requests(self.connection, for_transaction=True)
        store.copy_staged_requests(self.connection, rows)

    def _keep(self, rejected: list[Rejected]) -> None:
        """Keep what was refused, text that the database cannot hold as escapes: nothing may block what comes after."""
        try:
            with self.connection.transaction():
                self._keep_rejected(self.connection, rejected)
        except psycopg.DataError:
            self._keep_rejected(self.connection, [row.as_ascii() for row in rejected])

    def _store_alone(self, batch: Batch, error: psycopg.Error) -> None:
        try:
            self._store_once(batch)
        except DATA_FAULTS:
            log.warning("event_refused_by_database error=%r", str(error))
            refused = _reject_at(batch, range(len(batch.rows)), "refused_by_database", str(error))
            self._store_once(Batch(batch.accepted.slice(0, 0), [], batch.rejected + refused))

    def _ensure_partitions(self, batch: Batch) -> None:
        for day in sorted(_list_days(batch) - self._days):
            ensure_request_partition(self.connection, day)
            self._days.add(day)

    def _find_conflicts(self, batch: Batch, left_out: int) -> list[Rejected]:
        """Find what was left out and is no mere duplicate: it is kept as rejected.

        An event whose id is taken by other content (the first stays), or whose day was dropped: then nobody can know
        whether it was counted before.
        """
        dropped = store.select_dropped_positions(self.connection)
        days = _list_days(batch)
        conflicts = set(store.select_conflicting_positions(self.connection, min(days), max(days))).difference(dropped)
        log.info("duplicate_events duplicates=%d conflicts=%d", left_out - len(dropped), len(conflicts))
        if dropped:
            log.warning("events_older_than_retention events=%d", len(dropped))
        taken = "event_id: taken by a stored request with other content, which stays"
        gone = "occurred_at: the requests of its day have been dropped, so it may have been counted before"
        return [
            *_reject_at(batch, sorted(conflicts), "conflicting_duplicate", taken),
            *_reject_at(batch, dropped, "older_than_retention", gone),
        ]

    def _update_health(self, batch: Batch, minutes: list[MinuteUsage]) -> list[FoldedHealth]:
        """Lock, fold and write the health rows: last, so that no lock is held while rows are inserted."""
        by_provider = {
            provider: list(group) for provider, group in groupby(sorted(minutes, key=_get_provider), key=_get_provider)
        }
        inserted = group_inserted(batch.accepted, minutes)
        locked, now = circuit_store.select_health_for_update(self.connection, sorted(by_provider))
        folded = []
        for row in locked:
            provider = row.health.provider
            folded.append(fold_provider(row, by_provider[provider], inserted[provider], now))
        circuit_store.update_health(self.connection, folded)
        transitions = [transition for row in folded for transition in row.transitions]
        if transitions:
            circuit_store.insert_transitions(self.connection, transitions)
        return folded

    def _tell(self, folded: list[FoldedHealth]) -> None:
        """Keep for take_changes, and log, what a commit has changed."""
        self._changes = merge_changes([self._changes, *(row.changes for row in folded)])
        for transition in (transition for row in folded for transition in row.transitions):
            level = logging.WARNING if transition.to_state == "open" else logging.INFO
            log.log(
                level,
                "circuit_transition provider=%s from=%s to=%s reason=%s version=%d epoch=%d",
                transition.target,
                transition.from_state,
                transition.to_state,
                transition.reason,
                transition.version,
                transition.epoch,
            )


def _get_provider(minute: MinuteUsage) -> str:
    return minute.provider


def _list_days(batch: Batch) -> set[date]:
    days = {int(epoch // SECONDS_PER_DAY) for epoch in batch.accepted.epochs}
    return {date(1970, 1, 1) + timedelta(days=day) for day in days}


def _halve(batch: Batch) -> tuple[Batch, Batch]:
    middle = len(batch.rows) // 2
    first = Batch(batch.accepted.slice(0, middle), batch.rows[:middle], batch.rejected)
    # a row's first column is its position in the batch
    rows = [(row[0] - middle, *row[1:]) for row in batch.rows[middle:]]
    return first, Batch(batch.accepted.slice(middle, len(batch.rows)), rows, [])


def _reject_at(batch: Batch, positions: Iterable[int], reason: RejectionReason, detail: str) -> list[Rejected]:
    events, origins = batch.accepted.events, batch.accepted.origins
    return [reject_event(events[position], origins[position], reason, detail) for position in positions]
