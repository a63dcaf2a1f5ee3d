"""Providers, requests and plans for the tests of selection."""

from decimal import Decimal
from random import Random
from typing import Any

from fuseboard_producer.admission import GuardReading
from fuseboard_producer.request import Request
from fuseboard_producer.selection import Plan, select
from fuseboard_producer.snapshot import Health, Offer, ProviderView, Rates, Snapshot, sort_views

NOW = 1000.0
HEALTHY = Health(100, 100, 1.0)


def make_rng(seed: int = 1) -> Random:
    return Random(seed)  # noqa: S311 - repeatable on purpose


def make_rates(input_usd: str, output_usd: str, cached_usd: str | None = None) -> Rates:
    """Make rates of prices per million tokens."""
    prices = (Decimal(input_usd), Decimal(output_usd), Decimal(cached_usd or input_usd))
    return Rates(*(price / 1_000_000 for price in prices))


def make_view(name: str, /, **fields: Any) -> ProviderView:  # noqa: ANN401 - any field of the view
    defaults: dict[str, Any] = {
        "priority": 0,
        "epoch": 1,
        "health": HEALTHY,
        "offer": Offer(rates=make_rates("1", "2")),
    }
    return ProviderView(name=name, **defaults | fields)


def plan(
    *views: ProviderView,
    seed: int = 1,
    guard: GuardReading | None = None,
    refused: str = "",
    **wishes: Any,  # noqa: ANN401 - any field of the request
) -> Plan:
    fields: dict[str, Any] = {"explore": 0.0} | wishes
    return select(
        Request(**fields),
        Snapshot(sort_views(views), NOW),
        NOW,
        make_rng(seed),
        guard=guard or GuardReading(),
        refused=frozenset(refused.split()),
    )


def name_candidates(found: Plan) -> list[str]:
    return [candidate.provider for candidate in found.candidates]


def order(*views: ProviderView, **arguments: Any) -> list[str]:  # noqa: ANN401 - as `plan`
    return name_candidates(plan(*views, **arguments))


def open_view(name: str, until: float, **fields: Any) -> ProviderView:  # noqa: ANN401 - any field of the view
    return make_view(name, state="open", epoch=2, open_until=until, **fields)


LARGE = make_view("large", offer=Offer(None, make_rates("5", "5"), 100_000, frozenset({"tools", "vision"})))
SMALL = make_view("small", offer=Offer(None, make_rates("1", "2"), 8000, frozenset({"tools"})))
UNPRICED = make_view("unpriced", offer=Offer())
