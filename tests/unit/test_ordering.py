from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from fuseboard_producer.ordering import estimate_cost, hash_rendezvous
from fuseboard_producer.request import Request
from fuseboard_producer.snapshot import Health, Offer, ProviderView
from selection_tools import (
    LARGE,
    SMALL,
    UNPRICED,
    make_rates,
    make_view,
    order,
)


def test_priority_levels_with_weights_are_divided_by_them() -> None:
    views = [make_view("a", weight=3.0), make_view("b"), make_view("c", priority=1, weight=9.0)]

    firsts = Counter(tuple(order(*views, seed=seed)) for seed in range(4000))

    assert firsts.keys() == {("a", "b", "c"), ("b", "a", "c")}
    assert firsts["a", "b", "c"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_weights_are_respected_over_all_places() -> None:
    views = [make_view("a", weight=5.0), make_view("b", weight=3.0), make_view("c", weight=2.0)]

    orders = [order(*views, strategy="weighted", seed=seed) for seed in range(6000)]

    firsts = Counter(names[0] for names in orders)
    assert [firsts[name] / 6000 for name in "abc"] == pytest.approx([0.5, 0.3, 0.2], abs=0.03)
    # of the remaining two, in proportion again
    second = Counter(names[1] for names in orders if names[0] == "a")
    assert second["b"] / second.total() == pytest.approx(0.6, abs=0.04)


def test_a_weight_of_zero_is_a_last_resort() -> None:
    views = [make_view("a", weight=0.0), make_view("b", weight=1.0), make_view("c", weight=0.0)]

    assert {tuple(order(*views, strategy="weighted", seed=seed)) for seed in range(50)} == {("b", "a", "c")}


def test_weights_are_respected_by_sticky_keys_as_well() -> None:
    views = [make_view("a", weight=3.0), make_view("b", weight=1.0)]

    firsts = Counter(order(*views, strategy="weighted", sticky_key=f"session-{n}")[0] for n in range(4000))

    assert firsts["a"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_a_sticky_key_gives_the_order_of_the_published_hash() -> None:
    # computed with b2sum -l 64 over "key|name"
    assert f"{hash_rendezvous('session-42', 'a'):016x}" == "42cd353075a31e44"
    assert order(*map(make_view, "abc"), sticky_key="session-42") == ["b", "a", "c"]


def test_cost_is_of_the_tokens_that_are_expected() -> None:
    view = make_view("a", offer=Offer(rates=make_rates("3", "15", "0.3")), health=Health(mean_output_tokens=40.0))

    sizes: list[dict[str, Any]] = [
        {"input_tokens": 1000, "output_tokens": 100, "max_output_tokens": 900},
        {"input_tokens": 1000, "max_output_tokens": 900},
        {"input_tokens": 1000},
        {"input_tokens": 1000, "cached_input_tokens": 800, "output_tokens": 0},
        {"input_tokens": 1000, "cached_input_tokens": 9999, "output_tokens": 0},
    ]

    costs = [estimate_cost(view, Request(**size)) for size in sizes]

    assert costs == [Decimal(usd) for usd in ("0.0045", "0.0165", "0.0036", "0.00084", "0.0003")]
    assert estimate_cost(UNPRICED, Request()) is None


def test_lowest_cost_puts_what_has_no_price_last() -> None:
    free = make_view("z-free", offer=Offer(rates=make_rates("0", "0")))

    assert order(UNPRICED, LARGE, SMALL, free, strategy="lowest_cost") == ["z-free", "small", "large", "unpriced"]


def test_lowest_cost_is_of_the_model_that_is_asked_for() -> None:
    a = make_view("a", offers={"m": Offer(rates=make_rates("9", "9"))}, offer=Offer(rates=make_rates("1", "1")))
    b = make_view("b", offer=Offer(rates=make_rates("5", "5")))

    assert order(a, b, strategy="lowest_cost", model="m") == ["b", "a"]
    assert order(a, b, strategy="lowest_cost") == ["a", "b"]


def test_lowest_latency_trusts_a_median_of_twenty_successes_else_of_the_day_else_none() -> None:
    views = [
        make_view("few", health=Health(19, 19, 0.1)),
        make_view("failing", health=Health(500, 3, 0.01)),
        make_view("day", health=Health(5, 5, 0.2, day_successes=20, day_p50_seconds=0.9)),
        make_view("slow", health=Health(20, 20, 1.5)),
        make_view("fast", health=Health(20, 20, 0.8)),
    ]

    assert order(*views, strategy="lowest_latency") == ["fast", "day", "slow", "failing", "few"]


def test_lowest_latency_now_and_then_tries_the_second() -> None:
    views = [make_view(name, health=Health(50, 50, seconds)) for name, seconds in (("a", 1.0), ("b", 2.0), ("c", 3.0))]

    orders = Counter(tuple(order(*views, strategy="lowest_latency", explore=0.1, seed=seed)) for seed in range(4000))

    assert orders.keys() == {("a", "b", "c"), ("b", "a", "c")}
    assert orders["b", "a", "c"] / 4000 == pytest.approx(0.1, abs=0.02)


def test_auto_weighs_price_by_success_and_by_latency() -> None:
    def make(name: str, usd: str, successes: int, seconds: float | None) -> ProviderView:
        return make_view(name, offer=Offer(rates=make_rates(usd, usd)), health=Health(90, successes, seconds))

    # a tenth is lost at 81 of 90: 1.00 / 0.9 = 1.11
    assert order(make("a", "1.00", 81, 1.0), make("b", "1.10", 91, 1.0), strategy="auto") == ["b", "a"]
    assert order(make("a", "1.00", 81, 1.0), make("b", "1.12", 91, 1.0), strategy="auto") == ["a", "b"]
    # a quarter is added for each multiple of the best latency, up to double
    assert order(make("a", "1.00", 91, 2.0), make("b", "1.24", 91, 1.0), strategy="auto") == ["b", "a"]
    assert order(make("a", "1.00", 91, 2.0), make("b", "1.26", 91, 1.0), strategy="auto") == ["a", "b"]
    assert order(make("a", "1.00", 91, 99.0), make("b", "2.01", 91, 1.0), strategy="auto") == ["a", "b"]
    # an unknown latency is neither good nor bad
    assert order(make("a", "1.00", 91, None), make("b", "1.01", 91, 1.0), strategy="auto") == ["a", "b"]
    assert order(UNPRICED, make("b", "99", 91, 9.0), strategy="auto") == ["b", "unpriced"]


def test_auto_trusts_a_provider_without_traffic_nine_times_of_ten() -> None:
    proven = make_view("b", offer=Offer(rates=make_rates("1", "1")), health=Health(90, 90))

    def order_beside(usd: str) -> list[str]:
        return order(make_view("a", offer=Offer(rates=make_rates(usd, usd)), health=Health()), proven, strategy="auto")

    assert order_beside("0.90") == ["a", "b"]
    assert order_beside("0.92") == ["b", "a"]


def test_spread_divides_among_those_within_a_tenth_of_the_best() -> None:
    views = [
        make_view(name, offer=Offer(rates=make_rates(usd, usd)))
        for name, usd in (("a", "1.0"), ("b", "1.1"), ("c", "1.2"))
    ]

    orders = Counter(tuple(order(*views, strategy="auto", spread=True, seed=seed)) for seed in range(10_000))

    assert orders.keys() == {("a", "b", "c"), ("b", "a", "c")}
    assert orders["a", "b", "c"] / 10_000 == pytest.approx(1.21 / 2.21, abs=0.01)
