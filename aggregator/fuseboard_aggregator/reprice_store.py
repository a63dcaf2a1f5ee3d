"""One typed function per statement of a reprice. None of them opens or ends a transaction."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from psycopg.rows import class_row

from fuseboard_aggregator.store import Database
from fuseboard_schema.pricing import Charge
from fuseboard_schema.sql import load_sql


class StoredRequest(NamedTuple):
    """What a raw request holds of its usage and its charge; occurred_at is aware, money is USD."""

    event_id: UUID
    occurred_at: datetime
    provider: str
    model: str
    service_tier: str
    status: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    web_searches: int | None
    reported_cost_usd: Decimal | None
    cost_usd: Decimal | None
    price_id: int | None
    baseline_cost_usd: Decimal | None
    baseline_price_id: int | None
    savings_usd: Decimal | None

    @property
    def charge(self) -> Charge:
        """The charge as it stands."""
        return Charge(self.cost_usd, self.price_id, self.baseline_cost_usd, self.baseline_price_id, self.savings_usd)


class RepriceFilter(NamedTuple):
    """Which requests of a range of time are looked at; None is any."""

    only_unpriced: bool
    provider: str | None
    model: str | None


class TimeRange(NamedTuple):
    """Aware times: since, and until, which is not part of it."""

    since: datetime
    until: datetime


def select_requests_to_reprice(
    connection: Database, within: TimeRange, wanted: RepriceFilter, after: UUID | None, max_requests: int
) -> list[StoredRequest]:
    """Read the next requests in order of event_id."""
    parameters = within._asdict() | wanted._asdict() | {"after": after, "max_requests": max_requests}
    statement = load_sql(__package__, "select_requests_to_reprice")
    with connection.cursor(row_factory=class_row(StoredRequest)) as cursor:
        # planned with its values each time, so that no other partition is even locked
        return cursor.execute(statement, parameters, prepare=False).fetchall()


def append_usage_corrections(
    connection: Database, within: TimeRange, requests: Sequence[StoredRequest], *, sign: int
) -> None:
    """Append to the deltas what requests add to the measures that prices decide, or take it away."""
    parameters = within._asdict() | {"event_ids": [request.event_id for request in requests], "sign": sign}
    for statement in ("append_usage_corrections", "append_tag_corrections"):
        connection.execute(load_sql(__package__, statement), parameters, prepare=False)


def update_request_charges(
    connection: Database, within: TimeRange, requests: Sequence[StoredRequest], charges: Sequence[Charge]
) -> None:
    """Write new charges to requests."""
    columns = {f"{name}s": [getattr(charge, name) for charge in charges] for name in Charge._fields}
    keys = {
        "event_ids": [request.event_id for request in requests],
        "occurred_ats": [request.occurred_at for request in requests],
    }
    connection.execute(
        load_sql(__package__, "update_request_charges"), within._asdict() | columns | keys, prepare=False
    )
