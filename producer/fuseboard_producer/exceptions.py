"""What the exceptions of HTTP and LLM clients say about a call, however deep they are wrapped.

Clients are known by the names and attributes of their exceptions: none of them is imported here. Reading from foreign
objects may fail in any way, which must never fail an LLM call.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from types import CodeType
from typing import Any, Final, NamedTuple

from fuseboard_producer.retry_after import parse_retry_after
from fuseboard_schema.event import RequestStatus
from fuseboard_schema.outcome import is_callers_limit, is_known_error_type

HTTP_STATUSES: Final = range(100, 600)
# what is wrapped deeper, or in larger groups, is not looked at
RELATED_MAX: Final = 32
# attributes in which retriers and SDKs keep the exception that they wrap
WRAPPED_IN: Final = ("cause", "reason", "inner_exception", "original_exception", "original_error", "last_exception")
# signals whose handlers end a task that takes too long, or a process
ENDING_SIGNALS: Final = tuple(
    number
    for name in ("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT", "SIGHUP", "SIGXCPU")
    if (number := getattr(signal, name, None)) is not None
)
_THROTTLED_CODES: Final = frozenset({"resource_exhausted", "throttlingexception", "too_many_requests"})


class Outcome(NamedTuple):
    """How a call ended, in the event's terms."""

    status: RequestStatus
    http_status: int | None


class Told(NamedTuple):
    """What an exception tells of a call; retry_after_seconds is None where it names no time."""

    outcome: Outcome
    error_type: str
    retry_after_seconds: float | None


def read_exception(error: BaseException, handled_id: int | None = None) -> Told:
    """Read what an exception, or the one inside it that says most, tells of a call.

    What was being handled when the call began, by its id, is no part of the call's own exception.
    """
    related = list_related(error, handled_id)
    given_up = next(filter(_is_given_up, _list_leaves(error)), None) or next(filter(_is_limit, related), None)
    if given_up is not None:
        return Told(Outcome("cancelled", None), type(given_up).__name__, None)
    # the first of those that say equally much: the outermost
    telling = min(related, key=_rank)
    outcome = _classify(telling)
    own = (name for name in list_own_names(telling) if is_known_error_type(name))
    retry_after = next(_parse_retry_afters(related, is_rate_limited=outcome.status == "rate_limited"), None)
    return Told(outcome, next(own, type(telling).__name__), retry_after)


def classify_exception(error: BaseException) -> Outcome:
    """Tell how a call ended that an exception left."""
    return read_exception(error).outcome


def name_error(error: BaseException) -> str:
    """Name an error as its provider does, where that name says what is wrong, or else by its class."""
    return read_exception(error).error_type


def find_retry_after(error: BaseException, *, is_rate_limited: bool) -> float | None:
    """Find the seconds that the response in an exception of an HTTP or LLM client asks to wait; None without any."""
    return next(_parse_retry_afters(list_related(error), is_rate_limited=is_rate_limited), None)


def find_http_status(error: BaseException) -> int | None:
    """Find the HTTP status that an exception of an HTTP or LLM client carries by itself."""
    for read in _STATUS_PLACES:
        with suppress(Exception):
            value = read(error)
            if isinstance(value, int | str) and int(value) in HTTP_STATUSES:
                return int(value)
    return None


def list_own_names(error: BaseException) -> list[str]:
    """List what a provider calls an error, as the exceptions of its clients carry it; the most exact name first.

    An exhausted quota and too many requests come in the same class and with the same HTTP status.
    """
    carriers: list[object] = [error]
    with suppress(Exception):
        body = error.body  # type: ignore[attr-defined]
        carriers += [body["error"] if isinstance(body.get("error"), dict) else body]
    names: list[object] = []
    for carrier in carriers:
        for key in ("code", "type", "status"):
            with suppress(Exception):
                names.append(carrier[key] if isinstance(carrier, dict) else getattr(carrier, key))
    for read in _NAME_PLACES:
        with suppress(Exception):
            names.append(read(error))
    return [name for name in names if isinstance(name, str)]


def list_related(error: BaseException, handled_id: int | None = None) -> list[BaseException]:
    """List an exception and what it wraps, the outermost first: members of a group, causes, a retrier's last try."""
    related: list[BaseException] = []
    waiting = [error]
    while waiting and len(related) < RELATED_MAX:
        one = waiting.pop(0)
        if id(one) != handled_id and not any(one is known for known in related):
            related.append(one)
            waiting[:0] = _list_inside(one)
    return related


