"""Raw requests and rejected events by the page, and who fell back to whom."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime

from fuseboard_api.authentication import require
from fuseboard_api.exact_json import ExactJson
from fuseboard_api.parameters import DAYS_DEFAULT, NO_NUL, Days, ProviderQuery
from fuseboard_api.problems import Problem, declare_problems
from fuseboard_api.reads import Held, require_provider
from fuseboard_api.request_rows import Fallbacks, RejectedPage, RequestPage
from fuseboard_api.request_store import (
    Place,
    Search,
    select_fallback_flows,
    select_rejected_page,
    select_requests,
)
from fuseboard_schema.event import EARLIEST_OCCURRED_AT, RequestStatus

PAGE_MAX: Final = 500
PAGE_DEFAULT: Final = 50
# no event is accepted from further ahead
AHEAD: Final = timedelta(days=2)
BIGINT_MAX: Final = 2**63 - 1

router = APIRouter(prefix="/api/llm", tags=["requests"], dependencies=[Depends(require("read"))])
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="At most so many.")]
Cursor = Annotated[str | None, Query(max_length=64, description="next_cursor of the page before.")]
Tag = Annotated[
    list[Annotated[str, Query(max_length=321, pattern=NO_NUL)]] | None,
    Query(max_length=16, description="Of this tag, as `team=search`; repeated, of all of them."),
]

Statuses = Annotated[list[RequestStatus] | None, Query(description="How it ended; repeated, any of them.")]


@router.get("/requests", response_model=RequestPage, responses=declare_problems(404))
def list_requests(  # noqa: PLR0917 - FastAPI passes them by name
    held: Held,
    provider: ProviderQuery = None,
    status: Statuses = None,
    tag: Tag = None,
    from_time: Annotated[AwareDatetime | None, Query(alias="from", description="At or after.")] = None,
    to_time: Annotated[AwareDatetime | None, Query(alias="to", description="Before.")] = None,
    cursor: Cursor = None,
    limit: Limit = PAGE_DEFAULT,
) -> ExactJson:
    """List raw requests, newest first, as long as they are kept.

    A search looks through some thousand requests a page: a page may be short, or empty, and yet have a next_cursor.
    """
    if from_time is not None and to_time is not None and from_time >= to_time:
        raise Problem(422, "from: must be before to")
    latest = datetime.now(UTC) + AHEAD
    search = Search(
        bound_time(from_time or EARLIEST_OCCURRED_AT, latest),
        bound_time(to_time or latest, latest),
        provider,
        frozenset(status or ()),
        parse_tags(tag),
    )
    place = None if cursor is None else parse_cursor(cursor)
    with held.pool.connection() as connection:
        if provider is not None:
            require_provider(connection, provider)
        found, next_place = select_requests(connection, search, place, limit)
    return ExactJson(RequestPage(found, None if next_place is None else format_cursor(next_place)))


@router.get("/rejected", response_model=RejectedPage)
def list_rejected(
    held: Held,
    *,
    show_all: Annotated[bool, Query(alias="all", description="Also those that were replayed or dismissed.")] = False,
    cursor: Annotated[int | None, Query(ge=0, le=BIGINT_MAX, description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="At most so many.")] = 50,
) -> ExactJson:
    """List events that were refused, the newest first, raw and with the reason."""
    with held.pool.connection() as connection:
        found = select_rejected_page(connection, cursor, limit, show_all=show_all)
    return ExactJson(RejectedPage(found, found[-1].rejected_id if len(found) == limit else None))


@router.get("/fallbacks", response_model=Fallbacks)
def list_fallbacks(held: Held, days: Days = DAYS_DEFAULT) -> ExactJson:
    """List who fell back from whom to whom, the most first."""
    with held.pool.connection() as connection:
        return ExactJson(Fallbacks(days, select_fallback_flows(connection, days)))


def bound_time(at: datetime, latest: datetime) -> datetime:
    """Bring a time to where there may be requests: near the ends of the calendar it has no form in UTC."""
    return max(EARLIEST_OCCURRED_AT, min(at, latest))


def parse_tags(texts: list[str] | None) -> dict[str, str] | None:
    """Parse `key=value` texts; raises Problem 422 for what is none."""
    if not texts:
        return None
    pairs = [text.partition("=") for text in texts]
    if not all(key and sign for key, sign, _ in pairs):
        raise Problem(422, "tag: give it as key=value")
    return {key: value for key, _, value in pairs}


def format_cursor(place: Place) -> str:
    """Format where a page ended."""
    return f"{place.day.isoformat()}.{place.event_id}"


def parse_cursor(text: str) -> Place:
    """Parse what `format_cursor` made; raises Problem 422 for anything else."""
    day, _, event_id = text.partition(".")
    try:
        return Place(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).date(), UUID(event_id))
    except ValueError as error:
        raise Problem(422, "cursor: not one that a page gave") from error
