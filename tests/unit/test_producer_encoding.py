"""What leaves the buffer becomes bounded, strictly valid JSON that the event's rules accept again."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter

from fuseboard_producer.encoding import RAW_EVENT_MAX_BYTES, Encoded, Entry, encode_event, pack_entries
from fuseboard_producer.freezing import freeze_fields
from fuseboard_schema.event import RequestEvent
from fuseboard_schema.stream import FLUSH_MAX_BYTES

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Number:
    """A number of a library that is no int, as numpy's are."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __float__(self) -> float:
        return self._value


class Index(Number):
    def __index__(self) -> int:
        return int(self._value)


def encode(**fields: Any) -> Encoded:  # noqa: ANN401 - any field
    return encode_event(freeze_fields({"provider": "claude", "model": "m", "status": "success", **fields}), "host:1")


def decode_strictly(text: bytes) -> dict[str, Any]:
    """Decode as strictly as any reader might."""
    decoded: dict[str, Any] = TypeAdapter(dict[str, Any]).validate_json(text)
    return decoded


def test_defaults_and_nulls_are_left_out() -> None:
    encoded = encode(occurred_at=NOW, attempt=1, http_status=None, service_tier="standard", usage_source="provider")

    assert encoded.refusal is None
    assert set(decode_strictly(encoded.json)) == {
        "version",
        "event_id",
        "occurred_at",
        "provider",
        "model",
        "status",
        "worker_id",
    }


def test_the_event_survives_the_journey_unchanged() -> None:
    encoded = encode(occurred_at=NOW, prompt_tokens=5, cost_usd="0.1", tags={"a": "é"}, metadata={"b": None, "c": 1.5})

    event = RequestEvent.model_validate_json(encoded.json)
    assert event.occurred_at == NOW
    assert str(event.cost_usd) == "0.1"
    assert (event.tags, event.metadata) == ({"a": "é"}, {"b": None, "c": 1.5})


def test_the_id_carries_the_time_of_the_event() -> None:
    event_id = UUID(decode_strictly(encode(occurred_at=NOW - timedelta(days=3)).json)["event_id"])

    assert event_id.int >> 80 == int((NOW - timedelta(days=3)).timestamp() * 1000)


def test_an_id_that_was_given_stays() -> None:
    event_id = "0190163d-8694-739b-aea5-966c26f8ad91"

    assert decode_strictly(encode(occurred_at=NOW, event_id=event_id).json)["event_id"] == event_id


def test_version_zero_is_sent_as_such() -> None:
    assert decode_strictly(encode(occurred_at=NOW, version=0).json)["version"] == 0


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"prompt_tokens": -1}, "prompt_tokens"),
        ({"no_such": 1}, "no_such"),
        ({"tags": {"k": "a\x00"}}, "tags.k"),
        ({"occurred_at": datetime(1999, 1, 1, tzinfo=UTC)}, "occurred_at"),
    ],
)
def test_a_refusal_names_the_field(fields: dict[str, Any], place: str) -> None:
    refusal = encode(**{"occurred_at": NOW} | fields).refusal

    assert refusal is not None
    assert refusal.startswith(f"{place}: ")


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("-inf"), 10**10_000, "\ud800", b"\xff", object(), [[1], {2}], {"a": float("nan")}],
    ids=lambda value: type(value).__name__,
)
def test_a_refused_event_is_json_that_every_reader_takes(value: object) -> None:
    encoded = encode(occurred_at=NOW, prompt_tokens=value)

    assert encoded.refusal
    assert decode_strictly(encoded.json)["provider"] == "claude"


def test_a_refused_event_of_great_size_is_cut_and_keeps_its_id() -> None:
    wide = {f"field{number}": {str(key): "\x00" * 1024 for key in range(33)} for number in range(50)}
    encoded = encode(occurred_at=NOW, **wide)

    assert len(encoded.json) < 4 * RAW_EVENT_MAX_BYTES
    decoded = decode_strictly(encoded.json)
    assert {"event_id", "occurred_at", "oversized_event"} <= set(decoded)
    with pytest.raises(ValueError, match="oversized_event"):
        RequestEvent.model_validate_json(encoded.json)


def test_numbers_of_other_libraries_are_numbers() -> None:
    encoded = encode(occurred_at=NOW, prompt_tokens=Index(5), duration_seconds=Number(0.5))

    assert encoded.refusal is None
    decoded = decode_strictly(encoded.json)
    assert (decoded["prompt_tokens"], decoded["duration_seconds"]) == (5, 0.5)


def test_entries_are_bounded_in_events_and_in_bytes() -> None:
    small = [b'{"n":%d}' % number for number in range(1201)]
    large = [b'"%s"' % (b"x" * 400_000)] * 5

    entries = [*pack_entries(small, 500), *pack_entries(large, 500)]

    assert [entry.events for entry in entries] == [500, 500, 201, 2, 2, 1]
    assert all(len(entry.payload) <= FLUSH_MAX_BYTES for entry in entries)
    assert [item["n"] for entry in entries[:3] for item in json.loads(entry.payload)] == list(range(1201))
    assert list(pack_entries([], 500)) == []
    assert list(pack_entries([b"1"], 1)) == [Entry(b"[1]", 1)]
