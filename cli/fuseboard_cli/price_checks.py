"""What the doctor makes of prices: which requests have none, and which have one that was not made for them. Pure."""

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final, NamedTuple

from fuseboard_api.price_advice import advise_price, quote_word
from fuseboard_cli.checks import SHOWN_MODELS, Check
from fuseboard_cli.output import clean_text, format_usd
from fuseboard_schema.pricing import Price, PriceBook

CATCH_ALL: Final = "*"
RECENT_DAYS: Final = 7


class ModelCost(NamedTuple):
    """What one model was asked and cost on the last days; cost_usd None: not known."""

    provider: str
    model: str
    requests: int
    cost_usd: Decimal | None


def find_assumed(models: Iterable[ModelCost], book: PriceBook, now: datetime) -> list[ModelCost]:
    """Find the models that no row names, so that a bare `*` prices them; what is free or has no cost is not meant."""
    return [
        each
        for each in models
        if each.cost_usd and _is_assumed(book.find_price(each.provider, each.model, "standard", now, None))
    ]


def _is_assumed(price: Price | None) -> bool:
    return (
        price is not None
        and price.model_pattern == CATCH_ALL
        and bool(price.input_usd_per_token or price.output_usd_per_token)
    )


def check_assumed(models: Collection[ModelCost], first_day: date) -> Check:
    """Check for models that are priced by a bare `*`, at rates that were assumed; `first_day` of those looked at."""
    if not models:
        return Check("assumed prices", "ok", f"no model of the last {RECENT_DAYS} days is priced by a bare *")
    shown = ", ".join(f"{clean_text(each.provider)}/{clean_text(each.model)}" for each in list(models)[:SHOWN_MODELS])
    more = f" and {len(models) - SHOWN_MODELS} more" if len(models) > SHOWN_MODELS else ""
    requests = sum(each.requests for each in models)
    cost_usd = sum((each.cost_usd or Decimal() for each in models), Decimal())
    first = next(iter(models))
    since = datetime.combine(first_day, time(), UTC)
    reprice = f"fuseboard prices reprice --provider {quote_word(first.provider)} --from {first_day}"
    return Check(
        "assumed prices",
        "warn",
        f"no row names {shown}{more}: {requests:,} requests of {RECENT_DAYS} days are at the rates of a bare *, "
        f"{format_usd(cost_usd)} USD",
        f"`{advise_price(first.provider, first.model, since)}`, then `{reprice}`",
    )
