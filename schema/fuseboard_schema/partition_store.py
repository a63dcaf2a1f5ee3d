"""Partitions of llm_requests, which whoever needs a day makes."""

from datetime import date

from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_schema.sql import load_sql


def ensure_request_partition(connection: Connection[TupleRow], day: date) -> bool:
    """Make the partition of a UTC day; False if it was there."""
    row = connection.execute(load_sql(__package__, "ensure_request_partition"), {"day": day}).fetchone()
    return row == (True,)
