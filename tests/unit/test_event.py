import decimal
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from events import make_event
from fuseboard_schema.event import EARLIEST_OCCURRED_AT, RequestEvent, RequestFields
from fuseboard_schema.identifiers import make_event_id

NAMES_OF_128 = ["provider", "original_provider", "service_tier", "lease_id"]
NAMES_OF_256 = ["model", "requested_model", "request_id", "error_type", "worker_id"]
TOKENS = [
    "prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens",
    "cache_write_1h_tokens", "reasoning_tokens", "total_tokens",
]  # fmt: skip
DURATIONS = ["duration_seconds", "time_to_first_token_seconds", "retry_after_seconds"]

# every bounded field: the last value inside each bound, and the first outside
BOUNDS: list[tuple[str, Sequence[object], Sequence[object]]] = [
    ("attempt", [1, 1000], [0, 1001]),
    ("http_status", [100, 599], [99, 600]),
    ("web_searches", [0, 1_000_000], [-1, 1_000_001]),
    ("circuit_epoch", [0, 2**31 - 1], [-1, 2**31]),
    ("version", [0, 1], [-1, 2]),
    ("cost_usd", ["0", "999999999.999999999999999999", "1E-18"], ["-1E-18", "1000000000", "NaN", "Infinity", True]),
    ("tags", [{}, {str(n): "" for n in range(16)}, {"k" * 64: "v" * 256}],
     [{"k" * 65: ""}, {"": ""}, {"k": "a\x00"}, {"k": float("inf")}, {"k": []}, ["k"]]),
    ("metadata", [{}, {str(n): n for n in range(32)}, {"k" * 64: "v" * 256}, {"k": None, "b": True, "f": 0.5}],
     [{str(n): n for n in range(33)}, {"k" * 65: 1}, {"": 1}, {"k": "v" * 257}, {"k": {}}, {"k": []}]),
    ("status", ["success", "error", "timeout", "rate_limited", "cancelled"], ["", "Success", "failed"]),
    ("usage_source", ["provider", "estimated", "partial"], ["", "guess"]),
    ("admission", ["normal", "probe", "panic"], ["", "forced"]),
    *[(name, ["x", "é" * 128, "\n"], ["", "x" * 129, "a\x00b", "\ud800"]) for name in NAMES_OF_128],
    *[(name, ["x", "é" * 256, "\n"], ["", "x" * 257, "a\x00b", "\udfff"]) for name in NAMES_OF_256],
    *[(name, [0, 10**12], [-1, 10**12 + 1, 1.5, 2**70, "many"]) for name in TOKENS],
    *[(name, [0, 31_536_000], [-1e-9, 31_536_000.001, float("nan"), float("inf"), "long"]) for name in DURATIONS],
]  # fmt: skip
INSIDE = [(name, value) for name, inside, _ in BOUNDS for value in inside]
OUTSIDE = [(name, value) for name, _, outside in BOUNDS for value in outside]


