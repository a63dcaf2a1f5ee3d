"""PostgreSQL connections as every part of the server side opens them."""

from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_schema.sql import load_sql

DATABASE_DOWN = (psycopg.OperationalError, psycopg.InterfaceError)


def connect_database(
    database_url: str, *, application_name: str, statement_timeout_seconds: int = 30
) -> Connection[TupleRow]:
    """Open one connection in autocommit mode (transactions are explicit), READ COMMITTED, session in UTC.

    Raises psycopg.OperationalError when the server cannot be reached within 5 seconds.
    """
    arguments = make_connection_arguments(
        application_name=application_name, statement_timeout_seconds=statement_timeout_seconds
    )
    return psycopg.connect(database_url, **arguments)


def begin_snapshot(connection: Connection[TupleRow]) -> None:
    """Let the transaction that has just begun see one moment, and change nothing."""
    connection.execute(load_sql(__package__, "begin_snapshot"))


def make_connection_arguments(*, application_name: str, statement_timeout_seconds: int) -> dict[str, Any]:
    """Make what every connection is opened with, for a pool as well."""
    return {
        "autocommit": True,
        "application_name": application_name,
        "connect_timeout": 5,
        # a server that vanished without a word is noticed within half a minute
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        "options": f"-c timezone=UTC -c statement_timeout={statement_timeout_seconds}s",
    }
