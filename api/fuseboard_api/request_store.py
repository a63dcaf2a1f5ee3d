"""Pages of raw requests and of rejected events: a page costs the same however many rows there are."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow, class_row, scalar_row
from psycopg.types.json import Jsonb

from fuseboard_api.request_rows import FallbackRow, RejectedRow, RequestRow
from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]
# looked through for one page of a search, over however many days
SCAN_MAX_REQUESTS: Final = 10_000


class Place(NamedTuple):
    """Where a page ended: before this id of this UTC day."""

    day: date
    event_id: UUID


@dataclass(frozen=True, slots=True)
class Search:
    """What requests are looked for: times are aware, from inclusive, to exclusive; None, or no status, is any."""

    from_time: datetime
    to_time: datetime
    provider: str | None = None
    statuses: frozenset[str] = frozenset()
    tags: dict[str, str] | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether not every request matches."""
        return bool(self.provider or self.statuses or self.tags)


def select_requests(
    connection: Database, search: Search, place: Place | None, limit: int
) -> tuple[list[RequestRow], Place | None]:
    """Read a page, newest first, and where the next one begins; None at the end.

    A search looks through SCAN_MAX_REQUESTS at most, so its page may be short or empty and yet not the last. Within a
    day the order is that of the ids, which is that of time where producers made them.
    """
    found: list[RequestRow] = []
    left_to_scan = SCAN_MAX_REQUESTS if search.is_narrow else limit
    last_day = search.to_time.astimezone(UTC).date() if place is None else place.day
    for day in select_request_days(connection, search.from_time.astimezone(UTC).date(), last_day):
        before_id = place.event_id if place is not None and place.day == day else None
        parameters = bind_search(search, day, before_id, left_to_scan)
        found += _select_requests_of_day(connection, parameters, limit - len(found))
        if len(found) == limit:
            return found, Place(day, found[-1].event_id)
        scanned, last_id = _select_scanned(connection, parameters)
        left_to_scan -= scanned
        if left_to_scan <= 0 and last_id is not None:
            return found, Place(day, last_id)
    return found, None


def select_request_days(connection: Database, first_day: date, last_day: date) -> list[date]:
    """Read which UTC days between two there may be requests of, the newest first."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        parameters = {"first_day": first_day, "last_day": last_day}
        return cursor.execute(load_sql(__package__, "select_request_days"), parameters).fetchall()


def select_rejected_page(
    connection: Database, before_id: int | None, limit: int, *, show_all: bool
) -> list[RejectedRow]:
    """Read refused events, the newest first."""
    with connection.cursor(row_factory=class_row(RejectedRow)) as cursor:
        parameters = {"before_id": before_id, "limit": limit, "show_all": show_all}
        return cursor.execute(load_sql(__package__, "select_rejected_page"), parameters).fetchall()


def select_fallback_flows(connection: Database, days: int) -> list[FallbackRow]:
    """Read who served requests for whom, the most first."""
    with connection.cursor(row_factory=class_row(FallbackRow)) as cursor:
        return cursor.execute(load_sql(__package__, "select_fallback_flows"), {"last_days": days}).fetchall()


def bind_search(search: Search, day: date, before_id: UUID | None, scan_limit: int) -> dict[str, Any]:
    """Make the parameters of a search through one UTC day."""
    start = datetime.combine(day, time(), UTC)
    return {
        "from_time": max(start, search.from_time),
        "to_time": min(start + timedelta(days=1), search.to_time),
        "before_id": before_id,
        "scan_limit": scan_limit,
        "provider": search.provider,
        "statuses": sorted(search.statuses) or None,
        "only_unsuccessful": bool(search.statuses) and "success" not in search.statuses,
        "tags": None if search.tags is None else Jsonb(search.tags),
    }


# both are planned with their values each time: which index serves depends on what is wanted
def _select_requests_of_day(connection: Database, parameters: dict[str, Any], page_limit: int) -> list[RequestRow]:
    statement = load_sql(__package__, "select_requests_of_day")
    with connection.cursor(row_factory=class_row(RequestRow)) as cursor:
        return cursor.execute(statement, {**parameters, "page_limit": page_limit}, prepare=False).fetchall()


def _select_scanned(connection: Database, parameters: dict[str, Any]) -> tuple[int, UUID | None]:
    row = connection.execute(load_sql(__package__, "select_scanned"), parameters, prepare=False).fetchone()
    return (0, None) if row is None else (row[0], row[1])
