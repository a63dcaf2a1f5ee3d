"""One LLM call being timed: what `Producer.request` gives."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Never, Self, TypedDict, Unpack

from fuseboard_producer.exceptions import classify_exception, find_retry_after, name_error, read_exception
from fuseboard_schema.event import RequestFields, RequestStatus, UsageSource

# a call is told by its exception: whoever writes a client's glue finds that here as well
__all__ = ["Call", "CallFields", "TimedCall", "UsageFields", "classify_exception", "find_retry_after", "name_error"]


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


class TimedCall:
    """One call to a provider while it is made: what may be said about it; nothing in here raises."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self._started = time.perf_counter()
        # what is being handled now is no part of this call's own exception
        handled = sys.exception()
        self._handled_id = None if handled is None else id(handled)

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
            told = read_exception(error, self._handled_id)
            fields["status"] = told.outcome.status
            fields.setdefault("error_type", told.error_type)
            fields.setdefault("http_status", told.outcome.http_status)
            if fields.get("retry_after_seconds") is None:
                fields["retry_after_seconds"] = told.retry_after_seconds
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