def _list_inside(error: BaseException) -> list[BaseException]:
    """List what one exception wraps; what was raised while another one was handled wraps that, as Python has it."""
    inside: list[object] = []
    if isinstance(error, BaseExceptionGroup):
        inside += error.exceptions
    with suppress(Exception):
        last = error.last_attempt  # type: ignore[attr-defined] # tenacity's, a future that is done
        inside.append(last.exception() if last.done() else None)
    for name in WRAPPED_IN:
        with suppress(Exception):
            inside.append(getattr(error, name))
    inside.append(error.__cause__)
    if not error.__suppress_context__:
        inside.append(error.__context__)
    return [one for one in inside if isinstance(one, BaseException)]


def _list_leaves(error: BaseException, depth: int = 8) -> list[BaseException]:
    """List the exception itself, or for a group its members: a group has no kind of its own."""
    if not isinstance(error, BaseExceptionGroup) or not depth:
        return [error]
    return [leaf for member in error.exceptions[:RELATED_MAX] for leaf in _list_leaves(member, depth - 1)]


def _is_given_up(error: BaseException) -> bool:
    """Tell CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit: whoever called gave up."""
    return not isinstance(error, Exception) or "CancelledError" in _list_class_names(error)


def _is_limit(error: BaseException) -> bool:
    """Tell a time limit of the caller's own: by its name, or because a signal's handler raised it."""
    return any(map(is_callers_limit, _list_class_names(error))) or _was_raised_by_signal(error)


def _was_raised_by_signal(error: BaseException) -> bool:
    traceback, codes = error.__traceback__, None
    while traceback is not None:
        codes = _list_handler_codes() if codes is None else codes
        if traceback.tb_frame.f_code in codes:
            return True
        traceback = traceback.tb_next
    return False


def _list_handler_codes() -> set[CodeType]:
    """List the code of the handlers that Python's signals have now."""
    codes = set()
    for number in ENDING_SIGNALS:
        handler: Any = signal.getsignal(number)
        while isinstance(handler, partial):
            handler = handler.func
        function = handler if hasattr(handler, "__code__") else getattr(handler, "__func__", None)
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            codes.add(code)
    return codes


def _rank(error: BaseException) -> int:
    """Rank by how much an exception says: its provider's word, a kind known by its class, anything, nothing at all."""
    names = _list_class_names(error)
    if find_http_status(error) is not None or any(map(is_known_error_type, list_own_names(error))):
        return 0
    if any("RateLimit" in name or "Timeout" in name for name in names):
        return 1
    return 3 if isinstance(error, BaseExceptionGroup) or "RetryError" in names else 2


def _classify(error: BaseException) -> Outcome:
    names, http_status = _list_class_names(error), find_http_status(error)
    codes = {name.lower() for name in list_own_names(error)} if http_status is None else set()
    if (
        http_status == HTTPStatus.TOO_MANY_REQUESTS
        or any("RateLimit" in name for name in names)
        or codes & _THROTTLED_CODES
    ):
        return Outcome("rate_limited", http_status)
    if any("Timeout" in name for name in names):
        return Outcome("timeout", http_status)
    return Outcome("error", http_status)


def _parse_retry_afters(related: list[BaseException], *, is_rate_limited: bool) -> Iterator[float]:
    for error in related:
        with suppress(Exception):
            headers = next(filter(None, (_try(read, error) for read in _HEADER_PLACES)), None)
            body = getattr(error, "body", None) or getattr(error, "details", None)
            seconds = parse_retry_after(headers, body, is_rate_limited=is_rate_limited)
            if seconds is not None:
                yield seconds


def _try(read: Callable[[Any], Any], error: BaseException) -> Any:  # noqa: ANN401 - whatever a foreign object has
    with suppress(Exception):
        return read(error)
    return None


def _list_class_names(error: BaseException) -> list[str]:
    return [kind.__name__ for kind in type(error).__mro__]


def _read_code_name(error: Any) -> object:  # noqa: ANN401 - a foreign object
    """Read the name of gRPC's status; asked only of what says that it is gRPC's."""
    return error.code().name if "RpcError" in _list_class_names(error) else None


# where clients keep it: openai, anthropic; aiohttp; google's, urllib; older ones; httpx, requests; urllib3; botocore
_STATUS_PLACES: Final[tuple[Callable[[Any], object], ...]] = (
    lambda error: error.status_code,
    lambda error: error.status,
    lambda error: error.code,
    lambda error: error.http_status,
    lambda error: error.response.status_code,
    lambda error: error.response.status,
    lambda error: error.response["ResponseMetadata"]["HTTPStatusCode"],
)
_NAME_PLACES: Final[tuple[Callable[[Any], object], ...]] = (
    lambda error: error.response["Error"]["Code"],
    lambda error: error.grpc_status_code.name,
    _read_code_name,
)
_HEADER_PLACES: Final[tuple[Callable[[Any], Any], ...]] = (
    lambda error: error.response.headers,
    lambda error: error.headers,
    lambda error: error.raw_response.headers,
    lambda error: error.response["ResponseMetadata"]["HTTPHeaders"],
)
