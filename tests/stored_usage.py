"""Requests stored as the consumer stores them, and what their daily rows must then be, computed in another way."""

import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from psycopg import Connection, sql
from psycopg.rows import TupleRow, dict_row

from events import make_event
from fuseboard_consumer.batch import Batch, BatchStore
from fuseboard_consumer.decode import Accepted
from fuseboard_consumer.rows import build_rows
from fuseboard_schema.event import RequestEvent
from fuseboard_schema.price_store import select_prices
from fuseboard_schema.pricing import PriceBook

Database = Connection[TupleRow]
Row = dict[str, Any]
BASELINE = ("claude", "claude")
# at a provider whose output rate is not known, so that a request of it has a price but no cost
UNMETERED = "unmetered"
FAILED = ("error", "timeout", "rate_limited")
EXACT = Context(prec=200)


class Key(NamedTuple):
    """What a daily row is about."""

    day: date
    provider: str
    model: str


def store_events(database_url: str, events: Iterable[dict[str, Any]]) -> None:
    """Store events in one transaction with their deltas and health, by the consumer's own code."""
    store = BatchStore(database_url)
    try:
        store_batch(store, events)
    finally:
        store.close()


def store_batch(store: BatchStore, events: Iterable[dict[str, Any]]) -> None:
    """Store events over an open store, at the prices that stand in the table."""
    decoded = [RequestEvent.model_validate(event) for event in events]
    epochs = [event.occurred_at.timestamp() for event in decoded]
    accepted = Accepted(decoded, epochs, [("0-1", index) for index in range(len(decoded))])
    book = PriceBook(select_prices(store.connection), BASELINE)
    store.store_batch(Batch(accepted, build_rows(accepted, book), []))


def make_events_of_every_kind(at: datetime) -> list[Row]:
    """Make a dozen events, seven minutes apart, that add something to every measure."""
    kinds: list[Row] = [
        {"status": "success", "cache_read_tokens": 10, "cache_write_tokens": 20, "cache_write_1h_tokens": 30},
        {"status": "success", "reasoning_tokens": 50, "is_fallback": True, "original_provider": "claude"},
        # more expensive than the baseline
        {"status": "success", "provider": "openai", "cost_usd": "123.000000000000000001", "duration_seconds": None},
        {"status": "success", "provider": "ollama", "duration_seconds": 0},
        {"status": "success", "provider": "nobody-knows", "duration_seconds": 31_536_000},
        {"status": "success", "provider": UNMETERED},
        {"status": "success", "prompt_tokens": None, "completion_tokens": None, "duration_seconds": 3600},
        {"status": "error", "error_type": "ServerError", "duration_seconds": 0.02},
        {"status": "error", "provider": "nobody-knows", "is_fallback": True},
        {"status": "timeout", "prompt_tokens": None, "completion_tokens": None},
        {"status": "rate_limited", "http_status": 429, "prompt_tokens": 0, "completion_tokens": 0},
        {"status": "cancelled", "completion_tokens": 1, "usage_source": "partial"},
    ]
    return [make_event(occurred_at=at + timedelta(minutes=7 * index), **kind) for index, kind in enumerate(kinds)]


def store_every_kind(database_url: str, connection: Database, *times: datetime) -> None:
    """Store events of every kind from each time on."""
    connection.execute(
        "INSERT INTO llm_prices (provider, model_pattern, input_usd_per_token, source) VALUES (%s, '*', 0.1, 'test')",
        (UNMETERED,),
    )
    for at in times:
        store_events(database_url, make_events_of_every_kind(at))


