"""What commands print: tables for people, exact JSON for scripts."""

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final, cast
from uuid import UUID

from rich.console import Console, RenderableType
from rich.table import Table

TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
SPAN_UNITS: Final = (("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))
# a sum of money never loses a digit on its way to the screen
WIDE: Final = Context(prec=200, rounding=ROUND_HALF_EVEN)


def stdout() -> Console:
    """Make the console of results; text is shown as it is, brackets are no markup."""
    return Console(markup=False, highlight=False, emoji=False)


def stderr() -> Console:
    """Make the console of progress and remarks."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def show(table: RenderableType) -> None:
    """Print a table or the like, as wide as the terminal."""
    stdout().print(table)


def say(text: str) -> None:
    """Print a result; lines are broken between words on a terminal, and left whole in a file or a pipe."""
    _print_text(stdout(), text)


def offer(text: str) -> None:
    """Print what is there to be copied and belongs to no result: on standard error, and never broken into lines."""
    stderr().print(text, soft_wrap=True)


def remark(text: str) -> None:
    """Print what belongs to no result, on standard error."""
    _print_text(stderr(), text)


def format_exact(amount: Decimal) -> str:
    """Format every digit of a number in plain notation, without zeros that say nothing."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_usd(amount: Decimal | None, decimals: int = 4) -> str:
    """Format money for people, rounded; unknown is a dash."""
    return "-" if amount is None else f"{amount.quantize(Decimal(1).scaleb(-decimals), context=WIDE):,f}"


def format_percent(percent: float | None) -> str:
    """Format a percentage with two decimals."""
    return "-" if percent is None else f"{percent:.2f} %"


def format_time(at: datetime | None) -> str:
    """Format an aware time, of a connection in UTC, to the second."""
    return "-" if at is None else at.strftime(TIME_FORMAT)


def format_span(seconds: float) -> str:
    """Format a duration in the largest unit of which there are two; one that is over is 0."""
    unit, length = next((unit for unit in SPAN_UNITS if seconds >= 2 * unit[1]), SPAN_UNITS[-1])
    return f"{max(0.0, seconds) / length:.0f} {unit}"


def clean_text(text: str) -> str:
    """Show what a terminal would obey, such as an escape sequence, instead of sending it there."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def make_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """Make a table; where it is wider than the terminal, its texts are broken into lines.

    A column whose name ends in ` #` is of numbers, so it is set to the right and never broken; nor is one that ends in
    ` !`, because it is there to be copied.
    """
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        is_number = column.endswith(" #")
        table.add_column(
            column.removesuffix(" #").removesuffix(" !"),
            justify="right" if is_number else "left",
            no_wrap=is_number or column.endswith(" !"),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(clean_text(str(cell)) for cell in row))
    if not table.rows:
        table.caption, table.caption_justify = "none", "left"
    return table


def print_json(value: Mapping[str, Any] | list[Mapping[str, Any]]) -> None:
    """Print one JSON document: money as exact decimal text, counts as integers, times in ISO 8601."""
    sys.stdout.write(json.dumps(_make_plain(value), indent=2, allow_nan=False) + "\n")


def _print_text(console: Console, text: str) -> None:
    console.print(text, soft_wrap=not console.is_terminal)


def _make_plain(value: Any, name: str = "") -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case Mapping():
            return {key: _make_plain(item, key) for key, item in cast("Mapping[str, Any]", value).items()}
        case list():
            return [_make_plain(item) for item in value]
        case Decimal():
            # tokens are NUMERIC because their sums are unbounded
            return format_exact(value) if "_usd" in name else int(value)
        case datetime() | date():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            return value
