"""Whether a pooler stands between, and whether it gives each session or each transaction a session of the server."""

from collections.abc import Callable
from typing import Any, Final, Literal

import psycopg
from psycopg import Connection
from psycopg.rows import scalar_row

from fuseboard_schema.sql import load_sql

Pooling = Literal["none", "session", "transaction"]
# another client may take the session that is looked for
TRIES: Final = 3


def find_pooling(connection: Connection[Any], connect: Callable[[], Connection[Any]]) -> Pooling:
    """Find out by what processes of the server work for an open connection, and for one more, which `connect` opens.

    What cannot be found out, because there is no place for one more, is taken for pooling by session.
    """
    # a pooler names itself as the session's process
    if read_session_pid(connection) == connection.info.backend_pid:
        return "none"
    try:
        with connect() as other:
            is_shared = any(_is_taken_over(connection, other) for _ in range(TRIES))
    except psycopg.Error:
        return "session"
    return "transaction" if is_shared else "session"


def read_session_pid(connection: Connection[Any]) -> int | None:
    """Read which process of the server works for a connection now."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        # by no name: a pooler's sessions have seen statements before
        return cursor.execute(load_sql(__package__, "select_session_pid"), prepare=False).fetchone()


def _is_taken_over(connection: Connection[Any], other: Connection[Any]) -> bool:
    """Say whether the connection lost its process, or another transaction has it, while nothing was asked of it."""
    before = read_session_pid(connection)
    with other.transaction():
        return read_session_pid(other) == before or read_session_pid(connection) != before
