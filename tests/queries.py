"""Reading what a drain stored."""

from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow, dict_row

Database = Connection[TupleRow]


def fetch_row(connection: Database, query: str) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query.encode()).fetchone()
    assert row is not None
    return row


def fetch_value(connection: Database, query: str) -> Any:  # noqa: ANN401 - whatever the column holds
    return next(iter(fetch_row(connection, query).values()))
