import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuseboard_producer.admission import GuardReading, Verdict, check_provider
from fuseboard_producer.projection import decode_snapshot
from fuseboard_producer.snapshot import Health, Offer, ProviderView, Rates, Snapshot, assume_closed
from fuseboard_schema.circuit_settings import CircuitSettings

REDIS_NOW_MS = 1_800_000_000_000
NOW = 500.0


def encode(**entries: dict[str, Any]) -> dict[bytes | str, bytes | str]:
    fields: dict[bytes | str, bytes | str] = {
        name.encode(): json.dumps(entry).encode() for name, entry in entries.items()
    }
    return fields | {b"__hb__": str(REDIS_NOW_MS - 1500).encode()}


def decode(previous: Snapshot | None = None, /, now: float = NOW, **entries: dict[str, Any]) -> Snapshot:
    return decode_snapshot(encode(**entries), REDIS_NOW_MS + (now - NOW) * 1000, now, previous)


def test_a_field_becomes_a_provider_in_the_clock_of_this_worker() -> None:
    entry = {
        "r": 9,
        "v": 3,
        "st": "open",
        "ep": 4,
        "til": REDIS_NOW_MS + 2500,
        "thr": REDIS_NOW_MS - 1000,
        "ov": None,
        "h": {"n": 100, "ok": 90, "p50_ms": 1200, "p95_ms": 3000, "mean_output_tokens": 250.5},
        "c": {
            "enabled": True,
            "provider_type": "local",
            "priority": 5,
            "weight": 2,
            "input_usd_per_token": "0.000003",
            "output_usd_per_token": "0.000015",
            "context_tokens": 8192,
            "capabilities": ["tools"],
            "models": {"large": {"model": "llama-70b", "capabilities": {}}},
            "ramp_s": 7,
        },
    }

    snapshot = decode(ollama=entry)

    assert snapshot.providers == (
        ProviderView(
            name="ollama",
            provider_type="local",
            priority=5,
            weight=2.0,
            state="open",
            epoch=4,
            version=3,
            revision=9,
            open_until=502.5,
            throttle_until=499.0,
            offer=Offer(None, Rates(Decimal("0.000003"), Decimal("0.000015")), 8192, frozenset({"tools"})),
            offers={"large": Offer("llama-70b")},
            health=Health(100, 90, 1.2, 3.0, mean_output_tokens=250.5),
            ramp_seconds=7.0,
        ),
    )
    assert snapshot.measure_heartbeat_age(NOW) == pytest.approx(1.5)
    assert (snapshot.taken_at, snapshot.bad_fields) == (NOW, {})


def test_the_settings_by_which_calls_are_judged_are_the_published_ones() -> None:
    settings = CircuitSettings(
        probe_lease_ttl_s=45, throttle_default_s=2.5, retry_after_cap_s=600, min_timeout_for_failure_s=0
    )
    published = settings.model_dump(exclude_unset=True) | {"half_open_max_probes": 3}

    snapshot = decode(ollama={"c": published}, claude={})

    assert [view.settings for view in snapshot.providers] == [CircuitSettings(), settings]


def test_the_least_entry_is_a_closed_circuit_of_no_known_epoch() -> None:
    snapshot = decode(b={"st": "closed", "ep": 0, "til": None, "thr": 0, "ov": ""}, a={})

    assert snapshot.providers == (ProviderView(name="a"), ProviderView(name="b"))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"st": "ajar"}', '{"til": "soon"}', '{"c": {"priority": "high"}}'])
def test_a_field_that_cannot_be_read_fails_open_and_is_told(text: str) -> None:
    snapshot = decode_snapshot({"a": text, "b": '{"st": "open", "ep": 2}'}, REDIS_NOW_MS, NOW)

    assert set(snapshot.bad_fields) == {"a"}
    assert snapshot.by_name["a"] == ProviderView(name="a")
    assert snapshot.by_name["b"].state == "open"


def test_providers_come_in_order_of_priority_then_name() -> None:
    snapshot = decode(c={"c": {"priority": 1}}, b={"c": {"priority": 2}}, a={"c": {"priority": 2}})

    assert [view.name for view in snapshot.providers] == ["c", "a", "b"]


def test_after_a_flush_of_redis_circuits_are_closed_and_settings_stay() -> None:
    before = decode(
        a={"st": "open", "ep": 2, "til": REDIS_NOW_MS + 9000, "c": {"priority": 3}}, b={"c": {"enabled": False}}
    )

    flushed = decode_snapshot({"b": "{}"}, REDIS_NOW_MS, NOW + 1, before)

    assert flushed.by_name["a"] == ProviderView(name="a", priority=3)
    assert not flushed.by_name["b"].enabled
    assert flushed.heartbeat_at is None


def test_a_provider_that_left_a_complete_hash_is_gone() -> None:
    assert decode(decode(a={}, b={}), b={}).by_name.keys() == {"b"}


def test_a_circuit_that_closes_before_our_eyes_remembers_when() -> None:
    opened = decode(None, now=10.0, a={"st": "open", "ep": 2}, b={"ov": "forced_open"}, c={}, d={"st": "open"})
    closed = decode(opened, now=20.0, a={"ep": 3}, b={}, c={}, d={"st": "open"}, e={})
    later = decode(closed, now=30.0, a={"ep": 3}, b={}, c={}, d={"st": "open"}, e={})

    expected = {"a": 20.0, "b": 20.0, "c": None, "d": None, "e": None}
    assert {view.name: view.closed_at for view in closed.providers} == expected
    assert {view.name: view.closed_at for view in later.providers} == expected


