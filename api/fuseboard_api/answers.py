"""The documents that the reads answer with."""

from dataclasses import dataclass
from datetime import date, datetime

from fuseboard_api.rows import (
    CircuitHistoryRow,
    CircuitRow,
    CostSummaryRow,
    DailyTrendRow,
    HourlyTrendRow,
    MetricsRow,
    ProviderCostsRow,
    ProviderRow,
    TagCostsRow,
    TagKeyRow,
    UnpricedModel,
)
from fuseboard_consumer.circuit_state import EffectiveState


@dataclass(frozen=True, slots=True)
class Providers:
    """All providers, in order of choice."""

    providers: list[ProviderRow]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics per provider."""

    days: int
    providers: list[MetricsRow]


@dataclass(frozen=True, slots=True)
class Costs(CostSummaryRow):
    """The cost of all, and of each provider, of one moment."""

    days: int
    providers: list[ProviderCostsRow]


@dataclass(frozen=True, slots=True)
class Trends:
    """One row per day and provider that had requests."""

    days: int
    trends: list[DailyTrendRow]


@dataclass(frozen=True, slots=True)
class HourlyTrends:
    """One row per hour and provider that had requests."""

    hours: int
    trends: list[HourlyTrendRow]


@dataclass(frozen=True, slots=True)
class Circuits:
    """All circuits; read_at is by the server's clock, as their deadlines are."""

    read_at: datetime
    circuits: list[CircuitRow]


@dataclass(frozen=True, slots=True)
class CircuitHistory:
    """The last states of one circuit, newest first."""

    history: list[CircuitHistoryRow]


@dataclass(frozen=True, slots=True)
class UnpricedModels:
    """Models that no price covers."""

    unpriced: list[UnpricedModel]


@dataclass(frozen=True, slots=True)
class TagKeys:
    """The tags whose cost is kept, by name."""

    tags: list[TagKeyRow]


@dataclass(frozen=True, slots=True)
class TagCosts:
    """Cost per value of one tag, the most expensive first; is_cut: there are more values than were asked for."""

    tag_key: str
    days: int
    whole_from: date
    costs: list[TagCostsRow]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class ProviderEnabled:
    """Whether workers may choose a provider; is_published: they are told already, otherwise a consumer tells them."""

    name: str
    enabled: bool
    is_published: bool


@dataclass(frozen=True, slots=True)
class OrderDone:
    """The transition that an order wrote; is_published: workers are told already, otherwise a consumer tells them."""

    provider: str
    version: int
    from_state: EffectiveState
    to_state: EffectiveState
    epoch: int
    occurred_at: datetime
    is_published: bool
