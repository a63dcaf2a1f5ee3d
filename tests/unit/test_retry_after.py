import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuseboard_producer.call import Call, find_retry_after
from fuseboard_producer.retry_after import SECONDS_MAX, parse_retry_after

# far from the local clock, which must not matter
SENT_AT = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)
SENT = format_datetime(SENT_AT, usegmt=True)
GEMINI = {
    "error": {
        "code": 429,
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "52s"}],
    }
}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"RETRY-AFTER": "1.5"}, 1.5),
        ({"retry-after": 7}, 7.0),
        ({b"retry-after".decode(): b"7"}, 7.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "999999"}, 999_999.0),
        ({"retry-after": "9" * 400}, SECONDS_MAX),
        ({"retry-after": "52s"}, 52.0),
        ({"retry-after": "Thu, 01 May 2031 12:01:30 GMT", "Date": SENT}, 90.0),
        ({"retry-after": "Thu, 01 May 2031 11:00:00 GMT", "Date": SENT}, 0.0),
        ({"retry-after": "Thu, 01 May 2031 12:01:30 GMT"}, None),
        ({"retry-after": "Thu, 01 May 2031 12:01:30 GMT", "Date": "yesterday"}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"x-ratelimit-reset-requests": "6ms"}, 0.006),
        ({"x-ratelimit-reset-tokens": "1m30s"}, 90.0),
        ({"x-ratelimit-reset-tokens": "2h0m1.5s"}, 7201.5),
        ({"x-ratelimit-reset-tokens": "2.5"}, 2.5),
        ({"x-ratelimit-reset-requests": "6ms", "x-ratelimit-reset-tokens": "1m30s"}, 90.0),
        (
            {
                "x-ratelimit-reset-requests": "6ms",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "1m30s",
                "x-ratelimit-remaining-tokens": "9000",
            },
            0.006,
        ),
        ({"retry-after": "4", "x-ratelimit-reset-tokens": "1m30s"}, 4.0),
        ({"X-RateLimit-Reset": str(int(SENT_AT.timestamp() * 1000) + 2500), "Date": SENT}, 2.5),
        ({"X-RateLimit-Reset": str(int(SENT_AT.timestamp()) + 8), "Date": SENT}, 8.0),
        ({"X-RateLimit-Reset": str(int(SENT_AT.timestamp()) + 8)}, None),
        # twice, as of a provider and a proxy: joined, as a list, or as pairs
        ({"retry-after": "30, 30"}, 30.0),
        ({"retry-after": "30,60"}, 60.0),
        ({"retry-after": "30, soon"}, 30.0),
        ({"retry-after": ["5", "30"]}, 30.0),
        ({"retry-after-ms": "1500, 250"}, 1.5),
        ([("Retry-After", "5"), ("retry-after", "30")], 30.0),
        ([(b"Retry-After", b"5"), (b"retry-after", b"30")], 30.0),
        ({"retry-after": "Thu, 01 May 2031 12:01:30 GMT, 20", "Date": SENT}, 90.0),
        ({"retry-after": "Thu, 01 May 2031 12:00:30 GMT, Thu, 01 May 2031 12:01:00 GMT", "Date": SENT}, 60.0),
        ({"retry-after": ", ,"}, None),
        ({"retry-after": "," * 100_000}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "1m 30s"}, None),
        ({"content-type": "application/json"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_headers_say_how_long_to_wait(headers: Any, seconds: float | None) -> None:  # noqa: ANN401 - as clients have them
    assert parse_retry_after(headers) == pytest.approx(seconds)


def test_a_date_is_taken_against_the_time_given_where_the_response_has_none() -> None:
    headers = {"retry-after": "Thu, 01 May 2031 12:01:30 GMT"}

    assert parse_retry_after(headers, now=SENT_AT) == 90.0
    assert parse_retry_after({**headers, "date": SENT}, now=SENT_AT - timedelta(hours=1)) == 90.0


@pytest.mark.parametrize(
    "body",
    [
        GEMINI,
        json.dumps(GEMINI),
        json.dumps(GEMINI).encode(),
        json.dumps({"message": json.dumps(GEMINI)}),
        f"429 RESOURCE_EXHAUSTED. {GEMINI}",
        [GEMINI],
    ],
)
def test_a_body_says_how_long_to_wait(body: object) -> None:
    assert parse_retry_after({}, body) == 52.0


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        "\\" * 100_000,
        "'retryDelay" + " " * 100_000,
        "",
        {},
        {"retryDelay": None},
        {"retryDelay": "soon"},
        5,
        object(),
    ],
)
def test_any_other_body_says_nothing(body: object) -> None:
    assert parse_retry_after(None, body) is None


def test_a_header_goes_before_the_body_and_the_body_before_the_reset_of_a_limit() -> None:
    assert parse_retry_after({"retry-after": "9"}, GEMINI) == 9.0
    assert parse_retry_after({"x-ratelimit-reset-tokens": "1m30s"}, GEMINI) == 52.0


def test_the_reset_of_a_limit_asks_for_nothing_when_the_limit_was_not_met() -> None:
    headers = {"x-ratelimit-reset-tokens": "1m30s"}

    assert parse_retry_after(headers, is_rate_limited=False) is None
    assert parse_retry_after({**headers, "retry-after": "3"}, is_rate_limited=False) == 3.0


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date", "x-ratelimit-reset"]), st.text()))
@settings(deadline=None)
def test_no_header_whatever_it_holds_raises_or_gives_a_wait_out_of_range(headers: dict[str, str]) -> None:
    seconds = parse_retry_after(headers)

    assert seconds is None or 0 <= seconds <= SECONDS_MAX


@given(st.integers(-(10**6), 10**6))
@settings(deadline=None)
def test_a_date_is_as_far_away_as_it_is_from_the_response(offset_seconds: int) -> None:
    headers = {"retry-after": format_datetime(SENT_AT + timedelta(seconds=offset_seconds), usegmt=True), "date": SENT}

    assert parse_retry_after(headers) == max(0, offset_seconds)


class ResponseError(Exception):
    def __init__(self, status_code: int, headers: object, body: object = None) -> None:
        super().__init__()
        self.response = SimpleNamespace(status_code=status_code, headers=headers)
        self.body = body


def record_failure(error: Exception, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    events: list[dict[str, Any]] = []
    with pytest.raises(type(error)), Call(lambda **event: events.append(event), fields or {}):
        raise error
    return events[0]


def test_a_call_that_was_rate_limited_records_how_long_to_wait() -> None:
    assert record_failure(ResponseError(429, {"retry-after": "8"}))["retry_after_seconds"] == 8.0
    assert record_failure(ResponseError(429, {}, GEMINI))["retry_after_seconds"] == 52.0
    assert record_failure(ResponseError(429, {}))["retry_after_seconds"] is None


def test_an_overloaded_provider_is_left_alone_only_when_it_asks_for_it() -> None:
    assert record_failure(ResponseError(503, {"retry-after": "8"}))["retry_after_seconds"] == 8.0
    assert record_failure(ResponseError(503, {"x-ratelimit-reset-tokens": "8s"}))["retry_after_seconds"] is None


def test_what_a_caller_set_is_kept() -> None:
    fields = {"provider": "p", "model": "m", "retry_after_seconds": 2.0}

    assert record_failure(ResponseError(429, {"retry-after": "8"}), fields)["retry_after_seconds"] == 2.0


def test_odd_headers_do_not_disturb_the_call() -> None:
    assert find_retry_after(ResponseError(429, "no mapping"), is_rate_limited=True) is None
    assert find_retry_after(ValueError(), is_rate_limited=True) is None
