"""From a priced event to a row of the staging table. Pure."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from fuseboard_consumer.decode import Accepted
from fuseboard_schema.event import RequestEvent
from fuseboard_schema.pricing import Charge, PriceBook, Usage

STAGED_COLUMNS: Final = (
    "position",
    "event_id",
    "occurred_at_epoch",
    "request_id",
    "attempt",
    "http_status",
    "is_fallback",
    "provider",
    "model",
    "requested_model",
    "status",
    "error_type",
    "retry_after_seconds",
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "total_tokens",
    "web_searches",
    "usage_source",
    "service_tier",
    "duration_seconds",
    "time_to_first_token_seconds",
    "original_provider",
    "worker_id",
    "circuit_epoch",
    "admission",
    "lease_id",
    "tags",
    "metadata",
    "reported_cost_usd",
    "cost_usd",
    "price_id",
    "baseline_cost_usd",
    "baseline_price_id",
    "savings_usd",
)


def price_event(event: RequestEvent, book: PriceBook) -> Charge:
    """Compute what one event cost; only a success was served and has a baseline."""
    usage = Usage(
        event.prompt_tokens,
        event.completion_tokens,
        event.cache_read_tokens,
        event.cache_write_tokens,
        event.cache_write_1h_tokens,
        event.web_searches,
    )
    return book.charge(
        event.provider,
        event.model,
        event.service_tier,
        event.occurred_at,
        usage,
        served=event.status == "success",
        reported_cost_usd=event.cost_usd,
    )


def build_rows(accepted: Sequence[Accepted], book: PriceBook) -> Iterator[tuple[Any, ...]]:
    """Price each event and lay it out by STAGED_COLUMNS."""
    for position, (event, _, _) in enumerate(accepted):
        yield (
            position,
            event.event_id.hex,
            event.occurred_at.timestamp(),
            event.request_id,
            event.attempt,
            event.http_status,
            event.is_fallback,
            event.provider,
            event.model,
            event.requested_model,
            event.status,
            event.error_type,
            event.retry_after_seconds,
            event.prompt_tokens,
            event.completion_tokens,
            event.cache_read_tokens,
            event.cache_write_tokens,
            event.cache_write_1h_tokens,
            event.reasoning_tokens,
            event.total_tokens,
            event.web_searches,
            event.usage_source,
            event.service_tier,
            event.duration_seconds,
            event.time_to_first_token_seconds,
            event.original_provider,
            event.worker_id,
            event.circuit_epoch,
            event.admission,
            event.lease_id,
            _dump_json(event.tags),
            _dump_json(event.metadata),
            event.cost_usd,
            *price_event(event, book),
        )


def _dump_json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value)
