"""Raw requests and rejected events, as pages of them are answered."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fuseboard_api.rows import Number
from fuseboard_consumer.decode import RejectionReason
from fuseboard_schema.event import RequestStatus


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One attempt at one provider."""

    event_id: UUID
    request_id: str | None
    attempt: int
    occurred_at: datetime
    provider: str
    model: str
    requested_model: str | None
    status: RequestStatus
    error_type: str | None
    http_status: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cache_read_tokens: int | None
    duration_seconds: Number | None
    is_fallback: bool
    original_provider: str | None
    worker_id: str | None
    tags: dict[str, str] | None
    cost_usd: Number | None
    hypothetical_claude_cost_usd: Number | None
    savings_usd: Number | None


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Newest first; next_cursor asks for what is older, also where a search found nothing so far. Null: the end."""

    requests: list[RequestRow]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """An event that was refused, raw and with the reason."""

    rejected_id: int
    reason: RejectionReason
    detail: str
    raw_text: str
    raw_bytes: int
    received_at: datetime
    replayed_at: datetime | None
    dismissed_at: datetime | None
    refusals: int


@dataclass(frozen=True, slots=True)
class RejectedPage:
    """Newest first; next_cursor asks for what is older. Null: the end."""

    rejected: list[RejectedRow]
    next_cursor: int | None


@dataclass(frozen=True, slots=True)
class FallbackRow:
    """So many requests that one provider served for another; null: the worker did not say for whom."""

    original_provider: str | None
    provider: str
    requests: int
    successes: int
    success_rate: float | None


@dataclass(frozen=True, slots=True)
class Fallbacks:
    """Who fell back from whom to whom."""

    days: int
    fallbacks: list[FallbackRow]
