"""A producer whose Redis is replaced, silent or slow: where its events are meanwhile, and that each arrives once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuseboard_producer import Producer
from fuseboard_producer.encoding import Entry
from fuseboard_producer.sender import Sender
from fuseboard_schema.redis_client import connect_redis
from producer_tools import PrivateRedis, read_events, read_spool, run_private_redis
from redis_link import linked
from waiting import wait_until


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[PrivateRedis]:
    with run_private_redis(tmp_path) as running:
        yield running


def list_numbers(events: list[dict[str, str]]) -> list[int]:
    return [int(event["request_id"]) for event in events]


def test_a_failover_behind_the_same_address_is_followed(
    private_redis: PrivateRedis,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    with (
        run_private_redis(tmp_path_factory.mktemp("promoted")) as promoted,
        linked(private_redis.url) as link,
        connect_redis(private_redis.url) as demoted,
        connect_redis(promoted.url) as redis,
        Producer(link.url, spool_dir=tmp_path / "spool") as producer,
    ):
        producer.record("claude", "m", request_id="0")
        wait_until(lambda: producer.counters.sent == 1)

        # the link keeps the producer's connection to it, and it goes on answering whoever reads
        demoted.replicaof("127.0.0.1", "1")
        for number in range(1, 4):
            producer.record("claude", "m", request_id=str(number))
            assert producer.flush()
            # long enough for some probes, all of which are answered
            time.sleep(0.5)
        link.lead_to(promoted.url)
        wait_until(lambda: producer.counters.spool_drained == 3)
        producer.record("claude", "m", request_id="4")
        wait_until(lambda: producer.counters.sent == 2)

        assert list_numbers(read_events(redis, "fuseboard")) == [1, 2, 3, 4]
    said = [record.getMessage().partition(" ")[0] for record in caplog.records if record.name.endswith(".sender")]
    assert said == ["sending_paused", "sending_resumed"]


def test_what_a_silent_redis_keeps_waiting_is_in_the_spool_before_the_process_is_killed(
    private_redis: PrivateRedis, tmp_path: Path
) -> None:
    with linked(private_redis.url) as link, Producer(link.url, spool_dir=tmp_path) as producer:
        producer.record("claude", "m", request_id="0")
        wait_until(lambda: producer.counters.sent == 1)
        link.swallows = True
        for number in range(1, 4):
            producer.record("claude", "m", request_id=str(number))
            # nobody asks for it, and the call to Redis is still waited for
            wait_until(lambda count=number: producer.counters.spooled == count)  # type: ignore[misc]
        assert list_numbers(read_spool(tmp_path / "fuseboard")) == [1, 2, 3]
        link.swallows = False


def test_what_a_slow_redis_kept_waiting_is_in_it_once_when_the_producer_is_closed(
    private_redis: PrivateRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Sender.send

    def send_slowly(sender: Sender, entry: Entry) -> bool:
        # long enough for the spool, and Redis takes it all the same
        time.sleep(0.5 if sender.resume_at is None else 0)
        return send(sender, entry)

    monkeypatch.setattr(Sender, "send", send_slowly)
    with Producer(private_redis.url, spool_dir=tmp_path, linger_seconds=0, flush_max_events=2) as producer:
        for number in range(5):
            producer.record("claude", "m", request_id=str(number))
    with connect_redis(private_redis.url) as redis:
        assert list_numbers(read_events(redis, "fuseboard")) == list(range(5))
    assert read_spool(tmp_path / "fuseboard") == []
