import json
import logging
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_schema.price_store import parse_windows, select_prices
from fuseboard_schema.pricing import Price, Usage, Window, compute_cost

EVENING = {"weekdays": [1, 5], "hours": [["18:00", "00:00"]]}


def insert_price(connection: Connection[TupleRow], **columns: object) -> int:
    values = {"provider": "p", "model_pattern": "*", "source": "test", **columns}
    names = ", ".join(values)
    marks = ", ".join(f"%({name})s" for name in values)
    statement = f"INSERT INTO llm_prices ({names}) VALUES ({marks}) RETURNING price_id"  # noqa: S608 - names of this file
    row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    price_id: int = row[0]
    return price_id


def read_price(connection: Connection[TupleRow], price_id: int) -> Price:
    return next(price for price in select_prices(connection) if price.price_id == price_id)


def test_the_seed_prices_are_those_of_the_four_providers(connection: Connection[TupleRow]) -> None:
    usage = Usage(1_000_000, 1_000_000)

    costs = {price.provider: compute_cost(usage, price) for price in select_prices(connection)}

    assert costs == {"claude": Decimal(18), "openai": Decimal(20), "ollama": Decimal(0), "localai": Decimal(0)}


def test_a_row_comes_back_with_every_digit_and_bound(connection: Connection[TupleRow]) -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 30, tzinfo=UTC)
    columns = {
        "service_tier": "flex",
        "above_input_tokens": 200_000,
        "above_is_inclusive": True,
        "input_usd_per_token": Decimal("0.000000000000000000000001"),
        "output_usd_per_token": Decimal("0.0000000025"),
        "cache_read_usd_per_token": Decimal(0),
        "cache_write_usd_per_token": Decimal("0.00000375"),
        "cache_write_1h_usd_per_token": Decimal("0.000006"),
        "web_search_usd_per_call": Decimal("0.01"),
        "multiplier": Decimal("1.1"),
        "valid_from": start,
        "valid_to": end,
    }

    price_id = insert_price(connection, windows_utc=json.dumps([EVENING]), **columns)

    windows = (Window(frozenset({1, 5}), ((time(18), time(0)),)),)
    expected = Price(price_id, "p", "*", windows_utc=windows, **columns)  # type: ignore[arg-type]
    assert read_price(connection, price_id) == expected


def test_a_row_without_bounds_is_valid_at_any_time(connection: Connection[TupleRow]) -> None:
    price = read_price(connection, insert_price(connection))

    assert price.is_unconditional
    assert price.input_usd_per_token is None


@pytest.mark.parametrize("rate", ["NaN", "Infinity", "-0.01", "1000000", "0.0000000000000000000000001"])
@pytest.mark.parametrize("column", ["input_usd_per_token", "web_search_usd_per_call", "multiplier"])
def test_a_rate_that_no_exact_cost_can_be_made_of_is_refused(
    connection: Connection[TupleRow], column: str, rate: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="price_rate"):
        insert_price(connection, **{column: Decimal(rate)})


@pytest.mark.parametrize(
    ("valid_from", "valid_to"),
    [
        ("infinity", "infinity"),
        ("-infinity", "-infinity"),
        ("4000-01-01 BC", "infinity"),
        ("-infinity", "20000-01-01"),
        ("2026-02-01", "2026-01-01"),
    ],
)
def test_a_validity_that_cannot_be_read_back_is_refused(
    connection: Connection[TupleRow], valid_from: str, valid_to: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        insert_price(connection, valid_from=valid_from, valid_to=valid_to)


MALFORMED_WINDOWS: list[Any] = [
    7,
    True,
    "always",
    {"weekdays": [1]},
    [7],
    ["text"],
    [{"weekdays": [1]}],
    [{"hours": [["00:00", "01:00"]]}],
    [{"weekdays": [0], "hours": [["00:00", "01:00"]]}],
    [{"weekdays": ["1"], "hours": [["00:00", "01:00"]]}],
    [{"weekdays": [[1]], "hours": [["00:00", "01:00"]]}],
    [{"weekdays": [1], "hours": [["00:00"]]}],
    [{"weekdays": [1], "hours": [["midnight", "01:00"]]}],
    [{"weekdays": [1], "hours": [[0, 1]]}],
    # compared with a time of UTC this one would raise, and so stop every batch
    [{"weekdays": [1], "hours": [["10:00+02:00", "12:00+02:00"]]}],
    # over midnight: would never apply, and is two windows
    [{"weekdays": [1], "hours": [["22:00", "06:00"]]}],
    [{"weekdays": [1], "hours": [["10:00", "10:00"]]}],
]


@pytest.mark.parametrize("windows", MALFORMED_WINDOWS)
def test_a_row_with_malformed_windows_is_logged_and_left_out_and_the_others_stay(
    connection: Connection[TupleRow], windows: object, caplog: pytest.LogCaptureFixture
) -> None:
    before = select_prices(connection)
    insert_price(connection, windows_utc=json.dumps(windows))

    with caplog.at_level(logging.ERROR):
        after = select_prices(connection)

    assert after == before
    assert "price_row_malformed" in caplog.text


def test_windows_are_none_a_list_or_nothing() -> None:
    assert parse_windows(None) == ()
    assert parse_windows([]) == ()
    assert parse_windows([EVENING])[0].contains(datetime(2026, 11, 20, 23, 59, tzinfo=UTC))
