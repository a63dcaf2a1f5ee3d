"""Price rows as the command line reads and changes them. A row is ended, never overwritten or deleted."""

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.rows import TupleRow, class_row, scalar_row

from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]


class PriceRow(NamedTuple):
    """One row of llm_prices, in USD per token; valid_from and valid_to None are without bound."""

    price_id: int
    provider: str
    model_pattern: str
    service_tier: str
    above_input_tokens: int | None
    above_is_inclusive: bool
    windows_utc: list[dict[str, Any]] | None
    input_usd_per_token: Decimal | None
    output_usd_per_token: Decimal | None
    cache_read_usd_per_token: Decimal | None
    cache_write_usd_per_token: Decimal | None
    cache_write_1h_usd_per_token: Decimal | None
    web_search_usd_per_call: Decimal | None
    multiplier: str
    valid_from: datetime | None
    valid_to: datetime | None
    source: str


class NewPrice(NamedTuple):
    """A price from an aware time on; a missing cache rate is the input rate."""

    provider: str
    model_pattern: str
    service_tier: str
    above_input_tokens: int | None
    input_usd_per_token: Decimal | None
    output_usd_per_token: Decimal | None
    cache_read_usd_per_token: Decimal | None
    cache_write_usd_per_token: Decimal | None
    cache_write_1h_usd_per_token: Decimal | None
    valid_from: datetime
    source: str


class InsertedPrice(NamedTuple):
    """A new row: valid_to is where the next one begins, None where there is none."""

    price_id: int
    valid_to: datetime | None
    provider_is_known: bool


class PriceChange(NamedTuple):
    """The new row, and the ids of the rows it ended."""

    price_id: int
    valid_to: datetime | None
    provider_is_known: bool
    ended: list[int]


def select_price_rows(connection: Database, provider: str | None, at: datetime, *, show_all: bool) -> list[PriceRow]:
    """Read the rows in force at an aware time, or all of them."""
    parameters = {"provider": provider, "at": at, "show_all": show_all}
    with connection.cursor(row_factory=class_row(PriceRow)) as cursor:
        return cursor.execute(load_sql(__package__, "select_price_rows"), parameters).fetchall()


class WithdrawnPrice(NamedTuple):
    """A price row that is in force no more, and the rows that go on in its place."""

    provider: str
    model_pattern: str
    continued: list[int]


class PriceInUseError(Exception):
    """Stored requests were priced by a row, or it never was in force."""


def withdraw_price(connection: Database, price_id: int) -> WithdrawnPrice:
    """Take a row out of force while no stored request was priced by it; the row it ended goes on.

    Raises LookupError for an id that is not there, PriceInUseError for a row that priced something.
    """
    parameters = {"price_id": price_id}
    with connection.transaction():
        connection.execute(load_sql(__package__, "lock_prices"))
        found = connection.execute(load_sql(__package__, "select_price_for_update"), parameters).fetchone()
        if found is None:
            raise LookupError(price_id)
        provider, model_pattern, is_void, is_used = found
        if is_used:
            raise PriceInUseError(price_id)
        continued: list[int] = []
        if not is_void:
            with connection.cursor(row_factory=scalar_row) as cursor:
                continued = cursor.execute(load_sql(__package__, "withdraw_price"), parameters).fetchall()
    return WithdrawnPrice(provider, model_pattern, continued)


def change_price(connection: Database, price: NewPrice) -> PriceChange:
    """End the row that is in force when the new price begins, and add the new one, together or not at all."""
    parameters = price._asdict()
    with connection.transaction():
        # two changes at once would not see each other's rows
        connection.execute(load_sql(__package__, "lock_prices"))
        with connection.cursor(row_factory=scalar_row) as cursor:
            ended = cursor.execute(load_sql(__package__, "end_price"), parameters).fetchall()
        with connection.cursor(row_factory=class_row(InsertedPrice)) as cursor:
            inserted = cursor.execute(load_sql(__package__, "insert_price"), parameters).fetchone()
    if inserted is None:
        raise RuntimeError("the price was not inserted")
    return PriceChange(*inserted, ended)