@contextmanager
def repeating(*steps: Callable[[], object]) -> Iterator[None]:
    """Repeat each step in a thread of its own until the block ends; what one raised is raised then."""
    ending = threading.Event()
    errors: list[Exception] = []

    def repeat(step: Callable[[], object]) -> None:
        try:
            while not ending.is_set():
                step()
        except Exception as error:  # noqa: BLE001 - raised in the test's own thread below
            errors.append(error)

    threads = [threading.Thread(target=repeat, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def make_events(times: Iterable[datetime], **fields: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any field
    """Make one event at each time."""
    return [make_event(occurred_at=at, **fields) for at in times]


def make_tagged(at: datetime, count: int = 1, **tags: str) -> list[dict[str, object]]:
    """Make events of hardly any cost with these tags."""
    return make_events([at] * count, cost_usd="0.000000000000000001", tags=tags)


def set_price(connection: Database, provider: str) -> None:
    """Give a provider a price for whatever it serves."""
    connection.execute(
        "INSERT INTO llm_prices (provider, model_pattern, input_usd_per_token, output_usd_per_token, source)"
        " VALUES (%s, '*', 0.25, 0.25, 'test')",
        (provider,),
    )


def fetch_usage(connection: Database, relation: str) -> dict[Key, Row]:
    """Read llm_costs_daily, llm_costs_pending or llm_costs_current, without updated_at."""
    query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(relation))
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query).fetchall()
    for row in rows:
        del row["updated_at"]
        # what is not known of any request is shown as NULL, and stored as a sum of nothing
        row |= {name: 0 for name, value in row.items() if value is None}
    return {Key(row.pop("day"), row.pop("provider"), row.pop("model")): row for row in rows}


def fetch_rows(connection: Database, query: str) -> list[Row]:
    """Run a query and return its rows."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode()).fetchall()


def fetch_value(connection: Database, query: str) -> Any:  # noqa: ANN401 - whatever the column holds
    """Run a query of one value."""
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def compute_usage(connection: Database, time_zone: str = "UTC") -> dict[Key, Row]:
    """Compute from each raw request by itself, in Python, what daily and pending usage must be together."""
    bounds = fetch_value(connection, "SELECT duration_bucket_bounds()")
    zone = ZoneInfo(time_zone)
    grouped: defaultdict[Key, list[Row]] = defaultdict(list)
    for request in fetch_rows(connection, "SELECT * FROM llm_requests"):
        day = request["occurred_at"].astimezone(zone).date()
        grouped[Key(day, request["provider"], request["model"])].append(request)
    return {key: _sum_requests(requests, bounds) for key, requests in grouped.items()}


def _sum_requests(requests: list[Row], bounds: list[float]) -> Row:
    timed = (row for row in requests if row["status"] == "success" and row["duration_seconds"] is not None)
    durations = [row["duration_seconds"] for row in timed]
    histogram = [0] * (len(bounds) + 1)
    for duration in durations:
        histogram[bisect_right(bounds, float(duration))] += 1
    return {
        "requests": len(requests),
        "successes": _count(row["status"] == "success" for row in requests),
        "failures": _count(row["status"] in FAILED for row in requests),
        "rate_limited": _count(row["status"] == "rate_limited" for row in requests),
        "cancelled": _count(row["status"] == "cancelled" for row in requests),
        "fallbacks": _count(row["is_fallback"] for row in requests),
        "unpriced_requests": _count(row["cost_usd"] is None and row["price_id"] is None for row in requests),
        "unmetered_requests": _count(row["cost_usd"] is None and row["price_id"] is not None for row in requests),
        "baseline_unknown_requests": _count(
            row["status"] == "success" and row["baseline_cost_usd"] is None for row in requests
        ),
        **{
            name: sum(row[name] or 0 for row in requests)
            for name in (
                "prompt_tokens",
                "completion_tokens",
                "cache_read_tokens",
                "cache_write_tokens",
                "cache_write_1h_tokens",
                "reasoning_tokens",
            )
        },
        **{
            name: sum_exactly(row[name] or Decimal(0) for row in requests)
            for name in ("cost_usd", "baseline_cost_usd", "savings_usd")
        },
        "duration_seconds_sum": sum_exactly(durations),
        "duration_seconds_count": len(durations),
        "duration_histogram": histogram,
    }


def sum_exactly(numbers: Iterable[Decimal]) -> Decimal:
    """Add without rounding."""
    total = Decimal(0)
    for number in numbers:
        total = EXACT.add(total, number)
    return total


def _count(truths: Iterable[bool]) -> int:
    return sum(1 for truth in truths if truth)
