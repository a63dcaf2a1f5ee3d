"""Tags whose cost is kept as a sum: which they are, and how one is added with what is stored already (G3)."""

import logging

from psycopg import Cursor
from psycopg.rows import TupleRow

from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.locks import FOLD_LOCK, hold_lock, hold_snapshot
from fuseboard_aggregator.rollup_store import add_request_tags
from fuseboard_aggregator.store import Database, Progress, list_partitions, prefer_hashing, select_day_settings
from fuseboard_schema.sql import load_sql

log = logging.getLogger(__name__)


def add_tag_key(connection: Database, tag_key: str, *, progress: Progress | None = None) -> None:
    """Keep the cost of a tag from now on, and sum up the raw requests that are there.

    From the first step on every batch counts the tag; so the second step's snapshot has each request, or its delta is
    still to come. Safe to repeat, and to kill between the steps: the next call goes on. Raises
    psycopg.errors.LockNotAvailable while a batch does not end. The connection must be outside of any transaction.
    """
    with hold_lock(connection, FOLD_LOCK, wait=True):
        with connection.transaction():
            _hold_batches(connection)
            row = _execute(connection, "insert_tag_key", tag_key=tag_key).fetchone()
        if row == (True,):
            return
        with hold_snapshot(connection):
            _sum_up(connection, tag_key, progress)
    log.info("tag_key_added tag_key=%s", tag_key)


def remove_tag_key(connection: Database, tag_key: str) -> bool:
    """Keep the cost of a tag no longer and delete its sums; False where it was not kept. Safe to repeat."""
    with hold_lock(connection, FOLD_LOCK, wait=True):
        with connection.transaction():
            _hold_batches(connection)
            removed = _execute(connection, "delete_tag_key", tag_key=tag_key).rowcount
        # no batch adds to them any more, and none has to wait for this
        _execute(connection, "delete_tag_sums", tag_key=tag_key)
    log.info("tag_key_removed tag_key=%s", tag_key)
    return removed > 0


def _hold_batches(connection: Database) -> None:
    # a batch that began before knows the keys from before: none may be under way when they change
    _execute(connection, "limit_lock_wait")
    _execute(connection, "lock_tag_deltas")


def _sum_up(connection: Database, tag_key: str, progress: Progress | None) -> None:
    prefer_hashing(connection)
    settings = select_day_settings(connection)
    fold_deltas(connection)
    _execute(connection, "delete_tag_sums", tag_key=tag_key)
    partitions = list_partitions(connection)
    for number, partition_day in enumerate(partitions, 1):
        add_request_tags(connection, partition_day, settings.time_zone, sign=1, tag_key=tag_key)
        if progress:
            progress(number, len(partitions))
    _execute(connection, "complete_tag_key", tag_key=tag_key, whole_from=settings.first_whole_day)


def _execute(connection: Database, statement: str, **parameters: object) -> Cursor[TupleRow]:
    return connection.execute(load_sql(__package__, statement), parameters)
