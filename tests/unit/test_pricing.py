import decimal
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard_schema.pricing import Price, Usage, compute_cost, compute_savings
from prices import make_price

token_counts = st.integers(0, 10**12)
# the bounds of the domain price_rate
exact_rates = st.decimals(min_value=0, max_value=999_999, places=24)
rates = st.none() | exact_rates
cache_counts = st.none() | st.integers(0, 10**11)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usage whose cache tokens are part of its prompt tokens."""
    read, write, write_1h = draw(cache_counts), draw(cache_counts), draw(cache_counts)
    fresh = draw(st.integers(0, 10**11))
    prompt = fresh + sum(count or 0 for count in (read, write, write_1h))
    return Usage(prompt, draw(token_counts), read, write, write_1h, draw(st.none() | st.integers(0, 10**6)))


@st.composite
def prices(draw: st.DrawFn) -> Price:
    return Price(
        1, "p", "*",
        input_usd_per_token=draw(rates),
        output_usd_per_token=draw(rates),
        cache_read_usd_per_token=draw(rates),
        cache_write_usd_per_token=draw(rates),
        cache_write_1h_usd_per_token=draw(rates),
        web_search_usd_per_call=draw(rates),
        multiplier=draw(exact_rates),
    )  # fmt: skip


def compute_fraction(usage: Usage, price: Price) -> Fraction | None:
    """Compute the cost by the conventions of cost-vectors/1 with fractions, for known counts."""
    if price.input_usd_per_token is None or price.output_usd_per_token is None:
        return None
    assert usage.prompt_tokens is not None
    assert usage.completion_tokens is not None
    by_kind = [
        (usage.cache_read_tokens or 0, price.cache_read_usd_per_token),
        (usage.cache_write_tokens or 0, price.cache_write_usd_per_token),
        (usage.cache_write_1h_tokens or 0, price.cache_write_1h_usd_per_token),
    ]
    fresh = usage.prompt_tokens - sum(count for count, _ in by_kind)
    tokens = fresh * Fraction(price.input_usd_per_token) + usage.completion_tokens * Fraction(
        price.output_usd_per_token
    )
    tokens += sum(count * Fraction(price.input_usd_per_token if rate is None else rate) for count, rate in by_kind)
    if usage.web_searches and price.web_search_usd_per_call is None:
        return None
    return tokens * Fraction(price.multiplier) + (usage.web_searches or 0) * Fraction(
        price.web_search_usd_per_call or 0
    )


@given(usages(), prices())
def test_cost_equals_an_independent_sum_of_fractions(usage: Usage, price: Price) -> None:
    cost = compute_cost(usage, price)

    assert (None if cost is None else Fraction(cost)) == compute_fraction(usage, price)


@given(usages(), prices(), st.integers(1, 4), st.sampled_from([decimal.ROUND_DOWN, decimal.ROUND_UP]))
def test_the_callers_decimal_context_changes_nothing(usage: Usage, price: Price, prec: int, rounding: str) -> None:
    expected = compute_cost(usage, price)
    savings = compute_savings(expected, Decimal("0.123456789"))
    traps = [decimal.Inexact, decimal.Rounded, decimal.FloatOperation, decimal.Subnormal]

    with decimal.localcontext(decimal.Context(prec=prec, rounding=rounding, Emax=9, Emin=-9, traps=traps)):
        cost = compute_cost(usage, price)
        saved = compute_savings(cost, Decimal("0.123456789"))

    assert (cost, saved) == (expected, savings)


def test_the_smallest_rate_in_use_keeps_every_digit() -> None:
    price = make_price(input_rate="0.000000025", cache_read_usd_per_token=Decimal("0.0000000025"))

    assert compute_cost(Usage(1, 0, 1), price) == Decimal("0.0000000025")


@given(usages(), prices())
def test_reasoning_and_order_of_kinds_never_cost_twice(usage: Usage, price: Price) -> None:
    """With every rate the same, cost is that rate times all tokens: no kind is counted twice or left out."""
    rate = Decimal("0.00001")
    flat = Price(1, "p", "*", input_usd_per_token=rate, output_usd_per_token=rate, multiplier=price.multiplier)
    cost = compute_cost(usage._replace(web_searches=None), flat)

    assert usage.prompt_tokens is not None
    assert usage.completion_tokens is not None
    assert cost is not None
    assert Fraction(cost) == Fraction(rate) * (usage.prompt_tokens + usage.completion_tokens) * Fraction(
        price.multiplier
    )


def test_a_missing_input_or_output_rate_is_unpriced_and_not_zero() -> None:
    assert compute_cost(Usage(0, 0), make_price(input_rate=None)) is None
    assert compute_cost(Usage(0, 0), make_price(output_rate=None)) is None


def test_an_explicit_zero_rate_is_a_price() -> None:
    assert compute_cost(Usage(1200, 300), make_price(input_rate="0", output_rate="0")) == 0


def test_a_missing_cache_rate_is_the_input_rate_and_an_explicit_zero_is_free() -> None:
    price = make_price(cache_read_usd_per_token=Decimal(0))

    assert compute_cost(Usage(1000, 0, 400, 100, 100), price) == 600 * Decimal("0.000003")


def test_web_searches_are_charged_by_call_and_not_multiplied() -> None:
    price = make_price(web_search_usd_per_call=Decimal("0.01"), multiplier=Decimal("1.1"))

    assert compute_cost(Usage(100, 50, web_searches=2), price) == Decimal("0.02") + Decimal("0.00105") * Decimal("1.1")
    assert compute_cost(Usage(100, 50, web_searches=2), make_price()) is None
    assert compute_cost(Usage(100, 50, web_searches=0), make_price()) == Decimal("0.00105")


@pytest.mark.parametrize("usage", [Usage(None, 10), Usage(10, None), Usage(None, None), Usage(None, None, 5)])
def test_unknown_usage_has_no_cost_where_it_is_charged_and_costs_nothing_where_it_is_not(usage: Usage) -> None:
    assert compute_cost(usage, make_price()) is None
    assert compute_cost(usage, make_price(input_rate="0", output_rate="0")) == 0


def test_a_count_that_is_not_known_matters_only_where_its_own_rate_is_charged() -> None:
    embedding = make_price(input_rate="0.00000002", output_rate="0")
    output_only = make_price(input_rate="0", output_rate="0.000015")

    assert compute_cost(Usage(8191, None), embedding) == Decimal("0.00016382")
    assert compute_cost(Usage(None, 10), embedding) is None
    assert compute_cost(Usage(None, 10), output_only) == Decimal("0.00015")
    assert compute_cost(Usage(10, None), output_only) is None
    assert compute_cost(Usage(None, 10, 5), make_price(input_rate="0", cache_read_usd_per_token=Decimal(1))) is None


def test_cache_tokens_beyond_the_prompt_are_refused_and_never_make_a_negative_count() -> None:
    with pytest.raises(ValueError, match="prompt_tokens"):
        compute_cost(Usage(100, 10, 60, 30, 20), make_price())
