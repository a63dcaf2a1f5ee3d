from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from consumers import ConsumerProcess, consumers, is_drained
from events import add_entry, make_event
from fuseboard_cli.embedded_binaries import find_redis
from fuseboard_schema.database import connect_database
from private_servers import PrivateServers
from redis_link import linked
from redis_refusals import REFUSALS
from redis_versions import run_redis
from waiting import wait_until

NAMESPACE = "refused"
# Redis at the limit of its memory takes none, so these are in it before
ENTRIES, EVENTS = 60, 100


@pytest.fixture
def redis(private_servers: PrivateServers) -> Iterator[Redis]:
    with Redis.from_url(private_servers.redis_url) as client:
        yield client


@pytest.fixture
def consumer(private_servers: PrivateServers, tmp_path: Path) -> Iterator[ConsumerProcess]:
    with consumers(1, tmp_path, private_servers.database_url, private_servers.redis_url, NAMESPACE) as started:
        wait_until(lambda: started[0].logged("sweeper_started"))
        yield started[0]


def count_requests(database_url: str) -> int:
    with connect_database(database_url, application_name="tests") as connection:
        row = connection.execute("SELECT count(*) FROM llm_requests").fetchone()
    assert row is not None
    return int(row[0])


def add(redis: Redis, entries: int = 1, events: int = 1) -> None:
    for _ in range(entries):
        add_entry(redis, NAMESPACE, [make_event() for _ in range(events)])


def add_and_wait(redis: Redis, database_url: str) -> None:
    before = count_requests(database_url)
    add(redis)
    wait_until(lambda: count_requests(database_url) == before + 1)


def wait_for_another(consumer: ConsumerProcess, text: str, before: int) -> None:
    wait_until(lambda: consumer.count(text) > before)


def test_whatever_redis_refuses_for_a_while_the_consumer_waits_for_in_one_line(
    private_servers: PrivateServers, redis: Redis, consumer: ConsumerProcess
) -> None:
    # at the limit of its memory it goes on, as below
    for before, code in enumerate(("READONLY", "NOREPLICAS", "MISCONF", "BUSY")):
        add_and_wait(redis, private_servers.database_url)
        with REFUSALS[code](redis):
            wait_for_another(consumer, "redis_unavailable", before)
        add_and_wait(redis, private_servers.database_url)
        wait_for_another(consumer, "redis_resumed", before)
        assert consumer.process.poll() is None, code
    wait_until(lambda: is_drained(redis, NAMESPACE))
    assert consumer.count("redis_unavailable") == 4
    assert "Traceback" not in consumer.log.read_text()


def test_at_the_limit_of_its_memory_redis_is_drained_by_the_first_consumer_ever(
    private_servers: PrivateServers, redis: Redis, tmp_path: Path
) -> None:
    add(redis, ENTRIES, EVENTS)
    with (
        REFUSALS["OOM"](redis),
        consumers(1, tmp_path, private_servers.database_url, private_servers.redis_url, NAMESPACE) as (consumer,),
    ):
        wait_until(lambda: is_drained(redis, NAMESPACE))
        assert count_requests(private_servers.database_url) == ENTRIES * EVENTS
        assert consumer.process.poll() is None
        assert consumer.count("redis_unavailable") == 1
        assert consumer.stop() == 0
        assert "Traceback" not in consumer.log.read_text()


def test_a_link_that_swallows_replies_is_given_up_within_seconds(
    private_servers: PrivateServers, redis: Redis, tmp_path: Path
) -> None:
    with (
        linked(private_servers.redis_url) as link,
        consumers(1, tmp_path, private_servers.database_url, link.url, NAMESPACE) as (consumer,),
    ):
        add_and_wait(redis, private_servers.database_url)
        link.swallows = True
        # read and never heard of: still this consumer's
        add(redis, 3)
        wait_until(lambda: consumer.logged("redis_unavailable"), 20)
        link.swallows = False
        wait_until(lambda: is_drained(redis, NAMESPACE), 20)
        assert count_requests(private_servers.database_url) == 4
        assert "Traceback" not in consumer.log.read_text()


def test_after_a_failover_behind_a_fixed_address_the_new_master_is_drained(
    private_servers: PrivateServers, tmp_path: Path
) -> None:
    program, (old_folder, new_folder) = find_redis(), (tmp_path / "old", tmp_path / "new")
    old_folder.mkdir()
    new_folder.mkdir()
    with (
        run_redis(program, old_folder) as old_url,
        run_redis(program, new_folder) as new_url,
        Redis.from_url(old_url) as old,
        Redis.from_url(new_url) as new,
        linked(old_url) as link,
        consumers(1, tmp_path, private_servers.database_url, link.url, NAMESPACE) as (consumer,),
    ):
        new.replicaof("127.0.0.1", str(urlsplit(old_url).port))
        add_and_wait(old, private_servers.database_url)
        wait_until(lambda: new.info("replication")["master_link_status"] == "up")

        new.replicaof("NO", "ONE")
        old.replicaof("127.0.0.1", str(urlsplit(new_url).port))
        link.target = new_url

        add_and_wait(new, private_servers.database_url)
        wait_until(lambda: is_drained(new, NAMESPACE))
        assert consumer.process.poll() is None
        assert "Traceback" not in consumer.log.read_text()
