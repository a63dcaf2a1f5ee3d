"""Values that have one meaning in another form than the contract's cost no event, whoever sends them."""

import enum
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from events import make_event
from fuseboard_consumer.decode import decode_entries
from fuseboard_consumer.entries import Entry
from fuseboard_producer.encoding import encode_event
from fuseboard_producer.freezing import freeze_fields
from fuseboard_schema.event import RequestEvent

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SOME_ID = "019ab134-5a10-7c3e-9a4b-0d2f6c8e1b57"


class Plan(enum.Enum):
    PRO = "pro"
    SEATS = 7


class Number(enum.IntEnum):
    ONE = 1


def send(**fields: Any) -> RequestEvent:  # noqa: ANN401 - whatever a caller passes
    """Record as the producer does and read as the consumer does."""
    event = {"provider": "claude", "model": "m", "status": "success", "occurred_at": NOW} | fields
    encoded = encode_event(freeze_fields(event), "host:1")
    assert encoded.refusal is None
    return RequestEvent.model_validate_json(encoded.json)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (42, "42"), (42.0, "42"), (0.5, "0.5"), (1e22, "10000000000000000000000"), (-0.0, "0"), (1e300, "1E+300"),
        (True, "true"),
        (Decimal("1.50"), "1.5"), (Decimal("1E+3"), "1000"), (UUID(SOME_ID), SOME_ID), (Plan.PRO, "pro"),
        (Plan.SEATS, "7"), (Number.ONE, "1"), (np.int64(42), "42"), (np.float32(0.5), "0.5"),
        (np.bool_(False), "false"),
        (np.str_("a"), "a"), (NOW, "2026-11-01T12:00:00+00:00"), ("v" * 300, "v" * 255 + "…"), ("", ""),
    ],
)  # fmt: skip
def test_a_tags_value_is_written_as_text(given: object, stored: str) -> None:
    assert send(tags={"tenant": given, "team": "search"}).tags == {"tenant": stored, "team": "search"}


@pytest.mark.parametrize("given", [None, float("nan"), np.float64("nan"), Decimal("NaN")])
def test_a_tag_that_is_not_known_is_left_out(given: object) -> None:
    assert send(tags={"tenant": given, "team": "search"}).tags == {"team": "search"}


def test_too_many_tags_cost_the_last_ones_and_say_so() -> None:
    tags = send(tags={str(number): number for number in range(20)}).tags

    assert tags == {str(number): str(number) for number in range(15)} | {"tags_left_out": "true"}


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (0.1 + 0.2, "0.30000000000000004"), ("0." + "3" * 40, "0." + "3" * 18), (1e-20, "0"), ("1e-20", "0"),
        (-1e-20, "0"), (-0.0, "0"), ("-0.00", "0"), (Decimal("0.0000000000000000015"), "2E-18"), (1, "1"), ("7", "7"),
        (Decimal("0.0000000000000000025"), "2E-18"), (np.float64(0.1), "0.1"), (np.float32(0.5), "0.5"),
        (np.int32(2), "2"), (1 / 3, "0.3333333333333333"), (1e-5 / 3, "0.000003333333333333"),
    ],
)  # fmt: skip
def test_a_cost_is_rounded_to_18_decimals(given: object, stored: str) -> None:
    assert send(cost_usd=given).cost_usd == Decimal(stored)
    assert not str(send(cost_usd=given).cost_usd).startswith("-")


@pytest.mark.parametrize("given", [12, 12.0, "12", "12.0", Decimal(12), np.int64(12), np.float64(12), Plan.SEATS])
def test_a_count_may_come_in_any_form_of_a_whole_number(given: object) -> None:
    assert send(prompt_tokens=given).prompt_tokens == (7 if given is Plan.SEATS else 12)


@pytest.mark.parametrize("given", [1.5, "1.5", Decimal("1.5"), timedelta(seconds=1.5), np.float32(1.5)])
def test_a_duration_may_come_in_any_form(given: object) -> None:
    assert send(duration_seconds=given).duration_seconds == 1.5


def test_metadata_and_ids_are_written_as_what_they_mean() -> None:
    event = send(
        request_id=UUID(SOME_ID), worker_id=7, metadata={"at": NOW, "id": UUID(SOME_ID), "nan": float("nan"), "n": 1,
                                                         "kind": Plan.PRO, "big": 2**62},
    )  # fmt: skip

    assert (event.request_id, event.worker_id) == (SOME_ID, "7")
    assert event.metadata == {
        "at": "2026-11-01T12:00:00+00:00", "id": SOME_ID, "nan": None, "n": 1, "kind": "pro",
        "big": 2**62,
    }  # fmt: skip


def test_producers_in_other_languages_profit_as_well() -> None:
    fields = make_event(tags={"tenant": 42, "beta": True, "none": None}, request_id=9)
    text = json.dumps(fields)[:-1] + ', "cost_usd": 1e-20}'

    decoded = decode_entries([Entry("1-0", f"[{text}]".encode())], datetime.now(UTC))

    assert decoded.rejected == []
    (event,) = decoded.accepted.events
    assert (event.tags, event.request_id) == ({"tenant": "42", "beta": "true"}, "9")
    assert str(event.cost_usd) == "0"


def test_what_cannot_be_mended_is_refused_once_with_the_place() -> None:
    fields = make_event(tags={"a": {"b": 1}}, cost_usd="-1")

    decoded = decode_entries([Entry("1-0", f"[{json.dumps(fields)}]".encode())], datetime.now(UTC))

    assert [rejected.detail for rejected in decoded.rejected] == [
        "cost_usd: Input should be greater than or equal to 0; tags.a: Input should be a valid string"
    ]
