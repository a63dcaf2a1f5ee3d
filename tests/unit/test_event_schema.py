import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from events import make_event
from fuseboard_schema.event import RequestEvent
from fuseboard_schema.event_schema import EVENT_SCHEMA_PATH, EXAMPLE, build_event_schema, main, write_event_schema

ROOT = Path(__file__).parents[2]
SCHEMA = build_event_schema()
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)


def is_accepted(event: dict[str, Any]) -> bool:
    try:
        RequestEvent.model_validate_json(json.dumps(event))
    except ValidationError:
        return False
    return True


def test_the_committed_schema_is_current() -> None:
    assert json.loads((ROOT / EVENT_SCHEMA_PATH).read_text()) == SCHEMA


def test_the_schema_is_one_and_its_example_is_an_event() -> None:
    Draft202012Validator.check_schema(SCHEMA)

    VALIDATOR.validate(EXAMPLE)
    RequestEvent.model_validate(EXAMPLE)


def test_every_field_is_described() -> None:
    undescribed = [name for name, field in SCHEMA["properties"].items() if not field.get("description")]

    assert undescribed == []
    assert set(RequestEvent.model_fields) <= set(SCHEMA["properties"])


OLD_NAMES = [
    ("provider", "provider_name"),
    ("model", "model_name"),
    ("occurred_at", "timestamp"),
    ("prompt_tokens", "input_tokens"),
    ("completion_tokens", "output_tokens"),
]


@pytest.mark.parametrize(("name", "old_name"), OLD_NAMES)
def test_an_old_name_is_valid_in_place_of_the_new_one_and_not_beside_it(name: str, old_name: str) -> None:
    event = make_event()
    both = {**event, old_name: event[name]}
    old = {key: value for key, value in both.items() if key != name}

    assert (VALIDATOR.is_valid(old), is_accepted(old)) == (True, True)
    assert (VALIDATOR.is_valid(both), is_accepted(both)) == (False, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 2},
        {"provider": None},
        {"provider": ""},
        {"provider": "x" * 129},
        {"model": "a\x00"},
        {"status": "fine"},
        {"event_id": None},
        {"prompt_tokens": -1},
        {"prompt_tokens": 10**12 + 1},
        {"prompt_tokens": 1.5},
        {"duration_seconds": -0.1},
        {"duration_seconds": 31_536_001},
        {"attempt": 0},
        {"http_status": 99},
        {"cost_usd": "-1"},
        {"cost_usd": "NaN"},
        {"cost_usd": "1000000000"},
        {"tags": {"team": [1]}},
        {"tags": {"": "x"}},
        {"tags": {"a\x00": "x"}},
        {"tags": ["team"]},
        {"metadata": {"nested": {"deeper": 1}}},
        {"metadata": {"a" * 65: 1}},
        {"unknown": 1},
    ],
)
def test_the_schema_refuses_what_the_consumer_refuses(fields: dict[str, Any]) -> None:
    event = make_event(**fields)

    assert (VALIDATOR.is_valid(event), is_accepted(event)) == (False, False)


@st.composite
def schema_events(draw: st.DrawFn) -> dict[str, Any]:
    """Events with any fields that their own part of the schema allows."""
    text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=64)
    scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False, allow_nan=False) | text
    tokens = st.none() | st.integers(0, 10**12)
    seconds = st.none() | st.floats(0, 31_536_000)
    values: dict[str, st.SearchStrategy[Any]] = {
        "provider": text,
        "model": text,
        "status": st.sampled_from(["success", "error", "timeout", "rate_limited", "cancelled"]),
        "attempt": st.integers(1, 1000),
        "http_status": st.none() | st.integers(100, 599),
        "prompt_tokens": tokens,
        "total_tokens": tokens,
        "duration_seconds": seconds,
        "time_to_first_token_seconds": seconds,
        "service_tier": text,
        "is_fallback": st.booleans(),
        "cost_usd": st.from_regex(r"\A[0-9]{1,8}(\.[0-9]{1,40})?\Z") | st.floats(0, 999_999_999),
        "usage_source": st.sampled_from(["provider", "estimated", "partial"]),
        "admission": st.sampled_from([None, "normal", "probe", "panic"]),
        "tags": st.dictionaries(text, scalar, max_size=20),
        "metadata": st.dictionaries(
            text, st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | text, max_size=32
        ),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(values))))
    event = {**make_event(), **{name: draw(values[name]) for name in sorted(chosen)}}
    event.update(draw(st.sampled_from([{}, {"version": 0}, {"version": 1}])))
    return event


@given(schema_events())
def test_what_the_schema_allows_the_consumer_accepts(event: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(event)
    RequestEvent.model_validate_json(json.dumps(event))


def test_writing_twice_changes_nothing_and_check_tells_an_outdated_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["event_schema", "--check"])

    before = main()
    written = [write_event_schema(), write_event_schema()]
    after = main()

    assert (before, written, after) == (1, [True, False], 0)
    assert "outdated" in capsys.readouterr().out
