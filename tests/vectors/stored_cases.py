"""Aggregation cases, run for real: events through the consumer's own code into PostgreSQL, folded and reconciled."""

import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from psycopg import sql

from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.rebuild import rebuild_daily
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_aggregator.store import Database
from fuseboard_cli.embedded import Embedded
from fuseboard_consumer.batch import Batch, BatchStore
from fuseboard_consumer.decode import decode_entries
from fuseboard_consumer.entries import Entry
from fuseboard_consumer.rows import build_rows
from fuseboard_schema.database import connect_database
from fuseboard_schema.migrate import migrate
from fuseboard_schema.price_store import select_prices
from fuseboard_schema.pricing import PriceBook

PROVIDER: Final = "vectors"
NOON: Final = datetime(2026, 11, 10, 12, tzinfo=UTC)
TOTALS: Final = b"""
SELECT coalesce(sum(requests), 0), coalesce(sum(cost_usd), 0), coalesce(sum(unpriced_requests), 0)
FROM llm_costs_current"""

Case = dict[str, Any]
Figures = dict[str, Any]


class Databases:
    """Fresh migrated databases, on servers that are started when the first one is needed."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._server_url = os.environ.get("FUSEBOARD_TEST_DATABASE_URL")

    @contextmanager
    def open(self) -> Iterator["StoredEvents"]:
        """Open a database of its own for one case; raises EmbeddedError where none can run."""
        if self._server_url is None:
            root = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fuseboard-vectors-"))
            self._server_url = self._stack.enter_context(Embedded(root)).database_url
        name = f"vectors_{uuid4().hex[:12]}"
        with connect_database(self._server_url, application_name="vectors") as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            url = urlsplit(self._server_url)._replace(path=f"/{name}").geturl()
            with connect_database(url, application_name="vectors") as connection:
                migrate(connection)
                yield StoredEvents(url, connection)
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class StoredEvents:
    """One database and the consumer's way into it."""

    def __init__(self, url: str, connection: Database) -> None:
        self.connection = connection
        self._store = BatchStore(url)
        self._entries = 0

    def send(self, events: Sequence[dict[str, Any]]) -> None:
        """Store one batch of events as a consumer does, from its stream entry on."""
        self._entries += 1
        entry = Entry(f"{self._entries}-0", json.dumps(events).encode())
        decoded = decode_entries([entry], datetime.now(UTC) + timedelta(days=3650))
        book = PriceBook(select_prices(self.connection), ("claude", "claude"))
        self._store.store_batch(Batch(decoded.accepted, list(build_rows(decoded.accepted, book)), decoded.rejected))

    def read(self, statement: bytes) -> tuple[Any, ...]:
        """Read one row."""
        row = self.connection.execute(statement).fetchone()
        assert row is not None
        return row

    def count_conflicts(self) -> int:
        """Count what is kept as a conflicting duplicate."""
        statement = b"SELECT count(*) FROM llm_rejected_events WHERE reason = 'conflicting_duplicate'"
        return int(self.read(statement)[0])

    def read_days(self) -> dict[date, tuple[int, Decimal]]:
        """Read requests and cost by day."""
        statement = b"SELECT day, sum(requests)::bigint, sum(cost_usd) FROM llm_costs_current GROUP BY day"
        return {day: (requests, cost) for day, requests, cost in self.connection.execute(statement)}


def make_stored_event(at: datetime, cost_usd: str | None = None, event_id: UUID | None = None) -> dict[str, Any]:
    """Make an event whose cost is reported; None is an event that no price is known for."""
    event = {
        "event_id": str(event_id or uuid4()),
        "occurred_at": at.isoformat(),
        "provider": PROVIDER,
        "model": "m",
        "status": "success",
    }
    return event if cost_usd is None else {**event, "cost_usd": str(cost_usd)}


def measure_stored_case(case: Case, stored: StoredEvents) -> Figures:
    """Run an aggregation case and return what the database says; a figure named `broken` lists broken invariants."""
    about = f"{case['id']} {case.get('note', '')}".lower()
    if "costs" in case or "costs_repeat" in case:
        return _measure_sum(case, stored)
    if "events" in case:
        return _measure_events(case, stored)
    if "duplicate" in about or "same event_id" in about:
        return _measure_duplicate(stored, conflicting="conflict" in about or "different" in about)
    if re.search(r"(?<![a-z])late(?![a-z])", about):
        return _measure_late_event(case, stored)
    if "dst" in about or "daylight" in about or "clocks" in about:
        return _measure_dst_day(case, stored)
    raise NotImplementedError("an aggregation case of a form that this runner does not know")


