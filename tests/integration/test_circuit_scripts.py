"""The scripts that workers run, on the real server."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis

from fuseboard_consumer.publisher import Publisher
from fuseboard_producer.circuit_scripts import Grant, acquire_probe, hint_throttle, release_lease
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_hints, name_leases, name_snapshot
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.redis_client import connect_redis
from projections import PROVIDER, publish
from stopped_clock import stopped_clock

NOW = 5_000.0
HALF_OPEN: dict[str, Any] = {"state": "open", "epoch": 4, "open_ms": -1.0}


def acquire(redis: Redis, namespace: str, lease_id: str = "a", at: float = NOW) -> Grant:
    with stopped_clock(at):
        return acquire_probe(redis, namespace, PROVIDER, lease_id)


def hint(redis: Redis, namespace: str, retry_after_seconds: float | None, at: float = NOW) -> bool:
    with stopped_clock(at):
        return hint_throttle(redis, namespace, PROVIDER, retry_after_seconds)


def publish_at(redis: Redis, namespace: str, at: float = NOW, **fields: Any) -> bool:  # noqa: ANN401 - any field of a row
    with stopped_clock(at):
        return publish(redis, namespace, **fields).is_applied


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"override": "forced_open", **HALF_OPEN}, Grant(None, "forced_open", 4)),
        ({"override": "disabled", **HALF_OPEN, "throttle_ms": 9e6}, Grant("normal", "disabled", 4)),
        ({**HALF_OPEN, "throttle_ms": 2_500}, Grant(None, "throttled", 4, 2.5)),
        ({"epoch": 3, "throttle_ms": 2_500}, Grant(None, "throttled", 3, 2.5)),
        ({"epoch": 3}, Grant("normal", "closed", 3)),
        ({**HALF_OPEN, "open_ms": 1_250}, Grant(None, "open", 4, 1.25)),
        ({**HALF_OPEN, "open_ms": 0}, Grant("probe", "half_open", 4)),
        (HALF_OPEN, Grant("probe", "half_open", 4)),
    ],
)
def test_a_call_is_admitted_by_the_table(
    redis_client: Redis, namespace: str, fields: dict[str, Any], expected: Grant
) -> None:
    publish_at(redis_client, namespace, **fields)

    assert acquire(redis_client, namespace) == expected


def test_no_state_admits(redis_client: Redis, namespace: str) -> None:
    assert acquire(redis_client, namespace) == Grant("normal", "no_state")


@pytest.mark.parametrize(
    "entry", ["", "{", "null", "[]", '"open"', "{}", '{"st":null}', '{"st":"half_open"}', '{"st":1,"ov":"forced_open"}']
)
def test_an_entry_that_cannot_be_read_admits_and_is_overwritten(
    redis_client: Redis, namespace: str, entry: str
) -> None:
    redis_client.hset(name_snapshot(namespace), PROVIDER, entry)

    assert acquire(redis_client, namespace) == Grant("normal", "no_state")
    assert publish_at(redis_client, namespace, override="forced_open", revision=0)
    assert acquire(redis_client, namespace).reason == "forced_open"


def test_an_open_circuit_without_its_settings_has_the_defaults(redis_client: Redis, namespace: str) -> None:
    redis_client.hset(name_snapshot(namespace), PROVIDER, '{"st":"open","ep":2,"til":null,"thr":null,"ov":null,"c":7}')

    granted = [acquire(redis_client, namespace, lease_id).reason for lease_id in "abcd"]

    assert granted == ["half_open"] * CircuitSettings().half_open_max_probes + ["probes_busy"]


def test_probes_are_bounded_until_one_is_released_or_expires(redis_client: Redis, namespace: str) -> None:
    settings = CircuitSettings(half_open_max_probes=2, probe_lease_ttl_s=30)
    publish_at(redis_client, namespace, circuit_settings=settings, **HALF_OPEN)

    assert acquire(redis_client, namespace, "a", NOW).admission == "probe"
    assert acquire(redis_client, namespace, "b", NOW + 10).admission == "probe"
    assert acquire(redis_client, namespace, "c", NOW + 29.999) == Grant(None, "probes_busy", 4)
    # the first lease has expired
    assert acquire(redis_client, namespace, "c", NOW + 30).admission == "probe"
    assert acquire(redis_client, namespace, "d", NOW + 30).reason == "probes_busy"

    release_lease(redis_client, namespace, PROVIDER, 4, "b")
    release_lease(redis_client, namespace, PROVIDER, 4, "b")

    assert acquire(redis_client, namespace, "d", NOW + 30).admission == "probe"
    assert acquire(redis_client, namespace, "e", NOW + 30).reason == "probes_busy"


def test_asking_again_with_a_lease_that_is_held_takes_no_second_place_and_no_more_time(
    redis_client: Redis, namespace: str
) -> None:
    publish_at(redis_client, namespace, circuit_settings=CircuitSettings(half_open_max_probes=1), **HALF_OPEN)
    first = acquire(redis_client, namespace, "a")
    leases = redis_client.zrange(name_leases(namespace, PROVIDER), 0, -1, withscores=True)

    assert acquire(redis_client, namespace, "a", NOW + 5) == first == Grant("probe", "half_open", 4)
    assert redis_client.zrange(name_leases(namespace, PROVIDER), 0, -1, withscores=True) == leases
    assert leases == [(b"4:a", (NOW + CircuitSettings().probe_lease_ttl_s) * 1000)]


def test_a_new_epoch_has_all_its_places(redis_client: Redis, namespace: str) -> None:
    publish_at(redis_client, namespace, circuit_settings=CircuitSettings(half_open_max_probes=1), **HALF_OPEN)
    acquire(redis_client, namespace, "a")

    publish_at(
        redis_client,
        namespace,
        circuit_settings=CircuitSettings(half_open_max_probes=1),
        **(HALF_OPEN | {"epoch": 41, "revision": 2}),
    )

    assert acquire(redis_client, namespace, "a") == Grant("probe", "half_open", 41)
    assert acquire(redis_client, namespace, "b").reason == "probes_busy"
    assert redis_client.zrange(name_leases(namespace, PROVIDER), 0, -1) == [b"41:a"]


def test_leases_that_nobody_asks_about_end_with_the_last_of_them(redis_client: Redis, namespace: str) -> None:
    for revision, ttl_s in enumerate((500, 20), start=1):
        settings = CircuitSettings(probe_lease_ttl_s=ttl_s)
        publish_at(redis_client, namespace, revision=revision, circuit_settings=settings, **HALF_OPEN)
        acquire(redis_client, namespace, f"{ttl_s}")

    assert 400_000 < redis_client.pttl(name_leases(namespace, PROVIDER)) <= 500_000


def test_consumers_without_a_heartbeat_do_not_keep_a_circuit_half_open(redis_client: Redis, namespace: str) -> None:
    publish_at(redis_client, namespace, **HALF_OPEN)
    redis_client.hset(name_snapshot(namespace), HEARTBEAT_FIELD, f"{(NOW - 10) * 1000:.0f}")

    assert acquire(redis_client, namespace, "a").admission == "probe"
    assert acquire(redis_client, namespace, "b", NOW + 0.001) == Grant("normal", "pipeline_dead", 4)
    redis_client.hset(name_snapshot(namespace), HEARTBEAT_FIELD, "no time")
    assert acquire(redis_client, namespace, "b", NOW + 99).admission == "probe"


def test_what_one_worker_was_told_by_a_provider_holds_for_all(redis_client: Redis, namespace: str) -> None:
    publish_at(redis_client, namespace, throttle_ms=1_000)

    assert hint(redis_client, namespace, 30)
    assert acquire(redis_client, namespace) == Grant(None, "throttled", 1, 30)
    assert not hint(redis_client, namespace, 10)
    assert acquire(redis_client, namespace, at=NOW + 29) == Grant(None, "throttled", 1, 1)
    assert hint(redis_client, namespace, 10, NOW + 29)
    assert acquire(redis_client, namespace, at=NOW + 39) == Grant("normal", "closed", 1)


def test_a_hint_is_believed_up_to_the_cap_of_the_provider(redis_client: Redis, namespace: str) -> None:
    publish_at(redis_client, namespace, circuit_settings=CircuitSettings(retry_after_cap_s=60))

    assert hint(redis_client, namespace, 9_999_999)
    assert acquire(redis_client, namespace) == Grant(None, "throttled", 1, 60)
    assert 3_600_000 < redis_client.pttl(name_hints(namespace)) <= 3_660_000


@pytest.mark.parametrize("seconds", [0, -5])
def test_a_hint_that_holds_nobody_back_is_not_kept(redis_client: Redis, namespace: str, seconds: float) -> None:
    assert not hint(redis_client, namespace, seconds)
    assert not redis_client.exists(name_hints(namespace))


@pytest.mark.parametrize("deadline", ["inf", "nan", "1e300", "-inf", "soon", ""])
def test_a_hint_that_nobody_can_have_been_told_binds_nobody(redis_client: Redis, namespace: str, deadline: str) -> None:
    publish_at(redis_client, namespace)
    redis_client.hset(name_hints(namespace), PROVIDER, deadline)

    assert acquire(redis_client, namespace) == Grant("normal", "closed", 1)
    assert hint(redis_client, namespace, 5)
    assert acquire(redis_client, namespace).wait_seconds == 5


def test_without_a_time_to_retry_after_only_the_first_refusal_of_an_episode_counts(
    redis_client: Redis, namespace: str
) -> None:
    publish_at(redis_client, namespace, circuit_settings=CircuitSettings(throttle_default_s=8))

    assert hint(redis_client, namespace, None)
    assert not hint(redis_client, namespace, None, NOW + 7.999)
    assert acquire(redis_client, namespace, at=NOW + 7.999).reason == "throttled"
    assert hint(redis_client, namespace, None, NOW + 8)


def test_a_hint_about_a_provider_without_state_is_kept(redis_client: Redis, namespace: str) -> None:
    assert hint(redis_client, namespace, 9_999)
    publish_at(redis_client, namespace)

    assert acquire(redis_client, namespace) == Grant(None, "throttled", 1, 3600)


def test_scripts_work_on_after_redis_has_forgotten_them(redis_client: Redis, namespace: str) -> None:
    publish(redis_client, namespace, **HALF_OPEN)
    for lease_id in "ab":
        redis_client.script_flush()

        assert acquire_probe(redis_client, namespace, PROVIDER, lease_id).admission == "probe"
        assert hint_throttle(redis_client, namespace, "another", ord(lease_id))


def test_many_workers_at_once_get_no_more_probes_than_there_are(
    redis_url: str, redis_client: Redis, namespace: str
) -> None:
    settings = CircuitSettings(half_open_max_probes=5)
    start = threading.Barrier(8)

    def ask(worker: int) -> list[Grant]:
        with connect_redis(redis_url) as redis:
            start.wait()
            return [acquire_probe(redis, namespace, PROVIDER, f"{worker}-{number}") for number in range(50)]

    for epoch in (2, 3):
        publish(redis_client, namespace, revision=epoch, circuit_settings=settings, **(HALF_OPEN | {"epoch": epoch}))
        with ThreadPoolExecutor(8) as workers:
            grants = [grant for asked in workers.map(ask, range(8)) for grant in asked]

        assert sum(grant == Grant("probe", "half_open", epoch) for grant in grants) == 5
        assert sum(grant == Grant(None, "probes_busy", epoch) for grant in grants) == 395


def test_a_worker_that_may_only_read_the_snapshot_can_do_all_of_it(
    redis_client: Redis, redis_url: str, namespace: str
) -> None:
    publish(redis_client, namespace, **HALF_OPEN)
    user = f"worker-{namespace}"
    keys = (f"%R~{name_snapshot(namespace)}", f"~{name_hints(namespace)}", f"~{name_leases(namespace, '*')}")
    redis_client.execute_command("ACL", "SETUSER", user, "on", "nopass", "+@all", *keys)  # type: ignore[no-untyped-call]
    try:
        with connect_redis(redis_url) as worker:
            worker.execute_command("AUTH", user, "any")
            assert acquire_probe(worker, namespace, PROVIDER, "a").admission == "probe"
            assert hint_throttle(worker, namespace, PROVIDER, 30)
            release_lease(worker, namespace, PROVIDER, 4, "a")
            with pytest.raises(Exception, match=r"(?i)permission"):
                publish(worker, namespace, revision=9)
    finally:
        redis_client.acl_deluser(user)


def test_a_probe_that_told_nothing_gives_its_place_back(redis_client: Redis, namespace: str) -> None:
    publish(redis_client, namespace, circuit_settings=CircuitSettings(half_open_max_probes=1), **HALF_OPEN)
    acquire_probe(redis_client, namespace, PROVIDER, "a")

    for _ in range(2):
        Publisher(redis_client, namespace).release([(PROVIDER, 4, "a"), (PROVIDER, 3, "a"), ("unknown", 1, "b")])

    assert acquire_probe(redis_client, namespace, PROVIDER, "b").admission == "probe"
