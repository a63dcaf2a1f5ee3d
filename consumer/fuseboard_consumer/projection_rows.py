"""What workers are told of a provider, put into words: from its rows to the parts of a publication. Pure."""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from fuseboard_consumer.durations import estimate_percentile
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.pricing import EXACT, STANDARD_TIER, PriceBook

HEALTH_SECONDS: Final = 600
# a price for any model is one that its pattern's own text finds
ANY_MODEL: Final = "*"
# what scripts and workers go by, so that an operator's setting holds without a restart of them
TOLD_SETTINGS: Final = (
    "ramp_s",
    "half_open_max_probes",
    "probe_lease_ttl_s",
    "retry_after_cap_s",
    "throttle_default_s",
    "min_timeout_for_failure_s",
)

Json = dict[str, Any]


class ModelPart(BaseModel):
    """An entry of llm_providers.models: what a provider has for one requested model, None where that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    context_tokens: Annotated[int, Field(ge=1, le=1_000_000_000_000)] | None = None
    capabilities: list[str] = []


class ProjectionRow(NamedTuple):
    """A provider's registration and health; _ms is what is left of a deadline, negative once it has passed."""

    provider: str
    enabled: bool
    provider_type: Literal["local", "remote"]
    priority: int
    weight: float | None
    context_tokens: int | None
    capabilities: list[str]
    models: Mapping[str, ModelPart]
    circuit_settings: CircuitSettings
    revision: int
    version: int
    state: Literal["closed", "open"]
    epoch: int
    override: Literal["forced_open", "disabled"] | None
    throttle_reset_revision: int
    open_ms: float | None
    throttle_ms: float | None
    rolling_minutes: dict[str, list[int]]
    rolling_durations: dict[str, dict[str, int]]
    clock: datetime


class DayUsage(NamedTuple):
    """A provider's successes of yesterday and today; the histogram is of their durations, element 0 is bucket 0."""

    provider: str
    successes: int
    completion_tokens: Decimal
    duration_histogram: list[int]


class Publication(NamedTuple):
    """The arguments of publish.lua for one provider; circuit, health and settings are parts of a JSON object's text."""

    provider: str
    revision: int
    open_ms: float | None
    throttle_ms: float | None
    throttle_reset_revision: int
    circuit: str
    health: str
    settings: str


def compose_publication(row: ProjectionRow, day: DayUsage | None, book: PriceBook) -> Publication:
    """Compose what is published of a provider, with the prices in force at the row's clock."""
    circuit = {"v": row.version, "st": row.state, "ep": row.epoch, "ov": row.override}
    settings = {
        "enabled": row.enabled,
        "provider_type": row.provider_type,
        "priority": row.priority,
        "weight": row.weight,
        "context_tokens": row.context_tokens,
        "capabilities": row.capabilities,
        **_find_rates(row, ANY_MODEL, book),
        "models": {
            name: {**part.model_dump(), **_find_rates(row, part.model or name, book)}
            for name, part in row.models.items()
        },
        **{name: getattr(row.circuit_settings, name) for name in TOLD_SETTINGS},
    }
    return Publication(
        row.provider,
        row.revision,
        row.open_ms if row.state == "open" else None,
        row.throttle_ms if row.throttle_ms and row.throttle_ms > 0 else None,
        row.throttle_reset_revision,
        _write_json(circuit)[1:-1],
        f'"h":{_write_json(summarize_health(row, day))}',
        f'"c":{_write_json(settings)}',
    )


def summarize_health(row: ProjectionRow, day: DayUsage | None) -> Json:
    """Summarise the last ten minutes and, where that is too little, yesterday and today; None is not known."""
    since = row.clock.timestamp() - HEALTH_SECONDS
    minutes = [counts for minute, counts in row.rolling_minutes.items() if int(minute) > since]
    durations = {minute: buckets for minute, buckets in row.rolling_durations.items() if int(minute) > since}
    figures = {
        "n": sum(counts[0] for counts in minutes),
        "ok": sum(counts[1] for counts in minutes),
        "p50_ms": _estimate_ms(durations, 0.5),
        "p95_ms": _estimate_ms(durations, 0.95),
    }
    if day is None or not day.successes:
        return figures
    buckets = {str(bucket): count for bucket, count in enumerate(day.duration_histogram)}
    return figures | {
        "ok_24h": day.successes,
        "p50_24h_ms": _estimate_ms({"day": buckets}, 0.5),
        "mean_output_tokens": round(float(day.completion_tokens) / day.successes, 1),
    }


def _find_rates(row: ProjectionRow, model: str, book: PriceBook) -> Json:
    """Find USD per token of the standard tier as texts, which keep every digit; the empty dict without a price."""
    price = book.find_price(row.provider, model, STANDARD_TIER, row.clock, None)
    if price is None:
        return {}
    names = ("input_usd_per_token", "output_usd_per_token", "cache_read_usd_per_token")
    rates = {name: getattr(price, name) for name in names}
    return {name: f"{EXACT.multiply(rate, price.multiplier):f}" for name, rate in rates.items() if rate is not None}


def _estimate_ms(durations: Mapping[str, Mapping[str, int]], fraction: float) -> float | None:
    seconds = estimate_percentile(durations, fraction)
    return None if seconds is None else round(seconds * 1000, 1)


def _write_json(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
