"""A router on a real server: what it learns of the circuits, when, and what it does while the server is gone."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from fuseboard_producer import Attempt, Candidate, NoProviderAvailable, Producer, Router
from fuseboard_schema.circuit_keys import name_changes, name_hints, name_leases, name_snapshot
from fuseboard_schema.redis_client import connect_redis
from private_servers import PrivateServers
from producer_tools import read_events
from router_tools import APIError, answer, fail_with, publish
from waiting import wait_until

HALF_OPEN = {"st": "open", "ep": 2, "til_in": -1, "c": {"priority": 1, "half_open_max_probes": 3}}
OPEN = {"r": 2, "st": "open", "ep": 2, "til_in": 600, "c": {"priority": 1}}
NAMES = ("ollama", "claude")


@pytest.fixture
def producer(redis_url: str, namespace: str, tmp_path: Path) -> Iterator[Producer]:
    with Producer(redis_url, namespace=namespace, spool_dir=tmp_path) as made:
        yield made


def read_leases(redis: Redis, namespace: str) -> list[str]:
    leases: list[bytes] = redis.zrange(name_leases(namespace, "ollama"), 0, -1)  # type: ignore[assignment]
    return sorted(lease.decode() for lease in leases)


def test_circuits_are_read_from_redis_again_and_again(producer: Producer, redis_client: Redis, namespace: str) -> None:
    publish(redis_client, namespace, ollama={"c": {"priority": 1}}, claude={"c": {"priority": 2}})

    with Router(producer, poll_seconds=0.05, use_pubsub=False) as router:
        assert router.wait_until_ready(30)
        assert [view.name for view in router.snapshot.providers] == ["ollama", "claude"]
        assert router.choose() == Candidate("ollama", epoch=1)
        publish(redis_client, namespace, ollama=OPEN)
        wait_until(lambda: router.choose().provider == "claude")
        assert (router.may_call("ollama"), router.check("ollama").refusal) == (False, "open")
        redis_client.hset(name_hints(namespace), "claude", "9" * 15)
        publish(redis_client, namespace, claude={"thr_in": 500})
        wait_until(lambda: router.check("claude").refusal == "throttled")
        with pytest.raises(NoProviderAvailable) as caught:
            router.call(None, {"claude": answer})

    assert caught.value.retry_after_seconds == pytest.approx(500, abs=60)


def test_a_change_is_heard_of_long_before_the_next_poll(
    producer: Producer, redis_client: Redis, namespace: str
) -> None:
    publish(redis_client, namespace, ollama={}, claude={})

    with Router(producer, poll_seconds=5) as router:
        assert router.wait_until_ready(30)
        wait_until(lambda: redis_client.pubsub_numsub(name_changes(namespace))[0][1] == 1)
        # a poll that was due anyway cannot be told from an early one, so several changes in a row must be seen
        polls_before = router.counters.polls
        for _ in range(5):
            publish(redis_client, namespace, ollama=OPEN)
            redis_client.publish(name_changes(namespace), "ollama")
            wait_until(lambda: not router.may_call("ollama"), timeout_seconds=4)
            publish(redis_client, namespace, ollama={})
            redis_client.publish(name_changes(namespace), "ollama")
            wait_until(lambda: router.may_call("ollama"), timeout_seconds=4)
        assert router.counters.polls - polls_before >= 10


def test_a_flood_of_changes_causes_ten_polls_a_second_at_most(
    producer: Producer, redis_client: Redis, namespace: str
) -> None:
    with Router(producer, poll_seconds=5) as router:
        assert router.wait_until_ready(30)
        wait_until(lambda: redis_client.pubsub_numsub(name_changes(namespace))[0][1] == 1)
        began = router._state.now()
        polls_before = router.counters.polls
        for _ in range(3000):
            redis_client.publish(name_changes(namespace), "ollama")
        polls = router.counters.polls - polls_before
        elapsed_seconds = router._state.now() - began

    assert polls <= elapsed_seconds * 10 + 2


def test_without_the_right_to_subscribe_it_polls_and_says_so_once(
    private_servers: PrivateServers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with connect_redis(private_servers.redis_url) as admin:
        admin.acl_setuser("default", enabled=True, reset_channels=True, commands=["-subscribe"])
        publish(admin, "fuseboard", ollama={})
        producer = Producer(private_servers.redis_url, spool_dir=tmp_path)
        with producer, Router(producer, poll_seconds=0.05) as router:
            assert router.wait_until_ready(30)
            publish(admin, "fuseboard", ollama=OPEN)
            wait_until(lambda: not router.may_call("ollama"))
            polls = router.counters.polls
            wait_until(lambda: router.counters.polls >= polls + 5)
            assert router.counters.poll_errors == 0

    said = [record for record in caplog.records if record.message.startswith("changes_not_allowed")]
    assert len(said) == 1


def test_no_more_probes_are_out_than_allowed_over_all_threads_and_routers(
    redis_url: str, redis_client: Redis, namespace: str, tmp_path: Path
) -> None:
    publish(redis_client, namespace, ollama=HALF_OPEN, claude={"c": {"priority": 2}})
    start = threading.Barrier(24)

    def choose(router: Router) -> str:
        start.wait(30)
        return router.choose().provider

    producers = [Producer(redis_url, namespace=namespace, spool_dir=tmp_path) for _ in range(3)]
    routers = [Router(producer, use_pubsub=False) for producer in producers]
    assert all(router.wait_until_ready(30) for router in routers)
    with ThreadPoolExecutor(24) as pool:
        chosen = Counter(pool.map(choose, routers * 8))

    assert chosen == {"ollama": 3, "claude": 21}
    assert len(read_leases(redis_client, namespace)) == 3
    counters = [router.counters for router in routers]
    assert (sum(one.probes_granted for one in counters), sum(one.probes_refused for one in counters)) == (3, 21)
    for router in routers:
        router.close()


def test_a_probe_that_told_nothing_gives_its_place_back_and_a_429_tells_the_fleet(
    producer: Producer, redis_client: Redis, namespace: str
) -> None:
    publish(redis_client, namespace, ollama=HALF_OPEN, claude={"c": {"priority": 2}})

    with Router(producer, providers=NAMES, poll_seconds=0.05) as router:
        assert router.wait_until_ready(30)
        with pytest.raises(APIError):
            router.call(None, {"ollama": fail_with(APIError(400))})
        wait_until(lambda: read_leases(redis_client, namespace) == [])
        assert router.call(None, {"ollama": answer}) == "ollama"
        assert router.call(None, {"ollama": fail_with(APIError(429, retry_after="300")), "claude": answer}) == "claude"
        wait_until(lambda: redis_client.hexists(name_hints(namespace), "ollama"))
        wait_until(lambda: len(read_leases(redis_client, namespace)) == 1)

        with Router(producer, use_pubsub=False) as other:
            assert other.wait_until_ready(30)
            assert other.check("ollama").refusal == "throttled"

    assert producer.flush()
    events = read_events(redis_client, namespace)
    assert [(event["provider"], event["admission"]) for event in events] == [
        ("ollama", "probe"), ("ollama", "probe"), ("ollama", "probe"), ("claude", "normal"),
    ]  # fmt: skip
    lease = read_leases(redis_client, namespace)[0]
    assert lease == f"2:{events[1]['lease_id']}"


def test_while_redis_is_dead_requests_are_served_and_afterwards_circuits_are_read_again(
    private_servers: PrivateServers, tmp_path: Path
) -> None:
    with connect_redis(private_servers.redis_url) as admin:
        publish(admin, "fuseboard", ollama=HALF_OPEN, claude={"c": {"priority": 2}})
    producer = Producer(private_servers.redis_url, spool_dir=tmp_path)
    with producer, Router(producer, poll_seconds=0.1) as router:
        assert router.wait_until_ready(30)
        private_servers.valkey.kill9()
        wait_until(lambda: router.counters.poll_errors >= 3)

        # nobody can be asked for a lease: this process admits one probe at a time
        probing, answered = threading.Event(), threading.Event()

        def hang(attempt: Attempt) -> str:
            probing.set()
            assert answered.wait(30)
            return attempt.admission

        with ThreadPoolExecutor(1) as pool:
            probe = pool.submit(router.call, None, {"ollama": hang})
            assert probing.wait(30)
            assert router.call(None, dict.fromkeys(NAMES, answer)) == "claude"
            answered.set()
            assert probe.result(30) == "probe"
        assert router.call(None, dict.fromkeys(NAMES, answer)) == "ollama"

        private_servers.valkey.start()
        with connect_redis(private_servers.redis_url) as admin:
            publish(admin, "fuseboard", ollama={"r": 9, "ep": 3, "c": {"priority": 1, "ramp_s": 0}})
            wait_until(lambda: router.snapshot.by_name["ollama"].epoch == 3)
        assert router.choose() == Candidate("ollama", epoch=3)


def test_a_redis_that_was_never_there_stops_nothing(tmp_path: Path) -> None:
    producer = Producer("redis://127.0.0.1:1", spool_dir=tmp_path)
    with producer, Router(producer, providers=NAMES) as router:
        assert router.call(None, {"claude": answer, "ollama": answer}) == "ollama"
        wait_until(lambda: router.counters.poll_errors)
        assert router.counters.polls == 0
        assert not router.wait_until_ready(0)


def test_what_cannot_be_read_is_told_and_fails_open(
    producer: Producer, redis_client: Redis, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    publish(redis_client, namespace, ollama=OPEN)
    redis_client.hset(name_snapshot(namespace), "claude", "{nonsense")
    redis_client.set(name_hints(namespace), "no hash")

    with Router(producer, use_pubsub=False) as router:
        assert router.wait_until_ready(30)
        assert (router.may_call("ollama"), router.may_call("claude")) == (False, True)

    subjects = {record.message.split(" ")[0] for record in caplog.records}
    assert {"circuit_unreadable", "throttle_hints_not_read"} <= subjects


async def test_many_tasks_share_one_router(producer: Producer, redis_client: Redis, namespace: str) -> None:
    publish(redis_client, namespace, ollama=HALF_OPEN, claude={"c": {"priority": 2}})

    async def ask(attempt: Attempt) -> str:
        await asyncio.sleep(0)
        return attempt.provider

    with Router(producer, providers=NAMES) as router:
        assert await asyncio.to_thread(router.wait_until_ready, 30)
        requests = [router.acall(None, dict.fromkeys(NAMES, ask)) for _ in range(60)]
        served = Counter(await asyncio.gather(*requests))

    assert served == {"ollama": 3, "claude": 57}
    await producer.aflush()
    events = read_events(redis_client, namespace)
    assert Counter(event["provider"] for event in events) == served
    assert len({event["request_id"] for event in events}) == 60


def test_many_threads_share_one_router(
    producer: Producer, redis_client: Redis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(redis_client, namespace, ollama={"c": {"priority": 1}}, claude={"c": {"priority": 2}})
    functions: dict[str, Callable[[Attempt], str]] = {"ollama": fail_with(APIError()), "claude": answer}

    with Router(producer, poll_seconds=0.05) as router:
        assert router.wait_until_ready(30)
        monkeypatch.setattr(router._state.budget, "try_retry", lambda _: True)
        with ThreadPoolExecutor(16) as pool:
            served = Counter(pool.map(lambda _: router.call(None, functions), range(800)))
        failovers = router.counters.failovers

    assert served == {"claude": 800}
    assert producer.flush(30)
    events = Counter(event["provider"] for event in read_events(redis_client, namespace))
    assert events["claude"] == 800
    assert events["ollama"] >= failovers > 0


def test_a_closed_router_has_no_thread_and_no_connection(
    producer: Producer, redis_client: Redis, namespace: str
) -> None:
    publish(redis_client, namespace, ollama=HALF_OPEN)
    threads = threading.active_count()
    router = Router(producer)
    assert router.wait_until_ready(30)
    assert router.choose().lease == "shared"
    assert threading.active_count() == threads + 1

    router.close()
    router.close()

    assert threading.active_count() == threads
    wait_until(lambda: redis_client.pubsub_numsub(name_changes(namespace))[0][1] == 0)


def test_a_forgotten_router_lets_its_thread_end(producer: Producer) -> None:
    threads = threading.active_count()
    router = Router(producer)
    assert router.wait_until_ready(30)
    del router

    wait_until(lambda: threading.active_count() == threads)
