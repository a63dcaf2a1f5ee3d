"""What the reads answer: a row each of the database's views and functions, and the form of the JSON at once."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import WithJsonSchema

from fuseboard_api.value_sets import HistoryReason, OverallStatus, ProviderStatus, RegisteredBy
from fuseboard_consumer.circuit_state import EffectiveState, Override
from fuseboard_producer.snapshot import ProviderType

# exact: as many digits as there are, which a float may not hold
Number = Annotated[Decimal, WithJsonSchema({"type": "number"})]


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """One provider; success_rate is of all time, the rolling figures are of the last ten minutes with traffic."""

    # what the paths of other endpoints take
    id: str
    name: str
    display_name: str
    provider_type: ProviderType
    enabled: bool
    priority: int
    is_available: bool
    circuit_state: EffectiveState
    is_throttled: bool
    status: ProviderStatus
    total_requests: int
    successful_requests: int
    failed_requests: int
    failure_count: int
    success_rate: float | None
    rolling_success_rate: float | None
    avg_response_time_ms: float | None
    p50_response_time_ms: float | None
    p95_response_time_ms: float | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error_type: str | None
    registered_by: RegisteredBy
    is_in_use: bool
    is_called_though_disabled: bool


@dataclass(frozen=True, slots=True)
class MetricsRow:
    """Requests, durations, tokens and cost of one provider over the days asked for."""

    provider: str
    display_name: str
    provider_type: ProviderType
    requests: int
    successes: int
    failures: int
    rate_limited: int
    cancelled: int
    fallbacks: int
    success_rate: float | None
    avg_response_time_ms: float | None
    p50_response_time_ms: float | None
    p95_response_time_ms: float | None
    p99_response_time_ms: float | None
    prompt_tokens: Number
    completion_tokens: Number
    cache_read_tokens: Number
    cache_write_tokens: Number
    cache_write_1h_tokens: Number
    reasoning_tokens: Number
    total_tokens: Number
    cost_usd: Number | None
    hypothetical_claude_cost_usd: Number | None
    savings_usd: Number | None
    unpriced_requests: int
    unmetered_requests: int
    baseline_unknown_requests: int


@dataclass(frozen=True, slots=True)
class ProviderCostsRow:
    """Cost of one provider over the days asked for."""

    name: str
    display_name: str
    provider_type: ProviderType
    requests: int
    successes: int
    success_rate: float | None
    avg_response_time_ms: float | None
    total_tokens: Number
    cost_usd: Number | None
    hypothetical_claude_cost_usd: Number | None
    savings_usd: Number | None
    unpriced_requests: int
    unmetered_requests: int
    baseline_unknown_requests: int
    uncompared_usd: Number
    compared_usd: Number | None


@dataclass(frozen=True, slots=True)
class CostSummaryRow:
    """The same over all providers; savings_percentage is of what is compared."""

    total_cost_usd: Number | None
    total_requests: int
    local_requests: int
    remote_requests: int
    estimated_savings_usd: Number | None
    hypothetical_claude_cost_usd: Number | None
    savings_percentage: float | None
    unpriced_requests: int
    unmetered_requests: int
    baseline_unknown_requests: int
    uncompared_usd: Number
    compared_usd: Number | None


@dataclass(frozen=True, slots=True)
class DailyTrendRow:
    """One day of one provider; days without requests have none."""

    day: date
    provider: str
    requests: int
    successes: int
    failures: int
    success_rate: float | None
    avg_response_time_ms: float | None
    total_tokens: Number
    cost_usd: Number | None
    hypothetical_claude_cost_usd: Number | None
    savings_usd: Number | None
    unpriced_requests: int
    unmetered_requests: int


@dataclass(frozen=True, slots=True)
class HourlyTrendRow:
    """One UTC hour of one provider; hours without requests have none."""

    hour_start: datetime
    provider: str
    requests: int
    successes: int
    failures: int
    success_rate: float | None
    avg_response_time_ms: float | None
    total_tokens: Number
    cost_usd: Number | None
    hypothetical_claude_cost_usd: Number | None
    savings_usd: Number | None
    unpriced_requests: int


@dataclass(frozen=True, slots=True)
class HealthRow:
    """All of it in one row; requests and success_rate are of the last ten minutes."""

    status: OverallStatus
    providers: int
    available_providers: int
    open_circuits: int
    requests: int
    successes: int
    success_rate: float | None
    cost_today_usd: Number | None
    savings_today_usd: Number | None
    unfolded_requests: int
    rejected_events: int
    unpriced_requests: int
    last_request_at: datetime | None


@dataclass(frozen=True, slots=True)
class CircuitRow:
    """One circuit now; reason, actor and note are of the transition into this state.

    Probes are of a half-open circuit and null otherwise; probes_out, how many are under way, also where Redis is away.
    """

    provider: str
    display_name: str
    enabled: bool
    state: EffectiveState
    is_throttled: bool
    since: datetime | None
    reason: HistoryReason | None
    actor: str | None
    note: str | None
    next_probe_at: datetime | None
    throttle_until: datetime | None
    override: Override | None
    override_by: str | None
    override_reason: str | None
    override_until: datetime | None
    success_rate: float | None
    last_error_type: str | None
    last_failure_at: datetime | None
    last_success_at: datetime | None
    probes_out: int | None = None
    probes_allowed: int | None = None
    good_probes: int | None = None
    good_probes_needed: int | None = None


@dataclass(frozen=True, slots=True)
class HalfOpenRow:
    """What a half-open circuit waits for; circuit_settings is JSON as stored."""

    provider: str
    epoch: int
    circuit_settings: str
    good_probes: int


@dataclass(frozen=True, slots=True)
class CircuitHistoryRow:
    """One state of a circuit; lasted_seconds is null while it lasts."""

    provider: str
    occurred_at: datetime
    from_state: EffectiveState
    to_state: EffectiveState
    reason: HistoryReason
    epoch: int
    version: int
    actor: str | None
    note: str | None
    calls: int | None
    bad: int | None
    slow: int | None
    cause_event_id: UUID | None
    lasted_seconds: float | None


@dataclass(frozen=True, slots=True)
class TagKeyRow:
    """A tag whose cost is kept as a sum, and the first day of which that is whole; null while it is being added."""

    tag_key: str
    whole_from: date | None
    added_at: datetime


@dataclass(frozen=True, slots=True)
class TagCostsRow:
    """Requests and cost of one value of a tag over the days asked for; null: of requests without the tag."""

    tag_value: str | None
    requests: int
    successes: int
    success_rate: float | None
    total_tokens: Number
    cost_usd: Number | None
    hypothetical_claude_cost_usd: Number | None
    savings_usd: Number | None
    unpriced_requests: int
    unmetered_requests: int


@dataclass(frozen=True, slots=True)
class UnpricedRow:
    """A model that no price covers."""

    provider: str
    model: str
    unpriced_requests: int
    last_day: date
    unpriced_since: datetime


@dataclass(frozen=True, slots=True)
class UnpricedModel(UnpricedRow):
    """A model that no price covers, and what gives it one."""

    set_price_command: str
