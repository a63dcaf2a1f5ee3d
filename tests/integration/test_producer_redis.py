"""A producer on a real server: what it sends, and what it does while the server does not take it."""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from redis import Redis

from fuseboard_producer import Producer
from fuseboard_schema.event import RequestEvent
from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.stream import name_event_stream
from producer_tools import PrivateRedis, read_entries, read_events, read_spool
from waiting import wait_until


@pytest.fixture
def private_redis(shared_redis: PrivateRedis) -> Iterator[PrivateRedis]:
    """A server that may be stopped and set up wrongly; the next test finds it running, empty and set up well."""
    yield shared_redis
    if shared_redis.server.has_exited():
        shared_redis.server.start()
    with connect_redis(shared_redis.url) as redis:
        redis.config_set("maxmemory", 0)
        redis.replicaof("NO", "ONE")
        redis.flushall()


def list_numbers(events: list[dict[str, str]]) -> list[int]:
    return [int(event["request_id"]) for event in events]


def test_what_is_recorded_is_in_the_stream_and_accepted_by_the_events_rules(
    redis_url: str, redis_client: Redis, namespace: str, tmp_path: Path
) -> None:
    with Producer(redis_url, namespace=namespace, spool_dir=tmp_path, worker_id="worker:1") as producer:
        for number in range(1200):
            producer.record("claude", "claude-sonnet-4-5", request_id=str(number), prompt_tokens=number)
        assert producer.flush()
        counters = producer.counters

    events = read_events(redis_client, namespace)
    assert list_numbers(events) == list(range(1200))
    assert {RequestEvent.model_validate(event).worker_id for event in events} == {"worker:1"}
    assert len({event["event_id"] for event in events}) == 1200
    assert (counters.recorded, counters.sent, counters.spooled, counters.dropped, counters.bad) == (1200, 1200, 0, 0, 0)
    assert max(map(len, read_entries(redis_client, namespace))) == 500


def test_a_trickle_is_gathered_while_it_lingers(
    redis_url: str, redis_client: Redis, namespace: str, tmp_path: Path
) -> None:
    with Producer(redis_url, namespace=namespace, spool_dir=tmp_path, linger_seconds=0.3) as producer:
        for _ in range(20):
            producer.record("claude", "m")
            time.sleep(0.002)
        wait_until(lambda: producer.counters.sent == 20)

    assert len(read_entries(redis_client, namespace)) == 1


def test_a_bad_event_travels_beside_good_ones(
    redis_url: str, redis_client: Redis, namespace: str, tmp_path: Path
) -> None:
    with Producer(redis_url, namespace=namespace, spool_dir=tmp_path) as producer:
        producer.record("claude", "before")
        producer.record("claude", "bad", prompt_tokens=-5, metadata={"nan": float("nan")})
        producer.record("claude", "after")

    (events,) = read_entries(redis_client, namespace)
    assert [event["model"] for event in events] == ["before", "bad", "after"]
    with pytest.raises(ValueError, match="prompt_tokens"):
        RequestEvent.model_validate(events[1])


def test_a_stream_over_its_bound_sends_the_rest_to_the_spool_until_it_is_read(
    redis_url: str, redis_client: Redis, namespace: str, tmp_path: Path
) -> None:
    stream = name_event_stream(namespace)
    with Producer(redis_url, namespace=namespace, spool_dir=tmp_path, stream_max_entries=3) as producer:
        for number in range(10):
            producer.record("claude", "m", request_id=str(number))
            assert producer.flush()
        assert redis_client.xlen(stream) == 3
        assert len(read_spool(tmp_path / namespace)) == 7
        assert not producer.wait_for_room(0)
        seen = read_events(redis_client, namespace)
        redis_client.delete(stream)
        wait_until(lambda: producer.counters.spool_drained == 7)
        assert producer.has_room

    assert list_numbers(seen + read_events(redis_client, namespace)) == list(range(10))


def make_full(redis: Redis) -> None:
    redis.config_set("maxmemory", 1)


def make_read_only(redis: Redis) -> None:
    redis.replicaof("127.0.0.1", "1")


def make_key_wrong(redis: Redis) -> None:
    redis.set(name_event_stream("fuseboard"), "not a stream")


@pytest.mark.parametrize("spoil", [make_full, make_read_only, make_key_wrong])
def test_a_server_that_refuses_is_waited_for(
    private_redis: PrivateRedis, tmp_path: Path, spoil: Callable[[Redis], None], caplog: pytest.LogCaptureFixture
) -> None:
    with connect_redis(private_redis.url) as redis, Producer(private_redis.url, spool_dir=tmp_path) as producer:
        spoil(redis)
        for number in range(5):
            producer.record("claude", "m", request_id=str(number))
            assert producer.flush()
        assert list_numbers(read_spool(tmp_path / "fuseboard")) == list(range(5))
        assert "sending_paused reason=" in caplog.text
        redis.config_set("maxmemory", 0)
        redis.replicaof("NO", "ONE")
        redis.delete(name_event_stream("fuseboard"))
        wait_until(lambda: producer.counters.spool_drained == 5)

        assert list_numbers(read_events(redis, "fuseboard")) == list(range(5))
        assert read_spool(tmp_path / "fuseboard") == []


