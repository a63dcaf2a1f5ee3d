"""One LLM call being timed: what `Producer.request` gives."""

import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, NamedTuple, Never, Self, TypedDict, Unpack

from fuseboard_producer.retry_after import parse_retry_after
from fuseboard_schema.event import RequestFields, RequestStatus, UsageSource
from fuseboard_schema.outcome import is_known_error_type

HTTP_STATUSES: Final = range(100, 600)


class UsageFields(TypedDict, total=False):
    """The tokens of a call; prompt_tokens includes cache tokens, completion_tokens includes reasoning."""

    prompt_tokens: int | None
    completion_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    reasoning_tokens: int | None
    total_tokens: int | None
    web_searches: int | None
    usage_source: UsageSource
    service_tier: str


class CallFields(RequestFields, total=False):
    """What may be set besides: a status, where a call failed without an exception."""

    status: RequestStatus


class Outcome(NamedTuple):
    """How a call ended, in the event's terms."""

    status: RequestStatus
    http_status: int | None


class TimedCall:
    """One call to a provider while it is made: what may be said about it; nothing in here raises."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self._started = time.perf_counter()

    def set_usage(self, *unexpected: Never, **usage: Unpack[UsageFields]) -> None:
        """Set the tokens that the provider reported, by keyword."""
        self._set(unexpected, **usage)

    def set_fields(self, *unexpected: Never, **fields: Unpack[CallFields]) -> None:
        """Set any other field of the event, by keyword."""
        self._set(unexpected, **fields)

    def set_response_model(self, model: str) -> None:
        """Set the model that answered; the one that was asked for becomes requested_model."""
        self._fields.setdefault("requested_model", self._fields.get("model"))
        self._fields["model"] = model

    def mark_first_token(self) -> None:
        """Note that the first piece of a streamed answer is here; later calls change nothing."""
        self._fields.setdefault("time_to_first_token_seconds", time.perf_counter() - self._started)

    def _set(self, unexpected: tuple[object, ...], **fields: object) -> None:
        self._fields.update(fields)
        if unexpected:
            # a usage object given whole, say: the event is refused and kept instead of failing a call that succeeded
            self._fields["unexpected_arguments"] = unexpected

    def _end(self, error: BaseException | None) -> dict[str, Any]:
        """Say how the call ended; returns the fields of its event."""
        fields = self._fields
        fields.setdefault("duration_seconds", time.perf_counter() - self._started)
        if error is not None:
            outcome = classify_exception(error)
            fields["status"] = outcome.status
            fields.setdefault("error_type", name_error(error))
            fields.setdefault("http_status", outcome.http_status)
            if fields.get("retry_after_seconds") is None and outcome.status != "cancelled":
                is_rate_limited = outcome.status == "rate_limited"
                fields["retry_after_seconds"] = find_retry_after(error, is_rate_limited=is_rate_limited)
        return fields


class Call(TimedCall):
    """Time one block and record exactly one event when it is left; nothing in here raises into the block."""

    def __init__(self, record: Callable[..., None], fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self._record = record

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._record(**self._end(error))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def classify_exception(error: BaseException) -> Outcome:
    """Tell by an exception's type how a call ended; clients are recognised by their classes' names."""
    names = [kind.__name__ for kind in type(error).__mro__]
    # CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit: whoever called gave up, the provider did not fail
    if not isinstance(error, Exception) or "CancelledError" in names:
        return Outcome("cancelled", None)
    http_status = find_http_status(error)
    if http_status == HTTPStatus.TOO_MANY_REQUESTS or any("RateLimit" in name for name in names):
        return Outcome("rate_limited", http_status)
    if any("Timeout" in name for name in names):
        return Outcome("timeout", http_status)
    return Outcome("error", http_status)


def name_error(error: BaseException) -> str:
    """Name an error as its provider does, where that name says what is wrong, or else by its class.

    An exhausted quota and too many requests come in the same class and with the same HTTP status.
    """
    own = (name for name in list_own_names(error) if is_known_error_type(name))
    return next(own, type(error).__name__)


def list_own_names(error: BaseException) -> list[str]:
    """List what a provider calls an error, as the exceptions of its clients carry it; the most exact name first."""
    carriers: list[object] = [error]
    # reading from foreign objects may fail in any way; an LLM call must not
    with suppress(Exception):
        body = error.body  # type: ignore[attr-defined]
        carriers += [body["error"] if isinstance(body.get("error"), dict) else body]
    names = []
    for carrier in carriers:
        for key in ("code", "type", "status"):
            with suppress(Exception):
                value = carrier[key] if isinstance(carrier, dict) else getattr(carrier, key)
                names.append(value)
    return [name for name in names if isinstance(name, str)]


def find_http_status(error: BaseException) -> int | None:
    """Find the HTTP status that an exception of an HTTP or LLM client carries."""
    for carrier in ("status_code", "status", "response"):
        with suppress(Exception):
            value = getattr(error, carrier)
            status = value.status_code if carrier == "response" else value
            if isinstance(status, int) and status in HTTP_STATUSES:
                return int(status)
    return None


def find_retry_after(error: BaseException, *, is_rate_limited: bool) -> float | None:
    """Find the seconds that the response in an exception of an HTTP or LLM client asks to wait; None without any."""
    # reading from foreign objects may fail in any way; an LLM call must not
    with suppress(Exception):
        response = getattr(error, "response", None)
        headers = getattr(response, "headers", None) or getattr(error, "headers", None)
        body = getattr(error, "body", None) or getattr(error, "details", None)
        return parse_retry_after(headers, body, is_rate_limited=is_rate_limited)
    return None
