from datetime import UTC, datetime
from typing import Any

import pytest

from events import make_event
from fuseboard_consumer.circuit_event import make_circuit_event
from fuseboard_consumer.circuit_state import CircuitEvent
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.event import RequestEvent
from fuseboard_schema.outcome import QUOTA_RETRY_AFTER_SECONDS, Verdict, classify_call, is_slow

DEFAULT = CircuitSettings()
LOCAL = CircuitSettings(min_timeout_for_failure_s=30)

# status, error type, HTTP status, duration -> outcome
CASES: list[tuple[str, str | None, int | None, float | None, str]] = [
    ("success", None, None, 1.0, "success"),
    ("success", None, 200, 1.0, "success"),
    ("cancelled", None, None, 90.0, "neutral"),
    ("cancelled", "CancelledError", 500, 90.0, "neutral"),
    # the provider is down, or says so
    *[("error", None, code, 1.0, "failure") for code in (500, 502, 503, 504, 520, 524, 529)],
    ("error", "InternalServerError", 500, 1.0, "failure"),
    ("error", "overloaded_error", None, 1.0, "failure"),
    ("error", "anthropic.OverloadedError", 529, 1.0, "failure"),
    ("rate_limited", "overloaded_error", 529, 1.0, "failure"),
    ("rate_limited", None, 503, 1.0, "failure"),
    *[
        ("error", name, None, 0.1, "failure")
        for name in ("ConnectError", "APIConnectionError", "ConnectionResetError", "SSLError", "gaierror")
    ],
    ("timeout", "ConnectTimeout", None, 1.0, "failure"),
    ("error", "RemoteProtocolError", 200, 9.0, "failure"),
    ("error", "JSONDecodeError", 200, 2.0, "failure"),
    ("error", "ValidationError", 200, 2.0, "failure"),
    ("error", None, None, None, "failure"),
    ("error", "SomethingNew", None, 1.0, "failure"),
    # a timeout is the provider's when it had its time
    ("timeout", None, None, 5.0, "failure"),
    ("timeout", "ReadTimeout", None, 60.0, "failure"),
    ("timeout", "ReadTimeout", 200, 60.0, "failure"),
    ("error", "APITimeoutError", None, 60.0, "failure"),
    ("timeout", None, 504, 0.5, "failure"),
    ("timeout", "ReadTimeout", None, 4.999, "neutral"),
    ("timeout", None, None, None, "neutral"),
    ("timeout", "PoolTimeout", None, 60.0, "neutral"),
    ("timeout", None, 408, 60.0, "neutral"),
    # too many requests, or no money left
    ("rate_limited", None, None, 0.1, "throttle"),
    ("error", None, 429, 0.1, "throttle"),
    ("error", "rate_limit_error", None, 0.1, "throttle"),
    ("error", "RESOURCE_EXHAUSTED", 429, 0.1, "throttle"),
    ("rate_limited", "rateLimitExceeded", 403, 0.1, "throttle"),
    ("rate_limited", "insufficient_quota", 429, 0.1, "quota"),
    ("error", "insufficient_quota", 400, 0.1, "quota"),
    ("error", "billing_error", None, 0.1, "quota"),
    ("error", None, 402, 0.1, "quota"),
    # our credential
    ("error", None, 401, 0.1, "fatal"),
    ("error", None, 403, 0.1, "fatal"),
    ("error", "AuthenticationError", None, 0.1, "fatal"),
    ("error", "invalid_request_error", 401, 0.1, "fatal"),
    ("error", "invalid_api_key", 400, 0.1, "fatal"),
    ("error", "caller_credential", 401, 0.1, "neutral"),
    # the request itself
    *[("error", None, code, 0.1, "neutral") for code in (301, 400, 404, 405, 408, 409, 413, 422, 451)],
    ("error", "model_not_found", 404, 0.1, "neutral"),
    ("error", "context_length_exceeded", 500, 0.1, "neutral"),
    ("error", "ContentPolicyViolationError", None, 0.1, "neutral"),
    ("error", "InvalidURL", None, 0.1, "neutral"),
    ("error", "TypeError", None, 0.1, "neutral"),
    ("error", "NoProviderAvailable", None, 0.1, "neutral"),
]


@pytest.mark.parametrize(("status", "error_type", "http_status", "duration", "expected"), CASES)
def test_a_call_is_classified_by_its_stored_fields(
    status: Any,  # noqa: ANN401 - one of the statuses
    error_type: str | None,
    http_status: int | None,
    duration: float | None,
    expected: Any,  # noqa: ANN401 - an outcome, or quota
) -> None:
    verdict = classify_call(status, error_type, http_status, None, duration, settings=DEFAULT)

    quota = Verdict("throttle", QUOTA_RETRY_AFTER_SECONDS)
    assert verdict == (quota if expected == "quota" else Verdict(expected))


def test_how_long_a_timeout_must_be_is_the_providers_setting() -> None:
    assert classify_call("timeout", None, None, None, 29.9, settings=LOCAL) == Verdict("neutral")
    assert classify_call("timeout", None, None, None, 30.0, settings=LOCAL) == Verdict("failure")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (("rate_limited", None, 429), Verdict("throttle", 17.5)),
        (("error", "insufficient_quota", 429), Verdict("throttle", 17.5)),
        (("error", None, 503), Verdict("failure", 17.5)),
        (("error", None, 401), Verdict("fatal")),
        (("error", None, 400), Verdict("neutral")),
        (("success", None, 200), Verdict("success")),
    ],
)
def test_a_hint_is_kept_where_it_sets_a_deadline(fields: tuple[Any, Any, Any], expected: Verdict) -> None:
    assert classify_call(*fields, 17.5, 1.0, settings=DEFAULT) == expected


@pytest.mark.parametrize(
    ("duration", "first_token", "slow_ms", "expected"),
    [
        (9.0, None, None, False),
        (4.0, None, 4000, False),
        (4.001, None, 4000, True),
        (60.0, 0.5, 4000, False),
        (60.0, 4.1, 4000, True),
        (None, None, 0, False),
        (4.0001, None, 4000.1, False),
    ],
)
def test_slow_is_longer_than_the_bound_to_the_first_token_or_else_to_the_end(
    duration: float | None, first_token: float | None, slow_ms: float | None, expected: bool
) -> None:
    settings = CircuitSettings(slow_ms=slow_ms)

    assert is_slow(duration, first_token, settings) is expected


def test_an_event_becomes_what_its_circuit_needs() -> None:
    at = datetime(2026, 11, 23, 12, 0, 1, 250_000, tzinfo=UTC)
    fields = make_event(
        occurred_at=at,
        status="error",
        http_status=503,
        retry_after_seconds=2,
        duration_seconds=1.5,
        worker_id="w1",
        circuit_epoch=4,
        admission="probe",
        lease_id="lease",
    )
    event = RequestEvent.model_validate(fields)

    made = make_circuit_event(event, at.timestamp(), CircuitSettings(slow_ms=1000))

    assert made == CircuitEvent(
        at.timestamp(), event.event_id.hex, "failure", "w1", True, 4, "probe", 2.0, at.timestamp() - 1.5, "lease"
    )


def test_an_epoch_of_nought_says_that_the_worker_saw_no_state() -> None:
    event = RequestEvent.model_validate(make_event(circuit_epoch=0))

    made = make_circuit_event(event, event.occurred_at.timestamp(), DEFAULT)

    assert (made.epoch, made.worker_id, made.admission) == (None, "", "normal")
