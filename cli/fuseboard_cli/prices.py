"""`fuseboard prices`: what tokens cost from when on, and what earlier requests cost by that."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

import typer

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import clean_text, format_time, print_json, remark, say, show
from fuseboard_cli.price_rows import (
    NewPrice,
    PriceChange,
    PriceInUseError,
    change_price,
    select_price_rows,
    withdraw_price,
)
from fuseboard_cli.price_table import make_price_table
from fuseboard_cli.provider_names import resolve_provider
from fuseboard_cli.reprice import reprice
from fuseboard_cli.servers import use_database
from fuseboard_cli.times import parse_instant

app = typer.Typer(name="prices", help="What tokens cost, and from when on.", no_args_is_help=True)
app.command()(reprice)

MILLION_DIGITS: Final = 6
PER_MILLION: Final = "USD per million tokens."
# beyond any price; a slip such as USD per token where USD per million is asked stays possible and is shown
RATE_MAX_USD: Final = Decimal(1_000_000)


def parse_rate(text: str) -> Decimal:
    """Parse an amount of USD that is exact, such as 0.3."""
    try:
        rate = Decimal(text)
    except InvalidOperation:
        rate = Decimal("NaN")
    if not rate.is_finite() or not 0 <= rate <= RATE_MAX_USD:
        raise typer.BadParameter(f"{text!r} is not an amount of USD such as 3 or 0.25")
    return rate


Rate = Annotated[Decimal | None, typer.Option(parser=parse_rate, metavar="USD", show_default="the input rate")]


@app.command("list")
def list_prices(
    provider: Annotated[str | None, typer.Argument(help="Only this provider.", show_default="all")] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Also prices that have ended or not yet begun.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; rates are USD per token.")] = False,
) -> None:
    """List the prices in force, in USD per million tokens."""
    with use_database() as connection:
        provider = provider and resolve_provider(connection, provider)
        rows = select_price_rows(connection, provider, datetime.now(UTC), show_all=show_all)
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    show(make_price_table(rows))


@app.command("set")
def set_price(
    provider: Annotated[str, typer.Argument(help="Provider, as events name it.", show_default=False)],
    model_pattern: Annotated[
        str, typer.Argument(help="Model, or a pattern in which * stands for any text.", show_default=False)
    ],
    *,
    input_usd: Annotated[Decimal, typer.Option("--input", parser=parse_rate, metavar="USD", help=PER_MILLION)],
    output_usd: Annotated[Decimal, typer.Option("--output", parser=parse_rate, metavar="USD", help=PER_MILLION)],
    source: Annotated[
        str, typer.Option(help="Where the price comes from, for whoever asks later.")
    ] = "fuseboard prices set",
    cache_read: Rate = None,
    cache_write: Rate = None,
    cache_write_1h: Rate = None,
    tier: Annotated[str, typer.Option(help="Service tier, such as batch.")] = "standard",
    above_input_tokens: Annotated[
        int | None, typer.Option(min=0, help="Price of requests with more input tokens than this.")
    ] = None,
    valid_from: Annotated[
        datetime | None, typer.Option("--from", parser=parse_instant, metavar="TIME", show_default="now")
    ] = None,
) -> None:
    """Set a price from a time on: ends the row in force then and adds a new one; no row is overwritten."""
    price = NewPrice(
        provider=_check_text(provider, "PROVIDER"),
        model_pattern=_check_text(model_pattern, "MODEL_PATTERN"),
        service_tier=_check_text(tier, "--tier"),
        above_input_tokens=above_input_tokens,
        input_usd_per_token=_per_token(input_usd),
        output_usd_per_token=_per_token(output_usd),
        cache_read_usd_per_token=_per_token(cache_read),
        cache_write_usd_per_token=_per_token(cache_write),
        cache_write_1h_usd_per_token=_per_token(cache_write_1h),
        valid_from=valid_from or datetime.now(UTC),
        source=_check_text(source, "--source"),
    )
    with use_database() as connection:
        price = price._replace(provider=resolve_provider(connection, price.provider))
        change = change_price(connection, price)
    _report_change(price, change)


@app.command("withdraw")
def withdraw(price_id: Annotated[int, typer.Argument(help="The row, as it was set or listed.")]) -> None:
    """Take back a price that was set by mistake, while nothing was priced by it; the row it ended goes on."""
    with use_database() as connection:
        try:
            done = withdraw_price(connection, price_id)
        except LookupError as error:
            raise CommandError(f"there is no price {price_id}: see `fuseboard prices list --all`") from error
        except PriceInUseError as error:
            raise CommandError(
                f"requests were priced by row {price_id}: set the right price from the time it began "
                "(`fuseboard prices set ... --from TIME`), then `fuseboard prices reprice --from TIME`"
            ) from error
    provider, model_pattern = clean_text(done.provider), clean_text(done.model_pattern)
    rest = f"row {', '.join(map(str, done.continued))} goes on" if done.continued else "no other row takes its place"
    say(f"{provider} {model_pattern}: row {price_id} is withdrawn; {rest}")


def _report_change(price: NewPrice, change: PriceChange) -> None:
    provider, model_pattern = clean_text(price.provider), clean_text(price.model_pattern)
    ended = f"row {', '.join(map(str, change.ended))} ended" if change.ended else "no row ended"
    until = f" until {format_time(change.valid_to)}" if change.valid_to else ""
    starts_at = format_time(price.valid_from)
    say(f"{provider} {model_pattern}: row {change.price_id} is in force from {starts_at} UTC{until}; {ended}")
    if not change.provider_is_known:
        remark(f"no provider {provider} is registered yet: see `fuseboard providers list`")
    if price.valid_from < datetime.now(UTC) - timedelta(minutes=1):
        since = price.valid_from.strftime("%Y-%m-%dT%H:%M:%SZ")
        say(f"requests since then: `fuseboard prices reprice --provider {provider} --from {since}`")
    else:
        say(
            "requests from before keep what they have: to include them add --from TIME, "
            f"then `fuseboard prices reprice --provider {provider}`"
        )


def _check_text(text: str, name: str) -> str:
    if not text.strip() or "\x00" in text:
        raise typer.BadParameter("must not be empty", param_hint=name)
    return text


def _per_token(usd_per_million: Decimal | None) -> Decimal | None:
    # moving the point is exact, a division is not
    return None if usd_per_million is None else usd_per_million.scaleb(-MILLION_DIGITS)
