"""One typed function per statement of the consumer. None of them opens or ends a transaction."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow, class_row

from fuseboard_consumer.decode import Rejected
from fuseboard_consumer.health import MinuteUsage
from fuseboard_consumer.rows import STAGED_COLUMNS
from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]
_COPY_STAGED = f"COPY staged_requests ({', '.join(STAGED_COLUMNS)}) FROM STDIN".encode()


def create_staged_requests(connection: Database, *, for_transaction: bool = False) -> None:
    """Make the staging table of the session, or of the transaction alone."""
    statement = load_sql(__package__, "create_staged_requests")
    if for_transaction:
        statement = statement.replace(b"ON COMMIT DELETE ROWS", b"ON COMMIT DROP")
    connection.execute(statement)


def copy_staged_requests(connection: Database, rows: Sequence[Sequence[Any]]) -> None:
    """Fill the staging table with rows of STAGED_COLUMNS."""
    with connection.cursor() as cursor, cursor.copy(_COPY_STAGED) as copy:
        for row in rows:
            copy.write_row(row)


def insert_requests(connection: Database, *, all_new: bool) -> list[MinuteUsage]:
    """Insert the staged requests with their deltas; return what was inserted, by provider and minute.

    With `all_new` one that is already there raises psycopg.errors.UniqueViolation, else it is left out, and the ids and
    times of the others are returned. An event of a day that was dropped is left out in both cases.
    """
    statement = load_sql(__package__, "insert_requests")
    if all_new:
        # the clause makes every insertion speculative, which costs a third of the statement's time
        statement = statement.replace(b"ON CONFLICT DO NOTHING", b"")
    with connection.cursor(row_factory=class_row(MinuteUsage)) as cursor:
        return cursor.execute(statement, {"all_new": all_new}).fetchall()


def select_conflicting_positions(connection: Database, first_day: date, last_day: date) -> list[int]:
    """Find the staged positions whose stored request has other content, among the UTC days given."""
    days = {"first_day": first_day, "last_day": last_day}
    return [row[0] for row in connection.execute(load_sql(__package__, "select_conflicting_positions"), days)]


def select_dropped_positions(connection: Database) -> list[int]:
    """Find the staged positions whose day was dropped."""
    return [row[0] for row in connection.execute(load_sql(__package__, "select_dropped_positions"))]


def insert_rejected_events(connection: Database, rejected: Sequence[Rejected]) -> None:
    """Keep what was refused."""
    names = ("entry_ids", "entry_indexes", "reasons", "details", "raw_texts", "raw_bytes")
    columns = dict(zip(names, map(list, zip(*rejected, strict=True)), strict=True))
    connection.execute(load_sql(__package__, "insert_rejected_events"), columns)


def register_providers(connection: Database, providers: Sequence[str]) -> None:
    """Register the providers that are not known yet, with their health rows."""
    connection.execute(load_sql(__package__, "register_providers"), {"providers": providers})
    connection.execute(load_sql(__package__, "insert_health_rows"), {"providers": providers})