def test_threads_record_through_a_restart_and_nothing_is_lost_or_moved_in_time(
    private_redis: PrivateRedis, tmp_path: Path
) -> None:
    each, threads_count = 3000, 4
    producer = Producer(private_redis.url, spool_dir=tmp_path, linger_seconds=0.01)
    slowest = [0.0] * threads_count
    with connect_redis(private_redis.url) as redis:
        # what is acknowledged must survive the kill here; with "everysec" Redis may answer before it writes
        redis.config_set("appendfsync", "always")
    times: dict[str, str] = {}

    def record(thread: int) -> None:
        for number in range(each):
            began = time.perf_counter()
            producer.record("claude", "m", request_id=f"{thread}.{number}")
            slowest[thread] = max(slowest[thread], time.perf_counter() - began)
            time.sleep(0.0005)

    threads = [threading.Thread(target=record, args=(thread,)) for thread in range(threads_count)]
    began = datetime.now().astimezone()
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    private_redis.server.kill()
    time.sleep(0.5)
    private_redis.server.start()
    for thread in threads:
        thread.join()
    ended = datetime.now().astimezone()
    assert producer.flush(30)
    wait_until(lambda: producer.counters.spool_bytes == 0)
    counters = producer.counters
    producer.close()

    with connect_redis(private_redis.url) as redis:
        times = {event["request_id"]: event["occurred_at"] for event in read_events(redis, "fuseboard")}
    assert counters.recorded == each * threads_count
    assert counters.spooled > 0
    assert counters.dropped == 0
    assert set(times) == {f"{thread}.{number}" for thread in range(threads_count) for number in range(each)}
    assert all(began <= datetime.fromisoformat(time) <= ended for time in times.values())
    in_order = [times[f"0.{number}"] for number in range(each)]
    assert all(one <= next_one for one, next_one in pairwise(in_order))
    # a stopped server is not felt by callers; the bound is for a busy machine, not for what is promised
    assert max(slowest) < 2


def test_live_events_flow_while_a_large_spool_is_drained(private_redis: PrivateRedis, tmp_path: Path) -> None:
    private_redis.server.stop()
    with Producer(private_redis.url, spool_dir=tmp_path, spool_max_bytes=200_000_000) as producer:
        for _ in range(20):
            for _ in range(2000):
                producer.record("claude", "old")
            producer.flush(30)
    private_redis.server.start()

    with Producer(private_redis.url, spool_dir=tmp_path, linger_seconds=0) as producer:
        producer.record("claude", "live")
        assert producer.flush()
        wait_until(lambda: producer.counters.spool_drained > 0)
        producer.record("claude", "live")
        assert producer.flush()
        assert producer.counters.spool_drained < 40_000
        wait_until(lambda: producer.counters.spool_bytes == 0)

    with connect_redis(private_redis.url) as redis:
        assert Counter(event["model"] for event in read_events(redis, "fuseboard")) == {"old": 40_000, "live": 2}


def test_a_connection_that_was_cut_costs_nothing(private_redis: PrivateRedis, tmp_path: Path) -> None:
    with connect_redis(private_redis.url) as redis, Producer(private_redis.url, spool_dir=tmp_path) as producer:
        for _ in range(3):
            producer.record("claude", "m")
            assert producer.flush()
            redis.client_kill_filter(_type="normal", skipme=True)

        assert producer.counters.sent == 3


async def test_tasks_record_and_the_loop_flushes(
    redis_url: str, redis_client: Redis, namespace: str, tmp_path: Path
) -> None:
    async with Producer(redis_url, namespace=namespace, spool_dir=tmp_path) as producer:

        async def call() -> None:
            async with producer.request("ollama", "llama3") as made:
                await asyncio.sleep(0.001)
                made.set_usage(prompt_tokens=1, completion_tokens=2)

        await asyncio.gather(*(call() for _ in range(100)))
        assert await producer.aflush()
        producer.record("ollama", "llama3")

    events = read_events(redis_client, namespace)
    assert len(events) == 101
    assert {event["status"] for event in events} == {"success"}


async def test_a_silent_server_holds_up_neither_the_loop_nor_the_end(tmp_path: Path) -> None:
    # connections are accepted by the kernel and never answered
    with socket.create_server(("127.0.0.1", 0)) as silent:
        producer = Producer(f"redis://127.0.0.1:{silent.getsockname()[1]}", spool_dir=tmp_path)
        producer.record("claude", "m")
        flushing = asyncio.create_task(producer.aflush(0.2))
        ticks = 0
        while not flushing.done():
            await asyncio.sleep(0.005)
            ticks += 1
        assert not await flushing
        assert await producer.aclose(0.5)

    assert ticks > 5
    assert len(read_spool(tmp_path / "fuseboard")) == 1
