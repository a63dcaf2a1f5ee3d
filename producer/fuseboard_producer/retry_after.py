"""How long a provider asked us to wait, in every form that providers say it."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d*)?")
DURATION: Final = re.compile(r"([+-]?)((?:\d+(?:\.\d+)?(?:ms|[smhd]))+)")
DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
# in JSON, in JSON quoted inside JSON, and in the text of a Python dict; bounded, so that no body takes long
RETRY_DELAY: Final = re.compile(r"""["']retryDelay\\{0,8}["']\s{0,8}:\s{0,8}\\{0,8}["']([^"'\\]{1,40})""")
WEEKDAY: Final = re.compile(r"\s*(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,7}\s*", re.IGNORECASE)
HEADER_MAX_CHARACTERS: Final = 1000
RESET: Final = "x-ratelimit-reset"
REMAINING: Final = "x-ratelimit-remaining"
BODY_MAX_CHARACTERS: Final = 100_000
# more than a year is no waiting time, and no event could hold it
SECONDS_MAX: Final = 31_536_000.0
# numbers this large are times: seconds, or milliseconds, since 1970
EPOCH_SECONDS_MIN: Final = 1e9
EPOCH_MILLISECONDS_MIN: Final = 1e12


def parse_retry_after(
    headers: Mapping[str, Any] | Iterable[tuple[Any, Any]] | None,
    body: object = None,
    *,
    now: datetime | None = None,
    is_rate_limited: bool = True,
) -> float | None:
    """Parse how many seconds a response asks to wait: at least 0, at most a year; None where it does not say.

    The most exact statement counts: retry-after-ms, Retry-After (seconds or a date), retryDelay in the body (a text,
    or decoded JSON), x-ratelimit-reset-*. A date is taken against the response's own Date, or `now` where that is
    missing, never against the local clock. Pass `is_rate_limited=False` for other responses: many providers send
    x-ratelimit-reset-* with every answer, and there it asks for nothing. Headers are a mapping, or pairs; of a header
    that came twice, as of a provider and a proxy, the longest time counts.
    """
    texts = _read_headers(headers)
    sent_at = _parse_date(texts.get("date", "")) or now
    seconds = _parse_longest(texts.get("retry-after-ms", ""), lambda text: _parse_number(text, 0.001))
    if seconds is None:
        seconds = _parse_longest(texts.get("retry-after", ""), lambda text: _parse_wait(text, sent_at))
    if seconds is None and body is not None:
        seconds = _find_retry_delay(body)
    if seconds is None and is_rate_limited:
        seconds = _find_reset(texts, sent_at)
    return None if seconds is None else min(max(seconds, 0.0), SECONDS_MAX)


def parse_duration(text: str) -> float | None:
    """Parse a duration with units, such as 6ms, 52s or 1m30.5s, as seconds; None when it is none."""
    match = DURATION.fullmatch(text)
    if match is None:
        return None
    seconds = sum(float(number) * UNIT_SECONDS[unit] for number, unit in DURATION_PART.findall(match[2]))
    return -seconds if match[1] == "-" else seconds


def _read_headers(headers: Mapping[str, Any] | Iterable[tuple[Any, Any]] | None) -> dict[str, str]:
    """Read headers by their names in lower case; one that came more than once is joined, as HTTP has it."""
    texts: dict[str, str] = {}
    source: Any = headers or ()
    pairs = source.items() if hasattr(source, "items") else source
    for name, value in pairs:
        key, text = _read_text(name).lower(), _read_text(value)
        texts[key] = f"{texts[key]}, {text}" if key in texts else text
    return texts


def _read_text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_read_text, value))
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return text.strip()


def _parse_longest(text: str, parse: Callable[[str], float | None]) -> float | None:
    """Parse a header's one value, or the longest of several."""
    return max((seconds for part in _split_values(text) if (seconds := parse(part)) is not None), default=None)


def _split_values(text: str) -> Iterator[str]:
    """Split joined values; the comma after the day of a week belongs to its date."""
    weekday = ""
    for part in text[:HEADER_MAX_CHARACTERS].split(","):
        if WEEKDAY.fullmatch(part):
            weekday = f"{part},"
        else:
            yield f"{weekday}{part}".strip()
            weekday = ""


def _parse_number(text: str, unit_seconds: float = 1.0) -> float | None:
    if not NUMBER.fullmatch(text):
        return None
    number = float(text) * unit_seconds
    return number if math.isfinite(number) else math.copysign(SECONDS_MAX, number)


def _parse_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # "-0000" says that the zone is unknown; HTTP dates are UTC
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _parse_wait(text: str, sent_at: datetime | None) -> float | None:
    seconds = _parse_number(text)
    if seconds is None:
        seconds = parse_duration(text)
    if seconds is None and sent_at is not None:
        date = _parse_date(text)
        seconds = None if date is None else (date - sent_at).total_seconds()
    return seconds


def _find_retry_delay(body: object) -> float | None:
    if isinstance(body, (bytes, bytearray)):
        text = body[:BODY_MAX_CHARACTERS].decode("utf-8", "replace")
    else:
        text = body if isinstance(body, str) else json.dumps(body, default=str)
    match = RETRY_DELAY.search(text[:BODY_MAX_CHARACTERS])
    return parse_duration(match[1]) if match else None


def _find_reset(texts: dict[str, str], sent_at: datetime | None) -> float | None:
    """Find the longest reset among the limits that are used up, or among all where none is said to be."""
    resets = {
        name.removeprefix(RESET): seconds
        for name, text in texts.items()
        if name.startswith(RESET) and (seconds := _parse_reset(text, sent_at)) is not None
    }
    used_up = [seconds for limit, seconds in resets.items() if _parse_number(texts.get(REMAINING + limit, "")) == 0]
    return max(used_up or resets.values(), default=None)


def _parse_reset(text: str, sent_at: datetime | None) -> float | None:
    seconds = _parse_wait(text, sent_at)
    if seconds is None or seconds < EPOCH_SECONDS_MIN:
        return seconds
    if sent_at is None:
        return None
    return (seconds / 1000 if seconds >= EPOCH_MILLISECONDS_MIN else seconds) - sent_at.timestamp()
