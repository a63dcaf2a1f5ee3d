"""A timed call records one event, whatever happened in it, and lets every exception through."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import CancelledError as FutureCancelledError
from types import SimpleNamespace
from typing import Any

import pytest

from fuseboard_producer.call import Call, classify_exception


class APITimeoutError(Exception):
    pass


class ReadTimeout(Exception):  # noqa: N818 - named as an HTTP client's is
    pass


class RateLimitError(Exception):
    pass


class APIStatusError(Exception):
    def __init__(self, status_code: object) -> None:
        super().__init__()
        self.status_code = status_code


class ResponseError(Exception):
    def __init__(self, status_code: int) -> None:
        super().__init__()
        self.response = SimpleNamespace(status_code=status_code)


class HostileError(Exception):
    @property
    def status_code(self) -> int:
        raise RuntimeError("no status")


class Recorder:
    """Stand for `Producer.record`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, **fields: Any) -> None:  # noqa: ANN401 - any field
        self.events.append(fields)

    def request(self, **fields: Any) -> Call:  # noqa: ANN401 - any field
        return Call(self, {"provider": "claude", "model": "m", **fields})


@pytest.mark.parametrize(
    ("error", "status", "http_status"),
    [
        (TimeoutError(), "timeout", None),
        (socket.timeout(), "timeout", None),  # noqa: UP041 - the old name, as old clients raise it
        (APITimeoutError(), "timeout", None),
        (type("Deep", (ReadTimeout,), {})(), "timeout", None),
        (asyncio.CancelledError(), "cancelled", None),
        (FutureCancelledError(), "cancelled", None),
        (GeneratorExit(), "cancelled", None),
        (KeyboardInterrupt(), "cancelled", None),
        (SystemExit(130), "cancelled", None),
        (RateLimitError(), "rate_limited", None),
        (APIStatusError(429), "rate_limited", 429),
        (ResponseError(429), "rate_limited", 429),
        (ResponseError(503), "error", 503),
        (APIStatusError(200), "error", 200),
        (APIStatusError("teapot"), "error", None),
        (APIStatusError(7), "error", None),
        (HostileError(), "error", None),
        (ValueError(), "error", None),
        (ConnectionResetError(), "error", None),
    ],
)
def test_an_exception_is_told_by_its_type(error: BaseException, status: str, http_status: int | None) -> None:
    assert classify_exception(error) == (status, http_status)


def test_a_call_records_duration_and_usage() -> None:
    record = Recorder()

    with record.request(request_id="r") as call:
        call.mark_first_token()
        call.mark_first_token()
        call.set_usage(prompt_tokens=10, completion_tokens=2)
        call.set_response_model("m-2026")
        call.set_fields(http_status=200)

    (event,) = record.events
    assert event.pop("duration_seconds") >= event.pop("time_to_first_token_seconds") >= 0
    assert event == {
        "provider": "claude",
        "model": "m-2026",
        "requested_model": "m",
        "request_id": "r",
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "http_status": 200,
    }


def test_an_exception_is_recorded_and_goes_on_unchanged() -> None:
    record = Recorder()
    error = APIStatusError(500)

    with pytest.raises(APIStatusError) as caught, record.request():
        raise error

    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    (event,) = record.events
    assert (event["status"], event["error_type"], event["http_status"]) == ("error", "APIStatusError", 500)


def test_a_caller_may_tell_a_failure_that_raised_nothing() -> None:
    record = Recorder()

    with record.request() as call:
        call.set_fields(status="error", error_type="empty_answer")

    assert record.events[0]["status"] == "error"


def test_a_usage_object_given_whole_does_not_break_the_call() -> None:
    record = Recorder()

    with record.request() as call:
        call.set_usage({"prompt_tokens": 5})  # type: ignore[arg-type]

    assert record.events[0]["unexpected_arguments"] == ({"prompt_tokens": 5},)


async def test_a_cancelled_task_is_recorded_as_such() -> None:
    record = Recorder()

    async def call_provider() -> None:
        async with record.request():
            await asyncio.sleep(60)

    task = asyncio.create_task(call_provider())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [event["status"] for event in record.events] == ["cancelled"]


async def test_a_timeout_of_asyncio_is_a_timeout() -> None:
    record = Recorder()

    async def call_provider() -> None:
        async with record.request(), asyncio.timeout(0.001):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await call_provider()

    assert [event["status"] for event in record.events] == ["timeout"]


def test_a_stream_that_is_not_read_to_its_end_is_cancelled() -> None:
    record = Recorder()

    def stream() -> Generator[int, None, None]:
        with record.request():
            yield from range(10)

    unread = stream()
    next(unread)
    unread.close()

    assert [event["status"] for event in record.events] == ["cancelled"]


async def test_an_async_stream_that_is_not_read_to_its_end_is_cancelled() -> None:
    record = Recorder()

    async def stream() -> AsyncGenerator[int, None]:
        async with record.request():
            for number in range(10):
                yield number

    unread = stream()
    await anext(unread)
    await unread.aclose()

    assert [event["status"] for event in record.events] == ["cancelled"]


class ClientError(Exception):
    """Carry what the exceptions of OpenAI's, Anthropic's and Google's clients do."""

    def __init__(self, **attributes: object) -> None:
        super().__init__()
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (ClientError(status_code=429, code="insufficient_quota", type="insufficient_quota"), "insufficient_quota"),
        (ClientError(status_code=429, code="rate_limit_exceeded", type="tokens"), "rate_limit_exceeded"),
        (ClientError(status_code=400, code="context_length_exceeded"), "context_length_exceeded"),
        (ClientError(body={"type": "error", "error": {"type": "overloaded_error"}}), "overloaded_error"),
        (ClientError(body={"code": "billing_hard_limit_reached"}), "billing_hard_limit_reached"),
        (ClientError(code=429, status="RESOURCE_EXHAUSTED"), "RESOURCE_EXHAUSTED"),
        # a name that says nothing by itself is left to the status
        (ClientError(status_code=400, code="something_of_theirs", type="invalid_request_error"), "ClientError"),
        (ClientError(body="not JSON", code=None), "ClientError"),
        (HostileError(), "HostileError"),
    ],
)
def test_an_error_has_its_providers_name_where_that_decides(error: Exception, error_type: str) -> None:
    record = Recorder()

    with pytest.raises(type(error)), record.request():
        raise error

    assert record.events[0]["error_type"] == error_type
