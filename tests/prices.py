"""Price rows for tests."""

from decimal import Decimal
from typing import Any

from fuseboard_schema.pricing import Price


def make_price(
    price_id: int = 1,
    provider: str = "claude",
    model_pattern: str = "*",
    input_rate: str | None = "0.000003",
    output_rate: str | None = "0.000015",
    **fields: Any,  # noqa: ANN401 - any field of Price
) -> Price:
    """Make a row of Claude's seed price; fields given replace or add."""
    return Price(
        price_id=price_id,
        provider=provider,
        model_pattern=model_pattern,
        input_usd_per_token=None if input_rate is None else Decimal(input_rate),
        output_usd_per_token=None if output_rate is None else Decimal(output_rate),
        **fields,
    )