def make_fields(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any field, also wrong ones
    """Make the least fields an event needs, with usage unknown so that each count stands alone."""
    return {**make_event(prompt_tokens=None, completion_tokens=None), **fields}


def name_fields_at_fault(fields: dict[str, Any]) -> set[object]:
    with pytest.raises(ValidationError) as caught:
        RequestEvent.model_validate(fields)
    return {error["loc"][0] for error in caught.value.errors()}


@pytest.mark.parametrize(("name", "value"), INSIDE)
def test_a_value_at_a_bound_is_accepted(name: str, value: object) -> None:
    event = RequestEvent.model_validate(make_fields(**{name: value}))

    expected = Decimal(value) if name == "cost_usd" and isinstance(value, str) else value
    assert getattr(event, name) == expected


@pytest.mark.parametrize(("name", "value"), OUTSIDE)
def test_a_value_beyond_a_bound_is_refused_and_its_field_named(name: str, value: object) -> None:
    assert name_fields_at_fault(make_fields(**{name: value})) == {name}


def test_every_field_but_the_plainly_typed_has_its_bounds_tested() -> None:
    bounded = {name for name, _, _ in BOUNDS}

    assert set(RequestEvent.model_fields) - bounded == {"event_id", "occurred_at", "is_fallback"}


@pytest.mark.parametrize("name", ["event_id", "occurred_at", "provider", "model", "status"])
def test_a_missing_field_is_named(name: str) -> None:
    fields = make_fields()
    del fields[name]

    assert name_fields_at_fault(fields) == {name}


def test_an_unknown_field_is_refused_and_named() -> None:
    assert name_fields_at_fault(make_fields(prompt="Dear model, ...")) == {"prompt"}


@pytest.mark.parametrize("event_id", ["", "None", "0192f0c1", "0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1", 7, None])
def test_an_event_id_that_is_no_uuid_is_refused(event_id: object) -> None:
    fields = make_fields()
    fields["event_id"] = event_id

    assert name_fields_at_fault(fields) == {"event_id"}


@pytest.mark.parametrize(
    "occurred_at",
    ["2026-11-23T12:00:00", "2026-11-23", "yesterday", "", "2019-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00"],
)
def test_a_time_without_offset_or_before_2020_is_refused(occurred_at: str) -> None:
    assert name_fields_at_fault(make_fields(occurred_at=occurred_at)) == {"occurred_at"}


def test_the_first_instant_of_2020_counts_as_an_instant_in_any_zone() -> None:
    east = timezone(timedelta(hours=14))

    first = RequestEvent.model_validate(make_fields(occurred_at="2020-01-01T14:00:00+14:00"))

    assert first.occurred_at == EARLIEST_OCCURRED_AT
    assert name_fields_at_fault(make_fields(occurred_at=datetime(2020, 1, 1, 13, 59, tzinfo=east).isoformat())) == {
        "occurred_at"
    }


@given(st.datetimes(datetime(2020, 1, 2), datetime(2100, 1, 1), timezones=st.timezones()))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_a_time_keeps_its_instant_to_the_microsecond(at: datetime) -> None:
    event = RequestEvent.model_validate_json(json.dumps(make_fields(occurred_at=at.astimezone(UTC).isoformat())))

    assert event.occurred_at == at.astimezone(UTC)


def test_the_old_names_of_record_request_are_accepted() -> None:
    at = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    event = RequestEvent.model_validate(
        {
            "version": 0,
            "event_id": make_event_id(at),
            "timestamp": at,
            "provider_name": "ollama",
            "model_name": "llama3",
            "status": "success",
            "input_tokens": 12,
            "output_tokens": 3,
            "duration_seconds": 0.5,
        }
    )

    expected = ("ollama", "llama3", at, 12, 3)
    assert (event.provider, event.model, event.occurred_at, event.prompt_tokens, event.completion_tokens) == expected


def test_an_old_name_beside_the_new_one_is_refused() -> None:
    assert name_fields_at_fault(make_fields(provider_name="openai")) == {"provider_name"}


@pytest.mark.parametrize(
    ("counts", "named"),
    [
        ({"prompt_tokens": 100, "cache_read_tokens": 101}, "cache_read_tokens"),
        ({"prompt_tokens": 100, "cache_read_tokens": 60, "cache_write_tokens": 41}, "cache_write_tokens"),
        (
            {"prompt_tokens": 9, "cache_read_tokens": 3, "cache_write_tokens": 3, "cache_write_1h_tokens": 4},
            "cache_write_1h_tokens",
        ),
        ({"completion_tokens": 10, "reasoning_tokens": 11}, "reasoning_tokens"),
    ],
)
def test_a_part_larger_than_its_whole_is_refused(counts: dict[str, int], named: str) -> None:
    assert name_fields_at_fault(make_fields(**counts)) == {named}


def test_parts_that_fill_their_whole_are_accepted_and_an_unknown_whole_refuses_none() -> None:
    full = {"prompt_tokens": 9, "cache_read_tokens": 3, "cache_write_tokens": 3, "cache_write_1h_tokens": 3}

    RequestEvent.model_validate(make_fields(completion_tokens=5, reasoning_tokens=5, **full))
    RequestEvent.model_validate(make_fields(cache_read_tokens=7, reasoning_tokens=7))


def test_unknown_usage_stays_unknown() -> None:
    event = RequestEvent.model_validate(make_fields())

    assert [getattr(event, name) for name in TOKENS] == [None] * len(TOKENS)
    assert (event.cost_usd, event.time_to_first_token_seconds) == (None, None)


def test_a_total_that_is_not_the_sum_is_kept_beside_the_parts() -> None:
    event = RequestEvent.model_validate(make_fields(prompt_tokens=10, completion_tokens=10, total_tokens=25))

    assert (event.prompt_tokens, event.completion_tokens, event.total_tokens) == (10, 10, 25)


@pytest.mark.parametrize(
    ("given_cost", "stored"),
    [("0.10", "0.1"), ("0E-1000", "0"), (0.1, "0.1"), ("1E+8", "1E+8"), ("0.5" + "0" * 500, "0.5")],
)
def test_a_cost_carries_no_zeros_that_every_later_sum_would_show(given_cost: object, stored: str) -> None:
    assert str(RequestEvent.model_validate(make_fields(cost_usd=given_cost)).cost_usd) == stored


@given(st.decimals(0, 999_999_999, places=18), st.integers(1, 5))
def test_a_cost_is_exact_whatever_the_callers_decimal_context(cost: Decimal, prec: int) -> None:
    fields = make_fields(cost_usd=str(cost))

    with decimal.localcontext(decimal.Context(prec=prec, Emax=9, Emin=-9)):
        event = RequestEvent.model_validate_json(json.dumps(fields))

    assert event.cost_usd == cost


@pytest.mark.parametrize("depth", [10, 100, 100_000])
@pytest.mark.parametrize("field", ["metadata", "tags", "provider", "prompt_tokens", "event_id"])
def test_a_nesting_bomb_is_refused(field: str, depth: int) -> None:
    event = json.dumps(make_fields(**{field: "bomb"}))

    for opening, closing in (("[", "]"), ('{"a":', "}")):
        bomb = opening * depth + "1" + closing * depth
        with pytest.raises(ValidationError):
            RequestEvent.model_validate_json(event.replace('"bomb"', bomb))


@pytest.mark.parametrize("digits", [100, 4_000, 5_000, 100_000])
@pytest.mark.parametrize("field", ["prompt_tokens", "attempt", "cost_usd", "duration_seconds", "circuit_epoch"])
def test_a_number_of_thousands_of_digits_is_refused(field: str, digits: int) -> None:
    event = json.dumps(make_fields(**{field: 7})).replace(f'"{field}": 7', f'"{field}": {"9" * digits}')

    with pytest.raises(ValidationError):
        RequestEvent.model_validate_json(event)


def test_an_event_cannot_be_changed() -> None:
    event = RequestEvent.model_validate(make_fields())

    with pytest.raises(ValidationError, match="frozen"):
        event.provider = "other"  # type: ignore[misc]


def test_an_event_survives_its_wire_form() -> None:
    event = RequestEvent.model_validate(make_fields(prompt_tokens=5, cost_usd="0.0081", tags={"team": "a"}))

    assert RequestEvent.model_validate_json(event.model_dump_json()) == event


def test_the_keywords_of_record_are_the_fields_of_the_event() -> None:
    positional = {"version", "provider", "model", "status"}

    assert set(get_type_hints(RequestFields)) == set(RequestEvent.model_fields) - positional
