from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from fuseboard_schema.pricing import PriceBook, Usage, compute_savings
from prices import make_price

AT = datetime(2026, 11, 18, 4, 30, tzinfo=UTC)
SONNET = ("claude", "claude-sonnet-4-5")
LOCAL = make_price(1, "ollama", "*", "0", "0")
CLAUDE = make_price(2)
OPENAI = make_price(3, "openai", "*", "0.000005", "0.000015")
BATCH = make_price(4, "claude", "*", "0.0000015", "0.0000075", service_tier="batch")
BOOK = PriceBook([LOCAL, CLAUDE, OPENAI, BATCH], SONNET)
USAGE = Usage(1200, 300)


def test_a_local_answer_saves_what_the_baseline_would_have_cost() -> None:
    charge = BOOK.charge("ollama", "llama3", "standard", AT, USAGE, served=True)

    assert charge == (Decimal(0), 1, Decimal("0.0081"), 2, Decimal("0.0081"))


def test_a_dearer_answer_keeps_its_negative_savings() -> None:
    charge = BOOK.charge("openai", "gpt", "standard", AT, USAGE, served=True)

    assert charge.savings_usd == Decimal("0.0081") - Decimal("0.0105")


def test_the_baseline_is_the_standard_tier_whatever_tier_was_used() -> None:
    charge = BOOK.charge("claude", "claude-haiku", "batch", AT, USAGE, served=True)

    assert charge == (Decimal("0.00405"), 4, Decimal("0.0081"), 2, Decimal("0.00405"))


def test_a_failed_attempt_has_its_cost_and_saves_minus_that() -> None:
    charge = BOOK.charge("openai", "gpt", "standard", AT, USAGE, served=False)

    assert charge == (Decimal("0.0105"), 3, None, None, Decimal("-0.0105"))


def test_a_failed_attempt_without_usage_is_unknown_and_not_free() -> None:
    charge = BOOK.charge("openai", "gpt", "standard", AT, Usage(None, None), served=False)

    assert charge == (None, 3, None, None, None)


def test_a_reported_cost_stands_without_a_price_row_and_is_compared_with_the_baseline() -> None:
    charge = BOOK.charge("unknown", "m", "standard", AT, USAGE, served=True, reported_cost_usd=Decimal("0.002"))

    assert charge == (Decimal("0.002"), None, Decimal("0.0081"), 2, Decimal("0.0061"))


def test_a_reported_cost_is_no_baseline_where_the_baseline_has_no_price() -> None:
    book = PriceBook([LOCAL], SONNET)

    charge = book.charge("unknown", "m", "standard", AT, USAGE, served=True, reported_cost_usd=Decimal("0.002"))

    assert charge == (Decimal("0.002"), None, None, None, None)


def test_a_reported_cost_of_zero_is_known() -> None:
    charge = BOOK.charge("openai", "gpt", "standard", AT, USAGE, served=True, reported_cost_usd=Decimal(0))

    assert (charge.cost_usd, charge.price_id) == (Decimal(0), None)


def test_an_unpriced_request_has_a_baseline_and_no_savings() -> None:
    charge = BOOK.charge("unknown", "m", "standard", AT, USAGE, served=True)

    assert charge == (None, None, Decimal("0.0081"), 2, None)


def test_an_unpriced_baseline_leaves_savings_unknown() -> None:
    charge = PriceBook([LOCAL], SONNET).charge("ollama", "llama3", "standard", AT, USAGE, served=True)

    assert charge == (Decimal(0), 1, None, None, None)


@given(st.none() | st.decimals(0, 100, places=18), st.none() | st.decimals(0, 100, places=18), st.booleans())
def test_savings_are_exact_and_unknown_where_a_part_is(
    cost: Decimal | None, baseline: Decimal | None, served: bool
) -> None:
    savings = compute_savings(cost, baseline, served=served)

    if cost is None or (served and baseline is None):
        assert savings is None
    else:
        assert savings is not None
        assert Fraction(savings) == (Fraction(baseline) if served and baseline is not None else 0) - Fraction(cost)
