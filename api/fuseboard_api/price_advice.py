"""What to type so that a model without a price gets one: a shell takes it as it is, whatever the names hold."""

import shlex
from datetime import UTC, datetime
from typing import Final

from fuseboard_api.rows import UnpricedModel, UnpricedRow

# the one thing that nobody but its reader knows; the command refuses it as it stands
RATE: Final = "USD"


def advise_price(provider: str, model: str, since: datetime, tier: str = "standard") -> str:
    """Write the command that prices a model from an aware time on, to the second; the rates are left to its reader."""
    names = [quote_word(provider), quote_word(model)]
    options = ["--input", RATE, "--output", RATE, "--from", since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")]
    if tier != "standard":
        options += ["--tier", quote_word(tier)]
    if any(name.startswith("-") for name in (provider, model)):
        # a name and no option
        return " ".join(["fuseboard prices set", *options, "--", *names])
    return " ".join(["fuseboard prices set", *names, *options])


def advise_unpriced(row: UnpricedRow) -> UnpricedModel:
    """Add the command that prices all requests of a model."""
    return UnpricedModel(
        row.provider,
        row.model,
        row.unpriced_requests,
        row.last_day,
        row.unpriced_since,
        advise_price(row.provider, row.model, row.unpriced_since),
    )


def quote_word(text: str) -> str:
    """Quote a word for bash and zsh; what a terminal would obey is written in their escapes."""
    return shlex.quote(text) if text.isprintable() else f"$'{''.join(map(_escape, text))}'"


def _escape(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"
