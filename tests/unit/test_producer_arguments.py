"""A producer's constructor speaks up; everything after it keeps quiet and counts."""

import enum
import random
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuseboard_producer import Producer, locate_spool
from producer_tools import read_spool

NO_REDIS = "unix:///nonexistent/redis.sock"


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class HostileDict(dict[str, str]):
    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no keys")

    keys = values = items = __iter__  # type: ignore[assignment]


class Colour(enum.StrEnum):
    CLAUDE = "claude"


@pytest.fixture
def producer(tmp_path: Path) -> Iterator[Producer]:
    with Producer(NO_REDIS, spool_dir=tmp_path, linger_seconds=0.01) as made:
        yield made


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"redis_url": None}, "REDIS_URL"),
        ({"redis_url": "http://host"}, "redis_url"),
        ({"redis_url": "redis://host:port"}, "redis_url"),
        ({"redis_url": 5}, "redis_url"),
        ({"namespace": "a b"}, "namespace"),
        ({"spool_dir": 5}, "spool_dir"),
        ({"worker_id": ""}, "worker_id"),
        ({"linger_seconds": -1}, "linger_seconds"),
        ({"linger_seconds": float("nan")}, "linger_seconds"),
        ({"flush_max_events": 0}, "flush_max_events"),
        ({"flush_max_events": 501}, "flush_max_events"),
        ({"buffer_max_events": "many"}, "buffer_max_events"),
        ({"buffer_max_events": 10}, "buffer_max_events"),
        ({"spool_max_bytes": -1}, "spool_max_bytes"),
        ({"stream_max_entries": 0}, "stream_max_entries"),
        ({"redis_ca_certs": "nonexistent.pem"}, "redis_ca_certs"),
    ],
)
def test_a_wrong_constructor_argument_is_named(
    arguments: dict[str, Any], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    defaults: dict[str, Any] = {"redis_url": NO_REDIS, "spool_dir": tmp_path}

    with pytest.raises(ValueError, match=named):
        Producer(**defaults | arguments)


def test_an_error_does_not_show_the_password(tmp_path: Path) -> None:
    for url in ("redis://user:secret@host:port", "redis://user:secret/word@host", "http://user:secret@host"):
        with pytest.raises(ValueError, match="redis_url") as caught:
            Producer(url, spool_dir=tmp_path)
        assert "secret" not in str(caught.value)


def test_constructing_neither_connects_nor_starts_a_thread(tmp_path: Path) -> None:
    before = threading.active_count()

    with Producer("redis://192.0.2.1:1", spool_dir=tmp_path / "spool"):
        assert threading.active_count() == before
    assert not (tmp_path / "spool").exists()


def test_the_environment_fills_in_what_is_not_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", NO_REDIS)
    monkeypatch.setenv("FUSEBOARD_SPOOL_DIR", str(tmp_path))

    with Producer() as producer:
        producer.record("claude", "m")
        assert producer.flush()

    assert len(read_spool(tmp_path / "fuseboard")) == 1


def test_the_default_spool_belongs_to_one_redis_whatever_the_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("FUSEBOARD_SPOOL_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    one = locate_spool("redis://one", "fuseboard")

    assert tmp_path in one.parents
    assert one == locate_spool("redis://user:new@one", "fuseboard")
    assert one != locate_spool("redis://two", "fuseboard")
    assert one != locate_spool("redis://one/1", "fuseboard")


def test_a_user_without_a_home_is_told_to_choose_a_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_no_home(_kind: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FUSEBOARD_SPOOL_DIR", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", classmethod(find_no_home))

    with pytest.raises(ValueError, match="FUSEBOARD_SPOOL_DIR"):
        Producer(NO_REDIS)


def test_a_complete_event_arrives_as_it_was_recorded(producer: Producer, tmp_path: Path) -> None:
    occurred_at = datetime(2026, 11, 1, 12, tzinfo=UTC)

    producer.record(
        "claude",
        "claude-sonnet-4-5",
        "rate_limited",
        occurred_at=occurred_at,
        prompt_tokens=10,
        cost_usd=Decimal("0.000000000000000001"),
        tags={"team": "a"},
        is_fallback=False,
        error_type=None,
    )

    assert producer.flush()
    (event,) = read_spool(tmp_path / "fuseboard")
    assert uuid.UUID(event.pop("event_id")).version == 7
    assert event.pop("worker_id")
    assert event == {
        "version": 1,
        "provider": "claude",
        "model": "claude-sonnet-4-5",
        "status": "rate_limited",
        "occurred_at": "2026-11-01T12:00:00Z",
        "prompt_tokens": 10,
        "cost_usd": "1E-18",
        "tags": {"team": "a"},
    }


def test_the_old_keyword_names_are_understood(producer: Producer, tmp_path: Path) -> None:
    producer.record(provider_name="ollama", model="llama3", status="error", prompt_tokens=3)

    assert producer.flush()
    (event,) = read_spool(tmp_path / "fuseboard")
    assert (event["provider"], event["model"], event["status"]) == ("ollama", "llama3", "error")
    assert producer.counters.bad == 0


def test_the_time_is_that_of_the_call_to_record(producer: Producer, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    producer.record("claude", "m")
    after = datetime.now(UTC)

    assert producer.flush()
    (event,) = read_spool(tmp_path / "fuseboard")
    assert before <= datetime.fromisoformat(event["occurred_at"]) <= after


def test_what_the_caller_changes_later_is_not_in_the_event(tmp_path: Path) -> None:
    tags = {"team": "a"}
    with Producer(NO_REDIS, spool_dir=tmp_path, linger_seconds=60) as producer:
        producer.record("claude", "m", tags=tags)
        tags["team"] = "b"

    (event,) = read_spool(tmp_path / "fuseboard")
    assert event["tags"] == {"team": "a"}


def test_the_callers_random_sequence_is_left_alone(producer: Producer) -> None:
    before = random.getstate()

    producer.record("claude", "m")
    assert producer.flush()

    assert random.getstate() == before


WRONG_CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    (("claude",), {}),
    ((None, None, None), {}),
    (("claude", "m", "success", "more"), {}),
    (("claude", "m"), {"provider": "openai"}),
    (("claude", "m"), {"no_such_field": 1}),
    (("claude", "m"), {"prompt_tokens": "many"}),
    (("claude", "m"), {"prompt_tokens": -1}),
    (("claude", "m"), {"prompt_tokens": 10**5000}),
    (("claude", "m"), {"prompt_tokens": 1, "cache_read_tokens": 2}),
    (("claude", "m"), {"duration_seconds": float("nan")}),
    (("claude", "m"), {"duration_seconds": timedelta(seconds=-1)}),
    (("claude", "m"), {"occurred_at": datetime(2026, 1, 1)}),  # noqa: DTZ001 - that is the fault
    (("claude", "m"), {"occurred_at": datetime(1, 1, 1, tzinfo=UTC)}),
    (("claude", "m"), {"occurred_at": "yesterday"}),
    (("claude", "m"), {"event_id": "not-an-id"}),
    (("claude", "m"), {"cost_usd": Decimal("NaN")}),
    (("claude", "m"), {"tags": Hostile()}),
    (("claude", "m"), {"tags": HostileDict()}),
    (("claude", "m"), {"tags": {"a": Hostile()}}),
    (("claude", "m"), {"metadata": {str(number): number for number in range(1000)}}),
    (("claude", "m"), {"metadata": {"prompt": "long " * 100_000}}),
    (("claude", "m" * 10_000_000), {}),
    (("cl\x00ude", "m"), {}),
    (("claude", "\ud800"), {}),
    (("claude", b"bytes" * 1000), {}),
    ((Hostile(), Hostile()), {}),
    (("claude", "m"), {f"field{number}": "x" * 100_000 for number in range(1000)}),
]


@pytest.mark.parametrize(("arguments", "fields"), WRONG_CALLS)
def test_a_wrong_event_is_counted_and_kept_beside_good_neighbours(
    producer: Producer, tmp_path: Path, arguments: tuple[Any, ...], fields: dict[str, Any]
) -> None:
    producer.record("claude", "before")
    producer.record(*arguments, **fields)
    producer.record("claude", "after")

    assert producer.flush()
    events = read_spool(tmp_path / "fuseboard")
    assert [event.get("model") for event in events][::2] == ["before", "after"]
    assert len(events) == 3
    assert len(str(events[1])) < 100_000
    assert (producer.counters.bad, producer.counters.dropped) == (1, 0)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"provider": Colour.CLAUDE}, {"provider": "claude"}),
        ({"tags": {Colour.CLAUDE: Colour.CLAUDE}}, {"tags": {"claude": "claude"}}),
        ({"tags": {1: "one"}}, {"tags": {"1": "one"}}),
        ({"event_id": uuid.UUID(int=5)}, {"event_id": str(uuid.UUID(int=5))}),
        ({"prompt_tokens": "7"}, {"prompt_tokens": 7}),
    ],
)
def test_what_can_only_mean_one_thing_is_accepted(
    producer: Producer, tmp_path: Path, fields: dict[str, Any], kept: dict[str, Any]
) -> None:
    producer.record(**{"provider": "claude", "model": "m"} | fields)

    assert producer.flush()
    (event,) = read_spool(tmp_path / "fuseboard")
    assert kept.items() <= event.items()
    assert producer.counters.bad == 0


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes() | st.uuids(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner),
    max_leaves=10,
)
field_names = (
    st.sampled_from(["provider", "model", "status", "tags", "metadata", "occurred_at", "event_id"]) | st.text()
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=st.lists(anything, max_size=4), fields=st.dictionaries(field_names, anything, max_size=8))
def test_nothing_that_is_passed_raises_or_is_lost(
    producer: Producer, arguments: list[Any], fields: dict[str, Any]
) -> None:
    before = producer.counters

    producer.record(*arguments, **fields)

    assert producer.flush()
    after = producer.counters
    assert (after.recorded, after.spooled) == (before.recorded + 1, before.spooled + 1)
    assert after.dropped == 0
