"""The page of the fuse board, and the one read that only it asks for: hours. The page itself holds no figure."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Query
from psycopg import Connection
from psycopg.rows import TupleRow, class_row
from starlette.responses import FileResponse

from fuseboard_api.authentication import require
from fuseboard_api.exact_json import ExactJson
from fuseboard_api.problems import declare_problems
from fuseboard_api.reads import Held
from fuseboard_api.rows import Number
from fuseboard_schema.sql import load_sql

PAGE: Final = Path(__file__).parent / "static" / "index.html"
HOURS_MAX: Final = 24 * 14
HOURS_DEFAULT: Final = 48

Database = Connection[TupleRow]
Hours = Annotated[int, Query(ge=1, le=HOURS_MAX, description="The last hours, this one among them.")]

router = APIRouter(
    prefix="/api/llm",
    tags=["reads"],
    dependencies=[Depends(require("read"))],
    responses=declare_problems(401, 403, 413, 422, 429, 500, 503),
)


@dataclass(frozen=True, slots=True)
class HourlyTrendRow:
    """One UTC hour of one provider; hours without requests have none."""

    hour_start: datetime
    provider: str
    requests: int
    successes: int
    failures: int
    success_rate: float | None
    avg_response_time_ms: float | None
    total_tokens: Number
    cost_usd: Number
    hypothetical_claude_cost_usd: Number
    savings_usd: Number


@dataclass(frozen=True, slots=True)
class HourlyTrends:
    """One row per hour and provider that had requests."""

    hours: int
    trends: list[HourlyTrendRow]


@router.get("/trends/hourly", response_model=HourlyTrends)
def show_hourly_trends(held: Held, hours: Hours = HOURS_DEFAULT) -> ExactJson:
    """Show each hour of each provider, as far back as raw requests are kept."""
    with held.pool.connection() as connection:
        return ExactJson(HourlyTrends(hours, select_hourly_trends(connection, hours)))


def select_hourly_trends(connection: Database, hours: int) -> list[HourlyTrendRow]:
    """Read the hours."""
    with connection.cursor(row_factory=class_row(HourlyTrendRow)) as cursor:
        return cursor.execute(load_sql(__package__, "select_hourly_trends"), {"last_hours": hours}).fetchall()


def add_dashboard(app: FastAPI) -> None:
    """Serve the page at `/`, to anybody: the form to log in is part of it."""
    app.include_router(router)

    @app.get("/", include_in_schema=False, response_class=FileResponse)
    def show_page() -> FileResponse:
        """Show the page."""
        return FileResponse(PAGE, media_type="text/html; charset=utf-8")
