"""GET /api/llm/export/TABLE.csv: a whole table or view, streamed, so that its size does not matter."""

import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path
from psycopg import Cursor, sql
from psycopg.rows import TupleRow, scalar_row
from starlette.responses import StreamingResponse

from fuseboard_api.authentication import require
from fuseboard_api.problems import RETRY_AFTER_SECONDS, Problem, declare_problems
from fuseboard_api.reads import Held
from fuseboard_api.resources import Database
from fuseboard_api.streams import Stream
from fuseboard_schema.database import connect_database
from fuseboard_schema.sql import load_sql

APPLICATION_NAME: Final = "fuseboard api export"
# each holds a connection of its own for as long as it takes
EXPORTS_MAX: Final = 2
EXPORT_TIMEOUT_SECONDS: Final = 3600
COPY: Final = sql.SQL("COPY (SELECT {columns} FROM {table}) TO STDOUT (FORMAT csv, HEADER)")
# tables that keep 0 where nothing is known of any request, and which requests that are
UNKNOWN_REQUESTS: Final = {
    "llm_costs_daily": "unpriced_requests + unmetered_requests",
    "llm_usage_hourly": "unpriced_requests",
    "llm_tag_costs_daily": "unpriced_requests + unmetered_requests",
}
CSV: Final = "text/csv; charset=utf-8"
ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The table, with a line of names.",
        "headers": {
            "Content-Disposition": {
                "description": "Names the file.",
                "schema": {"type": "string"},
                "example": 'attachment; filename="llm_costs_daily.csv"',
            }
        },
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}
TableName = Annotated[
    str, Path(pattern=r"^[a-z0-9_]{1,63}$", description="A table or view whose name begins with `llm_`.")
]

router = APIRouter(prefix="/api/llm", tags=["reads"], dependencies=[Depends(require("read"))])
places = threading.BoundedSemaphore(EXPORTS_MAX)


@router.get("/export/{table}.csv", response_class=StreamingResponse, responses=ANSWER | declare_problems(404))
def export(held: Held, table: TableName) -> StreamingResponse:
    """Export any table or view whose name begins with llm_."""
    with held.pool.connection() as connection:
        if not is_known_table(connection, table):
            raise Problem(404, "there is no such table")
    chunks = read_table(held.settings.session_database_url or "", table)
    # what goes wrong at the start is answered as such
    first = next(chunks)
    headers = {"Content-Disposition": f'attachment; filename="{table}.csv"'}
    return Stream(prepend(first, chunks), close=chunks.close, media_type=CSV, headers=headers)


def read_table(database_url: str, table: str) -> Generator[bytes]:
    """Give a table as CSV in pieces; raises Problem 503 where too many are being exported."""
    with ExitStack() as cleanup:
        if not places.acquire(blocking=False):
            raise Problem(503, "too many exports at once", {"Retry-After": str(RETRY_AFTER_SECONDS)})
        cleanup.callback(places.release)
        connection = cleanup.enter_context(
            connect_database(
                database_url,
                application_name=APPLICATION_NAME,
                statement_timeout_seconds=EXPORT_TIMEOUT_SECONDS,
            )
        )
        cursor = cleanup.enter_context(connection.cursor())
        statement = COPY.format(columns=choose_columns(cursor, table), table=sql.Identifier(table))
        copy = cleanup.enter_context(cursor.copy(statement))
        for chunk in copy:
            yield bytes(chunk)


def choose_columns(cursor: Cursor[TupleRow], table: str) -> sql.Composable:
    """Choose all columns, money as it is shown everywhere: nothing where nothing is known."""
    unknown = UNKNOWN_REQUESTS.get(table)
    if unknown is None:
        return sql.SQL("*")
    described = cursor.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(table))).description or ()
    known = sql.SQL(f"known_usd({{0}}, requests, {unknown}) AS {{0}}")
    columns = ((column.name, sql.Identifier(column.name)) for column in described)
    return sql.SQL(", ").join(
        known.format(column) if name in ("cost_usd", "savings_usd") else column for name, column in columns
    )


def prepend(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Give the first piece and then the others."""
    yield first
    yield from chunks


def is_known_table(connection: Database, name: str) -> bool:
    """Say whether a table or view is one that people read."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(load_sql(__package__, "select_table_known"), {"name": name}).fetchone())
