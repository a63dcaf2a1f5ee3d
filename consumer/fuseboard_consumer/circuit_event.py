"""What a stored event means to its provider's circuit. Pure."""

from fuseboard_consumer.circuit_state import CircuitEvent
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.event import RequestEvent
from fuseboard_schema.outcome import SUCCESS, Verdict, classify_call, is_slow


def make_circuit_event(event: RequestEvent, finished_at: float, settings: CircuitSettings) -> CircuitEvent:
    """Say what an event means to its provider's circuit; `finished_at` is its occurred_at in seconds since 1970."""
    if event.status == "success" and settings.slow_ms is None:
        # nearly every event, and each microsecond of it is paid by all
        return CircuitEvent(
            finished_at,
            event.event_id.hex,
            "success",
            event.worker_id or "",
            False,
            event.circuit_epoch or None,
            event.admission or "normal",
            None,
            finished_at - (event.duration_seconds or 0.0),
            event.lease_id,
        )
    verdict = SUCCESS if event.status == "success" else classify_event(event, settings)
    return CircuitEvent(
        finished_at,
        event.event_id.hex,
        verdict.outcome,
        event.worker_id or "",
        is_slow(event.duration_seconds, event.time_to_first_token_seconds, settings),
        event.circuit_epoch or None,
        event.admission or "normal",
        verdict.retry_after_seconds,
        finished_at - (event.duration_seconds or 0.0),
        event.lease_id,
    )


def classify_event(event: RequestEvent, settings: CircuitSettings) -> Verdict:
    """Classify an event by its stored fields."""
    return classify_call(
        event.status,
        event.error_type,
        event.http_status,
        event.retry_after_seconds,
        event.duration_seconds,
        settings=settings,
    )