@pytest.mark.parametrize(
    ("age_seconds", "freshness"), [(0.0, "fresh"), (10.0, "fresh"), (10.1, "aging"), (60.0, "aging"), (60.1, "stale")]
)
def test_a_snapshot_ages(age_seconds: float, freshness: str) -> None:
    assert decode(a={}).tell_freshness(NOW + age_seconds) == freshness


@pytest.mark.parametrize(
    ("published_ms", "hint", "until"),
    [
        (2000, b"9000", 509.0),
        (9000, b"2000", 509.0),
        (None, b"2000", 502.0),
        (2000, b"nonsense", 502.0),
        (2000, b"61000", 502.0),
        (None, b"61000", None),
    ],
)
def test_of_a_hint_and_a_published_throttle_the_later_one_holds_if_it_can_be(
    published_ms: int | None, hint: bytes, until: float | None
) -> None:
    thr = None if published_ms is None else REDIS_NOW_MS + published_ms
    if hint.isdigit():
        hint = str(REDIS_NOW_MS + int(hint)).encode()
    entry = {"ep": 1, "thr": thr, "c": {"retry_after_cap_s": 60}}

    hints: dict[bytes | str, bytes | str] = {b"a": hint, b"unknown": hint}
    snapshot = decode_snapshot(encode(a=entry), REDIS_NOW_MS, NOW, None, hints)

    assert [view.throttle_until for view in snapshot.providers] == [until]


def test_at_start_up_all_are_closed_in_the_order_given() -> None:
    snapshot = assume_closed(["ollama", "claude"])

    assert snapshot.tell_freshness(NOW) == "none"
    assert [view.name for view in snapshot.providers] == ["ollama", "claude"]
    assert check_provider("claude", snapshot, NOW) == Verdict(None)


ADMITTED = Verdict(None)
SHARED = Verdict(None, "shared")
LOCAL = Verdict(None, "local")
FORCED = Verdict("forced_open")
CIRCUITS: list[tuple[dict[str, Any], Verdict, Verdict, Verdict]] = [
    # circuit, verdict when fresh (age 5), aging (age 30), stale (age 61); all deadlines lie beyond them or have passed
    ({}, ADMITTED, ADMITTED, ADMITTED),
    ({"state": "open", "open_until": 900.0}, Verdict("open", until=900.0), Verdict("open", until=900.0), ADMITTED),
    ({"state": "open", "open_until": 505.0}, SHARED, LOCAL, ADMITTED),
    ({"state": "open", "open_until": None}, SHARED, LOCAL, ADMITTED),
    ({"throttle_until": 505.0}, ADMITTED, ADMITTED, ADMITTED),
    ({"throttle_until": 900.0}, Verdict("throttled", until=900.0), Verdict("throttled", until=900.0), ADMITTED),
    (
        {"throttle_until": 800.0, "state": "open", "open_until": 900.0},
        Verdict("throttled", until=900.0),
        Verdict("throttled", until=900.0),
        ADMITTED,
    ),
    ({"override": "disabled", "state": "open", "open_until": 900.0}, ADMITTED, ADMITTED, ADMITTED),
    (
        {"override": "disabled", "throttle_until": 900.0},
        Verdict("throttled", until=900.0),
        Verdict("throttled", until=900.0),
        ADMITTED,
    ),
    ({"override": "forced_open"}, FORCED, FORCED, FORCED),
    ({"enabled": False}, Verdict("not_enabled"), Verdict("not_enabled"), Verdict("not_enabled")),
]


@pytest.mark.parametrize(("circuit", "fresh", "aging", "stale"), CIRCUITS)
def test_a_circuit_admits_by_its_state_and_by_the_age_of_what_is_known(
    circuit: dict[str, Any], fresh: Verdict, aging: Verdict, stale: Verdict
) -> None:
    snapshot = Snapshot((ProviderView(name="a", epoch=1, **circuit),), NOW)

    verdicts = [check_provider("a", snapshot, NOW + age_seconds) for age_seconds in (5, 30, 61)]

    assert verdicts == [fresh, aging, stale]


@pytest.mark.parametrize("age_seconds", [0.0, 30.0, 61.0])
def test_a_throttle_seen_here_counts_whatever_the_snapshot_says(age_seconds: float) -> None:
    snapshot = Snapshot((ProviderView(name="a", throttle_until=NOW + 1),), NOW)
    now = NOW + age_seconds

    assert check_provider("a", snapshot, now, GuardReading(throttles={"a": now + 7})) == Verdict(
        "throttled", until=now + 7
    )


def test_a_provider_that_nobody_published_is_admitted() -> None:
    assert check_provider("new", decode(a={}), NOW) == ADMITTED


@given(st.binary(max_size=60), st.binary(max_size=20))
@settings(deadline=None)
def test_whatever_stands_in_redis_gives_a_snapshot(value: bytes, heartbeat: bytes) -> None:
    snapshot = decode_snapshot({b"a": value, b"__hb__": heartbeat}, REDIS_NOW_MS, NOW)

    assert [view.name for view in snapshot.providers] == ["a"]


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
@settings(deadline=None)
def test_a_deadline_is_as_far_away_as_it_was_by_the_clock_of_redis(remaining_ms: float, now: float) -> None:
    snapshot = decode_snapshot(
        {"a": json.dumps({"st": "open", "ep": 1, "til": REDIS_NOW_MS + remaining_ms})}, REDIS_NOW_MS, now
    )

    assert snapshot.by_name["a"].open_until == pytest.approx(now + remaining_ms / 1000, abs=1e-3)
