"""What a worker knows about the providers: one immutable value, read without I/O (C.9)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

from fuseboard_schema.circuit_settings import CircuitSettings

FRESH_SECONDS: Final = 10.0
USABLE_SECONDS: Final = 60.0
# a percentile of fewer successes says nothing
LATENCY_SAMPLES_MIN: Final = 20
DEFAULT_PRIORITY: Final = 100

CircuitState = Literal["closed", "open"]
Override = Literal["forced_open", "disabled"]
ProviderType = Literal["local", "remote"]
Freshness = Literal["fresh", "aging", "stale", "none"]


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per token; a missing cache rate is the input rate."""

    input_usd_per_token: Decimal
    output_usd_per_token: Decimal
    cache_read_usd_per_token: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a provider has for one model, under its own name for it; None is not known.

    capabilities: what is claimed, such as tools or vision; a need that is not claimed is not met.
    """

    model: str | None = None
    rates: Rates | None = None
    context_tokens: int | None = None
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Health:
    """Recent traffic: of ten minutes, and of a day where that is too little. Latencies are of successes only."""

    requests: int = 0
    successes: int = 0
    p50_seconds: float | None = None
    p95_seconds: float | None = None
    day_successes: int = 0
    day_p50_seconds: float | None = None
    mean_output_tokens: float | None = None

    @property
    def typical_seconds(self) -> float | None:
        """The median latency, once enough successes stand behind it; None is unknown, not fast."""
        if self.p50_seconds is not None and self.successes >= LATENCY_SAMPLES_MIN:
            return self.p50_seconds
        return self.day_p50_seconds if self.day_successes >= LATENCY_SAMPLES_MIN else None


DEFAULT_OFFER: Final = Offer()
UNKNOWN_HEALTH: Final = Health()
DEFAULT_SETTINGS: Final = CircuitSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderView:
    """One provider as this worker sees it; every deadline and time is of the worker's monotonic clock, in seconds.

    epoch: None when no circuit state is known. weight: None when none was given. offers: by requested model; empty
    means that any model may be asked for. closed_at: when the circuit was seen to close, which starts the ramp.
    settings: those that workers need are as published, the others have their defaults.
    """

    name: str
    enabled: bool = True
    provider_type: ProviderType = "remote"
    priority: int = DEFAULT_PRIORITY
    weight: float | None = None
    state: CircuitState = "closed"
    epoch: int | None = None
    version: int = 0
    revision: int = 0
    open_until: float | None = None
    throttle_until: float | None = None
    override: Override | None = None
    offer: Offer = DEFAULT_OFFER
    offers: Mapping[str, Offer] = field(default_factory=dict)
    health: Health = UNKNOWN_HEALTH
    closed_at: float | None = None
    ramp_seconds: float = 20.0
    settings: CircuitSettings = DEFAULT_SETTINGS

    def find_offer(self, model: str | None) -> Offer | None:
        """Find what is offered for a requested model; None where the provider has no such model."""
        if model is None or not self.offers:
            return self.offer
        return self.offers.get(model)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All providers at one instant; replaced as a whole, never changed.

    providers: in order of priority, then name. taken_at: None when there was none yet. heartbeat_at: when the
    consumers last made progress, None when not known. bad_fields: Redis fields that could not be read and why.
    """

    providers: tuple[ProviderView, ...]
    taken_at: float | None
    heartbeat_at: float | None = None
    bad_fields: Mapping[str, str] = field(default_factory=dict)
    by_name: Mapping[str, ProviderView] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {view.name: view for view in self.providers})

    def tell_freshness(self, now: float) -> Freshness:
        """Tell how far the circuit states may be trusted.

        fresh: fully. aging: a circuit whose deadline has passed admits one local probe at a time. stale: only
        `forced_open` and what an operator configured. none: every circuit counts as closed.
        """
        if self.taken_at is None:
            return "none"
        age_seconds = now - self.taken_at
        if age_seconds <= FRESH_SECONDS:
            return "fresh"
        return "aging" if age_seconds <= USABLE_SECONDS else "stale"

    def measure_heartbeat_age(self, now: float) -> float | None:
        """Measure how many seconds ago the consumers last made progress, as far as this snapshot knows."""
        return None if self.heartbeat_at is None else now - self.heartbeat_at


def assume_closed(names: Iterable[str]) -> Snapshot:
    """Make what is known at start-up: these providers, all closed, preferred in the order given."""
    return Snapshot(tuple(ProviderView(name=name, priority=rank) for rank, name in enumerate(names)), None)


@lru_cache(maxsize=1024)
def make_unknown_view(name: str) -> ProviderView:
    """Make the view of a provider that a caller named and the snapshot lacks: closed, with the defaults."""
    return ProviderView(name=name)


def sort_views(views: Iterable[ProviderView]) -> tuple[ProviderView, ...]:
    """Sort by priority number, then name: the order in which all ties end."""
    return tuple(sorted(views, key=lambda view: (view.priority, view.name)))
