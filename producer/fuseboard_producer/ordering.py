"""In which order the admissible providers are tried: one function per strategy (E2 step 3)."""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from hashlib import blake2b
from itertools import groupby
from random import Random
from types import MappingProxyType
from typing import Final

from fuseboard_producer.request import Request, Strategy
from fuseboard_producer.snapshot import Offer, ProviderView

# a request whose size nobody told: the amounts serve only to weigh input against output prices
TYPICAL_INPUT_TOKENS: Final = 1000
TYPICAL_OUTPUT_TOKENS: Final = 500
HASH_RANGE: Final = 2.0**64
SPREAD_LIMIT: Final = 1.1
SLOWNESS_MAX: Final = 2.0

Views = list[ProviderView]


def order_views(views: Views, request: Request, rng: Random) -> Views:
    """Order views, which come sorted by priority and name, by the request's strategy."""
    return ORDERINGS[request.strategy](views, request, rng) if len(views) > 1 else views


def order_by_priority(views: Views, request: Request, rng: Random) -> Views:
    """Lowest priority number first; inside one level by sticky key, else by weight where any is given, else by name."""
    if request.sticky_key is None and all(view.weight is None for view in views):
        return views
    ordered: Views = []
    for _, group in groupby(views, key=lambda view: view.priority):
        level = list(group)
        if request.sticky_key is not None:
            ordered += _order_by_hash(level, request.sticky_key)
        elif any(view.weight is not None for view in level):
            ordered += order_by_weight(level, request, rng)
        else:
            ordered += level
    return ordered


def order_by_weight(views: Views, request: Request, rng: Random) -> Views:
    """Sample without replacement in proportion to weight (1 where none is given); 0 goes last.

    A sticky key stands for the random numbers: each key keeps its order, and the keys divide by weight.
    """
    key = request.sticky_key

    def draw_arrival(view: ProviderView) -> float:
        weight = 1.0 if view.weight is None else view.weight
        uniform = rng.random() if key is None else 1 - (hash_rendezvous(key, view.name) + 1) / HASH_RANGE
        return -math.log1p(-uniform) / weight if weight > 0 and uniform < 1 else math.inf

    return sorted(views, key=draw_arrival)


def order_by_cost(views: Views, request: Request, _: Random) -> Views:
    """Lowest estimated cost first; what has no price goes last."""
    return _sort_known_first(views, lambda view: estimate_cost(view, request))


def order_by_latency(views: Views, request: Request, rng: Random) -> Views:
    """Lowest median latency first, unknown last; now and then the first two change places, to learn."""
    ordered = _sort_known_first(views, lambda view: view.health.typical_seconds)
    if request.explore > 0 and rng.random() < request.explore:
        ordered[:2] = ordered[1::-1]
    return ordered


def order_by_value(views: Views, request: Request, rng: Random) -> Views:
    """Lowest cost first, adjusted for how often and how fast a provider succeeds; what has no price goes last."""
    latencies = [seconds for view in views if (seconds := view.health.typical_seconds) is not None]
    best_seconds = min(latencies, default=None)
    adjusted = {view.name: _adjust_cost(view, request, best_seconds) for view in views}
    ordered = _sort_known_first(views, lambda view: adjusted[view.name])
    return _spread_best(ordered, adjusted, rng) if request.spread else ordered


ORDERINGS: Final[Mapping[Strategy, Callable[[Views, Request, Random], Views]]] = MappingProxyType(
    {
        "priority": order_by_priority,
        "weighted": order_by_weight,
        "lowest_cost": order_by_cost,
        "lowest_latency": order_by_latency,
        "auto": order_by_value,
    }
)


def estimate_cost(view: ProviderView, request: Request) -> Decimal | None:
    """Estimate the cost of a request in USD; None without a price."""
    offer = view.find_offer(request.model) or Offer()
    rates = offer.rates
    if rates is None:
        return None
    prompt = TYPICAL_INPUT_TOKENS if request.input_tokens is None else request.input_tokens
    cached = min(request.cached_input_tokens, prompt)
    cached_rate = rates.cache_read_usd_per_token
    if cached_rate is None:
        cached_rate = rates.input_usd_per_token
    input_cost = (prompt - cached) * rates.input_usd_per_token + cached * cached_rate
    return input_cost + _estimate_output(view, request) * rates.output_usd_per_token


def hash_rendezvous(key: str, name: str) -> int:
    """Score a provider for a sticky key, the same in every process; the highest serves it."""
    text = f"{key}|{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def _order_by_hash(views: Views, key: str) -> Views:
    return sorted(views, key=lambda view: hash_rendezvous(key, view.name), reverse=True)


def _sort_known_first(views: Views, measure: Callable[[ProviderView], float | Decimal | None]) -> Views:
    """Sort by a measure; sorting is stable, so ties keep the order of priority and name."""
    measured = [(measure(view), view) for view in views]
    known = [(value, view) for value, view in measured if value is not None]
    known.sort(key=lambda pair: pair[0])
    return [view for _, view in known] + [view for value, view in measured if value is None]


def _estimate_output(view: ProviderView, request: Request) -> Decimal | int:
    if request.output_tokens is not None:
        return request.output_tokens
    if request.max_output_tokens is not None:
        return request.max_output_tokens
    mean = view.health.mean_output_tokens
    return TYPICAL_OUTPUT_TOKENS if mean is None else Decimal(mean)


def _adjust_cost(view: ProviderView, request: Request, best_seconds: float | None) -> float | None:
    cost = estimate_cost(view, request)
    if cost is None:
        return None
    health = view.health
    # as if nine of ten earlier calls had succeeded, so that a provider with little traffic is neither good nor bad
    success_rate = (health.successes + 9) / (health.requests + 10)
    seconds, slowness = health.typical_seconds, 1.0
    if seconds is not None and best_seconds:
        slowness = min(SLOWNESS_MAX, 1 + 0.25 * max(0.0, seconds / best_seconds - 1))
    return float(cost) / success_rate * slowness


def _spread_best(ordered: Views, adjusted: Mapping[str, float | None], rng: Random) -> Views:
    """Sample among those within a tenth of the best, in proportion to 1 / cost squared, so that one is not swamped."""
    best = adjusted[ordered[0].name]
    if best is None:
        return ordered

    def draw_arrival(view: ProviderView) -> float:
        ratio = (adjusted[view.name] or 0.0) / best if best else 1.0
        return rng.expovariate(1.0) * ratio**2

    close = [view for view in ordered if (cost := adjusted[view.name]) is not None and cost <= best * SPREAD_LIMIT]
    return sorted(close, key=draw_arrival) + ordered[len(close) :]