def _measure_sum(case: Case, stored: StoredEvents) -> Figures:
    repeated = [case["costs_repeat"][0]] * case["costs_repeat"][1] if "costs_repeat" in case else []
    costs = [*case.get("costs", ()), *repeated]
    events = [make_stored_event(NOON + timedelta(seconds=number), cost) for number, cost in enumerate(costs)]
    half = len(events) // 2
    # one part folded and one not: both are in what people read
    stored.send(events[:half])
    fold_deltas(stored.connection)
    stored.send(events[half:])
    return _read_totals(stored) | {"broken": _list_broken(stored)}


def _measure_events(case: Case, stored: StoredEvents) -> Figures:
    """Events with their times and costs, each day of the zone a figure of its own."""
    pairs = [(event, None) if isinstance(event, str) else (event["at"], event.get("cost")) for event in case["events"]]
    stored.send([make_stored_event(datetime.fromisoformat(at), cost) for at, cost in pairs])
    zone = _find_zone(case)
    if zone:
        rebuild_daily(stored.connection, zone)
    days = {
        day.isoformat(): {"requests": requests, "cost_usd": cost}
        for day, (requests, cost) in stored.read_days().items()
    }
    return {**days, **_read_totals(stored), "broken": _list_broken(stored)}


def _measure_duplicate(stored: StoredEvents, *, conflicting: bool) -> Figures:
    event_id = uuid4()
    stored.send([make_stored_event(NOON, "0.01", event_id)])
    stored.send([make_stored_event(NOON, "0.02" if conflicting else "0.01", event_id)])
    fold_deltas(stored.connection)
    figures = _read_totals(stored)
    expected = {"rows": 1, "requests": 1, "cost_usd": Decimal("0.01"), "conflict_counter": int(conflicting)}
    broken = [f"{name} is {figures[name]}" for name, value in expected.items() if figures[name] != value]
    return figures | {"broken": broken + _list_broken(stored)}


def _measure_late_event(case: Case, stored: StoredEvents) -> Figures:
    match = re.search(r"at=(\S+Z)", json.dumps(case))
    late_at = datetime.fromisoformat(case.get("at") or (match[1] if match else "2026-11-10T23:59:00Z"))
    stored.send([make_stored_event(late_at.replace(hour=12), "0.01")])
    fold_deltas(stored.connection)
    stored.send([make_stored_event(late_at, "0.02")])
    seen = []
    for _ in range(2):
        fold_deltas(stored.connection)
        seen.append(stored.read_days())
    expected = {late_at.date(): (2, Decimal("0.03"))}
    broken = [f"the days are {days}" for days in seen if days != expected]
    return _read_totals(stored) | {"broken": broken + _list_broken(stored)}


def _measure_dst_day(case: Case, stored: StoredEvents) -> Figures:
    """One event in every hour around the day: each local day has as many as it has hours, and none is lost."""
    day_text = re.search(r"\d{4}-\d{2}-\d{2}", json.dumps(case))
    zone = ZoneInfo(_find_zone(case) or "Europe/Berlin")
    day = date.fromisoformat(day_text[0]) if day_text else date(2026, 10, 25)
    first = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1, minutes=-30)
    times = [first + timedelta(hours=number) for number in range(72)]
    stored.send([make_stored_event(at, "0.01") for at in times[:40]])
    fold_deltas(stored.connection)
    stored.send([make_stored_event(at, "0.01") for at in times[40:]])
    rebuild_daily(stored.connection, zone.key)
    expected = Counter(at.astimezone(zone).date() for at in times)
    counted = {day: requests for day, (requests, _) in stored.read_days().items()}
    broken = [] if counted == expected else [f"the days of {zone.key} have {counted}"]
    hours = counted.get(day)
    return _read_totals(stored) | {"hours": hours, "events": hours, "broken": broken + _list_broken(stored)}


def _find_zone(case: Case) -> str | None:
    name = re.search(r"\b(?:Africa|America|Asia|Atlantic|Australia|Europe|Pacific)/[A-Za-z_/]+", json.dumps(case))
    return name[0] if name else None


def _read_totals(stored: StoredEvents) -> Figures:
    requests, cost, unpriced = stored.read(TOTALS)
    return {
        "rows": stored.read(b"SELECT count(*) FROM llm_requests")[0],
        "requests": requests,
        "cost_usd": cost,
        "sum": cost,
        "unpriced_requests": unpriced,
        "conflict_counter": stored.count_conflicts(),
    }


def _list_broken(stored: StoredEvents) -> list[str]:
    """List what breaks G3: daily rows and pending deltas are the raw requests, before a fold and after it."""
    broken = []
    for moment in ("before the fold", "after the fold"):
        differences = reconcile(stored.connection).days
        broken += [f"{moment} {difference.key} differs in {difference.measures}" for difference in differences]
        fold_deltas(stored.connection)
    return broken
