"""What is told of usage, whoever tells it: read without losing a digit, and compared with what must be."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

import pytest
from psycopg.rows import dict_row

from api_tools import ApiClient, read_exactly
from metric_tools import Metrics
from queries import Database
from sent_figures import EXACT, TOKENS, Figures

Row = Mapping[str, Any]
PAGE_REQUESTS = 500
COUNTS = ("requests", "successes", "failures", "rate_limited", "cancelled", "fallbacks", "unpriced_requests")
# tables name the baseline, functions and the API name what it is
BASELINE, HYPOTHETICAL = "baseline_cost_usd", "hypothetical_claude_cost_usd"
NOTHING = {"cost_usd": 0, "savings_usd": 0}
ADDED = {*COUNTS, *TOKENS, "cost_usd", HYPOTHETICAL, "savings_usd"}


def make_plain(row: Row) -> dict[str, Any]:
    """Make the values of a row of SQL or of the command line those that the API's JSON is read as."""
    return {name: _make_value_plain(name, value) for name, value in row.items()}


def _make_value_plain(name: str, value: object) -> object:
    match value:
        case float():
            return Decimal(repr(value))
        case date():
            return value.isoformat()
        case str() if name.endswith("_usd"):
            return Decimal(value)
        case _:
            return value


def fetch_plain(connection: Database, query: str, *parameters: object) -> list[Row]:
    """Run a query and return its rows, made plain."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [make_plain(row) for row in cursor.execute(query.encode(), parameters or None)]


def read_table(api: ApiClient, table: str) -> list[dict[str, str]]:
    """Read a whole table of the API's export."""
    response = api.get(f"/api/llm/export/{table}.csv")
    assert response.status_code == 200, response.text
    return list(csv.DictReader(io.StringIO(response.text)))


def read_requests(api: ApiClient) -> list[dict[str, Any]]:
    """Read all raw requests, page by page."""
    page = read_exactly(api, "/api/llm/requests", limit=PAGE_REQUESTS)
    found: list[dict[str, Any]] = page["requests"]
    while page["next_cursor"] is not None:
        page = read_exactly(api, "/api/llm/requests", limit=PAGE_REQUESTS, cursor=page["next_cursor"])
        found += page["requests"]
    return found


def get_provider(row: Row) -> str:
    """Get whom a row is about."""
    return str(row["name"] if "name" in row else row["provider"])


def get_day(row: Row) -> tuple[str, str]:
    """Get which day of whom a row is about."""
    return str(row["day"]), str(row["provider"])


def get_hour(row: Row) -> tuple[str, str]:
    """Get which hour of whom a row is about."""
    return str(row["hour_start"]), str(row["provider"])


def index(rows: Iterable[Row], get_key: Callable[[Row], Hashable]) -> dict[Hashable, Row]:
    """Find the rows that tell of any request by what they are about."""
    found = [row for row in rows if row["requests"]]
    indexed = {get_key(row): row for row in found}
    assert len(indexed) == len(found)
    return indexed


def add_up(rows: Iterable[Row], get_key: Callable[[Row], Hashable]) -> dict[Hashable, Row]:
    """Add up rows of raw requests, or of parts of a day, as whoever reads them would."""
    sums: defaultdict[Hashable, dict[str, Decimal | None]] = defaultdict(dict)
    with localcontext(EXACT):
        for row in rows:
            added = {HYPOTHETICAL if name == BASELINE else name: value for name, value in row.items()}
            for name, value in ({"requests": 1} | added).items():
                if name not in ADDED:
                    continue
                own = sums[get_key(row)]
                if value is None or value == "":
                    # a sum of nothing that is known is not known
                    own.setdefault(name, None if name in NOTHING else Decimal(0))
                else:
                    own[name] = (own.get(name) or Decimal(0)) + Decimal(value)
    return dict(sums)


def agree(told: Mapping[Hashable, Row], expected: Mapping[Any, Figures]) -> None:
    """Check what is told of each, to the last digit."""
    assert told.keys() == expected.keys()
    for key, row in told.items():
        known = {name: value for name, value in row.items() if name in expected[key]}
        assert {"requests", "cost_usd", HYPOTHETICAL, "savings_usd"} <= known.keys()
        compare(known, expected[key], key)


def compare(told: Row, expected: Row, what: object) -> None:
    """Check every value of a row, and name those that differ."""
    wrong = {name: (value, expected[name]) for name, value in told.items() if value != expected[name]}
    assert wrong == {}, f"{what}: {wrong}"


def agree_metrics(page: Metrics, provider: str, figures: Figures, of_today: Figures) -> None:
    """Check a page of metrics, whose numbers are floats."""
    expected = {
        ("fuseboard_cost_usd", ""): figures["cost_usd"],
        ("fuseboard_baseline_cost_usd", ""): figures[HYPOTHETICAL],
        ("fuseboard_savings_usd", ""): figures["savings_usd"],
        ("fuseboard_cost_today_usd", ""): of_today["cost_usd"],
        ("fuseboard_savings_today_usd", ""): of_today["savings_usd"],
        ("fuseboard_fallbacks_total", ""): figures["fallbacks"],
        ("fuseboard_unpriced_requests", ""): figures["unpriced_requests"],
        ("fuseboard_unmetered_requests", ""): figures["unmetered_requests"],
        ("fuseboard_requests_total", "status=success"): figures["successes"],
        ("fuseboard_requests_total", "status=failed"): figures["failures"] - figures["rate_limited"],
        ("fuseboard_requests_total", "status=rate_limited"): figures["rate_limited"],
        ("fuseboard_requests_total", "status=cancelled"): figures["cancelled"],
        ("fuseboard_tokens_total", "type=prompt"): figures["prompt_tokens"],
        ("fuseboard_tokens_total", "type=completion"): figures["completion_tokens"],
    }
    for (name, label), value in expected.items():
        labels = dict([label.split("=")]) if label else {}
        assert page.get(name, provider=provider, **labels) == pytest.approx(float(value or 0)), (name, label)


def repeat(told: Sequence[Row], rows: Sequence[Row]) -> None:
    """Check that somebody tells rows on as they are, in their order, whatever columns are shown."""
    assert len(told) == len(rows)
    for place, (shown, row) in enumerate(zip(told, rows, strict=True)):
        compare(shown, row, place)
