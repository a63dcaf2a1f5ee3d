"""Decoding: from stream entries to validated events, keeping what is refused with its reason (G5). Pure."""

import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import FailFast, TypeAdapter, ValidationError

from fuseboard_consumer.entries import Entry
from fuseboard_schema.event import RequestEvent
from fuseboard_schema.stream import ENTRY_MAX_BYTES, ENTRY_MAX_EVENTS
from fuseboard_schema.validation import describe_validation_error

RejectionReason = Literal[
    "not_json",
    "invalid_event",
    "entry_too_large",
    "absurd_time",
    "older_than_retention",
    "conflicting_duplicate",
    "refused_by_database",
]

# a worker's clock may be ahead, but not by more
MAX_AHEAD = timedelta(days=1)
RAW_TEXT_MAX_BYTES = 65_536
DETAIL_MAX_LENGTH = 2_000
INT_MAX_DIGITS = 1_000
WHOLE_ENTRY = -1

# the first error is enough to leave the fast path, and a bomb of a million errors costs no more than one
_EVENTS = TypeAdapter(Annotated[list[RequestEvent], FailFast()])
_EVENT = TypeAdapter(RequestEvent)


class Rejected(NamedTuple):
    """What could not be accepted: its place in the stream, why, and its bounded raw text."""

    entry_id: str
    entry_index: int
    reason: RejectionReason
    detail: str
    raw_text: str
    raw_bytes: int

    def as_ascii(self) -> "Rejected":
        """Write what is not ASCII as escapes, so that a database of any encoding holds it."""
        return self._replace(detail=_escape_text(self.detail), raw_text=_escape_text(self.raw_text))


class Accepted(NamedTuple):
    """Valid events in parallel lists: the events, when they occurred in seconds since 1970, where they came from."""

    events: list[RequestEvent]
    epochs: list[float]
    origins: list[tuple[str, int]]

    def slice(self, start: int, stop: int) -> "Accepted":
        """Take a run of the events."""
        return Accepted(self.events[start:stop], self.epochs[start:stop], self.origins[start:stop])


class Decoded(NamedTuple):
    """What a run of entries held."""

    accepted: Accepted
    rejected: list[Rejected]


def decode_entries(entries: list[Entry], now: datetime) -> Decoded:
    """Decode entries; `now` is aware and bounds how far ahead an event may be."""
    decoded = Decoded(Accepted([], [], []), [])
    latest = (now + MAX_AHEAD).timestamp()
    for entry in entries:
        try:
            _decode_entry(entry, latest, decoded)
        except Exception as error:  # noqa: BLE001 - whatever one entry does to the decoder, the others go on
            decoded.rejected.append(reject(entry.entry_id, WHOLE_ENTRY, "not_json", repr(error), entry.payload))
    return decoded


def _decode_entry(entry: Entry, latest: float, decoded: Decoded) -> None:
    if len(entry.payload) > ENTRY_MAX_BYTES:
        detail = f"entry of {len(entry.payload)} bytes: the most is {ENTRY_MAX_BYTES}"
        decoded.rejected.append(reject(entry.entry_id, WHOLE_ENTRY, "entry_too_large", detail, entry.payload))
        return
    try:
        events = _EVENTS.validate_json(entry.payload)
    except ValidationError:
        _decode_one_by_one(entry, latest, decoded)
        return
    _accept(events, [(entry.entry_id, index) for index in range(len(events))], latest, decoded)


def _decode_one_by_one(entry: Entry, latest: float, decoded: Decoded) -> None:
    """Something in the entry is bad: find out what, so that the rest is kept."""
    try:
        items = json.loads(entry.payload, parse_int=_parse_int)
    except (ValueError, RecursionError) as error:
        decoded.rejected.append(reject(entry.entry_id, WHOLE_ENTRY, "not_json", str(error), entry.payload))
        return
    if not isinstance(items, list):
        detail = f"an entry is a JSON array of events, not {type(items).__name__}"
        decoded.rejected.append(reject(entry.entry_id, WHOLE_ENTRY, "not_json", detail, entry.payload))
        return
    if len(items) > ENTRY_MAX_EVENTS:
        detail = f"entry of {len(items)} events: the most is {ENTRY_MAX_EVENTS}"
        decoded.rejected.append(reject(entry.entry_id, WHOLE_ENTRY, "entry_too_large", detail, entry.payload))
        return
    for index, item in enumerate(items):
        _decode_item(item, entry.entry_id, index, latest, decoded)


def _parse_int(digits: str) -> int | str:
    """Leave a number of thousands of digits as text: Python refuses to convert it, and then only its event is bad."""
    return int(digits) if len(digits) <= INT_MAX_DIGITS else digits


def _decode_item(item: Any, entry_id: str, index: int, latest: float, decoded: Decoded) -> None:  # noqa: ANN401 - any JSON value
    raw = json.dumps(item)
    try:
        event = _EVENT.validate_json(raw)
    except ValidationError as error:
        decoded.rejected.append(reject(entry_id, index, _classify(error), describe_error(error), raw.encode()))
        return
    _accept([event], [(entry_id, index)], latest, decoded)


def _accept(events: list[RequestEvent], origins: list[tuple[str, int]], latest: float, decoded: Decoded) -> None:
    epochs = [event.occurred_at.timestamp() for event in events]
    if epochs and max(epochs) > latest:
        for event, origin, epoch in zip(events, origins, epochs, strict=True):
            if epoch > latest:
                decoded.rejected.append(_reject_as_ahead(event, origin))
            else:
                _accept([event], [origin], latest, decoded)
        return
    decoded.accepted.events.extend(events)
    decoded.accepted.epochs.extend(epochs)
    decoded.accepted.origins.extend(origins)


def _reject_as_ahead(event: RequestEvent, origin: tuple[str, int]) -> Rejected:
    detail = f"occurred_at: {event.occurred_at.isoformat()} is more than a day ahead"
    return reject_event(event, origin, "absurd_time", detail)


def _classify(error: ValidationError) -> RejectionReason:
    too_early = any(item["loc"] == ("occurred_at",) and item["type"] == "greater_than_equal" for item in error.errors())
    return "absurd_time" if too_early and error.error_count() == 1 else "invalid_event"


def describe_error(error: ValidationError) -> str:
    """Describe what is wrong with an event, each field by its name."""
    return describe_validation_error(error, "event")


def reject_event(event: RequestEvent, origin: tuple[str, int], reason: RejectionReason, detail: str) -> Rejected:
    """Make the row for a valid event that was refused all the same."""
    return reject(*origin, reason, detail, event.model_dump_json(exclude_unset=True).encode())


def reject(entry_id: str, index: int, reason: RejectionReason, detail: str, raw: bytes) -> Rejected:
    """Make the row for something refused: raw text cut to a bound, without what PostgreSQL's text cannot hold."""
    text = raw[:RAW_TEXT_MAX_BYTES].decode("utf-8", "backslashreplace")
    return Rejected(entry_id, index, reason, _clean_text(detail[:DETAIL_MAX_LENGTH]), _clean_text(text), len(raw))


def _escape_text(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


def _clean_text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
