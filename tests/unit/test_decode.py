import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from events import make_event
from fuseboard_consumer.decode import Decoded, decode_entries
from fuseboard_consumer.entries import Entry
from fuseboard_schema.stream import ENTRY_MAX_BYTES, ENTRY_MAX_EVENTS

NOW = datetime.now(UTC)


def decode(payload: list[Any] | str | bytes) -> Decoded:
    body = json.dumps(payload) if isinstance(payload, list) else payload
    return decode_entries([Entry("1-0", body.encode() if isinstance(body, str) else body)], NOW)


def test_good_events_keep_their_place() -> None:
    decoded = decode([make_event(model="a"), make_event(model="b")])

    assert [event.model for event in decoded.accepted.events] == ["a", "b"]
    assert decoded.accepted.origins == [("1-0", 0), ("1-0", 1)]
    assert decoded.accepted.epochs == [event.occurred_at.timestamp() for event in decoded.accepted.events]
    assert decoded.rejected == []


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (make_event(prompt_tokens=-1), "prompt_tokens"),
        (make_event(status="fine"), "status"),
        (make_event(unknown=1), "unknown"),
        (make_event(model="a\x00b"), "model"),
        (make_event(prompt_tokens=10, cache_read_tokens=11), "cache_read_tokens"),
        (make_event(tags={"team": ["x"]}), "tags.team"),
        (make_event(event_id="no id"), "event_id"),
        (make_event(version=7), "version"),
        ("text", "event"),
        (None, "event"),
    ],
)
def test_one_bad_event_is_kept_with_its_field_named_and_stops_no_neighbour(bad: object, named: str) -> None:
    decoded = decode([make_event(), bad, make_event()])

    assert [index for _, index in decoded.accepted.origins] == [0, 2]
    assert [(r.entry_index, r.reason) for r in decoded.rejected] == [(1, "invalid_event")]
    assert decoded.rejected[0].detail.startswith(named)
    assert json.loads(decoded.rejected[0].raw_text) == bad


def test_a_lone_surrogate_and_a_number_of_thousands_of_digits_spoil_only_their_event() -> None:
    good = json.dumps(make_event())
    surrogate = json.dumps(make_event(model="x")).replace('"x"', '"\\ud800"')
    digits = json.dumps(make_event(prompt_tokens=7)).replace(": 7,", f": {'9' * 5000},")

    decoded = decode(f"[{good},{surrogate},{digits},{good}]")

    assert [index for _, index in decoded.accepted.origins] == [0, 3]
    assert [rejected.entry_index for rejected in decoded.rejected] == [1, 2]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not_json"),
        (b"not json", "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        (b"{}", "not_json"),
        (b"7", "not_json"),
        (b"[" * 200_000, "not_json"),
        (b'{"a":' * 100_000, "not_json"),
        (b"[" + b"0," * 1_000_000 + b"0]", "entry_too_large"),
        (b'["' + b"x" * ENTRY_MAX_BYTES + b'"]', "entry_too_large"),
        (b"\x00" * 10_000_000, "entry_too_large"),
    ],
    ids=[
        "empty",
        "text",
        "bytes",
        "object",
        "number",
        "nest",
        "nest of objects",
        "million zeros",
        "long",
        "ten megabytes",
    ],
)
def test_a_poison_entry_is_refused_whole_with_bounded_text(payload: bytes, reason: str) -> None:
    good = Entry("2-0", json.dumps([make_event()]).encode())

    decoded = decode_entries([Entry("1-0", payload), good], NOW)

    assert [(r.entry_id, r.entry_index, r.reason) for r in decoded.rejected] == [("1-0", -1, reason)]
    assert decoded.rejected[0].raw_bytes == len(payload)
    assert len(decoded.rejected[0].raw_text) <= 4 * 65_536
    assert "\x00" not in decoded.rejected[0].raw_text
    assert decoded.accepted.origins == [("2-0", 0)]


def test_an_entry_may_hold_no_more_events_than_the_bound_once_one_is_bad() -> None:
    assert decode([0] * (ENTRY_MAX_EVENTS + 1)).rejected[0].reason == "entry_too_large"
    assert len(decode([0] * 3).rejected) == 3


@pytest.mark.parametrize(
    "occurred_at", [NOW + timedelta(days=1, minutes=1), datetime(2019, 12, 31, 23, 59, 59, tzinfo=UTC)]
)
def test_an_absurd_time_is_refused_as_such(occurred_at: datetime) -> None:
    decoded = decode([make_event(occurred_at=occurred_at), make_event(occurred_at=NOW + timedelta(hours=23))])

    assert [(r.entry_index, r.reason) for r in decoded.rejected] == [(0, "absurd_time")]
    assert "occurred_at" in decoded.rejected[0].detail
    assert len(decoded.accepted.events) == 1


def test_events_of_the_version_before_are_accepted_under_their_old_names() -> None:
    old = make_event(version=0)
    old["provider_name"] = old.pop("provider")

    assert decode([old]).accepted.events[0].provider == "claude"
