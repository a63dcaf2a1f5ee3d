"""Exceptions are read however they are wrapped, and a caller's own time limit is never its provider's failure."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from fuseboard_producer.call import Call
from fuseboard_producer.exceptions import read_exception


class ClientError(Exception):
    """Carry what the exceptions of clients do."""

    def __init__(self, **attributes: object) -> None:
        super().__init__()
        self.__dict__.update(attributes)


class RpcError(Exception):
    def code(self) -> object:
        return SimpleNamespace(name="RESOURCE_EXHAUSTED")


class SoftTimeLimitExceeded(Exception):  # noqa: N818 - named as Celery's is
    pass


class JobTimeoutException(Exception):  # noqa: N818 - named as RQ's is
    pass


class RetryError(Exception):
    """What tenacity raises when it gives up."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.last_attempt: Future[None] = Future()
        self.last_attempt.set_exception(error)


def wrap(error: BaseException) -> Exception:
    wrapper = ConnectionError("Connection error.")
    wrapper.__cause__ = error
    return wrapper


REFUSED = ClientError(status_code=400)


@pytest.mark.parametrize(
    ("error", "status", "http_status"),
    [
        (ExceptionGroup("group", [REFUSED]), "error", 400),
        (ExceptionGroup("group", [ExceptionGroup("inner", [REFUSED])]), "error", 400),
        # of several members the one that says most speaks, wherever it stands
        (ExceptionGroup("group", [ConnectionError(), REFUSED]), "error", 400),
        (ExceptionGroup("group", [ConnectionError(), TimeoutError()]), "timeout", None),
        (ExceptionGroup("group", [ValueError()]), "error", None),
        (wrap(wrap(REFUSED)), "error", 400),
        (wrap(TimeoutError()), "timeout", None),
        (RetryError(REFUSED), "error", 400),
        (RetryError(TimeoutError()), "timeout", None),
        (ClientError(status_code="429"), "rate_limited", 429),
        (ClientError(response=SimpleNamespace(status=503)), "error", 503),
        (ClientError(response={"ResponseMetadata": {"HTTPStatusCode": 404}}), "error", 404),
        (ClientError(status=True), "error", None),
        (RpcError(), "rate_limited", None),
        (SoftTimeLimitExceeded(), "cancelled", None),
        (type("Own", (JobTimeoutException,), {})(), "cancelled", None),
        (wrap(SoftTimeLimitExceeded()), "cancelled", None),
        (ExceptionGroup("group", [REFUSED, SoftTimeLimitExceeded()]), "cancelled", None),
        (BaseExceptionGroup("group", [REFUSED, KeyboardInterrupt()]), "cancelled", None),
    ],
)
def test_an_exception_is_read_however_it_is_wrapped(error: BaseException, status: str, http_status: int | None) -> None:
    assert read_exception(error).outcome == (status, http_status)


def test_a_circle_of_causes_ends() -> None:
    first, second = ConnectionError(), ConnectionError()
    first.__cause__, second.__cause__ = second, first

    assert read_exception(first).outcome == ("error", None)


def record_failure(fail: Callable[[], None]) -> dict[str, Any]:
    events: list[dict[str, Any]] = []
    with pytest.raises(Exception), Call(lambda **event: events.append(event), {}):  # noqa: B017, PT011 - of any kind
        fail()
    return events[0]


def test_what_was_handled_before_the_call_is_no_part_of_its_error() -> None:
    def fail() -> None:
        raise ConnectionError("the second provider is down")

    def fail_over() -> dict[str, Any]:
        try:
            raise REFUSED
        except ClientError:
            return record_failure(fail)

    event = fail_over()

    assert (event["status"], event["http_status"], event["error_type"]) == ("error", None, "ConnectionError")


@contextmanager
def handle(number: signal.Signals, handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGUSR1, signal.SIGTERM])
def test_whatever_a_signal_handler_raises_is_the_callers_own_limit(number: signal.Signals) -> None:
    def end_task(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        raise TimeoutError("the task took too long")

    def fail() -> None:
        try:
            signal.raise_signal(number)
        except Exception as error:
            # as clients do with whatever they do not know
            raise ConnectionError("Connection error.") from error

    with handle(number, end_task):
        event = record_failure(fail)

    assert (event["status"], event["error_type"]) == ("cancelled", "TimeoutError")
