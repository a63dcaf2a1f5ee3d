"""From recorded fields to the bytes of stream entries: one event's rules, one place."""

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter, ValidationError

from fuseboard_schema.event import EVENT_VERSION, RequestEvent
from fuseboard_schema.identifiers import make_event_id
from fuseboard_schema.mending import locate_error
from fuseboard_schema.stream import FLUSH_MAX_BYTES

REQUEST_EVENT: Final = TypeAdapter(RequestEvent)
RAW_EVENT_MAX_BYTES: Final = 64_000
INT64_MAX: Final = 2**63 - 1


class Encoded(NamedTuple):
    """One event as JSON; `refusal` says which field broke which rule, None for a good event."""

    json: bytes
    refusal: str | None = None


class Entry(NamedTuple):
    """What becomes one stream entry: a JSON array of events."""

    payload: bytes
    events: int


def encode_event(fields: dict[str, Any], worker_id: str) -> Encoded:
    """Make an event of frozen fields, with an id, a time and a worker where they are missing.

    What the event's rules refuse is encoded as it came, so that the consumer can keep it with the reason.
    """
    fields.setdefault("worker_id", worker_id)
    if "event_id" not in fields:
        fields["event_id"] = _make_id(fields.get("occurred_at", fields.get("timestamp")))
    try:
        event = REQUEST_EVENT.validate_python(fields)
        compact = REQUEST_EVENT.dump_json(event, exclude_defaults=True, exclude={"version"})
    except ValidationError as error:
        return Encoded(_encode_raw(fields), _describe_first(error))
    # said even where it is the default: a spooled event may be sent and read by later versions
    return Encoded(b'{"version":%d,%s' % (event.version, compact[1:]))


def pack_entries(encoded: Iterable[bytes], max_events: int) -> Iterator[Entry]:
    """Join events into entries of at most `max_events` events and FLUSH_MAX_BYTES bytes, in order."""
    batch: list[bytes] = []
    size = 2
    for event in encoded:
        if batch and (len(batch) == max_events or size + len(event) + 1 > FLUSH_MAX_BYTES):
            yield join_events(batch)
            batch, size = [], 2
        batch.append(event)
        size += len(event) + 1
    if batch:
        yield join_events(batch)


def join_events(events: list[bytes]) -> Entry:
    """Make one entry of these events."""
    return Entry(b"[" + b",".join(events) + b"]", len(events))


def _make_id(occurred_at: object) -> str:
    if isinstance(occurred_at, datetime):
        # a time that no clock shows is refused by the event's rules next
        with suppress(ValueError, OverflowError, OSError):
            return make_event_id(occurred_at)
    return make_event_id(datetime.now(UTC))


def _describe_first(error: ValidationError) -> str:
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        place = locate_error(item["loc"])
        if place is not None:
            return f"{place[:80]}: {item['msg'][:200]}"
    return "event: refused"


def _encode_raw(fields: dict[str, Any]) -> bytes:
    """Encode strictly valid JSON of bounded size: an entry with one odd event must stay readable."""
    plain = {str(name): _make_plain(value) for name, value in fields.items()}
    # no reader accepts half a surrogate pair
    raw = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    if len(raw) <= RAW_EVENT_MAX_BYTES:
        return raw
    cut = raw[: RAW_EVENT_MAX_BYTES // 2].decode("utf-8", "ignore")
    known = {name: plain[name] for name in ("event_id", "occurred_at") if name in plain}
    return json.dumps({"version": EVENT_VERSION, **known, "oversized_event": cut}).encode()


def _make_plain(value: Any) -> Any:  # noqa: ANN401 - whatever a caller passed
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, dict):
        return {str(key): _make_plain(item) for key, item in value.items()}
    if isinstance(value, int):
        return value if abs(value) <= INT64_MAX else f"<integer of {value.bit_length()} bits>"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
