import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard_api.exact_json import encode_json


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    cost_usd: Decimal | None
    parts: list["Row"]


class Color(StrEnum):
    RED = "red"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(plain)
def test_plain_values_are_read_back_as_they_were(value: object) -> None:
    assert json.loads(encode_json(value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=24))
def test_a_decimal_keeps_every_digit(amount: Decimal) -> None:
    assert json.loads(encode_json(amount), parse_float=Decimal, parse_int=Decimal) == amount


def test_rows_times_and_ids_have_their_form() -> None:
    row = Row('"', Decimal("1.50"), [Row("b", None, [])])
    event_id = UUID("019ab134-5a10-7c3e-9a4b-0d2f6c8e1b57")

    assert encode_json(row) == '{"name":"\\"","cost_usd":1.5,"parts":[{"name":"b","cost_usd":null,"parts":[]}]}'
    assert encode_json((datetime(2026, 3, 1, 12, tzinfo=UTC), date(2026, 3, 1), event_id)) == (
        '["2026-03-01T12:00:00+00:00","2026-03-01","019ab134-5a10-7c3e-9a4b-0d2f6c8e1b57"]'
    )
    assert encode_json(MappingProxyType({"color": Color.RED, "yes": True})) == '{"color":"red","yes":true}'


@pytest.mark.parametrize("value", [object(), Row, {1, 2}, b"bytes"])
def test_what_json_does_not_know_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode_json([value])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_float_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode_json({"value": value})
