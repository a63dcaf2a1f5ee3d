"""Price rows for people: every rate, and beneath it what else a row depends on, so that 80 columns will do."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from rich.table import Table

from fuseboard_cli.output import format_exact, format_time, make_table
from fuseboard_cli.price_rows import PriceRow

MILLION_DIGITS: Final = 6
NOTE: Final = "read, write, 1h: of the cache, the last for an hour; - is the input rate"
MIDNIGHT: Final = " 00:00:00"


def make_price_table(rows: Sequence[PriceRow]) -> Table:
    """Make the table of rates, in USD per million tokens; a column that no row needs is left out."""
    shown = {
        "input #": [row.input_usd_per_token for row in rows],
        "output #": [row.output_usd_per_token for row in rows],
        "read #": [row.cache_read_usd_per_token for row in rows],
        "write #": [row.cache_write_usd_per_token for row in rows],
        "1h #": [row.cache_write_1h_usd_per_token for row in rows],
    }
    cells = {name: [_per_million(rate) for rate in rates] for name, rates in shown.items()}
    if any(Decimal(row.multiplier) != 1 for row in rows):
        cells["times #"] = [format_exact(Decimal(row.multiplier)) for row in rows]
    if any(row.web_search_usd_per_call is not None for row in rows):
        cells["a search #"] = [_format_rate(row.web_search_usd_per_call) for row in rows]
    lines = [line for row, *rates in zip(rows, *cells.values(), strict=True) for line in _list_lines(row, rates)]
    table = make_table("Prices, USD per million tokens", ("id #", "provider, model", *cells), lines)
    table.caption, table.caption_justify = NOTE, "left"
    return table


def _list_lines(row: PriceRow, rates: Sequence[str]) -> Iterator[Sequence[object]]:
    """List the lines of a row: its rates, then what they are for where that is not simply every request, and whence."""
    yield [row.price_id, f"{row.provider} {row.model_pattern}", *rates]
    empty = [""] * len(rates)
    conditions = [
        "" if row.service_tier == "standard" else f"tier {row.service_tier}",
        _describe_threshold(row),
        "at certain hours" if row.windows_utc else "",
        "" if row.valid_from is None else f"from {_format_bound(row.valid_from)}",
        "" if row.valid_to is None else f"until {_format_bound(row.valid_to)}",
        row.source,
    ]
    yield from (["", f"  {condition}", *empty] for condition in conditions if condition)


def _describe_threshold(row: PriceRow) -> str:
    if row.above_input_tokens is None:
        return ""
    return f"{'≥' if row.above_is_inclusive else '>'} {row.above_input_tokens:,} input tokens"


def _format_bound(at: datetime) -> str:
    return format_time(at).removesuffix(MIDNIGHT)


def _per_million(usd_per_token: Decimal | None) -> str:
    # moving the point is exact
    return _format_rate(None if usd_per_token is None else usd_per_token.scaleb(MILLION_DIGITS))


def _format_rate(usd: Decimal | None) -> str:
    return "-" if usd is None else format_exact(usd)
