"""Who may do what at the moment: advisory locks and snapshots of the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_schema.database import limit_idleness, remove_time_limit
from fuseboard_schema.sql import load_sql

# whoever changes daily rows has it
FOLD_LOCK: Final = "fuseboard.fold"
REPRICE_LOCK: Final = "fuseboard.reprice"


@contextmanager
def hold_lock(connection: Connection[TupleRow], name: str, *, wait: bool = False) -> Iterator[bool]:
    """Hold an advisory lock of the session; gives False when another session has it and `wait` is False.

    Needs a session of its own: a pooler that hands one session to many clients would keep the lock for ever. The server
    ends the session of a holder that is frozen, so that others wait no longer than seconds.
    """
    parameters = {"name": name}
    limit = limit_idleness(connection)
    if wait:
        connection.execute(load_sql(__package__, "wait_for_lock"), parameters)
        held = True
    else:
        held = connection.execute(load_sql(__package__, "try_lock"), parameters).fetchone() == (True,)
    try:
        yield held
    finally:
        # a session that is gone has given its locks back
        if not connection.closed:
            if held:
                connection.execute(load_sql(__package__, "release_lock"), parameters)
            limit_idleness(connection, limit)


def try_transaction_lock(connection: Connection[TupleRow], name: str) -> bool:
    """Take an advisory lock until the transaction ends; False when another session has it."""
    row = connection.execute(load_sql(__package__, "try_transaction_lock"), {"name": name}).fetchone()
    return row == (True,)


@contextmanager
def hold_snapshot(connection: Connection[TupleRow], *, keep_tag_keys: bool = False) -> Iterator[None]:
    """Run a transaction that sees one snapshot of the database, with all the partitions it has; no time limit.

    With `keep_tag_keys` nobody changes the tags that are summed up before it ends. The connection must be outside of
    any transaction.
    """
    before = connection.isolation_level
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            connection.execute(load_sql(__package__, "keep_partitions"))
            if keep_tag_keys:
                connection.execute(load_sql(__package__, "keep_tag_keys"))
            with remove_time_limit(connection):
                yield
    finally:
        if not connection.closed:
            connection.isolation_level = before
